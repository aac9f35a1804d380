//! `requiresAttributes`: what an instance must have to run a task definition, derived as public task-definition dumps
//! show it.

use std::collections::BTreeSet;
use wire::ecs;

const DOCKER: &str = "com.amazonaws.ecs.capability.";
const ECS: &str = "ecs.capability.";

/// The attributes, sorted and unique.
pub(super) fn required(input: &ecs::RegisterTaskDefinitionRequest) -> Vec<ecs::Attribute> {
    let mut names = BTreeSet::new();
    for container in &input.container_definitions {
        of_container(container, &mut names);
    }
    let host_network = input.network_mode == Some(ecs::NetworkMode::Host);
    let when = [
        (input.network_mode == Some(ecs::NetworkMode::Awsvpc), format!("{ECS}task-eni")),
        (input.network_mode == Some(ecs::NetworkMode::Awsvpc), format!("{DOCKER}docker-remote-api.1.18")),
        (input.task_role_arn.is_some() && !host_network, format!("{DOCKER}task-iam-role")),
        (input.task_role_arn.is_some() && host_network, format!("{DOCKER}task-iam-role-network-host")),
        (input.pid_mode.is_some() || input.ipc_mode.is_some(), format!("{ECS}pid-ipc-namespace-sharing")),
        (input.proxy_configuration.is_some(), format!("{ECS}aws-appmesh")),
        (input.enable_fault_injection == Some(true), format!("{ECS}fault-injection")),
    ];
    names.extend(when.into_iter().filter(|(used, _)| *used).map(|(_, name)| name));
    for volume in input.volumes.as_deref().unwrap_or_default() {
        if let Some(docker) = &volume.docker_volume_configuration {
            names.insert(format!("{ECS}docker-plugin.{}", docker.driver.as_deref().unwrap_or("local")));
            names.insert(format!("{DOCKER}docker-remote-api.1.25"));
        }
        if volume.efs_volume_configuration.is_some() {
            names.insert(format!("{ECS}efs"));
            names.insert(format!("{DOCKER}docker-remote-api.1.25"));
        }
    }
    names.into_iter().map(|name| ecs::Attribute { name, ..ecs::Attribute::default() }).collect()
}

fn of_container(container: &ecs::ContainerDefinition, names: &mut BTreeSet<String>) {
    let filled = |used: bool, name: String| used.then_some(name);
    let linux = container.linux_parameters.as_ref();
    let sized = linux.is_some_and(|linux| linux.shared_memory_size.is_some() || linux.devices.is_some());
    let restarts = container.restart_policy.as_ref().is_some_and(|policy| policy.enabled);
    let used = [
        filled(container.health_check.is_some(), format!("{ECS}container-health-check")),
        filled(container.health_check.is_some(), format!("{DOCKER}docker-remote-api.1.24")),
        filled(container.memory_reservation.is_some(), format!("{DOCKER}docker-remote-api.1.21")),
        filled(container.readonly_root_filesystem == Some(true), format!("{DOCKER}docker-remote-api.1.17")),
        filled(container.privileged == Some(true), format!("{DOCKER}privileged-container")),
        filled(container.depends_on.as_ref().is_some_and(|list| !list.is_empty()), format!("{ECS}container-ordering")),
        filled(container.environment_files.is_some(), format!("{ECS}env-files.s3")),
        filled(
            container.repository_credentials.is_some(),
            format!("{ECS}private-registry-authentication.secretsmanager"),
        ),
        filled(restarts, format!("{ECS}container-restart-policy")),
        filled(sized, format!("{DOCKER}docker-remote-api.1.22")),
    ];
    names.extend(used.into_iter().flatten());
    if let Some(log) = &container.log_configuration {
        names.insert(format!("{DOCKER}logging-driver.{}", log.log_driver));
        if log.log_driver == ecs::LogDriver::Awslogs {
            names.insert(format!("{DOCKER}docker-remote-api.1.19"));
        }
    }
    if let Some(firelens) = &container.firelens_configuration {
        names.insert(format!("{ECS}firelens.{}", firelens.r#type));
    }
    for secret in container.secrets.as_deref().unwrap_or_default() {
        let source = if secret.value_from.contains(":secretsmanager:") { "asm" } else { "ssm" };
        names.insert(format!("{ECS}secrets.{source}.environment-variables"));
    }
}
