//! The agent's Task message read as what the host must make of it.

use crate::hands::{Cidr, ContainerSpec, Interface, TaskLimits, Ulimit};
use link::acs;
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

/// The task's interface, or what is wrong with the message.
pub(crate) fn interface(task: &acs::Task) -> Result<Interface, String> {
    if task.network_mode != "awsvpc" {
        return Err(format!("network mode {:?} is not supported by this node", task.network_mode));
    }
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

/// A container as it must be made.
pub(crate) fn container(container: &acs::Container, digest: &str, interface: Option<&Interface>) -> ContainerSpec {
    let config: acs::Config = serde_json::from_str(&container.docker_config.config).unwrap_or_default();
    let host: acs::HostConfig = serde_json::from_str(&container.docker_config.host_config).unwrap_or_default();
    let positive = |number: i64| u64::try_from(number).ok().filter(|number| *number > 0);
    let given = |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
    let domain = interface.and_then(|interface| interface.host_name.split_once('.'));
    ContainerSpec {
        name: container.name.clone(),
        image_digest: digest.to_owned(),
        entry_point: given(&container.entry_point),
        command: given(&container.command),
        environment: container.environment.clone().into_iter().collect(),
        user: config.user.filter(|user| !user.is_empty()),
        working_directory: config.working_dir.filter(|dir| !dir.is_empty()),
        host_name: config.hostname.or_else(|| interface.map(|interface| interface.host_name.clone())),
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
        dns: interface.map(|interface| interface.resolver).into_iter().collect(),
        dns_search: domain.map(|(_, domain)| domain.to_owned()).into_iter().collect(),
        hosts: interface.map(|i| (i.host_name.clone(), i.address.to_string())).into_iter().collect(),
        stop_signal: config.stop_signal,
    }
}

/// A negative limit means no limit, as in Docker.
fn ulimit(limit: acs::Ulimit) -> Ulimit {
    let number = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
    Ulimit { name: limit.name, soft: number(limit.soft), hard: number(limit.hard) }
}
