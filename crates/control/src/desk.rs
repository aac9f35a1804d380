//! Where deciding happens: the state in memory, the time, fresh ids, and the batch that is being written.

use model::change::Change;
use model::instance::Instance;
use model::project::Health;
use model::row::Row;
use model::secret::SecretChange;
use model::service::Event;
use model::service_revision::{ResolvedImage, is_digest};
use model::state::Touched;
use model::task::{Desired, Task, TaskStatus};
use model::{ClusterId, Ids, InstanceId, Millis, ServiceId, State, TaskId};
use std::collections::{BTreeMap, BTreeSet};

/// Changes that become durable together, and the rows they touched.
#[derive(Clone, Debug)]
pub struct Batch {
    /// One more than the batch before.
    pub index: u64,
    /// When it was decided.
    pub at: Millis,
    /// What happened.
    pub changes: Vec<Change>,
    /// What is to be written.
    pub rows: Vec<Row>,
}

/// The desk.
#[derive(Debug)]
pub(crate) struct Desk {
    pub state: State,
    pub ids: Ids,
    pub now: Millis,
    index: u64,
    changes: Vec<Change>,
    touched: BTreeSet<Touched>,
    /// Tasks of which their instance's agent may have to hear, and instances that are gone.
    dirty: BTreeMap<InstanceId, BTreeSet<TaskId>>,
    /// Clusters whose instances may have more room than before.
    freed: BTreeSet<ClusterId>,
    accepted: Vec<TaskId>,
    /// How long a task must have been RUNNING to count as healthy.
    pub settle_ms: Millis,
    /// Services to look at, and when the others are due; both are remade from the state at start.
    waiting: BTreeSet<ServiceId>,
    due: BTreeMap<ServiceId, Millis>,
    due_in_order: BTreeSet<(Millis, ServiceId)>,
}

impl Desk {
    pub fn new(state: State, index: u64, ids: Ids, settle_ms: Millis) -> Self {
        let waiting = state.services.keys().copied().collect();
        let freed = state.clusters_that_wait().collect();
        let (changes, touched, dirty) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
        Self {
            state,
            ids,
            now: 0,
            index,
            changes,
            touched,
            dirty,
            freed,
            accepted: Vec::new(),
            settle_ms,
            waiting,
            due: BTreeMap::new(),
            due_in_order: BTreeSet::new(),
        }
    }

    /// Puts a change into effect and into the batch.
    pub fn commit(&mut self, change: Change) {
        let ended = self.may_end(&change);
        for touched in self.state.apply(&change) {
            if let Touched::Task(id) = &touched {
                self.mark(*id);
            }
            if let (Touched::Instance(id), Change::InstanceStatus { .. } | Change::InstanceConnection { .. }) =
                (&touched, &change)
            {
                let services = self.state.live_instance_tasks(*id).filter_map(|task| task.service);
                self.waiting.extend(services.map(|membership| membership.service));
            }
            self.note_room(&touched);
            if let Touched::Instance(id) = &touched
                && !self.state.instances.get(id).is_some_and(Instance::is_registered)
            {
                self.dirty.entry(*id).or_default();
            }
            if let Touched::Service(id) | Touched::ServiceDeployment(id, _) = &touched {
                self.waiting.insert(*id);
            }
            self.touched.insert(touched);
        }
        if let Change::TaskAccepted(task) = &change {
            self.accepted.push(task.id);
        }
        let resolved = self.resolves(&change);
        self.changes.push(change);
        if let Some(resolved) = resolved {
            self.commit(resolved);
        }
        if let Some(task) = ended {
            self.note_end(task);
        }
    }

    /// What a report tells of images whose tags are not resolved yet for the deployment of the task.
    fn resolves(&self, change: &Change) -> Option<Change> {
        let Change::TaskReported { id, report, .. } = change else { return None };
        report.containers.iter().any(|container| container.image_digest.is_some()).then_some(())?;
        let task = self.state.tasks.get(id)?;
        let revision = self.state.task_revision(task)?;
        let needs = &self.state.definitions.get(&task.definition)?.needs;
        let wanted = needs.containers.iter().filter(|c| c.consistent && revision.digest(&c.name).is_none());
        let images = wanted.filter_map(|wanted| {
            let known = task.containers.iter().find(|container| *container.name == *wanted.name)?;
            let digest = known.image_digest.clone().filter(|digest| is_digest(digest))?;
            Some(ResolvedImage { container: known.name.clone(), digest })
        });
        let images: Vec<ResolvedImage> = images.collect();
        let (service, number) = (revision.service, revision.number);
        (!images.is_empty()).then_some(Change::ServiceRevisionResolved { service, number, images })
    }

    /// The task of a service that a report may end: one that was wanted RUNNING.
    fn may_end(&self, change: &Change) -> Option<TaskId> {
        let (Change::TaskReported { id, .. } | Change::TaskHostLost { id, .. }) = change else { return None };
        let task = self.state.tasks.get(id)?;
        (task.service.is_some() && task.desired == Desired::Running).then_some(*id)
    }

    fn note_end(&mut self, id: TaskId) {
        let Some(task) = self.state.tasks.get(&id).filter(|task| task.desired == Desired::Stopped) else { return };
        let service = task.service.and_then(|membership| self.state.services.get(&membership.service));
        let Some(mut service) = service.cloned() else { return };
        let words = planner::service::note_end(&mut service, task, self.now);
        let id = service.id;
        self.commit(Change::ServiceUpdated(Box::new(service)));
        words.into_iter().for_each(|words| self.say(id, words));
    }

    /// Adds an event to a service.
    pub fn say(&mut self, service: ServiceId, words: String) {
        let number = self.state.next_service_event(service);
        self.commit(Change::ServiceSaid(Box::new(Event { service, number, at: self.now, message: words.into() })));
    }

    /// How healthy is told from not yet.
    pub fn health(&self) -> Health {
        Health { settle_ms: self.settle_ms, now: self.now }
    }

    /// Services to look at now.
    pub fn take_waiting(&mut self) -> BTreeSet<ServiceId> {
        let now = self.now;
        self.waiting.extend(self.due_in_order.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id));
        std::mem::take(&mut self.waiting)
    }

    /// A service needs no look for what has happened until now.
    pub fn has_looked(&mut self, id: ServiceId) {
        self.waiting.remove(&id);
    }

    /// When to look at a service again.
    pub fn look_again(&mut self, id: ServiceId, at: Option<Millis>) {
        let before = match at {
            Some(at) => self.due.insert(id, at),
            None => self.due.remove(&id),
        };
        if let Some(before) = before {
            self.due_in_order.remove(&(before, id));
        }
        self.due_in_order.extend(at.map(|at| (at, id)));
    }

    /// When the next service is due: at once while one waits.
    pub fn next_look(&self) -> Option<Millis> {
        if self.waiting.is_empty() { self.due_in_order.first().map(|(at, _)| *at) } else { Some(self.now) }
    }

    fn mark(&mut self, task: TaskId) {
        if let Some(task) = self.state.tasks.get(&task) {
            if let Some(instance) = task.instance {
                self.dirty.entry(instance).or_default().insert(task.id);
            }
            self.waiting.extend(task.service.map(|membership| membership.service));
        }
    }

    /// An instance that came or changed may take what waits, and so may one that has lost a task. A daemon is wherever an
    /// instance is, and the last to leave it.
    fn note_room(&mut self, touched: &Touched) {
        let (instance, changed) = match touched {
            Touched::Instance(id) => (Some(*id), true),
            Touched::Task(id) => {
                let stopped = |task: &&Task| task.status == TaskStatus::Stopped;
                (self.state.tasks.get(id).filter(stopped).and_then(|task| task.instance), false)
            }
            _ => (None, false),
        };
        let Some(instance) = instance.and_then(|id| self.state.instances.get(&id)) else { return };
        let cluster = instance.cluster;
        if changed || instance.is_draining() {
            self.waiting.extend(self.state.daemons(cluster));
            self.waiting.extend(self.state.balanced(cluster));
        }
        if self.state.waiting_tasks(cluster).next().is_some() {
            self.freed.insert(cluster);
        }
    }

    /// Clusters that may have more room than at the last call.
    pub fn take_freed(&mut self) -> BTreeSet<ClusterId> {
        std::mem::take(&mut self.freed)
    }

    /// Instances for which something changed since the last call, and their tasks that did.
    pub fn take_dirty(&mut self) -> BTreeMap<InstanceId, BTreeSet<TaskId>> {
        std::mem::take(&mut self.dirty)
    }

    /// Tasks accepted in this round that were not asked for before.
    pub fn take_accepted(&mut self) -> Vec<TaskId> {
        std::mem::take(&mut self.accepted)
    }

    /// The number of the batch that must be durable before what is read now may be told.
    pub fn seen_index(&self) -> u64 {
        self.index + u64::from(!self.changes.is_empty())
    }

    /// Closes the batch.
    pub fn take_batch(&mut self) -> Option<Batch> {
        if self.changes.is_empty() {
            return None;
        }
        self.index += 1;
        self.accepted.clear();
        let touched = std::mem::take(&mut self.touched);
        Some(Batch {
            index: self.index,
            at: self.now,
            changes: std::mem::take(&mut self.changes),
            rows: touched.iter().map(|touched| self.state.row(touched)).collect(),
        })
    }

    /// Drops stopped tasks and client tokens whose time is up; a slice at a time, so that no round grows long.
    pub fn forget_what_lapsed(&mut self) {
        const SLICE: usize = 500;
        let tasks: Vec<_> = self.state.expired_tasks(self.now).take(SLICE).collect();
        tasks.into_iter().for_each(|id| self.commit(Change::TaskForgotten(id)));
        let services: Vec<_> = self.state.expired_services(self.now).take(SLICE).collect();
        services.into_iter().for_each(|id| self.commit(Change::ServiceForgotten(id)));
        let definitions: Vec<_> = self.state.expired_definitions(self.now).take(SLICE).collect();
        definitions.into_iter().for_each(|id| self.commit(Change::TaskDefinitionForgotten(id)));
        let secrets: Vec<_> = self.state.secrets.expired(self.now).take(SLICE).collect();
        secrets.into_iter().for_each(|name| self.commit(Change::Secret(SecretChange::Deleted(name))));
        let lapsed = self.state.lapsed_tokens(self.now).take(SLICE);
        let tokens: Vec<_> = lapsed.map(|(cluster, token)| (cluster, token.into())).collect();
        tokens.into_iter().for_each(|(cluster, token)| self.commit(Change::ClientTokenLapsed { cluster, token }));
    }
}
