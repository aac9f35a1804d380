//! Builds the OCI runtime specification of one container from what the node decided, what the image says and what the
//! host can do. Pure: numbers, names and paths in, a JSON document or a reason out.

use super::devices::Devices;
use super::failure::Failure;
use super::protocol::ImageConfig;
use super::seccomp;
use super::user::User;
use super::volumes;
use node::hands::{ContainerSpec, Joined, Ulimit};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What Docker gives every container.
const CAPABILITIES_DEFAULT: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const SHM_BYTES_DEFAULT: u64 = 64 << 20;
/// Open files on Fargate when the task definition says nothing; less where the host allows less.
const NOFILE_DEFAULT: u64 = 65_535;
/// ECS names and the kernel's.
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// What the host lets a container have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    /// `CAP_…` of the supervisor's bounding set, lowest number first.
    pub(crate) capabilities: Vec<String>,
    /// Hard limits of the supervisor by ECS name; absent means unlimited.
    pub(crate) hard_limits: BTreeMap<String, u64>,
    /// Version 2 only: the container gets a cgroup namespace.
    pub(crate) unified: bool,
}

impl Host {
    fn may_raise_limits(&self) -> bool {
        self.capabilities.iter().any(|name| name == "CAP_SYS_RESOURCE")
    }
}

/// One container, ready to be described.
pub(crate) struct Setup<'a> {
    pub(crate) spec: &'a ContainerSpec,
    pub(crate) image: &'a ImageConfig,
    pub(crate) user: &'a User,
    pub(crate) host: &'a Host,
    /// What it gets of the host's devices.
    pub(crate) devices: &'a Devices<'a>,
    /// The mounted root file system.
    pub(crate) root: &'a Path,
    /// Where the task's own volumes are.
    pub(crate) volumes: &'a Path,
    /// The network namespace to join.
    pub(crate) network: &'a Path,
    /// The container's group in the version 2 hierarchy.
    pub(crate) cgroup: &'a str,
    /// A directory to show as /sys/fs/cgroup; `None`: a cgroup2 mount.
    pub(crate) cgroup_view: Option<PathBuf>,
}

/// The whole document.
pub(crate) fn build(setup: &Setup<'_>) -> Result<Value, Failure> {
    let spec = setup.spec;
    let capabilities = capabilities(spec, setup.host)?;
    let mut linux = json!({
        "cgroupsPath": setup.cgroup,
        "namespaces": namespaces(setup),
        "maskedPaths": MASKED,
        "readonlyPaths": READ_ONLY,
    });
    if spec.privileged {
        linux["maskedPaths"] = json!([]);
        linux["readonlyPaths"] = json!([]);
    } else {
        linux["seccomp"] = seccomp::resolve(&capabilities);
    }
    if spec.network == Joined::Host && spec.sysctls.iter().any(|(name, _)| name.starts_with("net.")) {
        return Err(Failure::create("parameters of the host's network are not a container's to set"));
    }
    if !spec.sysctls.is_empty() {
        linux["sysctl"] = spec.sysctls.iter().cloned().collect::<BTreeMap<_, _>>().into_iter().collect();
    }
    let nodes = setup.devices.nodes();
    if !nodes.is_empty() {
        linux["devices"] = json!(nodes);
    }
    let mut document = json!({
        "ociVersion": "1.0.2",
        "root": { "path": setup.root, "readonly": spec.read_only_root },
        "hostname": spec.host_name.as_deref().unwrap_or("localhost"),
        "mounts": mounts(setup)?,
        "process": process(setup, &capabilities)?,
        "linux": linux,
    });
    if let Some(hooks) = setup.devices.hooks() {
        document["hooks"] = hooks;
    }
    Ok(document)
}

fn process(setup: &Setup<'_>, capabilities: &BTreeSet<String>) -> Result<Value, Failure> {
    let (spec, user) = (setup.spec, setup.user);
    // Like Docker: other users than root begin without capabilities, and cannot gain any.
    let held: BTreeSet<&String> = if user.uid == 0 { capabilities.iter().collect() } else { BTreeSet::new() };
    let more = setup.devices.groups().iter().filter(|gid| !user.groups.contains(gid));
    let groups: Vec<u32> = user.groups.iter().chain(more).copied().collect();
    let mut process = json!({
        "args": arguments(spec, setup.image)?,
        "env": environment(setup),
        "cwd": working_directory(spec, setup.image),
        "user": { "uid": user.uid, "gid": user.gid, "additionalGids": groups },
        "capabilities": {
            "bounding": capabilities, "effective": held, "permitted": held,
            "inheritable": [], "ambient": [],
        },
        "rlimits": rlimits(&spec.ulimits, setup.host)?,
    });
    if !spec.privileged {
        // Never `false`: libcontainer looks only whether the member is there.
        process["noNewPrivileges"] = json!(true);
    }
    Ok(process)
}

/// Entry point and command, as Docker combines them: an entry point of the task's own drops the image's command.
pub(crate) fn arguments(spec: &ContainerSpec, image: &ImageConfig) -> Result<Vec<String>, Failure> {
    let entry_point = spec.entry_point.as_ref().unwrap_or(&image.entry_point);
    let none = Vec::new();
    let command = match (&spec.command, &spec.entry_point) {
        (Some(command), _) => command,
        (None, Some(_)) => &none,
        (None, None) => &image.command,
    };
    let arguments: Vec<String> = entry_point.iter().chain(command).cloned().collect();
    if arguments.is_empty() {
        return Err(Failure::create("no command specified"));
    }
    if arguments.iter().any(|argument| argument.contains('\0')) {
        return Err(Failure::create("the command contains a NUL byte"));
    }
    Ok(arguments)
}

/// The image's variables, then those of its devices, then the task's, the last of a name winning in the first one's place.
fn environment(setup: &Setup<'_>) -> Vec<String> {
    let mut variables: Vec<(String, String)> = vec![("PATH".into(), PATH_DEFAULT.into())];
    if let Some(name) = &setup.spec.host_name {
        variables.push(("HOSTNAME".into(), name.clone()));
    }
    variables.push(("HOME".into(), setup.user.home.clone()));
    let given = setup.image.environment.iter().chain(setup.devices.variables());
    let image = given.map(|text| match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (text.clone(), String::new()),
    });
    for (name, value) in image.chain(setup.spec.environment.iter().cloned()) {
        if name.is_empty() || name.contains(['\0', '=']) || value.contains('\0') {
            continue;
        }
        match variables.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => variables.push((name, value)),
        }
    }
    variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// Always absolute, as the kernel resolves it in the container's root.
pub(crate) fn working_directory(spec: &ContainerSpec, image: &ImageConfig) -> String {
    let wanted = spec.working_directory.as_deref().unwrap_or(&image.working_directory);
    if wanted.starts_with('/') { wanted.to_owned() } else { format!("/{wanted}") }
}

fn named(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") }
}

fn capabilities(spec: &ContainerSpec, host: &Host) -> Result<BTreeSet<String>, Failure> {
    let all = || host.capabilities.iter().cloned();
    if spec.privileged {
        return Ok(all().collect());
    }
    let drops_all = spec.capabilities_drop.iter().any(|name| named(name) == "CAP_ALL");
    let adds_all = spec.capabilities_add.iter().any(|name| named(name) == "CAP_ALL");
    let mut set: BTreeSet<String> = match (adds_all, drops_all) {
        (true, _) => all().collect(),
        (false, true) => BTreeSet::new(),
        (false, false) => CAPABILITIES_DEFAULT
            .iter()
            .filter(|name| host.capabilities.iter().any(|have| have == *name))
            .map(|name| (*name).to_owned())
            .collect(),
    };
    for name in spec.capabilities_drop.iter().map(|name| named(name)) {
        set.remove(&name);
    }
    for name in spec.capabilities_add.iter().map(|name| named(name)) {
        if name == "CAP_ALL" {
            continue;
        }
        if !host.capabilities.contains(&name) {
            return Err(Failure::create(format!("capability {name} is unknown or not available on this host")));
        }
        set.insert(name);
    }
    Ok(set)
}

fn rlimits(wanted: &[Ulimit], host: &Host) -> Result<Vec<Value>, Failure> {
    let mut limits: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let nofile = host.hard_limits.get("nofile").copied().unwrap_or(u64::MAX).min(NOFILE_DEFAULT);
    limits.insert("nofile", (nofile, nofile));
    for limit in wanted {
        if !ULIMITS.contains(&limit.name.as_str()) {
            return Err(Failure::create(format!("unknown ulimit {}", limit.name)));
        }
        if limit.soft > limit.hard {
            return Err(Failure::create(format!(
                "ulimit {}: soft limit {} exceeds hard limit {}",
                limit.name, limit.soft, limit.hard
            )));
        }
        let most = host.hard_limits.get(&limit.name).copied().unwrap_or(u64::MAX);
        if limit.hard > most && !host.may_raise_limits() {
            return Err(Failure::start(format!(
                "ulimit {}: hard limit {} exceeds this host's maximum of {most}, which only CAP_SYS_RESOURCE may raise",
                limit.name, limit.hard
            )));
        }
        limits.insert(&limit.name, (limit.soft, limit.hard));
    }
    let value = |(name, (soft, hard)): (&str, (u64, u64))| json!({ "type": format!("RLIMIT_{}", name.to_ascii_uppercase()), "soft": soft, "hard": hard });
    Ok(limits.into_iter().map(value).collect())
}

fn namespaces(setup: &Setup<'_>) -> Vec<Value> {
    let mut namespaces: Vec<Value> =
        ["pid", "ipc", "uts", "mount"].iter().map(|kind| json!({ "type": kind })).collect();
    namespaces.push(json!({ "type": "network", "path": setup.network }));
    if setup.host.unified {
        namespaces.push(json!({ "type": "cgroup" }));
    }
    namespaces
}

fn mounts(setup: &Setup<'_>) -> Result<Vec<Value>, Failure> {
    let spec = setup.spec;
    let shm = format!("size={}", spec.shm_bytes.unwrap_or(SHM_BYTES_DEFAULT));
    let sys = if spec.privileged { "rw" } else { "ro" };
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", sys]),
        match &setup.cgroup_view {
            Some(view) => json!({
                "destination": "/sys/fs/cgroup", "type": "bind", "source": view,
                "options": ["rbind", "nosuid", "noexec", "nodev", "rro"],
            }),
            None => mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", sys]),
        },
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &shm]),
    ];
    for (path, size, options) in &spec.tmpfs {
        if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Err(Failure::create(format!("tmpfs path {path} is not absolute")));
        }
        let size = format!("size={size}");
        let mut all: Vec<&str> = vec!["nosuid", "noexec", "nodev"];
        // What the task says comes later and wins.
        all.retain(|option| !options.iter().any(|wanted| format!("no{wanted}") == **option));
        all.extend(options.iter().map(String::as_str));
        all.push(&size);
        mounts.push(mount(path, "tmpfs", "tmpfs", &all));
    }
    for wanted in &spec.mounts {
        if !wanted.path.starts_with('/') || wanted.path.split('/').any(|part| part == "..") {
            return Err(Failure::create(format!("mount path {} is not absolute", wanted.path)));
        }
        let source = volumes::source(setup.volumes, &wanted.source);
        let access = if wanted.read_only { "rro" } else { "rw" };
        mounts.push(json!({
            "destination": wanted.path, "type": "bind", "source": source, "options": ["rbind", "rprivate", access],
        }));
    }
    mounts.extend(setup.devices.mounts());
    Ok(mounts)
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({ "destination": destination, "type": kind, "source": source, "options": options })
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
