//! A task as its agent is told of it: the one place that turns a task definition, its overrides and an allocated
//! interface into the agent's Task message.

use crate::acs;
use crate::association::{Association, GPU};
use model::State;
use model::needs::{ContainerNeeds, cpu_units, memory_mib, port_mappings};
use model::port::PortMapping;
use model::project::mac_text;
use model::service_revision::by_digest;
use model::task::{Container, Desired, Eni, LaunchType, Task};
use model::vpc::{private_dns_domain, private_dns_name};
use std::collections::BTreeMap;
use wire::{FromJson, ecs};

/// Docker API version that every supported agent can create with.
const DOCKER_API: &str = "1.24";
const MIB: i64 = 1024 * 1024;

/// The message for `task`. A task to be stopped needs no containers, as agents know it already.
pub fn task(state: &State, task: &Task) -> acs::Task {
    let scope = state.scope();
    let family = state.families.get(&task.definition.family).map_or("", |family| &family.name);
    let bare = acs::Task {
        arn: state.task_arn(task),
        task_cluster_arn: scope.cluster(state.cluster_name(task.cluster)),
        desired_status: task.desired.as_str().to_owned(),
        family: family.to_owned(),
        version: task.definition.revision.to_string(),
        overrides: "{}".to_owned(),
        launch_type: launch_type(task.launch_type).to_owned(),
        group: state.task_group(task),
        ..acs::Task::default()
    };
    let document = state.definitions.get(&task.definition).map(|definition| &*definition.document);
    let definition = document.and_then(|document| ecs::TaskDefinition::from_json_str(document).ok());
    match (task.desired, definition) {
        (Desired::Running, Some(definition)) => filled(state, task, &definition, bare),
        _ => bare,
    }
}

fn filled(state: &State, task: &Task, definition: &ecs::TaskDefinition, bare: acs::Task) -> acs::Task {
    let overrides = task.overrides.as_deref().and_then(|text| ecs::TaskOverride::from_json_str(text).ok());
    let overrides = overrides.unwrap_or_default();
    let cpu = overrides.cpu.as_deref().or(definition.cpu.as_deref()).and_then(cpu_units);
    let memory = overrides.memory.as_deref().or(definition.memory.as_deref()).and_then(memory_mib);
    let defined = definition.container_definitions.as_deref().unwrap_or_default();
    let containers = defined.iter().map(|defined| {
        let name = defined.name.as_deref().unwrap_or("");
        let all = overrides.container_overrides.as_deref().unwrap_or_default();
        let over = all.iter().find(|over| over.name.as_deref() == Some(name));
        container(state, task, definition.network_mode, defined, over)
    });
    acs::Task {
        gantry: unable(state, task).map(|unable| acs::GantryTask { unable: Some(unable) }),
        containers: containers.collect(),
        network_mode: definition.network_mode.map_or("bridge", |mode| mode.as_str()).to_owned(),
        cpu: cpu.map(|units| f64::from(units) / 1024.0),
        memory: memory.map(i64::from),
        elastic_network_interfaces: task.eni.iter().filter_map(|eni| interface(state, eni)).collect(),
        associations: associations(task),
        volumes: definition.volumes.as_deref().unwrap_or_default().iter().map(volume).collect(),
        ..bare
    }
}

/// A GPU belongs to one container, as the agent demands.
fn associations(task: &Task) -> Vec<Association> {
    let of = |container: &Container| {
        let gpu = |gpu: &str| Association {
            name: gpu.to_string(),
            kind: GPU.to_owned(),
            containers: vec![container.name.to_string()],
        };
        task.gpus_of(&container.name).iter().map(|id| gpu(id)).collect::<Vec<_>>()
    };
    task.containers.iter().flat_map(of).collect()
}

/// Why the task cannot be started though it was accepted: a log group that is missing, in the words of AWS's agent.
fn unable(state: &State, task: &Task) -> Option<String> {
    let needs = &state.definitions.get(&task.definition)?.needs;
    let missing = |c: &&ContainerNeeds| !c.log.group.is_empty() && state.log_group_named(&c.log.group).is_none();
    let missing = needs.containers.iter().find(missing)?;
    Some(format!(
        "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to \
         create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist. \
         (container {}, awslogs-group {}; create the group or set awslogs-create-group to true)",
        missing.name, missing.log.group
    ))
}

/// Where the container's output goes, when its definition says so: the options with the prefix made a stream's name.
fn log_config(state: &State, task: &Task, defined: &ecs::ContainerDefinition) -> Option<acs::LogConfig> {
    let log = defined.log_configuration.as_ref()?;
    let mut config = log.options.clone().unwrap_or_default();
    if let Some(prefix) = config.remove("awslogs-stream-prefix").filter(|prefix| !prefix.is_empty()) {
        let name = defined.name.as_deref().unwrap_or_default();
        config.insert("awslogs-stream".to_owned(), format!("{prefix}/{name}/{}", task.id));
    }
    // The operator, the account's root, runs every task.
    let mode = || state.effective_setting(&state.scope().root(), ecs::SettingName::DefaultLogDriverMode).to_owned();
    // A buffer has a size where nothing blocks.
    if !config.contains_key("max-buffer-size") {
        config.entry("mode".to_owned()).or_insert_with(mode);
    }
    Some(acs::LogConfig { driver: log.log_driver.as_str().to_owned(), config })
}

fn launch_type(launch_type: LaunchType) -> &'static str {
    match launch_type {
        LaunchType::Ec2 => "EC2",
        LaunchType::Fargate => "FARGATE",
        LaunchType::External => "EXTERNAL",
    }
}

fn container(
    state: &State,
    task: &Task,
    mode: Option<ecs::NetworkMode>,
    defined: &ecs::ContainerDefinition,
    over: Option<&ecs::ContainerOverride>,
) -> acs::Container {
    let name = defined.name.clone().unwrap_or_default();
    let known = task.containers.iter().find(|container| *container.name == *name);
    let cluster = state.cluster_name(task.cluster);
    let memory = over.and_then(|over| over.memory).or(defined.memory);
    let reservation = over.and_then(|over| over.memory_reservation).or(defined.memory_reservation);
    acs::Container {
        container_arn: known
            .map_or_else(String::new, |known| state.scope().container(cluster, task.id, &known.uuid.dashed())),
        image: image(state, task, defined),
        essential: defined.essential.unwrap_or(true),
        cpu: i64::from(over.and_then(|over| over.cpu).or(defined.cpu).unwrap_or(0)),
        memory: i64::from(memory.unwrap_or(0)),
        command: over.and_then(|over| over.command.clone()).or_else(|| defined.command.clone()),
        entry_point: defined.entry_point.clone(),
        environment: environment(state, task, defined, over),
        overrides: "{}".to_owned(),
        stop_timeout: defined.stop_timeout.map(i64::from),
        start_timeout: defined.start_timeout.map(i64::from),
        depends_on: defined.depends_on.as_deref().unwrap_or_default().iter().map(dependency).collect(),
        health_check_type: health_check(defined).map(|_| "docker".to_owned()),
        restart_policy: defined.restart_policy.as_ref().map(restart_policy),
        mount_points: defined.mount_points.as_deref().unwrap_or_default().iter().map(mount_point).collect(),
        volumes_from: defined.volumes_from.as_deref().unwrap_or_default().iter().map(volume_from).collect(),
        port_mappings: port_mappings(mode, defined).into_iter().map(port_mapping).collect(),
        docker_config: docker_config(state, task, mode, defined, reservation),
        name,
    }
}

/// The image by its digest, once the first task of the deployment has told what its tag stands for.
fn image(state: &State, task: &Task, defined: &ecs::ContainerDefinition) -> String {
    let (name, image) = (defined.name.as_deref().unwrap_or(""), defined.image.as_deref().unwrap_or(""));
    match state.task_revision(task).and_then(|revision| revision.digest(name)) {
        Some(digest) => by_digest(image, digest),
        None => image.to_owned(),
    }
}

/// The definition's variables, then the overrides', then what AWS sets for code to tell where it runs.
fn environment(
    state: &State,
    task: &Task,
    defined: &ecs::ContainerDefinition,
    over: Option<&ecs::ContainerOverride>,
) -> BTreeMap<String, String> {
    let region = state.meta().region.to_string();
    let where_it_runs = match task.launch_type {
        LaunchType::Fargate => "AWS_ECS_FARGATE",
        LaunchType::Ec2 | LaunchType::External => "AWS_ECS_EC2",
    };
    let given = [("AWS_REGION", region.as_str()), ("AWS_DEFAULT_REGION", region.as_str())];
    let mut all: BTreeMap<String, String> = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    all.insert("AWS_EXECUTION_ENV".to_owned(), where_it_runs.to_owned());
    let lists = [defined.environment.as_deref(), over.and_then(|over| over.environment.as_deref())];
    for pair in lists.into_iter().flatten().flatten() {
        if let Some(name) = &pair.name {
            all.insert(name.clone(), pair.value.clone().unwrap_or_default());
        }
    }
    all
}

fn port_mapping(mapping: PortMapping) -> acs::PortMapping {
    let protocol = mapping.protocol.as_str().to_owned();
    acs::PortMapping { container_port: mapping.container, host_port: mapping.host, protocol }
}

fn docker_config(
    state: &State,
    task: &Task,
    mode: Option<ecs::NetworkMode>,
    defined: &ecs::ContainerDefinition,
    reservation: Option<i32>,
) -> acs::DockerConfig {
    let config = acs::Config {
        labels: defined.docker_labels.clone().unwrap_or_default(),
        user: defined.user.clone(),
        working_dir: defined.working_directory.clone(),
        hostname: defined.hostname.clone(),
        healthcheck: health_check(defined),
        ..acs::Config::default()
    };
    let capabilities = defined.linux_parameters.as_ref().and_then(|linux| linux.capabilities.clone());
    let capabilities = capabilities.unwrap_or_default();
    let limit = |limit: &ecs::Ulimit| acs::Ulimit {
        name: limit.name.as_str().to_owned(),
        soft: i64::from(limit.soft_limit),
        hard: i64::from(limit.hard_limit),
    };
    let linux = defined.linux_parameters.as_ref();
    let hosts = defined.extra_hosts.as_deref().unwrap_or_default();
    let controls = defined.system_controls.as_deref().unwrap_or_default();
    let control = |control: &ecs::SystemControl| Some((control.namespace.clone()?, control.value.clone()?));
    let host_config = acs::HostConfig {
        // Containers of an awsvpc task join the namespace of the task, whatever this says.
        network_mode: match mode {
            Some(ecs::NetworkMode::Awsvpc | ecs::NetworkMode::None) => "none",
            Some(ecs::NetworkMode::Host) => "host",
            Some(ecs::NetworkMode::Bridge) | None => "bridge",
        }
        .to_owned(),
        cap_add: capabilities.add.unwrap_or_default(),
        cap_drop: capabilities.drop.unwrap_or_default(),
        privileged: defined.privileged == Some(true),
        readonly_rootfs: defined.readonly_root_filesystem == Some(true),
        memory_reservation: reservation.map(|mib| i64::from(mib) * MIB),
        ulimits: defined.ulimits.as_deref().unwrap_or_default().iter().map(limit).collect(),
        sysctls: controls.iter().filter_map(control).collect(),
        dns: defined.dns_servers.clone().unwrap_or_default(),
        dns_search: defined.dns_search_domains.clone().unwrap_or_default(),
        extra_hosts: hosts.iter().map(|host| format!("{}:{}", host.hostname, host.ip_address)).collect(),
        shm_size: linux.and_then(|linux| linux.shared_memory_size).map(|mib| i64::from(mib) * MIB),
        tmpfs: linux.and_then(|linux| linux.tmpfs.as_deref()).unwrap_or_default().iter().map(tmpfs).collect(),
        log_config: log_config(state, task, defined),
    };
    acs::DockerConfig { version: DOCKER_API.to_owned(), config: json(&config), host_config: json(&host_config) }
}

/// ECS's defaults where the definition does not say (HealthCheck in the API reference).
fn health_check(defined: &ecs::ContainerDefinition) -> Option<acs::Healthcheck> {
    let check =
        defined.health_check.as_ref().filter(|check| check.command.first().is_some_and(|word| word != "NONE"))?;
    let nanoseconds = |seconds: Option<i32>, default: i32| i64::from(seconds.unwrap_or(default)) * 1_000_000_000;
    Some(acs::Healthcheck {
        test: check.command.clone(),
        interval: nanoseconds(check.interval, 30),
        timeout: nanoseconds(check.timeout, 5),
        start_period: nanoseconds(check.start_period, 0),
        retries: i64::from(check.retries.unwrap_or(3)),
    })
}

fn dependency(on: &ecs::ContainerDependency) -> acs::Dependency {
    acs::Dependency { container_name: on.container_name.clone(), condition: on.condition.as_str().to_owned() }
}

fn restart_policy(policy: &ecs::ContainerRestartPolicy) -> acs::RestartPolicy {
    acs::RestartPolicy {
        enabled: policy.enabled,
        ignored_exit_codes: policy.ignored_exit_codes.clone().unwrap_or_default(),
        restart_attempt_period: policy.restart_attempt_period.map(i64::from),
    }
}

fn mount_point(point: &ecs::MountPoint) -> acs::MountPoint {
    acs::MountPoint {
        source_volume: point.source_volume.clone().unwrap_or_default(),
        container_path: point.container_path.clone().unwrap_or_default(),
        read_only: point.read_only == Some(true),
    }
}

fn volume_from(from: &ecs::VolumeFrom) -> acs::VolumeFrom {
    acs::VolumeFrom {
        source_container: from.source_container.clone().unwrap_or_default(),
        read_only: from.read_only == Some(true),
    }
}

fn volume(volume: &ecs::Volume) -> acs::Volume {
    let source = volume.host.as_ref().and_then(|host| host.source_path.clone());
    acs::Volume {
        name: volume.name.clone().unwrap_or_default(),
        kind: "host".to_owned(),
        host: acs::HostVolume { source_path: source.unwrap_or_default() },
    }
}

/// As Docker takes it: a path, and options with the size among them.
fn tmpfs(mount: &ecs::Tmpfs) -> (String, String) {
    let size = format!("size={}m", mount.size);
    let options = mount.mount_options.as_deref().unwrap_or_default().iter().cloned().chain([size]);
    (mount.container_path.clone(), options.collect::<Vec<_>>().join(","))
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("a message serialises")
}

fn interface(state: &State, eni: &Eni) -> Option<acs::ElasticNetworkInterface> {
    let meta = state.meta();
    let subnet = meta.vpc.subnets.get(usize::from(eni.subnet))?;
    Some(acs::ElasticNetworkInterface {
        attachment_arn: state.scope().attachment(&eni.attachment.dashed()),
        ec2_id: eni.id.to_string(),
        mac_address: mac_text(eni.mac),
        ipv4_addresses: vec![acs::Ipv4Address { private_address: eni.address.to_string(), primary: true }],
        subnet_gateway_ipv4_address: format!("{}/{}", subnet.gateway(), subnet.prefix),
        domain_name_servers: vec![meta.vpc.resolver().to_string()],
        domain_name: vec![private_dns_domain(&meta.region)],
        private_dns_name: private_dns_name(eni.address, &meta.region),
        gantry: Some(acs::GantryInterface { vpc_id: meta.vpc.id.to_string(), vpc_cidr: meta.vpc.cidr() }),
    })
}
