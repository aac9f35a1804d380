//! Parameters of Systems Manager. Values come sealed and leave sealed: what seals and opens them stands outside.

mod lists;

pub(crate) use lists::{by_path, describe, history};

use super::merged;
use crate::authorize::Caller;
use crate::desk::Desk;
use model::change::Change;
use model::cluster::Tag;
use model::parameter::{Parameter, ParameterChange, ParameterKind, ParameterVersion};
use model::sealed::Sealed;
use model::state::State;
use wire::{Fault, Timestamp, ssm};

/// Parameters of an account (Systems Manager endpoints and quotas).
const PARAMETERS_MAX: usize = 110_000;
/// Bytes of a value in the standard and in the advanced tier.
const STANDARD_MAX: usize = 4096;
const ADVANCED_MAX: usize = 8192;
/// Levels of a hierarchy.
const LEVELS_MAX: usize = 15;
/// Characters of a name.
const NAME_MAX: usize = 1011;
/// The key of secure strings, as clients know it.
const KEY: &str = "alias/aws/ssm";
/// The only type of data.
const DATA_TYPE: &str = "text";

fn invalid(message: impl Into<String>) -> Fault {
    Fault::new("ValidationException", 400, message)
}

fn not_supported(member: &str) -> Fault {
    invalid(format!("not supported yet: {member}. Nothing was changed."))
}

fn missing() -> Fault {
    ssm::fault::parameter_not_found("The parameter was not found.")
}

/// A value that was sealed on its way here; a plain one is never taken.
fn sealed(text: &str) -> Result<Sealed, Fault> {
    Sealed::parse(text).ok_or_else(|| ssm::fault::internal_server_error("The value was not sealed."))
}

fn kind_of(kind: ssm::ParameterType) -> ParameterKind {
    match kind {
        ssm::ParameterType::String => ParameterKind::String,
        ssm::ParameterType::StringList => ParameterKind::StringList,
        ssm::ParameterType::SecureString => ParameterKind::SecureString,
    }
}

fn shown_kind(kind: ParameterKind) -> ssm::ParameterType {
    match kind {
        ParameterKind::String => ssm::ParameterType::String,
        ParameterKind::StringList => ssm::ParameterType::StringList,
        ParameterKind::SecureString => ssm::ParameterType::SecureString,
    }
}

fn shown_tier(version: &ParameterVersion) -> ssm::ParameterTier {
    if version.advanced { ssm::ParameterTier::Advanced } else { ssm::ParameterTier::Standard }
}

fn shown_key(version: &ParameterVersion) -> Option<String> {
    (version.kind == ParameterKind::SecureString).then(|| KEY.to_owned())
}

fn check_name(name: &str) -> Result<(), Fault> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte);
    let parts: Vec<&str> = name.strip_prefix('/').unwrap_or(name).split('/').collect();
    let first = parts.first().copied().unwrap_or_default().to_ascii_lowercase();
    if first.starts_with("aws") || first.starts_with("ssm") {
        return Err(invalid("Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive)."));
    }
    if parts.len() > 1 && !name.starts_with('/') {
        return Err(invalid("Parameter name must be a fully qualified name."));
    }
    if name.len() > NAME_MAX || !name.bytes().all(plain) || parts.iter().any(|part| part.is_empty()) {
        let message = "Parameter name: only a mix of letters, numbers and the following 4 symbols .-_/ is allowed; parts \
                       between / are not empty.";
        return Err(invalid(message));
    }
    if parts.len() > LEVELS_MAX {
        let message = format!("Parameter name: a hierarchy has at most {LEVELS_MAX} levels.");
        return Err(ssm::fault::hierarchy_level_limit_exceeded(message));
    }
    Ok(())
}

/// ssm:PutParameter.
pub(crate) fn put(
    desk: &mut Desk,
    _: &Caller,
    input: ssm::PutParameterRequest,
) -> Result<ssm::PutParameterResult, Fault> {
    check_name(&input.name)?;
    let used = [
        ("AllowedPattern", input.allowed_pattern.is_some_and(|pattern| !pattern.is_empty())),
        ("Policies", input.policies.is_some_and(|policies| !policies.is_empty())),
        ("DataType", input.data_type.is_some_and(|kind| kind != DATA_TYPE)),
        ("KeyId", input.key_id.as_deref().is_some_and(|key| key != KEY)),
    ];
    if let Some((member, _)) = used.iter().find(|(_, used)| *used) {
        return Err(not_supported(member));
    }
    let value = sealed(&input.value)?;
    let before = desk.state.parameters.newest(&input.name);
    let overwrite = input.overwrite == Some(true);
    let kind = match (before, input.r#type.map(kind_of)) {
        (Some(_), _) if !overwrite => {
            let message = "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.";
            return Err(ssm::fault::parameter_already_exists(message));
        }
        (Some(before), Some(kind)) if kind != before.kind => {
            let message = "A parameter's type cannot be changed: delete it, or make another.";
            return Err(ssm::fault::hierarchy_type_mismatch(message));
        }
        (Some(before), _) => before.kind,
        (None, Some(kind)) => kind,
        (None, None) => return Err(invalid("A parameter type is required when you create a parameter.")),
    };
    if input.key_id.is_some() && kind != ParameterKind::SecureString {
        return Err(invalid("KeyId is for parameters of the type SecureString only."));
    }
    if overwrite && input.tags.is_some() {
        return Err(invalid("Invalid request: tags and overwrite can't be used together."));
    }
    if before.is_none() && desk.state.parameters.count() >= PARAMETERS_MAX {
        return Err(ssm::fault::parameter_limit_exceeded(format!("There may be at most {PARAMETERS_MAX} parameters.")));
    }
    let advanced = tier(input.tier, before, value.plain_len())?;
    let tags = input.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value));
    let tags = merged(&[], tags).map_err(invalid)?;
    let description: Option<Box<str>> = match input.description {
        Some(text) => Some(text.into()),
        None => before.and_then(|before| before.description.clone()),
    };
    let name: Box<str> = input.name.into();
    let number = before.map_or(1, |before| before.number + 1);
    let description = description.filter(|text| !text.is_empty());
    let version = ParameterVersion { name: name.clone(), number, kind, value, advanced, description, at: desk.now };
    let shown = shown_tier(&version);
    desk.commit(Change::Parameter(ParameterChange::Put(Box::new(version))));
    if !tags.is_empty() {
        desk.commit(Change::Parameter(ParameterChange::Tagged(name, tags)));
    }
    Ok(ssm::PutParameterResult { tier: Some(shown), version: i64::try_from(number).ok() })
}

/// Whether a value is of the advanced tier. What once was stays so.
fn tier(asked: Option<ssm::ParameterTier>, before: Option<&ParameterVersion>, size: usize) -> Result<bool, Fault> {
    let was = before.is_some_and(|before| before.advanced);
    let advanced = match asked {
        Some(ssm::ParameterTier::Standard) if was => {
            return Err(invalid(
                "This parameter uses the advanced-parameter tier. It can't be downgraded: delete it and make it again.",
            ));
        }
        Some(ssm::ParameterTier::Advanced) => true,
        Some(ssm::ParameterTier::IntelligentTiering) => was || size > STANDARD_MAX,
        Some(ssm::ParameterTier::Standard) | None => was,
    };
    if !advanced && size > STANDARD_MAX {
        return Err(invalid(format!(
            "Standard tier parameters support a maximum parameter value of {STANDARD_MAX} characters. To create a larger \
             parameter value, upgrade the parameter to use the advanced-parameter tier."
        )));
    }
    if size > ADVANCED_MAX {
        let message =
            format!("Advanced tier parameters support a maximum parameter value of {ADVANCED_MAX} characters.");
        return Err(invalid(message));
    }
    Ok(advanced)
}

/// What a request names: a name or an ARN, perhaps with a version behind a colon.
struct Named<'a> {
    version: &'a ParameterVersion,
    selector: Option<String>,
}

fn find<'a>(state: &'a State, text: &str) -> Result<Named<'a>, Fault> {
    let here = state.scope().parameter("");
    let (rest, selector) = match text.strip_prefix("arn:") {
        None => text.split_once(':').map_or((text, None), |(name, selector)| (name, Some(selector))),
        Some(_) => {
            let rest = text.strip_prefix(&here).ok_or_else(missing)?;
            rest.split_once(':').map_or((rest, None), |(name, selector)| (name, Some(selector)))
        }
    };
    // An ARN does not say whether the name begins with a slash.
    let rooted = format!("/{rest}");
    let of_arn = text.starts_with("arn:").then_some(rooted.as_str());
    let known = of_arn.into_iter().chain([rest]).find_map(|name| state.parameters.get(name));
    let known = known.ok_or_else(missing)?;
    let version = match selector {
        None => state.parameters.newest(&known.name),
        // Versions have no labels here, so that anything but a number names none.
        Some(selector) => selector.parse().ok().and_then(|number| state.parameters.version(&known.name, number)),
    };
    let lost = || {
        let message = format!("Systems Manager could not find version {} of {}.", selector.unwrap_or(""), known.name);
        ssm::fault::parameter_version_not_found(message)
    };
    Ok(Named { version: version.ok_or_else(lost)?, selector: selector.map(|selector| format!(":{selector}")) })
}

fn shown(state: &State, version: &ParameterVersion, selector: Option<String>) -> ssm::Parameter {
    ssm::Parameter {
        arn: Some(state.scope().parameter(&version.name)),
        data_type: Some(DATA_TYPE.to_owned()),
        last_modified_date: Some(Timestamp::from_millis(version.at)),
        name: Some(version.name.to_string()),
        selector,
        source_result: None,
        r#type: Some(shown_kind(version.kind)),
        value: Some(version.value.as_str().to_owned()),
        version: i64::try_from(version.number).ok(),
    }
}

/// ssm:GetParameter.
pub(crate) fn get(
    desk: &mut Desk,
    _: &Caller,
    input: ssm::GetParameterRequest,
) -> Result<ssm::GetParameterResult, Fault> {
    let named = find(&desk.state, &input.name)?;
    Ok(ssm::GetParameterResult { parameter: Some(shown(&desk.state, named.version, named.selector)) })
}

/// ssm:GetParameters: names of nothing are told apart.
pub(crate) fn get_many(
    desk: &mut Desk,
    _: &Caller,
    input: ssm::GetParametersRequest,
) -> Result<ssm::GetParametersResult, Fault> {
    let (mut parameters, mut lost) = (Vec::new(), Vec::new());
    for name in input.names {
        match find(&desk.state, &name) {
            Ok(named) => parameters.push(shown(&desk.state, named.version, named.selector)),
            Err(_) => lost.push(name),
        }
    }
    Ok(ssm::GetParametersResult { invalid_parameters: Some(lost), parameters: Some(parameters) })
}

/// ssm:DeleteParameter.
pub(crate) fn delete(
    desk: &mut Desk,
    _: &Caller,
    input: ssm::DeleteParameterRequest,
) -> Result<ssm::DeleteParameterResult, Fault> {
    if remove(desk, &input.name) { Ok(ssm::DeleteParameterResult {}) } else { Err(missing()) }
}

fn remove(desk: &mut Desk, name: &str) -> bool {
    let known = desk.state.parameters.get(name).is_some();
    if known {
        desk.commit(Change::Parameter(ParameterChange::Deleted(name.into())));
    }
    known
}

/// ssm:DeleteParameters.
pub(crate) fn delete_many(
    desk: &mut Desk,
    _: &Caller,
    input: ssm::DeleteParametersRequest,
) -> Result<ssm::DeleteParametersResult, Fault> {
    let (deleted, lost): (Vec<String>, Vec<String>) = input.names.into_iter().partition(|name| remove(desk, name));
    Ok(ssm::DeleteParametersResult { deleted_parameters: Some(deleted), invalid_parameters: Some(lost) })
}

/// The parameter that a request for tags names.
fn tagged<'a>(state: &'a State, kind: ssm::ResourceTypeForTagging, id: &str) -> Result<&'a Parameter, Fault> {
    if kind != ssm::ResourceTypeForTagging::Parameter {
        let message = format!("not supported yet: ResourceType ({kind}): only Parameter is.");
        return Err(ssm::fault::invalid_resource_type(message));
    }
    let lost = || ssm::fault::invalid_resource_id(format!("There is no parameter {id}."));
    state.parameters.get(id).ok_or_else(lost)
}

fn put_tags(desk: &mut Desk, name: Box<str>, tags: Vec<Tag>) {
    desk.commit(Change::Parameter(ParameterChange::Tagged(name, tags)));
}

/// ssm:AddTagsToResource.
pub(crate) fn tag(
    desk: &mut Desk,
    _: &Caller,
    input: ssm::AddTagsToResourceRequest,
) -> Result<ssm::AddTagsToResourceResult, Fault> {
    let parameter = tagged(&desk.state, input.resource_type, &input.resource_id)?;
    let tags = merged(&parameter.tags, input.tags.into_iter().map(|tag| (tag.key, tag.value)));
    let (name, tags) = (parameter.name.clone(), tags.map_err(ssm::fault::too_many_tags_error)?);
    put_tags(desk, name, tags);
    Ok(ssm::AddTagsToResourceResult {})
}

/// ssm:RemoveTagsFromResource.
pub(crate) fn untag(
    desk: &mut Desk,
    _: &Caller,
    input: ssm::RemoveTagsFromResourceRequest,
) -> Result<ssm::RemoveTagsFromResourceResult, Fault> {
    let parameter = tagged(&desk.state, input.resource_type, &input.resource_id)?;
    let kept = |tag: &&Tag| !input.tag_keys.iter().any(|key| **key == *tag.key);
    let (name, tags) = (parameter.name.clone(), parameter.tags.iter().filter(kept).cloned().collect());
    put_tags(desk, name, tags);
    Ok(ssm::RemoveTagsFromResourceResult {})
}

/// ssm:ListTagsForResource.
pub(crate) fn list_tags(
    desk: &mut Desk,
    _: &Caller,
    input: ssm::ListTagsForResourceRequest,
) -> Result<ssm::ListTagsForResourceResult, Fault> {
    let parameter = tagged(&desk.state, input.resource_type, &input.resource_id)?;
    let shown = |tag: &Tag| ssm::Tag { key: tag.key.to_string(), value: tag.value.to_string() };
    Ok(ssm::ListTagsForResourceResult { tag_list: Some(parameter.tags.iter().map(shown).collect()) })
}
