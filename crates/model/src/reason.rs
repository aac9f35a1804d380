//! Why something cannot be done: data from the decision, shown in failures, events and `stoppedReason`.

use crate::ids::{InstanceId, TaskId};
use crate::port::HostPort;

/// One rule that refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No container instance is in reach of the request at all.
    NoInstances,
    /// The instance's agent has been away for longer than the grace period.
    AgentDisconnected,
    /// The instance is draining or gone.
    NotActive,
    /// A required attribute is missing.
    Attribute {
        /// Its name.
        name: String,
    },
    /// Not enough CPU.
    Cpu {
        /// Units needed.
        needed: u32,
        /// Units free.
        free: u32,
    },
    /// Not enough memory.
    Memory {
        /// MiB needed.
        needed: u32,
        /// MiB free.
        free: u32,
    },
    /// A port of the host is taken.
    Port {
        /// Which.
        port: HostPort,
        /// By a task; `None`: the host keeps it for itself.
        holder: Option<TaskId>,
    },
    /// The subnet has no free address.
    Addresses,
}

impl Reason {
    /// AWS's word for it in `failures[].reason` (API failure reasons, developer guide).
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoInstances | Self::NotActive => "RESOURCE:*",
            Self::AgentDisconnected => "AGENT",
            Self::Attribute { .. } => "ATTRIBUTE",
            Self::Cpu { .. } => "RESOURCE:CPU",
            Self::Memory { .. } => "RESOURCE:MEMORY",
            Self::Port { .. } => "RESOURCE:PORTS",
            Self::Addresses => "RESOURCE:ENI",
        }
    }

    /// A sentence for people, with the numbers.
    pub fn sentence(&self) -> String {
        match self {
            Self::NoInstances => "no container instance offers this capacity".to_owned(),
            Self::AgentDisconnected => "its agent is disconnected".to_owned(),
            Self::NotActive => "it is not ACTIVE".to_owned(),
            Self::Attribute { name } => format!("it lacks the attribute {name}"),
            Self::Cpu { needed, free } => format!("needs {needed} CPU units, {free} are free"),
            Self::Memory { needed, free } => format!("needs {needed} MiB of memory, {free} MiB are free"),
            Self::Port { port, holder: Some(task) } => format!("needs the host port {port}, which task {task} has"),
            Self::Port { port, holder: None } => format!("needs the host port {port}, which the host reserves"),
            Self::Addresses => "the subnet has no free address".to_owned(),
        }
    }
}

/// Why nothing could be placed: every instance with its first refusing rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unplaceable {
    /// Instance and rule; empty when no instance was in reach.
    pub verdicts: Vec<(InstanceId, Reason)>,
}

impl Unplaceable {
    /// The instance that came nearest: it passed the most rules.
    pub fn nearest(&self) -> Option<&(InstanceId, Reason)> {
        self.verdicts.iter().max_by_key(|(_, reason)| match reason {
            Reason::NoInstances => 0,
            Reason::NotActive => 1,
            Reason::AgentDisconnected => 2,
            Reason::Attribute { .. } => 3,
            Reason::Cpu { .. } => 4,
            Reason::Memory { .. } => 5,
            Reason::Port { .. } => 6,
            Reason::Addresses => 7,
        })
    }

    /// AWS's word for the failure.
    pub fn code(&self) -> &'static str {
        self.nearest().map_or(Reason::NoInstances.code(), |(_, reason)| reason.code())
    }

    /// All verdicts in one line, the nearest first, at most eight.
    pub fn detail(&self) -> String {
        let Some((nearest, reason)) = self.nearest() else {
            return Reason::NoInstances.sentence();
        };
        let others = self.verdicts.iter().filter(|(id, _)| id != nearest).take(7);
        let rest: String = others.map(|(id, reason)| format!("; instance {id}: {}", reason.sentence())).collect();
        format!("closest instance {nearest}: {}{rest}", reason.sentence())
    }
}
