//! What the tasks of a task definition need, read once from its document, and the sizes that requests may change.

use crate::instance::Attribute;
use crate::log::LogNeeds;
use crate::placement::expressions_of;
use crate::port::{HostPort, PortMapping, Protocol};
use crate::query::Expression;
use std::collections::BTreeSet;
use wire::FromJson;
use wire::ecs;

/// What a task of this definition needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// CPU units booked.
    pub cpu: u32,
    /// MiB booked.
    pub memory: u32,
    /// The definition says the task's CPU; else it is the sum of its containers'.
    pub own_cpu: bool,
    /// The same of its memory.
    pub own_memory: bool,
    /// The network mode; ECS's default is `bridge`.
    pub network_mode: String,
    /// Ports of the host that it must have: those that a bridge names, and all that its containers listen on in host mode.
    pub ports: Box<[HostPort]>,
    /// What an instance must have (`requiresAttributes`).
    pub attributes: Vec<Attribute>,
    /// Expressions that must hold for an instance.
    pub constraints: Vec<Expression>,
    /// It may run on Fargate: registered with FARGATE among `requiresCompatibilities`, or valid for it anyway.
    pub fargate: bool,
    /// Its containers.
    pub containers: Vec<ContainerNeeds>,
    /// Members in use that no engine implements yet; acting on it is refused with these names.
    pub unsupported: Vec<String>,
}

/// What the ledger, the task's first record and who describes a task need of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerNeeds {
    /// Its name.
    pub name: String,
    /// The task stops when it does.
    pub essential: bool,
    /// It has a health check.
    pub health_check: bool,
    /// Where its output goes.
    pub log: LogNeeds,
    /// Its image, as registered.
    pub image: Option<Box<str>>,
    /// All tasks of a deployment get the same image (`versionConsistency`, unless its name says which it is anyway).
    pub consistent: bool,
    /// CPU units, as registered.
    pub cpu: Option<i32>,
    /// MiB it may not pass, as registered.
    pub memory: Option<i32>,
    /// MiB it is sure of, as registered.
    pub memory_reservation: Option<i32>,
    /// How many GPUs it wants.
    pub gpus: u32,
}

impl Needs {
    /// Reads a document that was checked when it was registered.
    pub fn of(definition: &ecs::TaskDefinition) -> Self {
        let containers = definition.container_definitions.as_deref().unwrap_or_default();
        let cpu_sum = || containers.iter().map(|c| positive(c.cpu)).sum();
        let memory_sum = || containers.iter().map(|c| positive(c.memory_reservation.or(c.memory))).sum();
        let family = definition.family.as_deref().unwrap_or_default();
        let network_mode = definition.network_mode.map_or("bridge", |mode| mode.as_str());
        let compatible = definition.compatibilities.as_deref().unwrap_or_default();
        let attribute =
            |a: &ecs::Attribute| Attribute { name: a.name.as_str().into(), value: a.value.as_deref().map(Into::into) };
        let constraints = expressions_of(definition.placement_constraints.as_deref().unwrap_or_default());
        // Registered before expressions were read: acting on it says what is wrong with it.
        let unread = constraints.as_ref().err().map(|why| format!("placementConstraints ({why})"));
        Self {
            attributes: definition.requires_attributes.iter().flatten().map(attribute).collect(),
            constraints: constraints.unwrap_or_default(),
            cpu: definition.cpu.as_deref().and_then(cpu_units).unwrap_or_else(cpu_sum),
            memory: definition.memory.as_deref().and_then(memory_mib).unwrap_or_else(memory_sum),
            own_cpu: definition.cpu.as_deref().and_then(cpu_units).is_some(),
            own_memory: definition.memory.as_deref().and_then(memory_mib).is_some(),
            network_mode: network_mode.to_owned(),
            ports: host_ports(definition),
            fargate: compatible.contains(&ecs::Compatibility::Fargate),
            containers: containers.iter().map(|container| ContainerNeeds::of(family, container)).collect(),
            unsupported: crate::supported_members::unsupported(definition).into_iter().chain(unread).collect(),
        }
    }

    /// How many GPUs each of its containers wants.
    pub fn gpus(&self) -> Box<[u32]> {
        self.containers.iter().map(|container| container.gpus).collect()
    }

    /// Reads a stored document; one that cannot be read needs nothing and supports nothing (it names itself).
    pub fn of_document(document: &str) -> Self {
        match ecs::TaskDefinition::from_json_str(document) {
            Ok(definition) => Self::of(&definition),
            Err(fault) => {
                Self { unsupported: vec![format!("unreadable document: {}", fault.message)], ..Self::default() }
            }
        }
    }
}

/// The host ports that all tasks of the definition ask for, each once.
fn host_ports(definition: &ecs::TaskDefinition) -> Box<[HostPort]> {
    let containers = definition.container_definitions.as_deref().unwrap_or_default();
    let mappings = containers.iter().flat_map(|container| port_mappings(definition.network_mode, container));
    let ports: BTreeSet<HostPort> = match definition.network_mode {
        None | Some(ecs::NetworkMode::Bridge | ecs::NetworkMode::Host) => {
            mappings.filter_map(PortMapping::host_port).collect()
        }
        Some(ecs::NetworkMode::Awsvpc | ecs::NetworkMode::None) => BTreeSet::new(),
    };
    ports.into_iter().collect()
}

/// A container's port mappings as its node is told of them. With the host's own network, or with one of the task's own,
/// a port is the same inside and outside.
pub fn port_mappings(mode: Option<ecs::NetworkMode>, container: &ecs::ContainerDefinition) -> Vec<PortMapping> {
    let mapped = matches!(mode, None | Some(ecs::NetworkMode::Bridge));
    let read = |mapping: &ecs::PortMapping| {
        let port = |port: Option<i32>| u16::try_from(port.unwrap_or(0)).ok();
        let container = port(mapping.container_port).filter(|port| *port != 0)?;
        let host = if mapped { port(mapping.host_port)? } else { container };
        let protocol = mapping.protocol.map_or(Protocol::Tcp, |protocol| match protocol {
            ecs::TransportProtocol::Tcp => Protocol::Tcp,
            ecs::TransportProtocol::Udp => Protocol::Udp,
        });
        Some(PortMapping { container, host, protocol })
    };
    container.port_mappings.as_deref().unwrap_or_default().iter().filter_map(read).collect()
}

impl ContainerNeeds {
    /// CPU units that it books where its task has no size of its own.
    pub fn cpu_booked(&self) -> u32 {
        positive(self.cpu)
    }

    /// MiB that it books there: what it is sure of, else what it may not pass.
    pub fn memory_booked(&self) -> u32 {
        positive(self.memory_reservation.or(self.memory))
    }

    fn of(family: &str, container: &ecs::ContainerDefinition) -> Self {
        let requirements = container.resource_requirements.as_deref().unwrap_or_default();
        let command = container.health_check.as_ref().and_then(|check| check.command.first());
        Self {
            name: container.name.clone().unwrap_or_default(),
            consistent: container.version_consistency != Some(ecs::VersionConsistency::Disabled)
                && !container.image.as_deref().unwrap_or("@").contains('@'),
            essential: container.essential.unwrap_or(true),
            health_check: command.is_some_and(|word| word != "NONE"),
            log: LogNeeds::of(family, container),
            image: container.image.as_deref().map(Into::into),
            cpu: container.cpu,
            memory: container.memory,
            memory_reservation: container.memory_reservation,
            // What cannot be read is refused when it is registered.
            gpus: crate::gpu::wanted(requirements).ok().flatten().unwrap_or(0),
        }
    }
}

fn positive(number: Option<i32>) -> u32 {
    number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}

/// CPU units from `256`, `0.25 vCPU`, `.25 vcpu` (RegisterTaskDefinition, member cpu, in the API reference).
pub fn cpu_units(text: &str) -> Option<u32> {
    let lower = text.trim().to_ascii_lowercase();
    match lower.strip_suffix("vcpu") {
        Some(number) => scaled(number, 1024.0),
        None => lower.parse().ok(),
    }
}

/// MiB from `512`, `1GB`, `1 GB` (the same, member memory).
pub fn memory_mib(text: &str) -> Option<u32> {
    let lower = text.trim().to_ascii_lowercase();
    match lower.strip_suffix("gb") {
        Some(number) => scaled(number, 1024.0),
        None => lower.parse().ok(),
    }
}

fn scaled(number: &str, factor: f64) -> Option<u32> {
    let value = number.trim().parse::<f64>().ok()? * factor;
    (value.is_finite() && value >= 0.0 && value <= f64::from(u32::MAX) && value.fract() == 0.0).then_some(value as u32)
}

/// Memory sizes, in MiB, that Fargate offers for that many CPU units: first, last, step (Amazon ECS developer guide,
/// task size).
pub fn fargate_memory(cpu: u32) -> Option<(u32, u32, u32)> {
    match cpu {
        256 => Some((512, 2048, 512)),
        512 => Some((1024, 4096, 1024)),
        1024 => Some((2048, 8192, 1024)),
        2048 => Some((4096, 16_384, 1024)),
        4096 => Some((8192, 30_720, 1024)),
        8192 => Some((16_384, 61_440, 4096)),
        16_384 => Some((32_768, 122_880, 8192)),
        _ => None,
    }
}

/// Whether Fargate offers this pair.
pub fn fargate_offers(cpu: u32, memory: u32) -> bool {
    let Some((first, last, step)) = fargate_memory(cpu) else { return false };
    // A quarter vCPU is offered with 512, 1024 and 2048 MiB only.
    (first..=last).contains(&memory) && memory.is_multiple_of(step) && !(cpu == 256 && memory == 1536)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_aws_reads_them() {
        assert_eq!(cpu_units("256"), Some(256));
        assert_eq!(cpu_units(".25 vcpu"), Some(256));
        assert_eq!(cpu_units("1 vCPU"), Some(1024));
        assert_eq!(cpu_units("a"), None);
        assert_eq!(cpu_units("1e400 vcpu"), None);
        assert_eq!(memory_mib("1GB"), Some(1024));
        assert_eq!(memory_mib("0.5 GB"), Some(512));
        assert_eq!(memory_mib("-1"), None);
    }

    #[test]
    fn the_fargate_table() {
        let count = |cpu| (0..=200_000).step_by(256).filter(|memory| fargate_offers(cpu, *memory)).count();
        assert_eq!([256, 512, 1024, 2048, 4096, 8192, 16_384].map(count), [3, 4, 7, 13, 23, 12, 12]);
        assert_eq!(count(300), 0);
    }
}
