//! Rules for CreateService and UpdateService.

use super::run::{platform_version, unsupported};
use model::placement::{Placement, Strategy};
use model::service::Service;
use model::task::LaunchType;
use wire::{Fault, ecs};

/// Tasks of one service (service quotas).
pub(crate) const DESIRED_MAX: i32 = 5_000;

fn filled<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|list| !list.is_empty())
}

fn refuse_used(members: &[(&str, bool)]) -> Result<(), Fault> {
    members.iter().find(|(_, used)| *used).map_or(Ok(()), |(member, _)| Err(unsupported(member)))
}

macro_rules! common_members {
    ($input:expr) => {
        refuse_used(&[
            ("gatewayConnectors", filled(&$input.gateway_connectors)),
            ("loadBalancers", filled(&$input.load_balancers)),
            ("monitoring", $input.monitoring.is_some()),
            ("serviceConnectConfiguration", $input.service_connect_configuration.as_ref().is_some_and(|c| c.enabled)),
            ("serviceRegistries", filled(&$input.service_registries)),
            ("volumeConfigurations", filled(&$input.volume_configurations)),
            ("vpcLatticeConfigurations", filled(&$input.vpc_lattice_configurations)),
            (
                "deploymentController (CODE_DEPLOY)",
                $input
                    .deployment_controller
                    .as_ref()
                    .is_some_and(|c| c.r#type == ecs::DeploymentControllerType::CodeDeploy),
            ),
        ])
    };
}

/// Members of CreateService without an engine.
pub(crate) fn unsupported_of_create(input: &ecs::CreateServiceRequest) -> Result<(), Fault> {
    common_members!(input)?;
    platform_version(input.platform_version.as_deref())?;
    refuse_used(&[("role", input.role.is_some())])
}

/// What a DAEMON service cannot have; the launch type that it means, which the cluster's strategy is not asked for.
pub(crate) fn daemon(input: &ecs::CreateServiceRequest) -> Result<Option<ecs::LaunchType>, Fault> {
    let daemon = input.scheduling_strategy == Some(ecs::SchedulingStrategy::Daemon);
    daemon_count(daemon, input.desired_count)?;
    daemon_strategy(daemon, input.capacity_provider_strategy.as_deref())?;
    if daemon && input.launch_type == Some(ecs::LaunchType::Fargate) {
        return Err(Fault::invalid_parameter(
            "The daemon scheduling strategy does not support the launch type FARGATE.",
        ));
    }
    Ok(input.launch_type.or(daemon.then_some(ecs::LaunchType::Ec2)))
}

/// A daemon's count is the number of its instances.
pub(crate) fn daemon_count(daemon: bool, count: Option<i32>) -> Result<(), Fault> {
    let message = "The daemon scheduling strategy does not support a desired count for services. Remove the desired count \
                   value and try again.";
    if daemon && count.is_some() { Err(Fault::invalid_parameter(message)) } else { Ok(()) }
}

/// A daemon is on every instance, whatever provider has it.
pub(crate) fn daemon_strategy(daemon: bool, items: Option<&[ecs::CapacityProviderStrategyItem]>) -> Result<(), Fault> {
    let message =
        "The daemon scheduling strategy does not support a capacity provider strategy. Remove it and try again.";
    let used = daemon && items.is_some_and(|items| !items.is_empty());
    if used { Err(Fault::invalid_parameter(message)) } else { Ok(()) }
}

/// A daemon's task makes room for its successor first.
pub(crate) fn daemon_maximum(daemon: bool, maximum: u32) -> Result<(), Fault> {
    if daemon && maximum != 100 {
        return Err(unsupported(&format!("maximumPercent {maximum} of a DAEMON service (only 100)")));
    }
    Ok(())
}

/// There is no choice of an instance.
pub(crate) fn daemon_placement(daemon: bool, placement: &Placement) -> Result<(), Fault> {
    let message = "The daemon scheduling strategy does not support placement strategies nor distinctInstance. Remove them \
                   and try again.";
    let used = daemon && (!placement.strategy.is_empty() || placement.is_distinct());
    if used { Err(Fault::invalid_parameter(message)) } else { Ok(()) }
}

/// availabilityZoneRebalancing ENABLED, of what the service is now: it must have a choice of zones, and room for one task
/// more.
pub(crate) fn rebalance(service: &Service) -> Result<(), Fault> {
    let by_zone = service.placement.strategy.first().is_none_or(|first| *first == Strategy::zones());
    let refused = [
        (service.daemon, "the DAEMON scheduling strategy"),
        (service.external, "the EXTERNAL deployment controller"),
        (!by_zone, "a placement strategy that does not begin with spread over attribute:ecs.availability-zone"),
        (service.maximum <= 100, "a maximumPercent of 100"),
    ];
    if let Some((_, what)) = refused.iter().find(|(used, _)| service.rebalance && *used) {
        let message = format!("availabilityZoneRebalancing ENABLED is not supported with {what}.");
        return Err(Fault::invalid_parameter(message));
    }
    if service.rebalance && service.launch_type != LaunchType::Fargate && !service.strategy.is_empty() {
        return Err(unsupported(
            "availabilityZoneRebalancing with a capacity provider strategy of container instances",
        ));
    }
    Ok(())
}

/// Members of UpdateService without an engine.
pub(crate) fn unsupported_of_update(input: &ecs::UpdateServiceRequest) -> Result<(), Fault> {
    common_members!(input)?;
    platform_version(input.platform_version.as_deref())
}

/// minimumHealthyPercent and maximumPercent; `kept` where a request does not say.
pub(crate) fn bounds(asked: Option<&ecs::DeploymentConfiguration>, kept: (u32, u32)) -> Result<(u32, u32), Fault> {
    let Some(asked) = asked else { return Ok(kept) };
    refuse_used(&[
        ("deploymentConfiguration.alarms", asked.alarms.as_ref().is_some_and(|alarms| alarms.enable)),
        ("deploymentConfiguration.canaryConfiguration", asked.canary_configuration.is_some()),
        ("deploymentConfiguration.linearConfiguration", asked.linear_configuration.is_some()),
        ("deploymentConfiguration.bakeTimeInMinutes", asked.bake_time_in_minutes.is_some_and(|minutes| minutes != 0)),
        (
            "deploymentConfiguration.strategy",
            asked.strategy.is_some_and(|strategy| strategy != ecs::DeploymentStrategy::Rolling),
        ),
    ])?;
    let percent = |asked: Option<i32>, kept: u32, most: u32, what: &str| match asked {
        None => Ok(kept),
        Some(asked) => u32::try_from(asked)
            .ok()
            .filter(|percent| *percent <= most)
            .ok_or_else(|| Fault::invalid_parameter(format!("{what} must be between 0 and {most}, got {asked}."))),
    };
    let minimum = percent(asked.minimum_healthy_percent, kept.0, 100, "minimumHealthyPercent")?;
    let maximum = percent(asked.maximum_percent, kept.1, 1000, "maximumPercent")?;
    if maximum < 100 || (minimum == 100 && maximum == 100) {
        let message =
            format!("minimumHealthyPercent {minimum} and maximumPercent {maximum} leave no room for a deployment.");
        return Err(Fault::invalid_parameter(message));
    }
    Ok((minimum, maximum))
}

/// desiredCount.
pub(crate) fn desired(count: i32) -> Result<u32, Fault> {
    let valid = (0..=DESIRED_MAX).contains(&count).then(|| u32::try_from(count).unwrap_or(0));
    valid.ok_or_else(|| {
        Fault::invalid_parameter(format!("desiredCount must be between 0 and {DESIRED_MAX}, got {count}."))
    })
}

/// healthCheckGracePeriodSeconds; `kept` where a request does not say (API reference: up to 2,147,483,647 seconds).
pub(crate) fn grace(asked: Option<i32>, kept: Option<u32>) -> Result<Option<u32>, Fault> {
    let Some(asked) = asked else { return Ok(kept) };
    let seconds = u32::try_from(asked);
    seconds.map(Some).map_err(|_| {
        Fault::invalid_parameter(format!("healthCheckGracePeriodSeconds must not be negative, got {asked}."))
    })
}
