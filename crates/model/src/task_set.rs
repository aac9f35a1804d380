//! A task set: a deployment of a service whose deployments somebody else controls (`EXTERNAL`). It has a share of the
//! service's count, and its tasks are kept as those of any deployment are.
//!
//! ```text
//! ACTIVE <-> PRIMARY -> DRAINING (deleted, its tasks are stopping) -> gone
//! ```

use crate::Millis;
use crate::cluster::Tag;
use crate::service::{Deployment, Service};
use serde::{Deserialize, Serialize};

/// Task sets of one service, deleted ones that still have tasks too (service quotas).
pub const TASK_SETS_MAX: usize = 5;

/// What a deployment is beside when it is a task set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSet {
    /// Where it stands.
    pub status: TaskSetStatus,
    /// Its share of the service's count.
    pub scale: Scale,
    /// What whoever made it calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<Box<str>>,
    /// The client token that it was made with, to tell a repetition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Box<str>>,
    /// A digest of the request that made it.
    pub digest: [u8; 16],
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// Its count is there and healthy: STEADY_STATE.
    #[serde(default)]
    pub steady: bool,
    /// When that last changed.
    pub steady_at: Millis,
}

/// Where a task set stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TaskSetStatus {
    /// The one that the service shows.
    Primary,
    /// Another one.
    Active,
    /// Deleted; tasks of it are still stopping.
    Draining,
}

impl TaskSetStatus {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "PRIMARY",
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
        }
    }
}

/// A share in percent, kept as millionths of one so that counts are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scale(u32);

const MILLION: u32 = 1_000_000;

impl Scale {
    /// A number from 0 to 100.
    pub fn read(percent: f64) -> Option<Self> {
        // What is in range fits, and what is no number is in no range.
        (0.0..=100.0).contains(&percent).then(|| Self((percent * f64::from(MILLION)).round() as u32))
    }

    /// In percent.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / f64::from(MILLION)
    }

    /// That share of a count, rounded up.
    pub fn of(self, count: u32) -> u32 {
        (u64::from(count) * u64::from(self.0)).div_ceil(100 * u64::from(MILLION)) as u32
    }
}

impl Deployment {
    /// The tasks that it is to have when it is a task set of a service of so many.
    pub fn computed(&self, desired: u32) -> u32 {
        let set = self.set.as_ref().filter(|set| set.status != TaskSetStatus::Draining);
        set.map_or(0, |set| set.scale.of(desired))
    }

    /// How events speak of what it does: by the service's name, and by its own when it is a task set.
    pub fn subject(&self, service: &str) -> String {
        match self.set {
            Some(_) => format!("{service}, taskSet {}", self.id()),
            None => service.to_owned(),
        }
    }

    /// It is a task set, and stands there.
    pub fn is_set(&self, status: TaskSetStatus) -> bool {
        self.set.as_ref().is_some_and(|set| set.status == status)
    }
}

impl Service {
    /// Its task set of that number.
    pub fn set_mut(&mut self, number: u64) -> Option<(&mut Deployment, u32)> {
        let desired = self.desired;
        let sets = self.deployments.iter_mut().filter(|deployment| deployment.set.is_some());
        sets.into_iter().find(|deployment| deployment.number == number).map(|set| (set, desired))
    }
}

#[cfg(test)]
mod tests {
    use super::Scale;

    #[test]
    fn a_share_is_rounded_up_and_shown_as_it_was_said() {
        for (percent, count, share) in [
            (0.0, 7, 0),
            (100.0, 5_000, 5_000),
            (50.0, 3, 2),
            (12.0, 10, 2),
            (10.0, 10, 1),
            (33.33, 3, 1),
            (33.34, 3, 2),
            (0.000_001, 5_000, 1),
        ] {
            let scale = Scale::read(percent).unwrap();
            assert_eq!((scale.percent(), scale.of(count)), (percent, share), "{percent} of {count}");
        }
        for no_share in [-0.1, 100.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Scale::read(no_share), None, "{no_share}");
        }
    }
}
