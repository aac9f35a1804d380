//! Bugs that are put in on purpose, to see that the checkers find them. Each is a mistake that control plane or node could
//! make, imitated where their words pass from one to the other; the production code is not touched.

use crate::faults::operator;
use crate::fleet::RULES;
use crate::weather::SETTLE_MS;
use crate::world::World;
use crate::zones::ZONES;
use control::{Batch, Input};
use link::acs::{ToAgent, id_of};
use model::change::Change;
use model::task_set::TaskSetStatus;
use model::{Millis, TaskId};
use std::fmt;
use std::str::FromStr;
use wire::http::Call;
use wire::{ecs, ssm};

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// A task's room is given away when the task is told to stop, not when it is gone.
    EarlyRoom,
    /// A node never hears that a task is to stop.
    LostStop,
    /// A task is sent to two nodes.
    DoubleStart,
    /// Tasks count as healthy before they have proved it, so that a rolling update goes below its lower bound.
    HastyUpdate,
    /// An answer leaves before what it saw is durable.
    EarlyAnswer,
    /// The row of a task that was accepted is not written.
    LostRow,
    /// The circuit breaker counts and never trips.
    DeafBreaker,
    /// A host is taken for twice as large as it is.
    Overcommit,
    /// Constraints of RunTask are not looked at.
    DeafConstraint,
    /// A DAEMON service is taken for one of a single task.
    LonelyDaemon,
    /// Protection ends as soon as it was given.
    DeafProtection,
    /// Nobody knows to which capacity provider a host belongs, so that tasks wait for ever.
    LostProvider,
    /// A task is taken for RUNNING when its image is being fetched.
    EarlyRunning,
    /// Whatever the share of a task set is said to be, it becomes the whole.
    WholeShare,
    /// Nodes never hear that tasks of deleted task sets are to stop.
    UndeadSet,
    /// Nobody knows in which zone a host stands.
    OneZone,
    /// A task that evens out zones is taken for RUNNING as soon as it has a place.
    HastyBalance,
    /// A parameter gets another value than was put.
    WrongParameter,
    /// A tag that is taken off is there still.
    StickyTag,
}

impl Planted {
    /// All, with their names on the command line.
    pub const ALL: [(Self, &'static str); 19] = [
        (Self::EarlyRoom, "early-room"),
        (Self::LostStop, "lost-stop"),
        (Self::DoubleStart, "double-start"),
        (Self::HastyUpdate, "hasty-update"),
        (Self::EarlyAnswer, "early-answer"),
        (Self::LostRow, "lost-row"),
        (Self::DeafBreaker, "deaf-breaker"),
        (Self::Overcommit, "overcommit"),
        (Self::DeafConstraint, "deaf-constraint"),
        (Self::LonelyDaemon, "lonely-daemon"),
        (Self::DeafProtection, "deaf-protection"),
        (Self::LostProvider, "lost-provider"),
        (Self::EarlyRunning, "early-running"),
        (Self::WholeShare, "whole-share"),
        (Self::UndeadSet, "undead-set"),
        (Self::OneZone, "one-zone"),
        (Self::HastyBalance, "hasty-balance"),
        (Self::WrongParameter, "wrong-parameter"),
        (Self::StickyTag, "sticky-tag"),
    ];
}

impl fmt::Display for Planted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(planted, _)| planted == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for Planted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text).map(|(planted, _)| *planted);
        let names: Vec<&str> = Self::ALL.iter().map(|(_, name)| *name).collect();
        found.ok_or_else(|| format!("one of {}", names.join(", ")))
    }
}

impl World {
    fn has(&self, bug: Planted) -> bool {
        self.planted == Some(bug)
    }

    /// How long a task has to run before it counts as healthy, as the control plane has it.
    pub fn planted_settle_ms(&self) -> Millis {
        if self.has(Planted::HastyUpdate) { 0 } else { SETTLE_MS }
    }

    /// Whether an output may leave before its batch is durable.
    pub fn planted_haste(&self) -> bool {
        self.has(Planted::EarlyAnswer)
    }

    /// What is written of a batch.
    pub fn planted_batch(&self, batch: &mut Batch) {
        if self.has(Planted::LostRow) && batch.changes.iter().any(|change| matches!(change, Change::TaskAccepted(_))) {
            batch.rows.retain(|row| row.kind != "task");
        }
    }

    /// What the control plane believes to have heard when it has decided a batch.
    pub fn planted_belief(&mut self, changes: &[Change]) {
        if self.has(Planted::DeafProtection) {
            self.end_protection(changes);
        }
        if self.has(Planted::WholeShare) {
            self.make_shares_whole(changes);
        }
        if self.has(Planted::HastyBalance) {
            self.hasten_balance(changes);
        }
        if !self.has(Planted::EarlyRoom) {
            return;
        }
        let stopped = |change: &Change| match change {
            Change::TaskStopWanted { id, .. } => Some(*id),
            _ => None,
        };
        let stopped: Vec<TaskId> = changes.iter().filter_map(stopped).collect();
        for id in stopped {
            let Some(control) = &self.plane.control else { return };
            let Some(task) = control.state().tasks.get(&id) else { continue };
            let report = ecs::SubmitTaskStateChangeRequest {
                task: Some(control.state().task_arn(task)),
                status: Some("STOPPED".to_owned()),
                ..Default::default()
            };
            let call = Call::Ecs(ecs::Request::from(report));
            self.plane_take(Input::Request { ticket: u64::MAX, caller: operator(), call });
        }
    }

    fn end_protection(&mut self, changes: &[Change]) {
        let protected = changes.iter().filter_map(|change| match change {
            Change::TaskProtected { id, until } if *until != 0 => Some(*id),
            _ => None,
        });
        for id in protected {
            let Some(state) = self.plane.control.as_ref().map(control::Control::state) else { return };
            let Some(task) = state.tasks.get(&id) else { continue };
            let request = ecs::UpdateTaskProtectionRequest {
                cluster: state.cluster_name(task.cluster).to_owned(),
                tasks: vec![state.task_arn(task)],
                protection_enabled: false,
                expires_in_minutes: None,
            };
            let call = Call::Ecs(ecs::Request::from(request));
            self.plane_take(Input::Request { ticket: u64::MAX, caller: operator(), call });
        }
    }

    fn make_shares_whole(&mut self, changes: &[Change]) {
        let services = changes.iter().filter_map(|change| match change {
            Change::ServiceUpdated(service) => Some(service),
            _ => None,
        });
        let Some(state) = self.plane.control.as_ref().map(control::Control::state) else { return };
        let sets = services.flat_map(|service| service.deployments.iter().map(move |set| (service, set)));
        let partial = sets.filter(|(_, known)| known.set.as_ref().is_some_and(|set| set.scale.percent() < 100.0));
        let requests = partial.map(|(service, known)| ecs::UpdateTaskSetRequest {
            cluster: state.cluster_name(service.cluster).to_owned(),
            service: service.name.to_string(),
            task_set: known.id(),
            scale: ecs::Scale { value: Some(100.0), unit: None },
        });
        let requests: Vec<_> = requests.collect();
        for request in requests {
            let call = Call::Ecs(ecs::Request::from(request));
            self.plane_take(Input::Request { ticket: u64::MAX, caller: operator(), call });
        }
    }

    fn hasten_balance(&mut self, changes: &[Change]) {
        let Some(state) = self.plane.control.as_ref().map(control::Control::state) else { return };
        let evens = |task: &&model::Task| {
            task.service.and_then(|member| state.services.get(&member.service)).is_some_and(|service| service.balancing)
        };
        let tasks = changes.iter().filter_map(|change| match change {
            Change::TaskAccepted(task) => Some(&**task),
            _ => None,
        });
        let reports = tasks.filter(evens).map(|task| ecs::SubmitTaskStateChangeRequest {
            task: Some(state.task_arn(task)),
            status: Some("RUNNING".to_owned()),
            ..Default::default()
        });
        let reports: Vec<_> = reports.collect();
        for report in reports {
            let call = Call::Ecs(ecs::Request::from(report));
            self.plane_take(Input::Request { ticket: u64::MAX, caller: operator(), call });
        }
    }

    /// Whether a task is of a task set that was deleted.
    fn is_of_deleted_set(&self, arn: &str) -> bool {
        let state = &self.disk.history;
        let task = TaskId::parse(id_of(arn)).and_then(|id| state.tasks.get(&id));
        let Some(member) = task.and_then(|task| task.service) else { return false };
        state.services.get(&member.service).filter(|service| service.external).is_some_and(|service| {
            let set = service.deployments.iter().find(|set| set.number == member.deployment);
            set.is_none_or(|set| set.is_set(TaskSetStatus::Draining))
        })
    }

    /// What a frame says when it leaves, and to which other node it goes too.
    pub fn planted_frame(&self, agent: usize, frame: String) -> (String, Option<usize>) {
        let (lost, double) = (self.has(Planted::LostStop), self.has(Planted::DoubleStart));
        match ToAgent::decode(&frame) {
            Some(ToAgent::PayloadMessage(mut payload)) if lost => {
                payload.tasks.retain(|task| task.desired_status != "STOPPED");
                (ToAgent::PayloadMessage(payload).encode(), None)
            }
            Some(ToAgent::PayloadMessage(mut payload)) if self.has(Planted::UndeadSet) => {
                payload.tasks.retain(|task| task.desired_status != "STOPPED" || !self.is_of_deleted_set(&task.arn));
                (ToAgent::PayloadMessage(payload).encode(), None)
            }
            Some(ToAgent::PayloadMessage(_)) if double => (frame, Some((agent + 1) % self.agents.len())),
            _ => (frame, None),
        }
    }

    /// What the control plane makes of a request.
    pub fn planted_request(&self, mut request: ecs::Request) -> ecs::Request {
        match &mut request {
            ecs::Request::RunTask(run) if self.has(Planted::DeafConstraint) => {
                run.placement_constraints = run.placement_constraints.take().filter(|all| !is_plain(all));
            }
            ecs::Request::CreateService(create)
                if self.has(Planted::LonelyDaemon)
                    && create.launch_type == Some(ecs::LaunchType::Ec2)
                    && create.scheduling_strategy.is_some() =>
            {
                (create.scheduling_strategy, create.desired_count) = (None, Some(1));
            }
            ecs::Request::UntagResource(request) if self.has(Planted::StickyTag) => {
                request.tag_keys = vec!["nothing".to_owned()];
            }
            ecs::Request::SubmitTaskStateChange(report)
                if self.has(Planted::EarlyRunning) && report.status.as_deref() == Some("PENDING") =>
            {
                report.status = Some("RUNNING".to_owned());
                for container in report.containers.iter_mut().flatten() {
                    container.status = Some("RUNNING".to_owned());
                }
            }
            _ => {}
        }
        if !self.has(Planted::DeafBreaker) {
            return request;
        }
        let configuration = match &mut request {
            ecs::Request::CreateService(create) => create.deployment_configuration.as_mut(),
            ecs::Request::UpdateService(update) => update.deployment_configuration.as_mut(),
            _ => None,
        };
        if let Some(breaker) = configuration.and_then(|known| known.deployment_circuit_breaker.as_mut()) {
            let never = ecs::ThresholdConfiguration { r#type: ecs::ThresholdType::Count, value: 200 };
            breaker.threshold_configuration = Some(never);
        }
        request
    }

    /// The capacity provider that a host says it belongs to.
    pub fn planted_provider(&self, provider: Option<&'static str>) -> Option<&'static str> {
        provider.filter(|_| !self.has(Planted::LostProvider))
    }

    /// What the control plane makes of a request to a companion.
    pub fn planted_call(&self, mut call: Call) -> Call {
        if let Call::Ssm(ssm::Request::PutParameter(request)) = &mut call
            && self.has(Planted::WrongParameter)
        {
            request.value = crate::keeper::sealed(0);
        }
        call
    }

    /// The zone that a host says it stands in.
    pub fn planted_zone(&self, zone: &'static str) -> &'static str {
        if self.has(Planted::OneZone) { ZONES[0] } else { zone }
    }

    /// The memory that a host says it has.
    pub fn planted_memory(&self, memory: u32) -> u32 {
        if self.has(Planted::Overcommit) { memory * 2 } else { memory }
    }
}

/// Constraints that can be read.
fn is_plain(constraints: &[ecs::PlacementConstraint]) -> bool {
    let known = |text: &str| RULES.iter().any(|(rule, _)| *rule == text);
    constraints.iter().all(|constraint| constraint.expression.as_deref().is_none_or(known))
}
