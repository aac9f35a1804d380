//! What a node says of a task.

use crate::Millis;
use crate::port::PortMapping;
use crate::task::ContainerStatus;
use crate::timeline::Phase;
use serde::{Deserialize, Serialize};

/// What a node says of a task, freed of the wire's shape.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskReport {
    /// The task as a whole; `None`: nothing is said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ContainerStatus>,
    /// Why the node stopped it, if not for a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
    /// Its interface is up.
    #[serde(default)]
    pub attached: bool,
    /// What is new of its containers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<ContainerReport>,
    /// Zero: not said.
    #[serde(default)]
    pub pull_started: Millis,
    /// Zero: not said.
    #[serde(default)]
    pub pull_stopped: Millis,
    /// Zero: not said.
    #[serde(default)]
    pub execution_stopped: Millis,
    /// When phases were reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<(Phase, Millis)>,
}

/// What a node says of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerReport {
    /// Its name.
    pub name: Box<str>,
    /// Where it stands; `None`: nothing is said of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ContainerStatus>,
    /// See `Container`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_id: Option<Box<str>>,
    /// See `Container`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<Box<str>>,
    /// See `Container`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// See `Container`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
    /// See `Container`; empty: nothing is said of them.
    #[serde(default, skip_serializing_if = "<[PortMapping]>::is_empty")]
    pub bindings: Box<[PortMapping]>,
}
