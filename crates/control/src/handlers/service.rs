//! Services: create, update, describe, list, delete. What follows from them is the planner's: see `reconcile`.

use super::service_deployment as deployment;
use super::task::launch_type;
use super::{check_names, digest, missing, tags, task_set};
use crate::authorize::Caller;
use crate::check::capacity::{Reach, reach, strategy};
use crate::check::{deployment as check_deployment, external as check_external, run as check_run, service as check};
use crate::desk::Desk;
use crate::named;
use crate::page::Page;
use crate::reconcile::has_tasks;
use model::capacity_provider::launch_type as provider_launch_type;
use model::change::Change;
use model::cluster::is_valid_name;
use model::deployment_configuration::DeploymentConfiguration;
use model::service::{Propagate, Rollout, Service, ServiceStatus};
use model::task::LaunchType;
use model::task_set::TaskSetStatus;
use model::{Cluster, RevisionId, State};
use wire::{Fault, ecs};

/// Services that one DescribeServices names.
const DESCRIBE_MAX: usize = 10;
/// minimumHealthyPercent and maximumPercent of a REPLICA service that does not say (API reference).
const BOUNDS: (u32, u32) = (100, 200);

/// Those of a DAEMON service.
const DAEMON_BOUNDS: (u32, u32) = (0, 100);

/// CreateService. The same request again answers the service that is there; another one of that name is refused.
pub(crate) fn create(
    desk: &mut Desk,
    _: &Caller,
    mut input: ecs::CreateServiceRequest,
) -> Result<ecs::CreateServiceResponse, Fault> {
    let cluster = named::cluster(&desk.state, input.cluster.as_deref())?.clone();
    if !is_valid_name(&input.service_name) {
        return Err(Fault::invalid_parameter(
            "Invalid service name: 1 to 255 letters, digits, hyphens and underscores.",
        ));
    }
    input.client_token = None;
    let digest = digest(&input);
    if let Some(known) = active(&desk.state, &cluster, &input.service_name)? {
        return match known.digest == digest {
            true => Ok(ecs::CreateServiceResponse { service: Some(shown(desk, known)) }),
            false => Err(Fault::invalid_parameter("Creation of service was not idempotent.")),
        };
    }
    let (mut service, definition) = wished(desk, &cluster, input, digest)?;
    let id = service.id;
    let history = definition.map(|definition| deployment::begin(desk, &mut service, definition));
    desk.commit(Change::ServiceCreated(Box::new(service)));
    history.into_iter().for_each(|history| history.commit(desk));
    Ok(ecs::CreateServiceResponse { service: Some(shown(desk, &desk.state.services[&id])) })
}

/// The service of that name that is not deleted. One that is DRAINING keeps its name.
fn active<'a>(state: &'a State, cluster: &Cluster, name: &str) -> Result<Option<&'a Service>, Fault> {
    match state.service_named(cluster.id, name) {
        Some(known) if known.status == ServiceStatus::Draining => {
            Err(Fault::invalid_parameter("Unable to Start a service that is still Draining."))
        }
        Some(known) if known.status == ServiceStatus::Active => Ok(Some(known)),
        _ => Ok(None),
    }
}

fn wished(
    desk: &mut Desk,
    cluster: &Cluster,
    input: ecs::CreateServiceRequest,
    digest: [u8; 16],
) -> Result<(Service, Option<RevisionId>), Fault> {
    check::unsupported_of_create(&input)?;
    let external = check_external::is_external(&input)?;
    let asked = check::daemon(&input)?;
    let Reach { launch_type, strategy } = match external {
        // Its task sets say.
        true => Reach { launch_type: LaunchType::Ec2, strategy: Vec::new() },
        false => reach(&desk.state, cluster, asked, input.capacity_provider_strategy.as_deref())?,
    };
    check_run::platform(input.platform_version.as_deref(), launch_type)?;
    let blank = || Fault::invalid_parameter("TaskDefinition can not be blank.");
    let name = input.task_definition.as_deref().ok_or_else(blank);
    let definition = if external { None } else { Some(definition(&desk.state, name?, launch_type)?) };
    let daemon = input.scheduling_strategy == Some(ecs::SchedulingStrategy::Daemon);
    let missing = || Fault::invalid_parameter("desiredCount must be specified for REPLICA services.");
    let desired = if daemon { 0 } else { input.desired_count.ok_or_else(missing)? };
    let bounds = if daemon { DAEMON_BOUNDS } else { BOUNDS };
    let (minimum_healthy, maximum) = check::bounds(input.deployment_configuration.as_ref(), bounds)?;
    check::daemon_maximum(daemon, maximum)?;
    let mut configuration = DeploymentConfiguration::default();
    check_deployment::read(input.deployment_configuration.as_ref(), &mut configuration)?;
    let network = input.network_configuration.as_ref();
    let subnets = definition.map_or(Ok(Vec::new()), |definition| subnets(&desk.state, definition, network))?;
    let (constraints, by) = (input.placement_constraints.as_deref(), input.placement_strategy.as_deref());
    let placement = check_run::placement(constraints, by, launch_type)?;
    check::daemon_placement(daemon, &placement)?;
    let service = Service {
        id: desk.state.next_service(),
        placement,
        cluster: cluster.id,
        name: input.service_name.into(),
        status: ServiceStatus::Active,
        launch_type,
        platform: platform(input.platform_version),
        strategy,
        daemon,
        external,
        desired: check::desired(desired)?,
        minimum_healthy,
        maximum,
        configuration,
        subnets,
        interface: check_run::interface(network),
        created_at: desk.now,
        inactive_at: 0,
        deployments: Vec::new(),
        steady: false,
        grace_seconds: check::grace(input.health_check_grace_period_seconds, None)?,
        tags: tags(input.tags)?,
        propagate: propagate(input.propagate_tags),
        managed_tags: input.enable_ecs_managed_tags == Some(true),
        execute_command: input.enable_execute_command == Some(true),
        created_by: desk.state.scope().root().into(),
        digest,
        rebalance: input.availability_zone_rebalancing == Some(ecs::AvailabilityZoneRebalancing::Enabled),
        balancing: false,
        version: 1,
    };
    check::rebalance(&service)?;
    Ok((service, definition))
}

pub(crate) fn definition(state: &State, name: &str, launch_type: LaunchType) -> Result<RevisionId, Fault> {
    let definition = named::task_definition(state, name)?;
    let definition = definition.ok_or_else(|| ecs::fault::client("TaskDefinition not found."))?;
    if !definition.active {
        return Err(ecs::fault::client("TaskDefinition is inactive"));
    }
    check_run::can_act(definition, launch_type)?;
    check_run::logs(state, definition, launch_type)?;
    Ok(definition.id)
}

pub(crate) fn subnets(
    state: &State,
    definition: RevisionId,
    network: Option<&ecs::NetworkConfiguration>,
) -> Result<Vec<u8>, Fault> {
    check_run::subnets(&state.meta().vpc, &state.definitions[&definition], network)
}

fn platform(asked: Option<String>) -> Option<Box<str>> {
    asked.filter(|asked| asked != "LATEST").map(Into::into)
}

fn propagate(asked: Option<ecs::PropagateTags>) -> Propagate {
    match asked {
        Some(ecs::PropagateTags::TaskDefinition) => Propagate::TaskDefinition,
        Some(ecs::PropagateTags::Service) => Propagate::Service,
        Some(ecs::PropagateTags::None) | None => Propagate::None,
    }
}

fn shown(desk: &Desk, service: &Service) -> ecs::Service {
    desk.state.project_service(service, true, desk.health())
}

/// UpdateService. Another revision, other subnets or forceNewDeployment make a new deployment; the count and the bounds
/// act at once.
pub(crate) fn update(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::UpdateServiceRequest,
) -> Result<ecs::UpdateServiceResponse, Fault> {
    let cluster = named::cluster(&desk.state, input.cluster.as_deref())?;
    let known = named::service(&desk.state, cluster, &input.service)?;
    let mut service = known.ok_or_else(|| ecs::fault::service_not_found("Service not found."))?.clone();
    if service.status != ServiceStatus::Active {
        return Err(ecs::fault::service_not_active("Service was not ACTIVE."));
    }
    check::unsupported_of_update(&input)?;
    check_external::update(&service, &input)?;
    check::daemon_count(service.daemon, input.desired_count)?;
    check::daemon_strategy(service.daemon, input.capacity_provider_strategy.as_deref())?;
    let before = service.clone();
    if let Some(desired) = input.desired_count {
        service.desired = check::desired(desired)?;
    }
    let bounds = (service.minimum_healthy, service.maximum);
    (service.minimum_healthy, service.maximum) = check::bounds(input.deployment_configuration.as_ref(), bounds)?;
    check::daemon_maximum(service.daemon, service.maximum)?;
    // What is not said stays; an empty list takes away.
    if let Some(constraints) = input.placement_constraints.as_deref() {
        let asked = check_run::placement(Some(constraints), None, service.launch_type)?;
        service.placement.constraints = asked.constraints;
    }
    if let Some(strategy) = input.placement_strategy.as_deref() {
        service.placement.strategy = check_run::placement(None, Some(strategy), service.launch_type)?.strategy;
    }
    check::daemon_placement(service.daemon, &service.placement)?;
    check_external::placement(&desk.state, &service)?;
    check_deployment::read(input.deployment_configuration.as_ref(), &mut service.configuration)?;
    service.grace_seconds = check::grace(input.health_check_grace_period_seconds, service.grace_seconds)?;
    let mut new = input.force_new_deployment == Some(true);
    if let Some(items) = &input.capacity_provider_strategy {
        let strategy = strategy(&desk.state, &cluster.providers, items)?;
        let launch = strategy.first().map_or(service.launch_type, |item| provider_launch_type(&item.provider));
        new |= (&strategy, launch) != (&service.strategy, service.launch_type);
        (service.strategy, service.launch_type) = (strategy, launch);
    }
    check_run::platform(input.platform_version.as_deref(), service.launch_type)?;
    if input.platform_version.is_some() {
        let asked = platform(input.platform_version);
        new |= asked != service.platform;
        service.platform = asked;
    }
    let current = service.primary().map(|deployment| deployment.definition);
    let fits = |id: RevisionId| check_run::can_act(&desk.state.definitions[&id], service.launch_type);
    current.filter(|_| input.capacity_provider_strategy.is_some()).map_or(Ok(()), fits)?;
    let wanted = match input.task_definition.as_deref() {
        Some(name) => Some(definition(&desk.state, name, service.launch_type)?),
        None => current,
    };
    new |= wanted != current;
    // Without a word about it the subnets stay, for as long as the tasks have interfaces.
    let network = input.network_configuration.as_ref();
    if let Some(wanted) = wanted.filter(|_| network.is_some() || wanted != current) {
        let awsvpc = desk.state.definitions[&wanted].needs.network_mode == "awsvpc";
        if network.is_some() || !awsvpc || service.subnets.is_empty() {
            let subnets = subnets(&desk.state, wanted, network)?;
            let interface = check_run::interface(network);
            new |= (&subnets, interface) != (&service.subnets, service.interface);
            (service.subnets, service.interface) = (subnets, interface);
        }
    }
    if let Some(asked) = input.availability_zone_rebalancing {
        service.rebalance = asked == ecs::AvailabilityZoneRebalancing::Enabled;
    }
    check::rebalance(&service)?;
    if input.propagate_tags.is_some() {
        service.propagate = propagate(input.propagate_tags);
    }
    service.managed_tags = input.enable_ecs_managed_tags.unwrap_or(service.managed_tags);
    service.execute_command = input.enable_execute_command.unwrap_or(service.execute_command);
    let history = wanted.filter(|_| new).map(|definition| deployment::begin(desk, &mut service, definition));
    // A try that waits for its time is due at once when somebody has changed something.
    let tries = if service.external { service.deployments.len() } else { 1 };
    for primary in service.deployments.iter_mut().take(tries) {
        primary.retry_at = 0;
        if primary.rollout != Rollout::Failed {
            (primary.trouble, primary.hopeless) = (None, false);
        }
    }
    service.steady = false;
    service.version += 1;
    let id = service.id;
    task_set::replace(desk, &before, service);
    history.into_iter().for_each(|history| history.commit(desk));
    Ok(ecs::UpdateServiceResponse { service: Some(shown(desk, &desk.state.services[&id])) })
}

/// DescribeServices: deleted ones too, for a while.
pub(crate) fn describe(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DescribeServicesRequest,
) -> Result<ecs::DescribeServicesResponse, Fault> {
    check_names(&input.services, "Services", DESCRIBE_MAX)?;
    let state = &desk.state;
    let cluster = named::any_cluster(state, input.cluster.as_deref())?;
    let with_tags = input.include.unwrap_or_default().contains(&ecs::ServiceField::Tags);
    let (mut services, mut failures) = (Vec::new(), Vec::new());
    for name in &input.services {
        match named::service(state, cluster, name)? {
            Some(service) => services.push(state.project_service(service, with_tags, desk.health())),
            None if name.starts_with("arn:") => failures.push(missing(name.clone())),
            None => failures.push(missing(state.scope().service(&cluster.name, name))),
        }
    }
    Ok(ecs::DescribeServicesResponse { services: Some(services), failures: Some(failures) })
}

/// ListServices: those that are not INACTIVE, by name.
pub(crate) fn list(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::ListServicesRequest,
) -> Result<ecs::ListServicesResponse, Fault> {
    let state = &desk.state;
    let cluster = named::cluster(state, input.cluster.as_deref())?;
    let scope = format!("ListServices|{}|{:?}|{:?}", cluster.name, input.launch_type, input.scheduling_strategy);
    let page = Page::read(&state.meta().token_key, scope, (10, 100), input.max_results, input.next_token.as_deref())?;
    let daemon = input.scheduling_strategy.map(|asked| asked == ecs::SchedulingStrategy::Daemon);
    let shown = match input.launch_type.map(launch_type) {
        // No service here can have it.
        Some(None) => return Ok(ecs::ListServicesResponse { service_arns: Some(Vec::new()), next_token: None }),
        shown => shown.flatten(),
    };
    let rest = state.services_where(cluster.id, daemon, shown, page.after());
    let (services, next_token) = page.take(rest, |service| service.name.to_string());
    let arns = services.into_iter().map(|service| state.service_arn(service)).collect();
    Ok(ecs::ListServicesResponse { service_arns: Some(arns), next_token })
}

/// ListServicesByNamespace: there is no namespace yet that a service could be in.
pub(crate) fn list_by_namespace(
    _: &mut Desk,
    _: &Caller,
    input: ecs::ListServicesByNamespaceRequest,
) -> Result<ecs::ListServicesByNamespaceResponse, Fault> {
    Err(ecs::fault::namespace_not_found(format!("The namespace {:?} was not found.", input.namespace)))
}

/// DeleteService: one that still wants tasks must be scaled to zero first, or deleted by force.
pub(crate) fn delete(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DeleteServiceRequest,
) -> Result<ecs::DeleteServiceResponse, Fault> {
    let cluster = named::cluster(&desk.state, input.cluster.as_deref())?;
    let known = named::service(&desk.state, cluster, &input.service)?;
    let service = known.filter(|service| service.status != ServiceStatus::Inactive);
    let mut service = service.ok_or_else(|| ecs::fault::service_not_found("Service not found."))?.clone();
    let id = service.id;
    if service.status == ServiceStatus::Active {
        // A daemon cannot be scaled to zero: it is deleted as it is.
        if input.force != Some(true) && !service.daemon && (service.desired > 0 || has_tasks(desk, id)) {
            let message = "The service cannot be stopped while it is scaled above 0.";
            return Err(Fault::invalid_parameter(message));
        }
        if input.force != Some(true) && service.external && !service.deployments.is_empty() {
            let message = "The service cannot be stopped while deployments are active.";
            return Err(Fault::invalid_parameter(message));
        }
        let sets = service.deployments.iter_mut().filter_map(|deployment| deployment.set.as_mut());
        sets.for_each(|set| set.status = TaskSetStatus::Draining);
        service.status = ServiceStatus::Draining;
        service.desired = 0;
        service.version += 1;
        desk.commit(Change::ServiceUpdated(Box::new(service)));
        deployment::supersede(desk, id, "The service was deleted.");
    }
    Ok(ecs::DeleteServiceResponse { service: Some(shown(desk, &desk.state.services[&id])) })
}
