//! Secrets of Secrets Manager: what they are and how they come and go. Values are with their versions, in `secret/value`.

mod value;

pub(crate) use value::{create, get_value, list_versions, put_value, random_password, update, update_stage};

use super::merged;
use crate::authorize::Caller;
use crate::desk::Desk;
use crate::page::Page;
use model::Millis;
use model::change::Change;
use model::cluster::Tag;
use model::secret::{Secret, SecretChange};
use model::state::State;
use std::collections::BTreeMap;
use wire::secretsmanager::{self as wire_secrets, FilterNameStringType as FilterName, fault};
use wire::{Fault, Timestamp};

/// Secrets of an account (Secrets Manager quotas).
const SECRETS_MAX: usize = 500_000;
/// A day.
const DAY_MS: Millis = 86_400_000;

fn not_supported(member: &str) -> Fault {
    fault::invalid_request(format!("not supported yet: {member}. Nothing was changed."))
}

fn missing() -> Fault {
    fault::resource_not_found("Secrets Manager can't find the specified secret.")
}

fn commit(desk: &mut Desk, secret: Secret) {
    desk.commit(Change::Secret(SecretChange::Put(Box::new(secret))));
}

fn arn(state: &State, secret: &Secret) -> String {
    state.scope().secret(&secret.name, &secret.suffix)
}

/// A secret by its name, its ARN, or its ARN without the six characters at the end.
pub(super) fn find<'a>(state: &'a State, id: &str) -> Result<&'a Secret, Fault> {
    let known = match id.strip_prefix("arn:") {
        None => state.secrets.get(id),
        Some(_) => {
            let here = state.scope().secret("", "");
            let rest = id.strip_prefix(here.trim_end_matches('-')).ok_or_else(missing)?;
            let whole = rest
                .rsplit_once('-')
                .and_then(|(name, suffix)| state.secrets.get(name).filter(|secret| *secret.suffix == *suffix));
            whole.or_else(|| state.secrets.get(rest))
        }
    };
    known.ok_or_else(missing)
}

/// A secret that is not to be deleted.
fn find_live<'a>(state: &'a State, id: &str) -> Result<&'a Secret, Fault> {
    let secret = find(state, id)?;
    if secret.deleted.is_some() {
        let message = "You can't perform this operation on the secret because it was marked for deletion.";
        return Err(fault::invalid_request(message));
    }
    Ok(secret)
}

fn read_tags(before: &[Tag], tags: Vec<wire_secrets::Tag>) -> Result<Vec<Tag>, Fault> {
    let pair = |tag: wire_secrets::Tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default());
    merged(before, tags.into_iter().map(pair)).map_err(fault::invalid_parameter)
}

fn shown_tags(tags: &[Tag]) -> Vec<wire_secrets::Tag> {
    let shown = |tag: &Tag| wire_secrets::Tag { key: Some(tag.key.to_string()), value: Some(tag.value.to_string()) };
    tags.iter().map(shown).collect()
}

/// Which versions have stages, and which.
fn shown_stages(secret: &Secret) -> Option<BTreeMap<String, Vec<String>>> {
    let versions = secret.stages.values().map(|id| (id.to_string(), secret.stages_of(id)));
    Some(versions.collect::<BTreeMap<_, _>>()).filter(|stages| !stages.is_empty())
}

/// secretsmanager:DescribeSecret.
pub(crate) fn describe(
    desk: &mut Desk,
    _: &Caller,
    input: wire_secrets::DescribeSecretRequest,
) -> Result<wire_secrets::DescribeSecretResponse, Fault> {
    let secret = find(&desk.state, &input.secret_id)?;
    Ok(wire_secrets::DescribeSecretResponse {
        arn: Some(arn(&desk.state, secret)),
        created_date: Some(Timestamp::from_millis(secret.created_at)),
        deleted_date: secret.deleted.map(|(at, _)| Timestamp::from_millis(at)),
        description: secret.description.as_deref().map(str::to_owned),
        last_changed_date: Some(Timestamp::from_millis(secret.changed_at)),
        name: Some(secret.name.to_string()),
        tags: Some(shown_tags(&secret.tags)),
        version_ids_to_stages: shown_stages(secret),
        ..wire_secrets::DescribeSecretResponse::default()
    })
}

/// secretsmanager:GetResourcePolicy: no secret has one.
pub(crate) fn resource_policy(
    desk: &mut Desk,
    _: &Caller,
    input: wire_secrets::GetResourcePolicyRequest,
) -> Result<wire_secrets::GetResourcePolicyResponse, Fault> {
    let secret = find(&desk.state, &input.secret_id)?;
    Ok(wire_secrets::GetResourcePolicyResponse {
        arn: Some(arn(&desk.state, secret)),
        name: Some(secret.name.to_string()),
        ..wire_secrets::GetResourcePolicyResponse::default()
    })
}

/// Whether a secret passes a filter: one of the values, or none of those that begin with `!`.
fn passes(secret: &Secret, filter: &wire_secrets::Filter) -> bool {
    let begins = |text: &str, value: &str| text.to_lowercase().starts_with(&value.to_lowercase());
    let holds = |value: &str| match filter.key {
        Some(FilterName::Name) => secret.name.starts_with(value),
        Some(FilterName::Description) => secret.description.as_deref().is_some_and(|text| begins(text, value)),
        Some(FilterName::TagKey) => secret.tags.iter().any(|tag| tag.key.starts_with(value)),
        Some(FilterName::TagValue) => secret.tags.iter().any(|tag| tag.value.starts_with(value)),
        _ => false,
    };
    let values = filter.values.as_deref().unwrap_or_default();
    values.iter().any(|value| value.strip_prefix('!').map_or_else(|| holds(value), |value| !holds(value)))
}

/// secretsmanager:ListSecrets, by name.
pub(crate) fn list(
    desk: &mut Desk,
    _: &Caller,
    input: wire_secrets::ListSecretsRequest,
) -> Result<wire_secrets::ListSecretsResponse, Fault> {
    let filters = input.filters.unwrap_or_default();
    let known = [FilterName::Name, FilterName::Description, FilterName::TagKey, FilterName::TagValue];
    if let Some(filter) = filters.iter().find(|filter| !filter.key.is_some_and(|key| known.contains(&key))) {
        let key = filter.key.map_or("without a key", FilterName::as_str);
        return Err(not_supported(&format!("the filter {key}")));
    }
    if input.sort_by.is_some_and(|by| by != wire_secrets::SortByType::Name) {
        return Err(not_supported("SortBy (only name is)"));
    }
    if input.sort_order == Some(wire_secrets::SortOrderType::Desc) {
        return Err(not_supported("SortOrder (only asc is)"));
    }
    let state = &desk.state;
    let planned = input.include_planned_deletion == Some(true);
    let scope = format!("ListSecrets|{planned}|{filters:?}");
    let token = |_| fault::invalid_next_token("Invalid NextToken or MaxResults.");
    let key = &state.meta().token_key;
    let page = Page::read(key, scope, (100, 100), input.max_results, input.next_token.as_deref()).map_err(token)?;
    let rest = state.secrets.all().filter(|secret| page.after().is_none_or(|after| *secret.name > *after));
    let rest = rest.filter(|secret| planned || secret.deleted.is_none());
    let rest = rest.filter(|secret| filters.iter().all(|filter| passes(secret, filter)));
    let (secrets, next_token) = page.take(rest, |secret| secret.name.to_string());
    let shown = |secret: &Secret| wire_secrets::SecretListEntry {
        arn: Some(arn(state, secret)),
        created_date: Some(Timestamp::from_millis(secret.created_at)),
        deleted_date: secret.deleted.map(|(at, _)| Timestamp::from_millis(at)),
        description: secret.description.as_deref().map(str::to_owned),
        last_changed_date: Some(Timestamp::from_millis(secret.changed_at)),
        name: Some(secret.name.to_string()),
        secret_versions_to_stages: shown_stages(secret),
        tags: Some(shown_tags(&secret.tags)),
        ..wire_secrets::SecretListEntry::default()
    };
    let secret_list = Some(secrets.into_iter().map(shown).collect());
    Ok(wire_secrets::ListSecretsResponse { next_token, secret_list })
}

/// secretsmanager:DeleteSecret: after a window in which it can be restored, or at once.
pub(crate) fn delete(
    desk: &mut Desk,
    _: &Caller,
    input: wire_secrets::DeleteSecretRequest,
) -> Result<wire_secrets::DeleteSecretResponse, Fault> {
    let force = input.force_delete_without_recovery == Some(true);
    let days = match input.recovery_window_in_days {
        Some(_) if force => {
            let message = "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.";
            return Err(fault::invalid_parameter(message));
        }
        None => 30,
        Some(days @ 7..=30) => days,
        Some(_) => {
            return Err(fault::invalid_parameter("The RecoveryWindowInDays value must be between 7 and 30 days."));
        }
    };
    let now = desk.now;
    let answer = |arn: Option<String>, name: String, at: Millis| wire_secrets::DeleteSecretResponse {
        arn,
        deletion_date: Some(Timestamp::from_millis(at)),
        name: Some(name),
    };
    if force {
        // What is not there is deleted already.
        let Ok(secret) = find(&desk.state, &input.secret_id) else { return Ok(answer(None, input.secret_id, now)) };
        let (arn, name) = (arn(&desk.state, secret), secret.name.clone());
        desk.commit(Change::Secret(SecretChange::Deleted(name.clone())));
        return Ok(answer(Some(arn), name.into(), now));
    }
    let mut secret = find_live(&desk.state, &input.secret_id)?.clone();
    let at = now + u64::try_from(days).unwrap_or(30) * DAY_MS;
    secret.deleted = Some((now, at));
    let (arn, name) = (arn(&desk.state, &secret), secret.name.to_string());
    commit(desk, secret);
    Ok(answer(Some(arn), name, at))
}

/// secretsmanager:RestoreSecret.
pub(crate) fn restore(
    desk: &mut Desk,
    _: &Caller,
    input: wire_secrets::RestoreSecretRequest,
) -> Result<wire_secrets::RestoreSecretResponse, Fault> {
    let mut secret = find(&desk.state, &input.secret_id)?.clone();
    let answer = wire_secrets::RestoreSecretResponse {
        arn: Some(arn(&desk.state, &secret)),
        name: Some(secret.name.to_string()),
    };
    if secret.deleted.take().is_some() {
        commit(desk, secret);
    }
    Ok(answer)
}

/// secretsmanager:TagResource.
pub(crate) fn tag(
    desk: &mut Desk,
    _: &Caller,
    input: wire_secrets::TagResourceRequest,
) -> Result<wire_secrets::TagResourceResponse, Fault> {
    let mut secret = find_live(&desk.state, &input.secret_id)?.clone();
    secret.tags = read_tags(&secret.tags, input.tags)?;
    commit(desk, secret);
    Ok(wire_secrets::TagResourceResponse {})
}

/// secretsmanager:UntagResource.
pub(crate) fn untag(
    desk: &mut Desk,
    _: &Caller,
    input: wire_secrets::UntagResourceRequest,
) -> Result<wire_secrets::UntagResourceResponse, Fault> {
    let mut secret = find_live(&desk.state, &input.secret_id)?.clone();
    secret.tags.retain(|tag| !input.tag_keys.iter().any(|key| **key == *tag.key));
    commit(desk, secret);
    Ok(wire_secrets::UntagResourceResponse {})
}
