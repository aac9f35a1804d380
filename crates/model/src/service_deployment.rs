//! A service deployment: the history of one wish for a service, from its first step to its end.
//!
//! ```text
//! PENDING -> IN_PROGRESS -> SUCCESSFUL | STOPPED
//!                        -> ROLLBACK_REQUESTED -> ROLLBACK_IN_PROGRESS -> ROLLBACK_SUCCESSFUL | ROLLBACK_FAILED
//! ```
//!
//! The newest `SERVICE_DEPLOYMENTS_MAX` of a service are kept, and the revisions that they name.

use crate::Millis;
use crate::deployment_configuration::{DeploymentConfiguration, HookAction, HookStage};
use crate::ids::ServiceId;
use serde::{Deserialize, Serialize};

/// Service deployments that are kept of one service (AWS: those of 90 days).
pub const SERVICE_DEPLOYMENTS_MAX: usize = 100;

/// Where a service deployment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServiceDeploymentStatus {
    /// Wished; no step was taken.
    Pending,
    /// On its way.
    InProgress,
    /// It has come true.
    Successful,
    /// Given up without a way back: stopped, failed, or another one came.
    Stopped,
    /// It will be rolled back.
    RollbackRequested,
    /// It is being rolled back.
    RollbackInProgress,
    /// It was rolled back.
    RollbackSuccessful,
    /// What it was to be rolled back to fails too, or is not there.
    RollbackFailed,
}

impl ServiceDeploymentStatus {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::InProgress => "IN_PROGRESS",
            Self::Successful => "SUCCESSFUL",
            Self::Stopped => "STOPPED",
            Self::RollbackRequested => "ROLLBACK_REQUESTED",
            Self::RollbackInProgress => "ROLLBACK_IN_PROGRESS",
            Self::RollbackSuccessful => "ROLLBACK_SUCCESSFUL",
            Self::RollbackFailed => "ROLLBACK_FAILED",
        }
    }

    /// Nothing will become of it any more.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Successful | Self::Stopped | Self::RollbackSuccessful | Self::RollbackFailed)
    }

    /// On its way back.
    pub fn is_rollback(self) -> bool {
        matches!(self, Self::RollbackRequested | Self::RollbackInProgress)
    }
}

/// A service deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceDeployment {
    /// Whose.
    pub service: ServiceId,
    /// Counted up within the service, from 1.
    pub number: u32,
    /// What its ARN ends with.
    pub id: Box<str>,
    /// The number of the revision that is wished.
    pub target: u64,
    /// Numbers of the revisions that it replaces.
    pub sources: Vec<u64>,
    /// Where it stands.
    pub status: ServiceDeploymentStatus,
    /// Why it stands there, when there is something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
    /// When it was wished.
    pub created_at: Millis,
    /// When its first step was taken; zero: not yet, as below.
    #[serde(default)]
    pub started_at: Millis,
    /// When it was over.
    #[serde(default)]
    pub finished_at: Millis,
    /// When it was stopped.
    #[serde(default)]
    pub stopped_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
    /// minimumHealthyPercent and maximumPercent when it began.
    pub bounds: (u32, u32),
    /// How else it was to be deployed when it began.
    pub configuration: DeploymentConfiguration,
    /// How far it is.
    pub stage: Stage,
    /// Hooks that it has come to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookRun>,
    /// The circuit breaker gave it up.
    #[serde(default)]
    pub triggered: bool,
    /// Failed starts that the breaker had counted when it was over.
    #[serde(default)]
    pub failures: u32,
    /// Where it went back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
}

/// How far a rolling deployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Stage {
    /// It finds what there is.
    ReconcileService,
    /// It is about to start tasks.
    PreScaleUp,
    /// It starts and stops tasks.
    ScaleUp,
    /// Its tasks are healthy.
    PostScaleUp,
    /// It stops what it has replaced.
    CleanUp,
}

impl Stage {
    /// Where hooks wait.
    pub fn hook_stage(self) -> Option<HookStage> {
        match self {
            Self::ReconcileService => Some(HookStage::ReconcileService),
            Self::PreScaleUp => Some(HookStage::PreScaleUp),
            Self::PostScaleUp => Some(HookStage::PostScaleUp),
            Self::ScaleUp | Self::CleanUp => None,
        }
    }
}

/// A hook that a deployment has come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRun {
    /// `ecs-pause-…`.
    pub id: Box<str>,
    /// Where.
    pub stage: HookStage,
    /// What has become of it.
    pub status: HookStatus,
    /// How long it waits.
    pub expires_at: Millis,
    /// And then.
    pub action: HookAction,
}

/// What has become of a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HookStatus {
    /// It waits for ContinueServiceDeployment.
    AwaitingAction,
    /// The deployment was told to go on.
    Succeeded,
    /// It was told to go back, or ended otherwise.
    Failed,
    /// Nobody said anything in time.
    TimedOut,
}

/// A way back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// Why.
    pub reason: Box<str>,
    /// When it began.
    pub started_at: Millis,
    /// The number of the revision that it goes back to.
    pub revision: u64,
}

impl ServiceDeployment {
    /// It waits at a hook.
    pub fn is_paused(&self) -> bool {
        self.awaited_hook().is_some()
    }

    /// The hook at which it waits.
    pub fn awaited_hook(&self) -> Option<&HookRun> {
        let mut waiting = self.hooks.iter().filter(|hook| hook.status == HookStatus::AwaitingAction);
        waiting.next().filter(|_| !self.status.is_over())
    }

    /// Hooks that wait will not be asked any more.
    pub fn drop_hooks(&mut self) {
        let waiting = self.hooks.iter_mut().filter(|hook| hook.status == HookStatus::AwaitingAction);
        waiting.for_each(|hook| hook.status = HookStatus::Failed);
    }

    /// The revision that tasks are made from when it has come true.
    pub fn completed_revision(&self) -> Option<u64> {
        match self.status {
            ServiceDeploymentStatus::Successful => Some(self.target),
            ServiceDeploymentStatus::RollbackSuccessful => self.rollback.as_ref().map(|rollback| rollback.revision),
            _ => None,
        }
    }

    /// It is over, and how.
    pub fn finish(&mut self, status: ServiceDeploymentStatus, reason: Option<&str>, now: Millis) {
        (self.status, self.finished_at, self.updated_at) = (status, now, now);
        self.drop_hooks();
        if status == ServiceDeploymentStatus::Stopped {
            self.stopped_at = now;
        }
        if let Some(reason) = reason {
            self.reason = Some(reason.into());
        }
    }
}
