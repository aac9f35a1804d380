//! What a node may ask of its machine, and what the machine answers: the two closed lists `Command` and `Event`.
//!
//! The node decides and never acts; hands act and never decide. Every command is idempotent by task: after a crash the
//! node says it again, and the hands finish what was half done. This file holds no logic and performs no IO.

mod network;

pub use network::{Attachment, Cidr, ContainerNetwork, HostPort, Interface, Joined, PortMapping, Protocol};

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;

/// The 32 hex digits at the end of a task's ARN: the name of everything a task has on a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskKey(String);

impl TaskKey {
    /// Accepts exactly 32 lower-case hex digits, so that a key is safe as a file, cgroup or namespace name.
    pub fn new(text: &str) -> Option<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 32 && text.bytes().all(hex)).then(|| Self(text.to_owned()))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TaskKey {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::new(&text).ok_or_else(|| format!("not a task key: {text:?}"))
    }
}

impl From<TaskKey> for String {
    fn from(key: TaskKey) -> String {
        key.0
    }
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The limits of a whole task: its own cgroup, the parent of its containers' cgroups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskLimits {
    /// Hard limit in CPU units (1024 = one core); `None`: no limit.
    pub cpu_units: Option<u32>,
    /// Hard limit in bytes; `None`: no limit.
    pub memory_bytes: Option<u64>,
}

/// A resource limit of a container's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// The ECS name: `nofile`, `nproc`, `core` …
    pub name: String,
    /// Soft limit.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

/// A container as it must be made: everything decided, nothing looked up but the image's own configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The container's name in the task definition.
    pub name: String,
    /// Manifest digest of an image that `PrepareImage` reported ready.
    pub image_digest: String,
    /// Replaces the image's entry point; `None`: the image's.
    pub entry_point: Option<Vec<String>>,
    /// Replaces the image's command; `None`: the image's (or nothing when `entry_point` is given, as Docker does).
    pub command: Option<Vec<String>>,
    /// Added to the image's environment; later wins.
    pub environment: Vec<(String, String)>,
    /// `user[:group]`, names or numbers; `None`: the image's.
    pub user: Option<String>,
    /// `None`: the image's, else `/`.
    pub working_directory: Option<String>,
    /// The network that it joins.
    #[serde(default)]
    pub network: Joined,
    /// The host name inside; `None`: the host's.
    pub host_name: Option<String>,
    /// Hard memory limit in bytes.
    pub memory_bytes: Option<u64>,
    /// Soft memory limit in bytes.
    pub memory_reservation_bytes: Option<u64>,
    /// CPU shares (1024 = one core's worth).
    pub cpu_shares: Option<u32>,
    /// The root file system is mounted read-only.
    pub read_only_root: bool,
    /// All capabilities and devices, no seccomp.
    pub privileged: bool,
    /// Capabilities added to Docker's default fourteen (`SYS_PTRACE`, or `ALL`), without the `CAP_` prefix.
    pub capabilities_add: Vec<String>,
    /// Capabilities dropped.
    pub capabilities_drop: Vec<String>,
    /// Resource limits.
    pub ulimits: Vec<Ulimit>,
    /// `name=value` kernel parameters of the container's namespaces.
    pub sysctls: Vec<(String, String)>,
    /// Size of /dev/shm in bytes; `None`: 64 MiB.
    pub shm_bytes: Option<u64>,
    /// tmpfs mounts: path, size in bytes, mount options.
    pub tmpfs: Vec<(String, u64, Vec<String>)>,
    /// Addresses for /etc/resolv.conf.
    pub dns: Vec<Ipv4Addr>,
    /// Search domains for /etc/resolv.conf.
    pub dns_search: Vec<String>,
    /// Lines for /etc/hosts: name, address.
    pub hosts: Vec<(String, String)>,
    /// The signal that asks it to end; `None`: the image's, else SIGTERM.
    pub stop_signal: Option<String>,
    /// What is mounted into it.
    pub mounts: Vec<Mount>,
    /// The GPUs of the host that it gets, by their ids.
    #[serde(default)]
    pub gpus: Vec<String>,
    /// How often it was started before. A higher number than that of a container that has ended starts it again, on the
    /// same writable layer.
    pub attempt: u32,
    /// Where its output goes.
    #[serde(default)]
    pub log: LogTarget,
}

/// Something mounted into a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where it comes from.
    pub source: MountSource,
    /// Where it is seen, absolute.
    pub path: String,
    /// It cannot be written to.
    pub read_only: bool,
}

/// Where a mount comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    /// A path of the host, absolute; a directory that is not there is made.
    Host(String),
    /// A directory of the task's own, by the name of its volume; it goes with the task.
    Task(String),
}

/// Where a container's output goes, and what happens while it cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogTarget {
    /// The log group.
    pub group: String,
    /// The stream; `None`: named as the runtime names the container.
    pub stream: Option<String>,
    /// A container whose output cannot be kept waits; else the oldest is dropped.
    pub blocking: bool,
    /// Bytes kept on the node; `None`: the runtime's own bound.
    pub buffer_bytes: Option<u64>,
}

/// What a node orders. Each is answered by the event named in its comment; each may be said again at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Keep `record` so that it survives the process (written aside, renamed into place) → `Recorded`.
    Record {
        /// The task.
        task: TaskKey,
        /// Opaque text of the node's.
        record: String,
    },
    /// Give the task its network → `NetworkReady` or `NetworkFailed`. Said again, it answers the same.
    AttachNetwork {
        /// The task.
        task: TaskKey,
        /// What that must be.
        attachment: Attachment,
    },
    /// Have the image unpacked and ready → `ImageReady` or `ImageFailed`; may send `ImagePulling` first.
    PrepareImage {
        /// The task.
        task: TaskKey,
        /// The container that needs it.
        container: String,
        /// As the task definition says it, `nginx` or `registry:5000/team/app@sha256:…`.
        image: String,
    },
    /// Start the task's supervisor with its cgroup and limits → `Supervised`, or `SupervisorLost`.
    Supervise {
        /// The task.
        task: TaskKey,
        /// Limits of the task's own cgroup.
        limits: TaskLimits,
    },
    /// Create and start one container → `ContainerCreated` and `ContainerStarted`, or `ContainerFailed`.
    StartContainer {
        /// The task.
        task: TaskKey,
        /// The container.
        spec: Box<ContainerSpec>,
    },
    /// Send the container's stop signal (`force` false) or SIGKILL to all its processes → later `ContainerExited`.
    StopContainer {
        /// The task.
        task: TaskKey,
        /// The container.
        container: String,
        /// SIGKILL instead of the stop signal.
        force: bool,
    },
    /// Run a health check inside a container that runs → `HealthChecked`. One that is under way is not begun again.
    CheckHealth {
        /// The task.
        task: TaskKey,
        /// The container.
        container: String,
        /// A program with its arguments.
        command: Vec<String>,
        /// After this it is killed.
        timeout_ms: u64,
    },
    /// End the supervisor, kill what is left, remove cgroups, mounts and namespace, keep the directory → `Released`.
    Release {
        /// The task.
        task: TaskKey,
    },
    /// Note that the control plane has acknowledged `status`; no event.
    NoteReported {
        /// The task.
        task: TaskKey,
        /// `RUNNING` or `STOPPED`.
        status: String,
    },
    /// Delete the task's directory, the last trace → `Forgotten`.
    Forget {
        /// The task.
        task: TaskKey,
    },
}

/// Why an image could not be made ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFailure {
    /// ECS's error name: `CannotPullContainerError`, `CannotPullImageManifestError` …
    pub error: String,
    /// The registry's or the system's words.
    pub message: String,
}

/// How a container ended. Written by the supervisor before anybody is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code; 128 + signal when a signal ended it; `None` when it never ran or nobody knows.
    pub code: Option<i32>,
    /// The kernel killed a process of it for memory.
    pub out_of_memory: bool,
    /// Why it could not be made or started, ECS style: `CannotStartContainerError: …`.
    pub reason: Option<String>,
    /// Milliseconds since the epoch.
    pub at: u64,
}

/// Where a container stands, as its supervisor tells after a restart of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundContainer {
    /// The container's name.
    pub name: String,
    /// The runtime's id of it.
    pub runtime_id: String,
    /// The image it was made from.
    pub image_digest: String,
    /// Milliseconds since the epoch, once started.
    pub started_at: Option<u64>,
    /// Set when it has ended.
    pub exit: Option<Exit>,
    /// See `ContainerSpec`.
    #[serde(default)]
    pub attempt: u32,
}

/// What a node's machine tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A task directory of an earlier life of this node; comes before any command is answered.
    Found {
        /// The task.
        task: TaskKey,
        /// What `Record` kept; `None` when it cannot be read (then the node can only release and forget it).
        record: Option<String>,
        /// The supervisor lives, is ours (pid, start time, boot id) and answers.
        supervised: bool,
        /// What the supervisor, or the exit records, say of its containers.
        containers: Vec<FoundContainer>,
        /// The last status that the control plane acknowledged.
        reported: Option<String>,
    },
    /// All directories were told; commands may follow.
    FoundAll,
    /// See `Command::Record`.
    Recorded {
        /// The task.
        task: TaskKey,
        /// Set when the record could not be written (a full disk): the task must not be acknowledged.
        error: Option<String>,
    },
    /// The task's network is up.
    NetworkReady {
        /// The task.
        task: TaskKey,
        /// What each container has of its own, in their order; empty when they have an interface in common.
        containers: Vec<ContainerNetwork>,
    },
    /// The task's network cannot be made.
    NetworkFailed {
        /// The task.
        task: TaskKey,
        /// The system's words.
        message: String,
    },
    /// The image is not here and is being fetched.
    ImagePulling {
        /// The task.
        task: TaskKey,
        /// The container.
        container: String,
    },
    /// The image is unpacked.
    ImageReady {
        /// The task.
        task: TaskKey,
        /// The container.
        container: String,
        /// Manifest digest, `sha256:…`.
        digest: String,
    },
    /// The image cannot be had.
    ImageFailed {
        /// The task.
        task: TaskKey,
        /// The container.
        container: String,
        /// Why.
        failure: ImageFailure,
    },
    /// The supervisor is there and obeys.
    Supervised {
        /// The task.
        task: TaskKey,
    },
    /// The supervisor has died or could not be started; whatever it held is killed by `Release`.
    SupervisorLost {
        /// The task.
        task: TaskKey,
        /// The system's words.
        message: String,
    },
    /// The container exists.
    ContainerCreated {
        /// The task.
        task: TaskKey,
        /// The container.
        container: String,
        /// The runtime's id of it.
        runtime_id: String,
        /// Milliseconds since the epoch.
        at: u64,
    },
    /// The container's process runs.
    ContainerStarted {
        /// The task.
        task: TaskKey,
        /// The container.
        container: String,
        /// Milliseconds since the epoch.
        at: u64,
    },
    /// The container could not be created or started; `exit.reason` says why.
    ContainerFailed {
        /// The task.
        task: TaskKey,
        /// The container.
        container: String,
        /// Carries the reason and no code.
        exit: Exit,
    },
    /// The container has ended.
    ContainerExited {
        /// The task.
        task: TaskKey,
        /// The container.
        container: String,
        /// How.
        exit: Exit,
    },
    /// See `Command::CheckHealth`.
    HealthChecked {
        /// The task.
        task: TaskKey,
        /// The container.
        container: String,
        /// The program's exit code; anything but zero when it was killed or could not be run.
        code: i32,
    },
    /// See `Command::Release`.
    Released {
        /// The task.
        task: TaskKey,
    },
    /// See `Command::Forget`.
    Forgotten {
        /// The task.
        task: TaskKey,
    },
}

impl Event {
    /// The task it is about; `None` for `FoundAll`.
    pub fn task(&self) -> Option<&TaskKey> {
        match self {
            Self::Found { task, .. }
            | Self::Recorded { task, .. }
            | Self::NetworkReady { task, .. }
            | Self::NetworkFailed { task, .. }
            | Self::ImagePulling { task, .. }
            | Self::ImageReady { task, .. }
            | Self::ImageFailed { task, .. }
            | Self::Supervised { task }
            | Self::SupervisorLost { task, .. }
            | Self::ContainerCreated { task, .. }
            | Self::ContainerStarted { task, .. }
            | Self::ContainerFailed { task, .. }
            | Self::ContainerExited { task, .. }
            | Self::HealthChecked { task, .. }
            | Self::Released { task }
            | Self::Forgotten { task } => Some(task),
            Self::FoundAll => None,
        }
    }
}

impl Command {
    /// The task it is about.
    pub fn task(&self) -> &TaskKey {
        match self {
            Self::Record { task, .. }
            | Self::AttachNetwork { task, .. }
            | Self::PrepareImage { task, .. }
            | Self::Supervise { task, .. }
            | Self::StartContainer { task, .. }
            | Self::StopContainer { task, .. }
            | Self::CheckHealth { task, .. }
            | Self::Release { task }
            | Self::NoteReported { task, .. }
            | Self::Forget { task } => task,
        }
    }
}

/// Whoever acts for a node: Linux in production, a fake machine in the simulator. Events come back later, in any order
/// between tasks and in order within one container.
pub trait Hands {
    /// Takes the order and returns at once.
    fn perform(&mut self, command: Command);
}
