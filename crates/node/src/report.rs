//! What is told to the control plane of a task, and whether it was heard. One report of a task is on its way at a time;
//! each says everything, so that a repetition is harmless and nothing depends on the order.

use crate::Millis;
use crate::entry::{Entry, Life, Stage, Wish};
use crate::hands::ContainerNetwork;
use link::report::StateChange;
use model::task::{ContainerReport, ContainerStatus, Phase, TaskReport};

/// Between tries that failed.
const RETRY_MS_MIN: Millis = 100;
/// At the most.
const RETRY_MS_MAX: Millis = 5_000;

/// How a report went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The control plane has it, durably.
    Accepted,
    /// The control plane does not know the task and never will: there is nobody to tell.
    Unknown,
    /// Nobody knows; try again.
    Failed,
}

/// The reports of a task.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    news: bool,
    on_its_way: Option<ContainerStatus>,
    told: Option<ContainerStatus>,
    retry_at: Millis,
    failures: u32,
}

impl Reports {
    /// What was acknowledged in an earlier life.
    pub fn told_before(status: Option<&str>) -> Self {
        Self { told: status.and_then(ContainerStatus::parse), ..Self::default() }
    }

    /// There is something to tell.
    pub fn news(&mut self) {
        self.news = true;
    }

    /// There is something to tell, if nothing was told yet.
    pub fn news_if_quiet(&mut self) {
        self.news |= self.told.is_none() && self.on_its_way.is_none();
    }

    /// The end was told and heard.
    pub fn stop_delivered(&self) -> bool {
        self.told == Some(ContainerStatus::Stopped)
    }

    /// When to try again.
    pub fn next_try(&self) -> Option<Millis> {
        (self.news && self.on_its_way.is_none() && self.retry_at != 0).then_some(self.retry_at)
    }
}

impl Entry {
    /// Whether there is a report to send now.
    pub fn has_report(&self, now: Millis) -> bool {
        let reports = &self.reports;
        reports.news && reports.on_its_way.is_none() && reports.retry_at <= now && !self.message.arn.is_empty()
    }

    /// The report; it counts as on its way until its outcome is told.
    pub fn send_report(&mut self) -> StateChange {
        let status = match () {
            () if self.life >= Life::Released => ContainerStatus::Stopped,
            () if self.has_started() => ContainerStatus::Running,
            () => ContainerStatus::Pending,
        };
        self.reports.news = false;
        self.reports.on_its_way = Some(status);
        let interface = self.message.elastic_network_interfaces.first();
        let networks = match &self.network {
            Wish::Ready(networks) => Some(networks.as_slice()),
            Wish::Wanted | Wish::Asked => None,
        };
        let attached = networks.is_some() || status == ContainerStatus::Running;
        let containers = self.containers.iter().enumerate();
        let containers = containers.map(|(number, held)| container(held, networks.and_then(|all| all.get(number))));
        let reached = Phase::ALL.into_iter().zip(self.phases).filter(|(_, at)| *at != 0);
        StateChange {
            task: self.message.arn.clone(),
            cluster: self.message.task_cluster_arn.clone(),
            attachment: interface.filter(|_| attached).map(|interface| interface.attachment_arn.clone()),
            report: TaskReport {
                status: Some(status),
                reason: self.reason.as_deref().map(Into::into),
                attached,
                containers: containers.collect(),
                pull_started: self.pull_started,
                pull_stopped: self.pull_stopped,
                execution_stopped: self.execution_stopped,
                phases: reached.collect(),
            },
        }
    }

    /// How the report went; answers the status that is now known to be heard.
    pub fn take_outcome(&mut self, now: Millis, outcome: Outcome) -> Option<&'static str> {
        let status = self.reports.on_its_way.take()?;
        match outcome {
            Outcome::Accepted | Outcome::Unknown => {
                (self.reports.failures, self.reports.retry_at) = (0, 0);
                self.reports.told = self.reports.told.max(Some(status));
                Some(status.as_str())
            }
            Outcome::Failed => {
                let wait = RETRY_MS_MIN << self.reports.failures.min(6);
                self.reports.failures += 1;
                self.reports.retry_at = now + wait.min(RETRY_MS_MAX);
                self.reports.news = true;
                None
            }
        }
    }
}

fn container(held: &crate::entry::Held, network: Option<&ContainerNetwork>) -> ContainerReport {
    let (status, exit) = match &held.stage {
        // Between two runs of one that is started again it counts as running.
        Stage::Pending | Stage::Starting if held.restarts > 0 => (ContainerStatus::Running, None),
        Stage::Pending | Stage::Starting => (ContainerStatus::Pending, None),
        Stage::Running => (ContainerStatus::Running, None),
        Stage::Stopped(exit) => (ContainerStatus::Stopped, Some(exit)),
    };
    let digest = match &held.image {
        Wish::Ready(digest) => Some(digest.as_str().into()),
        Wish::Wanted | Wish::Asked => None,
    };
    ContainerReport {
        name: held.name.as_str().into(),
        status: Some(status),
        runtime_id: held.runtime_id.as_deref().map(Into::into),
        image_digest: digest,
        exit_code: exit.and_then(|exit| exit.code),
        reason: exit.and_then(|exit| exit.reason.as_deref()).map(Into::into),
        bindings: network.map(|network| network.bindings.clone().into()).unwrap_or_default(),
    }
}
