//! Roles: what they are, their documents, and the policies attached to them.

use super::{
    check_document, commit, cursor, encoded, is_below, not_supported, page, page_of_tags, put_tags, shown_tags, size,
    without,
};
use crate::authorize::Caller;
use crate::desk::Desk;
use hmac::{Hmac, KeyInit, Mac};
use model::iam::{Fits, IamChange, Role};
use model::state::State;
use sha2::Sha256;
use std::collections::{BTreeMap, BTreeSet};
use subtle::ConstantTimeEq;
use wire::{Fault, Timestamp, iam};

/// Roles of an account (IAM user guide, quotas).
const ROLES_MAX: usize = 1000;
/// Characters of a trust policy.
const TRUST_MAX: usize = 2048;
/// Characters of all documents of a role's own.
const INLINE_MAX: usize = 10_240;
/// Policies attached to a role.
const ATTACHED_MAX: usize = 10;
/// How long a session may last when nothing is said.
const SESSION_SECONDS: i32 = 3600;
/// Where roles are that are linked to a service.
const LINKED: &str = "/aws-service-role/";
/// Services whose linked roles are known: the name of each, and whether one may have a suffix.
const LINKED_ROLES: [(&str, &str, bool); 5] = [
    ("autoscaling.amazonaws.com", "AWSServiceRoleForAutoScaling", true),
    ("ecs.amazonaws.com", "AWSServiceRoleForECS", false),
    ("ecs.application-autoscaling.amazonaws.com", "AWSServiceRoleForApplicationAutoScaling_ECSService", false),
    ("elasticloadbalancing.amazonaws.com", "AWSServiceRoleForElasticLoadBalancing", false),
    ("spot.amazonaws.com", "AWSServiceRoleForEC2Spot", false),
];

pub(super) fn find<'a>(state: &'a State, name: &str) -> Result<&'a Role, Fault> {
    let missing = || iam::fault::no_such_entity(format!("The role with name {name} cannot be found."));
    state.iam.role(name).ok_or_else(missing)
}

/// A role that callers may alter.
fn find_own(state: &State, name: &str) -> Result<Role, Fault> {
    let role = find(state, name)?;
    if role.path.starts_with(LINKED) {
        return Err(iam::fault::unmodifiable_entity(format!(
            "Cannot perform the operation on the protected role '{name}' - this role is only modifiable by AWS"
        )));
    }
    Ok(role.clone())
}

/// A role as lists and profiles show it; by itself it has its tags too.
pub(super) fn shown(state: &State, role: &Role, alone: bool) -> iam::Role {
    iam::Role {
        arn: Some(state.scope().iam("role", &role.path, &role.name)),
        assume_role_policy_document: Some(encoded(&role.trust)),
        create_date: Some(Timestamp::from_millis(role.created_at)),
        description: role.description.as_deref().map(str::to_owned),
        max_session_duration: i32::try_from(role.session_seconds).ok(),
        path: Some(role.path.to_string()),
        role_id: Some(role.id.to_string()),
        role_name: Some(role.name.to_string()),
        tags: shown_tags(&role.tags).filter(|_| alone),
        // Nobody has assumed it: nothing here does.
        role_last_used: alone.then(iam::RoleLastUsed::default),
        ..iam::Role::default()
    }
}

fn check_trust(document: &str) -> Result<(), Fault> {
    check_document(document, Fits::Trust)?;
    if size(document) > TRUST_MAX {
        return Err(iam::fault::limit_exceeded(format!("Cannot exceed quota for ACLSizePerRole: {TRUST_MAX}")));
    }
    Ok(())
}

fn make(desk: &mut Desk, role: Role) -> Result<iam::Role, Fault> {
    if desk.state.iam.roles().len() >= ROLES_MAX {
        return Err(iam::fault::limit_exceeded(format!("Cannot exceed quota for RolesPerAccount: {ROLES_MAX}")));
    }
    let answer = shown(&desk.state, &role, true);
    commit(desk, IamChange::RolePut(role));
    Ok(iam::Role { role_last_used: None, ..answer })
}

/// iam:CreateRole.
pub(crate) fn create(
    desk: &mut Desk,
    _: &Caller,
    input: iam::CreateRoleRequest,
) -> Result<iam::CreateRoleResponse, Fault> {
    if input.permissions_boundary.is_some() {
        return Err(not_supported("PermissionsBoundary"));
    }
    let (name, path) = (input.role_name, input.path.unwrap_or_else(|| "/".to_owned()));
    if path.starts_with(LINKED) {
        return Err(iam::fault::invalid_input(format!("The path {LINKED} is for roles linked to a service.")));
    }
    check_trust(&input.assume_role_policy_document)?;
    let tags = put_tags(&[], input.tags)?;
    if desk.state.iam.role(&name).is_some() {
        return Err(iam::fault::entity_already_exists(format!("Role with name {name} already exists.")));
    }
    let role = Role {
        name: name.into(),
        path: path.into(),
        id: model::iam::id("AROA", desk.ids.bytes()),
        created_at: desk.now,
        trust: input.assume_role_policy_document.into(),
        description: input.description.filter(|text| !text.is_empty()).map(Into::into),
        session_seconds: seconds(input.max_session_duration),
        inline: BTreeMap::new(),
        attached: BTreeSet::new(),
        tags,
    };
    Ok(iam::CreateRoleResponse { role: Some(make(desk, role)?) })
}

fn seconds(asked: Option<i32>) -> u32 {
    u32::try_from(asked.unwrap_or(SESSION_SECONDS)).unwrap_or_default()
}

/// iam:GetRole.
pub(crate) fn get(desk: &mut Desk, _: &Caller, input: iam::GetRoleRequest) -> Result<iam::GetRoleResponse, Fault> {
    let role = find(&desk.state, &input.role_name)?;
    Ok(iam::GetRoleResponse { role: Some(shown(&desk.state, role, true)) })
}

/// iam:ListRoles.
pub(crate) fn list(desk: &mut Desk, _: &Caller, input: iam::ListRolesRequest) -> Result<iam::ListRolesResponse, Fault> {
    let (state, prefix) = (&desk.state, input.path_prefix.as_deref());
    let roles = state.iam.roles().filter(|role| is_below(&role.path, prefix));
    let items = roles.map(|role| (cursor(&role.name), role));
    let scope = format!("ListRoles|{prefix:?}");
    let (roles, marker) = page(state, scope, (input.max_items, input.marker.as_deref()), items)?;
    let roles = roles.into_iter().map(|role| shown(state, role, false)).collect();
    Ok(iam::ListRolesResponse { roles: Some(roles), is_truncated: Some(marker.is_some()), marker })
}

/// iam:UpdateRole: what is not named stays as it is.
pub(crate) fn update(
    desk: &mut Desk,
    _: &Caller,
    input: iam::UpdateRoleRequest,
) -> Result<iam::UpdateRoleResponse, Fault> {
    let mut role = find_own(&desk.state, &input.role_name)?;
    if let Some(description) = input.description {
        role.description = Some(description).filter(|text| !text.is_empty()).map(Into::into);
    }
    if let Some(asked) = input.max_session_duration {
        role.session_seconds = seconds(Some(asked));
    }
    commit(desk, IamChange::RolePut(role));
    Ok(iam::UpdateRoleResponse {})
}

/// iam:UpdateRoleDescription, which older clients call.
pub(crate) fn update_description(
    desk: &mut Desk,
    _: &Caller,
    input: iam::UpdateRoleDescriptionRequest,
) -> Result<iam::UpdateRoleDescriptionResponse, Fault> {
    let mut role = find_own(&desk.state, &input.role_name)?;
    role.description = Some(input.description).filter(|text| !text.is_empty()).map(Into::into);
    let answer = shown(&desk.state, &role, false);
    commit(desk, IamChange::RolePut(role));
    Ok(iam::UpdateRoleDescriptionResponse { role: Some(answer) })
}

/// iam:UpdateAssumeRolePolicy.
pub(crate) fn update_trust(
    desk: &mut Desk,
    _: &Caller,
    input: iam::UpdateAssumeRolePolicyRequest,
) -> Result<iam::UpdateAssumeRolePolicyResponse, Fault> {
    let mut role = find_own(&desk.state, &input.role_name)?;
    check_trust(&input.policy_document)?;
    role.trust = input.policy_document.into();
    commit(desk, IamChange::RolePut(role));
    Ok(iam::UpdateAssumeRolePolicyResponse {})
}

/// iam:DeleteRole: what hangs on it keeps it.
pub(crate) fn delete(
    desk: &mut Desk,
    _: &Caller,
    input: iam::DeleteRoleRequest,
) -> Result<iam::DeleteRoleResponse, Fault> {
    let role = find_own(&desk.state, &input.role_name)?;
    let kept = |first: &str| Err(iam::fault::delete_conflict(format!("Cannot delete entity, must {first} first.")));
    if desk.state.iam.profiles_of(&role.name).next().is_some() {
        return kept("remove roles from instance profile");
    }
    if !role.attached.is_empty() {
        return kept("detach all policies");
    }
    if !role.inline.is_empty() {
        return kept("delete policies");
    }
    commit(desk, IamChange::RoleDeleted(role.name));
    Ok(iam::DeleteRoleResponse {})
}

/// iam:TagRole.
pub(crate) fn tag(desk: &mut Desk, _: &Caller, input: iam::TagRoleRequest) -> Result<iam::TagRoleResponse, Fault> {
    let mut role = find(&desk.state, &input.role_name)?.clone();
    role.tags = put_tags(&role.tags, Some(input.tags))?;
    commit(desk, IamChange::RolePut(role));
    Ok(iam::TagRoleResponse {})
}

/// iam:UntagRole.
pub(crate) fn untag(
    desk: &mut Desk,
    _: &Caller,
    input: iam::UntagRoleRequest,
) -> Result<iam::UntagRoleResponse, Fault> {
    let mut role = find(&desk.state, &input.role_name)?.clone();
    role.tags = without(&role.tags, &input.tag_keys);
    commit(desk, IamChange::RolePut(role));
    Ok(iam::UntagRoleResponse {})
}

/// iam:ListRoleTags.
pub(crate) fn list_tags(
    desk: &mut Desk,
    _: &Caller,
    input: iam::ListRoleTagsRequest,
) -> Result<iam::ListRoleTagsResponse, Fault> {
    let role = find(&desk.state, &input.role_name)?;
    let scope = format!("ListRoleTags|{}", role.name);
    let (tags, marker) = page_of_tags(&desk.state, scope, (input.max_items, input.marker.as_deref()), &role.tags)?;
    Ok(iam::ListRoleTagsResponse { tags: Some(tags), is_truncated: Some(marker.is_some()), marker })
}

/// iam:PutRolePolicy: the same name again replaces it.
pub(crate) fn put_policy(
    desk: &mut Desk,
    _: &Caller,
    input: iam::PutRolePolicyRequest,
) -> Result<iam::PutRolePolicyResponse, Fault> {
    let mut role = find_own(&desk.state, &input.role_name)?;
    check_document(&input.policy_document, Fits::Identity)?;
    role.inline.insert(input.policy_name.into(), input.policy_document.into());
    if role.inline.values().map(|document| size(document)).sum::<usize>() > INLINE_MAX {
        let message = format!("Maximum policy size of {INLINE_MAX} bytes exceeded for role {}", role.name);
        return Err(iam::fault::limit_exceeded(message));
    }
    commit(desk, IamChange::RolePut(role));
    Ok(iam::PutRolePolicyResponse {})
}

fn missing_inline(name: &str) -> Fault {
    iam::fault::no_such_entity(format!("The role policy with name {name} cannot be found."))
}

/// iam:GetRolePolicy.
pub(crate) fn get_policy(
    desk: &mut Desk,
    _: &Caller,
    input: iam::GetRolePolicyRequest,
) -> Result<iam::GetRolePolicyResponse, Fault> {
    let role = find(&desk.state, &input.role_name)?;
    let document = role.inline.get(&*input.policy_name).ok_or_else(|| missing_inline(&input.policy_name))?;
    Ok(iam::GetRolePolicyResponse {
        policy_document: Some(encoded(document)),
        policy_name: Some(input.policy_name),
        role_name: Some(role.name.to_string()),
    })
}

/// iam:ListRolePolicies.
pub(crate) fn list_policies(
    desk: &mut Desk,
    _: &Caller,
    input: iam::ListRolePoliciesRequest,
) -> Result<iam::ListRolePoliciesResponse, Fault> {
    let role = find(&desk.state, &input.role_name)?;
    let items = role.inline.keys().map(|name| (name.to_string(), name.to_string()));
    let scope = format!("ListRolePolicies|{}", role.name);
    let (names, marker) = page(&desk.state, scope, (input.max_items, input.marker.as_deref()), items)?;
    Ok(iam::ListRolePoliciesResponse { policy_names: Some(names), is_truncated: Some(marker.is_some()), marker })
}

/// iam:DeleteRolePolicy.
pub(crate) fn delete_policy(
    desk: &mut Desk,
    _: &Caller,
    input: iam::DeleteRolePolicyRequest,
) -> Result<iam::DeleteRolePolicyResponse, Fault> {
    let mut role = find_own(&desk.state, &input.role_name)?;
    role.inline.remove(&*input.policy_name).ok_or_else(|| missing_inline(&input.policy_name))?;
    commit(desk, IamChange::RolePut(role));
    Ok(iam::DeleteRolePolicyResponse {})
}

/// iam:AttachRolePolicy: again it changes nothing.
pub(crate) fn attach(
    desk: &mut Desk,
    _: &Caller,
    input: iam::AttachRolePolicyRequest,
) -> Result<iam::AttachRolePolicyResponse, Fault> {
    let mut role = find_own(&desk.state, &input.role_name)?;
    let known = super::policy::find(&desk.state, &input.policy_arn)?;
    if !known.is_attachable() {
        let message = format!("Policy {} cannot be attached: it is for roles linked to a service.", input.policy_arn);
        return Err(iam::fault::policy_not_attachable(message));
    }
    if role.attached.insert(input.policy_arn.into()) {
        if role.attached.len() > ATTACHED_MAX {
            let message = format!("Cannot exceed quota for PoliciesPerRole: {ATTACHED_MAX}");
            return Err(iam::fault::limit_exceeded(message));
        }
        commit(desk, IamChange::RolePut(role));
    }
    Ok(iam::AttachRolePolicyResponse {})
}

/// iam:DetachRolePolicy.
pub(crate) fn detach(
    desk: &mut Desk,
    _: &Caller,
    input: iam::DetachRolePolicyRequest,
) -> Result<iam::DetachRolePolicyResponse, Fault> {
    let mut role = find_own(&desk.state, &input.role_name)?;
    if !role.attached.remove(&*input.policy_arn) {
        return Err(iam::fault::no_such_entity(format!("Policy {} was not found.", input.policy_arn)));
    }
    commit(desk, IamChange::RolePut(role));
    Ok(iam::DetachRolePolicyResponse {})
}

/// iam:ListAttachedRolePolicies.
pub(crate) fn list_attached(
    desk: &mut Desk,
    _: &Caller,
    input: iam::ListAttachedRolePoliciesRequest,
) -> Result<iam::ListAttachedRolePoliciesResponse, Fault> {
    let role = find(&desk.state, &input.role_name)?;
    let prefix = input.path_prefix.as_deref();
    let items = role.attached.iter().filter_map(|arn| {
        let (path, name) = super::policy::path_and_name(arn)?;
        let item = iam::AttachedPolicy { policy_arn: Some(arn.to_string()), policy_name: Some(name.to_owned()) };
        is_below(path, prefix).then(|| (super::policy::cursor_of(arn, name), item))
    });
    let mut items: Vec<(String, iam::AttachedPolicy)> = items.collect();
    items.sort_by(|one, other| one.0.cmp(&other.0));
    let scope = format!("ListAttachedRolePolicies|{}|{prefix:?}", role.name);
    let (policies, marker) = page(&desk.state, scope, (input.max_items, input.marker.as_deref()), items.into_iter())?;
    let is_truncated = Some(marker.is_some());
    Ok(iam::ListAttachedRolePoliciesResponse { attached_policies: Some(policies), is_truncated, marker })
}

/// iam:CreateServiceLinkedRole, for the services that ECS works with.
pub(crate) fn create_linked(
    desk: &mut Desk,
    _: &Caller,
    input: iam::CreateServiceLinkedRoleRequest,
) -> Result<iam::CreateServiceLinkedRoleResponse, Fault> {
    let service = input.aws_service_name;
    let Some((_, name, suffixed)) = LINKED_ROLES.iter().find(|(known, ..)| *known == service) else {
        let known: Vec<&str> = LINKED_ROLES.iter().map(|(known, ..)| *known).collect();
        let message = format!("Service {service} has no role here: the services known are {}.", known.join(", "));
        return Err(iam::fault::invalid_input(message));
    };
    let name = match input.custom_suffix {
        Some(_) if !suffixed => {
            return Err(iam::fault::invalid_input(format!("Custom suffix is not allowed for {service}")));
        }
        Some(suffix) => format!("{name}_{suffix}"),
        None => (*name).to_owned(),
    };
    if desk.state.iam.role(&name).is_some() {
        return Err(iam::fault::invalid_input(format!(
            "Service role name {name} has been taken in this account, please try a different suffix."
        )));
    }
    let statement =
        serde_json::json!([{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]);
    let trust = serde_json::json!({"Version": "2012-10-17", "Statement": statement}).to_string();
    let policy = (service == "ecs.amazonaws.com")
        .then(|| "arn:aws:iam::aws:policy/aws-service-role/AmazonECSServiceRolePolicy".into());
    let role = Role {
        path: format!("{LINKED}{service}/").into(),
        name: name.into(),
        id: model::iam::id("AROA", desk.ids.bytes()),
        created_at: desk.now,
        trust: trust.into(),
        description: input.description.filter(|text| !text.is_empty()).map(Into::into),
        session_seconds: seconds(None),
        inline: BTreeMap::new(),
        attached: policy.into_iter().collect(),
        tags: Vec::new(),
    };
    Ok(iam::CreateServiceLinkedRoleResponse { role: Some(make(desk, role)?) })
}

/// iam:DeleteServiceLinkedRole: at once, for nothing here works with it.
pub(crate) fn delete_linked(
    desk: &mut Desk,
    _: &Caller,
    input: iam::DeleteServiceLinkedRoleRequest,
) -> Result<iam::DeleteServiceLinkedRoleResponse, Fault> {
    let role = find(&desk.state, &input.role_name)?;
    if !role.path.starts_with(LINKED) {
        // The operation declares no code of its own for this.
        let message = format!("The role {} is not linked to a service: use DeleteRole.", role.name);
        return Err(Fault::new("ValidationError", 400, message));
    }
    let what = format!("task{}{}", role.path, role.name);
    let id = format!("{what}/{}", deletion(&desk.state, &what));
    let name = role.name.clone();
    commit(desk, IamChange::RoleDeleted(name));
    Ok(iam::DeleteServiceLinkedRoleResponse { deletion_task_id: Some(id) })
}

/// iam:GetServiceLinkedRoleDeletionStatus: a deletion that was begun has succeeded.
pub(crate) fn deletion_status(
    desk: &mut Desk,
    _: &Caller,
    input: iam::GetServiceLinkedRoleDeletionStatusRequest,
) -> Result<iam::GetServiceLinkedRoleDeletionStatusResponse, Fault> {
    let known = input
        .deletion_task_id
        .rsplit_once('/')
        .is_some_and(|(what, proof)| bool::from(deletion(&desk.state, what).as_bytes().ct_eq(proof.as_bytes())));
    if !known {
        let message = format!("Deletion id {} was not found.", input.deletion_task_id);
        return Err(iam::fault::no_such_entity(message));
    }
    let status = Some(iam::DeletionTaskStatusType::Succeeded);
    Ok(iam::GetServiceLinkedRoleDeletionStatusResponse { status, reason: None })
}

/// The last part of a deletion's name: only this deployment can have made it.
fn deletion(state: &State, what: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(&state.meta().token_key).expect("any length of key is good");
    mac.update(what.as_bytes());
    let full: [u8; 32] = mac.finalize().into_bytes().into();
    let mut short = [0; 16];
    short.copy_from_slice(&full[..16]);
    model::ids::Uuid(short).dashed()
}
