//! Clusters.

use super::{missing, tags};
use crate::authorize::Caller;
use crate::check::{capacity, cluster as check};
use crate::desk::Desk;
use crate::named;
use crate::page::Page;
use model::capacity_provider::StrategyItem;
use model::change::Change;
use model::cluster::{Cluster, Tag, is_valid_name};
use model::service::ServiceStatus;
use wire::{Fault, ecs};

const DEFAULT: &str = "default";
/// Clusters that one DescribeClusters names.
const DESCRIBE_MAX: usize = 100;

/// The cluster that requests mean when they name none exists from the start.
pub(crate) fn ensure_default(desk: &mut Desk) {
    if desk.state.cluster_named(DEFAULT).is_none() {
        put(desk, DEFAULT, Made::default());
    }
}

/// What a cluster is made with.
#[derive(Default)]
struct Made {
    tags: Vec<Tag>,
    providers: Vec<Box<str>>,
    strategy: Vec<StrategyItem>,
    execute_command: Option<Box<str>>,
}

fn put(desk: &mut Desk, name: &str, made: Made) {
    let old = desk.state.cluster_named(name);
    let (id, version) = old.map_or((desk.state.next_cluster(), 1), |old| (old.id, old.version + 1));
    let Made { tags, providers, strategy, execute_command } = made;
    let cluster = Cluster {
        id,
        name: name.into(),
        active: true,
        created_at: desk.now,
        tags,
        providers,
        strategy,
        execute_command,
        version,
    };
    desk.commit(Change::ClusterCreated(cluster));
}

/// CreateCluster. The same name again answers the cluster that is there (observed of AWS; the API reference calls the
/// operation idempotent by name). A deleted name becomes ACTIVE again.
pub(crate) fn create(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::CreateClusterRequest,
) -> Result<ecs::CreateClusterResponse, Fault> {
    let name = input.cluster_name.filter(|name| !name.is_empty()).unwrap_or_else(|| DEFAULT.to_owned());
    if !is_valid_name(&name) {
        let message = "Invalid cluster name: 1 to 255 letters, digits, hyphens and underscores are allowed.";
        return Err(Fault::invalid_parameter(message));
    }
    check::settings(input.settings.as_deref().unwrap_or_default())?;
    check::no_service_connect(input.service_connect_defaults.as_ref())?;
    let execute_command = check::configuration(input.configuration)?;
    let tags = tags(input.tags)?;
    let providers = capacity::providers(&desk.state, &input.capacity_providers.unwrap_or_default())?;
    let strategy = input.default_capacity_provider_strategy.unwrap_or_default();
    let strategy = capacity::strategy(&desk.state, &providers, &strategy)?;
    if !desk.state.cluster_named(&name).is_some_and(|cluster| cluster.active) {
        put(desk, &name, Made { tags, providers, strategy, execute_command });
    }
    let all = [ecs::ClusterField::Tags, ecs::ClusterField::Settings, ecs::ClusterField::Configurations];
    let cluster = named::cluster(&desk.state, Some(&name))?;
    Ok(ecs::CreateClusterResponse { cluster: Some(desk.state.project_cluster(cluster, &all)) })
}

/// UpdateCluster: what is not named stays as it is.
pub(crate) fn update(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::UpdateClusterRequest,
) -> Result<ecs::UpdateClusterResponse, Fault> {
    let mut cluster = named::cluster(&desk.state, Some(&input.cluster))?.clone();
    check::settings(input.settings.as_deref().unwrap_or_default())?;
    check::no_service_connect(input.service_connect_defaults.as_ref())?;
    if let Some(configuration) = input.configuration {
        cluster.execute_command = check::configuration(Some(configuration))?;
        cluster.version += 1;
        desk.commit(Change::ClusterUpdated(cluster.clone()));
    }
    let shown = [ecs::ClusterField::Settings, ecs::ClusterField::Configurations];
    Ok(ecs::UpdateClusterResponse { cluster: Some(desk.state.project_cluster(&cluster, &shown)) })
}

/// UpdateClusterSettings.
pub(crate) fn update_settings(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::UpdateClusterSettingsRequest,
) -> Result<ecs::UpdateClusterSettingsResponse, Fault> {
    let cluster = named::cluster(&desk.state, Some(&input.cluster))?;
    if input.settings.is_empty() {
        return Err(Fault::invalid_parameter("Settings cannot be empty."));
    }
    check::settings(&input.settings)?;
    let shown = [ecs::ClusterField::Settings];
    Ok(ecs::UpdateClusterSettingsResponse { cluster: Some(desk.state.project_cluster(cluster, &shown)) })
}

/// DescribeClusters.
pub(crate) fn describe(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DescribeClustersRequest,
) -> Result<ecs::DescribeClustersResponse, Fault> {
    let names = input.clusters.filter(|names| !names.is_empty()).unwrap_or_else(|| vec![DEFAULT.to_owned()]);
    super::check_names(&names, "Clusters", DESCRIBE_MAX)?;
    let include = input.include.unwrap_or_default();
    let (mut clusters, mut failures) = (Vec::new(), Vec::new());
    for name in &names {
        match named::any_cluster(&desk.state, Some(name)) {
            Ok(cluster) => clusters.push(desk.state.project_cluster(cluster, &include)),
            Err(fault) if fault.code == "ClusterNotFoundException" => {
                let arn = if name.starts_with("arn:") { name.clone() } else { desk.state.scope().cluster(name) };
                failures.push(missing(arn));
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(ecs::DescribeClustersResponse { clusters: Some(clusters), failures: Some(failures) })
}

/// ListClusters: ACTIVE ones, in order of name.
pub(crate) fn list(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::ListClustersRequest,
) -> Result<ecs::ListClustersResponse, Fault> {
    let state = &desk.state;
    let key = &state.meta().token_key;
    let page = Page::read(key, "ListClusters".to_owned(), (100, 100), input.max_results, input.next_token.as_deref())?;
    let rest = state.clusters_after(page.after()).filter(|cluster| cluster.active).map(|cluster| &*cluster.name);
    let (names, next_token) = page.take(rest, |name| (*name).to_owned());
    let arns = names.into_iter().map(|name| state.scope().cluster(name)).collect();
    Ok(ecs::ListClustersResponse { cluster_arns: Some(arns), next_token })
}

/// DeleteCluster. Services, tasks that are not STOPPED and registered instances keep a cluster alive.
pub(crate) fn delete(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DeleteClusterRequest,
) -> Result<ecs::DeleteClusterResponse, Fault> {
    let cluster = named::any_cluster(&desk.state, Some(&input.cluster))?.clone();
    let counts = desk.state.cluster_counts(cluster.id);
    if desk.state.registered_from(cluster.id, None).next().is_some() {
        let message = "The Cluster cannot be deleted while Container Instances are active or draining.";
        return Err(ecs::fault::cluster_contains_container_instances(message));
    }
    if desk.state.services_where(cluster.id, None, None, None).any(|known| known.status == ServiceStatus::Active) {
        return Err(ecs::fault::cluster_contains_services("The Cluster cannot be deleted while Services are active."));
    }
    if counts.running + counts.pending > 0 {
        return Err(ecs::fault::cluster_contains_tasks("The Cluster cannot be deleted while Tasks are active."));
    }
    if cluster.active {
        desk.commit(Change::ClusterDeleted(cluster.id));
    }
    let cluster = named::any_cluster(&desk.state, Some(&cluster.name))?;
    Ok(ecs::DeleteClusterResponse { cluster: Some(desk.state.project_cluster(cluster, &[])) })
}
