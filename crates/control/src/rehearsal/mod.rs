//! What a call would bring about, found out by doing it: the production handlers and planners work on a copy of the state,
//! and nodes that always succeed answer after the times that were measured before. Nothing of it is kept.

mod pace;
mod script;

use crate::authorize::Caller;
use crate::{Config, Control, Input, Output};
use model::change::Change;
use model::task::{ContainerReport, ContainerStatus, Desired, HealthStatus, Task, TaskReport, TaskStatus};
use model::{Ids, InstanceId, Millis, State, TaskId};
use pace::Pace;
use script::Script;
use std::collections::BTreeMap;
use wire::http::{Answer, Call};
use wire::{Fault, ecs, gantry};

/// When nothing has started or stopped for this long, nothing will: the longest wait between two tries is a minute.
const QUIET_MS: Millis = 130_000;
/// The end of the rehearsal, and the rounds it may take: what goes on for longer is said to be unfinished.
const HORIZON_MS: Millis = 24 * 3_600_000;
const ROUNDS_MAX: usize = 100_000;

/// What a node will say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Running,
    Healthy,
    Stopped,
}

struct Rehearsal {
    control: Control,
    began: Millis,
    /// By time, then in the order of the orders.
    due: BTreeMap<(Millis, u64), (TaskId, News)>,
    orders: u64,
    last: Millis,
    pace: Pace,
    script: Script,
}

/// A copy of a control plane as it is at a moment, to try things on.
#[derive(Clone, Debug)]
pub struct Stage {
    pub(crate) config: Config,
    pub(crate) state: State,
    pub(crate) now: Millis,
}

impl Stage {
    /// Makes `call` and tells what follows. A call that would be refused is refused.
    pub fn rehearse(self, caller: &Caller, call: Call) -> Result<gantry::PlanResponse, Fault> {
        rehearse(self, caller, call)
    }
}

fn rehearse(stage: Stage, caller: &Caller, call: Call) -> Result<gantry::PlanResponse, Fault> {
    let Stage { config, state, now } = stage;
    let pace = Pace::measured(&state);
    let operation = call.operation();
    if !matches!(call, Call::Ecs(_)) || operation.is_read_only() {
        let message = format!("{} changes nothing that could be planned.", operation.full_name());
        return Err(Fault::invalid_parameter(message));
    }
    // Whatever ids it makes are never seen again.
    let control = Control::over(now, config, state, 0, Ids::seeded(now));
    let (due, script) = (BTreeMap::new(), Script::default());
    let mut rehearsal = Rehearsal { control, began: now, due, orders: 0, last: now, pace, script };
    rehearsal.expect_what_is_under_way();
    let answer = rehearsal.call(caller, call)?;
    let finished = rehearsal.play();
    Ok(rehearsal.told(operation.name(), &answer, finished))
}

impl Rehearsal {
    fn state(&self) -> &State {
        self.control.state()
    }

    fn expect_what_is_under_way(&mut self) {
        let open = |task: &&Task| task.status != TaskStatus::Stopped;
        let tasks: Vec<TaskId> = self.state().tasks.values().filter(open).map(|task| task.id).collect();
        tasks.into_iter().for_each(|id| self.expect(id));
    }

    /// What the node of a task will say next, and when. A host that is away says nothing.
    fn expect(&mut self, id: TaskId) {
        let Some(task) = self.state().tasks.get(&id) else { return };
        let Some(host) = host(self.state(), task) else { return };
        let (desired, status, now) = (task.desired, task.status, self.control.now());
        if !host.1 {
            return self.script.absent(host.0);
        }
        let task = task.clone();
        let state = self.control.state();
        let (news, wait) = match (desired, status) {
            (Desired::Stopped, _) => (News::Stopped, self.pace.stop(state, &task)),
            (Desired::Running, status) if status < TaskStatus::Running => {
                (News::Running, self.pace.start(state, &task, host.0))
            }
            (Desired::Running, _) if task.health() == HealthStatus::Unknown && self.pace.has_checks(state, &task) => {
                (News::Healthy, self.pace.check(state, &task))
            }
            (Desired::Running, _) => return,
        };
        self.orders += 1;
        self.due.insert((now + wait, self.orders), (id, news));
    }

    /// Makes the call; what is told of the rehearsal begins with it.
    fn call(&mut self, caller: &Caller, call: Call) -> Result<Answer, Fault> {
        drop(self.control.poll_batch());
        let now = self.began;
        self.control.handle(now, Input::Request { ticket: 0, caller: caller.clone(), call });
        self.end_round();
        while let Some((_, output)) = self.control.poll_output() {
            if let Output::Reply { answer, .. } = output {
                return *answer;
            }
        }
        Err(Fault::new("ServerException", 500, "The call was not answered."))
    }

    fn end_round(&mut self) {
        let Some(batch) = self.control.poll_batch() else { return };
        let at = self.control.now() - self.began;
        for change in &batch.changes {
            let moved = self.script.note(self.control.state(), at, change);
            if let Some(task) = moved {
                self.last = self.control.now();
                self.expect(task);
            }
        }
        self.script.measure(self.control.state());
    }

    /// Lets time pass until nothing more follows; false: it would have gone on.
    fn play(&mut self) -> bool {
        for _ in 0..ROUNDS_MAX {
            let due = self.due.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = due.into_iter().chain(self.control.next_look()).min() else { return true };
            let now = next.max(self.control.now());
            if due.is_none() && now > self.last + QUIET_MS {
                return true;
            }
            if now > self.began + HORIZON_MS {
                return false;
            }
            self.control.handle_time(now);
            while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) {
                let (task, news) = entry.remove();
                self.say(task, news);
            }
            self.end_round();
        }
        false
    }

    fn say(&mut self, id: TaskId, news: News) {
        let now = self.control.now();
        let Some(task) = self.state().tasks.get(&id).filter(|task| task.status != TaskStatus::Stopped) else { return };
        let change = match news {
            News::Healthy => {
                let containers = task.containers.iter().filter(|container| container.health.is_some());
                let health = containers.map(|container| (container.name.clone(), HealthStatus::Healthy)).collect();
                Change::TaskHealthReported { id, health }
            }
            News::Running if task.desired == Desired::Stopped => return,
            News::Running => {
                Change::TaskReported { id, at: now, report: Box::new(report(task, ContainerStatus::Running)) }
            }
            News::Stopped => {
                Change::TaskReported { id, at: now, report: Box::new(report(task, ContainerStatus::Stopped)) }
            }
        };
        self.control.commit(change);
    }

    fn told(mut self, operation: &str, answer: &Answer, finished: bool) -> gantry::PlanResponse {
        let mut blocked = self.script.blocked(self.control.state());
        if let Answer::Ecs(ecs::Response::RunTask(answer)) = answer {
            let failures = answer.failures.iter().flatten();
            blocked.extend(failures.map(|failure| {
                let part = |part: &Option<String>| part.clone().unwrap_or_default();
                format!("{}: {}", part(&failure.reason), part(&failure.detail))
            }));
        }
        let outcome = match (blocked.is_empty(), finished) {
            (false, _) => "BLOCKED",
            (true, true) => "COMPLETED",
            (true, false) => "UNFINISHED",
        };
        let json = match answer {
            Answer::Ecs(answer) => answer.to_json(),
            _ => String::new(),
        };
        gantry::PlanResponse {
            operation: Some(operation.to_owned()),
            answer: Some(json),
            outcome: Some(outcome.to_owned()),
            duration_ms: i64::try_from(self.last - self.began).ok(),
            peaks: Some(self.script.peaks(self.control.state())),
            steps: Some(std::mem::take(&mut self.script.steps)),
            blocked: Some(blocked),
            basis: Some(self.pace.basis()),
        }
    }
}

/// The host of a task that has one, and whether its agent is there.
fn host(state: &State, task: &Task) -> Option<(InstanceId, bool)> {
    let instance = state.instances.get(&task.instance?)?;
    Some((instance.id, instance.connected))
}

fn report(task: &Task, status: ContainerStatus) -> TaskReport {
    let container = |name: &str| ContainerReport {
        name: name.into(),
        status: Some(status),
        runtime_id: None,
        image_digest: None,
        exit_code: None,
        reason: None,
        bindings: Box::default(),
    };
    let containers = match status {
        // A task that is wanted STOPPED ends; how its containers do so is of no matter here.
        ContainerStatus::Stopped => Vec::new(),
        _ => task.containers.iter().map(|c| container(&c.name)).collect(),
    };
    TaskReport { status: Some(status), attached: true, containers, ..TaskReport::default() }
}
