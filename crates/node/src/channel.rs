//! The node's side of the control session: payloads, manifests and heartbeats in, acknowledgements out.

use crate::entry::{Entry, Life};
use crate::hands::{Command, TaskKey};
use crate::{Millis, Node, Unacknowledged};
use link::acs::{self, Ack, HeartbeatAck, StopVerification, TaskIdentifier, ToAgent, ToControl};

impl Node {
    /// A session was opened: what was said in the last one counts for nothing.
    pub fn handle_connected(&mut self) {
        self.frames.clear();
        self.unacknowledged.clear();
        self.early.clear();
    }

    /// Takes a frame of the control plane; one that means nothing is ignored.
    pub fn handle_frame(&mut self, now: Millis, frame: &str) {
        if !self.found_all {
            self.early.push(frame.to_owned());
            return;
        }
        match ToAgent::decode(frame) {
            Some(ToAgent::PayloadMessage(payload)) => self.take_payload(now, payload),
            Some(ToAgent::HeartbeatMessage(heartbeat)) => {
                self.say(&ToControl::HeartbeatAckRequest(HeartbeatAck { message_id: heartbeat.message_id }));
            }
            Some(ToAgent::TaskManifestMessage(manifest)) => self.take_manifest(&manifest),
            Some(ToAgent::TaskStopVerificationAck(ack)) => self.take_stops(now, &ack.stop_tasks),
            None => {}
        }
    }

    fn say(&mut self, message: &ToControl) {
        self.frames.push_back(message.encode());
    }

    /// A payload is acknowledged once all its tasks are on record, or over.
    fn take_payload(&mut self, now: Millis, payload: acs::Payload) {
        self.sequence = self.sequence.max(payload.seq_num);
        let mut waiting = std::collections::BTreeSet::new();
        for message in payload.tasks {
            let Some(task) = TaskKey::new(acs::id_of(&message.arn)) else { continue };
            let stop = message.desired_status == "STOPPED";
            match self.tasks.get(&task) {
                // Its directory cannot be read and goes; what is wanted of it is heard when it comes again.
                Some(entry) if entry.message.arn.is_empty() => drop(waiting.insert(task)),
                Some(entry) if !stop && entry.recorded => {}
                Some(_) if !stop => drop(waiting.insert(task)),
                _ if stop => self.take_stop(now, &task, message),
                None if self.over.contains_key(&task) => {}
                Some(_) | None => {
                    self.take_task(&task, message);
                    waiting.insert(task);
                }
            }
        }
        self.unacknowledged.retain(|known| known.message_id != payload.message_id);
        self.unacknowledged.push(Unacknowledged { message_id: payload.message_id, waiting });
        self.acknowledge();
    }

    fn take_task(&mut self, task: &TaskKey, message: acs::Task) {
        let record = crate::recover::record(&message);
        self.tasks.insert(task.clone(), Entry::assigned(message));
        self.commands.push_back(Command::Record { task: task.clone(), record });
    }

    /// A stop of a task that is not here: it never arrived or is long gone, and the control plane must hear that.
    fn take_stop(&mut self, now: Millis, task: &TaskKey, message: acs::Task) {
        match self.tasks.get_mut(task) {
            Some(entry) => entry.stop_wanted = true,
            None => {
                let mut entry = Entry::assigned(message);
                entry.life = Life::Released;
                entry.reports.news();
                self.tasks.insert(task.clone(), entry);
            }
        }
        self.advance(now, task);
    }

    pub(crate) fn acknowledge(&mut self) {
        let (done, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.unacknowledged).into_iter().partition(|payload| payload.waiting.is_empty());
        self.unacknowledged = waiting;
        for payload in done {
            self.say_ack(payload.message_id);
        }
    }

    fn say_ack(&mut self, message_id: String) {
        let ack = Ack {
            cluster: self.identity.cluster.clone(),
            container_instance: self.identity.container_instance_arn.clone(),
            message_id,
        };
        self.say(&ToControl::AckRequest(ack));
    }

    /// A manifest that is older than what was heard is not answered, as the public agent does. Tasks that run here and
    /// are not in it are asked about, never stopped on its word alone.
    fn take_manifest(&mut self, manifest: &acs::Manifest) {
        if manifest.timeline <= self.sequence {
            return;
        }
        self.sequence = manifest.timeline;
        self.say_ack(manifest.message_id.clone());
        let listed =
            |arn: &str| manifest.tasks.iter().any(|task| task.task_arn == arn && task.desired_status == "RUNNING");
        let here = self.tasks.values().filter(|entry| !entry.stop_wanted && entry.life <= Life::Held);
        let missing = here.filter(|entry| !listed(&entry.message.arn));
        let stop_candidates: Vec<TaskIdentifier> = missing
            .map(|entry| TaskIdentifier {
                task_arn: entry.message.arn.clone(),
                task_cluster_arn: entry.message.task_cluster_arn.clone(),
                desired_status: "STOPPED".to_owned(),
            })
            .collect();
        if !stop_candidates.is_empty() {
            let question = StopVerification { message_id: manifest.message_id.clone(), stop_candidates };
            self.say(&ToControl::TaskStopVerificationMessage(question));
        }
    }

    fn take_stops(&mut self, now: Millis, tasks: &[TaskIdentifier]) {
        for task in tasks.iter().filter_map(|task| TaskKey::new(acs::id_of(&task.task_arn))) {
            if let Some(entry) = self.tasks.get_mut(&task) {
                entry.stop_wanted = true;
                self.advance(now, &task);
            }
        }
    }
}
