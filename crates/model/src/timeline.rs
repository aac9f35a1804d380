//! When what happened to a task.

use crate::Millis;
use serde::{Deserialize, Serialize};

/// When things happened; zero: not yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Times {
    /// Accepted.
    pub created: Millis,
    /// The node first reported on it.
    pub connectivity: Millis,
    /// The first image pull began (the node's clock).
    pub pull_started: Millis,
    /// The last image pull ended (the node's clock).
    pub pull_stopped: Millis,
    /// RUNNING.
    pub started: Millis,
    /// Desired STOPPED.
    pub stopping: Millis,
    /// The last essential container ended (the node's clock).
    pub execution_stopped: Millis,
    /// STOPPED.
    pub stopped: Millis,
}

/// The phases of a start, in order; what `gantry timeline` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// RunTask accepted it.
    Accepted,
    /// An instance and an address were found.
    Placed,
    /// Its namespace and interface are up (the node's clock, as the next three).
    NetworkReady,
    /// All images are unpacked.
    ImageReady,
    /// All containers are created.
    Created,
    /// All containers have started.
    Started,
    /// The control plane knows.
    Running,
}

impl Phase {
    /// All, in order.
    pub const ALL: [Self; 7] = [
        Self::Accepted,
        Self::Placed,
        Self::NetworkReady,
        Self::ImageReady,
        Self::Created,
        Self::Started,
        Self::Running,
    ];

    /// The name shown and sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Placed => "placed",
            Self::NetworkReady => "network ready",
            Self::ImageReady => "image ready",
            Self::Created => "created",
            Self::Started => "started",
            Self::Running => "running",
        }
    }

    /// From the name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text)
    }
}
