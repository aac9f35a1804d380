//! What clients were told of task sets and of zones, and whether the answers agree. Two requests about the same are ordered
//! only when the one was sent after the other was answered; what several clients altered at once is not known.

use crate::oracle::Asked;
use crate::sets::{EXTERNAL, number_of, share};
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use wire::{Fault, ecs};

/// Sets that a service may have.
const SETS_MAX: usize = 5;
/// No service of sets is ever asked to have more tasks.
const COUNT_MAX: i32 = 10;

/// What is known of something that several clients may alter at once.
#[derive(Debug)]
struct Known<T> {
    sent: u64,
    answered: u64,
    crossed: bool,
    value: Option<T>,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { sent: 0, answered: 0, crossed: false, value: None }
    }
}

impl<T: Copy> Known<T> {
    fn ask(&mut self) {
        self.crossed |= self.sent != self.answered;
        self.sent += 1;
    }

    /// An answer that says so, or that nothing was altered.
    fn hear(&mut self, value: Option<T>) {
        self.answered += 1;
        if self.crossed {
            self.value = None;
        } else if value.is_some() {
            self.value = value;
        }
        self.crossed &= self.sent != self.answered;
    }

    fn sure(&self) -> Option<T> {
        self.value.filter(|_| self.sent == self.answered)
    }
}

/// A set that was made with a client token.
#[derive(Debug)]
struct Made {
    request: ecs::CreateTaskSetRequest,
    set: String,
    /// When it was told, on the agenda's count.
    heard: u64,
}

/// What clients were told of task sets.
#[derive(Debug, Default)]
pub(crate) struct ToldSets {
    /// Percent, by the set's number.
    scales: BTreeMap<String, Known<f64>>,
    /// Tasks, by the service's name.
    counts: BTreeMap<String, Known<i32>>,
    /// Sets whose deletion was acknowledged, and when.
    deleted: BTreeMap<String, u64>,
    /// Sets that somebody may have deleted by force.
    forced: BTreeSet<String>,
    /// Services that somebody may have scaled to nothing.
    emptied: BTreeSet<String>,
    /// Services whose rebalancing somebody may have altered.
    rebalanced: BTreeSet<String>,
    tokens: BTreeMap<(String, String), Made>,
}

impl ToldSets {
    /// The tasks that a set is to have, where that is known for sure.
    pub fn wanted(&self, service: &str, set: &str) -> Option<i32> {
        let percent = self.scales.get(set)?.sure()?;
        Some(share(percent, self.counts.get(service)?.sure()?))
    }

    pub fn is_deleted(&self, set: &str) -> bool {
        self.deleted.contains_key(set)
    }
}

fn scale_of(set: &ecs::TaskSet) -> Option<f64> {
    set.scale.as_ref().and_then(|scale| scale.value)
}

fn id_in(set: &ecs::TaskSet) -> String {
    number_of(set.id.as_deref().unwrap_or(""))
}

fn is_external(name: &str) -> bool {
    EXTERNAL.contains(&name)
}

impl World {
    /// A request is sent that will change what is known.
    pub fn before_asking_of_sets(&mut self, request: &ecs::Request) {
        let told = &mut self.clients.oracle.sets;
        match request {
            ecs::Request::UpdateTaskSet(request) => told.scales.entry(number_of(&request.task_set)).or_default().ask(),
            ecs::Request::DeleteTaskSet(request) if request.force == Some(true) => {
                told.forced.insert(number_of(&request.task_set));
            }
            ecs::Request::CreateService(request) if is_external(&request.service_name) => {
                told.counts.entry(request.service_name.clone()).or_default().ask();
                if request.desired_count == Some(0) {
                    told.emptied.insert(request.service_name.clone());
                }
            }
            ecs::Request::UpdateService(request) if is_external(&request.service) => {
                told.counts.entry(request.service.clone()).or_default().ask();
                if request.desired_count == Some(0) {
                    told.emptied.insert(request.service.clone());
                }
            }
            ecs::Request::DeleteService(request) if is_external(&request.service) => {
                told.counts.entry(request.service.clone()).or_default().ask();
            }
            ecs::Request::UpdateService(request) if request.availability_zone_rebalancing.is_some() => {
                told.rebalanced.insert(request.service.clone());
            }
            _ => {}
        }
    }

    /// What an answer tells of scales and counts, whatever else it says.
    pub fn hear_of_sets(&mut self, asked: &Asked, answer: &Result<ecs::Response, Fault>) {
        // Nobody knows what came of it.
        if answer.as_ref().is_err_and(|fault| fault.code == "ServerException") {
            return;
        }
        let heard = self.agenda.planned();
        let told = &mut self.clients.oracle.sets;
        let count = match answer {
            Ok(ecs::Response::CreateService(response)) => response.service.as_ref(),
            Ok(ecs::Response::UpdateService(response)) => response.service.as_ref(),
            _ => None,
        };
        let count = count.and_then(|service| service.desired_count);
        match (&asked.request, answer) {
            (ecs::Request::CreateService(request), _) if is_external(&request.service_name) => {
                told.counts.entry(request.service_name.clone()).or_default().hear(count);
            }
            (ecs::Request::UpdateService(request), _) if is_external(&request.service) => {
                told.counts.entry(request.service.clone()).or_default().hear(count);
            }
            (ecs::Request::DeleteService(request), _) if is_external(&request.service) => {
                told.counts.entry(request.service.clone()).or_default().hear(None);
            }
            (ecs::Request::UpdateTaskSet(request), answer) => {
                let scale = match answer {
                    Ok(ecs::Response::UpdateTaskSet(response)) => response.task_set.as_ref().and_then(scale_of),
                    _ => None,
                };
                told.scales.entry(number_of(&request.task_set)).or_default().hear(scale);
            }
            (ecs::Request::CreateTaskSet(_), Ok(ecs::Response::CreateTaskSet(response))) => {
                let Some(set) = &response.task_set else { return };
                let known = told.scales.entry(id_in(set)).or_default();
                // Nobody has altered it yet.
                if known.sent == 0 {
                    known.value = scale_of(set);
                }
            }
            (ecs::Request::DeleteTaskSet(request), Ok(_)) => {
                told.deleted.entry(number_of(&request.task_set)).or_insert(heard);
            }
            _ => {}
        }
    }

    /// Judges answers about task sets, and what services say of their zones.
    pub fn judge_sets(&mut self, asked: &Asked, response: ecs::Response) {
        match (&asked.request, response) {
            (ecs::Request::CreateTaskSet(request), ecs::Response::CreateTaskSet(response)) => {
                self.judge_made(asked, request, response.task_set.unwrap_or_default());
            }
            (ecs::Request::UpdateTaskSet(request), ecs::Response::UpdateTaskSet(response)) => {
                let told = response.task_set.unwrap_or_default();
                if scale_of(&told) != request.scale.value || told.status.as_deref() == Some("DRAINING") {
                    let asked = request.scale.value;
                    self.fail("a task set is scaled as it was asked", format!("{asked:?}, then {:?}", told.scale));
                }
            }
            (ecs::Request::UpdateServicePrimaryTaskSet(_), ecs::Response::UpdateServicePrimaryTaskSet(response)) => {
                let status = response.task_set.and_then(|set| set.status);
                if status.as_deref() != Some("PRIMARY") {
                    self.fail("the set that was asked for is PRIMARY", format!("{status:?}"));
                }
            }
            (ecs::Request::DeleteTaskSet(request), ecs::Response::DeleteTaskSet(response)) => {
                self.judge_deleted(request, response.task_set.unwrap_or_default());
            }
            (ecs::Request::DescribeTaskSets(request), ecs::Response::DescribeTaskSets(response)) => {
                self.judge_described(asked, request, *response);
            }
            (ecs::Request::UpdateService(request), ecs::Response::UpdateService(response)) => {
                let told = response.service.unwrap_or_default();
                let wanted = request.availability_zone_rebalancing;
                if wanted.is_some() && told.availability_zone_rebalancing != wanted {
                    self.fail("zones are rebalanced as it was asked", request.service.clone());
                }
                if request.desired_count.is_some() && told.desired_count != request.desired_count {
                    self.fail("a service has the count that was asked", request.service.clone());
                }
            }
            _ => {}
        }
    }

    /// A service that was created says of its zones and its controller what was asked.
    pub fn judge_service(&mut self, request: &ecs::CreateServiceRequest, told: &ecs::Service) {
        let altered = self.clients.oracle.sets.rebalanced.contains(&request.service_name);
        let wanted = request.availability_zone_rebalancing;
        if wanted.is_some() && told.availability_zone_rebalancing != wanted && !altered {
            self.fail("zones are rebalanced as it was asked", request.service_name.clone());
        }
        let controller = |controller: Option<&ecs::DeploymentController>| controller.map(|known| known.r#type);
        let asked = controller(request.deployment_controller.as_ref());
        if asked.is_some() && controller(told.deployment_controller.as_ref()) != asked {
            self.fail("a service has the controller that was asked", request.service_name.clone());
        }
    }

    fn judge_made(&mut self, asked: &Asked, request: &ecs::CreateTaskSetRequest, told: ecs::TaskSet) {
        let Some(token) = request.client_token.clone() else {
            let scale = request.scale.as_ref().and_then(|scale| scale.value).unwrap_or(0.0);
            let status = told.status.as_deref() == Some("ACTIVE");
            if scale_of(&told) != Some(scale) || !status || told.external_id != request.external_id {
                self.fail("a task set is made as it was asked for", format!("{request:?}: {told:?}"));
            }
            return;
        };
        let key = (request.service.clone(), token);
        let set = id_in(&told);
        if let Some(made) = self.clients.oracle.sets.tokens.get(&key)
            && made.heard <= asked.sent
            && self.has_set(&request.service, &made.set)
            && (made.set != set || made.request != *request)
        {
            let detail = format!("{} of {}: {}, then {set}", key.1, key.0, made.set);
            return self.fail("a client token makes one task set", detail);
        }
        let heard = self.agenda.planned();
        self.clients.oracle.sets.tokens.insert(key, Made { request: request.clone(), set, heard });
    }

    /// Whether a set is durably there.
    fn has_set(&self, service: &str, set: &str) -> bool {
        let state = &self.disk.history;
        let cluster = state.cluster_named("default");
        let service = cluster.and_then(|cluster| state.service_named(cluster.id, service));
        service.is_some_and(|service| service.deployments.iter().any(|known| number_of(&known.id()) == set))
    }

    fn judge_deleted(&mut self, request: &ecs::DeleteTaskSetRequest, told: ecs::TaskSet) {
        if told.status.as_deref() != Some("DRAINING") || told.computed_desired_count != Some(0) {
            return self.fail("a task set that was deleted is DRAINING", format!("{told:?}"));
        }
        let known = &self.clients.oracle.sets;
        let unsure = known.forced.contains(&number_of(&request.task_set)) || known.emptied.contains(&request.service);
        let scaled = scale_of(&told).is_some_and(|percent| percent > 0.0);
        if request.force != Some(true) && scaled && !unsure {
            self.fail("a task set with tasks is deleted by force only", format!("{told:?}"));
        }
    }

    fn judge_described(
        &mut self,
        asked: &Asked,
        request: &ecs::DescribeTaskSetsRequest,
        response: ecs::DescribeTaskSetsResponse,
    ) {
        let sets = response.task_sets.unwrap_or_default();
        let failures = response.failures.unwrap_or_default();
        for name in request.task_sets.iter().flatten() {
            let there = sets.iter().any(|set| id_in(set) == number_of(name));
            let missing =
                failures.iter().any(|known| known.arn.as_ref().is_some_and(|a| number_of(a) == number_of(name)));
            if there == missing {
                self.fail("every task set asked for is described or missing", name.clone());
            }
        }
        let ids: BTreeSet<String> = sets.iter().map(id_in).collect();
        let primaries = sets.iter().filter(|set| set.status.as_deref() == Some("PRIMARY")).count();
        if ids.len() != sets.len() || sets.len() > SETS_MAX || primaries > 1 {
            self.fail("a service has up to five task sets, one of them PRIMARY", format!("{primaries} of {ids:?}"));
        }
        let drains = |set: &&ecs::TaskSet| set.status.as_deref() == Some("DRAINING");
        let fits = |count: i32| {
            sets.iter().all(|set| {
                let percent = if drains(&set) { 0.0 } else { scale_of(set).unwrap_or(0.0) };
                set.computed_desired_count == Some(share(percent, count))
            })
        };
        if !(0..=COUNT_MAX).any(fits) {
            self.fail("task sets share one count", format!("{sets:?}"));
        }
        let deleted = &self.clients.oracle.sets.deleted;
        let before = |set: &&ecs::TaskSet| deleted.get(&id_in(set)).is_some_and(|at| *at <= asked.sent);
        if let Some(set) = sets.iter().find(|set| before(set) && !drains(set)) {
            self.fail("a task set that was deleted is DRAINING", format!("{set:?}"));
        }
    }
}
