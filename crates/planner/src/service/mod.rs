//! What a service needs next: how many tasks to start, which to stop, and what has become of its deployments. Looks at
//! all of one service, decides, and says when to look again.
//!
//! No step leaves fewer healthy tasks than the lower bound, nor more tasks wanted RUNNING than the upper bound. Tasks
//! that are stopping count as neither. A step counts what it has itself decided.

mod balance;
mod daemon;
mod drain;
mod notes;
mod progress;
mod rolling;
mod sets;
mod settle;
mod tasks;

pub use notes::{note_end, note_unplaced};

use crate::place::Ask;
use model::group::Group;
use model::project::Health;
use model::service::{Service, ServiceStatus};
use model::state::State;
use model::{InstanceId, Millis, ServiceDeployment, ServiceId, TaskDefinition, TaskId};

/// What is to be done for a service.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Tasks to start.
    pub starts: u32,
    /// Where they start; none: wherever the strategy says.
    pub places: Vec<InstanceId>,
    /// The number of the deployment that they are for.
    pub of: u64,
    /// Tasks to stop, and the words for it.
    pub stops: Vec<(TaskId, String)>,
    /// The service as it is now, when anything about it has changed.
    pub service: Option<Service>,
    /// The service deployment as it is now, when anything about it has changed.
    pub deployment: Option<ServiceDeployment>,
    /// What is to be said of it, in order.
    pub events: Vec<String>,
    /// When to look again though nothing happened.
    pub wake: Option<Millis>,
    /// Another look at once would find nothing to do, once all of this is done.
    pub last: bool,
}

impl Plan {
    /// It starts or stops something.
    pub fn moves(&self) -> bool {
        self.starts > 0 || !self.stops.is_empty()
    }
}

/// The next step of a service.
pub fn reconcile(state: &State, id: ServiceId, health: Health) -> Plan {
    let Some(service) = state.services.get(&id) else { return Plan::default() };
    match service.status {
        ServiceStatus::Inactive => Plan::default(),
        ServiceStatus::Draining => drain::step(state, service, health),
        ServiceStatus::Active if service.daemon => daemon::step(state, service, health),
        ServiceStatus::Active if service.external => sets::step(state, service, health),
        ServiceStatus::Active => rolling::step(state, service, health),
    }
}

/// What one more task of a service wants of a place.
fn ask<'a>(service: &'a Service, definition: &'a TaskDefinition) -> Ask<'a> {
    Ask {
        cluster: service.cluster,
        launch_type: service.launch_type,
        cpu: definition.needs.cpu,
        memory: definition.needs.memory,
        gpus: model::gpu::sum(&definition.needs.gpus()),
        instance: None,
        provider: None,
        subnets: &service.subnets,
        needs: &definition.needs,
        placement: &service.placement,
        group: Group::Service(service.id),
        seed: 0,
    }
}

/// What is being decided about a service: it and its newest deployment as they will be, and what is to be said.
struct Draft {
    service: Service,
    deployment: Option<ServiceDeployment>,
    /// What is spoken of: the service's name, and its task set's.
    subject: String,
    events: Vec<String>,
}

impl Draft {
    fn new(state: &State, service: &Service) -> Self {
        let history = service.primary().map_or(0, |primary| primary.history);
        let deployment = state.service_deployments.get(&(service.id, history)).cloned();
        Self { service: service.clone(), deployment, subject: service.name.to_string(), events: Vec::new() }
    }

    /// Adds an event; the words follow the name of what is spoken of.
    fn say(&mut self, words: impl std::fmt::Display) {
        self.events.push(format!("(service {}) {words}", self.subject));
    }

    /// Puts what has changed into the plan.
    fn finish(mut self, state: &State, plan: &mut Plan) {
        if state.services.get(&self.service.id) != Some(&self.service) {
            self.service.version += 1;
            plan.service = Some(self.service);
        }
        let known = |deployment: &ServiceDeployment| {
            state.service_deployments.get(&(deployment.service, deployment.number)) == Some(deployment)
        };
        plan.deployment = self.deployment.filter(|deployment| !known(deployment));
        plan.events = self.events;
    }
}
