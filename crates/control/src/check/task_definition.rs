//! Rules for RegisterTaskDefinition, and the document that comes of a right request: every member verbatim, AWS's
//! defaults filled in. Messages follow the texts that AWS answers where those are known.

use super::container;
use model::cluster::is_valid_name;
use model::needs::{cpu_units, fargate_offers, memory_mib};
use std::collections::BTreeSet;
use wire::{Fault, ecs};

/// Containers in one definition (service quotas).
const CONTAINERS_MAX: usize = 10;
/// Least hard limit of a container, in MiB (RegisterTaskDefinition, member memory).
const MEMORY_MIN: i32 = 6;
/// Largest stopTimeout on Fargate, in seconds.
const STOP_TIMEOUT_FARGATE_MAX: i32 = 120;
/// Task-level CPU units on EC2.
const CPU_RANGE: std::ops::RangeInclusive<u32> = 128..=196_608;

fn client<T>(message: impl Into<String>) -> Result<T, Fault> {
    Err(ecs::fault::client(message))
}

/// Checks `input` and makes the document of it.
pub(crate) fn normalised(input: ecs::RegisterTaskDefinitionRequest) -> Result<ecs::TaskDefinition, Fault> {
    if !is_valid_name(&input.family) {
        return client(
            "Family contains invalid characters. 1 to 255 letters, numbers, hyphens and underscores are allowed.",
        );
    }
    check_containers(&input)?;
    model::placement::expressions_of(input.placement_constraints.as_deref().unwrap_or_default())
        .or_else(|why| client(why).map(|()| Vec::new()))?;
    let wants_fargate = requires(&input, ecs::Compatibility::Fargate);
    let fargate = check_fargate(&input);
    if wants_fargate {
        fargate.clone()?;
    } else {
        check_sizes(&input)?;
    }
    let compatibilities = compatibilities(&input, fargate.is_ok());
    for wanted in input.requires_compatibilities.as_deref().unwrap_or_default() {
        if !compatibilities.contains(wanted) {
            return client(format!(
                "The task definition is not compatible with {wanted}: check network mode and members."
            ));
        }
    }
    Ok(document(input, compatibilities))
}

fn requires(input: &ecs::RegisterTaskDefinitionRequest, what: ecs::Compatibility) -> bool {
    input.requires_compatibilities.as_deref().unwrap_or_default().contains(&what)
}

fn check_containers(input: &ecs::RegisterTaskDefinitionRequest) -> Result<(), Fault> {
    let containers = &input.container_definitions;
    if containers.is_empty() {
        return client("Container list cannot be empty.");
    }
    if containers.len() > CONTAINERS_MAX {
        return client(format!("A task definition may have at most {CONTAINERS_MAX} containers."));
    }
    let mut names = BTreeSet::new();
    for container in containers {
        let name = container.name.as_deref().unwrap_or("");
        check_container(input, name, container)?;
        if !names.insert(name) {
            return client(format!(
                "Duplicate container name: {name}. Container names must be unique in a task definition."
            ));
        }
    }
    if containers.iter().all(|container| container.essential == Some(false)) {
        return client("At least one container must be essential.");
    }
    container::check_dependencies(containers)?;
    container::check_volumes(input)?;
    super::ports::check(input)
}

fn check_container(
    input: &ecs::RegisterTaskDefinitionRequest,
    name: &str,
    container: &ecs::ContainerDefinition,
) -> Result<(), Fault> {
    if name.is_empty() {
        return client("Container.name should not be null or empty.");
    }
    if !is_valid_name(name) {
        return client(format!(
            "Invalid container name {name:?}: 1 to 255 letters, numbers, hyphens and underscores are allowed."
        ));
    }
    if container.image.as_deref().is_none_or(|image| image.trim().is_empty()) {
        return client("Container.image should not be null or empty.");
    }
    let sizes =
        [("cpu", container.cpu), ("memory", container.memory), ("memoryReservation", container.memory_reservation)];
    if let Some((member, _)) = sizes.iter().find(|(_, size)| size.is_some_and(|size| size < 0)) {
        return client(format!("Invalid setting for container '{name}'. '{member}' must not be negative."));
    }
    if let Some(memory) = container.memory.filter(|memory| *memory < MEMORY_MIN) {
        return client(format!(
            "Invalid setting for container '{name}'. 'memory' is {memory} MiB; at least {MEMORY_MIN} are needed."
        ));
    }
    if let (Some(hard), Some(soft)) = (container.memory, container.memory_reservation)
        && soft > hard
    {
        return client(format!(
            "Invalid setting for container '{name}'. 'memory' must be at least 'memoryReservation'."
        ));
    }
    if input.memory.is_none() && container.memory.is_none() && container.memory_reservation.is_none() {
        return client(format!(
            "Invalid setting for container '{name}'. At least one of 'memory' or 'memoryReservation' must be specified."
        ));
    }
    if container.stop_timeout.is_some_and(|seconds| seconds < 0) {
        return client(format!("Invalid setting for container '{name}'. 'stopTimeout' must not be negative."));
    }
    container::check(name, container)?;
    model::gpu::wanted(container.resource_requirements.as_deref().unwrap_or_default())
        .or_else(|why| client(format!("Invalid setting for container '{name}'. {why}")))?;
    container::check_network(input.network_mode, container)?;
    if let Some(why) = container.log_configuration.as_ref().and_then(model::log::invalid) {
        return client(format!("Invalid logConfiguration for container '{name}'. {why}"));
    }
    check_environment(name, container)?;
    check_limits(name, container)
}

fn check_environment(name: &str, container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    for pair in container.environment.as_deref().unwrap_or_default() {
        let key = pair.name.as_deref().unwrap_or("");
        if key.is_empty()
            || key.contains(['=', '\0'])
            || pair.value.as_deref().is_some_and(|value| value.contains('\0'))
        {
            return client(format!("Invalid environment variable {key:?} for container '{name}'."));
        }
    }
    Ok(())
}

fn check_limits(name: &str, container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    let limits = container.ulimits.as_deref().unwrap_or_default();
    match limits.iter().find(|limit| limit.soft_limit > limit.hard_limit && limit.hard_limit >= 0) {
        None => Ok(()),
        Some(limit) => {
            client(format!("Invalid ulimit {} for container '{name}': the soft limit is above the hard.", limit.name))
        }
    }
}

/// Sizes of a definition that is not for Fargate: optional, but right.
fn check_sizes(input: &ecs::RegisterTaskDefinitionRequest) -> Result<(), Fault> {
    if let Some(cpu) = &input.cpu
        && !cpu_units(cpu).is_some_and(|units| CPU_RANGE.contains(&units))
    {
        return client(format!("Invalid 'cpu' setting for task: {cpu:?}."));
    }
    let Some(text) = &input.memory else { return Ok(()) };
    match memory_mib(text).filter(|memory| *memory > 0) {
        None => client(format!("Invalid 'memory' setting for task: {text:?}.")),
        Some(memory) => check_sums(input, None, memory),
    }
}

/// What Fargate asks of a definition (developer guide, task definition differences for Fargate).
fn check_fargate(input: &ecs::RegisterTaskDefinitionRequest) -> Result<(), Fault> {
    if input.network_mode != Some(ecs::NetworkMode::Awsvpc) {
        return client("Fargate only supports network mode 'awsvpc'.");
    }
    let Some(cpu) = &input.cpu else { return client("Fargate requires that 'cpu' be defined at the task level.") };
    let Some(memory) = &input.memory else {
        return client("Fargate requires that 'memory' be defined at the task level.");
    };
    let Some(cpu) = cpu_units(cpu) else { return client(format!("Invalid 'cpu' setting for task: {cpu:?}.")) };
    let Some(memory) = memory_mib(memory) else {
        return client(format!("Invalid 'memory' setting for task: {memory:?}."));
    };
    if !fargate_offers(cpu, memory) {
        return client("No Fargate configuration exists for given values.");
    }
    check_sums(input, Some(cpu), memory)?;
    if input.pid_mode == Some(ecs::PidMode::Host) {
        let message = "Tasks using the Fargate launch type do not support pidMode 'host'. The supported value for pidMode is 'task'.";
        return client(message);
    }
    if !input.placement_constraints.as_deref().unwrap_or_default().is_empty() {
        return client("Tasks using the Fargate launch type do not support placement constraints.");
    }
    container::check_fargate(input)?;
    input.container_definitions.iter().try_for_each(check_fargate_container)
}

fn check_fargate_container(container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    let added = container.linux_parameters.as_ref().and_then(|linux| linux.capabilities.as_ref());
    let added = added.and_then(|capabilities| capabilities.add.as_deref()).unwrap_or_default();
    let gpus = container.resource_requirements.iter().flatten().any(|asked| asked.r#type == ecs::ResourceType::Gpu);
    if gpus {
        return client(super::FARGATE_GPUS);
    }
    let refused = [
        ("links", !container.links.as_deref().unwrap_or_default().is_empty()),
        ("privileged", container.privileged == Some(true)),
        ("dnsServers", !container.dns_servers.as_deref().unwrap_or_default().is_empty()),
        ("extraHosts", !container.extra_hosts.as_deref().unwrap_or_default().is_empty()),
        ("linuxParameters.capabilities.add", added.iter().any(|capability| capability != "SYS_PTRACE")),
        ("stopTimeout over 120 seconds", container.stop_timeout.is_some_and(|s| s > STOP_TIMEOUT_FARGATE_MAX)),
    ];
    match refused.iter().find(|(_, used)| *used) {
        None => Ok(()),
        Some((member, _)) => client(format!("Tasks using the Fargate launch type do not support '{member}'.")),
    }
}

/// Containers together never ask for more than their task has.
fn check_sums(input: &ecs::RegisterTaskDefinitionRequest, cpu: Option<u32>, memory: u32) -> Result<(), Fault> {
    let containers = &input.container_definitions;
    let sum = |size: fn(&ecs::ContainerDefinition) -> Option<i32>| -> i64 {
        containers.iter().filter_map(size).map(i64::from).sum()
    };
    if let Some(cpu) = cpu.filter(|cpu| sum(|container| container.cpu) > i64::from(*cpu)) {
        return client(format!("The CPU units of the containers are more than the task's {cpu}."));
    }
    if let Some(container) =
        containers.iter().find(|container| i64::from(container.memory.unwrap_or(0)) > i64::from(memory))
    {
        let name = container.name.as_deref().unwrap_or("");
        return client(format!(
            "Invalid setting for container '{name}'. 'memory' is more than the task's {memory} MiB."
        ));
    }
    if sum(|container| container.memory_reservation) > i64::from(memory) {
        return client(format!("The memory reservations of the containers are more than the task's {memory} MiB."));
    }
    Ok(())
}

fn compatibilities(input: &ecs::RegisterTaskDefinitionRequest, fargate: bool) -> Vec<ecs::Compatibility> {
    let external = input.network_mode != Some(ecs::NetworkMode::Awsvpc);
    let fitting = [
        (ecs::Compatibility::Ec2, true),
        (ecs::Compatibility::External, external),
        (ecs::Compatibility::Fargate, fargate),
    ];
    fitting.into_iter().filter(|(_, fits)| *fits).map(|(compatibility, _)| compatibility).collect()
}

fn document(
    input: ecs::RegisterTaskDefinitionRequest,
    compatibilities: Vec<ecs::Compatibility>,
) -> ecs::TaskDefinition {
    let inside_out = matches!(input.network_mode, Some(ecs::NetworkMode::Awsvpc | ecs::NetworkMode::Host));
    let requires_attributes = Some(super::attributes::required(&input));
    let converted = |text: Option<String>, read: fn(&str) -> Option<u32>| {
        text.map(|text| read(&text).map_or(text, |number| number.to_string()))
    };
    let containers = input.container_definitions.into_iter().map(|container| with_defaults(container, inside_out));
    ecs::TaskDefinition {
        container_definitions: Some(containers.collect()),
        family: Some(input.family),
        task_role_arn: input.task_role_arn,
        execution_role_arn: input.execution_role_arn,
        network_mode: input.network_mode,
        volumes: Some(input.volumes.unwrap_or_default()),
        placement_constraints: Some(input.placement_constraints.unwrap_or_default()),
        compatibilities: Some(compatibilities),
        runtime_platform: input.runtime_platform,
        requires_compatibilities: input.requires_compatibilities,
        requires_attributes,
        cpu: converted(input.cpu, cpu_units),
        memory: converted(input.memory, memory_mib),
        inference_accelerators: input.inference_accelerators,
        pid_mode: input.pid_mode,
        ipc_mode: input.ipc_mode,
        proxy_configuration: input.proxy_configuration,
        ephemeral_storage: input.ephemeral_storage,
        enable_fault_injection: input.enable_fault_injection,
        trusted_execution_configuration: input.trusted_execution_configuration,
        ..ecs::TaskDefinition::default()
    }
}

/// The members that AWS answers though nobody sent them. `inside_out`: ports are the same inside and on the host.
fn with_defaults(mut container: ecs::ContainerDefinition, inside_out: bool) -> ecs::ContainerDefinition {
    container.cpu.get_or_insert(0);
    container.essential.get_or_insert(true);
    container.environment.get_or_insert_with(Vec::new);
    container.mount_points.get_or_insert_with(Vec::new);
    container.volumes_from.get_or_insert_with(Vec::new);
    container.system_controls.get_or_insert_with(Vec::new);
    for mapping in container.port_mappings.get_or_insert_with(Vec::new) {
        mapping.protocol.get_or_insert(ecs::TransportProtocol::Tcp);
        if mapping.container_port_range.is_none() {
            mapping.host_port.get_or_insert(0);
        }
        if inside_out && mapping.host_port.is_none_or(|port| port == 0) {
            mapping.host_port = mapping.container_port;
        }
    }
    container
}
