//! The agent's Task message read as what the host must make of it.

use crate::hands::{
    Attachment, Cidr, ContainerNetwork, ContainerSpec, Interface, Joined, LogTarget, Mount, MountSource, TaskKey,
    TaskLimits, Ulimit,
};
use link::acs;
use link::association::{Association, GPU};
use model::port::{PortMapping, Protocol};
use std::net::Ipv4Addr;

const MIB: u64 = 1024 * 1024;
/// Least CPU shares that the kernel takes; what ECS gives a container that asks for none.
const SHARES_MIN: i64 = 2;
/// The variable in which programs look for their GPUs.
const VISIBLE_GPUS: &str = "NVIDIA_VISIBLE_DEVICES";

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
    let gpus = gpus(task, container);
    ContainerSpec {
        name: container.name.clone(),
        image_digest: digest.to_owned(),
        entry_point: given(&container.entry_point),
        command: given(&container.command),
        environment: environment(container, &gpus),
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
        shm_bytes: host.shm_size.and_then(positive),
        tmpfs: host.tmpfs.iter().map(|(path, options)| tmpfs(path, options)).collect(),
        dns: host.dns.iter().filter_map(|address| address.parse().ok()).collect(),
        dns_search: host.dns_search,
        hosts: host.extra_hosts.iter().filter_map(|line| extra_host(line)).collect(),
        stop_signal: config.stop_signal,
        mounts: mounts(task, container),
        gpus,
        attempt: 0,
        log: log_target(task, &container.name, host.log_config),
    }
}

/// The GPUs that are this container's.
fn gpus(task: &acs::Task, container: &acs::Container) -> Vec<String> {
    let own = |a: &&Association| a.kind == GPU && a.containers.contains(&container.name);
    task.associations.iter().filter(own).map(|association| association.name.clone()).collect()
}

/// As AWS's agent does, a container is told of its GPUs, whatever its definition says of them.
fn environment(container: &acs::Container, gpus: &[String]) -> Vec<(String, String)> {
    let mut all = container.environment.clone();
    if !gpus.is_empty() {
        all.insert(VISIBLE_GPUS.to_owned(), gpus.join(","));
    }
    all.into_iter().collect()
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

/// The network of the container of that number, and the names that come with it; what the definition says of resolvers
/// wins.
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
            let domain: Vec<String> = domain.map(|(_, domain)| domain.to_owned()).into_iter().collect();
            names(spec, &[interface.resolver], &domain);
            spec.hosts.insert(0, (interface.host_name.clone(), interface.address.to_string()));
            spec.host_name.get_or_insert_with(|| interface.host_name.clone());
        }
        Attachment::Host(_) => spec.network = Joined::Host,
        Attachment::Bridge(_) | Attachment::Nothing(_) => {
            spec.network = Joined::Own(u8::try_from(number).unwrap_or(u8::MAX));
            // Twelve hex digits, as Docker takes them from the container's id.
            let key = task.as_str().get(..10).unwrap_or_default();
            let name = spec.host_name.get_or_insert_with(|| format!("{key}{number:02x}")).clone();
            if let Some(own) = own {
                names(spec, &own.dns, &own.dns_search);
                if let Some(address) = own.address {
                    spec.hosts.insert(0, (name, address.to_string()));
                }
            }
        }
    }
}

fn names(spec: &mut ContainerSpec, resolvers: &[Ipv4Addr], search: &[String]) {
    if spec.dns.is_empty() {
        spec.dns = resolvers.to_vec();
    }
    if spec.dns_search.is_empty() {
        spec.dns_search = search.to_vec();
    }
}

/// The container's own mount points, then those of the containers whose volumes it shares; the first of a path wins.
fn mounts(task: &acs::Task, container: &acs::Container) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = container.mount_points.iter().filter_map(|point| mount(task, point)).collect();
    for from in &container.volumes_from {
        let other = task.containers.iter().find(|other| other.name == from.source_container);
        for point in other.map(|other| other.mount_points.as_slice()).unwrap_or_default() {
            let shared = mount(task, point).filter(|shared| mounts.iter().all(|known| known.path != shared.path));
            mounts.extend(shared.map(|shared| Mount { read_only: shared.read_only || from.read_only, ..shared }));
        }
    }
    mounts
}

fn mount(task: &acs::Task, point: &acs::MountPoint) -> Option<Mount> {
    let volume = task.volumes.iter().find(|volume| volume.name == point.source_volume)?;
    let source = match volume.host.source_path.as_str() {
        "" => MountSource::Task(volume.name.clone()),
        path => MountSource::Host(path.to_owned()),
    };
    Some(Mount { source, path: point.container_path.clone(), read_only: point.read_only })
}

/// Docker's text of a tmpfs: the options, the size among them in MiB.
fn tmpfs(path: &str, options: &str) -> (String, u64, Vec<String>) {
    let (sizes, others): (Vec<&str>, Vec<&str>) = options.split(',').partition(|option| option.starts_with("size="));
    let mib = sizes.last().and_then(|size| size.strip_prefix("size=")?.strip_suffix('m')?.parse::<u64>().ok());
    let others = others.into_iter().filter(|option| !["", "defaults"].contains(option));
    (path.to_owned(), mib.unwrap_or(0) * MIB, others.map(str::to_owned).collect())
}

/// Docker's `name:address`.
fn extra_host(line: &str) -> Option<(String, String)> {
    let (name, address) = line.split_once(':')?;
    Some((name.to_owned(), address.to_owned()))
}

/// A negative limit means no limit, as in Docker.
fn ulimit(limit: acs::Ulimit) -> Ulimit {
    let number = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
    Ulimit { name: limit.name, soft: number(limit.soft), hard: number(limit.hard) }
}
