//! Rules for services whose controller is EXTERNAL, and for their task sets.

use super::run::unsupported;
use model::State;
use model::service::Service;
use model::task::LaunchType;
use model::task_set::{Scale, TaskSetStatus};
use wire::{Fault, ecs};

/// Longest `externalId`; none is documented.
const EXTERNAL_ID_MAX: usize = 255;
/// Longest `clientToken` (API reference).
const TOKEN_MAX: usize = 36;

fn refuse(members: &[(&str, bool)], why: impl Fn(&str) -> String) -> Result<(), Fault> {
    let used = members.iter().find(|(_, used)| *used);
    used.map_or(Ok(()), |(member, _)| Err(Fault::invalid_parameter(why(member))))
}

fn advanced(asked: Option<&ecs::DeploymentConfiguration>) -> bool {
    asked.is_some_and(|asked| {
        asked.deployment_circuit_breaker.as_ref().is_some_and(|breaker| breaker.enable)
            || asked.early_success_criteria.as_ref().is_some_and(|early| early.enable)
            || asked.lifecycle_hooks.as_ref().is_some_and(|hooks| !hooks.is_empty())
    })
}

/// Whether CreateService asks for the EXTERNAL controller. What a task set says, its service does not.
pub(crate) fn is_external(input: &ecs::CreateServiceRequest) -> Result<bool, Fault> {
    let controller = input.deployment_controller.as_ref().map(|controller| controller.r#type);
    if controller != Some(ecs::DeploymentControllerType::External) {
        return Ok(false);
    }
    if input.scheduling_strategy == Some(ecs::SchedulingStrategy::Daemon) {
        let message = "The EXTERNAL deployment controller does not support the DAEMON scheduling strategy.";
        return Err(Fault::invalid_parameter(message));
    }
    if advanced(input.deployment_configuration.as_ref()) {
        let message = "deploymentCircuitBreaker, earlySuccessCriteria and lifecycleHooks are for services that use the ECS \
                       deployment controller.";
        return Err(Fault::invalid_parameter(message));
    }
    let of_sets = [
        ("capacityProviderStrategy", input.capacity_provider_strategy.as_ref().is_some_and(|items| !items.is_empty())),
        ("launchType", input.launch_type.is_some()),
        ("networkConfiguration", input.network_configuration.is_some()),
        ("platformVersion", input.platform_version.is_some()),
        ("taskDefinition", input.task_definition.is_some()),
    ];
    refuse(&of_sets, |member| {
        format!(
            "{member} cannot be specified for a service with an EXTERNAL deployment controller. Specify it for its task \
             sets."
        )
    })?;
    Ok(true)
}

/// What UpdateService alters of such a service: its count, placement, grace period, and where tags come from.
pub(crate) fn update(service: &Service, input: &ecs::UpdateServiceRequest) -> Result<(), Fault> {
    let asked = input.deployment_controller.as_ref().map(|controller| controller.r#type);
    if asked.is_some_and(|asked| (asked == ecs::DeploymentControllerType::External) != service.external) {
        return Err(unsupported("deploymentController (another one than the service has)"));
    }
    if !service.external {
        return Ok(());
    }
    let of_sets = [
        ("capacity provider strategy", input.capacity_provider_strategy.is_some()),
        ("deployment configuration", input.deployment_configuration.is_some()),
        ("network configuration", input.network_configuration.is_some()),
        ("platform version", input.platform_version.is_some()),
        ("task definition", input.task_definition.is_some()),
    ];
    refuse(&of_sets, |member| {
        format!(
            "Unable to update {member} on services with an EXTERNAL deployment controller. Use CreateTaskSet to trigger a \
             new deployment."
        )
    })?;
    refuse(&[("deployment", input.force_new_deployment == Some(true))], |member| {
        format!("Cannot force a new {member} on services with an EXTERNAL deployment controller. Use CreateTaskSet.")
    })
}

/// On Fargate nobody chooses an instance: neither the service nor a set of it.
pub(crate) fn placement(state: &State, service: &Service) -> Result<(), Fault> {
    let sets = service.deployments.iter().filter(|set| service.external && !set.is_set(TaskSetStatus::Draining));
    let mut types = sets.filter_map(|set| state.service_revisions.get(&(service.id, set.revision)));
    set_placement(service, types.any(|revision| revision.launch_type == LaunchType::Fargate))
}

/// The same for a set that is to be made.
pub(crate) fn set_placement(service: &Service, fargate: bool) -> Result<(), Fault> {
    let message = "Placement constraints and strategies of the service are not supported with task sets of FARGATE launch \
                   type.";
    if fargate && !service.placement.is_empty() { Err(Fault::invalid_parameter(message)) } else { Ok(()) }
}

/// Members of CreateTaskSet without an engine, and the form of the others.
pub(crate) fn task_set(input: &ecs::CreateTaskSetRequest) -> Result<(), Fault> {
    let filled = |used: Option<bool>| used == Some(true);
    if filled(input.load_balancers.as_ref().map(|list| !list.is_empty())) {
        return Err(unsupported("loadBalancers"));
    }
    if filled(input.service_registries.as_ref().map(|list| !list.is_empty())) {
        return Err(unsupported("serviceRegistries"));
    }
    let id = input.external_id.as_deref().unwrap_or_default();
    if id.len() > EXTERNAL_ID_MAX || id.chars().any(char::is_control) {
        let message = format!("externalId may have at most {EXTERNAL_ID_MAX} characters, none of them for control.");
        return Err(Fault::invalid_parameter(message));
    }
    super::run::platform_version(input.platform_version.as_deref())
}

/// `clientToken`.
pub(crate) fn token(token: &str) -> Result<(), Fault> {
    let good = token.len() <= TOKEN_MAX && token.bytes().all(|byte| (33..=126).contains(&byte));
    let message = format!("clientToken may have up to {TOKEN_MAX} characters, ASCII 33 to 126.");
    if good { Ok(()) } else { Err(Fault::invalid_parameter(message)) }
}

/// `scale`.
pub(crate) fn scale(asked: &ecs::Scale) -> Result<Scale, Fault> {
    let value = asked.value.ok_or_else(|| Fault::invalid_parameter("The scale needs a value, in percent."))?;
    let message = || format!("The scale value must be between 0 and 100, got {value}.");
    Scale::read(value).ok_or_else(|| Fault::invalid_parameter(message()))
}
