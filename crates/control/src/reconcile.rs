//! Services brought nearer to what is wanted of them: the planner's step put into effect, for every service for which
//! something has changed or a time has come.

use crate::check::run::Sizes;
use crate::desk::Desk;
use crate::handlers::run::{Order, place_many, place_on, shares};
use model::capacity_provider::StrategyItem;
use model::change::Change;
use model::cluster::Tag;
use model::reason::Unplaceable;
use model::service::{Propagate, Service};
use model::task::{Desired, Membership, Stop, StopCode};
use model::{InstanceId, ServiceId, TaskId};
use planner::capacity::Spread;

/// Steps of one service in one round; what is left is done in the next.
const STEPS_MAX: usize = 8;

/// Looks at every service that waits. A step may make the next one possible, so that each is looked at until nothing
/// is left to do.
pub(crate) fn services(desk: &mut Desk) {
    for _ in 0..STEPS_MAX {
        let waiting = desk.take_waiting();
        if waiting.is_empty() {
            return;
        }
        waiting.into_iter().for_each(|id| step(desk, id));
    }
}

fn step(desk: &mut Desk, id: ServiceId) {
    let plan = planner::service::reconcile(&desk.state, id, desk.health());
    desk.look_again(id, plan.wake);
    if let Some(service) = plan.service {
        desk.commit(Change::ServiceUpdated(Box::new(service)));
    }
    if let Some(deployment) = plan.deployment {
        desk.commit(Change::ServiceDeploymentUpdated(Box::new(deployment)));
    }
    plan.events.into_iter().for_each(|words| desk.say(id, words));
    if !plan.stops.is_empty() {
        stop(desk, id, plan.of, &plan.stops);
    }
    if plan.starts > 0 {
        let started = start(desk, id, plan.of, plan.starts, &plan.places);
        // A host that is away has a time after which its tasks count as lost, which another look finds.
        let there = |task: &TaskId| {
            let instance = desk.state.tasks.get(task).and_then(|task| desk.state.instances.get(&task.instance?));
            instance.is_some_and(|instance| instance.away_until().is_none())
        };
        if plan.last && started.len() == plan.starts as usize && started.iter().all(there) {
            desk.has_looked(id);
        }
    }
}

fn stop(desk: &mut Desk, id: ServiceId, number: u64, stops: &[(model::TaskId, String)]) {
    for (task, reason) in stops {
        let stop = Stop { code: StopCode::ServiceSchedulerInitiated, reason: reason.as_str().into() };
        desk.commit(Change::TaskStopWanted { id: *task, at: desk.now, stop });
    }
    let tasks: Vec<String> = stops.iter().map(|(task, _)| format!("(task {task})")).collect();
    say(desk, id, number, &format!("has stopped {} running tasks: {}.", stops.len(), tasks.join(" ")));
}

/// Which were started.
fn start(desk: &mut Desk, id: ServiceId, number: u64, count: u32, places: &[InstanceId]) -> Vec<TaskId> {
    let service = desk.state.services.get(&id);
    let Some((mut order, strategy)) = service.and_then(|service| order(desk, service, number)) else {
        return Vec::new();
    };
    // The ratio is kept over the tasks of the deployment.
    let spread = !strategy.is_empty();
    let live = spread.then(|| desk.state.live_service_tasks(id)).into_iter().flatten();
    let live = live.filter(|task| task.desired == Desired::Running);
    let same = live.filter(|task| task.service == order.service).filter_map(|task| task.provider.as_deref());
    let shares = shares(&mut Spread::new(&strategy, same), count as usize);
    let (tasks, unplaced) = match places.is_empty() {
        true => place_many(desk, &mut order, shares),
        false => place_each(desk, &order, places),
    };
    if let Some((why, _)) = unplaced.first() {
        let Some(mut service) = desk.state.services.get(&id).cloned() else { return tasks };
        let words = planner::service::note_unplaced(&mut service, number, why.code(), &why.event(), desk.now);
        desk.commit(Change::ServiceUpdated(Box::new(service)));
        words.into_iter().for_each(|words| desk.say(id, words));
    }
    let started: Vec<String> = tasks.iter().map(|task| format!("(task {task})")).collect();
    if !started.is_empty() {
        say(desk, id, number, &format!("has started {} tasks: {}.", started.len(), started.join(" ")));
    }
    tasks
}

/// One task on each of these instances.
fn place_each(desk: &mut Desk, order: &Order, places: &[InstanceId]) -> (Vec<TaskId>, Vec<(Unplaceable, usize)>) {
    let (mut tasks, mut unplaced) = (Vec::new(), Vec::new());
    for instance in places {
        match place_on(desk, order, *instance) {
            Ok(task) => tasks.push(task),
            Err(why) => unplaced.push((why, 1)),
        }
    }
    (tasks, unplaced)
}

/// Says what a deployment of a service has done.
fn say(desk: &mut Desk, id: ServiceId, number: u64, words: &str) {
    let Some(service) = desk.state.services.get(&id) else { return };
    let deployment = service.deployments.iter().find(|deployment| deployment.number == number);
    let subject = deployment.map_or_else(|| service.name.to_string(), |deployment| deployment.subject(&service.name));
    desk.say(id, format!("(service {subject}) {words}"));
}

/// What a task of a deployment is made from, and its capacity provider strategy.
pub(crate) fn order(desk: &Desk, service: &Service, number: u64) -> Option<(Order, Vec<StrategyItem>)> {
    let deployment = service.deployments.iter().find(|deployment| deployment.number == number)?;
    let revision = desk.state.service_revisions.get(&(service.id, deployment.revision));
    let definition = desk.state.definitions.get(&deployment.definition)?;
    let mut tags = match service.propagate {
        Propagate::None => Vec::new(),
        Propagate::TaskDefinition => definition.tags.clone(),
        Propagate::Service => service.tags.clone(),
    };
    if service.managed_tags {
        let cluster = desk.state.cluster_name(service.cluster);
        for (key, value) in [("aws:ecs:clusterName", cluster), ("aws:ecs:serviceName", &*service.name)] {
            tags.push(Tag { key: key.into(), value: value.into() });
        }
    }
    let strategy = revision.map_or(&service.strategy, |revision| &revision.strategy).clone();
    let order = Order {
        cluster: service.cluster,
        definition: deployment.definition,
        launch_type: revision.map_or(service.launch_type, |revision| revision.launch_type),
        provider: None,
        subnets: revision.map_or(&service.subnets, |revision| &revision.subnets).clone(),
        placement: service.placement.clone(),
        overrides: Sizes::of(&definition.needs),
        overrides_text: None,
        service: Some(Membership { service: service.id, deployment: deployment.number }),
        group: None,
        started_by: None,
        tags,
        execute_command: service.execute_command,
    };
    Some((order, strategy))
}

/// Whether any task of a service is wanted RUNNING; such a service is deleted by force only.
pub(crate) fn has_tasks(desk: &Desk, id: ServiceId) -> bool {
    desk.state.live_service_tasks(id).any(|task| task.desired == Desired::Running)
}
