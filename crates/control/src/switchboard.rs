//! One line for each operation that has a handler; every other operation answers that it is not supported, by name.

use crate::handlers::{
    account_setting, agent, attribute, capacity_provider, cluster, daemon, explain, gantry as own, instance, log_group,
    network, protection, run, service, service_deployment, tag, task, task_definition, task_set,
};
use crate::{Caller, Control};
use wire::{Fault, ec2, ecs, gantry, logs, sts};

type Answer<T> = Result<T, Fault>;

macro_rules! forward {
    ($($method:ident($input:ty) -> $output:ty = $handler:path;)*) => {
        $(fn $method(&mut self, caller: &Caller, input: $input) -> Answer<$output> {
            $handler(&mut self.desk, caller, input)
        })*
    };
}

mod companions;

impl ecs::Ecs<Caller> for Control {
    forward! {
        create_cluster(ecs::CreateClusterRequest) -> ecs::CreateClusterResponse = cluster::create;
        describe_clusters(ecs::DescribeClustersRequest) -> ecs::DescribeClustersResponse = cluster::describe;
        list_clusters(ecs::ListClustersRequest) -> ecs::ListClustersResponse = cluster::list;
        delete_cluster(ecs::DeleteClusterRequest) -> ecs::DeleteClusterResponse = cluster::delete;
        update_cluster(ecs::UpdateClusterRequest) -> ecs::UpdateClusterResponse = cluster::update;
        update_cluster_settings(ecs::UpdateClusterSettingsRequest) -> ecs::UpdateClusterSettingsResponse = cluster::update_settings;
        list_account_settings(ecs::ListAccountSettingsRequest) -> ecs::ListAccountSettingsResponse = account_setting::list;
        put_account_setting(ecs::PutAccountSettingRequest) -> ecs::PutAccountSettingResponse = account_setting::put;
        put_account_setting_default(ecs::PutAccountSettingDefaultRequest) -> ecs::PutAccountSettingDefaultResponse = account_setting::put_default;
        delete_account_setting(ecs::DeleteAccountSettingRequest) -> ecs::DeleteAccountSettingResponse = account_setting::delete;
        register_daemon_task_definition(ecs::RegisterDaemonTaskDefinitionRequest) -> ecs::RegisterDaemonTaskDefinitionResponse = daemon::register;
        describe_daemon_task_definition(ecs::DescribeDaemonTaskDefinitionRequest) -> ecs::DescribeDaemonTaskDefinitionResponse = daemon::describe;
        list_daemon_task_definitions(ecs::ListDaemonTaskDefinitionsRequest) -> ecs::ListDaemonTaskDefinitionsResponse = daemon::list;
        delete_daemon_task_definition(ecs::DeleteDaemonTaskDefinitionRequest) -> ecs::DeleteDaemonTaskDefinitionResponse = daemon::delete;
        describe_daemon(ecs::DescribeDaemonRequest) -> ecs::DescribeDaemonResponse = daemon::describe_daemon;
        delete_daemon(ecs::DeleteDaemonRequest) -> ecs::DeleteDaemonResponse = daemon::delete_daemon;
        list_daemons(ecs::ListDaemonsRequest) -> ecs::ListDaemonsResponse = daemon::list_daemons;
        describe_daemon_deployments(ecs::DescribeDaemonDeploymentsRequest) -> ecs::DescribeDaemonDeploymentsResponse = daemon::describe_deployments;
        list_daemon_deployments(ecs::ListDaemonDeploymentsRequest) -> ecs::ListDaemonDeploymentsResponse = daemon::list_deployments;
        describe_daemon_revisions(ecs::DescribeDaemonRevisionsRequest) -> ecs::DescribeDaemonRevisionsResponse = daemon::describe_revisions;
        tag_resource(ecs::TagResourceRequest) -> ecs::TagResourceResponse = tag::tag;
        untag_resource(ecs::UntagResourceRequest) -> ecs::UntagResourceResponse = tag::untag;
        list_tags_for_resource(ecs::ListTagsForResourceRequest) -> ecs::ListTagsForResourceResponse = tag::list;
        update_task_protection(ecs::UpdateTaskProtectionRequest) -> ecs::UpdateTaskProtectionResponse = protection::update;
        get_task_protection(ecs::GetTaskProtectionRequest) -> ecs::GetTaskProtectionResponse = protection::get;
        put_cluster_capacity_providers(ecs::PutClusterCapacityProvidersRequest) -> ecs::PutClusterCapacityProvidersResponse = capacity_provider::put_cluster;
        create_capacity_provider(ecs::CreateCapacityProviderRequest) -> ecs::CreateCapacityProviderResponse = capacity_provider::create;
        update_capacity_provider(ecs::UpdateCapacityProviderRequest) -> ecs::UpdateCapacityProviderResponse = capacity_provider::update;
        delete_capacity_provider(ecs::DeleteCapacityProviderRequest) -> ecs::DeleteCapacityProviderResponse = capacity_provider::delete;
        describe_capacity_providers(ecs::DescribeCapacityProvidersRequest) -> ecs::DescribeCapacityProvidersResponse = capacity_provider::describe;
        register_task_definition(ecs::RegisterTaskDefinitionRequest) -> ecs::RegisterTaskDefinitionResponse = task_definition::register;
        describe_task_definition(ecs::DescribeTaskDefinitionRequest) -> ecs::DescribeTaskDefinitionResponse = task_definition::describe;
        list_task_definitions(ecs::ListTaskDefinitionsRequest) -> ecs::ListTaskDefinitionsResponse = task_definition::list;
        list_task_definition_families(ecs::ListTaskDefinitionFamiliesRequest) -> ecs::ListTaskDefinitionFamiliesResponse = task_definition::list_families;
        deregister_task_definition(ecs::DeregisterTaskDefinitionRequest) -> ecs::DeregisterTaskDefinitionResponse = task_definition::deregister;
        delete_task_definitions(ecs::DeleteTaskDefinitionsRequest) -> ecs::DeleteTaskDefinitionsResponse = task_definition::delete;
        run_task(ecs::RunTaskRequest) -> ecs::RunTaskResponse = run::run_task;
        start_task(ecs::StartTaskRequest) -> ecs::StartTaskResponse = run::start_task;
        stop_task(ecs::StopTaskRequest) -> ecs::StopTaskResponse = task::stop;
        describe_tasks(ecs::DescribeTasksRequest) -> ecs::DescribeTasksResponse = task::describe;
        execute_command(ecs::ExecuteCommandRequest) -> ecs::ExecuteCommandResponse = task::execute_command;
        list_tasks(ecs::ListTasksRequest) -> ecs::ListTasksResponse = task::list;
        register_container_instance(ecs::RegisterContainerInstanceRequest) -> ecs::RegisterContainerInstanceResponse = instance::register;
        describe_container_instances(ecs::DescribeContainerInstancesRequest) -> ecs::DescribeContainerInstancesResponse = instance::describe;
        list_container_instances(ecs::ListContainerInstancesRequest) -> ecs::ListContainerInstancesResponse = instance::list;
        deregister_container_instance(ecs::DeregisterContainerInstanceRequest) -> ecs::DeregisterContainerInstanceResponse = instance::deregister;
        update_container_instances_state(ecs::UpdateContainerInstancesStateRequest) -> ecs::UpdateContainerInstancesStateResponse = instance::update_state;
        update_container_agent(ecs::UpdateContainerAgentRequest) -> ecs::UpdateContainerAgentResponse = instance::update_agent;
        put_attributes(ecs::PutAttributesRequest) -> ecs::PutAttributesResponse = attribute::put;
        delete_attributes(ecs::DeleteAttributesRequest) -> ecs::DeleteAttributesResponse = attribute::delete;
        list_attributes(ecs::ListAttributesRequest) -> ecs::ListAttributesResponse = attribute::list;
        create_service(ecs::CreateServiceRequest) -> ecs::CreateServiceResponse = service::create;
        update_service(ecs::UpdateServiceRequest) -> ecs::UpdateServiceResponse = service::update;
        describe_services(ecs::DescribeServicesRequest) -> ecs::DescribeServicesResponse = service::describe;
        list_services_by_namespace(ecs::ListServicesByNamespaceRequest) -> ecs::ListServicesByNamespaceResponse = service::list_by_namespace;
        list_services(ecs::ListServicesRequest) -> ecs::ListServicesResponse = service::list;
        delete_service(ecs::DeleteServiceRequest) -> ecs::DeleteServiceResponse = service::delete;
        describe_service_deployments(ecs::DescribeServiceDeploymentsRequest) -> ecs::DescribeServiceDeploymentsResponse = service_deployment::describe;
        list_service_deployments(ecs::ListServiceDeploymentsRequest) -> ecs::ListServiceDeploymentsResponse = service_deployment::list;
        describe_service_revisions(ecs::DescribeServiceRevisionsRequest) -> ecs::DescribeServiceRevisionsResponse = service_deployment::describe_revisions;
        stop_service_deployment(ecs::StopServiceDeploymentRequest) -> ecs::StopServiceDeploymentResponse = service_deployment::stop;
        continue_service_deployment(ecs::ContinueServiceDeploymentRequest) -> ecs::ContinueServiceDeploymentResponse = service_deployment::go_on;
        create_task_set(ecs::CreateTaskSetRequest) -> ecs::CreateTaskSetResponse = task_set::create;
        update_task_set(ecs::UpdateTaskSetRequest) -> ecs::UpdateTaskSetResponse = task_set::update;
        delete_task_set(ecs::DeleteTaskSetRequest) -> ecs::DeleteTaskSetResponse = task_set::delete;
        describe_task_sets(ecs::DescribeTaskSetsRequest) -> ecs::DescribeTaskSetsResponse = task_set::describe;
        update_service_primary_task_set(ecs::UpdateServicePrimaryTaskSetRequest) -> ecs::UpdateServicePrimaryTaskSetResponse = task_set::make_primary;
        submit_task_state_change(ecs::SubmitTaskStateChangeRequest) -> ecs::SubmitTaskStateChangeResponse = agent::submit_task;
        submit_container_state_change(ecs::SubmitContainerStateChangeRequest) -> ecs::SubmitContainerStateChangeResponse = agent::submit_container;
        submit_attachment_state_changes(ecs::SubmitAttachmentStateChangesRequest) -> ecs::SubmitAttachmentStateChangesResponse = agent::submit_attachments;
    }

    fn discover_poll_endpoint(
        &mut self,
        _caller: &Caller,
        input: ecs::DiscoverPollEndpointRequest,
    ) -> Answer<ecs::DiscoverPollEndpointResponse> {
        agent::discover_poll_endpoint(&self.desk, &self.config, input)
    }
}

impl sts::Sts<Caller> for Control {
    forward! {
        get_caller_identity(sts::GetCallerIdentityRequest) -> sts::GetCallerIdentityResponse = own::caller_identity;
    }
}

impl ec2::Ec2<Caller> for Control {
    forward! {
        describe_vpcs(ec2::DescribeVpcsRequest) -> ec2::DescribeVpcsResult = network::vpcs;
        describe_vpc_attribute(ec2::DescribeVpcAttributeRequest) -> ec2::DescribeVpcAttributeResult = network::vpc_attribute;
        describe_subnets(ec2::DescribeSubnetsRequest) -> ec2::DescribeSubnetsResult = network::subnets;
        describe_security_groups(ec2::DescribeSecurityGroupsRequest) -> ec2::DescribeSecurityGroupsResult = network::security_groups;
        describe_network_interfaces(ec2::DescribeNetworkInterfacesRequest) -> ec2::DescribeNetworkInterfacesResult = network::interfaces;
        describe_availability_zones(ec2::DescribeAvailabilityZonesRequest) -> ec2::DescribeAvailabilityZonesResult = network::zones;
    }
}

impl logs::Logs<Caller> for Control {
    forward! {
        create_log_group(logs::CreateLogGroupRequest) -> logs::CreateLogGroupResponse = log_group::create;
        delete_log_group(logs::DeleteLogGroupRequest) -> logs::DeleteLogGroupResponse = log_group::delete;
        describe_log_groups(logs::DescribeLogGroupsRequest) -> logs::DescribeLogGroupsResponse = log_group::describe;
        put_retention_policy(logs::PutRetentionPolicyRequest) -> logs::PutRetentionPolicyResponse = log_group::put_retention;
        delete_retention_policy(logs::DeleteRetentionPolicyRequest) -> logs::DeleteRetentionPolicyResponse = log_group::delete_retention;
    }
}

impl gantry::Gantry<Caller> for Control {
    forward! {
        explain(gantry::ExplainRequest) -> gantry::ExplainResponse = explain::explain;
        describe_timeline(gantry::DescribeTimelineRequest) -> gantry::DescribeTimelineResponse = own::timeline;
    }

    /// The control plane decides who may ask; the store answers, see the server's `questions`.
    fn list_history(
        &mut self,
        _caller: &Caller,
        _input: gantry::ListHistoryRequest,
    ) -> Answer<gantry::ListHistoryResponse> {
        Ok(gantry::ListHistoryResponse::default())
    }

    /// As `list_history`.
    fn create_backup(
        &mut self,
        _caller: &Caller,
        _input: gantry::CreateBackupRequest,
    ) -> Answer<gantry::CreateBackupResponse> {
        Ok(gantry::CreateBackupResponse::default())
    }

    /// Never done to the state itself: see `Stage`, on which the server makes the call.
    fn plan(&mut self, _caller: &Caller, _input: gantry::PlanRequest) -> Answer<gantry::PlanResponse> {
        Err(Fault::new("ServerException", 500, "A plan is made beside the control plane, not by it."))
    }

    fn describe_server(
        &mut self,
        _caller: &Caller,
        _input: gantry::DescribeServerRequest,
    ) -> Answer<gantry::DescribeServerResponse> {
        Ok(own::server(&self.desk, &self.config))
    }
}
