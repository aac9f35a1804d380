//! How a service wants to be deployed, beside its bounds: when a deployment is given up, when it is called done early, and
//! where it waits for a person.

use serde::{Deserialize, Serialize};

/// `deploymentConfiguration`, without the bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentConfiguration {
    /// `deploymentCircuitBreaker`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<CircuitBreaker>,
    /// `earlySuccessCriteria`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_success: Option<EarlySuccess>,
    /// `lifecycleHooks`, all of type PAUSE.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<PauseHook>,
}

/// `deploymentCircuitBreaker`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircuitBreaker {
    /// It watches.
    pub enable: bool,
    /// A deployment that fails is rolled back.
    pub rollback: bool,
    /// Failures are counted anew when a task has proved healthy (AWS: they are, when nothing is said).
    pub reset: bool,
    /// `thresholdConfiguration`, when it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Threshold>,
}

/// `thresholdConfiguration`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threshold {
    /// What the value means.
    pub kind: ThresholdType,
    /// Failures, or percent of the desired count.
    pub value: u32,
}

/// What the value of a threshold means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ThresholdType {
    /// Failures.
    Count,
    /// Percent of the desired count, at least 3 and at most 200.
    BoundedPercent,
    /// Percent of the desired count.
    UnboundedPercent,
}

impl CircuitBreaker {
    /// The failures at which a deployment of so many tasks has failed.
    pub fn failures_at(&self, desired: u32) -> u32 {
        let threshold = self.threshold.unwrap_or(Threshold { kind: ThresholdType::BoundedPercent, value: 50 });
        let percent = (u64::from(desired) * u64::from(threshold.value)).div_ceil(100).min(u64::from(u32::MAX)) as u32;
        match threshold.kind {
            ThresholdType::Count => threshold.value,
            ThresholdType::BoundedPercent => percent.clamp(3, 200),
            // No failure at all is not a failure.
            ThresholdType::UnboundedPercent => percent.max(1),
        }
    }
}

/// `earlySuccessCriteria` that are enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlySuccess {
    /// Percent of the desired count that must be healthy.
    pub healthy_percent: u32,
    /// Whether it is done before the tasks that it replaces are gone.
    pub deferred: bool,
}

/// A hook of type PAUSE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseHook {
    /// Where it waits.
    pub stages: Vec<HookStage>,
    /// How long.
    pub timeout_minutes: u32,
    /// And then.
    pub action: HookAction,
}

/// Stages of a rolling deployment at which a hook may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HookStage {
    /// Before anything, when there is something to replace.
    ReconcileService,
    /// Before the first task is started.
    PreScaleUp,
    /// When all tasks are healthy, before those that nobody needs any more are stopped.
    PostScaleUp,
}

impl HookStage {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReconcileService => "RECONCILE_SERVICE",
            Self::PreScaleUp => "PRE_SCALE_UP",
            Self::PostScaleUp => "POST_SCALE_UP",
        }
    }
}

/// What becomes of a deployment that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HookAction {
    /// It goes on.
    Continue,
    /// It goes back.
    Rollback,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_those_of_the_documentation() {
        let breaker = |threshold| CircuitBreaker { enable: true, rollback: false, reset: true, threshold };
        let plain = breaker(None);
        assert_eq!([1, 25, 400, 800].map(|desired| plain.failures_at(desired)), [3, 13, 200, 200]);
        let said = |kind, value| breaker(Some(Threshold { kind, value })).failures_at(10);
        assert_eq!(said(ThresholdType::Count, 1), 1);
        assert_eq!(said(ThresholdType::BoundedPercent, 10), 3);
        assert_eq!(said(ThresholdType::UnboundedPercent, 10), 1);
        assert_eq!(breaker(Some(Threshold { kind: ThresholdType::UnboundedPercent, value: 50 })).failures_at(0), 1);
    }
}
