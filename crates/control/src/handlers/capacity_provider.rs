//! Capacity providers, and which of them a cluster has.
//!
//! A host here is in no Auto Scaling group. It belongs to a provider when it says so: it registers with the attribute
//! `gantry.capacity-provider=<name>` (`gantry node --capacity-provider`). Tasks of such a provider that find no room wait
//! for it, PROVISIONING, until a host comes or something ends.

use super::{missing, tags};
use crate::authorize::Caller;
use crate::check::capacity as check;
use crate::desk::Desk;
use crate::named;
use crate::page::Page;
use model::capacity_provider::{CapacityProvider, Done, FARGATE, FARGATE_SPOT, Scaling, is_fargate};
use model::change::Change;
use model::service::ServiceStatus;
use model::{Cluster, State};
use wire::{Fault, ecs};

/// Capacity providers that one DescribeCapacityProviders names, and a page of it.
const DESCRIBE_MAX: usize = 100;
const PAGE: usize = 10;

/// CreateCapacityProvider. The same request again answers the provider that is there.
pub(crate) fn create(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::CreateCapacityProviderRequest,
) -> Result<ecs::CreateCapacityProviderResponse, Fault> {
    unsupported_instances(input.managed_instances_provider.is_some())?;
    check::new_name(&input.name)?;
    no_cluster(&desk.state, input.cluster.as_deref())?;
    let asked = input.auto_scaling_group_provider;
    let asked = asked.ok_or_else(|| ecs::fault::client("An autoScalingGroupProvider must be specified."))?;
    check::group(&desk.state, &asked.auto_scaling_group_arn)?;
    let protection = asked.managed_termination_protection;
    let provider = CapacityProvider {
        name: input.name.into(),
        active: true,
        done: Done::Created,
        group: asked.auto_scaling_group_arn.into(),
        scaling: check::scaling(Scaling::default(), asked.managed_scaling.as_ref(), protection)?,
        draining: asked.managed_draining != Some(ecs::ManagedDraining::Disabled),
        tags: tags(input.tags)?,
        created_at: desk.now,
        version: 1,
    };
    let name = provider.name.clone();
    let mut others = desk.state.capacity_providers.values().filter(|other| other.active && other.name != name);
    if others.any(|other| other.group == provider.group) {
        return Err(ecs::fault::client(
            "The specified Auto Scaling group ARN is already being used by another capacity provider. Specify a unique \
             Auto Scaling group ARN and try again.",
        ));
    }
    match check::active(&desk.state, &name) {
        None => desk.commit(Change::CapacityProviderPut(Box::new(provider))),
        Some(known) => {
            let CapacityProvider { created_at, version, done, .. } = *known;
            if *known != (CapacityProvider { created_at, version, done, ..provider }) {
                return Err(ecs::fault::client(
                    "The specified capacity provider already exists. To change the configuration of an existing \
                     capacity provider, update the capacity provider.",
                ));
            }
        }
    }
    Ok(ecs::CreateCapacityProviderResponse { capacity_provider: Some(shown(&desk.state, &name)) })
}

fn unsupported_instances(used: bool) -> Result<(), Fault> {
    let message = "not supported yet: managedInstancesProvider. Add hosts by hand and use autoScalingGroupProvider.";
    if used { Err(ecs::fault::unsupported_feature(message)) } else { Ok(()) }
}

/// The member `cluster`: what is not of managed instances is in no cluster.
fn no_cluster(state: &State, asked: Option<&str>) -> Result<(), Fault> {
    let Some(asked) = asked else { return Ok(()) };
    named::cluster(state, Some(asked))?;
    let message = "cluster is for capacity providers of managed instances. Remove it and try again.";
    Err(Fault::invalid_parameter(message))
}

fn shown(state: &State, name: &str) -> ecs::CapacityProvider {
    state.project_capacity_provider(&state.capacity_providers[name], true)
}

/// The one of that name that can be altered.
fn alterable<'a>(state: &'a State, text: &str, verb: &str) -> Result<&'a CapacityProvider, Fault> {
    let name = check::provider_name(state, text)?;
    if is_fargate(name) {
        let message = format!("The specified capacity provider is reserved and cannot be {verb}.");
        return Err(ecs::fault::client(message));
    }
    check::active(state, name).ok_or_else(|| {
        ecs::fault::client("The specified capacity provider does not exist. Specify a valid name or ARN and try again.")
    })
}

/// UpdateCapacityProvider.
pub(crate) fn update(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::UpdateCapacityProviderRequest,
) -> Result<ecs::UpdateCapacityProviderResponse, Fault> {
    unsupported_instances(input.managed_instances_provider.is_some())?;
    no_cluster(&desk.state, input.cluster.as_deref())?;
    let mut provider = alterable(&desk.state, &input.name, "updated")?.clone();
    let asked = input.auto_scaling_group_provider;
    let asked = asked.ok_or_else(|| ecs::fault::client("An autoScalingGroupProvider must be specified."))?;
    let protection = asked.managed_termination_protection;
    provider.scaling = check::scaling(provider.scaling, asked.managed_scaling.as_ref(), protection)?;
    if let Some(draining) = asked.managed_draining {
        provider.draining = draining == ecs::ManagedDraining::Enabled;
    }
    provider.done = Done::Updated;
    provider.version += 1;
    let name = provider.name.clone();
    desk.commit(Change::CapacityProviderPut(Box::new(provider)));
    Ok(ecs::UpdateCapacityProviderResponse { capacity_provider: Some(shown(&desk.state, &name)) })
}

/// DeleteCapacityProvider: one that a cluster has must be taken from it first. A deleted one is shown as INACTIVE.
pub(crate) fn delete(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DeleteCapacityProviderRequest,
) -> Result<ecs::DeleteCapacityProviderResponse, Fault> {
    no_cluster(&desk.state, input.cluster.as_deref())?;
    let mut provider = alterable(&desk.state, &input.capacity_provider, "deleted")?.clone();
    let has_it = |cluster: &&Cluster| cluster.active && cluster.providers.contains(&provider.name);
    if let Some(cluster) = desk.state.clusters.values().find(has_it) {
        return Err(ecs::fault::client(format!(
            "The capacity provider cannot be deleted because it is associated with cluster: {}. Remove the capacity \
             provider from the cluster and try again.",
            cluster.name
        )));
    }
    (provider.active, provider.done) = (false, Done::Deleted);
    provider.version += 1;
    let name = provider.name.clone();
    desk.commit(Change::CapacityProviderPut(Box::new(provider)));
    Ok(ecs::DeleteCapacityProviderResponse { capacity_provider: Some(shown(&desk.state, &name)) })
}

/// DescribeCapacityProviders: those that are named, or all that are ACTIVE, by name.
pub(crate) fn describe(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DescribeCapacityProvidersRequest,
) -> Result<ecs::DescribeCapacityProvidersResponse, Fault> {
    let state = &desk.state;
    let named = input.capacity_providers.unwrap_or_default();
    if named.len() > DESCRIBE_MAX {
        return Err(Fault::invalid_parameter(format!("capacityProviders can have at most {DESCRIBE_MAX} items.")));
    }
    let cluster = input.cluster.as_deref().map(|name| named::cluster(state, Some(name))).transpose()?;
    let with_tags = input.include.unwrap_or_default().contains(&ecs::CapacityProviderField::Tags);
    let project = |name: &str| match is_fargate(name) {
        true => Some(state.project_fargate_provider(name)),
        false => state.capacity_providers.get(name).map(|known| state.project_capacity_provider(known, with_tags)),
    };
    let mut failures = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for text in &named {
        let name = check::provider_name(state, text)?;
        match project(name) {
            Some(_) if names.iter().any(|known| known == name) => {}
            Some(_) => names.push(name.to_owned()),
            None => failures.push(missing(state.scope().capacity_provider(name))),
        }
    }
    if named.is_empty() {
        let made = state.capacity_providers.values().filter(|provider| provider.active).map(|p| p.name.to_string());
        names.extend([FARGATE.to_owned(), FARGATE_SPOT.to_owned()].into_iter().chain(made));
    }
    names.retain(|name| cluster.is_none_or(|cluster| cluster.providers.iter().any(|known| **known == **name)));
    names.sort_unstable();
    let scope = format!("DescribeCapacityProviders|{:?}|{named:?}", cluster.map(|cluster| &cluster.name));
    let key = &state.meta().token_key;
    let page = Page::read(key, scope, (PAGE, PAGE), input.max_results, input.next_token.as_deref())?;
    let rest = names.into_iter().filter(|name| page.after().is_none_or(|after| name.as_str() > after));
    let (names, next_token) = page.take(rest, String::clone);
    let capacity_providers = Some(names.iter().filter_map(|name| project(name)).collect());
    Ok(ecs::DescribeCapacityProvidersResponse { capacity_providers, failures: Some(failures), next_token })
}

/// PutClusterCapacityProviders: the whole list and the whole default strategy. One that tasks or services use stays.
pub(crate) fn put_cluster(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::PutClusterCapacityProvidersRequest,
) -> Result<ecs::PutClusterCapacityProvidersResponse, Fault> {
    let mut cluster = named::cluster(&desk.state, Some(&input.cluster))?.clone();
    let providers = check::providers(&desk.state, &input.capacity_providers)?;
    let strategy = check::strategy(&desk.state, &providers, &input.default_capacity_provider_strategy)?;
    let gone = cluster.providers.iter().filter(|name| !providers.contains(name));
    if let Some((name, user)) = gone.into_iter().find_map(|name| Some((name, user(&desk.state, &cluster, name)?))) {
        let message = format!("The specified capacity provider '{name}' is in use by {user} and cannot be removed.");
        return Err(ecs::fault::resource_in_use(message));
    }
    let all = [ecs::ClusterField::Tags, ecs::ClusterField::Settings];
    if (&cluster.providers, &cluster.strategy) != (&providers, &strategy) {
        (cluster.providers, cluster.strategy) = (providers, strategy);
        cluster.version += 1;
        desk.commit(Change::ClusterUpdated(cluster.clone()));
    }
    Ok(ecs::PutClusterCapacityProvidersResponse { cluster: Some(desk.state.project_cluster(&cluster, &all)) })
}

/// What uses a capacity provider in a cluster.
fn user(state: &State, cluster: &Cluster, provider: &str) -> Option<String> {
    let uses = |service: &&model::Service| {
        service.status == ServiceStatus::Active && service.strategy.iter().any(|item| *item.provider == *provider)
    };
    if let Some(service) = state.cluster_services(cluster.id).find(uses) {
        return Some(format!("the service {}", service.name));
    }
    let tasks = state.provider_count(cluster.id, provider);
    (tasks > 0).then(|| format!("{tasks} task{}", if tasks == 1 { "" } else { "s" }))
}
