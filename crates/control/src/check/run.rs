//! Rules for RunTask and StartTask.

use model::State;
use model::needs::{Needs, cpu_units, fargate_offers, memory_mib};
use model::placement::Placement;
use model::service_revision::InterfaceWishes;
use model::supported_members::requirement_without_engine;
use model::task::LaunchType;
use model::task_definition::TaskDefinition;
use model::vpc::Vpc;
use wire::{Fault, ecs};

/// Subnets and security groups that one request names (service quotas).
const SUBNETS_MAX: usize = 16;
const GROUPS_MAX: usize = 5;
/// Longest `startedBy` (API reference).
const STARTED_BY_MAX: usize = 128;
/// Largest `overrides`, serialised (API reference).
const OVERRIDES_MAX: usize = 8192;

/// What a task books after its overrides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// CPU units.
    pub cpu: u32,
    /// MiB.
    pub memory: u32,
    /// How many GPUs each container gets.
    pub gpus: Box<[u32]>,
}

impl Sizes {
    /// What the definition says.
    pub fn of(needs: &Needs) -> Self {
        Self { cpu: needs.cpu, memory: needs.memory, gpus: needs.gpus() }
    }
}

/// The refusal of a member that no engine implements.
pub(crate) fn unsupported(member: &str) -> Fault {
    let message = format!("not supported yet: {member}. Nothing was started.");
    ecs::fault::unsupported_feature(message)
}

fn refuse_used(members: &[(&str, bool)]) -> Result<(), Fault> {
    members.iter().find(|(_, used)| *used).map_or(Ok(()), |(member, _)| Err(unsupported(member)))
}

fn filled<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|list| !list.is_empty())
}

/// Members of RunTask without an engine.
pub(crate) fn unsupported_of_run(input: &ecs::RunTaskRequest) -> Result<(), Fault> {
    refuse_used(&[("volumeConfigurations", filled(&input.volume_configurations))])?;
    platform_version(input.platform_version.as_deref())
}

/// Where tasks may go and where best; on Fargate nobody chooses.
pub(crate) fn placement(
    constraints: Option<&[ecs::PlacementConstraint]>,
    strategy: Option<&[ecs::PlacementStrategy]>,
    launch_type: LaunchType,
) -> Result<Placement, Fault> {
    let constraints = Placement::read_constraints(constraints.unwrap_or_default()).map_err(Fault::invalid_parameter)?;
    let strategy = Placement::read_strategy(strategy.unwrap_or_default()).map_err(Fault::invalid_parameter)?;
    let placement = Placement { constraints, strategy };
    for (used, what) in
        [(!placement.constraints.is_empty(), "constraints"), (!placement.strategy.is_empty(), "strategies")]
    {
        if used && launch_type == LaunchType::Fargate {
            let message = format!("Placement {what} are not supported with FARGATE launch type.");
            return Err(Fault::invalid_parameter(message));
        }
    }
    Ok(placement)
}

/// Platform versions that Fargate has; they are one here.
pub(crate) fn platform_version(asked: Option<&str>) -> Result<(), Fault> {
    match asked {
        None | Some("LATEST" | "1.4.0" | "1.3.0") => Ok(()),
        Some(other) => Err(ecs::fault::platform_unknown(format!("The platform version {other:?} does not exist."))),
    }
}

/// Only Fargate has any.
pub(crate) fn platform(asked: Option<&str>, launch_type: LaunchType) -> Result<(), Fault> {
    if asked.is_none() || launch_type == LaunchType::Fargate {
        return Ok(());
    }
    let what = if launch_type == LaunchType::External { "EXTERNAL" } else { "EC2" };
    let message = format!("The platform version must be null when specifying an {what} launch type.");
    Err(Fault::invalid_parameter(message))
}

/// Members of StartTask without an engine.
pub(crate) fn unsupported_of_start(input: &ecs::StartTaskRequest) -> Result<(), Fault> {
    refuse_used(&[("volumeConfigurations", filled(&input.volume_configurations))])
}

/// Refuses a definition that uses members without an engine, and one that is not made for the launch type.
pub(crate) fn can_act(definition: &TaskDefinition, launch_type: LaunchType) -> Result<(), Fault> {
    let needs = &definition.needs;
    if launch_type == LaunchType::Fargate && !needs.fargate {
        let message = "Task definition does not support launch_type FARGATE.";
        return Err(Fault::invalid_parameter(message));
    }
    if let Some(member) = needs.unsupported.first() {
        let others = needs.unsupported.len() - 1;
        let more = if others == 0 { String::new() } else { format!(" (and {others} more)") };
        return Err(unsupported(&format!("{member} of the task definition{more}")));
    }
    if launch_type == LaunchType::External && needs.network_mode == "awsvpc" {
        return Err(Fault::invalid_parameter("Launch type EXTERNAL does not support network mode awsvpc."));
    }
    Ok(())
}

/// Refuses logs that go elsewhere, and a stream without a prefix on Fargate, where its name would say nothing.
pub(crate) fn logs(state: &State, definition: &TaskDefinition, launch_type: LaunchType) -> Result<(), Fault> {
    for container in &definition.needs.containers {
        let (log, name) = (&container.log, &container.name);
        let region = &state.meta().region;
        if let Some(other) = log.region.as_deref().filter(|asked| *asked != &**region) {
            let member = format!("containerDefinitions[{name}].logConfiguration.options.awslogs-region");
            return Err(unsupported(&format!("{member} ({other}; this deployment is {region})")));
        }
        if launch_type == LaunchType::Fargate && !log.is_default && log.prefix.is_none() {
            return Err(ecs::fault::client(format!(
                "Log driver awslogs of container '{name}' requires option 'awslogs-stream-prefix' for launch type FARGATE."
            )));
        }
    }
    Ok(())
}

fn unsigned(size: Option<i32>) -> u32 {
    size.and_then(|size| u32::try_from(size).ok()).unwrap_or(0)
}

/// What the task books: the definition's sizes unless overridden. Overrides name containers that exist.
pub(crate) fn overrides(
    definition: &TaskDefinition,
    launch_type: LaunchType,
    overrides: Option<&ecs::TaskOverride>,
) -> Result<Sizes, Fault> {
    let needs: &Needs = &definition.needs;
    let plain = Sizes::of(needs);
    let Some(overrides) = overrides else { return Ok(plain) };
    if wire::ToJson::to_json(overrides).len() > OVERRIDES_MAX {
        return Err(Fault::invalid_parameter(format!("overrides may have at most {OVERRIDES_MAX} characters.")));
    }
    refuse_used(&[
        ("overrides.ephemeralStorage", overrides.ephemeral_storage.is_some()),
        ("overrides.inferenceAcceleratorOverrides", filled(&overrides.inference_accelerator_overrides)),
        ("overrides.taskRoleArn", overrides.task_role_arn.is_some()),
    ])?;
    let mut gpus = needs.gpus();
    let mut booked: Vec<(u32, u32)> = needs.containers.iter().map(|c| (c.cpu_booked(), c.memory_booked())).collect();
    for container in overrides.container_overrides.as_deref().unwrap_or_default() {
        let name = container.name.as_deref().unwrap_or("");
        let Some(position) = needs.containers.iter().position(|known| known.name == name) else {
            let message = format!("Override for container named {name} is not a container in the TaskDefinition.");
            return Err(Fault::invalid_parameter(message));
        };
        refuse_used(&[("containerOverrides.environmentFiles", filled(&container.environment_files))])?;
        if let Some(wanted) = gpus_override(name, launch_type, container)? {
            gpus[position] = wanted;
        }
        let sizes = [container.cpu, container.memory, container.memory_reservation];
        if sizes.into_iter().flatten().any(|size| size < 0) {
            return Err(Fault::invalid_parameter(format!("Override for container {name} has a negative size.")));
        }
        let known = &needs.containers[position];
        let size = |asked: Option<i32>, kept: Option<i32>| asked.or(kept);
        let reservation = size(container.memory_reservation, known.memory_reservation);
        let memory = reservation.or(size(container.memory, known.memory));
        booked[position] = (unsigned(size(container.cpu, known.cpu)), unsigned(memory));
    }
    let size = |text: Option<&str>, read: fn(&str) -> Option<u32>, kept: u32, what: &str| match text {
        None => Ok(kept),
        Some(text) => read(text)
            .filter(|size| *size > 0)
            .ok_or_else(|| Fault::invalid_parameter(format!("Invalid '{what}' override for task: {text:?}."))),
    };
    // The size of a task is its own, or the sum of its containers'.
    let sum = |of: fn(&(u32, u32)) -> u32| booked.iter().map(of).fold(0, u32::saturating_add);
    let kept = Sizes {
        cpu: if needs.own_cpu { plain.cpu } else { sum(|(cpu, _)| *cpu) },
        memory: if needs.own_memory { plain.memory } else { sum(|(_, memory)| *memory) },
        gpus,
    };
    let sizes = Sizes {
        cpu: size(overrides.cpu.as_deref(), cpu_units, kept.cpu, "cpu")?,
        memory: size(overrides.memory.as_deref(), memory_mib, kept.memory, "memory")?,
        gpus: kept.gpus,
    };
    if launch_type == LaunchType::Fargate && !fargate_offers(sizes.cpu, sizes.memory) {
        return Err(Fault::invalid_parameter("No Fargate configuration exists for given values."));
    }
    Ok(sizes)
}

/// How many GPUs an override asks for a container; `None`: it does not say.
fn gpus_override(
    name: &str,
    launch_type: LaunchType,
    container: &ecs::ContainerOverride,
) -> Result<Option<u32>, Fault> {
    let asked = container.resource_requirements.as_deref().unwrap_or_default();
    if let Some(part) = requirement_without_engine(asked) {
        return Err(unsupported(&format!("containerOverrides.resourceRequirements.{part}")));
    }
    let wanted = model::gpu::wanted(asked);
    let wanted = wanted.map_err(|why| Fault::invalid_parameter(format!("Override for container {name}: {why}")))?;
    if launch_type == LaunchType::Fargate && wanted.is_some() {
        return Err(Fault::invalid_parameter(super::FARGATE_GPUS));
    }
    Ok(wanted)
}

/// Positions of the subnets that a task of this definition may be in; none for one that gets no interface. A public address is not given by anything here: tasks reach
/// out through their host either way, so that `assignPublicIp` changes nothing.
pub(crate) fn subnets(
    vpc: &Vpc,
    definition: &TaskDefinition,
    network: Option<&ecs::NetworkConfiguration>,
) -> Result<Vec<u8>, Fault> {
    if definition.needs.network_mode != "awsvpc" {
        let message = "Network Configuration is not valid for the given networkMode of this task definition.";
        return network.map_or(Ok(Vec::new()), |_| Err(Fault::invalid_parameter(message)));
    }
    let message = "Network Configuration must be provided when networkMode 'awsvpc' is specified.";
    let missing = || Fault::invalid_parameter(message);
    let awsvpc = network.and_then(|network| network.awsvpc_configuration.as_ref()).ok_or_else(missing)?;
    if awsvpc.subnets.is_empty() {
        return Err(Fault::invalid_parameter("subnets can not be empty."));
    }
    if awsvpc.subnets.len() > SUBNETS_MAX {
        return Err(Fault::invalid_parameter(format!("subnets can have at most {SUBNETS_MAX} items.")));
    }
    let groups = awsvpc.security_groups.as_deref().unwrap_or_default();
    if groups.len() > GROUPS_MAX {
        return Err(Fault::invalid_parameter(format!("securityGroups can have at most {GROUPS_MAX} items.")));
    }
    if let Some(group) = groups.iter().find(|group| **group != *vpc.default_security_group) {
        let message = format!(
            "Error retrieving security group information for [{group}]: The security group '{group}' does not exist \
             (ErrorCode: InvalidGroup.NotFound)"
        );
        return Err(Fault::invalid_parameter(message));
    }
    let position = |id: &String| {
        let message = format!(
            "Error retrieving subnet information for [{id}]: The subnet ID '{id}' does not exist \
             (ErrorCode: InvalidSubnetID.NotFound)"
        );
        vpc.subnet(id).map(|(position, _)| position).ok_or_else(|| Fault::invalid_parameter(message))
    };
    awsvpc.subnets.iter().map(position).collect()
}

/// What a network configuration says beside the subnets.
pub(crate) fn interface(network: Option<&ecs::NetworkConfiguration>) -> InterfaceWishes {
    let awsvpc = network.and_then(|network| network.awsvpc_configuration.as_ref());
    InterfaceWishes {
        group: awsvpc.is_some_and(|awsvpc| filled(&awsvpc.security_groups)),
        public: awsvpc.is_some_and(|awsvpc| awsvpc.assign_public_ip == Some(ecs::AssignPublicIp::Enabled)),
    }
}

/// `group` and `startedBy`.
pub(crate) fn labels(group: Option<&str>, started_by: Option<&str>) -> Result<(), Fault> {
    if started_by.is_some_and(|by| by.chars().count() > STARTED_BY_MAX) {
        return Err(Fault::invalid_parameter(format!("startedBy may have at most {STARTED_BY_MAX} characters.")));
    }
    if group.is_some_and(|group| group.len() > 255) {
        return Err(Fault::invalid_parameter("group may have at most 255 characters."));
    }
    if group.is_some_and(|group| group.starts_with("service:")) {
        return Err(Fault::invalid_parameter("Invalid namespace for group: service: is for tasks of services."));
    }
    Ok(())
}
