//! The agent's Task message read as what the host must make of it.

use crate::hands::{
    Attachment, Cidr, ContainerNetwork, ContainerSpec, Interface, Joined, LogTarget, TaskKey, TaskLimits, Ulimit,
};
use link::acs;
use model::port::{PortMapping, Protocol};
use std::net::Ipv4Addr;

const MIB: u64 = 1024 * 1024;
/// Least CPU shares that the kernel takes; what ECS gives a container that asks for none.
const SHARES_MIN: i64 = 2;

/// Limits of the task as a whole.
pub(crate) fn limits(task: &acs::Task) -> TaskLimits {
    let units = task.cpu.map(|cpu| (cpu * 1024.0).round()).filter(|units| *units >= 1.0);
    let memory = task.memory.and_then(|mib| u64::try_from(mib).ok()).filter(|mib| *mib > 0);
    TaskLimits { cpu_units: units.map(|units| units as u32), memory_bytes: memory.map(|mib| mib * MIB) }
}

/// The task's network, or what is wrong with the message.
pub(crate) fn attachment(task: &acs::Task) -> Result<Attachment, String> {
    let ports = || task.containers.iter().map(ports).collect::<Result<Vec<_>, String>>();
    match task.network_mode.as_str() {
        "awsvpc" => interface(task).map(Attachment::Interface),
        // Docker's default, too, for an agent that is told nothing.
        "bridge" | "" => ports().map(Attachment::Bridge),
        "host" => ports().map(Attachment::Host),
        "none" => Ok(Attachment::Nothing(task.containers.len())),
        other => Err(format!("network mode {other:?} is not supported by this node")),
    }
}

fn ports(container: &acs::Container) -> Result<Vec<PortMapping>, String> {
    let read = |mapping: &acs::PortMapping| {
        let protocol = Protocol::parse(&mapping.protocol).filter(|_| mapping.container_port != 0);
        let protocol = protocol.ok_or_else(|| format!("port mapping {mapping:?} cannot be read"))?;
        Ok(PortMapping { container: mapping.container_port, host: mapping.host_port, protocol })
    };
    container.port_mappings.iter().map(read).collect()
}

fn interface(task: &acs::Task) -> Result<Interface, String> {
    let eni = task.elastic_network_interfaces.first().ok_or("the task has no network interface")?;
    read_interface(eni).ok_or_else(|| format!("network interface {} cannot be read", eni.ec2_id))
}

fn read_interface(eni: &acs::ElasticNetworkInterface) -> Option<Interface> {
    let (gateway, prefix) = eni.subnet_gateway_ipv4_address.split_once('/')?;
    let gantry = eni.gantry.as_ref()?;
    let vpc_cidr = Cidr::parse(&gantry.vpc_cidr)?;
    let address: Ipv4Addr = eni.ipv4_addresses.first()?.private_address.parse().ok()?;
    let interface = Interface {
        id: eni.ec2_id.clone(),
        vpc: gantry.vpc_id.clone(),
        vpc_cidr,
        mac: mac(&eni.mac_address)?,
        address,
        prefix: prefix.parse().ok().filter(|prefix| *prefix <= 32)?,
        gateway: gateway.parse().ok()?,
        resolver: eni.domain_name_servers.first()?.parse().ok()?,
        host_name: eni.private_dns_name.clone(),
    };
    let inside = vpc_cidr.contains(address) && vpc_cidr.contains(interface.gateway);
    inside.then_some(interface)
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

/// A container as it must be made, but for its network.
pub(crate) fn container(task: &acs::Task, container: &acs::Container, digest: &str) -> ContainerSpec {
    let config: acs::Config = serde_json::from_str(&container.docker_config.config).unwrap_or_default();
    let host: acs::HostConfig = serde_json::from_str(&container.docker_config.host_config).unwrap_or_default();
    let positive = |number: i64| u64::try_from(number).ok().filter(|number| *number > 0);
    let given = |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
    ContainerSpec {
        name: container.name.clone(),
        image_digest: digest.to_owned(),
        entry_point: given(&container.entry_point),
        command: given(&container.command),
        environment: container.environment.clone().into_iter().collect(),
        user: config.user.filter(|user| !user.is_empty()),
        working_directory: config.working_dir.filter(|dir| !dir.is_empty()),
        network: Joined::Task,
        host_name: config.hostname.filter(|name| !name.is_empty()),
        memory_bytes: positive(container.memory).map(|mib| mib * MIB),
        memory_reservation_bytes: host.memory_reservation.and_then(positive),
        cpu_shares: u32::try_from(container.cpu.max(SHARES_MIN)).ok(),
        read_only_root: host.readonly_rootfs,
        privileged: host.privileged,
        capabilities_add: host.cap_add,
        capabilities_drop: host.cap_drop,
        ulimits: host.ulimits.into_iter().map(ulimit).collect(),
        sysctls: host.sysctls.into_iter().collect(),
        shm_bytes: None,
        tmpfs: Vec::new(),
        dns: Vec::new(),
        dns_search: Vec::new(),
        hosts: Vec::new(),
        stop_signal: config.stop_signal,
        log: log_target(task, &container.name, host.log_config),
    }
}

/// Where a container's output goes; what says nothing goes to a group of its family.
fn log_target(task: &acs::Task, container: &str, config: Option<acs::LogConfig>) -> LogTarget {
    let Some(acs::LogConfig { mut config, .. }) = config else {
        let stream = model::log::default_stream(container, acs::id_of(&task.arn));
        return LogTarget {
            group: model::log::default_group(&task.family),
            stream: Some(stream),
            ..LogTarget::default()
        };
    };
    LogTarget {
        group: config.remove("awslogs-group").unwrap_or_default(),
        stream: config.remove("awslogs-stream").filter(|stream| !stream.is_empty()),
        blocking: config.get("mode").is_some_and(|mode| mode == "blocking"),
        buffer_bytes: config.get("max-buffer-size").and_then(|size| model::log::buffer_bytes(size)),
    }
}

/// The network of the container of that number, and the names that come with it.
pub(crate) fn join(
    spec: &mut ContainerSpec,
    task: &TaskKey,
    number: usize,
    attachment: &Attachment,
    own: Option<&ContainerNetwork>,
) {
    match attachment {
        Attachment::Interface(interface) => {
            let domain = interface.host_name.split_once('.');
            spec.dns = vec![interface.resolver];
            spec.dns_search = domain.map(|(_, domain)| domain.to_owned()).into_iter().collect();
            spec.hosts = vec![(interface.host_name.clone(), interface.address.to_string())];
            spec.host_name.get_or_insert_with(|| interface.host_name.clone());
        }
        Attachment::Host(_) => spec.network = Joined::Host,
        Attachment::Bridge(_) | Attachment::Nothing(_) => {
            spec.network = Joined::Own(u8::try_from(number).unwrap_or(u8::MAX));
            // Twelve hex digits, as Docker takes them from the container's id.
            let key = task.as_str().get(..10).unwrap_or_default();
            let name = spec.host_name.get_or_insert_with(|| format!("{key}{number:02x}")).clone();
            if let Some(own) = own {
                spec.dns.clone_from(&own.dns);
                spec.dns_search.clone_from(&own.dns_search);
                spec.hosts = own.address.map(|address| (name, address.to_string())).into_iter().collect();
            }
        }
    }
}

/// A negative limit means no limit, as in Docker.
fn ulimit(limit: acs::Ulimit) -> Ulimit {
    let number = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
    Ulimit { name: limit.name, soft: number(limit.soft), hard: number(limit.hard) }
}
