//! The control plane's side of an agent's session.
//!
//! A session remembers only what may be lost: which wish of each task the agent has acknowledged, and what is on its way.
//! `sync` compares the wishes in the state with that, and says what is missing; so a lost message is repaired by the next.
//!
//! ```text
//! connect -> manifest -> payloads -> (ack) … heartbeats every 20 s, unacknowledged payloads again every 5 s
//! ```

use crate::acs::{self, Heartbeat, Manifest, Payload, StopVerificationAck, TaskIdentifier, ToAgent, ToControl};
use crate::encode;
use model::task::{Desired, Task, TaskStatus};
use model::{InstanceId, Millis, State, TaskId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Between heartbeats; the public agent gives a silent server up after 60 to 120 s.
pub const HEARTBEAT_MS: Millis = 20_000;
/// A session that says nothing for this long is given up.
pub const SILENCE_MS: Millis = 65_000;
/// An unacknowledged payload is sent again after this.
pub const RESEND_MS: Millis = 5_000;
/// Tasks in one payload.
const PAYLOAD_TASKS_MAX: usize = 10;

/// A session.
#[derive(Debug)]
pub struct Session {
    instance: InstanceId,
    acknowledged: BTreeMap<TaskId, Desired>,
    on_their_way: BTreeMap<String, Sent>,
    /// What those that are on their way say.
    said: BTreeSet<(TaskId, Desired)>,
    manifest: Option<String>,
    messages: u64,
    last_heard: Millis,
    next_heartbeat: Millis,
    outgoing: VecDeque<String>,
}

#[derive(Debug)]
struct Sent {
    tasks: Vec<(TaskId, Desired)>,
    frame: String,
    at: Millis,
}

/// What a session must be told beside its own memory.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The state.
    pub state: &'a State,
    /// Its commit index: the source of sequence numbers.
    pub index: u64,
    /// The time.
    pub now: Millis,
}

impl Session {
    /// A session that has just been opened. It begins with a manifest of every task that should be there.
    pub fn open(moment: Moment<'_>, instance: InstanceId) -> Self {
        let mut session = Self {
            instance,
            acknowledged: BTreeMap::new(),
            on_their_way: BTreeMap::new(),
            said: BTreeSet::new(),
            manifest: None,
            messages: 0,
            last_heard: moment.now,
            next_heartbeat: moment.now + HEARTBEAT_MS,
            outgoing: VecDeque::new(),
        };
        session.send_manifest(moment);
        session.say(moment, moment.state.live_instance_tasks(instance).map(|task| task.id));
        session
    }

    /// Whose session it is.
    pub fn instance(&self) -> InstanceId {
        self.instance
    }

    /// Says whatever the state wants of these tasks of the instance and its agent has not acknowledged nor been sent. All
    /// tasks that something has changed of come by here; nothing is to be said of the others.
    pub fn sync(&mut self, moment: Moment<'_>, changed: &BTreeSet<TaskId>) {
        for id in changed {
            if !self.has(moment.state, *id) {
                self.acknowledged.remove(id);
            }
        }
        self.say(moment, changed.iter().copied());
    }

    /// A task of this instance that is not STOPPED.
    fn has(&self, state: &State, id: TaskId) -> bool {
        let live = |task: &Task| task.instance == Some(self.instance) && task.status != TaskStatus::Stopped;
        state.tasks.get(&id).is_some_and(live)
    }

    fn say(&mut self, moment: Moment<'_>, tasks: impl Iterator<Item = TaskId>) {
        let known = |task: &Task| {
            self.acknowledged.get(&task.id) == Some(&task.desired) || self.said.contains(&(task.id, task.desired))
        };
        let tasks = tasks.filter(|id| self.has(moment.state, *id)).map(|id| &moment.state.tasks[&id]);
        let missing: Vec<&Task> = tasks.filter(|task| !known(task)).collect();
        for tasks in missing.chunks(PAYLOAD_TASKS_MAX) {
            self.send_payload(moment, tasks);
        }
    }

    /// Takes a frame of the agent. Frames that mean nothing are a sign of life all the same.
    pub fn handle_frame(&mut self, moment: Moment<'_>, frame: &str) {
        self.last_heard = moment.now;
        match ToControl::decode(frame) {
            Some(ToControl::AckRequest(ack)) => self.take_ack(moment.state, &ack.message_id),
            Some(ToControl::TaskStopVerificationMessage(question)) => self.verify_stops(moment, &question),
            Some(ToControl::HeartbeatAckRequest(_)) | None => {}
        }
    }

    /// Heartbeats and repetitions that are due. False: the agent has been silent for too long. What the state does not
    /// say any more is not repeated: it might arrive after the end of its task.
    pub fn handle_time(&mut self, moment: Moment<'_>) -> bool {
        let now = moment.now;
        if now >= self.last_heard + SILENCE_MS {
            return false;
        }
        if now >= self.next_heartbeat {
            self.next_heartbeat = now + HEARTBEAT_MS;
            let message_id = self.message_id("heartbeat");
            self.outgoing.push_back(ToAgent::HeartbeatMessage(Heartbeat { healthy: true, message_id }).encode());
        }
        let due = |sent: &Sent| now >= sent.at + RESEND_MS;
        let lapsed =
            |_: &String, sent: &mut Sent| due(sent) && !sent.tasks.iter().all(|wish| is_wish(moment.state, wish));
        let lapsed: Vec<Sent> = self.on_their_way.extract_if(.., lapsed).map(|(_, sent)| sent).collect();
        for sent in self.on_their_way.values_mut().filter(|sent| due(sent)) {
            sent.at = now;
            self.outgoing.push_back(sent.frame.clone());
        }
        for sent in lapsed {
            self.forget(&sent);
            self.say(moment, sent.tasks.iter().map(|(id, _)| *id));
        }
        true
    }

    /// The next frame to send.
    pub fn poll_frame(&mut self) -> Option<String> {
        self.outgoing.pop_front()
    }

    /// When `handle_time` has something to do.
    pub fn next_wake(&self) -> Millis {
        let again = self.on_their_way.values().map(|sent| sent.at + RESEND_MS);
        again.chain([self.next_heartbeat, self.last_heard + SILENCE_MS]).min().unwrap_or(self.next_heartbeat)
    }

    fn message_id(&mut self, kind: &str) -> String {
        self.messages += 1;
        format!("{kind}-{}-{}", self.instance, self.messages)
    }

    fn take_ack(&mut self, state: &State, message_id: &str) {
        let Some(sent) = self.on_their_way.remove(message_id) else { return };
        self.forget(&sent);
        for (task, desired) in sent.tasks.into_iter().filter(|(task, _)| self.has(state, *task)).collect::<Vec<_>>() {
            let known = self.acknowledged.entry(task).or_insert(desired);
            *known = (*known).max(desired);
        }
    }

    /// A message is not on its way any more.
    fn forget(&mut self, sent: &Sent) {
        for wish in &sent.tasks {
            self.said.remove(wish);
        }
    }

    fn send_manifest(&mut self, moment: Moment<'_>) {
        let wanted = |task: &&Task| task.desired == Desired::Running;
        let tasks = moment.state.live_instance_tasks(self.instance).filter(wanted);
        let tasks = tasks.map(|task| identify(moment.state, task)).collect();
        let message_id = self.message_id("manifest");
        self.manifest = Some(message_id.clone());
        let (cluster_arn, container_instance_arn) = self.names(moment.state);
        let manifest = Manifest {
            cluster_arn,
            container_instance_arn,
            message_id,
            generated_at: signed(moment.now),
            timeline: signed(moment.index),
            tasks,
        };
        self.outgoing.push_back(ToAgent::TaskManifestMessage(manifest).encode());
    }

    fn send_payload(&mut self, moment: Moment<'_>, tasks: &[&Task]) {
        let message_id = self.message_id("payload");
        let (cluster_arn, container_instance_arn) = self.names(moment.state);
        let payload = Payload {
            cluster_arn,
            container_instance_arn,
            message_id: message_id.clone(),
            generated_at: signed(moment.now),
            seq_num: signed(moment.index),
            tasks: tasks.iter().map(|task| encode::task(moment.state, task)).collect(),
        };
        let frame = ToAgent::PayloadMessage(payload).encode();
        self.outgoing.push_back(frame.clone());
        let tasks: Vec<(TaskId, Desired)> = tasks.iter().map(|task| (task.id, task.desired)).collect();
        self.said.extend(&tasks);
        self.on_their_way.insert(message_id, Sent { tasks, frame, at: moment.now });
    }

    /// A candidate may be stopped when the state does not want it on this instance. The manifest may be older than a
    /// task: the state, not the manifest, decides.
    fn verify_stops(&mut self, moment: Moment<'_>, question: &acs::StopVerification) {
        if self.manifest.as_ref() != Some(&question.message_id) {
            return;
        }
        self.manifest = None;
        let wanted = |candidate: &&TaskIdentifier| {
            let task = TaskId::parse(acs::id_of(&candidate.task_arn)).and_then(|id| moment.state.tasks.get(&id));
            task.is_some_and(|task| task.instance == Some(self.instance) && task.desired == Desired::Running)
        };
        let stop_tasks = question.stop_candidates.iter().filter(|candidate| !wanted(candidate)).cloned().collect();
        let ack = StopVerificationAck {
            message_id: question.message_id.clone(),
            generated_at: signed(moment.now),
            stop_tasks,
        };
        self.outgoing.push_back(ToAgent::TaskStopVerificationAck(ack).encode());
    }

    fn names(&self, state: &State) -> (String, String) {
        let cluster = state.instances.get(&self.instance).map_or("", |instance| state.cluster_name(instance.cluster));
        (state.scope().cluster(cluster), state.scope().instance(cluster, self.instance))
    }
}

/// Whether the state still says so of a task.
fn is_wish(state: &State, (id, desired): &(TaskId, Desired)) -> bool {
    let task = state.tasks.get(id).filter(|task| task.status != TaskStatus::Stopped);
    task.is_some_and(|task| task.desired == *desired)
}

fn identify(state: &State, task: &Task) -> TaskIdentifier {
    TaskIdentifier {
        task_arn: state.task_arn(task),
        task_cluster_arn: state.scope().cluster(state.cluster_name(task.cluster)),
        desired_status: task.desired.as_str().to_owned(),
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
