//! Instance profiles: a name under which a role is given to a machine.

use super::{commit, cursor, is_below, page, page_of_tags, put_tags, role, shown_tags, without};
use crate::authorize::Caller;
use crate::desk::Desk;
use model::iam::{IamChange, InstanceProfile};
use model::state::State;
use wire::{Fault, Timestamp, iam};

/// Instance profiles of an account (IAM user guide, quotas).
const PROFILES_MAX: usize = 1000;

fn find(state: &State, name: &str) -> Result<InstanceProfile, Fault> {
    let missing = || iam::fault::no_such_entity(format!("Instance Profile {name} cannot be found."));
    state.iam.profile(name).cloned().ok_or_else(missing)
}

fn shown(state: &State, profile: &InstanceProfile, alone: bool) -> iam::InstanceProfile {
    let role = profile.role.as_deref().and_then(|name| state.iam.role(name));
    iam::InstanceProfile {
        arn: Some(state.scope().iam("instance-profile", &profile.path, &profile.name)),
        create_date: Some(Timestamp::from_millis(profile.created_at)),
        instance_profile_id: Some(profile.id.to_string()),
        instance_profile_name: Some(profile.name.to_string()),
        path: Some(profile.path.to_string()),
        roles: Some(role.into_iter().map(|role| role::shown(state, role, false)).collect()),
        tags: shown_tags(&profile.tags).filter(|_| alone),
    }
}

/// iam:CreateInstanceProfile.
pub(crate) fn create(
    desk: &mut Desk,
    _: &Caller,
    input: iam::CreateInstanceProfileRequest,
) -> Result<iam::CreateInstanceProfileResponse, Fault> {
    let tags = put_tags(&[], input.tags)?;
    let name = input.instance_profile_name;
    if desk.state.iam.profile(&name).is_some() {
        return Err(iam::fault::entity_already_exists(format!("Instance Profile {name} already exists.")));
    }
    if desk.state.iam.profiles().len() >= PROFILES_MAX {
        let message = format!("Cannot exceed quota for InstanceProfilesPerAccount: {PROFILES_MAX}");
        return Err(iam::fault::limit_exceeded(message));
    }
    let profile = InstanceProfile {
        name: name.into(),
        path: input.path.unwrap_or_else(|| "/".to_owned()).into(),
        id: model::iam::id("AIPA", desk.ids.bytes()),
        created_at: desk.now,
        role: None,
        tags,
    };
    let answer = shown(&desk.state, &profile, true);
    commit(desk, IamChange::InstanceProfilePut(profile));
    Ok(iam::CreateInstanceProfileResponse { instance_profile: Some(answer) })
}

/// iam:GetInstanceProfile.
pub(crate) fn get(
    desk: &mut Desk,
    _: &Caller,
    input: iam::GetInstanceProfileRequest,
) -> Result<iam::GetInstanceProfileResponse, Fault> {
    let profile = find(&desk.state, &input.instance_profile_name)?;
    Ok(iam::GetInstanceProfileResponse { instance_profile: Some(shown(&desk.state, &profile, true)) })
}

/// iam:ListInstanceProfiles.
pub(crate) fn list(
    desk: &mut Desk,
    _: &Caller,
    input: iam::ListInstanceProfilesRequest,
) -> Result<iam::ListInstanceProfilesResponse, Fault> {
    let (state, prefix) = (&desk.state, input.path_prefix.as_deref());
    let profiles = state.iam.profiles().filter(|profile| is_below(&profile.path, prefix));
    let items = profiles.map(|profile| (cursor(&profile.name), profile));
    let scope = format!("ListInstanceProfiles|{prefix:?}");
    let (profiles, marker) = page(state, scope, (input.max_items, input.marker.as_deref()), items)?;
    let profiles = profiles.into_iter().map(|profile| shown(state, profile, false)).collect();
    let is_truncated = Some(marker.is_some());
    Ok(iam::ListInstanceProfilesResponse { instance_profiles: Some(profiles), is_truncated, marker })
}

/// iam:ListInstanceProfilesForRole.
pub(crate) fn list_for_role(
    desk: &mut Desk,
    _: &Caller,
    input: iam::ListInstanceProfilesForRoleRequest,
) -> Result<iam::ListInstanceProfilesForRoleResponse, Fault> {
    let state = &desk.state;
    let role = role::find(state, &input.role_name)?;
    let items = state.iam.profiles_of(&role.name).map(|profile| (cursor(&profile.name), profile));
    let scope = format!("ListInstanceProfilesForRole|{}", role.name);
    let (profiles, marker) = page(state, scope, (input.max_items, input.marker.as_deref()), items)?;
    let profiles = profiles.into_iter().map(|profile| shown(state, profile, false)).collect();
    let is_truncated = Some(marker.is_some());
    Ok(iam::ListInstanceProfilesForRoleResponse { instance_profiles: Some(profiles), is_truncated, marker })
}

/// iam:DeleteInstanceProfile: a role keeps it.
pub(crate) fn delete(
    desk: &mut Desk,
    _: &Caller,
    input: iam::DeleteInstanceProfileRequest,
) -> Result<iam::DeleteInstanceProfileResponse, Fault> {
    let profile = find(&desk.state, &input.instance_profile_name)?;
    if profile.role.is_some() {
        let message = "Cannot delete entity, must remove roles from instance profile first.";
        return Err(iam::fault::delete_conflict(message));
    }
    commit(desk, IamChange::InstanceProfileDeleted(profile.name));
    Ok(iam::DeleteInstanceProfileResponse {})
}

/// iam:AddRoleToInstanceProfile: one role at most.
pub(crate) fn add_role(
    desk: &mut Desk,
    _: &Caller,
    input: iam::AddRoleToInstanceProfileRequest,
) -> Result<iam::AddRoleToInstanceProfileResponse, Fault> {
    let mut profile = find(&desk.state, &input.instance_profile_name)?;
    let role = role::find(&desk.state, &input.role_name)?;
    if profile.role.is_some() {
        return Err(iam::fault::limit_exceeded("Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1"));
    }
    profile.role = Some(role.name.clone());
    commit(desk, IamChange::InstanceProfilePut(profile));
    Ok(iam::AddRoleToInstanceProfileResponse {})
}

/// iam:RemoveRoleFromInstanceProfile.
pub(crate) fn remove_role(
    desk: &mut Desk,
    _: &Caller,
    input: iam::RemoveRoleFromInstanceProfileRequest,
) -> Result<iam::RemoveRoleFromInstanceProfileResponse, Fault> {
    let mut profile = find(&desk.state, &input.instance_profile_name)?;
    if !profile.role.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(&input.role_name)) {
        let message = format!("The role with name {} cannot be found.", input.role_name);
        return Err(iam::fault::no_such_entity(message));
    }
    profile.role = None;
    commit(desk, IamChange::InstanceProfilePut(profile));
    Ok(iam::RemoveRoleFromInstanceProfileResponse {})
}

/// iam:TagInstanceProfile.
pub(crate) fn tag(
    desk: &mut Desk,
    _: &Caller,
    input: iam::TagInstanceProfileRequest,
) -> Result<iam::TagInstanceProfileResponse, Fault> {
    let mut profile = find(&desk.state, &input.instance_profile_name)?;
    profile.tags = put_tags(&profile.tags, Some(input.tags))?;
    commit(desk, IamChange::InstanceProfilePut(profile));
    Ok(iam::TagInstanceProfileResponse {})
}

/// iam:UntagInstanceProfile.
pub(crate) fn untag(
    desk: &mut Desk,
    _: &Caller,
    input: iam::UntagInstanceProfileRequest,
) -> Result<iam::UntagInstanceProfileResponse, Fault> {
    let mut profile = find(&desk.state, &input.instance_profile_name)?;
    profile.tags = without(&profile.tags, &input.tag_keys);
    commit(desk, IamChange::InstanceProfilePut(profile));
    Ok(iam::UntagInstanceProfileResponse {})
}

/// iam:ListInstanceProfileTags.
pub(crate) fn list_tags(
    desk: &mut Desk,
    _: &Caller,
    input: iam::ListInstanceProfileTagsRequest,
) -> Result<iam::ListInstanceProfileTagsResponse, Fault> {
    let profile = find(&desk.state, &input.instance_profile_name)?;
    let scope = format!("ListInstanceProfileTags|{}", profile.name);
    let (tags, marker) = page_of_tags(&desk.state, scope, (input.max_items, input.marker.as_deref()), &profile.tags)?;
    Ok(iam::ListInstanceProfileTagsResponse { tags: Some(tags), is_truncated: Some(marker.is_some()), marker })
}
