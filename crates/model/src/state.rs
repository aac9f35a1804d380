//! Everything there is to know of one deployment, and `apply`, the one function that alters it.
//!
//! Indexes are derived and never stored. Every `apply` tells which rows it touched; loading those rows again gives the
//! same state.

use crate::Millis;
use crate::account_setting::AccountSetting;
use crate::arn::Scope;
use crate::capacity_provider::CapacityProvider;
use crate::change::{Change, ClientToken};
use crate::cluster::Cluster;
use crate::daemon_definition::DaemonDefinition;
use crate::group::Group;
use crate::iam::{Iam, IamRow};
use crate::id_map::IdMap;
use crate::id_set::IdSets;
use crate::ids::{ClusterId, EniId, FamilyId, InstanceId, LogGroupId, RevisionId, ServiceId, TaskId, Uuid};
use crate::instance::{Instance, InstanceStatus};
use crate::log::LogGroup;
use crate::parameter::{ParameterRow, Parameters};
use crate::port::HostPort;
use crate::room::Rooms;
use crate::secret::{SecretRow, Secrets};
use crate::service::{Event, Service};
use crate::service_deployment::ServiceDeployment;
use crate::service_revision::ServiceRevision;
use crate::task::{LaunchType, Task};
use crate::task_definition::{Family, TaskDefinition};
use crate::vpc::Vpc;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::ops::Bound::{Excluded, Unbounded};

mod addresses;
mod counts;
mod definitions;
mod families;
mod keys;
mod lists;
mod services;
mod settings;
mod shelves;
mod tag_index;

pub use counts::Counts;
pub use families::FamilyKind;
use keys::{GpuHolders, Keys, Shelf};
pub use lists::TaskFilter;
use shelves::ServiceShelf;
use tag_index::TagIndex;

/// How long a stopped task is shown (AWS: about an hour).
pub const STOPPED_SHOWN_MS: Millis = 3_600_000;
/// How long a client token is remembered.
pub const CLIENT_TOKEN_MS: Millis = 24 * 3_600_000;

/// What is fixed at first start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// `us-east-1`.
    pub region: Box<str>,
    /// Twelve digits.
    pub account: Box<str>,
    /// The default VPC.
    pub vpc: Vpc,
    /// Authenticates page tokens.
    pub token_key: [u8; 32],
}

/// A deployment's state.
#[derive(Clone, Debug)]
pub struct State {
    meta: Meta,
    /// All clusters, deleted ones too.
    pub clusters: BTreeMap<ClusterId, Cluster>,
    /// What principals have chosen, by principal and name.
    pub account_settings: BTreeMap<(Box<str>, Box<str>), AccountSetting>,
    /// All definitions of managed daemons, deleted ones too, by family and revision.
    pub daemon_definitions: BTreeMap<(Box<str>, u32), DaemonDefinition>,
    /// All capacity providers that somebody made, deleted ones too.
    pub capacity_providers: BTreeMap<Box<str>, CapacityProvider>,
    /// All families.
    pub families: BTreeMap<FamilyId, Family>,
    /// All revisions.
    pub definitions: BTreeMap<RevisionId, TaskDefinition>,
    /// All container instances, deregistered ones too.
    pub instances: IdMap<InstanceId, Instance>,
    /// All services that are shown.
    pub services: BTreeMap<ServiceId, Service>,
    /// What has happened to them, the newest of each.
    pub service_events: BTreeMap<(ServiceId, u64), Event>,
    /// What their tasks are or were made from.
    pub service_revisions: BTreeMap<(ServiceId, u64), ServiceRevision>,
    /// Their deployments, the newest of each.
    pub service_deployments: BTreeMap<(ServiceId, u32), ServiceDeployment>,
    /// All tasks that are shown.
    pub tasks: IdMap<TaskId, Task>,
    /// All log groups.
    pub log_groups: BTreeMap<LogGroupId, LogGroup>,
    /// Roles, policies and instance profiles.
    pub iam: Iam,
    /// All parameters.
    pub parameters: Parameters,
    /// All secrets.
    pub secrets: Secrets,
    client_tokens: BTreeMap<(ClusterId, Box<str>), ClientToken>,
    pub(crate) index: Index,
}

/// What is derived from the entities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) cluster_names: BTreeMap<Box<str>, ClusterId>,
    pub(crate) family_names: BTreeMap<Box<str>, FamilyId>,
    revisions: BTreeSet<(FamilyKind, RevisionId)>,
    families: BTreeMap<FamilyKind, BTreeSet<Box<str>>>,
    cluster_tasks: IdSets<(ClusterId, LaunchType, Shelf)>,
    family_tasks: IdSets<(ClusterId, FamilyId, Shelf)>,
    /// By a number for `startedBy`.
    starter_tasks: IdSets<(ClusterId, u64, Shelf)>,
    instance_tasks: IdSets<(InstanceId, Shelf)>,
    /// How many that are not STOPPED were asked of a capacity provider.
    provider_tasks: BTreeMap<(ClusterId, Box<str>), u32>,
    /// How many tasks and service revisions were made from each revision.
    pub(crate) definition_uses: BTreeMap<RevisionId, u32>,
    pub(crate) deletions: BTreeSet<(Millis, RevisionId)>,
    pub(crate) cluster_instances: BTreeSet<(ClusterId, InstanceId)>,
    listed_instances: BTreeSet<(ClusterId, InstanceStatus, InstanceId)>,
    listed_services: BTreeMap<(ClusterId, ServiceShelf), BTreeSet<Box<str>>>,
    pub(crate) service_names: BTreeMap<(ClusterId, Box<str>), ServiceId>,
    pub(crate) daemons: BTreeSet<(ClusterId, ServiceId)>,
    pub(crate) balanced: BTreeSet<(ClusterId, ServiceId)>,
    service_tasks: IdSets<(ServiceId, Shelf)>,
    pub(crate) inactive_services: BTreeSet<(Millis, ServiceId)>,
    cluster_counts: BTreeMap<(ClusterId, LaunchType), Counts>,
    pub(crate) instance_counts: BTreeMap<InstanceId, Counts>,
    pub(crate) instance_ports: BTreeSet<(InstanceId, HostPort, TaskId)>,
    pub(crate) instance_gpus: GpuHolders,
    pub(crate) group_instances: BTreeMap<(ClusterId, Group, InstanceId), u32>,
    pub(crate) group_subnets: BTreeMap<(ClusterId, Group, u8), u32>,
    pub(crate) log_group_names: BTreeMap<Box<str>, LogGroupId>,
    pub(crate) enis: BTreeMap<EniId, TaskId>,
    pub(crate) attachments: BTreeMap<Uuid, TaskId>,
    pub(crate) addresses: BTreeSet<Ipv4Addr>,
    pub(crate) subnet_enis: BTreeMap<u8, u32>,
    pub(crate) rooms: Rooms,
    pub(crate) waiting: BTreeSet<(ClusterId, Millis, TaskId)>,
    pub(crate) waiting_needs: BTreeSet<(ClusterId, Box<str>, Millis, TaskId)>,
    pub(crate) expiries: BTreeSet<(Millis, TaskId)>,
    pub(crate) token_ages: BTreeSet<(Millis, ClusterId, Box<str>)>,
    tags: TagIndex,
}

/// A row that a change touched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Touched {
    /// The deployment's meta.
    Meta,
    /// A cluster.
    Cluster(ClusterId),
    /// An account setting: its principal and name.
    AccountSetting(Box<str>, Box<str>),
    /// A definition of managed daemons: its family and revision.
    DaemonDefinition(Box<str>, u32),
    /// A capacity provider.
    CapacityProvider(Box<str>),
    /// A family.
    Family(FamilyId),
    /// A revision.
    Definition(RevisionId),
    /// An instance.
    Instance(InstanceId),
    /// A service.
    Service(ServiceId),
    /// An event of a service.
    ServiceEvent(ServiceId, u64),
    /// A service revision.
    ServiceRevision(ServiceId, u64),
    /// A service deployment.
    ServiceDeployment(ServiceId, u32),
    /// A task.
    Task(TaskId),
    /// A log group.
    LogGroup(LogGroupId),
    /// A role, a policy or an instance profile.
    Iam(IamRow),
    /// A parameter, or a version of one.
    Parameter(ParameterRow),
    /// A secret, or a version of one.
    Secret(SecretRow),
    /// A client token.
    ClientToken(ClusterId, Box<str>),
}

impl State {
    /// The state of a deployment that has nothing yet.
    pub fn new(meta: Meta) -> Self {
        Self {
            meta,
            clusters: BTreeMap::new(),
            account_settings: BTreeMap::new(),
            daemon_definitions: BTreeMap::new(),
            capacity_providers: BTreeMap::new(),
            families: BTreeMap::new(),
            definitions: BTreeMap::new(),
            instances: IdMap::default(),
            services: BTreeMap::new(),
            service_events: BTreeMap::new(),
            service_revisions: BTreeMap::new(),
            service_deployments: BTreeMap::new(),
            tasks: IdMap::default(),
            log_groups: BTreeMap::new(),
            iam: Iam::default(),
            parameters: Parameters::default(),
            secrets: Secrets::default(),
            client_tokens: BTreeMap::new(),
            index: Index::default(),
        }
    }

    /// Puts `change` into effect and tells which rows it touched.
    pub fn apply(&mut self, change: &Change) -> Vec<Touched> {
        let touched = self.alter(change);
        touched.iter().for_each(|row| self.retag(row));
        touched
    }

    fn alter(&mut self, change: &Change) -> Vec<Touched> {
        match change {
            Change::Opened(meta) => {
                self.meta = (**meta).clone();
                vec![Touched::Meta]
            }
            Change::ClusterCreated(cluster) | Change::ClusterUpdated(cluster) => self.put_cluster(cluster.clone()),
            Change::ClusterDeleted(id) => self.alter_cluster(*id, |cluster| cluster.active = false),
            Change::CapacityProviderPut(provider) => self.put_capacity_provider((**provider).clone()),
            Change::TaskDefinitionRegistered { family, definition } => self.register(family, definition),
            Change::TaskDefinitionDeregistered { id, at } => self.deregister(*id, *at),
            Change::TaskDefinitionDeleteRequested { id, at } => self.delete_definition(*id, *at),
            Change::TaskDefinitionForgotten(id) => self.forget_definition(*id),
            Change::DaemonDefinitionPut(definition) => self.put_daemon_definition((**definition).clone()),
            Change::AccountSettingPut(setting) => self.put_account_setting((**setting).clone()),
            Change::AccountSettingDeleted { principal, name } => self.remove_account_setting(principal, name),
            Change::InstanceRegistered(instance) => self.put_instance((**instance).clone()),
            Change::InstanceConnection { id, connected, at, versions } => self.alter_instance(*id, |instance| {
                instance.connected = *connected;
                instance.connection_at = *at;
                if let Some([version, hash, docker]) = versions.as_deref() {
                    instance.agent_version = version.clone();
                    instance.agent_hash = hash.clone();
                    instance.docker_version = docker.clone();
                }
            }),
            Change::InstanceDeregistered(id) => self.alter_instance(*id, |instance| {
                instance.status = InstanceStatus::Inactive;
                instance.connected = false;
            }),
            Change::InstanceAttributes { id, attributes } => {
                self.alter_instance(*id, |instance| instance.attributes.clone_from(attributes))
            }
            Change::InstanceStatus { id, status } => self.alter_instance(*id, |instance| instance.status = *status),
            Change::ServiceCreated(service) | Change::ServiceUpdated(service) => self.put_service((**service).clone()),
            Change::ServiceSaid(event) => self.say(event),
            Change::ServiceRevisionCreated(revision) => self.add_service_revision(revision),
            Change::ServiceRevisionResolved { service, number, images } => {
                self.resolve_service_revision(*service, *number, images)
            }
            Change::ServiceDeploymentCreated(deployment) => self.begin_service_deployment(deployment),
            Change::ServiceDeploymentUpdated(deployment) => self.put_service_deployment((**deployment).clone()),
            Change::ServiceForgotten(id) => self.forget_service(*id),
            Change::TaskAccepted(task) => self.put_task((**task).clone()),
            Change::TaskPlaced { id, at, instance, eni, gpus } => {
                self.alter_task(*id, |task| task.take_place(*at, *instance, eni.as_deref().cloned(), gpus.clone()))
            }
            Change::TaskWaits { id, at, code, detail } => self.alter_task(*id, |task| {
                if let Some(waiting) = &mut task.waiting {
                    waiting.note(*at, code, detail);
                }
            }),
            Change::TaskProtected { id, until } => self.alter_task(*id, |task| task.protected_until = *until),
            Change::TagsPut { on, tags } => self.put_tags(on, tags),
            Change::TaskStopWanted { id, at, stop } => {
                self.alter_task(*id, |task| task.want_stopped(*at, stop.clone()))
            }
            Change::TaskReported { id, at, report } => self.alter_task(*id, |task| task.take_report(*at, report)),
            Change::TaskHealthReported { id, health } => self.alter_task(*id, |task| {
                health.iter().for_each(|(container, health)| task.take_health(container, *health));
            }),
            Change::TaskHostLost { id, at, reason } => self.alter_task(*id, |task| task.lose_host(*at, reason)),
            Change::TaskForgotten(id) => self.forget_task(*id),
            Change::LogGroupCreated(group) => self.put_log_group((**group).clone()),
            Change::LogGroupRetention { id, days } => self.keep_log_group(*id, *days),
            Change::LogGroupDeleted(id) => self.remove_log_group(*id),
            Change::Iam(change) => vec![Touched::Iam(self.iam.apply(change))],
            Change::Parameter(change) => self.parameters.apply(change).into_iter().map(Touched::Parameter).collect(),
            Change::Secret(change) => self.secrets.apply(change).into_iter().map(Touched::Secret).collect(),
            Change::ClientTokenUsed(token) => self.put_client_token((**token).clone()),
            Change::ClientTokenLapsed { cluster, token } => self.forget_client_token(*cluster, token),
        }
    }

    pub(crate) fn put_cluster(&mut self, cluster: Cluster) -> Vec<Touched> {
        let id = cluster.id;
        self.index.cluster_names.insert(cluster.name.clone(), id);
        self.clusters.insert(id, cluster);
        vec![Touched::Cluster(id)]
    }

    pub(crate) fn put_capacity_provider(&mut self, provider: CapacityProvider) -> Vec<Touched> {
        let name = provider.name.clone();
        self.capacity_providers.insert(name.clone(), provider);
        vec![Touched::CapacityProvider(name)]
    }

    fn alter_cluster(&mut self, id: ClusterId, alter: impl FnOnce(&mut Cluster)) -> Vec<Touched> {
        let Some(cluster) = self.clusters.get_mut(&id) else { return Vec::new() };
        alter(cluster);
        cluster.version += 1;
        vec![Touched::Cluster(id)]
    }

    pub(crate) fn put_instance(&mut self, instance: Instance) -> Vec<Touched> {
        let id = instance.id;
        self.index.cluster_instances.insert((instance.cluster, id));
        let old = self.instances.insert(id, instance).map(|old| (old.cluster, old.status));
        self.list_instance(old, id);
        self.list_room(id);
        vec![Touched::Instance(id)]
    }

    fn alter_instance(&mut self, id: InstanceId, alter: impl FnOnce(&mut Instance)) -> Vec<Touched> {
        let Some(instance) = self.instances.get_mut(&id) else { return Vec::new() };
        let old = (instance.cluster, instance.status);
        alter(instance);
        instance.version += 1;
        self.list_instance(Some(old), id);
        self.list_room(id);
        vec![Touched::Instance(id)]
    }

    pub(crate) fn put_task(&mut self, task: Task) -> Vec<Touched> {
        let (id, new) = (task.id, Keys::of(&task));
        let definition = task.definition;
        let old = self.tasks.insert(id, task).map(|old| Keys::of(&old));
        self.shift(id, old.as_ref(), Some(&new));
        if old.is_none() {
            self.use_definition(definition);
        }
        vec![Touched::Task(id)]
    }

    fn alter_task(&mut self, id: TaskId, alter: impl FnOnce(&mut Task)) -> Vec<Touched> {
        let Some(task) = self.tasks.get_mut(&id) else { return Vec::new() };
        let old = Keys::of(task);
        alter(task);
        task.version += 1;
        let new = Keys::of(task);
        self.shift(id, Some(&old), Some(&new));
        vec![Touched::Task(id)]
    }

    fn forget_task(&mut self, id: TaskId) -> Vec<Touched> {
        let Some(task) = self.tasks.remove(&id) else { return Vec::new() };
        self.shift(id, Some(&Keys::of(&task)), None);
        self.release_definition(task.definition);
        vec![Touched::Task(id)]
    }

    pub(crate) fn put_client_token(&mut self, token: ClientToken) -> Vec<Touched> {
        self.index.token_ages.insert((token.at, token.cluster, token.token.clone()));
        let key = (token.cluster, token.token.clone());
        self.client_tokens.insert(key, token.clone());
        vec![Touched::ClientToken(token.cluster, token.token)]
    }

    fn forget_client_token(&mut self, cluster: ClusterId, token: &str) -> Vec<Touched> {
        let Some(old) = self.client_tokens.remove(&(cluster, token.into())) else { return Vec::new() };
        self.index.token_ages.remove(&(old.at, cluster, token.into()));
        vec![Touched::ClientToken(cluster, token.into())]
    }
}

/// Reading.
impl State {
    /// What is fixed.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// What every ARN begins with.
    pub fn scope(&self) -> Scope<'_> {
        Scope { region: &self.meta.region, account: &self.meta.account }
    }

    /// The cluster of that name, deleted or not.
    pub fn cluster_named(&self, name: &str) -> Option<&Cluster> {
        self.clusters.get(self.index.cluster_names.get(name)?)
    }

    /// The clusters by name, after `after`, deleted ones too.
    pub fn clusters_after(&self, after: Option<&str>) -> impl Iterator<Item = &Cluster> {
        let names = self.index.cluster_names.range::<str, _>((after.map_or(Unbounded, Excluded), Unbounded));
        names.filter_map(|(_, id)| self.clusters.get(id))
    }

    /// The number of the next new cluster.
    pub fn next_cluster(&self) -> ClusterId {
        ClusterId(self.clusters.last_key_value().map_or(0, |(id, _)| id.0 + 1))
    }

    /// The number of the next new family.
    pub fn next_family(&self) -> FamilyId {
        FamilyId(self.families.last_key_value().map_or(0, |(id, _)| id.0 + 1))
    }

    /// The instances of a cluster by id, deregistered ones too.
    pub fn cluster_instances(&self, cluster: ClusterId) -> impl Iterator<Item = &Instance> {
        let (first, last) = (InstanceId([0; 16]), InstanceId([0xff; 16]));
        let keys = self.index.cluster_instances.range((cluster, first)..=(cluster, last));
        keys.map(|(_, id)| &self.instances[id])
    }

    /// Sums over a cluster's tasks.
    pub fn cluster_counts(&self, cluster: ClusterId) -> Counts {
        let kinds = [LaunchType::Ec2, LaunchType::Fargate, LaunchType::External];
        kinds.into_iter().map(|kind| self.launch_type_counts(cluster, kind)).sum()
    }

    /// Sums over those of one launch type.
    pub fn launch_type_counts(&self, cluster: ClusterId, kind: LaunchType) -> Counts {
        self.index.cluster_counts.get(&(cluster, kind)).copied().unwrap_or_default()
    }

    /// How many tasks of a cluster that are not STOPPED were asked of a capacity provider.
    pub fn provider_count(&self, cluster: ClusterId, provider: &str) -> u32 {
        self.index.provider_tasks.get(&(cluster, provider.into())).copied().unwrap_or(0)
    }

    /// Sums over an instance's tasks: what is booked there.
    pub fn instance_counts(&self, instance: InstanceId) -> Counts {
        self.index.instance_counts.get(&instance).copied().unwrap_or_default()
    }

    /// The task whose interface that is.
    pub fn eni_task(&self, eni: EniId) -> Option<&Task> {
        self.tasks.get(self.index.enis.get(&eni)?)
    }

    /// The task whose interface hangs on that attachment.
    pub fn attachment_task(&self, attachment: Uuid) -> Option<&Task> {
        self.tasks.get(self.index.attachments.get(&attachment)?)
    }

    /// All interfaces that are not gone, by id.
    pub fn eni_tasks(&self) -> impl Iterator<Item = &Task> {
        self.index.enis.values().map(|id| &self.tasks[id])
    }

    /// What a client token was used for.
    pub fn client_token(&self, cluster: ClusterId, token: &str) -> Option<&ClientToken> {
        self.client_tokens.get(&(cluster, token.into()))
    }

    /// A client token by its key.
    pub(crate) fn client_token_row(&self, cluster: ClusterId, token: &str) -> Option<&ClientToken> {
        self.client_token(cluster, token)
    }

    /// Stopped tasks whose time is up at `now`.
    pub fn expired_tasks(&self, now: Millis) -> impl Iterator<Item = TaskId> {
        self.index.expiries.iter().take_while(move |(at, _)| *at <= now).map(|(_, id)| *id)
    }

    /// Client tokens whose time is up at `now`.
    pub fn lapsed_tokens(&self, now: Millis) -> impl Iterator<Item = (ClusterId, &str)> {
        let lapsed = move |at: &Millis| at + CLIENT_TOKEN_MS <= now;
        self.index
            .token_ages
            .iter()
            .take_while(move |(at, ..)| lapsed(at))
            .map(|(_, cluster, token)| (*cluster, &**token))
    }

    /// Where the indexes of two states that have the same rows are not the same.
    pub fn index_difference(&self, other: &Self) -> Option<String> {
        if self.index == other.index {
            return None;
        }
        let (one, two) = (format!("{:#?}", self.index), format!("{:#?}", other.index));
        let mut lines = one.lines().zip(two.lines()).enumerate();
        let found = lines.find(|(_, (one, two))| one != two);
        let Some((number, (line, differs))) = found else { return Some("they differ and look the same".to_owned()) };
        // The index is the last line before that is indented once.
        let name = one.lines().take(number + 1).filter(|line| !line.starts_with("     ")).last().unwrap_or_default();
        Some(format!("{}: {} instead of {}", name.trim(), differs.trim(), line.trim()))
    }

    /// When the next of these is due.
    pub fn next_expiry(&self) -> Option<Millis> {
        let task = self.index.expiries.first().map(|(at, _)| *at);
        let token = self.index.token_ages.first().map(|(at, ..)| at + CLIENT_TOKEN_MS);
        let service = self.index.inactive_services.first().map(|(at, _)| *at);
        let definition = self.index.deletions.first().map(|(at, _)| *at);
        task.into_iter().chain(token).chain(service).chain(definition).chain(self.secrets.next_expiry()).min()
    }
}
