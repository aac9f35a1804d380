//! Rules for CreateService and UpdateService.

use super::run::{platform_version, unsupported};
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
            ("enableExecuteCommand", $input.enable_execute_command == Some(true)),
            (
                "deploymentController",
                $input.deployment_controller.as_ref().is_some_and(|c| c.r#type != ecs::DeploymentControllerType::Ecs),
            ),
            (
                "availabilityZoneRebalancing",
                $input.availability_zone_rebalancing == Some(ecs::AvailabilityZoneRebalancing::Enabled),
            ),
        ])
    };
}

/// Members of CreateService without an engine.
pub(crate) fn unsupported_of_create(input: &ecs::CreateServiceRequest) -> Result<(), Fault> {
    common_members!(input)?;
    platform_version(input.platform_version.as_deref())?;
    refuse_used(&[("role", input.role.is_some())])?;
    refuse_used(&[("schedulingStrategy DAEMON", input.scheduling_strategy == Some(ecs::SchedulingStrategy::Daemon))])
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
