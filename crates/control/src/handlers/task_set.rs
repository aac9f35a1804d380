//! Task sets: what a service of the EXTERNAL deployment controller is made of. That their tasks are kept is the planner's:
//! see `reconcile`.

use super::service::{definition, subnets};
use super::{check_names, digest, missing, service_deployment, tags};
use crate::authorize::Caller;
use crate::check::capacity::{Reach, reach};
use crate::check::{external as check, run as check_run};
use crate::desk::Desk;
use crate::named;
use model::change::Change;
use model::service::{Deployment, Service, ServiceStatus};
use model::task::LaunchType;
use model::task_set::{Scale, TASK_SETS_MAX, TaskSet, TaskSetStatus};
use model::{Cluster, State};
use wire::{Fault, ecs};

/// Task sets that one DescribeTaskSets names.
const DESCRIBE_MAX: usize = 100;

/// CreateTaskSet. Without a word about it, it is scaled to nothing.
pub(crate) fn create(
    desk: &mut Desk,
    _: &Caller,
    mut input: ecs::CreateTaskSetRequest,
) -> Result<ecs::CreateTaskSetResponse, Fault> {
    let cluster = named::cluster(&desk.state, Some(&input.cluster))?.clone();
    let before = service(&desk.state, &cluster, &input.service)?.clone();
    let token = input.client_token.take().filter(|token| !token.is_empty());
    let digest = digest(&input);
    if let Some(token) = &token
        && let Some(number) = repeated(&before, token, digest)?
    {
        return Ok(ecs::CreateTaskSetResponse { task_set: shown(desk, &before, number) });
    }
    check::task_set(&input)?;
    let count = before.deployments.len();
    if count >= TASK_SETS_MAX {
        let message = format!(
            "{count} deployments exist on the service. Unable to create new TaskSet since this exceeds the maximum limit."
        );
        return Err(Fault::invalid_parameter(message));
    }
    let scale = input.scale.as_ref().map_or(Ok(Scale::default()), check::scale)?;
    let strategy = input.capacity_provider_strategy.as_deref();
    let Reach { launch_type, strategy } = reach(&desk.state, &cluster, input.launch_type, strategy)?;
    check_run::platform(input.platform_version.as_deref(), launch_type)?;
    check::set_placement(&before, launch_type == LaunchType::Fargate)?;
    let definition = definition(&desk.state, &input.task_definition, launch_type)?;
    let subnets = subnets(&desk.state, definition, input.network_configuration.as_ref())?;
    let tags = tags(input.tags)?;
    let interface = check_run::interface(input.network_configuration.as_ref());
    let made_of = Service { launch_type, strategy, subnets, interface, ..before.clone() };
    let revision = service_deployment::revision(desk, &made_of, definition);
    let number = revision.deployment;
    let set = TaskSet {
        status: TaskSetStatus::Active,
        scale,
        external_id: input.external_id.map(Into::into),
        token: token.map(Into::into),
        digest,
        tags,
        steady: false,
        steady_at: desk.now,
    };
    let mut deployment = Deployment::new(number, definition, revision.number, 0, desk.now);
    deployment.set = Some(Box::new(set));
    let mut service = before.clone();
    service.deployments.push(deployment);
    replace(desk, &before, service);
    desk.commit(Change::ServiceRevisionCreated(Box::new(revision)));
    Ok(ecs::CreateTaskSetResponse { task_set: known(desk, &before, number) })
}

/// The ACTIVE service of that name whose deployments are task sets.
fn service<'a>(state: &'a State, cluster: &Cluster, name: &str) -> Result<&'a Service, Fault> {
    let known = named::service(state, cluster, name)?;
    let service = known.ok_or_else(|| ecs::fault::service_not_found("Service not found."))?;
    if service.status != ServiceStatus::Active {
        return Err(ecs::fault::service_not_active("Service was not ACTIVE."));
    }
    if !service.external {
        let message = "Amazon ECS only supports task set management on services configured to use external deployment \
                       controllers.";
        return Err(Fault::invalid_parameter(message));
    }
    Ok(service)
}

/// The set that the same request made before.
fn repeated(service: &Service, token: &str, digest: [u8; 16]) -> Result<Option<u64>, Fault> {
    check::token(token)?;
    let sets = service.deployments.iter().filter_map(|known| Some((known.number, known.set.as_ref()?)));
    let made = sets.into_iter().find(|(_, set)| set.token.as_deref() == Some(token));
    match made {
        Some((_, set)) if set.digest != digest => {
            let message = "The clientToken was used for a task set with other parameters.";
            Err(Fault::invalid_parameter(message))
        }
        made => Ok(made.map(|(number, _)| number)),
    }
}

/// UpdateTaskSet.
pub(crate) fn update(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::UpdateTaskSetRequest,
) -> Result<ecs::UpdateTaskSetResponse, Fault> {
    let (before, number) = find(&desk.state, &input.cluster, &input.service, &input.task_set)?;
    let scale = check::scale(&input.scale)?;
    let mut service = before.clone();
    alterable(&mut service, number)?.scale = scale;
    touch(desk, &before, service, number);
    Ok(ecs::UpdateTaskSetResponse { task_set: known(desk, &before, number) })
}

/// UpdateServicePrimaryTaskSet: what the service shows is that set's.
pub(crate) fn make_primary(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::UpdateServicePrimaryTaskSetRequest,
) -> Result<ecs::UpdateServicePrimaryTaskSetResponse, Fault> {
    let (before, number) = find(&desk.state, &input.cluster, &input.service, &input.primary_task_set)?;
    let mut service = before.clone();
    alterable(&mut service, number)?;
    for set in service.deployments.iter_mut().filter_map(|known| Some((known.number, known.set.as_mut()?))) {
        match set {
            (of, set) if of == number => set.status = TaskSetStatus::Primary,
            (_, set) if set.status == TaskSetStatus::Primary => set.status = TaskSetStatus::Active,
            _ => {}
        }
    }
    let revision = service.primary().and_then(|set| desk.state.service_revisions.get(&(service.id, set.revision)));
    if let Some(revision) = revision.cloned() {
        service.launch_type = revision.launch_type;
        (service.strategy, service.subnets) = (revision.strategy, revision.subnets);
        service.interface = revision.interface;
    }
    touch(desk, &before, service, number);
    Ok(ecs::UpdateServicePrimaryTaskSetResponse { task_set: known(desk, &before, number) })
}

/// DeleteTaskSet: its tasks stop, and then it is gone.
pub(crate) fn delete(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DeleteTaskSetRequest,
) -> Result<ecs::DeleteTaskSetResponse, Fault> {
    let (before, number) = find(&desk.state, &input.cluster, &input.service, &input.task_set)?;
    let mut service = before.clone();
    if let Some((deployment, desired)) = service.set_mut(number) {
        let refused = |why: &str| {
            let message =
                format!("The task set cannot be deleted while it {why}. Specify force to delete it as it is.");
            Err(Fault::invalid_parameter(message))
        };
        let force = input.force == Some(true);
        if !force && deployment.is_set(TaskSetStatus::Primary) {
            return refused("is the PRIMARY task set");
        }
        if !force && deployment.computed(desired) > 0 {
            return refused("is scaled above 0");
        }
        deployment.set.iter_mut().for_each(|set| set.status = TaskSetStatus::Draining);
    }
    touch(desk, &before, service, number);
    Ok(ecs::DeleteTaskSetResponse { task_set: known(desk, &before, number) })
}

/// DescribeTaskSets: those that are named, or all.
pub(crate) fn describe(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DescribeTaskSetsRequest,
) -> Result<ecs::DescribeTaskSetsResponse, Fault> {
    let state = &desk.state;
    let cluster = named::cluster(state, Some(&input.cluster))?;
    let service = service(state, cluster, &input.service)?;
    let with_tags = input.include.unwrap_or_default().contains(&ecs::TaskSetField::Tags);
    let shown = |set: &Deployment| state.project_task_set(service, set, with_tags, desk.health());
    let names = input.task_sets.unwrap_or_default();
    if names.is_empty() {
        let sets = service.deployments.iter().filter_map(shown).collect();
        return Ok(ecs::DescribeTaskSetsResponse { task_sets: Some(sets), failures: Some(Vec::new()) });
    }
    check_names(&names, "taskSets", DESCRIBE_MAX)?;
    let (mut sets, mut failures) = (Vec::new(), Vec::new());
    for name in &names {
        match named::task_set(state, cluster, service, name)?.and_then(shown) {
            Some(set) => sets.push(set),
            None if name.starts_with("arn:") => failures.push(missing(name.clone())),
            None => failures.push(missing(format!(
                "{}/{name}",
                state.scope().service(&cluster.name, &service.name).replacen(":service/", ":task-set/", 1)
            ))),
        }
    }
    Ok(ecs::DescribeTaskSetsResponse { task_sets: Some(sets), failures: Some(failures) })
}

/// A service and the number of its task set of that name.
fn find(state: &State, cluster: &str, name: &str, set: &str) -> Result<(Service, u64), Fault> {
    let cluster = named::cluster(state, Some(cluster))?;
    let service = service(state, cluster, name)?;
    let found = named::task_set(state, cluster, service, set)?.map(|set| set.number);
    let missing = || {
        let message =
            "The specified task set was not found. You can view your available task sets with DescribeTaskSets.";
        ecs::fault::task_set_not_found(message)
    };
    Ok((service.clone(), found.ok_or_else(missing)?))
}

/// One that is not on its way out.
fn alterable(service: &mut Service, number: u64) -> Result<&mut TaskSet, Fault> {
    let set = service.set_mut(number).and_then(|(deployment, _)| deployment.set.as_mut());
    let set = set.filter(|set| set.status != TaskSetStatus::Draining);
    set.map(|set| &mut **set).ok_or_else(|| Fault::invalid_parameter("The task set is DRAINING: it was deleted."))
}

/// What somebody has done with a set; nothing when it is so already. A try that waits for its time is due at once.
fn touch(desk: &mut Desk, before: &Service, mut service: Service, number: u64) {
    if service == *before {
        return;
    }
    let now = desk.now;
    if let Some((deployment, _)) = service.set_mut(number) {
        (deployment.retry_at, deployment.trouble, deployment.updated_at) = (0, None, now);
    }
    service.steady = false;
    service.version += 1;
    replace(desk, before, service);
}

/// Puts `service` in the place of what it was. Sets that are to have another number of tasks are not steady until they
/// have it, and it is said.
pub(crate) fn replace(desk: &mut Desk, before: &Service, mut service: Service) {
    let (id, name, desired, now) = (service.id, service.name.clone(), service.desired, desk.now);
    let was = |number: u64| {
        let known = before.deployments.iter().find(|known| known.number == number);
        known.map_or(0, |known| known.computed(before.desired))
    };
    let mut words = Vec::new();
    for deployment in service.deployments.iter_mut().filter(|deployment| deployment.set.is_some()) {
        let computed = deployment.computed(desired);
        if computed == was(deployment.number) {
            continue;
        }
        words.push(format!(
            "(service {name}) updated computedDesiredCount for taskSet {} to {computed}.",
            deployment.id()
        ));
        deployment.updated_at = now;
        if let Some(set) = deployment.set.as_mut().filter(|set| set.steady) {
            (set.steady, set.steady_at) = (false, now);
        }
    }
    desk.commit(Change::ServiceUpdated(Box::new(service)));
    words.into_iter().for_each(|words| desk.say(id, words));
}

/// The set as it is now.
fn known(desk: &Desk, service: &Service, number: u64) -> Option<ecs::TaskSet> {
    shown(desk, desk.state.services.get(&service.id)?, number)
}

fn shown(desk: &Desk, service: &Service, number: u64) -> Option<ecs::TaskSet> {
    let set = service.deployments.iter().find(|known| known.number == number)?;
    desk.state.project_task_set(service, set, true, desk.health())
}
