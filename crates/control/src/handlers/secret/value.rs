//! Values of secrets, which come and leave sealed, and the stages that say which version is meant.

use super::{SECRETS_MAX, arn, commit, find, find_live, missing, not_supported, read_tags};
use crate::authorize::Caller;
use crate::desk::Desk;
use crate::page::Page;
use model::change::Change;
use model::sealed::Sealed;
use model::secret::{CURRENT, Secret, SecretChange, SecretVersion};
use std::collections::BTreeMap;
use wire::secretsmanager::{self as wire_secrets, fault};
use wire::{Fault, Timestamp};

/// Bytes of a value.
const VALUE_MAX: usize = 65_536;
/// The key of secrets, as clients know it.
const KEY: &str = "alias/aws/secretsmanager";

/// A value on its way in, and the token that names its version.
struct Given {
    value: Sealed,
    binary: bool,
    id: Box<str>,
}

fn given(text: Option<String>, binary: Option<String>, token: Option<String>) -> Result<Option<Given>, Fault> {
    let (value, binary) = match (text, binary) {
        (Some(_), Some(_)) => {
            let message = "You can't specify both a binary secret value and a string secret value in the same secret.";
            return Err(fault::invalid_parameter(message));
        }
        (None, None) => return Ok(None),
        (Some(text), None) => (text, false),
        (None, Some(bytes)) => (bytes, true),
    };
    let unsealed = || fault::internal_service_error("The value was not sealed.");
    let value = Sealed::parse(&value).ok_or_else(unsealed)?;
    if !binary && value.plain_len() > VALUE_MAX {
        return Err(fault::invalid_parameter(format!("A secret value has at most {VALUE_MAX} bytes.")));
    }
    // Whoever seals a value names its version where the client did not.
    Ok(Some(Given { value, binary, id: token.ok_or_else(unsealed)?.into() }))
}

fn check_name(name: &str) -> Result<(), Fault> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-!".contains(&byte);
    if (1..=512).contains(&name.len()) && name.bytes().all(plain) {
        return Ok(());
    }
    let message =
        "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!";
    Err(fault::invalid_parameter(message))
}

/// Makes a version, or finds it made by the same request; whether it was made.
fn make_version(desk: &mut Desk, secret: &Secret, given: &Given) -> Result<bool, Fault> {
    if let Some(known) = desk.state.secrets.version(&secret.name, &given.id) {
        if known.value.is_same(&given.value) && known.binary == given.binary {
            return Ok(false);
        }
        return Err(fault::resource_exists(format!(
            "You can't use ClientRequestToken {} because that value is already in use for a version of secret {}.",
            given.id,
            arn(&desk.state, secret)
        )));
    }
    let version = SecretVersion {
        name: secret.name.clone(),
        id: given.id.clone(),
        value: given.value.clone(),
        binary: given.binary,
        created_at: desk.now,
    };
    desk.commit(Change::Secret(SecretChange::VersionPut(Box::new(version))));
    Ok(true)
}

/// secretsmanager:CreateSecret.
pub(crate) fn create(
    desk: &mut Desk,
    _: &Caller,
    input: wire_secrets::CreateSecretRequest,
) -> Result<wire_secrets::CreateSecretResponse, Fault> {
    let used = [
        ("KmsKeyId", input.kms_key_id.is_some_and(|key| key != KEY)),
        ("AddReplicaRegions", input.add_replica_regions.is_some_and(|regions| !regions.is_empty())),
        ("CrossAccountPrimaryARN", input.cross_account_primary_arn.is_some()),
        ("Type", input.r#type.is_some()),
    ];
    if let Some((member, _)) = used.iter().find(|(_, used)| *used) {
        return Err(not_supported(member));
    }
    check_name(&input.name)?;
    let given = given(input.secret_string, input.secret_binary, input.client_request_token)?;
    let tags = read_tags(&[], input.tags.unwrap_or_default())?;
    if let Some(known) = desk.state.secrets.get(&input.name) {
        if known.deleted.is_some() {
            let message =
                "You can't create this secret because a secret with this name is already scheduled for deletion.";
            return Err(fault::invalid_request(message));
        }
        let version = given.as_ref().and_then(|given| desk.state.secrets.version(&known.name, &given.id));
        let again = version.zip(given.as_ref()).is_some_and(|(known, given)| known.value.is_same(&given.value));
        if !again {
            let message = format!("The operation failed because the secret {} already exists.", input.name);
            return Err(fault::resource_exists(message));
        }
        return Ok(wire_secrets::CreateSecretResponse {
            arn: Some(arn(&desk.state, known)),
            name: Some(input.name),
            replication_status: None,
            version_id: given.map(|given| given.id.into()),
        });
    }
    if desk.state.secrets.all().len() >= SECRETS_MAX {
        return Err(fault::limit_exceeded(format!("There may be at most {SECRETS_MAX} secrets.")));
    }
    let mut secret = Secret {
        name: input.name.as_str().into(),
        suffix: suffix(desk.ids.bytes()),
        description: input.description.filter(|text| !text.is_empty()).map(Into::into),
        created_at: desk.now,
        changed_at: desk.now,
        deleted: None,
        stages: BTreeMap::new(),
        tags,
    };
    if let Some(given) = &given {
        make_version(desk, &secret, given)?;
        secret.stage(CURRENT, &given.id);
    }
    let arn = arn(&desk.state, &secret);
    commit(desk, secret);
    Ok(wire_secrets::CreateSecretResponse {
        arn: Some(arn),
        name: Some(input.name),
        replication_status: None,
        version_id: given.map(|given| given.id.into()),
    })
}

/// Six letters and digits.
fn suffix(bytes: [u8; 16]) -> Box<str> {
    const SYMBOLS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let symbol = |pair: &[u8]| char::from(SYMBOLS[usize::from(u16::from_be_bytes([pair[0], pair[1]])) % 62]);
    bytes.chunks_exact(2).take(6).map(symbol).collect::<String>().into()
}

/// secretsmanager:PutSecretValue.
pub(crate) fn put_value(
    desk: &mut Desk,
    _: &Caller,
    input: wire_secrets::PutSecretValueRequest,
) -> Result<wire_secrets::PutSecretValueResponse, Fault> {
    if input.rotation_token.is_some() {
        return Err(not_supported("RotationToken"));
    }
    let mut secret = find_live(&desk.state, &input.secret_id)?.clone();
    let nothing = || fault::invalid_parameter("You must provide either SecretString or SecretBinary.");
    let given = given(input.secret_string, input.secret_binary, input.client_request_token)?.ok_or_else(nothing)?;
    if make_version(desk, &secret, &given)? {
        let mut stages = input.version_stages.unwrap_or_else(|| vec![CURRENT.to_owned()]);
        if !secret.stages.contains_key(CURRENT) && !stages.iter().any(|stage| stage == CURRENT) {
            stages.push(CURRENT.to_owned());
        }
        stages.iter().for_each(|stage| secret.stage(stage, &given.id));
        secret.changed_at = desk.now;
        commit(desk, secret.clone());
    }
    Ok(wire_secrets::PutSecretValueResponse {
        arn: Some(arn(&desk.state, &secret)),
        name: Some(secret.name.to_string()),
        version_stages: Some(secret.stages_of(&given.id)),
        version_id: Some(given.id.into()),
    })
}

/// secretsmanager:UpdateSecret: what is not named stays as it is.
pub(crate) fn update(
    desk: &mut Desk,
    _: &Caller,
    input: wire_secrets::UpdateSecretRequest,
) -> Result<wire_secrets::UpdateSecretResponse, Fault> {
    let used = [("KmsKeyId", input.kms_key_id.is_some_and(|key| key != KEY)), ("Type", input.r#type.is_some())];
    if let Some((member, _)) = used.iter().find(|(_, used)| *used) {
        return Err(not_supported(member));
    }
    let mut secret = find_live(&desk.state, &input.secret_id)?.clone();
    let given = given(input.secret_string, input.secret_binary, input.client_request_token)?;
    if let Some(text) = input.description {
        secret.description = Some(text).filter(|text| !text.is_empty()).map(Into::into);
    }
    if let Some(given) = &given
        && make_version(desk, &secret, given)?
    {
        secret.stage(CURRENT, &given.id);
    }
    secret.changed_at = desk.now;
    let answer = wire_secrets::UpdateSecretResponse {
        arn: Some(arn(&desk.state, &secret)),
        name: Some(secret.name.to_string()),
        version_id: given.map(|given| given.id.into()),
    };
    commit(desk, secret);
    Ok(answer)
}

/// secretsmanager:GetSecretValue: by version, by stage or by both; AWSCURRENT when neither is named.
pub(crate) fn get_value(
    desk: &mut Desk,
    _: &Caller,
    input: wire_secrets::GetSecretValueRequest,
) -> Result<wire_secrets::GetSecretValueResponse, Fault> {
    let state = &desk.state;
    let secret = find_live(state, &input.secret_id)?;
    let stage = input.version_stage.as_deref();
    let lost = |what: String| {
        fault::resource_not_found(format!("Secrets Manager can't find the specified secret value for {what}"))
    };
    let id = match &input.version_id {
        Some(id) => id.as_str(),
        None => {
            let stage = stage.unwrap_or(CURRENT);
            secret.stages.get(stage).ok_or_else(|| lost(format!("staging label: {stage}")))?
        }
    };
    let version = state.secrets.version(&secret.name, id).ok_or_else(|| lost(format!("VersionId: {id}")))?;
    if stage.is_some_and(|stage| secret.stages.get(stage).is_none_or(|staged| **staged != *id)) {
        let message = "You provided a VersionStage that is not associated to the provided VersionId.";
        return Err(fault::invalid_request(message));
    }
    let value = Some(version.value.as_str().to_owned());
    let (secret_string, secret_binary) = if version.binary { (None, value) } else { (value, None) };
    Ok(wire_secrets::GetSecretValueResponse {
        arn: Some(arn(state, secret)),
        created_date: Some(Timestamp::from_millis(version.created_at)),
        name: Some(secret.name.to_string()),
        secret_binary,
        secret_string,
        version_id: Some(version.id.to_string()),
        version_stages: Some(secret.stages_of(&version.id)),
    })
}

/// secretsmanager:ListSecretVersionIds; those without a stage when they are asked for.
pub(crate) fn list_versions(
    desk: &mut Desk,
    _: &Caller,
    input: wire_secrets::ListSecretVersionIdsRequest,
) -> Result<wire_secrets::ListSecretVersionIdsResponse, Fault> {
    let state = &desk.state;
    let secret = find(state, &input.secret_id)?;
    let all = input.include_deprecated == Some(true);
    let scope = format!("ListSecretVersionIds|{}|{all}", secret.name);
    let token = |_| fault::invalid_next_token("Invalid NextToken or MaxResults.");
    let key = &state.meta().token_key;
    let page = Page::read(key, scope, (100, 100), input.max_results, input.next_token.as_deref()).map_err(token)?;
    let versions = state.secrets.versions(&secret.name).filter(|version| {
        (all || !secret.stages_of(&version.id).is_empty()) && page.after().is_none_or(|after| *version.id > *after)
    });
    let (versions, next_token) = page.take(versions, |version| version.id.to_string());
    let shown = |version: &SecretVersion| wire_secrets::SecretVersionsListEntry {
        created_date: Some(Timestamp::from_millis(version.created_at)),
        version_id: Some(version.id.to_string()),
        version_stages: Some(secret.stages_of(&version.id)).filter(|stages| !stages.is_empty()),
        ..wire_secrets::SecretVersionsListEntry::default()
    };
    Ok(wire_secrets::ListSecretVersionIdsResponse {
        arn: Some(arn(state, secret)),
        name: Some(secret.name.to_string()),
        next_token,
        versions: Some(versions.into_iter().map(shown).collect()),
    })
}

/// secretsmanager:UpdateSecretVersionStage: moves a stage from one version to another, or takes it away.
pub(crate) fn update_stage(
    desk: &mut Desk,
    _: &Caller,
    input: wire_secrets::UpdateSecretVersionStageRequest,
) -> Result<wire_secrets::UpdateSecretVersionStageResponse, Fault> {
    let mut secret = find_live(&desk.state, &input.secret_id)?.clone();
    let stage = input.version_stage;
    let known = |id: &String| desk.state.secrets.version(&secret.name, id).is_some();
    if input.move_to_version_id.iter().chain(&input.remove_from_version_id).any(|id| !known(id)) {
        return Err(missing());
    }
    let holder = secret.stages.get(&*stage).map(|id| id.to_string());
    if holder.is_some() && holder != input.remove_from_version_id && holder != input.move_to_version_id {
        let message = format!(
            "The staging label {stage} is attached to version {}: name it as RemoveFromVersionId.",
            holder.unwrap_or_default()
        );
        return Err(fault::invalid_parameter(message));
    }
    match input.move_to_version_id {
        Some(id) => secret.stage(&stage, &id),
        None if stage == CURRENT => {
            let message = "You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed.";
            return Err(fault::invalid_parameter(message));
        }
        None => drop(secret.stages.remove(&*stage)),
    }
    secret.changed_at = desk.now;
    let answer = wire_secrets::UpdateSecretVersionStageResponse {
        arn: Some(arn(&desk.state, &secret)),
        name: Some(secret.name.to_string()),
    };
    commit(desk, secret);
    Ok(answer)
}

/// secretsmanager:GetRandomPassword: the control plane says who may ask; whoever has entropy answers.
pub(crate) fn random_password(
    _: &mut Desk,
    _: &Caller,
    _: wire_secrets::GetRandomPasswordRequest,
) -> Result<wire_secrets::GetRandomPasswordResponse, Fault> {
    Ok(wire_secrets::GetRandomPasswordResponse::default())
}
