//! Task sets: services whose deployments somebody else controls, drawn and checked. Each set is to be kept at its share as if
//! it were a service of its own.

use crate::checks::{Tasks, drains, failing, healthy};
use crate::draws::FAMILIES;
use crate::history::History;
use model::service::{Deployment, Service, ServiceStatus};
use model::task_set::TaskSetStatus;
use model::{Millis, State, TaskId, TaskStatus};
use std::collections::BTreeSet;
use wire::ecs;

/// The service that has task sets.
pub const EXTERNAL: &str = "outer";
const SHARES: [f64; 7] = [0.0, 10.0, 33.34, 50.0, 66.67, 100.0, 100.0];
/// minimumHealthyPercent and maximumPercent.
const BOUNDS: [(i32, i32); 4] = [(100, 200), (50, 100), (0, 100), (100, 150)];

/// What a set is to have: its share, rounded up, counted anew.
pub fn share(service: &Service, set: &Deployment) -> usize {
    let live = set.set.as_ref().filter(|set| set.status != TaskSetStatus::Draining);
    let percent = live.map_or(0.0, |set| set.scale.percent());
    (percent * f64::from(service.desired) / 100.0 - 1e-7).ceil() as usize
}

impl History {
    fn draw_share(&mut self) -> ecs::Scale {
        ecs::Scale { value: Some(*self.pick(&SHARES)), unit: Some(ecs::ScaleUnit::Percent) }
    }

    /// The service with its sets is made, counted anew, or goes; its sets come, change and go.
    pub fn draw_set(&mut self) -> ecs::Request {
        let state = self.control.state();
        let cluster = state.cluster_named("default").map(|cluster| cluster.id);
        let known = cluster.and_then(|cluster| state.service_named(cluster, EXTERNAL));
        let known = known.filter(|service| service.status == ServiceStatus::Active);
        let sets: Vec<String> =
            known.iter().flat_map(|service| service.deployments.iter().map(Deployment::id)).collect();
        let (cluster, service) = ("default".to_owned(), EXTERNAL.to_owned());
        if known.is_none() {
            let (minimum, maximum) = *self.pick(&BOUNDS);
            let controller = ecs::DeploymentController { r#type: ecs::DeploymentControllerType::External };
            return ecs::CreateServiceRequest {
                service_name: service,
                desired_count: Some(self.below(6) as i32),
                deployment_controller: Some(controller),
                deployment_configuration: Some(ecs::DeploymentConfiguration {
                    minimum_healthy_percent: Some(minimum),
                    maximum_percent: Some(maximum),
                    ..Default::default()
                }),
                ..Default::default()
            }
            .into();
        }
        if sets.is_empty() || self.one_in(3) {
            let family = *self.pick(&FAMILIES);
            return ecs::CreateTaskSetRequest {
                cluster,
                service,
                task_definition: family.to_owned(),
                launch_type: Some(self.launch_type(family)),
                network_configuration: self.network(family),
                scale: Some(self.draw_share()),
                ..Default::default()
            }
            .into();
        }
        let task_set = self.pick(&sets).clone();
        match self.below(10) {
            0..4 => ecs::UpdateTaskSetRequest { cluster, service, task_set, scale: self.draw_share() }.into(),
            4 => ecs::UpdateServicePrimaryTaskSetRequest { cluster, service, primary_task_set: task_set }.into(),
            5 | 6 => {
                let force = self.one_in(2).then_some(true);
                ecs::DeleteTaskSetRequest { cluster, service, task_set, force }.into()
            }
            7 | 8 => {
                let desired_count = Some(self.below(6) as i32);
                ecs::UpdateServiceRequest { service, desired_count, ..Default::default() }.into()
            }
            _ => ecs::DeleteServiceRequest { service, force: Some(true), ..Default::default() }.into(),
        }
    }
}

/// What a round broke of a service with task sets.
pub fn check(was: &Tasks, is: &Tasks, (state, now): (&State, Millis), service: &Service) -> Option<String> {
    let of = |ids: &BTreeSet<TaskId>, number: u64| -> BTreeSet<TaskId> {
        let member = |id: &TaskId| state.tasks.get(id).and_then(|task| task.service);
        ids.iter().filter(|id| member(id).is_some_and(|member| member.deployment == number)).copied().collect()
    };
    let known: BTreeSet<u64> = service.deployments.iter().map(|set| set.number).collect();
    let orphan = is.wanted.iter().find(|id| state.tasks[id].service.is_some_and(|m| !known.contains(&m.deployment)));
    if let Some(id) = orphan {
        return Some(format!("{id} of a task set that is gone is wanted"));
    }
    service.deployments.iter().find_map(|set| {
        let [was_wanted, wanted] = [&was.wanted, &is.wanted].map(|ids| of(ids, set.number));
        let [was_healthy, healthy] = [&was.healthy, &is.healthy].map(|ids| of(ids, set.number));
        let name = set.id();
        if set.is_set(TaskSetStatus::Draining) && !wanted.is_empty() {
            return Some(format!("{name} was deleted and wants {} tasks", wanted.len()));
        }
        let count = share(service, set);
        let least = (count as u64 * u64::from(service.minimum_healthy)).div_ceil(100) as usize;
        let most = (count as u64 * u64::from(service.maximum) / 100) as usize;
        let mut stopped = was_wanted.difference(&wanted);
        if stopped.any(|id| was_healthy.contains(id)) && healthy.len() < least {
            return Some(format!("{name} stops healthy tasks below its lower bound {least}: {}", healthy.len()));
        }
        let started = wanted.difference(&was_wanted).count();
        let there = |id: &&TaskId| !state.is_lost(&state.tasks[id], now);
        if started > 0 && wanted.iter().filter(there).count() > most.max(count) {
            return Some(format!("{name} starts tasks above its upper bound {most}: {}", wanted.len()));
        }
        let sound = || {
            let there = wanted.iter().filter(there).map(|id| &state.tasks[id]);
            there.filter(|task| !failing(task) && !drains(state, task)).map(|task| &task.id)
        };
        let kept = |id: &TaskId| state.tasks[id].protected_until > now;
        let needed = sound().any(|id| kept(id) && !healthy.contains(id));
        let surplus = sound().count() > count && !sound().all(kept) && !needed;
        surplus.then(|| format!("{name} is to have {count} tasks and has {}", sound().count()))
    })
}

/// The first set that does not have what it is to have.
pub fn restless<'a>(state: &State, service: &'a Service, now: Millis) -> Option<&'a Deployment> {
    service.deployments.iter().find(|set| {
        let live = || state.service_tasks(service.id).filter(|task| task.status != TaskStatus::Stopped);
        let mine = || live().filter(|task| task.service.is_some_and(|member| member.deployment == set.number));
        let good = mine().filter(|task| healthy(task, now) && !drains(state, task)).count();
        let count = share(service, set);
        let steady = set.set.as_ref().is_some_and(|set| set.steady);
        set.is_set(TaskSetStatus::Draining) || mine().count() != good || good != count || !steady
    })
}
