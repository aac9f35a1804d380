//! What a node and a task's supervisor say to each other: one JSON document per line, both ways, over a unix socket.
//! Types only; no IO.
//!
//! A connection begins with the supervisor's [`Report::State`]. A node that finds a version it does not know can still
//! end the supervisor: [`Order::End`] keeps its meaning for ever.

use crate::cdi::Edits;
use node::hands::{ContainerSpec, Exit, FoundContainer, TaskKey, TaskLimits};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Raised with every change that an older side would misread.
pub(crate) const PROTOCOL: u32 = 1;
/// The longest line either side accepts: a container specification with much environment fits many times.
pub(crate) const LINE_BYTES_MAX: usize = 4 << 20;

/// What a node tells a supervisor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// The first order to a spare supervisor: whose it is from now on.
    Assign(Assignment),
    /// Create and start a container; said again, its state is told again.
    Start(Box<Start>),
    /// Send the stop signal, or SIGKILL.
    Stop {
        /// The container's name.
        container: String,
        /// SIGKILL at once.
        force: bool,
    },
    /// Run a health check inside a container.
    Check {
        /// The container's name.
        container: String,
        /// A program with its arguments.
        command: Vec<String>,
        /// After this it is killed.
        timeout_ms: u64,
    },
    /// Kill what runs, and exit.
    End,
}

/// Which task a supervisor is for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Assignment {
    pub(crate) task: TaskKey,
    /// The task's directory, absolute.
    pub(crate) directory: PathBuf,
    /// Where to listen for a node that comes back.
    pub(crate) socket: PathBuf,
    pub(crate) limits: TaskLimits,
}

/// One container, with everything of its image that making it needs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) spec: ContainerSpec,
    pub(crate) image: ImageConfig,
    /// Unpacked layers, lowest first.
    pub(crate) layers: Vec<PathBuf>,
    /// The network namespace to join.
    pub(crate) network: PathBuf,
    /// Where the task's own volumes are.
    #[serde(default)]
    pub(crate) volumes: PathBuf,
    /// What the GPUs that it gets do to it.
    #[serde(default)]
    pub(crate) edits: Edits,
}

/// The part of an image's configuration that a container is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// `ENTRYPOINT`.
    pub entry_point: Vec<String>,
    /// `CMD`.
    pub command: Vec<String>,
    /// `USER`; empty for root.
    pub user: String,
    /// `WORKDIR`; empty for `/`.
    pub working_directory: String,
    /// `STOPSIGNAL`.
    pub stop_signal: Option<String>,
}

/// What a supervisor tells its node.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// All it knows; the first line of every connection.
    State {
        /// See [`PROTOCOL`].
        version: u32,
        containers: Vec<FoundContainer>,
    },
    /// It could not take the task over, and exits.
    Refused {
        message: String,
    },
    Created {
        container: String,
        runtime_id: String,
        at: u64,
    },
    Started {
        container: String,
        at: u64,
    },
    Failed {
        container: String,
        exit: Exit,
    },
    Exited {
        container: String,
        exit: Exit,
    },
    Checked {
        container: String,
        code: i32,
    },
}

/// One line, newline included.
pub(crate) fn line<T: Serialize>(message: &T) -> Vec<u8> {
    // These types hold no map with other keys than text, so that writing them cannot fail.
    let mut bytes = serde_json::to_vec(message).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
