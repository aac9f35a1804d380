//! The tasks of a service, sorted by what a step may do with them.

use model::Millis;
use model::instance::Instance;
use model::project::Health;
use model::service::{Deployment, Service};
use model::state::State;
use model::task::{Desired, Task};
use std::collections::BTreeMap;

/// Tasks of a service, sorted by what a step may do with them.
pub(super) struct Tasks<'a> {
    /// The number of the deployment whose count is kept.
    pub acting: Option<u64>,
    /// Its tasks.
    pub primary: Vec<&'a Task>,
    /// Its tasks too, but failing their health checks: replaced, then stopped.
    pub sick: Vec<&'a Task>,
    /// Those of other deployments, and those on hosts that drain.
    pub older: Vec<&'a Task>,
    /// Those on hosts that have been away for too long to count as anything: replaced, then stopped.
    pub lost: Vec<&'a Task>,
    /// When the next host will have been away for too long.
    pub next_loss: Option<Millis>,
    /// How healthy is told, and the time.
    pub health: Health,
    state: &'a State,
}

impl<'a> Tasks<'a> {
    /// Those of the deployment `acting`, and the others.
    pub fn sort(state: &'a State, service: &Service, acting: Option<u64>, health: Health) -> Self {
        Self::among(state, service, state.live_service_tasks(service.id), acting, health)
    }

    /// The same of some of its tasks.
    pub fn among(
        state: &'a State,
        service: &Service,
        live: impl Iterator<Item = &'a Task>,
        acting: Option<u64>,
        health: Health,
    ) -> Self {
        let mut next_loss: Option<Millis> = None;
        let (mut primary, mut older, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        for task in live.filter(|task| task.desired == Desired::Running) {
            let instance = task.instance.and_then(|id| state.instances.get(&id));
            let away = instance.and_then(Instance::away_until).filter(|at| *at > health.now);
            next_loss = next_loss.into_iter().chain(away).min();
            let of_acting = task.service.map(|member| member.deployment) == acting;
            // A task of a DAEMON service has no other place. One on a host that drains is like one of an older deployment:
            // replaced within the bounds.
            match instance {
                Some(instance) if !service.daemon && !instance.reachable(health.now) => lost.push(task),
                Some(instance) if instance.is_draining() => older.push(task),
                _ if of_acting => primary.push(task),
                _ => older.push(task),
            }
        }
        let (sick, primary) = primary.into_iter().partition(|task: &&Task| health.is_sick(task, service));
        Self { acting, primary, sick, older, lost, next_loss, health, state }
    }

    /// The deployment whose count is kept.
    pub fn deployment<'s>(&self, service: &'s Service) -> Option<&'s Deployment> {
        service.deployments.iter().find(|deployment| Some(deployment.number) == self.acting)
    }

    /// Its id.
    pub fn deployment_id(&self, service: &Service) -> String {
        self.deployment(service).map(Deployment::id).unwrap_or_default()
    }

    /// How many of them are healthy.
    pub fn healthy(&self, tasks: &[&Task]) -> u32 {
        tasks.iter().filter(|task| self.health.is_healthy(task)).count() as u32
    }

    /// Protected, and not failing its checks: neither scaling in nor a deployment stops it.
    pub fn spares(&self, task: &Task) -> bool {
        task.is_protected(self.health.now) && !task.is_unhealthy()
    }

    /// How many there are.
    pub fn live(&self) -> u32 {
        (self.primary.len() + self.sick.len() + self.older.len()) as u32
    }

    /// Those to be scaled in, of those that are not protected: unhealthy ones, then, as ECS does it, of those in the zone
    /// and on the instance with the most tasks of the service the newest.
    pub fn scale_in(&self, count: usize) -> Vec<&'a Task> {
        if count == 0 {
            return Vec::new();
        }
        let zone = |task: &Task| self.state.task_zone(task);
        let mut left = self.by_worth(&self.primary);
        let (mut zones, mut instances) = (BTreeMap::new(), BTreeMap::new());
        for task in &left {
            *zones.entry(zone(task)).or_insert(0u32) += 1;
            *instances.entry(task.instance).or_insert(0u32) += 1;
        }
        left.retain(|task| !self.spares(task));
        let mut chosen = Vec::new();
        while chosen.len() < count && !left.is_empty() {
            let key = |task: &Task| (!self.health.is_healthy(task), zones[&zone(task)], instances[&task.instance]);
            // Of equals the first, as they are sorted already.
            let best = (1..left.len()).fold(0, |best, n| if key(left[n]) > key(left[best]) { n } else { best });
            let task = left.remove(best);
            *zones.entry(zone(task)).or_default() -= 1;
            *instances.entry(task.instance).or_default() -= 1;
            chosen.push(task);
        }
        chosen
    }

    /// Those that are missed least first: unhealthy ones, then the newest.
    pub fn by_worth(&self, tasks: &[&'a Task]) -> Vec<&'a Task> {
        let mut sorted = tasks.to_vec();
        sorted.sort_by_key(|task| (self.health.is_healthy(task), std::cmp::Reverse(task.times.created), task.id));
        sorted
    }
}
