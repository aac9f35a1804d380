//! Rules for what a container definition says of its life: health checks, dependencies, restarts, volumes. Limits are
//! those of the API reference; messages follow the texts that AWS answers where those are known.

use model::cluster::is_valid_name;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use wire::{Fault, ecs};

/// Seconds (HealthCheck).
const INTERVAL: RangeInclusive<i32> = 5..=300;
const TIMEOUT: RangeInclusive<i32> = 2..=60;
const START_PERIOD: RangeInclusive<i32> = 0..=300;
const RETRIES: RangeInclusive<i32> = 1..=10;
/// ContainerRestartPolicy.
const RESTART_PERIOD: RangeInclusive<i32> = 60..=1800;
const IGNORED_CODES_MAX: usize = 50;
/// startTimeout on Fargate.
const START_TIMEOUT_FARGATE: RangeInclusive<i32> = 2..=120;
/// What the kernel takes.
const HOST_NAME_BYTES_MAX: usize = 64;
const DOMAIN_BYTES_MAX: usize = 253;
/// Options of a tmpfs that mean something for one (Tmpfs in the API reference lists those of every file system).
const TMPFS_OPTIONS: [&str; 16] = [
    "defaults",
    "ro",
    "rw",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "sync",
    "async",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
];
/// And those with a number.
const TMPFS_VALUES: [&str; 4] = ["mode", "uid", "gid", "nr_inodes"];
/// Longest path that a kernel takes.
const PATH_BYTES_MAX: usize = 4095;

fn client<T>(message: impl Into<String>) -> Result<T, Fault> {
    Err(ecs::fault::client(message))
}

fn between(name: &str, member: &str, asked: Option<i32>, range: &RangeInclusive<i32>) -> Result<(), Fault> {
    match asked.filter(|asked| !range.contains(asked)) {
        None => Ok(()),
        Some(asked) => client(format!(
            "Invalid setting for container '{name}'. '{member}' must be between {} and {}, got {asked}.",
            range.start(),
            range.end()
        )),
    }
}

/// What one container says of itself.
pub(super) fn check(name: &str, container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    if let Some(check) = &container.health_check {
        health_check(name, check)?;
    }
    if let Some(policy) = &container.restart_policy {
        between(name, "restartPolicy.restartAttemptPeriod", policy.restart_attempt_period, &RESTART_PERIOD)?;
        if policy.ignored_exit_codes.as_ref().is_some_and(|codes| codes.len() > IGNORED_CODES_MAX) {
            return client(format!(
                "Invalid setting for container '{name}'. 'restartPolicy.ignoredExitCodes' may have at most \
                 {IGNORED_CODES_MAX} codes."
            ));
        }
    }
    names(name, container)?;
    linux(name, container)?;
    if container.start_timeout.is_some_and(|seconds| seconds < 0) {
        return client(format!("Invalid setting for container '{name}'. 'startTimeout' must not be negative."));
    }
    Ok(())
}

/// Letters, digits, dots and hyphens, as a name on a network has them; what is written into files of the container.
fn is_host_name(text: &str, most: usize) -> bool {
    let inside = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    !text.is_empty() && text.len() <= most && inside && text.as_bytes()[0].is_ascii_alphanumeric()
}

fn names(name: &str, container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    let refused = |member: &str, text: &str, wanted: &str| {
        client(format!("Invalid setting for container '{name}'. '{member}' must be {wanted}, got {text:?}."))
    };
    if let Some(host) = container.hostname.as_deref().filter(|host| !is_host_name(host, HOST_NAME_BYTES_MAX)) {
        return refused("hostname", host, "a host name of at most 64 characters");
    }
    for server in container.dns_servers.as_deref().unwrap_or_default() {
        if server.parse::<Ipv4Addr>().is_err() {
            return refused("dnsServers", server, "IPv4 addresses");
        }
    }
    for domain in container.dns_search_domains.as_deref().unwrap_or_default() {
        if !is_host_name(domain, DOMAIN_BYTES_MAX) {
            return refused("dnsSearchDomains", domain, "domain names");
        }
    }
    for host in container.extra_hosts.as_deref().unwrap_or_default() {
        if !is_host_name(&host.hostname, DOMAIN_BYTES_MAX) {
            return refused("extraHosts.hostname", &host.hostname, "a host name");
        }
        if host.ip_address.parse::<IpAddr>().is_err() {
            return refused("extraHosts.ipAddress", &host.ip_address, "an IP address");
        }
    }
    Ok(())
}

fn linux(name: &str, container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    let Some(linux) = &container.linux_parameters else { return Ok(()) };
    if let Some(size) = linux.shared_memory_size.filter(|size| *size <= 0) {
        return client(format!(
            "Invalid setting for container '{name}'. 'linuxParameters.sharedMemorySize' must be positive, got {size}."
        ));
    }
    for tmpfs in linux.tmpfs.as_deref().unwrap_or_default() {
        let path = &tmpfs.container_path;
        if !is_sound_path(path) || path.trim_matches('/').is_empty() || tmpfs.size <= 0 {
            return client(format!(
                "Invalid setting for container '{name}'. 'linuxParameters.tmpfs' needs an absolute containerPath without \
                 '..' that is not the root, and a positive size, got {path:?} and {}.",
                tmpfs.size
            ));
        }
        let options = tmpfs.mount_options.as_deref().unwrap_or_default();
        let known = |option: &str| {
            let value = option.split_once('=');
            let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            value.map_or(TMPFS_OPTIONS.contains(&option), |(key, value)| TMPFS_VALUES.contains(&key) && number(value))
        };
        if let Some(option) = options.iter().find(|option| !known(option)) {
            return client(format!(
                "Invalid setting for container '{name}'. 'linuxParameters.tmpfs.mountOptions' has no option {option:?}."
            ));
        }
    }
    Ok(())
}

fn health_check(name: &str, check: &ecs::HealthCheck) -> Result<(), Fault> {
    let refused = |why: &str| client(format!("Invalid setting for container '{name}'. 'healthCheck.command' {why}."));
    match check.command.first().map(String::as_str) {
        None => return refused("must not be empty"),
        Some("NONE") if check.command.len() == 1 => {}
        Some("CMD") if check.command.len() > 1 => {}
        Some("CMD-SHELL") if check.command.len() == 2 => {}
        Some("CMD-SHELL") => return refused("takes one text after CMD-SHELL"),
        Some(_) => return refused("must begin with CMD, CMD-SHELL or NONE, and name what to run"),
    }
    if check.command.iter().any(|word| word.contains('\0')) || check.command.get(1).is_some_and(String::is_empty) {
        return refused("must name what to run");
    }
    between(name, "healthCheck.interval", check.interval, &INTERVAL)?;
    between(name, "healthCheck.timeout", check.timeout, &TIMEOUT)?;
    between(name, "healthCheck.startPeriod", check.start_period, &START_PERIOD)?;
    between(name, "healthCheck.retries", check.retries, &RETRIES)
}

/// What containers say of each other.
pub(super) fn check_dependencies(containers: &[ecs::ContainerDefinition]) -> Result<(), Fault> {
    for container in containers {
        let name = container.name.as_deref().unwrap_or("");
        let mut seen = BTreeSet::new();
        for on in container.depends_on.as_deref().unwrap_or_default() {
            let other = containers.iter().find(|other| other.name.as_deref() == Some(on.container_name.as_str()));
            let Some(other) = other else {
                return client(format!(
                    "dependsOn of container '{name}' names the container '{}', which is not in the task definition.",
                    on.container_name
                ));
            };
            if !seen.insert(on.container_name.as_str()) {
                return client(format!("dependsOn of container '{name}' names '{}' twice.", on.container_name));
            }
            check_condition(on.condition, other)?;
        }
    }
    if has_cycle(containers) {
        return client("There is a dependency cycle between the containers.");
    }
    Ok(())
}

fn check_condition(condition: ecs::ContainerCondition, on: &ecs::ContainerDefinition) -> Result<(), Fault> {
    let checked =
        on.health_check.as_ref().is_some_and(|check| check.command.first().is_some_and(|word| word != "NONE"));
    match condition {
        ecs::ContainerCondition::Complete | ecs::ContainerCondition::Success if on.essential != Some(false) => {
            client("A dependency container with SUCCESS or COMPLETE condition cannot be an essential container")
        }
        ecs::ContainerCondition::Healthy if !checked => {
            client("A dependency container with HEALTHY condition must have a health check.")
        }
        _ => Ok(()),
    }
}

/// Takes away containers that depend on nothing left, until nothing changes; what remains is a cycle.
fn has_cycle(containers: &[ecs::ContainerDefinition]) -> bool {
    let mut left: Vec<&ecs::ContainerDefinition> = containers.iter().collect();
    loop {
        let names: BTreeSet<String> = left.iter().filter_map(|container| container.name.clone()).collect();
        let before = left.len();
        left.retain(|container| {
            container.depends_on.as_deref().unwrap_or_default().iter().any(|on| names.contains(&on.container_name))
        });
        if left.is_empty() || left.len() == before {
            return !left.is_empty();
        }
    }
}

/// What a path of a host or a container must be: one that means the same from everywhere.
fn is_sound_path(path: &str) -> bool {
    path.starts_with('/')
        && path.len() <= PATH_BYTES_MAX
        && !path.contains('\0')
        && path.split('/').all(|part| part != "..")
}

/// Volumes, and how containers see them.
pub(super) fn check_volumes(input: &ecs::RegisterTaskDefinitionRequest) -> Result<(), Fault> {
    let mut names = BTreeSet::new();
    for volume in input.volumes.as_deref().unwrap_or_default() {
        let name = volume.name.as_deref().unwrap_or("");
        if !is_valid_name(name) {
            return client(format!(
                "Invalid volume name {name:?}: 1 to 255 letters, numbers, hyphens and underscores are allowed."
            ));
        }
        if !names.insert(name) {
            return client(format!("Duplicate volume name: {name}. Volume names must be unique in a task definition."));
        }
        let source = volume.host.as_ref().and_then(|host| host.source_path.as_deref()).filter(|path| !path.is_empty());
        if let Some(path) = source.filter(|path| !is_sound_path(path)) {
            return client(format!(
                "Volume '{name}': 'host.sourcePath' must be an absolute path without '..': {path:?}."
            ));
        }
    }
    let containers = &input.container_definitions;
    containers.iter().try_for_each(|container| check_mounts(container, &names, containers))
}

fn check_mounts(
    container: &ecs::ContainerDefinition,
    volumes: &BTreeSet<&str>,
    containers: &[ecs::ContainerDefinition],
) -> Result<(), Fault> {
    let name = container.name.as_deref().unwrap_or("");
    let mut paths = BTreeSet::new();
    for point in container.mount_points.as_deref().unwrap_or_default() {
        let volume = point.source_volume.as_deref().unwrap_or("");
        if !volumes.contains(volume) {
            return client(format!("Unknown volume '{volume}'."));
        }
        let path = point.container_path.as_deref().unwrap_or("");
        if !is_sound_path(path) || path.trim_matches('/').is_empty() {
            return client(format!(
                "Invalid mount point for container '{name}': 'containerPath' must be an absolute path without '..', and \
                 not the root: {path:?}."
            ));
        }
        if !paths.insert(path.trim_end_matches('/')) {
            return client(format!("Duplicate mount point '{path}' for container '{name}'."));
        }
    }
    for from in container.volumes_from.as_deref().unwrap_or_default() {
        let source = from.source_container.as_deref().unwrap_or("");
        if source == name || !containers.iter().any(|other| other.name.as_deref() == Some(source)) {
            return client(format!(
                "volumesFrom of container '{name}' must name another container of the task definition, got '{source}'."
            ));
        }
    }
    Ok(())
}

/// What a network mode leaves no room for (ContainerDefinition, members hostname and extraHosts). Without a network of
/// the container's own the host's names are the container's, or there are none.
pub(super) fn check_network(mode: Option<ecs::NetworkMode>, container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    let filled = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let foreign = matches!(mode, Some(ecs::NetworkMode::Host | ecs::NetworkMode::None));
    let own = foreign || mode == Some(ecs::NetworkMode::Awsvpc);
    let used = [
        ("hostname", own && container.hostname.is_some()),
        ("extraHosts", own && container.extra_hosts.as_ref().is_some_and(|hosts| !hosts.is_empty())),
        ("dnsServers", foreign && filled(&container.dns_servers)),
        ("dnsSearchDomains", foreign && filled(&container.dns_search_domains)),
    ];
    match (used.iter().find(|(_, used)| *used), mode) {
        (Some((member, _)), Some(mode)) => {
            client(format!("{member} is not supported on container when networkMode={}.", mode.as_str()))
        }
        _ => Ok(()),
    }
}

/// What Fargate asks of them besides.
pub(super) fn check_fargate(input: &ecs::RegisterTaskDefinitionRequest) -> Result<(), Fault> {
    for volume in input.volumes.as_deref().unwrap_or_default() {
        let source = volume.host.as_ref().and_then(|host| host.source_path.as_deref());
        if source.is_some_and(|path| !path.is_empty()) {
            return client("Tasks using the Fargate launch type do not support the host.sourcePath volume parameter.");
        }
    }
    for container in &input.container_definitions {
        let name = container.name.as_deref().unwrap_or("");
        between(name, "startTimeout", container.start_timeout, &START_TIMEOUT_FARGATE)?;
        let linux = container.linux_parameters.as_ref();
        let used = [
            ("dnsSearchDomains", container.dns_search_domains.as_ref().is_some_and(|list| !list.is_empty())),
            ("linuxParameters.sharedMemorySize", linux.is_some_and(|linux| linux.shared_memory_size.is_some())),
            ("linuxParameters.tmpfs", linux.is_some_and(|l| l.tmpfs.as_ref().is_some_and(|list| !list.is_empty()))),
        ];
        if let Some((member, _)) = used.iter().find(|(_, used)| *used) {
            return client(format!("Tasks using the Fargate launch type do not support '{member}'."));
        }
    }
    Ok(())
}
