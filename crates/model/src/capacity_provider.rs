//! Capacity providers: names for where tasks get their room. FARGATE and FARGATE_SPOT exist from the start and are the
//! Fargate pool. Others stand for container instances that say that they belong to one
//! (`instance::ATTRIBUTE_CAPACITY_PROVIDER`).
//!
//! ```text
//! ACTIVE -> INACTIVE (deleted, still shown; the name may be taken again)
//! ```

use crate::Millis;
use crate::cluster::Tag;
use crate::task::LaunchType;
use serde::{Deserialize, Serialize};

/// On-demand Fargate.
pub const FARGATE: &str = "FARGATE";
/// Fargate on spare capacity; here the same hosts.
pub const FARGATE_SPOT: &str = "FARGATE_SPOT";
/// Providers of one cluster, and of one strategy (service quotas).
pub const PROVIDERS_MAX: usize = 20;

/// A capacity provider that somebody made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapacityProvider {
    /// Its name.
    pub name: Box<str>,
    /// False once deleted.
    pub active: bool,
    /// What was last done to it.
    pub done: Done,
    /// The Auto Scaling group, as it was named.
    pub group: Box<str>,
    /// How a group would be scaled; shown with the status DISABLED.
    pub scaling: Scaling,
    /// managedDraining, as it was asked for.
    pub draining: bool,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// When it was created.
    pub created_at: Millis,
    /// Raised by each change.
    pub version: u64,
}

/// What was last done to a capacity provider; shown as `updateStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Done {
    /// CREATE_COMPLETE.
    Created,
    /// UPDATE_COMPLETE.
    Updated,
    /// DELETE_COMPLETE.
    Deleted,
}

/// Settings of managed scaling. Defaults are those of the API reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scaling {
    /// Percent.
    pub target_capacity: u32,
    /// Instances.
    pub minimum_step: u32,
    /// Instances.
    pub maximum_step: u32,
    /// Seconds.
    pub warmup: u32,
}

impl Default for Scaling {
    fn default() -> Self {
        Self { target_capacity: 100, minimum_step: 1, maximum_step: 10_000, warmup: 300 }
    }
}

/// One line of a capacity provider strategy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StrategyItem {
    /// The provider's name.
    pub provider: Box<str>,
    /// Its share of the tasks beyond the base.
    pub weight: u32,
    /// Tasks that go to it before all others.
    pub base: u32,
}

/// How tasks of a provider are launched.
pub fn launch_type(provider: &str) -> LaunchType {
    if is_fargate(provider) { LaunchType::Fargate } else { LaunchType::Ec2 }
}

/// Whether it is one of the two that exist from the start.
pub fn is_fargate(provider: &str) -> bool {
    provider == FARGATE || provider == FARGATE_SPOT
}

/// Whether a provider may be called so (CreateCapacityProvider in the API reference).
pub fn is_valid_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let reserved = ["aws", "ecs", "fargate"].iter().any(|prefix| lower.starts_with(prefix));
    !reserved && crate::cluster::is_valid_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_aws_are_reserved() {
        for name in ["blue", "b-1_2", "my-fargate"] {
            assert!(is_valid_name(name), "{name}");
        }
        for name in ["", "a b", "aws-x", "ECS", "Fargate_x", &"x".repeat(256)] {
            assert!(!is_valid_name(name), "{name}");
        }
    }
}
