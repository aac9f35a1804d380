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
    "dependsOn",
    "dnsSearchDomains",
    "dnsServers",
    "dockerLabels",
    "entryPoint",
    "environment",
    "essential",
    "extraHosts",
    "healthCheck",
    "hostname",
    "image",
    "memory",
    "memoryReservation",
    "mountPoints",
    "name",
    "portMappings",
    "privileged",
    "readonlyRootFilesystem",
    "restartPolicy",
    "startTimeout",
    "stopTimeout",
    "systemControls",
    "ulimits",
    "user",
    "versionConsistency",
    "volumesFrom",
    "workingDirectory",
];

type Uses<T> = fn(&T) -> bool;

/// Members of a container definition without an engine, and when a definition uses them.
pub const CONTAINER_UNSUPPORTED: &[(&str, Uses<ContainerDefinition>)] = &[
    ("credentialSpecs", |c| filled(&c.credential_specs)),
    ("disableNetworking", |c| c.disable_networking == Some(true)),
    ("dockerSecurityOptions", |c| filled(&c.docker_security_options)),
    ("environmentFiles", |c| filled(&c.environment_files)),
    ("firelensConfiguration", |c| c.firelens_configuration.is_some()),
    ("interactive", |c| c.interactive == Some(true)),
    ("links", |c| filled(&c.links)),
    ("linuxParameters", |c| linux_member(c).is_some()),
    ("logConfiguration", |c| c.log_configuration.as_ref().and_then(log::unsupported).is_some()),
    ("pseudoTerminal", |c| c.pseudo_terminal == Some(true)),
    ("repositoryCredentials", |c| c.repository_credentials.is_some()),
    ("resourceRequirements", |c| requirement(c).is_some()),
    ("secrets", |c| filled(&c.secrets)),
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
    "placementConstraints",
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
    ("proxyConfiguration", |t| t.proxy_configuration.is_some()),
    ("runtimePlatform", |t| t.runtime_platform.as_ref().is_some_and(is_foreign_platform)),
    ("taskRoleArn", |t| t.task_role_arn.is_some()),
    ("trustedExecutionConfiguration", |t| t.trusted_execution_configuration.is_some()),
    ("volumes", |t| t.volumes.iter().flatten().any(is_no_host_volume)),
];

fn filled<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|list| !list.is_empty())
}

/// The first member of `linuxParameters` in use that has no engine; capabilities, sharedMemorySize and tmpfs act.
fn linux_member(container: &ContainerDefinition) -> Option<&'static str> {
    let linux = container.linux_parameters.as_ref()?;
    let unsupported = [
        ("devices", filled(&linux.devices)),
        ("initProcessEnabled", linux.init_process_enabled == Some(true)),
        ("maxSwap", linux.max_swap.is_some()),
        ("swappiness", linux.swappiness.is_some()),
    ];
    unsupported.into_iter().find(|(_, used)| *used).map(|(name, _)| name)
}

fn requirement(container: &ContainerDefinition) -> Option<String> {
    requirement_without_engine(container.resource_requirements.as_deref().unwrap_or_default())
}

/// What of `resourceRequirements` has no engine: whole GPUs act.
pub fn requirement_without_engine(asked: &[ecs::ResourceRequirement]) -> Option<String> {
    asked.iter().find_map(|asked| match asked.r#type {
        ecs::ResourceType::Gpu => asked.sharing_strategy.as_ref().map(|_| "sharingStrategy".to_owned()),
        other => Some(other.as_str().to_owned()),
    })
}

/// Only directories of the host, named or the task's own, have an engine.
fn is_no_host_volume(volume: &ecs::Volume) -> bool {
    volume.configured_at_launch == Some(true)
        || volume.docker_volume_configuration.is_some()
        || volume.efs_volume_configuration.is_some()
        || volume.fsx_windows_file_server_volume_configuration.is_some()
        || volume.s3_files_volume_configuration.is_some()
}

/// The member of the volume that has no engine.
fn volume_kind(definition: &TaskDefinition) -> String {
    let volume = definition.volumes.iter().flatten().find(|volume| is_no_host_volume(volume));
    let Some(volume) = volume else { return "volumes".to_owned() };
    let kinds = [
        ("configuredAtLaunch", volume.configured_at_launch == Some(true)),
        ("dockerVolumeConfiguration", volume.docker_volume_configuration.is_some()),
        ("efsVolumeConfiguration", volume.efs_volume_configuration.is_some()),
        ("fsxWindowsFileServerVolumeConfiguration", volume.fsx_windows_file_server_volume_configuration.is_some()),
        ("s3filesVolumeConfiguration", volume.s3_files_volume_configuration.is_some()),
    ];
    let kind = kinds.iter().find(|(_, used)| *used).map_or("", |(kind, _)| kind);
    format!("volumes[{}].{kind}", volume.name.as_deref().unwrap_or(""))
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
    let task = TASK_UNSUPPORTED.iter().filter(|(_, uses)| uses(definition)).map(|(name, _)| match *name {
        "volumes" => volume_kind(definition),
        name => name.to_owned(),
    });
    let containers = definition.container_definitions.as_deref().unwrap_or_default();
    let inside = containers.iter().flat_map(|container| {
        let used = CONTAINER_UNSUPPORTED.iter().filter(|(_, uses)| uses(container));
        let owner = container.name.as_deref().unwrap_or("");
        let ranges = maps_ranges(definition, container).then_some("portMappings.containerPortRange");
        used.map(|(name, _)| *name).chain(ranges).map(move |name| {
            let part = match name {
                "linuxParameters" => linux_member(container).map(str::to_owned),
                "resourceRequirements" => requirement(container),
                "logConfiguration" => container.log_configuration.as_ref().and_then(log::unsupported),
                _ => None,
            };
            let part = part.map(|part| format!(".{part}")).unwrap_or_default();
            format!("containerDefinitions[{owner}].{name}{part}")
        })
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
    fn what_has_no_engine_is_named_in_full() {
        let used = |container: serde_json::Value, volumes: serde_json::Value| {
            let text =
                serde_json::json!({"networkMode": "awsvpc", "containerDefinitions": [container], "volumes": volumes});
            unsupported(&wire::FromJson::from_json_str(&text.to_string()).unwrap())
        };
        let volume = |kind: &str, value: serde_json::Value| serde_json::json!([{"name": "v", kind: value}]);
        let acting = serde_json::json!({"name": "a", "hostname": "h", "dnsServers": ["1.1.1.1"], "startTimeout": 3,
            "extraHosts": [{"hostname": "x", "ipAddress": "1.1.1.1"}], "healthCheck": {"command": ["CMD", "x"]},
            "linuxParameters": {"sharedMemorySize": 1, "tmpfs": [{"containerPath": "/x", "size": 1}]},
            "restartPolicy": {"enabled": true}, "mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]});
        assert_eq!(used(acting, volume("host", serde_json::json!({"sourcePath": "/srv"}))), Vec::<String>::new());
        for (linux, path) in [
            (serde_json::json!({"initProcessEnabled": true}), "initProcessEnabled"),
            (serde_json::json!({"maxSwap": 1}), "maxSwap"),
            (serde_json::json!({"swappiness": 1}), "swappiness"),
            (serde_json::json!({"devices": [{"hostPath": "/dev/x"}]}), "devices"),
        ] {
            let container = serde_json::json!({"name": "a", "linuxParameters": linux});
            let path = format!("containerDefinitions[a].linuxParameters.{path}");
            assert_eq!(used(container, serde_json::json!([])), [path]);
        }
        let with = |asked: serde_json::Value| serde_json::json!({"name": "a", "resourceRequirements": [asked]});
        let gpu = serde_json::json!({"type": "GPU", "value": "2"});
        assert_eq!(used(with(gpu), serde_json::json!([])), Vec::<String>::new());
        for (asked, part) in [
            (serde_json::json!({"type": "InferenceAccelerator", "value": "d"}), "InferenceAccelerator"),
            (
                serde_json::json!({"type": "GPU", "value": "1", "sharingStrategy": {"nvidiaMps": {"memory": 1}}}),
                "sharingStrategy",
            ),
        ] {
            let path = format!("containerDefinitions[a].resourceRequirements.{part}");
            assert_eq!(used(with(asked), serde_json::json!([])), [path]);
        }
        for (kind, value) in [
            ("configuredAtLaunch", serde_json::json!(true)),
            ("dockerVolumeConfiguration", serde_json::json!({})),
            ("efsVolumeConfiguration", serde_json::json!({"fileSystemId": "fs-1"})),
        ] {
            assert_eq!(used(serde_json::json!({"name": "a"}), volume(kind, value)), [format!("volumes[v].{kind}")]);
        }
    }

    #[test]
    fn every_member_of_the_model_is_in_one_list() {
        assert_eq!(listed(CONTAINER_SUPPORTED, CONTAINER_UNSUPPORTED), members_of("ContainerDefinition"));
        assert_eq!(listed(TASK_SUPPORTED, TASK_UNSUPPORTED), members_of("TaskDefinition"));
    }
}
