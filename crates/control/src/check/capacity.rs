//! Rules for capacity providers and strategies. The words are those that AWS answers with.

use super::run::unsupported;
use crate::handlers::task::launch_type as read_launch_type;
use crate::named;
use model::capacity_provider::{
    CapacityProvider, PROVIDERS_MAX, Scaling, StrategyItem, is_fargate, is_valid_name, launch_type,
};
use model::task::LaunchType;
use model::{Cluster, State};
use wire::{Fault, ecs};

/// The name that a request means, by name or ARN.
pub(crate) fn provider_name<'a>(state: &State, text: &'a str) -> Result<&'a str, Fault> {
    let named = named::resource(state, text, "capacity provider")?;
    named.of_kind("capacity-provider").ok_or_else(|| {
        Fault::invalid_parameter(format!("Invalid identifier: {text:?} is no capacity provider's name or ARN."))
    })
}

/// The ACTIVE capacity provider of that name; one that exists from the start has no settings to give.
pub(crate) fn active<'a>(state: &'a State, name: &str) -> Option<&'a CapacityProvider> {
    state.capacity_providers.get(name).filter(|provider| provider.active)
}

/// The capacity providers that a cluster is to have.
pub(crate) fn providers(state: &State, texts: &[String]) -> Result<Vec<Box<str>>, Fault> {
    if texts.len() > PROVIDERS_MAX {
        let message = format!("A cluster can have at most {PROVIDERS_MAX} capacity providers.");
        return Err(Fault::invalid_parameter(message));
    }
    let mut names: Vec<Box<str>> = Vec::with_capacity(texts.len());
    for text in texts {
        let name = provider_name(state, text)?;
        if !is_fargate(name) && active(state, name).is_none() {
            let message = format!(
                "The specified capacity provider '{name}' was not found. Specify a valid name or ARN and try again."
            );
            return Err(Fault::invalid_parameter(message));
        }
        if names.iter().any(|known| **known == *name) {
            return Err(Fault::invalid_parameter(format!("The capacity provider '{name}' is named twice.")));
        }
        names.push(name.into());
    }
    Ok(names)
}

/// A strategy over providers that the cluster has.
pub(crate) fn strategy(
    state: &State,
    providers: &[Box<str>],
    items: &[ecs::CapacityProviderStrategyItem],
) -> Result<Vec<StrategyItem>, Fault> {
    let refused = |message: &str| Err(Fault::invalid_parameter(message));
    if items.len() > PROVIDERS_MAX {
        return refused("A capacity provider strategy can contain a maximum of 20 capacity providers.");
    }
    let mut read: Vec<StrategyItem> = Vec::with_capacity(items.len());
    for item in items {
        let name = provider_name(state, &item.capacity_provider)?;
        if !providers.iter().any(|known| **known == *name) {
            return refused(
                "The specified capacity provider strategy cannot contain a capacity provider that is not associated \
                 with the cluster. Associate the capacity provider with the cluster and try again.",
            );
        }
        if read.iter().any(|known| *known.provider == *name) {
            return refused("A capacity provider strategy cannot contain the same capacity provider twice.");
        }
        let number = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
        read.push(StrategyItem { provider: name.into(), weight: number(item.weight), base: number(item.base) });
    }
    if read.iter().any(|item| is_fargate(&item.provider)) && !read.iter().all(|item| is_fargate(&item.provider)) {
        return refused(
            "A capacity provider strategy cannot contain a mix of capacity providers using Auto Scaling groups and \
             Fargate providers. Specify one or the other and try again.",
        );
    }
    if read.iter().filter(|item| item.base > 0).count() > 1 {
        return refused("Only one capacity provider in a capacity provider strategy can have a base defined.");
    }
    if !read.is_empty() && read.iter().all(|item| item.weight == 0) {
        return refused(
            "A capacity provider strategy must contain a capacity provider with a weight greater than 0. Specify a \
             weight and try again.",
        );
    }
    Ok(read)
}

/// Where tasks of a request get their room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    pub launch_type: LaunchType,
    /// None: the launch type was asked for, or nothing was.
    pub strategy: Vec<StrategyItem>,
}

/// A launch type, a strategy, or neither: then the cluster's own strategy, or EC2.
pub(crate) fn reach(
    state: &State,
    cluster: &Cluster,
    asked: Option<ecs::LaunchType>,
    items: Option<&[ecs::CapacityProviderStrategyItem]>,
) -> Result<Reach, Fault> {
    let items = items.unwrap_or_default();
    let strategy = match (asked, items.is_empty()) {
        (Some(_), false) => {
            return Err(Fault::invalid_parameter(
                "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try \
                 again.",
            ));
        }
        (Some(_), true) => Vec::new(),
        (None, false) => strategy(state, &cluster.providers, items)?,
        (None, true) => cluster.strategy.clone(),
    };
    let launch_type = match strategy.first() {
        Some(item) => Some(launch_type(&item.provider)),
        None => read_launch_type(asked.unwrap_or(ecs::LaunchType::Ec2)),
    };
    let launch_type = launch_type.ok_or_else(|| unsupported("launchType (MANAGED_INSTANCES)"))?;
    Ok(Reach { launch_type, strategy })
}

/// The name of a new capacity provider.
pub(crate) fn new_name(name: &str) -> Result<(), Fault> {
    if is_valid_name(name) {
        return Ok(());
    }
    Err(ecs::fault::client(
        "The capacity provider name is invalid. Up to 255 characters are allowed, including letters (upper and \
         lowercase), numbers, underscores (_), and hyphens (-). The name cannot be prefixed with \"aws\", \"ecs\", or \
         \"fargate\". Specify a valid name and try again.",
    ))
}

/// An Auto Scaling group, by name or ARN. There is none here to look for: the form is checked, and the place.
pub(crate) fn group(state: &State, text: &str) -> Result<(), Fault> {
    let valid =
        |name: &str| (1..=255).contains(&name.len()) && !name.contains(':') && !name.chars().any(char::is_control);
    let meta = state.meta();
    let good = match model::arn::Arn::parse(text) {
        None => !text.starts_with("arn:") && valid(text),
        Some(arn) => {
            let name = arn.resource.strip_prefix("autoScalingGroup:").and_then(|rest| rest.split_once(':'));
            let name = name.and_then(|(_, name)| name.strip_prefix("autoScalingGroupName/"));
            let here = arn.service == "autoscaling" && arn.region == &*meta.region && arn.account == &*meta.account;
            here && name.is_some_and(valid)
        }
    };
    let message = "The specified Auto Scaling group ARN is not valid. Specify the name of a group, or its ARN in this \
                   region and account, and try again.";
    if good { Ok(()) } else { Err(ecs::fault::client(message)) }
}

/// Settings that an engine would need to scale and keep hosts: there is none, so that only DISABLED is true.
pub(crate) fn scaling(
    kept: Scaling,
    asked: Option<&ecs::ManagedScaling>,
    protection: Option<ecs::ManagedTerminationProtection>,
) -> Result<Scaling, Fault> {
    let unsupported = |member: &str| {
        let message = format!("not supported yet: autoScalingGroupProvider.{member}. Hosts are added by hand.");
        Err(ecs::fault::unsupported_feature(message))
    };
    if asked.is_some_and(|asked| asked.status == Some(ecs::ManagedScalingStatus::Enabled)) {
        return unsupported("managedScaling.status ENABLED");
    }
    if protection == Some(ecs::ManagedTerminationProtection::Enabled) {
        return unsupported("managedTerminationProtection ENABLED");
    }
    let Some(asked) = asked else { return Ok(kept) };
    let number = |asked: Option<i32>, kept: u32| asked.and_then(|number| u32::try_from(number).ok()).unwrap_or(kept);
    let scaling = Scaling {
        target_capacity: number(asked.target_capacity, kept.target_capacity),
        minimum_step: number(asked.minimum_scaling_step_size, kept.minimum_step),
        maximum_step: number(asked.maximum_scaling_step_size, kept.maximum_step),
        warmup: number(asked.instance_warmup_period, kept.warmup),
    };
    if scaling.minimum_step > scaling.maximum_step {
        let message = "minimumScalingStepSize must not be greater than maximumScalingStepSize.";
        return Err(Fault::invalid_parameter(message));
    }
    Ok(scaling)
}
