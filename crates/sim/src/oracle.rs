//! What answers must say: judged from what clients were told before, and from what is durable. Two requests are ordered
//! only when the one was sent after the other was answered. Decides nothing that the system could see.

use crate::checks::task_id;
use crate::clients::List;
use crate::promises::Protection;
use crate::told::ToldSets;
use crate::world::World;
use link::acs::id_of;
use model::task::Desired;
use model::{Millis, TaskId, TaskStatus};
use node::hands::TaskKey;
use std::collections::{BTreeMap, BTreeSet};
use wire::{Fault, ecs};

/// A request that waits for its answer.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub request: ecs::Request,
    pub refused: &'static [&'static str],
    /// When, on the agenda's count.
    pub sent: u64,
    /// The time then.
    pub at: Millis,
}

/// What clients were told.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    revisions: BTreeSet<String>,
    tasks: BTreeMap<String, Seen>,
    tokens: BTreeMap<(String, String), Used>,
    /// What was told of task sets.
    pub sets: ToldSets,
    /// What was told of the protection of tasks, by ARN.
    pub protected: BTreeMap<String, Protection>,
}

/// A client token whose first answer is known.
#[derive(Debug)]
struct Used {
    request: ecs::RunTaskRequest,
    tasks: BTreeSet<String>,
}

/// A task as it was shown.
#[derive(Debug, Default)]
struct Seen {
    /// Each step up the ladder, and when it was told.
    steps: Vec<(u64, usize)>,
    stop_acknowledged: bool,
}

/// In the order of life.
const STATUSES: [TaskStatus; 8] = [
    TaskStatus::Provisioning,
    TaskStatus::Pending,
    TaskStatus::Activating,
    TaskStatus::Running,
    TaskStatus::Deactivating,
    TaskStatus::Stopping,
    TaskStatus::Deprovisioning,
    TaskStatus::Stopped,
];

impl Oracle {
    /// Tasks whose stop was acknowledged.
    pub fn to_be_stopped(&self) -> impl Iterator<Item = &str> {
        self.tasks.iter().filter(|(_, seen)| seen.stop_acknowledged).map(|(arn, _)| arn.as_str())
    }

    /// Whether anybody was told before then that a task is STOPPED.
    pub fn was_stopped_before(&self, arn: &str, sent: u64) -> bool {
        let stopped = STATUSES.len() - 1;
        self.tasks.get(arn).is_some_and(|seen| seen.steps.iter().any(|(at, rank)| *at <= sent && *rank == stopped))
    }

    /// Tasks that anybody was told of.
    pub fn tasks(&self) -> impl Iterator<Item = &str> {
        self.tasks.keys().map(String::as_str)
    }
}

impl World {
    /// Judges an answer.
    pub fn judge(&mut self, asked: &Asked, answer: Result<ecs::Response, Fault>) {
        self.hear_of_sets(asked, &answer);
        match answer {
            Ok(_) if !asked.refused.is_empty() => {
                self.fail("an invalid request is refused", format!("{:?}", asked.request));
            }
            Ok(response) => self.judge_success(asked, response),
            Err(fault) => self.judge_fault(asked, &fault),
        }
    }

    fn judge_fault(&mut self, asked: &Asked, fault: &Fault) {
        let operation = asked.request.operation();
        let maybe = fault.code == "ServerException";
        let declared = operation.declared_faults().contains(&fault.code.as_ref());
        let expected = asked.refused.is_empty() || asked.refused.contains(&fault.code.as_ref());
        if !maybe && (!declared || !expected || fault.is_server_side()) {
            let detail = format!("{operation} answers {fault}, expected {:?}: {:?}", asked.refused, asked.request);
            self.fail("a fault is one that the operation declares and the request deserves", detail);
        }
        if let (ecs::Request::RunTask(request), "ConflictException") = (&asked.request, fault.code.as_ref()) {
            let same = self.used(request).is_some_and(|used| used.request == **request);
            if same {
                self.fail("the same client token and parameters get the same answer", fault.to_string());
            }
        }
    }

    fn used(&self, request: &ecs::RunTaskRequest) -> Option<&Used> {
        let key = (request.cluster.clone().unwrap_or_default(), request.client_token.clone()?);
        self.clients.oracle.tokens.get(&key)
    }

    fn judge_success(&mut self, asked: &Asked, response: ecs::Response) {
        match (&asked.request, response) {
            (ecs::Request::RunTask(request), ecs::Response::RunTask(response)) => {
                self.judge_run(asked, request, *response);
            }
            (ecs::Request::StartTask(request), ecs::Response::StartTask(response)) => {
                let tasks = response.tasks.unwrap_or_default();
                let answered = tasks.len() + response.failures.unwrap_or_default().len();
                if answered != request.container_instances.len() {
                    self.fail("every task asked for is a task or a failure", format!("{answered} of StartTask"));
                }
                tasks.iter().for_each(|task| self.see(asked.sent, task));
            }
            (ecs::Request::StopTask(_), ecs::Response::StopTask(response)) => {
                let Some(task) = response.task else { return };
                self.see(asked.sent, &task);
                let seen = self.clients.oracle.tasks.entry(task.task_arn.unwrap_or_default()).or_default();
                seen.stop_acknowledged = true;
                if task.desired_status.as_deref() != Some("STOPPED") {
                    self.fail("StopTask wants the task STOPPED", format!("{:?}", task.desired_status));
                }
            }
            (ecs::Request::DescribeTasks(request), ecs::Response::DescribeTasks(response)) => {
                self.judge_describe(asked, request, *response);
            }
            (ecs::Request::RegisterTaskDefinition(_), ecs::Response::RegisterTaskDefinition(response)) => {
                let arn = response.task_definition.and_then(|definition| definition.task_definition_arn);
                let arn = arn.unwrap_or_default();
                if !self.clients.oracle.revisions.insert(arn.clone()) {
                    self.fail("no revision is given twice", arn);
                }
            }
            (_, response) => self.judge_fleet(asked, response),
        }
    }

    fn judge_run(&mut self, asked: &Asked, request: &ecs::RunTaskRequest, response: ecs::RunTaskResponse) {
        let tasks = response.tasks.unwrap_or_default();
        let failures = response.failures.unwrap_or_default();
        let arns: BTreeSet<String> = tasks.iter().filter_map(|task| task.task_arn.clone()).collect();
        if request.overrides.is_some() && !tasks.is_empty() {
            self.fail("a task that is too big is not placed", format!("{arns:?}"));
        }
        let known = self.used(request).map(|used| (used.request == *request, used.tasks.clone()));
        match known {
            Some((false, _)) => {
                self.fail("a client token is refused for other parameters", format!("{:?}", request.client_token));
            }
            Some((true, before)) => {
                let gone = |arn: &&String| !arns.contains(*arn) && !self.is_forgotten(arn);
                if !arns.is_subset(&before) || before.iter().any(|arn| gone(&arn)) {
                    let detail = format!("{before:?}, then {arns:?}");
                    self.fail("the same client token and parameters get the same answer", detail);
                }
            }
            None => {
                let asked_for = request.count.unwrap_or(1) as usize;
                // The answer to an earlier try that was lost says nothing of what could not be placed then.
                let repeated = request.client_token.is_some() && failures.is_empty();
                if tasks.len() + failures.len() != asked_for && !repeated {
                    let answered = format!("{} tasks, {} failures of {asked_for}", tasks.len(), failures.len());
                    self.fail("every task asked for is a task or a failure", answered);
                }
                if let Some(token) = request.client_token.clone().filter(|_| !arns.is_empty()) {
                    let key = (request.cluster.clone().unwrap_or_default(), token);
                    self.clients.oracle.tokens.insert(key, Used { request: request.clone(), tasks: arns });
                }
            }
        }
        self.judge_places(asked, request, &tasks);
        tasks.iter().for_each(|task| self.see(asked.sent, task));
    }

    fn is_forgotten(&self, arn: &str) -> bool {
        TaskId::parse(id_of(arn)).is_some_and(|id| self.disk.forgotten.contains(&id))
    }

    fn judge_describe(
        &mut self,
        asked: &Asked,
        request: &ecs::DescribeTasksRequest,
        response: ecs::DescribeTasksResponse,
    ) {
        let tasks = response.tasks.unwrap_or_default();
        let failures = response.failures.unwrap_or_default();
        for arn in &request.tasks {
            let there = tasks.iter().any(|task| task.task_arn.as_ref() == Some(arn));
            let missing = failures.iter().any(|failure| failure.arn.as_ref() == Some(arn));
            if there == missing {
                self.fail("every task asked for is described or missing", arn.clone());
            }
            if missing && !self.is_forgotten(arn) {
                self.fail("what was acknowledged is there until it is forgotten", arn.clone());
            }
        }
        tasks.iter().for_each(|task| self.see(asked.sent, task));
    }

    /// A task was shown in an answer to a request that was sent then.
    fn see(&mut self, sent: u64, task: &ecs::Task) {
        let arn = task.task_arn.clone().unwrap_or_default();
        let status = task.last_status.as_deref().unwrap_or("");
        let Some(rank) = STATUSES.iter().position(|step| step.as_str() == status) else {
            return self.fail("a task is somewhere on the ladder", format!("{arn} is {status:?}"));
        };
        let desired =
            if task.desired_status.as_deref() == Some("STOPPED") { Desired::Stopped } else { Desired::Running };
        let id = TaskKey::new(id_of(&arn)).map(|key| task_id(&key));
        if !id.is_some_and(|id| self.is_durable(id, STATUSES[rank], desired)) {
            self.fail("nothing leaves before it is durable", format!("{} is {status}", self.trace.name(&arn)));
        }
        let heard = self.agenda.planned();
        let seen = self.clients.oracle.tasks.entry(arn.clone()).or_default();
        let floor = seen.steps.iter().filter(|(at, _)| *at <= sent).map(|(_, rank)| *rank).max();
        if seen.steps.iter().all(|(_, known)| *known < rank) {
            seen.steps.push((heard, rank));
        }
        if let Some(floor) = floor.filter(|floor| rank < *floor) {
            let detail = format!("{} was {} and is {status}", self.trace.name(&arn), STATUSES[floor].as_str());
            return self.fail("a task never goes back on its ladder", detail);
        }
        if status != "STOPPED" {
            return;
        }
        let told = [task.stop_code.is_some(), task.stopped_reason.is_some(), task.stopped_at.is_some()];
        if told.contains(&false) || task.desired_status.as_deref() != Some("STOPPED") {
            return self.fail("a STOPPED task says when and why", format!("{}: {told:?}", self.trace.name(&arn)));
        }
        if let Some(id) = id.filter(|id| !self.disk.lost.contains(id)) {
            self.check_nothing_left(id);
        }
    }

    /// What a list that begins now must hold.
    pub fn listed_now(&self, request: &ecs::ListTasksRequest) -> Vec<String> {
        let state = &self.disk.history;
        let Some(cluster) = state.cluster_named(request.cluster.as_deref().unwrap_or("default")) else {
            return Vec::new();
        };
        let tasks = state.cluster_tasks(cluster.id, None).filter(|task| task.desired == Desired::Running);
        tasks.map(|task| state.task_arn(task)).collect()
    }

    /// A list has come to its end.
    pub fn judge_list(&mut self, list: &List) {
        let got: BTreeSet<&String> = list.got.iter().collect();
        if got.len() != list.got.len() {
            self.fail("no task is listed twice", format!("{:?}", list.got));
        }
        let still = self.listed_now(&list.request);
        let absent = list.wanted.iter().find(|arn| !got.contains(arn) && still.contains(arn));
        if let Some(arn) = absent {
            self.fail("a list holds what was there all the time", self.trace.name(arn).to_owned());
        }
    }
}
