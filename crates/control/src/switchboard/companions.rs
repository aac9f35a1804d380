//! The services around ECS, as far as clients of ECS need them.

use super::Answer;
use crate::handlers::iam::{instance_profile, policy, role};
use crate::handlers::{parameter, secret, tagging as resources};
use crate::{Caller, Control};
use wire::{iam, secretsmanager, ssm, tagging};

impl iam::Iam<Caller> for Control {
    forward! {
        create_role(iam::CreateRoleRequest) -> iam::CreateRoleResponse = role::create;
        get_role(iam::GetRoleRequest) -> iam::GetRoleResponse = role::get;
        list_roles(iam::ListRolesRequest) -> iam::ListRolesResponse = role::list;
        update_role(iam::UpdateRoleRequest) -> iam::UpdateRoleResponse = role::update;
        update_role_description(iam::UpdateRoleDescriptionRequest) -> iam::UpdateRoleDescriptionResponse = role::update_description;
        update_assume_role_policy(iam::UpdateAssumeRolePolicyRequest) -> iam::UpdateAssumeRolePolicyResponse = role::update_trust;
        delete_role(iam::DeleteRoleRequest) -> iam::DeleteRoleResponse = role::delete;
        tag_role(iam::TagRoleRequest) -> iam::TagRoleResponse = role::tag;
        untag_role(iam::UntagRoleRequest) -> iam::UntagRoleResponse = role::untag;
        list_role_tags(iam::ListRoleTagsRequest) -> iam::ListRoleTagsResponse = role::list_tags;
        put_role_policy(iam::PutRolePolicyRequest) -> iam::PutRolePolicyResponse = role::put_policy;
        get_role_policy(iam::GetRolePolicyRequest) -> iam::GetRolePolicyResponse = role::get_policy;
        list_role_policies(iam::ListRolePoliciesRequest) -> iam::ListRolePoliciesResponse = role::list_policies;
        delete_role_policy(iam::DeleteRolePolicyRequest) -> iam::DeleteRolePolicyResponse = role::delete_policy;
        attach_role_policy(iam::AttachRolePolicyRequest) -> iam::AttachRolePolicyResponse = role::attach;
        detach_role_policy(iam::DetachRolePolicyRequest) -> iam::DetachRolePolicyResponse = role::detach;
        list_attached_role_policies(iam::ListAttachedRolePoliciesRequest) -> iam::ListAttachedRolePoliciesResponse = role::list_attached;
        create_service_linked_role(iam::CreateServiceLinkedRoleRequest) -> iam::CreateServiceLinkedRoleResponse = role::create_linked;
        delete_service_linked_role(iam::DeleteServiceLinkedRoleRequest) -> iam::DeleteServiceLinkedRoleResponse = role::delete_linked;
        get_service_linked_role_deletion_status(iam::GetServiceLinkedRoleDeletionStatusRequest) -> iam::GetServiceLinkedRoleDeletionStatusResponse = role::deletion_status;
        create_policy(iam::CreatePolicyRequest) -> iam::CreatePolicyResponse = policy::create;
        get_policy(iam::GetPolicyRequest) -> iam::GetPolicyResponse = policy::get;
        list_policies(iam::ListPoliciesRequest) -> iam::ListPoliciesResponse = policy::list;
        delete_policy(iam::DeletePolicyRequest) -> iam::DeletePolicyResponse = policy::delete;
        create_policy_version(iam::CreatePolicyVersionRequest) -> iam::CreatePolicyVersionResponse = policy::create_version;
        get_policy_version(iam::GetPolicyVersionRequest) -> iam::GetPolicyVersionResponse = policy::get_version;
        list_policy_versions(iam::ListPolicyVersionsRequest) -> iam::ListPolicyVersionsResponse = policy::list_versions;
        delete_policy_version(iam::DeletePolicyVersionRequest) -> iam::DeletePolicyVersionResponse = policy::delete_version;
        set_default_policy_version(iam::SetDefaultPolicyVersionRequest) -> iam::SetDefaultPolicyVersionResponse = policy::set_default;
        list_entities_for_policy(iam::ListEntitiesForPolicyRequest) -> iam::ListEntitiesForPolicyResponse = policy::list_entities;
        tag_policy(iam::TagPolicyRequest) -> iam::TagPolicyResponse = policy::tag;
        untag_policy(iam::UntagPolicyRequest) -> iam::UntagPolicyResponse = policy::untag;
        list_policy_tags(iam::ListPolicyTagsRequest) -> iam::ListPolicyTagsResponse = policy::list_tags;
        create_instance_profile(iam::CreateInstanceProfileRequest) -> iam::CreateInstanceProfileResponse = instance_profile::create;
        get_instance_profile(iam::GetInstanceProfileRequest) -> iam::GetInstanceProfileResponse = instance_profile::get;
        list_instance_profiles(iam::ListInstanceProfilesRequest) -> iam::ListInstanceProfilesResponse = instance_profile::list;
        list_instance_profiles_for_role(iam::ListInstanceProfilesForRoleRequest) -> iam::ListInstanceProfilesForRoleResponse = instance_profile::list_for_role;
        delete_instance_profile(iam::DeleteInstanceProfileRequest) -> iam::DeleteInstanceProfileResponse = instance_profile::delete;
        add_role_to_instance_profile(iam::AddRoleToInstanceProfileRequest) -> iam::AddRoleToInstanceProfileResponse = instance_profile::add_role;
        remove_role_from_instance_profile(iam::RemoveRoleFromInstanceProfileRequest) -> iam::RemoveRoleFromInstanceProfileResponse = instance_profile::remove_role;
        tag_instance_profile(iam::TagInstanceProfileRequest) -> iam::TagInstanceProfileResponse = instance_profile::tag;
        untag_instance_profile(iam::UntagInstanceProfileRequest) -> iam::UntagInstanceProfileResponse = instance_profile::untag;
        list_instance_profile_tags(iam::ListInstanceProfileTagsRequest) -> iam::ListInstanceProfileTagsResponse = instance_profile::list_tags;
    }
}

impl ssm::Ssm<Caller> for Control {
    forward! {
        put_parameter(ssm::PutParameterRequest) -> ssm::PutParameterResult = parameter::put;
        get_parameter(ssm::GetParameterRequest) -> ssm::GetParameterResult = parameter::get;
        get_parameters(ssm::GetParametersRequest) -> ssm::GetParametersResult = parameter::get_many;
        get_parameters_by_path(ssm::GetParametersByPathRequest) -> ssm::GetParametersByPathResult = parameter::by_path;
        get_parameter_history(ssm::GetParameterHistoryRequest) -> ssm::GetParameterHistoryResult = parameter::history;
        describe_parameters(ssm::DescribeParametersRequest) -> ssm::DescribeParametersResult = parameter::describe;
        delete_parameter(ssm::DeleteParameterRequest) -> ssm::DeleteParameterResult = parameter::delete;
        delete_parameters(ssm::DeleteParametersRequest) -> ssm::DeleteParametersResult = parameter::delete_many;
        add_tags_to_resource(ssm::AddTagsToResourceRequest) -> ssm::AddTagsToResourceResult = parameter::tag;
        remove_tags_from_resource(ssm::RemoveTagsFromResourceRequest) -> ssm::RemoveTagsFromResourceResult = parameter::untag;
        list_tags_for_resource(ssm::ListTagsForResourceRequest) -> ssm::ListTagsForResourceResult = parameter::list_tags;
    }
}

impl secretsmanager::SecretsManager<Caller> for Control {
    forward! {
        create_secret(secretsmanager::CreateSecretRequest) -> secretsmanager::CreateSecretResponse = secret::create;
        get_secret_value(secretsmanager::GetSecretValueRequest) -> secretsmanager::GetSecretValueResponse = secret::get_value;
        put_secret_value(secretsmanager::PutSecretValueRequest) -> secretsmanager::PutSecretValueResponse = secret::put_value;
        update_secret(secretsmanager::UpdateSecretRequest) -> secretsmanager::UpdateSecretResponse = secret::update;
        describe_secret(secretsmanager::DescribeSecretRequest) -> secretsmanager::DescribeSecretResponse = secret::describe;
        list_secrets(secretsmanager::ListSecretsRequest) -> secretsmanager::ListSecretsResponse = secret::list;
        list_secret_version_ids(secretsmanager::ListSecretVersionIdsRequest) -> secretsmanager::ListSecretVersionIdsResponse = secret::list_versions;
        update_secret_version_stage(secretsmanager::UpdateSecretVersionStageRequest) -> secretsmanager::UpdateSecretVersionStageResponse = secret::update_stage;
        delete_secret(secretsmanager::DeleteSecretRequest) -> secretsmanager::DeleteSecretResponse = secret::delete;
        restore_secret(secretsmanager::RestoreSecretRequest) -> secretsmanager::RestoreSecretResponse = secret::restore;
        tag_resource(secretsmanager::TagResourceRequest) -> secretsmanager::TagResourceResponse = secret::tag;
        untag_resource(secretsmanager::UntagResourceRequest) -> secretsmanager::UntagResourceResponse = secret::untag;
        get_resource_policy(secretsmanager::GetResourcePolicyRequest) -> secretsmanager::GetResourcePolicyResponse = secret::resource_policy;
        get_random_password(secretsmanager::GetRandomPasswordRequest) -> secretsmanager::GetRandomPasswordResponse = secret::random_password;
    }
}

impl tagging::Tagging<Caller> for Control {
    forward! {
        get_resources(tagging::GetResourcesInput) -> tagging::GetResourcesOutput = resources::resources_page;
        get_tag_keys(tagging::GetTagKeysInput) -> tagging::GetTagKeysOutput = resources::keys;
        get_tag_values(tagging::GetTagValuesInput) -> tagging::GetTagValuesOutput = resources::values;
    }
}
