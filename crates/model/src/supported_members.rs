//! The one table of which members of a task definition an engine implements.
//!
//! Registering keeps every valid member verbatim. Acting on a definition that uses a member without an engine is
//! refused with the member's name, so that nothing is accepted that would silently do nothing. A test holds the table
//! against the API model: every member is in exactly one of the lists.

use crate::log;
use wire::ecs::{self, ContainerDefinition, TaskDefinition};

/// Members of a container definition that act, or that say nothing a host could do (labels, port names).
pub const CONTAINER_SUPPORTED: &[&str] = &[
    "command",
    "cpu",
    "dockerLabels",
    "entryPoint",
    "environment",
    "essential",
    "image",
    "memory",
    "memoryReservation",
    "name",
    "portMappings",
    "privileged",
    "readonlyRootFilesystem",
    "stopTimeout",
    "systemControls",
    "ulimits",
    "user",
    "versionConsistency",
    "workingDirectory",
];

type Uses<T> = fn(&T) -> bool;

/// Members of a container definition without an engine, and when a definition uses them.
pub const CONTAINER_UNSUPPORTED: &[(&str, Uses<ContainerDefinition>)] = &[
    ("credentialSpecs", |c| filled(&c.credential_specs)),
    ("dependsOn", |c| filled(&c.depends_on)),
    ("disableNetworking", |c| c.disable_networking == Some(true)),
    ("dnsSearchDomains", |c| filled(&c.dns_search_domains)),
    ("dnsServers", |c| filled(&c.dns_servers)),
    ("dockerSecurityOptions", |c| filled(&c.docker_security_options)),
    ("environmentFiles", |c| filled(&c.environment_files)),
    ("extraHosts", |c| filled(&c.extra_hosts)),
    ("firelensConfiguration", |c| c.firelens_configuration.is_some()),
    ("healthCheck", |c| c.health_check.is_some()),
    ("hostname", |c| c.hostname.is_some()),
    ("interactive", |c| c.interactive == Some(true)),
    ("links", |c| filled(&c.links)),
    ("linuxParameters", |c| c.linux_parameters.as_ref().is_some_and(uses_more_than_capabilities)),
    ("logConfiguration", |c| c.log_configuration.as_ref().and_then(log::unsupported).is_some()),
    ("mountPoints", |c| filled(&c.mount_points)),
    ("pseudoTerminal", |c| c.pseudo_terminal == Some(true)),
    ("repositoryCredentials", |c| c.repository_credentials.is_some()),
    ("resourceRequirements", |c| filled(&c.resource_requirements)),
    ("restartPolicy", |c| c.restart_policy.as_ref().is_some_and(|policy| policy.enabled)),
    ("secrets", |c| filled(&c.secrets)),
    ("startTimeout", |c| c.start_timeout.is_some()),
    ("volumesFrom", |c| filled(&c.volumes_from)),
];

/// Members of a task definition that act, or that an engine has no part in.
pub const TASK_SUPPORTED: &[&str] = &[
    "compatibilities",
    "containerDefinitions",
    "cpu",
    "deleteRequestedAt",
    "deregisteredAt",
    "executionRoleArn",
    "family",
    "memory",
    "networkMode",
    "registeredAt",
    "registeredBy",
    "requiresAttributes",
    "requiresCompatibilities",
    "revision",
    "status",
    "taskDefinitionArn",
];

/// Members of a task definition without an engine, and when a definition uses them.
pub const TASK_UNSUPPORTED: &[(&str, Uses<TaskDefinition>)] = &[
    ("enableFaultInjection", |t| t.enable_fault_injection == Some(true)),
    ("ephemeralStorage", |t| t.ephemeral_storage.is_some()),
    ("inferenceAccelerators", |t| filled(&t.inference_accelerators)),
    ("ipcMode", |t| t.ipc_mode.is_some()),
    ("pidMode", |t| t.pid_mode.is_some()),
    ("placementConstraints", |t| filled(&t.placement_constraints)),
    ("proxyConfiguration", |t| t.proxy_configuration.is_some()),
    ("runtimePlatform", |t| t.runtime_platform.as_ref().is_some_and(is_foreign_platform)),
    ("taskRoleArn", |t| t.task_role_arn.is_some()),
    ("trustedExecutionConfiguration", |t| t.trusted_execution_configuration.is_some()),
    ("volumes", |t| filled(&t.volumes)),
];

fn filled<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|list| !list.is_empty())
}

fn uses_more_than_capabilities(linux: &ecs::LinuxParameters) -> bool {
    let sizes = [linux.max_swap, linux.shared_memory_size, linux.swappiness];
    filled(&linux.devices)
        || filled(&linux.tmpfs)
        || linux.init_process_enabled == Some(true)
        || sizes.iter().any(Option::is_some)
}

fn is_foreign_platform(platform: &ecs::RuntimePlatform) -> bool {
    let foreign_os = platform.operating_system_family.is_some_and(|os| os.as_str() != "LINUX");
    foreign_os || platform.cpu_architecture.is_some_and(|cpu| cpu.as_str() != "X86_64")
}

/// A task with an address of its own has all ports of it: a range says nothing there that a host could do.
fn maps_ranges(definition: &TaskDefinition, container: &ContainerDefinition) -> bool {
    let mappings = container.port_mappings.as_deref().unwrap_or_default();
    let own_address = definition.network_mode == Some(ecs::NetworkMode::Awsvpc);
    !own_address && mappings.iter().any(|mapping| mapping.container_port_range.is_some())
}

/// The members that `definition` uses and no engine implements, by path, in order.
pub fn unsupported(definition: &TaskDefinition) -> Vec<String> {
    let task = TASK_UNSUPPORTED.iter().filter(|(_, uses)| uses(definition)).map(|(name, _)| (*name).to_owned());
    let containers = definition.container_definitions.as_deref().unwrap_or_default();
    let inside = containers.iter().flat_map(|container| {
        let used = CONTAINER_UNSUPPORTED.iter().filter(|(_, uses)| uses(container));
        let owner = container.name.as_deref().unwrap_or("");
        let ranges = maps_ranges(definition, container).then_some("portMappings.containerPortRange".to_owned());
        let named =
            used.map(|(name, _)| match (*name, container.log_configuration.as_ref().and_then(log::unsupported)) {
                ("logConfiguration", Some(part)) => format!("logConfiguration.{part}"),
                (name, _) => name.to_owned(),
            });
        named.chain(ranges).map(move |name| format!("containerDefinitions[{owner}].{name}"))
    });
    task.chain(inside).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn members_of(shape: &str) -> BTreeSet<String> {
        let model: serde_json::Value = serde_json::from_str(include_str!("../../../models/ecs.json")).unwrap();
        model["shapes"][shape]["members"].as_object().unwrap().keys().cloned().collect()
    }

    fn listed<T>(supported: &[&str], unsupported: &[(&str, Uses<T>)]) -> BTreeSet<String> {
        let names = supported.iter().copied().chain(unsupported.iter().map(|(name, _)| *name));
        let all: Vec<String> = names.map(str::to_owned).collect();
        let set: BTreeSet<String> = all.iter().cloned().collect();
        assert_eq!(set.len(), all.len(), "a member is listed twice");
        set
    }

    #[test]
    fn every_member_of_the_model_is_in_one_list() {
        assert_eq!(listed(CONTAINER_SUPPORTED, CONTAINER_UNSUPPORTED), members_of("ContainerDefinition"));
        assert_eq!(listed(TASK_SUPPORTED, TASK_UNSUPPORTED), members_of("TaskDefinition"));
    }
}
