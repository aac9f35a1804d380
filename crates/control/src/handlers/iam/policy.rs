//! Policies and their versions. AWS's own exist in every account and cannot be altered.

use super::{
    check_document, commit, cursor, encoded, is_below, page, page_of_tags, put_tags, shown_tags, size, without,
};
use crate::authorize::Caller;
use crate::desk::Desk;
use model::iam::{Fits, IamChange, ManagedPolicy, Policy, PolicyVersion, managed};
use model::state::State;
use wire::{Fault, Timestamp, iam};

/// Policies of an account (IAM user guide, quotas).
const POLICIES_MAX: usize = 1500;
/// Characters of a policy's document.
const SIZE_MAX: usize = 6144;
/// Versions of a policy.
const VERSIONS_MAX: usize = 5;
/// When AWS's own were made, as far as clients are concerned.
const MANAGED_SINCE: u64 = 1_423_761_841_000;

/// A policy that an ARN names.
#[derive(Clone, Copy)]
pub(super) enum Found<'a> {
    /// Somebody's.
    Own(&'a Policy),
    /// AWS's.
    Managed(&'static ManagedPolicy),
}

impl Found<'_> {
    pub fn is_attachable(self) -> bool {
        match self {
            Self::Own(_) => true,
            Self::Managed(policy) => policy.is_attachable(),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Own(policy) => &policy.name,
            Self::Managed(policy) => policy.name,
        }
    }

    fn path(&self) -> &str {
        match self {
            Self::Own(policy) => &policy.path,
            Self::Managed(policy) => policy.path,
        }
    }
}

/// The path and the name in a policy's ARN.
pub(super) fn path_and_name(arn: &str) -> Option<(&str, &str)> {
    let resource = model::arn::Arn::parse(arn)?.resource.strip_prefix("policy")?;
    let at = resource.rfind('/')? + 1;
    resource.starts_with('/').then(|| resource.split_at(at))
}

/// Where a policy is in lists: by name, of one name AWS's last. A marker has no room for a whole ARN.
pub(super) fn cursor_of(arn: &str, name: &str) -> String {
    let managed = model::arn::Arn::parse(arn).is_some_and(|arn| arn.account == "aws");
    format!("{}|{}", cursor(name), u8::from(managed))
}

pub(super) fn find<'a>(state: &'a State, arn: &str) -> Result<Found<'a>, Fault> {
    let known = model::arn::Arn::parse(arn).filter(|parsed| parsed.service == "iam" && parsed.region.is_empty());
    let (Some(parsed), Some((_, name))) = (known, path_and_name(arn)) else {
        return Err(Fault::new("ValidationError", 400, format!("ARN {arn} is not valid.")));
    };
    let found = if parsed.account == "aws" {
        managed().iter().find(|policy| policy.arn() == arn).map(Found::Managed)
    } else {
        let own = state.iam.policy(name).filter(|policy| own_arn(state, policy) == arn);
        own.map(Found::Own)
    };
    found.ok_or_else(|| iam::fault::no_such_entity(format!("Policy {arn} does not exist or is not attachable.")))
}

fn own_arn(state: &State, policy: &Policy) -> String {
    state.scope().iam("policy", &policy.path, &policy.name)
}

/// A policy that callers may alter.
fn find_own(state: &State, arn: &str) -> Result<Policy, Fault> {
    match find(state, arn)? {
        Found::Own(policy) => Ok(policy.clone()),
        Found::Managed(_) => {
            let message = format!("Policy {arn} is AWS's: it cannot be altered.");
            Err(Fault::new("AccessDenied", 403, message))
        }
    }
}

fn arn(state: &State, found: Found<'_>) -> String {
    match found {
        Found::Own(policy) => own_arn(state, policy),
        Found::Managed(policy) => policy.arn(),
    }
}

fn version_id(number: u32) -> String {
    format!("v{number}")
}

fn shown(state: &State, found: Found<'_>, alone: bool) -> iam::Policy {
    let arn = arn(state, found);
    let attached = i32::try_from(state.iam.attached_roles(&arn).count()).ok();
    let (id, made, updated, default) = match found {
        Found::Own(policy) => (policy.id.clone(), policy.created_at, policy.updated_at, policy.default),
        Found::Managed(policy) => (policy.id(), MANAGED_SINCE, MANAGED_SINCE, 1),
    };
    let own = match found {
        Found::Own(policy) if alone => Some(policy),
        _ => None,
    };
    iam::Policy {
        arn: Some(arn),
        attachment_count: attached,
        create_date: Some(Timestamp::from_millis(made)),
        default_version_id: Some(version_id(default)),
        description: own.and_then(|policy| policy.description.as_deref()).map(str::to_owned),
        is_attachable: Some(found.is_attachable()),
        path: Some(found.path().to_owned()),
        permissions_boundary_usage_count: Some(0),
        policy_id: Some(id.to_string()),
        policy_name: Some(found.name().to_owned()),
        tags: own.and_then(|policy| shown_tags(&policy.tags)),
        update_date: Some(Timestamp::from_millis(updated)),
    }
}

fn shown_version(policy: &Policy, version: &PolicyVersion, document: bool) -> iam::PolicyVersion {
    iam::PolicyVersion {
        create_date: Some(Timestamp::from_millis(version.created_at)),
        document: document.then(|| encoded(&version.document)),
        is_default_version: Some(version.number == policy.default),
        version_id: Some(version_id(version.number)),
    }
}

fn managed_version(policy: &ManagedPolicy, document: bool) -> iam::PolicyVersion {
    iam::PolicyVersion {
        create_date: Some(Timestamp::from_millis(MANAGED_SINCE)),
        document: document.then(|| encoded(&policy.document())),
        is_default_version: Some(true),
        version_id: Some(version_id(1)),
    }
}

fn check(document: &str) -> Result<(), Fault> {
    check_document(document, Fits::Identity)?;
    if size(document) > SIZE_MAX {
        return Err(iam::fault::limit_exceeded(format!("Cannot exceed quota for PolicySize: {SIZE_MAX}")));
    }
    Ok(())
}

/// iam:CreatePolicy.
pub(crate) fn create(
    desk: &mut Desk,
    _: &Caller,
    input: iam::CreatePolicyRequest,
) -> Result<iam::CreatePolicyResponse, Fault> {
    check(&input.policy_document)?;
    let tags = put_tags(&[], input.tags)?;
    let name = input.policy_name;
    if desk.state.iam.policy(&name).is_some() {
        let message = format!("A policy called {name} already exists. Duplicate names are not allowed.");
        return Err(iam::fault::entity_already_exists(message));
    }
    if desk.state.iam.policies().len() >= POLICIES_MAX {
        return Err(iam::fault::limit_exceeded(format!("Cannot exceed quota for PoliciesPerAccount: {POLICIES_MAX}")));
    }
    let version = PolicyVersion { number: 1, document: input.policy_document.into(), created_at: desk.now };
    let policy = Policy {
        name: name.into(),
        path: input.path.unwrap_or_else(|| "/".to_owned()).into(),
        id: model::iam::id("ANPA", desk.ids.bytes()),
        created_at: desk.now,
        updated_at: desk.now,
        description: input.description.filter(|text| !text.is_empty()).map(Into::into),
        versions: vec![version],
        default: 1,
        next: 2,
        tags,
    };
    let answer = shown(&desk.state, Found::Own(&policy), true);
    commit(desk, IamChange::PolicyPut(policy));
    Ok(iam::CreatePolicyResponse { policy: Some(answer) })
}

/// iam:GetPolicy.
pub(crate) fn get(desk: &mut Desk, _: &Caller, input: iam::GetPolicyRequest) -> Result<iam::GetPolicyResponse, Fault> {
    let found = find(&desk.state, &input.policy_arn)?;
    Ok(iam::GetPolicyResponse { policy: Some(shown(&desk.state, found, true)) })
}

/// iam:ListPolicies: those of this account, AWS's that are known here, or both.
pub(crate) fn list(
    desk: &mut Desk,
    _: &Caller,
    input: iam::ListPoliciesRequest,
) -> Result<iam::ListPoliciesResponse, Fault> {
    let state = &desk.state;
    let (scope, prefix) = (input.scope.unwrap_or(iam::PolicyScopeType::All), input.path_prefix.as_deref());
    let boundaries = input.policy_usage_filter == Some(iam::PolicyUsageType::PermissionsBoundary);
    let own = state.iam.policies().filter(|_| scope != iam::PolicyScopeType::Aws).map(Found::Own);
    let aws = managed().iter().filter(|_| scope != iam::PolicyScopeType::Local).map(Found::Managed);
    let only_attached = input.only_attached == Some(true);
    let wanted = own.chain(aws).filter(|found| {
        let attached = || state.iam.attached_roles(&arn(state, *found)).next().is_some();
        !boundaries && is_below(found.path(), prefix) && (!only_attached || attached())
    });
    let mut items: Vec<(String, Found<'_>)> =
        wanted.map(|found| (cursor_of(&arn(state, found), found.name()), found)).collect();
    items.sort_by(|one, other| one.0.cmp(&other.0));
    let scope = format!("ListPolicies|{scope}|{prefix:?}|{only_attached}|{boundaries}");
    let (found, marker) = page(state, scope, (input.max_items, input.marker.as_deref()), items.into_iter())?;
    let policies = found.into_iter().map(|found| shown(state, found, false)).collect();
    Ok(iam::ListPoliciesResponse { policies: Some(policies), is_truncated: Some(marker.is_some()), marker })
}

/// iam:DeletePolicy: the default version goes with it, others and attachments keep it.
pub(crate) fn delete(
    desk: &mut Desk,
    _: &Caller,
    input: iam::DeletePolicyRequest,
) -> Result<iam::DeletePolicyResponse, Fault> {
    let policy = find_own(&desk.state, &input.policy_arn)?;
    if desk.state.iam.attached_roles(&input.policy_arn).next().is_some() {
        return Err(iam::fault::delete_conflict("Cannot delete a policy attached to entities."));
    }
    if policy.versions.len() > 1 {
        let message = "This policy has more than one version. Before you delete a policy, you must delete the policy's \
                       versions. The default version is deleted with the policy.";
        return Err(iam::fault::delete_conflict(message));
    }
    commit(desk, IamChange::PolicyDeleted(policy.name));
    Ok(iam::DeletePolicyResponse {})
}

/// iam:CreatePolicyVersion.
pub(crate) fn create_version(
    desk: &mut Desk,
    _: &Caller,
    input: iam::CreatePolicyVersionRequest,
) -> Result<iam::CreatePolicyVersionResponse, Fault> {
    let mut policy = find_own(&desk.state, &input.policy_arn)?;
    check(&input.policy_document)?;
    if policy.versions.len() >= VERSIONS_MAX {
        let message = format!(
            "A managed policy can have up to {VERSIONS_MAX} versions. Before you create a new version, you must delete an existing version."
        );
        return Err(iam::fault::limit_exceeded(message));
    }
    let version = PolicyVersion { number: policy.next, document: input.policy_document.into(), created_at: desk.now };
    policy.next += 1;
    if input.set_as_default == Some(true) {
        policy.default = version.number;
    }
    policy.updated_at = desk.now;
    let answer = shown_version(&policy, &version, false);
    policy.versions.push(version);
    commit(desk, IamChange::PolicyPut(policy));
    Ok(iam::CreatePolicyVersionResponse { policy_version: Some(answer) })
}

fn version_of<'a>(policy: &'a Policy, id: &str) -> Result<&'a PolicyVersion, Fault> {
    let known = policy.versions.iter().find(|version| version_id(version.number) == id);
    known.ok_or_else(|| missing_version(&policy.name, id))
}

fn missing_version(name: &str, id: &str) -> Fault {
    iam::fault::no_such_entity(format!("Policy {name} version {id} does not exist or is not attachable."))
}

/// iam:GetPolicyVersion.
pub(crate) fn get_version(
    desk: &mut Desk,
    _: &Caller,
    input: iam::GetPolicyVersionRequest,
) -> Result<iam::GetPolicyVersionResponse, Fault> {
    let version = match find(&desk.state, &input.policy_arn)? {
        Found::Own(policy) => shown_version(policy, version_of(policy, &input.version_id)?, true),
        Found::Managed(policy) if input.version_id == "v1" => managed_version(policy, true),
        Found::Managed(policy) => return Err(missing_version(policy.name, &input.version_id)),
    };
    Ok(iam::GetPolicyVersionResponse { policy_version: Some(version) })
}

/// iam:ListPolicyVersions, the newest first.
pub(crate) fn list_versions(
    desk: &mut Desk,
    _: &Caller,
    input: iam::ListPolicyVersionsRequest,
) -> Result<iam::ListPolicyVersionsResponse, Fault> {
    let versions = match find(&desk.state, &input.policy_arn)? {
        Found::Own(policy) => {
            let item = |version: &PolicyVersion| {
                (format!("{:010}", u32::MAX - version.number), shown_version(policy, version, false))
            };
            policy.versions.iter().rev().map(item).collect()
        }
        Found::Managed(policy) => vec![(String::from("0"), managed_version(policy, false))],
    };
    let scope = format!("ListPolicyVersions|{}", input.policy_arn);
    let asked = (input.max_items, input.marker.as_deref());
    let (versions, marker) = page(&desk.state, scope, asked, versions.into_iter())?;
    Ok(iam::ListPolicyVersionsResponse { versions: Some(versions), is_truncated: Some(marker.is_some()), marker })
}

/// iam:DeletePolicyVersion.
pub(crate) fn delete_version(
    desk: &mut Desk,
    _: &Caller,
    input: iam::DeletePolicyVersionRequest,
) -> Result<iam::DeletePolicyVersionResponse, Fault> {
    let mut policy = find_own(&desk.state, &input.policy_arn)?;
    let number = version_of(&policy, &input.version_id)?.number;
    if number == policy.default {
        return Err(iam::fault::delete_conflict("Cannot delete the default version of a policy."));
    }
    policy.versions.retain(|version| version.number != number);
    policy.updated_at = desk.now;
    commit(desk, IamChange::PolicyPut(policy));
    Ok(iam::DeletePolicyVersionResponse {})
}

/// iam:SetDefaultPolicyVersion.
pub(crate) fn set_default(
    desk: &mut Desk,
    _: &Caller,
    input: iam::SetDefaultPolicyVersionRequest,
) -> Result<iam::SetDefaultPolicyVersionResponse, Fault> {
    let mut policy = find_own(&desk.state, &input.policy_arn)?;
    policy.default = version_of(&policy, &input.version_id)?.number;
    policy.updated_at = desk.now;
    commit(desk, IamChange::PolicyPut(policy));
    Ok(iam::SetDefaultPolicyVersionResponse {})
}

/// iam:ListEntitiesForPolicy: roles, for there are no users and groups.
pub(crate) fn list_entities(
    desk: &mut Desk,
    _: &Caller,
    input: iam::ListEntitiesForPolicyRequest,
) -> Result<iam::ListEntitiesForPolicyResponse, Fault> {
    let state = &desk.state;
    find(state, &input.policy_arn)?;
    let prefix = input.path_prefix.as_deref();
    let wanted = input.entity_filter.is_none_or(|kind| kind == iam::EntityType::Role)
        && input.policy_usage_filter != Some(iam::PolicyUsageType::PermissionsBoundary);
    let roles = state.iam.attached_roles(&input.policy_arn).filter(|role| wanted && is_below(&role.path, prefix));
    let items = roles.map(|role| {
        let item = iam::PolicyRole { role_id: Some(role.id.to_string()), role_name: Some(role.name.to_string()) };
        (cursor(&role.name), item)
    });
    let scope = format!("ListEntitiesForPolicy|{}|{prefix:?}|{wanted}", input.policy_arn);
    let (roles, marker) = page(state, scope, (input.max_items, input.marker.as_deref()), items)?;
    Ok(iam::ListEntitiesForPolicyResponse {
        is_truncated: Some(marker.is_some()),
        marker,
        policy_groups: Some(Vec::new()),
        policy_roles: Some(roles),
        policy_users: Some(Vec::new()),
    })
}

/// iam:TagPolicy.
pub(crate) fn tag(desk: &mut Desk, _: &Caller, input: iam::TagPolicyRequest) -> Result<iam::TagPolicyResponse, Fault> {
    let mut policy = find_own(&desk.state, &input.policy_arn)?;
    policy.tags = put_tags(&policy.tags, Some(input.tags))?;
    commit(desk, IamChange::PolicyPut(policy));
    Ok(iam::TagPolicyResponse {})
}

/// iam:UntagPolicy.
pub(crate) fn untag(
    desk: &mut Desk,
    _: &Caller,
    input: iam::UntagPolicyRequest,
) -> Result<iam::UntagPolicyResponse, Fault> {
    let mut policy = find_own(&desk.state, &input.policy_arn)?;
    policy.tags = without(&policy.tags, &input.tag_keys);
    commit(desk, IamChange::PolicyPut(policy));
    Ok(iam::UntagPolicyResponse {})
}

/// iam:ListPolicyTags.
pub(crate) fn list_tags(
    desk: &mut Desk,
    _: &Caller,
    input: iam::ListPolicyTagsRequest,
) -> Result<iam::ListPolicyTagsResponse, Fault> {
    let tags = match find(&desk.state, &input.policy_arn)? {
        Found::Own(policy) => policy.tags.as_slice(),
        Found::Managed(_) => &[],
    };
    let scope = format!("ListPolicyTags|{}", input.policy_arn);
    let (tags, marker) = page_of_tags(&desk.state, scope, (input.max_items, input.marker.as_deref()), tags)?;
    Ok(iam::ListPolicyTagsResponse { tags: Some(tags), is_truncated: Some(marker.is_some()), marker })
}
