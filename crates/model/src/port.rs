//! Ports of a host that lead to a container, and ports of a host as a resource.

use crate::ids::{InstanceId, TaskId};
use crate::state::State;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The protocol of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    /// From AWS's word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp].into_iter().find(|protocol| protocol.as_str() == text)
    }
}

/// A port of a host. A host has each once, for each protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostPort {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// 1 to 65535.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol.as_str())
    }
}

/// A port of a container and the port of the host that leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortMapping {
    /// Inside.
    pub container: u16,
    /// On the host; 0: whichever the node finds free.
    pub host: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

impl PortMapping {
    /// The host's port, once it is known.
    pub fn host_port(self) -> Option<HostPort> {
        (self.host != 0).then_some(HostPort { protocol: self.protocol, port: self.host })
    }
}

impl State {
    /// The task that has a port of an instance. It has it until its node says that it is gone.
    pub fn port_holder(&self, instance: InstanceId, port: HostPort) -> Option<TaskId> {
        let (first, last) = (TaskId([0; 16]), TaskId([0xff; 16]));
        let mut holders = self.index.instance_ports.range((instance, port, first)..=(instance, port, last));
        holders.next().map(|(.., task)| *task)
    }
}
