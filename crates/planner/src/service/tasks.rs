//! The tasks of a service, sorted by what a step may do with them.

use model::instance::Instance;
use model::project::Health;
use model::service::{Deployment, Service};
use model::state::State;
use model::task::{Desired, Task};

/// Tasks of a service, sorted by what a step may do with them.
pub(super) struct Tasks<'a> {
    /// The number of the deployment whose count is kept.
    pub acting: Option<u64>,
    /// Its tasks.
    pub primary: Vec<&'a Task>,
    /// Its tasks too, but failing their health checks: replaced, then stopped.
    pub sick: Vec<&'a Task>,
    pub older: Vec<&'a Task>,
    pub health: Health,
}

impl<'a> Tasks<'a> {
    /// Those of the deployment `acting`, and the others.
    pub fn sort(state: &'a State, service: &Service, acting: Option<u64>, health: Health) -> Self {
        let live = state.live_service_tasks(service.id).filter(|task| task.desired == Desired::Running);
        // A task on a host that drains is like one of an older deployment: replaced within the bounds.
        let stays =
            |task: &Task| !task.instance.and_then(|id| state.instances.get(&id)).is_some_and(Instance::is_draining);
        let (primary, older): (Vec<_>, Vec<_>) =
            live.partition(|task| task.service.map(|member| member.deployment) == acting && stays(task));
        let (sick, primary) = primary.into_iter().partition(|task| health.is_sick(task, service));
        Self { acting, primary, sick, older, health }
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

    /// Those that are missed least first: unhealthy ones, then the newest.
    pub fn by_worth(&self, tasks: &[&'a Task]) -> Vec<&'a Task> {
        let mut sorted = tasks.to_vec();
        sorted.sort_by_key(|task| (self.health.is_healthy(task), std::cmp::Reverse(task.times.created), task.id));
        sorted
    }
}
