//! A step of a service whose deployments somebody else controls: each of its task sets is kept at its own count as if it
//! were a service of its own. A step moves one set; the next one looks at all of them again.

use super::rolling::{move_tasks, next_look, note_sick};
use super::settle::{forgive, trouble};
use super::tasks::Tasks;
use super::{Draft, Plan};
use model::Millis;
use model::deployment_configuration::DeploymentConfiguration;
use model::project::Health;
use model::service::{Deployment, Service};
use model::state::State;
use model::task::Desired;
use model::task_set::TaskSetStatus;

/// The next step of an ACTIVE service with task sets.
pub(super) fn step(state: &State, service: &Service, health: Health) -> Plan {
    let mut draft = Draft::new(state, service);
    let mut plan = Plan::default();
    let mut wake: Option<Millis> = None;
    for deployment in &service.deployments {
        plan = Plan { of: deployment.number, ..Plan::default() };
        if deployment.is_set(TaskSetStatus::Draining) {
            drain(state, &mut draft, deployment, &mut plan);
        } else {
            keep(state, &mut draft, deployment, health, &mut plan);
        }
        wake = wake.into_iter().chain(plan.wake).min();
        if plan.moves() {
            draft.service.steady = false;
            break;
        }
    }
    if !plan.moves() {
        settle(&mut draft);
    }
    plan.wake = wake;
    draft.finish(state, &mut plan);
    plan
}

/// A deleted set: its tasks stop, and then it is gone.
fn drain(state: &State, draft: &mut Draft, deployment: &Deployment, plan: &mut Plan) {
    let mut live = state.live_deployment_tasks(draft.service.id, deployment.number);
    let running = live.clone().filter(|task| task.desired == Desired::Running);
    plan.stops = running.map(|task| (task.id, "The task set was deleted.".to_owned())).collect();
    if live.next().is_none() {
        draft.service.deployments.retain(|known| known.number != deployment.number);
    }
}

fn keep(state: &State, whole: &mut Draft, deployment: &Deployment, health: Health, plan: &mut Plan) {
    let number = deployment.number;
    // Breakers, hooks and early success are of deployments that ECS controls.
    let service = Service {
        external: false,
        desired: deployment.computed(whole.service.desired),
        configuration: DeploymentConfiguration::default(),
        deployments: vec![deployment.clone()],
        ..whole.service.clone()
    };
    let subject = deployment.subject(&service.name);
    let mut draft = Draft { service, deployment: None, subject, events: std::mem::take(&mut whole.events) };
    let live = state.live_deployment_tasks(draft.service.id, number);
    let tasks = Tasks::among(state, &draft.service, live, Some(number), health);
    let sick = move_tasks(&draft, &tasks, plan);
    sick.into_iter().for_each(|task| note_sick(&mut draft, Some(number), task, health.now));
    let troubled = trouble(&mut draft, &tasks, plan);
    plan.wake = next_look(&draft, &tasks);
    let desired = draft.service.desired;
    let full = tasks.healthy(&tasks.primary) == desired && tasks.primary.len() as u32 == desired;
    let others = [&tasks.sick, &tasks.older, &tasks.lost].iter().any(|others| !others.is_empty());
    let steady = full && !others && !troubled && !plan.moves();
    if let Some(known) = draft.service.deployments.first_mut() {
        forgive(known, &tasks, desired, health.now);
        let set = known.set.as_mut().filter(|set| set.steady != steady);
        if let Some(set) = set {
            (set.steady, set.steady_at) = (steady, health.now);
            known.updated_at = health.now;
            if steady {
                known.trouble = None;
                draft.say("updated state to STEADY_STATE.");
            }
        }
    }
    whole.events = draft.events;
    let place = whole.service.deployments.iter_mut().find(|known| known.number == number);
    place.into_iter().zip(draft.service.deployments).for_each(|(place, known)| *place = known);
}

/// The service is steady when all of its sets are, and none is on its way out.
fn settle(draft: &mut Draft) {
    let steady = |set: &Deployment| set.set.as_ref().is_some_and(|set| set.steady);
    let sets = &draft.service.deployments;
    let all = !sets.is_empty() && sets.iter().all(steady);
    let said = std::mem::replace(&mut draft.service.steady, all);
    if all && !said {
        draft.say("has reached a steady state.");
    }
}
