//! A service: a number of tasks that is kept.
//!
//! ```text
//! ACTIVE -> DRAINING (deleted, its tasks are stopping) -> INACTIVE
//! deployment: IN_PROGRESS -> COMPLETED; an older one stays until its last task is STOPPED
//! ```
//!
//! A deployment is one wish for the service's tasks: a revision, and whether it has come true. The first is the PRIMARY
//! one. Counts are never stored: they are sums over the tasks. What has happened to it is kept beside it, in rows of their
//! own: events, `ServiceRevision`s and `ServiceDeployment`s.

use crate::Millis;
use crate::capacity_provider::StrategyItem;
use crate::cluster::Tag;
use crate::deployment_configuration::{CircuitBreaker, DeploymentConfiguration};
use crate::failure::PASSING_TRIES;
use crate::ids::{ClusterId, RevisionId, ServiceId};
use crate::placement::Placement;
use crate::service_revision::InterfaceWishes;
use crate::task::{LaunchType, Task};
use crate::task_set::{TaskSet, TaskSetStatus};
use serde::{Deserialize, Serialize};

/// Events that are kept (AWS: the newest 100).
pub const EVENTS_MAX: usize = 100;
/// A task that ends sooner after RUNNING counts as a failed start of its deployment.
pub const SETTLED_MS: Millis = 40_000;
/// How long an INACTIVE service is shown.
pub const INACTIVE_SHOWN_MS: Millis = 3_600_000;

/// Where a service stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ServiceStatus {
    /// Its count is kept.
    Active,
    /// Deleted; tasks of it are still stopping.
    Draining,
    /// Deleted; nothing of it is left.
    Inactive,
}

impl ServiceStatus {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Inactive => "INACTIVE",
        }
    }
}

/// Whether a deployment has come true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Rollout {
    /// Not yet.
    InProgress,
    /// The wanted number of its tasks is healthy, and no task of another deployment is left.
    Completed,
    /// Given up: it starts no more tasks.
    Failed,
}

/// One wish for a service's tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// The digits after `ecs-svc/`.
    pub number: u64,
    /// What its tasks are made from.
    pub definition: RevisionId,
    /// The number of its service revision, which says what else; zero in rows of before there were any.
    #[serde(default)]
    pub revision: u64,
    /// The number of the service deployment that wished it; zero as above.
    #[serde(default)]
    pub history: u32,
    /// When it was wished.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
    /// Whether it has come true.
    pub rollout: Rollout,
    /// Starts that failed in a row.
    #[serde(default)]
    pub failures: u32,
    /// Starts that failed since the deployment began.
    #[serde(default)]
    pub failed: u32,
    /// Tries in a row that failed: tasks that were started together are one try, however many of them failed.
    #[serde(default)]
    pub tries: u32,
    /// When the last of them failed first; a task from before belongs to it.
    #[serde(default)]
    pub tried_at: Millis,
    /// They all failed of a registry's trouble that may pass.
    #[serde(default)]
    pub passing: bool,
    /// A start has proved that no other will do better.
    #[serde(default)]
    pub hopeless: bool,
    /// It was called COMPLETED too early: tasks of it ended soon after. Next time one must have settled.
    #[serde(default)]
    pub doubtful: bool,
    /// Somebody has stopped its deployment after it had come true: it is not taken up again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kept: bool,
    /// When it was COMPLETED last; zero: it was not yet.
    #[serde(default)]
    pub completed_at: Millis,
    /// No task is started before this.
    #[serde(default)]
    pub retry_at: Millis,
    /// Why the last start failed or could not be placed; said once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Box<str>>,
    /// What it is beside when the service's controller is EXTERNAL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<Box<TaskSet>>,
}

/// Something that happened to a service. A row of its own, so that saying something costs what is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Whose.
    pub service: ServiceId,
    /// Counted up within the service.
    pub number: u64,
    /// When.
    pub at: Millis,
    /// In ECS's words.
    pub message: Box<str>,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its number.
    pub id: ServiceId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its name: 1 to 255 letters, digits, `-`, `_`.
    pub name: Box<str>,
    /// Where it stands.
    pub status: ServiceStatus,
    /// Where its tasks run.
    pub launch_type: LaunchType,
    /// The platform version that was asked for; none: LATEST. They are one here, and nothing follows from it, but a client
    /// that compares what it said with what it is shown must find it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Box<str>>,
    /// Its capacity provider strategy; none: it has a launch type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strategy: Vec<StrategyItem>,
    /// It has a task on each instance that may have one: a DAEMON service. Then `desired` is their number.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub daemon: bool,
    /// Somebody else controls its deployments, which are task sets: its controller is EXTERNAL.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub external: bool,
    /// How many tasks it keeps.
    pub desired: u32,
    /// Percent of `desired` that stay healthy through a deployment, rounded up.
    pub minimum_healthy: u32,
    /// Percent of `desired` that may exist through a deployment, rounded down.
    pub maximum: u32,
    /// How else it wants to be deployed.
    #[serde(default)]
    pub configuration: DeploymentConfiguration,
    /// Positions of its subnets.
    pub subnets: Vec<u8>,
    /// What else was said of the interfaces of its tasks.
    #[serde(default)]
    pub interface: InterfaceWishes,
    /// Where its tasks may go and where best.
    #[serde(default, skip_serializing_if = "Placement::is_empty")]
    pub placement: Placement,
    /// When it was created.
    pub created_at: Millis,
    /// When it became INACTIVE; zero: it is not.
    #[serde(default)]
    pub inactive_at: Millis,
    /// The PRIMARY deployment, then older ones that still have tasks, newest first; or its task sets.
    pub deployments: Vec<Deployment>,
    /// It has said that it is steady, and nothing has happened since.
    #[serde(default)]
    pub steady: bool,
    /// `availabilityZoneRebalancing`: its tasks are moved when their zones have become uneven.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rebalance: bool,
    /// That is going on: it may have one task more than it is to keep.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub balancing: bool,
    /// `healthCheckGracePeriodSeconds`: how long after RUNNING failing checks of a task are of no consequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<u32>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// Where its tasks get tags from.
    #[serde(default)]
    pub propagate: Propagate,
    /// Its tasks get `aws:ecs:` tags.
    #[serde(default)]
    pub managed_tags: bool,
    /// Commands may be executed in the containers of its tasks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub execute_command: bool,
    /// Who created it, as an ARN.
    pub created_by: Box<str>,
    /// A digest of the request that created it, to tell a repetition.
    pub digest: [u8; 16],
    /// Raised by each change.
    pub version: u64,
}

/// Where tasks of a service get tags from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagate {
    /// Nowhere.
    #[default]
    None,
    /// The task definition.
    TaskDefinition,
    /// The service.
    Service,
}

impl Deployment {
    /// A wish that nothing has come of yet.
    pub fn new(number: u64, definition: RevisionId, revision: u64, history: u32, now: Millis) -> Self {
        Self {
            number,
            definition,
            revision,
            history,
            created_at: now,
            updated_at: now,
            rollout: Rollout::InProgress,
            failures: 0,
            failed: 0,
            tries: 0,
            tried_at: 0,
            passing: false,
            hopeless: false,
            doubtful: false,
            kept: false,
            completed_at: 0,
            retry_at: 0,
            trouble: None,
            set: None,
        }
    }

    /// A start has failed, of a task that was created at `created`: the next one waits the longer the more tries failed.
    pub fn fail(&mut self, created: Millis, passing: bool, now: Millis) {
        self.failures += 1;
        self.failed += 1;
        self.passing = passing && (self.passing || self.tries == 0);
        if self.tries == 0 || created >= self.tried_at {
            self.tries += 1;
            self.tried_at = now;
        }
        self.retry_at = self.retry_at.max(self.tried_at + backoff_ms(self.tries));
    }

    /// Nothing of a registry's trouble counts until it was tried again.
    pub fn waits_for_registry(&self) -> bool {
        self.passing && self.tries <= PASSING_TRIES
    }

    /// Failures so far are made good.
    pub fn forgive(&mut self) {
        (self.failures, self.tries, self.retry_at, self.trouble) = (0, 0, 0, None);
        (self.hopeless, self.doubtful, self.passing) = (false, false, false);
    }

    /// Failed starts as a circuit breaker counts them.
    pub fn counted(&self, breaker: &CircuitBreaker) -> u32 {
        if breaker.reset { self.failures } else { self.failed }
    }

    /// It has come true, and tasks that end from now on are not held against that.
    pub fn keep(&mut self, now: Millis) {
        (self.rollout, self.doubtful, self.hopeless) = (Rollout::Completed, false, false);
        (self.kept, self.updated_at) = (true, now);
    }

    /// `ecs-svc/` and 19 digits.
    pub fn id(&self) -> String {
        deployment_id(self.number)
    }
}

/// A deployment's id, which is also `startedBy` of its tasks.
pub fn deployment_id(number: u64) -> String {
    format!("ecs-svc/{number:019}")
}

impl Service {
    /// The deployment that counts: the newest, or the task set that was said to be PRIMARY.
    pub fn primary(&self) -> Option<&Deployment> {
        match self.external {
            true => self.deployments.iter().find(|deployment| deployment.is_set(TaskSetStatus::Primary)),
            false => self.deployments.first(),
        }
    }

    /// Its circuit breaker, when it watches.
    pub fn breaker(&self) -> Option<CircuitBreaker> {
        self.configuration.breaker.filter(|breaker| breaker.enable)
    }

    /// The least number of healthy tasks that a step may leave: rounded up.
    pub fn lower_bound(&self) -> u32 {
        (u64::from(self.desired) * u64::from(self.minimum_healthy)).div_ceil(100) as u32
    }

    /// The greatest number of tasks that a step may leave: rounded down.
    pub fn upper_bound(&self) -> u32 {
        (u64::from(self.desired) * u64::from(self.maximum) / 100).min(u64::from(u32::MAX)) as u32
    }

    /// From when on a running task is replaced if its checks fail.
    pub fn grace_ends(&self, task: &Task) -> Millis {
        task.times.started + u64::from(self.grace_seconds.unwrap_or(0)) * 1000
    }

    /// Puts `deployment` before the others.
    pub fn deploy(&mut self, deployment: Deployment) {
        self.deployments.insert(0, deployment);
        self.steady = false;
    }
}

/// Between tries of a deployment whose starts fail: at once, 1 s, doubling to 60 s.
pub fn backoff_ms(tries: u32) -> Millis {
    match tries {
        0 | 1 => 0,
        n => (1000 << (n - 2).min(6)).min(60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_that_were_started_together_are_one_try() {
        let id = RevisionId { family: crate::ids::FamilyId(0), revision: 1 };
        let mut deployment = Deployment::new(1, id, 1, 1, 0);
        (0..10).for_each(|n| deployment.fail(0, true, 100 + n));
        assert_eq!((deployment.failures, deployment.tries, deployment.retry_at), (10, 1, 100));
        assert!(deployment.waits_for_registry());
        (0..10).for_each(|n| deployment.fail(110, true, 200 + n));
        assert_eq!((deployment.failures, deployment.tries, deployment.retry_at), (20, 2, 1_200));
        assert!(deployment.waits_for_registry());
        deployment.fail(1_200, true, 1_300);
        assert_eq!((deployment.tries, deployment.retry_at, deployment.waits_for_registry()), (3, 3_300, false));
        deployment.forgive();
        deployment.fail(5_000, true, 5_100);
        assert!(deployment.waits_for_registry());
        deployment.fail(5_000, false, 5_101);
        assert!(!deployment.waits_for_registry(), "something else is wrong too");
        deployment.fail(5_200, true, 5_201);
        assert!(!deployment.waits_for_registry());
    }

    #[test]
    fn backoff_grows_to_a_minute() {
        let waits: Vec<Millis> = (0..10).map(backoff_ms).collect();
        assert_eq!(waits, [0, 0, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    }
}
