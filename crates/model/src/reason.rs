//! Why something cannot be done: data from the decision, shown in failures, events and `stoppedReason`.

use crate::ids::{InstanceId, TaskId};
use crate::port::HostPort;
use std::collections::BTreeMap;

/// One rule that refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No container instance is in reach of the request at all.
    NoInstances,
    /// The instance is draining or gone.
    NotActive,
    /// The instance's agent has been away for longer than the grace period.
    AgentDisconnected,
    /// A required attribute is missing.
    Attribute {
        /// Its name, with the value that it must have, if it must have one.
        name: String,
    },
    /// An expression of a `memberOf` constraint does not hold.
    MemberOf {
        /// The expression.
        expression: String,
    },
    /// A task of the group is there already.
    DistinctInstance,
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
    /// Not enough GPUs.
    Gpus {
        /// How many are needed.
        needed: u32,
        /// How many are free.
        free: u32,
    },
    /// The subnet has no free address.
    Addresses,
}

impl Reason {
    /// AWS's word for it in `failures[].reason` (API failure reasons, developer guide).
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoInstances => "RESOURCE:*",
            Self::NotActive => "INACTIVE",
            Self::AgentDisconnected => "AGENT",
            Self::Attribute { .. } => "ATTRIBUTE",
            Self::MemberOf { .. } => "MemberOf placement constraint unsatisfied.",
            Self::DistinctInstance => "DistinctInstance placement constraint unsatisfied.",
            Self::Cpu { .. } => "RESOURCE:CPU",
            Self::Memory { .. } => "RESOURCE:MEMORY",
            Self::Port { .. } => "RESOURCE:PORTS",
            Self::Gpus { .. } => "RESOURCE:GPU",
            Self::Addresses => "RESOURCE:ENI",
        }
    }

    /// The rule's own name, for those who read verdicts by program.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::NoInstances => "instances",
            Self::NotActive => "status",
            Self::AgentDisconnected => "agent",
            Self::Attribute { .. } => "attribute",
            Self::MemberOf { .. } => "memberOf",
            Self::DistinctInstance => "distinctInstance",
            Self::Cpu { .. } => "cpu",
            Self::Memory { .. } => "memory",
            Self::Port { .. } => "ports",
            Self::Gpus { .. } => "gpus",
            Self::Addresses => "addresses",
        }
    }

    /// A sentence for people, with the numbers.
    pub fn sentence(&self) -> String {
        match self {
            Self::NoInstances => "no container instance offers this capacity".to_owned(),
            Self::AgentDisconnected => "its agent is disconnected".to_owned(),
            Self::NotActive => "it is not ACTIVE".to_owned(),
            Self::Attribute { name } => format!("it lacks the attribute {name}"),
            Self::MemberOf { expression } => format!("the constraint memberOf({expression}) does not hold"),
            Self::DistinctInstance => "a task of the group is there, and the constraint is distinctInstance".to_owned(),
            Self::Cpu { needed, free } => format!("needs {needed} CPU units, {free} are free"),
            Self::Memory { needed, free } => format!("needs {needed} MiB of memory, {free} MiB are free"),
            Self::Port { port, holder: Some(task) } => format!("needs the host port {port}, which task {task} has"),
            Self::Port { port, holder: None } => format!("needs the host port {port}, which the host reserves"),
            Self::Gpus { needed, free } => format!("needs {}, {free} are free", gpus(*needed)),
            Self::Addresses => "the subnet has no free address".to_owned(),
        }
    }

    /// What those instances have in common that it did not refuse; `None`: it is about room.
    fn passed(&self) -> Option<String> {
        match self {
            Self::NotActive => Some("are ACTIVE".to_owned()),
            Self::AgentDisconnected => Some("have a connected agent".to_owned()),
            Self::Attribute { name } => Some(format!("have the attribute {name}")),
            Self::MemberOf { expression } => Some(format!("satisfy {expression}")),
            Self::DistinctInstance => Some("are without a task of the group".to_owned()),
            Self::NoInstances
            | Self::Cpu { .. }
            | Self::Memory { .. }
            | Self::Port { .. }
            | Self::Gpus { .. }
            | Self::Addresses => None,
        }
    }

    /// What ECS says of the closest instance in the event of a service.
    fn event(&self) -> &'static str {
        match self {
            Self::NoInstances => "was not found",
            Self::NotActive => "is not ACTIVE",
            Self::AgentDisconnected => "has a disconnected agent",
            Self::Attribute { .. } => "is missing an attribute required by your task",
            Self::MemberOf { .. } => "encountered error \"MemberOf placement constraint unsatisfied.\"",
            Self::DistinctInstance => "encountered error \"DistinctInstance placement constraint unsatisfied.\"",
            Self::Cpu { .. } => "has insufficient CPU units available",
            Self::Memory { .. } => "has insufficient memory available",
            Self::Port { .. } => "is already using a port required by your task",
            Self::Gpus { .. } => "has insufficient GPU resource available",
            Self::Addresses => "encountered error \"RESOURCE:ENI\"",
        }
    }

    /// What stands between the instance and the task, in thousandths of what is needed, for rules of room.
    fn gap(&self) -> u32 {
        let of = |needed: u32, free: u32| {
            let missing = u64::from(needed.saturating_sub(free)) * 1000;
            u32::try_from(missing / u64::from(needed.max(1))).unwrap_or(u32::MAX)
        };
        match self {
            Self::Cpu { needed, free } | Self::Memory { needed, free } | Self::Gpus { needed, free } => {
                of(*needed, *free)
            }
            _ => 1000,
        }
    }
}

/// What an instance says to a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which.
    pub instance: InstanceId,
    /// Every rule that refuses, in the order of the rules; none: it would be taken.
    pub reasons: Vec<Reason>,
}

impl Verdict {
    /// The rule that is named for it: the first that refuses.
    pub fn reason(&self) -> &Reason {
        self.reasons.first().unwrap_or(&Reason::NoInstances)
    }

    /// The rules in one sentence.
    pub fn sentence(&self) -> String {
        self.reasons.iter().map(Reason::sentence).collect::<Vec<_>>().join(", and ")
    }

    /// The less, the nearer.
    fn distance(&self) -> (bool, bool, usize, u32, &Reason) {
        let choosing = self.reasons.iter().filter(|reason| reason.passed().is_some()).count();
        let gone = self.reasons.contains(&Reason::NotActive);
        (gone, choosing > 0, self.reasons.len(), self.reasons.iter().map(Reason::gap).max().unwrap_or(0), self.reason())
    }
}

/// Why nothing could be placed: every instance with the rules that refuse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unplaceable {
    /// Instances and rules; empty when no instance was in reach.
    pub verdicts: Vec<Verdict>,
}

impl Unplaceable {
    /// The instance that came nearest: it has what was chosen by, and lacks the least.
    pub fn nearest(&self) -> Option<&Verdict> {
        self.verdicts.iter().min_by_key(|verdict| verdict.distance())
    }

    /// AWS's word for the failure.
    pub fn code(&self) -> &'static str {
        self.nearest().map_or(Reason::NoInstances.code(), |verdict| verdict.reason().code())
    }

    /// How many instances there are, which rules leave how many of them, and what the best of those lacks.
    pub fn summary(&self) -> String {
        let Some(nearest) = self.nearest() else { return Reason::NoInstances.sentence() };
        let all = self.verdicts.len();
        let of = |count: usize| if count == 1 { "instance" } else { "instances" };
        let mut left: Vec<&Verdict> = self.verdicts.iter().collect();
        let mut phrases: BTreeMap<&Reason, String> = BTreeMap::new();
        let choosing = self.verdicts.iter().flat_map(|verdict| &verdict.reasons);
        phrases.extend(choosing.filter_map(|reason| Some((reason, reason.passed()?))));
        let mut passed = Vec::new();
        for (reason, phrase) in phrases {
            left.retain(|verdict| !verdict.reasons.contains(reason));
            passed.push(phrase);
            if left.is_empty() {
                return format!("none of {all} {} {}", of(all), joined(&passed));
            }
        }
        let lacks = match nearest.reason() {
            Reason::Cpu { needed, free } => (format!("needs {needed} CPU units"), format!("has {free} free")),
            Reason::Memory { needed, free } => {
                (format!("needs {needed} MiB of memory"), format!("has {free} MiB free"))
            }
            Reason::Port { port, holder: Some(task) } => {
                (format!("needs the host port {port}"), format!("has given it to task {task}"))
            }
            Reason::Port { port, holder: None } => {
                (format!("needs the host port {port}"), "reserves it for itself".to_owned())
            }
            Reason::Gpus { needed, free } => (format!("needs {}", gpus(*needed)), format!("has {free} free")),
            other => ("finds no place".to_owned(), format!("says: {}", other.sentence())),
        };
        let best = format!("the best of them, {}, {}", nearest.instance, lacks.1);
        match passed.is_empty() {
            true if all == 1 => format!("{}; the one instance, {}, {}", lacks.0, nearest.instance, lacks.1),
            true => format!("{}; of {all} instances {best}", lacks.0),
            false => format!("{}; {} of {all} {} {}, {best}", lacks.0, left.len(), of(all), joined(&passed)),
        }
    }

    /// The summary, and what the nearest instances say, at most eight.
    pub fn detail(&self) -> String {
        let mut near: Vec<&Verdict> = self.verdicts.iter().collect();
        near.sort_by_key(|verdict| verdict.distance());
        let said =
            near.iter().take(8).map(|verdict| format!("; instance {}: {}", verdict.instance, verdict.sentence()));
        format!("{}{}", self.summary(), said.collect::<String>())
    }

    /// The words of the event of a service, as ECS begins them and with the numbers.
    pub fn event(&self) -> String {
        match self.nearest() {
            None => "No Container Instances were found in your cluster, or none offers this capacity".to_owned(),
            Some(nearest) => format!(
                "no container instance met all of its requirements. The closest matching (container-instance {}) {}. {}",
                nearest.instance,
                nearest.reason().event(),
                capital(&self.summary())
            ),
        }
    }
}

fn gpus(count: u32) -> String {
    format!("{count} {}", if count == 1 { "GPU" } else { "GPUs" })
}

fn joined(phrases: &[String]) -> String {
    match phrases {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(n: u8, reasons: &[Reason]) -> Verdict {
        Verdict { instance: InstanceId([n; 16]), reasons: reasons.to_vec() }
    }

    #[test]
    fn the_summary_counts_what_each_rule_leaves_and_names_the_nearest() {
        let stack = || Reason::MemberOf { expression: "attribute:stack == prod".to_owned() };
        let memory = |free| Reason::Memory { needed: 512, free };
        let mut verdicts: Vec<Verdict> = (0..12).map(|n| verdict(n, &[stack()])).collect();
        verdicts.push(verdict(12, &[memory(100)]));
        verdicts.push(verdict(13, &[memory(380)]));
        let why = Unplaceable { verdicts };
        assert_eq!(why.code(), "RESOURCE:MEMORY");
        let nearest = InstanceId([13; 16]);
        assert_eq!(
            why.summary(),
            format!(
                "needs 512 MiB of memory; 2 of 14 instances satisfy attribute:stack == prod, the best of them, \
                 {nearest}, has 380 MiB free"
            )
        );
        assert_eq!(why.detail().matches("; instance ").count(), 8);
        assert!(
            why.event().contains(&format!("(container-instance {nearest}) has insufficient memory available. Needs"))
        );
    }

    #[test]
    fn what_leaves_nothing_is_said_and_so_is_nobody() {
        let why =
            Unplaceable { verdicts: vec![verdict(1, &[Reason::NotActive]), verdict(2, &[Reason::AgentDisconnected])] };
        assert_eq!(why.summary(), "none of 2 instances are ACTIVE and have a connected agent");
        assert_eq!(why.code(), "AGENT");
        assert_eq!(Unplaceable::default().summary(), "no container instance offers this capacity");
        let why = Unplaceable { verdicts: vec![verdict(1, &[Reason::Cpu { needed: 2, free: 1 }])] };
        assert_eq!(why.summary(), format!("needs 2 CPU units; the one instance, {}, has 1 free", InstanceId([1; 16])));
    }
}
