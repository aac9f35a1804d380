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

/// The attribute of the zone that an instance stands in.
pub const ATTRIBUTE_ZONE: &str = "ecs.availability-zone";

/// What our own node can do, in the words by which task definitions ask for it (`requiresAttributes`). A version of the
/// remote API of Docker stands for what containers could ask of an engine of that version.
pub const CAPABILITIES: [&str; 19] = [
    "com.amazonaws.ecs.capability.docker-remote-api.1.17",
    "com.amazonaws.ecs.capability.docker-remote-api.1.18",
    "com.amazonaws.ecs.capability.docker-remote-api.1.19",
    "com.amazonaws.ecs.capability.docker-remote-api.1.20",
    "com.amazonaws.ecs.capability.docker-remote-api.1.21",
    "com.amazonaws.ecs.capability.docker-remote-api.1.22",
    "com.amazonaws.ecs.capability.docker-remote-api.1.23",
    "com.amazonaws.ecs.capability.docker-remote-api.1.24",
    "com.amazonaws.ecs.capability.docker-remote-api.1.25",
    "com.amazonaws.ecs.capability.docker-remote-api.1.29",
    "com.amazonaws.ecs.capability.logging-driver.awslogs",
    "com.amazonaws.ecs.capability.privileged-container",
    "ecs.capability.container-health-check",
    "ecs.capability.container-ordering",
    "ecs.capability.container-restart-policy",
    "ecs.capability.execution-role-awslogs",
    "ecs.capability.full-sync",
    "ecs.capability.task-cpu-mem-limit",
    "ecs.capability.task-eni",
];

/// Where an instance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE", from = "WrittenStatus")]
pub enum InstanceStatus {
    /// It takes tasks.
    Active,
    /// It takes no new tasks; services move theirs elsewhere.
    Draining,
    /// It is deregistered.
    Inactive,
}

impl InstanceStatus {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Inactive => "INACTIVE",
        }
    }
}

/// A status as rows have it, old and new.
#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenStatus {
    Old(bool),
    New(StatusWord),
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum StatusWord {
    Active,
    Draining,
    Inactive,
}

impl From<WrittenStatus> for InstanceStatus {
    fn from(written: WrittenStatus) -> Self {
        match written {
            WrittenStatus::Old(true) | WrittenStatus::New(StatusWord::Active) => Self::Active,
            WrittenStatus::New(StatusWord::Draining) => Self::Draining,
            WrittenStatus::Old(false) | WrittenStatus::New(StatusWord::Inactive) => Self::Inactive,
        }
    }
}
/// The capacity provider that a host belongs to. A host of ours is in no Auto Scaling group: it says this itself when it
/// registers.
pub const ATTRIBUTE_CAPACITY_PROVIDER: &str = "gantry.capacity-provider";

/// How names of attributes begin that only a host itself says.
pub const RESERVED_ATTRIBUTES: [&str; 3] = ["ecs.", "com.amazonaws.", "gantry."];

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
    /// Whether it takes tasks. Rows of earlier versions say `active`, yes or no.
    #[serde(alias = "active")]
    pub status: InstanceStatus,
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
    /// Ids of its GPUs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<Box<str>>,
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
    /// Its id as an EC2 instance, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ec2_id: Option<Box<str>>,
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

impl Attribute {
    /// It was given by somebody, and not by what the host is and can do.
    pub fn is_custom(&self) -> bool {
        !RESERVED_ATTRIBUTES.iter().any(|prefix| self.name.starts_with(prefix))
    }
}

impl Instance {
    /// It is ACTIVE or DRAINING: its agent may speak for it, and its tasks go on.
    pub fn is_registered(&self) -> bool {
        self.status != InstanceStatus::Inactive
    }

    /// The zone that it stands in.
    pub fn zone(&self) -> Option<&str> {
        self.attribute(ATTRIBUTE_ZONE)
    }

    /// It is to lose its tasks of services.
    pub fn is_draining(&self) -> bool {
        self.status == InstanceStatus::Draining
    }

    /// The value of an attribute; an attribute without one says "".
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|attribute| &*attribute.name == name)?;
        Some(found.value.as_deref().unwrap_or(""))
    }

    /// The capacity provider that it belongs to.
    pub fn capacity_provider(&self) -> Option<&str> {
        self.attribute(ATTRIBUTE_CAPACITY_PROVIDER).filter(|name| !name.is_empty())
    }

    /// CPU units and MiB for Fargate tasks, when it is a host of the pool.
    pub fn fargate_capacity(&self) -> Option<(u32, u32)> {
        let number = |name| self.attribute(name).and_then(|value| value.parse().ok());
        let in_pool = self.attribute(ATTRIBUTE_POOL) == Some("fargate");
        in_pool.then(|| {
            (number(ATTRIBUTE_FARGATE_CPU).unwrap_or(self.cpu), number(ATTRIBUTE_FARGATE_MEMORY).unwrap_or(self.memory))
        })
    }

    /// When its agent will have been away for too long; `None`: it is there.
    pub fn away_until(&self) -> Option<Millis> {
        (!self.connected).then_some(self.connection_at + DISCONNECT_GRACE_MS)
    }

    /// Its agent is there, or was a moment ago.
    pub fn reachable(&self, now: Millis) -> bool {
        self.connected || now < self.connection_at + DISCONNECT_GRACE_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_earlier_versions_are_read() {
        let read = |text: &str| serde_json::from_str::<InstanceStatus>(text).unwrap();
        assert_eq!([read("true"), read("false")], [InstanceStatus::Active, InstanceStatus::Inactive]);
        for status in [InstanceStatus::Active, InstanceStatus::Draining, InstanceStatus::Inactive] {
            assert_eq!(read(&serde_json::to_string(&status).unwrap()), status);
            assert_eq!(serde_json::to_string(&status).unwrap(), format!("{:?}", status.as_str()));
        }
    }
}
