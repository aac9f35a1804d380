//! A container instance: a host with an agent that registered.

use crate::Millis;
use crate::cluster::Tag;
use crate::ids::{ClusterId, InstanceId};
use serde::{Deserialize, Serialize};

/// How long an instance whose agent went away still takes tasks: a restart of agent or control plane is not the loss of
/// a host.
pub const DISCONNECT_GRACE_MS: Millis = 30_000;

/// The attribute of instances that get the network interface inside the payload.
pub const ATTRIBUTE_ENI: &str = "gantry.eni";
/// The attribute (value `fargate`) of hosts in the Fargate pool.
pub const ATTRIBUTE_POOL: &str = "gantry.pool";
/// CPU units that a host of the pool declares for Fargate tasks.
pub const ATTRIBUTE_FARGATE_CPU: &str = "gantry.fargate-cpu";
/// MiB that a host of the pool declares for Fargate tasks.
pub const ATTRIBUTE_FARGATE_MEMORY: &str = "gantry.fargate-memory";

/// A container instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// The id of the key that registered it.
    #[serde(default)]
    pub owner: Box<str>,
    /// The cluster it registered into.
    pub cluster: ClusterId,
    /// False once deregistered.
    pub active: bool,
    /// Its agent has a session now.
    pub connected: bool,
    /// When `connected` last changed.
    pub connection_at: Millis,
    /// CPU units it registered.
    pub cpu: u32,
    /// MiB it registered.
    pub memory: u32,
    /// TCP ports it reserves.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// UDP ports it reserves.
    #[serde(default)]
    pub ports_udp: Vec<u16>,
    /// What it can do, and facts about it.
    pub attributes: Vec<Attribute>,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// Version of its agent.
    #[serde(default)]
    pub agent_version: Box<str>,
    /// Commit its agent was built from.
    #[serde(default)]
    pub agent_hash: Box<str>,
    /// What runs its containers.
    #[serde(default)]
    pub docker_version: Box<str>,
    /// When it registered first.
    pub registered_at: Millis,
    /// Raised by each change.
    pub version: u64,
}

/// A name, with or without a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attribute {
    /// Its name.
    pub name: Box<str>,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Box<str>>,
}

impl Instance {
    /// The value of an attribute; an attribute without one says "".
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|attribute| &*attribute.name == name)?;
        Some(found.value.as_deref().unwrap_or(""))
    }

    /// CPU units and MiB for Fargate tasks, when it is a host of the pool.
    pub fn fargate_capacity(&self) -> Option<(u32, u32)> {
        let number = |name| self.attribute(name).and_then(|value| value.parse().ok());
        let in_pool = self.attribute(ATTRIBUTE_POOL) == Some("fargate");
        in_pool.then(|| {
            (number(ATTRIBUTE_FARGATE_CPU).unwrap_or(self.cpu), number(ATTRIBUTE_FARGATE_MEMORY).unwrap_or(self.memory))
        })
    }

    /// Its agent is there, or was a moment ago.
    pub fn reachable(&self, now: Millis) -> bool {
        self.connected || now < self.connection_at + DISCONNECT_GRACE_MS
    }
}
