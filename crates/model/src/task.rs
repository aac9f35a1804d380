//! A task and its ladder.
//!
//! ```text
//! PROVISIONING -> PENDING -> ACTIVATING -> RUNNING -> DEACTIVATING -> STOPPING -> DEPROVISIONING -> STOPPED
//! ```
//!
//! `status` is what was seen, `desired` what is wanted; the first is written only by reports of the node that runs the
//! task, the second only by deciding. Neither ever goes back. A task keeps its room on its instance until STOPPED. One
//! that waits for a place is PROVISIONING without an instance, and STOPPED as soon as that is wanted: no node has it.

use crate::Millis;
use crate::cluster::Tag;
pub use crate::eni::{Eni, EniStatus};
use crate::gpu::Gpus;
pub use crate::health::HealthStatus;
use crate::ids::{ClusterId, InstanceId, RevisionId, ServiceId, TaskId, Uuid};
use crate::placement::Placement;
use crate::port::{HostPort, PortMapping};
pub use crate::report::{ContainerReport, TaskReport};
pub use crate::timeline::{Phase, Times};
use crate::waiting::Waiting;
use serde::{Deserialize, Serialize};

/// The ladder; the order of the variants is the order of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TaskStatus {
    /// Accepted: it waits for a place, or its network interface is being made.
    Provisioning,
    /// Its node prepares it.
    Pending,
    /// Between started and RUNNING.
    Activating,
    /// All its containers have started.
    Running,
    /// Wanted stopped; leaves load balancers.
    Deactivating,
    /// Its containers are being stopped.
    Stopping,
    /// Its network interface is being removed.
    Deprovisioning,
    /// Nothing of it is left on the node.
    Stopped,
}

impl TaskStatus {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending => "PENDING",
            Self::Activating => "ACTIVATING",
            Self::Running => "RUNNING",
            Self::Deactivating => "DEACTIVATING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Stopped => "STOPPED",
        }
    }

    /// Counts as pending in cluster and instance counts.
    pub fn is_pending(self) -> bool {
        self < Self::Running
    }

    /// Counts as running in cluster and instance counts.
    pub fn is_running(self) -> bool {
        self >= Self::Running && self < Self::Stopped
    }
}

/// Where a task runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LaunchType {
    /// On a container instance of its cluster.
    Ec2,
    /// On any host of the Fargate pool.
    Fargate,
    /// On an on-premises container instance of its cluster.
    External,
}

/// What is wanted of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Desired {
    /// It should run.
    Running,
    /// It should be gone.
    Stopped,
}

impl Desired {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// AWS's stop codes that can happen here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StopCode {
    /// It ended before RUNNING.
    TaskFailedToStart,
    /// An essential container exited.
    EssentialContainerExited,
    /// StopTask.
    UserInitiated,
    /// Its service wants it no longer.
    ServiceSchedulerInitiated,
    /// Its host went away.
    TerminationNotice,
}

impl StopCode {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TaskFailedToStart => "TaskFailedToStart",
            Self::EssentialContainerExited => "EssentialContainerExited",
            Self::UserInitiated => "UserInitiated",
            Self::ServiceSchedulerInitiated => "ServiceSchedulerInitiated",
            Self::TerminationNotice => "TerminationNotice",
        }
    }
}

/// Why a task is to stop; the first reason wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The code.
    pub code: StopCode,
    /// Words for people.
    pub reason: Box<str>,
}

/// Where a container stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ContainerStatus {
    /// Not started.
    Pending,
    /// Started.
    Running,
    /// Ended, or never to start.
    Stopped,
}

impl ContainerStatus {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
        }
    }

    /// From AWS's word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Running, Self::Stopped].into_iter().find(|status| status.as_str() == text)
    }
}

/// A container of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its name in the task definition.
    pub name: Box<str>,
    /// The last part of its ARN.
    pub uuid: Uuid,
    /// The task stops when it does.
    pub essential: bool,
    /// Where it stands.
    pub status: ContainerStatus,
    /// The runtime's id, once created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_id: Option<Box<str>>,
    /// What its image resolved to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<Box<str>>,
    /// Set when it ran and ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Why it ended, where the code does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
    /// Ports of its host that lead to it, once its node has told.
    #[serde(default, skip_serializing_if = "<[PortMapping]>::is_empty")]
    pub bindings: Box<[PortMapping]>,
    /// What its health check says; `None`: its definition has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthStatus>,
}

/// A task's place in a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The service.
    pub service: ServiceId,
    /// The number of its deployment.
    pub deployment: u64,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// What it was made from.
    pub definition: RevisionId,
    /// Where it runs; `None`: it waits for room, or ended waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// Why it has no place yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Box<Waiting>>,
    /// The capacity provider that it was asked of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Box<str>>,
    /// Where its request said that it may go and where best; that of a task of a service is the service's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Box<Placement>>,
    /// How it was asked for.
    pub launch_type: LaunchType,
    /// What it books, in CPU units.
    pub cpu: u32,
    /// What it books, in MiB.
    pub memory: u32,
    /// Seen.
    pub status: TaskStatus,
    /// Wanted.
    pub desired: Desired,
    /// The service it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Membership>,
    /// `None`: `family:<family>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Box<str>>,
    /// Who asked, in the caller's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<Box<str>>,
    /// The wire document of its overrides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<Box<str>>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// Its containers, in the order of the task definition.
    pub containers: Box<[Container]>,
    /// Its interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eni: Option<Eni>,
    /// Ports of its host that it asked for by number.
    #[serde(default, skip_serializing_if = "<[HostPort]>::is_empty")]
    pub ports: Box<[HostPort]>,
    /// What its containers want and have of its host's GPUs; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<Box<Gpus>>,
    /// Neither scaling in nor a deployment stops it before this; zero: it is not protected.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub protected_until: Millis,
    /// Commands may be executed in its containers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub execute_command: bool,
    /// Why it is to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// When things happened.
    pub times: Times,
    /// Times of `Phase::ALL`, zero: not yet.
    pub phases: [Millis; 7],
    /// Raised by each change.
    pub version: u64,
}

impl Task {
    /// The ports of its host that it has: those it asked for, and those that its node chose.
    pub fn host_ports(&self) -> impl Iterator<Item = HostPort> + '_ {
        let bound = self.containers.iter().flat_map(|container| container.bindings.iter().copied());
        self.ports.iter().copied().chain(bound.filter_map(PortMapping::host_port))
    }

    /// The instance on which it has room, CPU and memory booked.
    pub fn books_on(&self) -> Option<InstanceId> {
        self.instance.filter(|_| self.status != TaskStatus::Stopped)
    }

    /// Wants it stopped. A second wish changes nothing: the first reason is the true one.
    pub fn want_stopped(&mut self, at: Millis, stop: Stop) {
        if self.desired == Desired::Stopped {
            return;
        }
        self.desired = Desired::Stopped;
        self.stop.get_or_insert(stop);
        self.times.stopping = at;
        self.climb(if self.status >= TaskStatus::Running { TaskStatus::Deactivating } else { self.status });
        if self.status == TaskStatus::Deactivating {
            self.climb(TaskStatus::Stopping);
        }
        if self.is_waiting() {
            self.waiting = None;
            self.take_stopped(at, None);
        }
    }

    /// Who started it: a service's deployment, or who asked.
    pub fn shown_started_by(&self) -> Option<String> {
        let deployment = self.service.map(|membership| crate::service::deployment_id(membership.deployment));
        deployment.or_else(|| self.started_by.as_deref().map(str::to_owned))
    }

    /// Whether only StopTask or failing checks stop it.
    pub fn is_protected(&self, now: Millis) -> bool {
        self.protected_until > now
    }

    /// Takes what its node says. Late, repeated and reordered reports change nothing that is further along.
    pub fn take_report(&mut self, at: Millis, report: &TaskReport) {
        if self.status == TaskStatus::Stopped || self.is_waiting() {
            return;
        }
        first(&mut self.times.connectivity, at);
        first(&mut self.times.pull_started, report.pull_started);
        first(&mut self.times.pull_stopped, report.pull_stopped);
        first(&mut self.times.execution_stopped, report.execution_stopped);
        for (phase, when) in &report.phases {
            first(&mut self.phases[*phase as usize], *when);
        }
        report.containers.iter().for_each(|container| self.take_container(container));
        if let (true, Some(eni)) = (report.attached, &mut self.eni) {
            eni.status = eni.status.max(EniStatus::Attached);
        }
        match report.status {
            Some(ContainerStatus::Pending) => self.climb(TaskStatus::Pending),
            Some(ContainerStatus::Running) => self.take_running(at),
            Some(ContainerStatus::Stopped) => self.take_stopped(at, report.reason.as_deref()),
            None => {}
        }
        if self.desired == Desired::Running && self.essential_ended() {
            let stop = self.stop_by_containers();
            self.want_stopped(at, stop);
        }
    }

    /// Its host is gone and nobody can say how it ended.
    pub fn lose_host(&mut self, at: Millis, reason: &str) {
        let stop = Stop { code: StopCode::TerminationNotice, reason: reason.into() };
        self.want_stopped(at, stop);
        self.take_stopped(at, None);
    }

    fn climb(&mut self, to: TaskStatus) {
        self.status = self.status.max(to);
    }

    fn take_running(&mut self, at: Millis) {
        if self.status >= TaskStatus::Running {
            return;
        }
        first(&mut self.times.started, at);
        first(&mut self.phases[Phase::Running as usize], at);
        let stopping = self.desired == Desired::Stopped;
        self.climb(if stopping { TaskStatus::Stopping } else { TaskStatus::Running });
    }

    fn take_stopped(&mut self, at: Millis, reason: Option<&str>) {
        for container in &mut self.containers {
            container.status = ContainerStatus::Stopped;
        }
        let stop = match reason.filter(|reason| !reason.is_empty()) {
            Some(reason) => Stop { code: self.code_by_start(), reason: reason.into() },
            None => self.stop_by_containers(),
        };
        self.want_stopped(at, stop);
        if self.times.started != 0 {
            first(&mut self.times.execution_stopped, at);
        }
        first(&mut self.times.stopped, at);
        if let Some(eni) = &mut self.eni {
            eni.status = EniStatus::Deleted;
        }
        self.climb(TaskStatus::Stopped);
    }

    fn take_container(&mut self, report: &ContainerReport) {
        let Some(container) = self.containers.iter_mut().find(|container| container.name == report.name) else {
            return;
        };
        container.status = container.status.max(report.status.unwrap_or(ContainerStatus::Pending));
        for (field, news) in [
            (&mut container.runtime_id, &report.runtime_id),
            (&mut container.image_digest, &report.image_digest),
            (&mut container.reason, &report.reason),
        ] {
            if field.is_none() {
                field.clone_from(news);
            }
        }
        container.exit_code = container.exit_code.or(report.exit_code);
        if !report.bindings.is_empty() {
            container.bindings.clone_from(&report.bindings);
        }
    }

    fn essential_ended(&self) -> bool {
        let ended = |container: &&Container| container.status == ContainerStatus::Stopped;
        self.containers.iter().filter(ended).any(|container| container.essential)
            || self.containers.iter().all(|container| container.status == ContainerStatus::Stopped)
    }

    fn code_by_start(&self) -> StopCode {
        match self.times.started {
            0 => StopCode::TaskFailedToStart,
            _ => StopCode::EssentialContainerExited,
        }
    }

    /// Code and words that follow from how its containers ended. A container that has an error and no exit code shows
    /// that error, as Fargate does; otherwise the words are ECS's.
    fn stop_by_containers(&self) -> Stop {
        let failed =
            |container: &&Container| container.status == ContainerStatus::Stopped && container.exit_code.is_none();
        let reason = match self.containers.iter().filter(failed).find_map(|container| container.reason.clone()) {
            Some(reason) => return Stop { code: self.code_by_start(), reason },
            None => "Essential container in task exited".into(),
        };
        // A container that ran and exited at once still exited: AWS says EssentialContainerExited for it.
        let ran = self.containers.iter().any(|container| container.exit_code.is_some());
        let code = if ran { StopCode::EssentialContainerExited } else { self.code_by_start() };
        Stop { code, reason }
    }
}

fn is_zero(at: &Millis) -> bool {
    *at == 0
}

/// Writes once: a fact that is known is not overwritten by a later telling.
fn first(field: &mut Millis, value: Millis) {
    if *field == 0 {
        *field = value;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ids::{EniId, Ids};
    use std::net::Ipv4Addr;

    pub(crate) fn plain_task() -> Task {
        let mut ids = Ids::seeded(1);
        Task {
            id: ids.task(),
            cluster: ClusterId(0),
            definition: RevisionId { family: crate::FamilyId(0), revision: 1 },
            instance: Some(ids.instance()),
            waiting: None,
            provider: None,
            placement: None,
            launch_type: LaunchType::Fargate,
            cpu: 256,
            memory: 512,
            status: TaskStatus::Provisioning,
            desired: Desired::Running,
            service: None,
            group: None,
            started_by: None,
            overrides: None,
            tags: Vec::new(),
            containers: ["web", "side"]
                .map(|name| Container {
                    name: name.into(),
                    uuid: ids.uuid(),
                    essential: name == "web",
                    status: ContainerStatus::Pending,
                    runtime_id: None,
                    image_digest: None,
                    exit_code: None,
                    reason: None,
                    bindings: Box::default(),
                    health: None,
                })
                .into(),
            eni: Some(Eni {
                id: EniId(1),
                attachment: ids.uuid(),
                subnet: 0,
                address: Ipv4Addr::new(172, 31, 0, 4),
                mac: [2, 0, 0, 0, 0, 1],
                status: EniStatus::Precreated,
            }),
            ports: Box::default(),
            gpus: None,
            protected_until: 0,
            execute_command: false,
            stop: None,
            times: Times { created: 1, ..Times::default() },
            phases: [1, 1, 0, 0, 0, 0, 0],
            version: 1,
        }
    }

    fn report(status: ContainerStatus) -> TaskReport {
        TaskReport { status: Some(status), ..TaskReport::default() }
    }

    fn ended(name: &str, exit_code: Option<i32>, reason: Option<&str>) -> ContainerReport {
        ContainerReport {
            name: name.into(),
            status: Some(ContainerStatus::Stopped),
            runtime_id: None,
            image_digest: None,
            exit_code,
            reason: reason.map(Into::into),
            bindings: Box::default(),
        }
    }

    #[test]
    fn a_life() {
        let mut task = plain_task();
        task.take_report(5, &report(ContainerStatus::Running));
        assert_eq!((task.status, task.times.started), (TaskStatus::Running, 5));
        task.want_stopped(7, Stop { code: StopCode::UserInitiated, reason: "bye".into() });
        assert_eq!((task.status, task.desired), (TaskStatus::Stopping, Desired::Stopped));
        task.take_report(9, &report(ContainerStatus::Stopped));
        assert_eq!((task.status, task.times.stopped), (TaskStatus::Stopped, 9));
        assert_eq!(task.stop.unwrap().code, StopCode::UserInitiated);
        assert_eq!(task.eni.unwrap().status, EniStatus::Deleted);
    }

    #[test]
    fn an_essential_exit_stops_the_task_and_others_do_not() {
        let mut task = plain_task();
        task.take_report(5, &report(ContainerStatus::Running));
        let mut news = report(ContainerStatus::Running);
        news.containers.push(ended("side", Some(0), None));
        task.take_report(6, &news);
        assert_eq!(task.desired, Desired::Running);
        news.containers.push(ended("web", Some(3), None));
        task.take_report(7, &news);
        assert_eq!(task.desired, Desired::Stopped);
        let stop = task.stop.clone().unwrap();
        assert_eq!(
            (stop.code, &*stop.reason),
            (StopCode::EssentialContainerExited, "Essential container in task exited")
        );
        assert_eq!(task.containers[0].exit_code, Some(3));
    }

    #[test]
    fn a_task_that_cannot_start_says_why() {
        let mut task = plain_task();
        let mut news = report(ContainerStatus::Stopped);
        news.containers.push(ended("web", None, Some("CannotPullContainerError: manifest unknown")));
        task.take_report(6, &news);
        let stop = task.stop.unwrap();
        assert_eq!(stop.code, StopCode::TaskFailedToStart);
        assert_eq!(&*stop.reason, "CannotPullContainerError: manifest unknown");
        assert_eq!(task.times.started, 0);
    }

    #[test]
    fn late_reports_never_take_a_task_back() {
        let mut task = plain_task();
        task.take_report(5, &report(ContainerStatus::Stopped));
        let before = task.clone();
        task.take_report(6, &report(ContainerStatus::Running));
        assert_eq!(task, before);
    }

    #[test]
    fn a_plain_task_with_its_interface_stays_under_its_size() {
        let task = plain_task();
        let heap: usize = task.containers.iter().map(|c| size_of::<Container>() + c.name.len() + 45 + 71).sum();
        let size = size_of::<Task>() + heap;
        assert!(size <= 1200, "a task takes {size} bytes");
    }
}
