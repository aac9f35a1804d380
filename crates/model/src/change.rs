//! The only way to alter state. Every change carries all it needs, so that applying it reads no clock and decides nothing.

use crate::Millis;
use crate::account_setting::AccountSetting;
use crate::capacity_provider::CapacityProvider;
use crate::cluster::{Cluster, Tag};
use crate::daemon_definition::DaemonDefinition;
use crate::gpu::Gpus;
use crate::iam::IamChange;
use crate::ids::{ClusterId, InstanceId, LogGroupId, RevisionId, ServiceId, TaskId};
use crate::instance::{Attribute, Instance, InstanceStatus};
use crate::log::LogGroup;
use crate::parameter::ParameterChange;
use crate::secret::SecretChange;
use crate::service::{Event, Service};
use crate::service_deployment::ServiceDeployment;
use crate::service_revision::{ResolvedImage, ServiceRevision};
use crate::state::Meta;
use crate::tagged::Tagged;
use crate::task::{Eni, HealthStatus, Stop, Task, TaskReport};
use crate::task_definition::TaskDefinition;
use serde::{Deserialize, Serialize};

/// Something that happened to the deployment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Change {
    /// The deployment was made.
    Opened(Box<Meta>),
    /// A cluster was created, or a deleted one of that name taken into use again.
    ClusterCreated(Cluster),
    /// A cluster was updated: what it is now.
    ClusterUpdated(Cluster),
    /// A cluster was deleted.
    ClusterDeleted(ClusterId),
    /// A capacity provider was created, updated or deleted: what it is now.
    CapacityProviderPut(Box<CapacityProvider>),
    /// A revision was registered, the first of a family with the family.
    TaskDefinitionRegistered {
        /// The family's name.
        family: Box<str>,
        /// The revision.
        definition: Box<TaskDefinition>,
    },
    /// A revision was deregistered.
    TaskDefinitionDeregistered {
        /// Which.
        id: RevisionId,
        /// When.
        at: Millis,
    },
    /// A revision is to be deleted.
    TaskDefinitionDeleteRequested {
        /// Which.
        id: RevisionId,
        /// When.
        at: Millis,
    },
    /// A deleted revision is shown no longer.
    TaskDefinitionForgotten(RevisionId),
    /// A definition of managed daemons was registered or deleted: what it is now.
    DaemonDefinitionPut(Box<DaemonDefinition>),
    /// A principal chose what an account setting is for it.
    AccountSettingPut(Box<AccountSetting>),
    /// A principal's choice was taken back.
    AccountSettingDeleted {
        /// Whose.
        principal: Box<str>,
        /// Of which setting.
        name: Box<str>,
    },
    /// An agent registered its host, for the first time or again.
    InstanceRegistered(Box<Instance>),
    /// An agent's session came or went.
    InstanceConnection {
        /// Whose.
        id: InstanceId,
        /// It came.
        connected: bool,
        /// When.
        at: Millis,
        /// What the agent said of itself: version, hash, docker version.
        versions: Option<Box<[Box<str>; 3]>>,
    },
    /// An instance was deregistered.
    InstanceDeregistered(InstanceId),
    /// Attributes of an instance were put or deleted: all that it has now.
    InstanceAttributes {
        /// Which.
        id: InstanceId,
        /// All of them.
        attributes: Vec<Attribute>,
    },
    /// An instance was told to drain, or to take tasks again.
    InstanceStatus {
        /// Which.
        id: InstanceId,
        /// ACTIVE or DRAINING.
        status: InstanceStatus,
    },
    /// A service was created.
    ServiceCreated(Box<Service>),
    /// A service was updated, deleted or reconciled: what it is now.
    ServiceUpdated(Box<Service>),
    /// Something happened to a service.
    ServiceSaid(Box<Event>),
    /// Tasks of a service are to be made from something else.
    ServiceRevisionCreated(Box<ServiceRevision>),
    /// What tags of a revision's images stand for is known.
    ServiceRevisionResolved {
        /// Whose.
        service: ServiceId,
        /// Which.
        number: u64,
        /// Images that were not known before.
        images: Vec<ResolvedImage>,
    },
    /// A service deployment was wished; the oldest of many goes.
    ServiceDeploymentCreated(Box<ServiceDeployment>),
    /// What a service deployment is now.
    ServiceDeploymentUpdated(Box<ServiceDeployment>),
    /// An INACTIVE service is shown no longer, nor anything of it.
    ServiceForgotten(ServiceId),
    /// A task was accepted; it has a place, or waits for one.
    TaskAccepted(Box<Task>),
    /// A waiting task got a place.
    TaskPlaced {
        /// Which.
        id: TaskId,
        /// When.
        at: Millis,
        /// Where.
        instance: InstanceId,
        /// Its interface.
        eni: Option<Box<Eni>>,
        /// Its GPUs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gpus: Option<Box<Gpus>>,
    },
    /// A waiting task was tried again, in vain.
    TaskWaits {
        /// Which.
        id: TaskId,
        /// When.
        at: Millis,
        /// AWS's word for what it lacked.
        code: Box<str>,
        /// The same with instances and numbers.
        detail: Box<str>,
    },
    /// A task is protected from scaling in and deployments until then; zero: no longer.
    TaskProtected {
        /// Which.
        id: TaskId,
        /// When it ends.
        until: Millis,
    },
    /// Tags were put or removed: what they are now.
    TagsPut {
        /// Whose.
        on: Tagged,
        /// All of them.
        tags: Vec<Tag>,
    },
    /// A task is to stop.
    TaskStopWanted {
        /// Which.
        id: TaskId,
        /// When.
        at: Millis,
        /// Why.
        stop: Stop,
    },
    /// A node said something of a task.
    TaskReported {
        /// Which.
        id: TaskId,
        /// When it arrived.
        at: Millis,
        /// What.
        report: Box<TaskReport>,
    },
    /// A node said what the health checks of a task's containers say.
    TaskHealthReported {
        /// Which.
        id: TaskId,
        /// Containers by name.
        health: Vec<(Box<str>, HealthStatus)>,
    },
    /// The host of a task is gone for good.
    TaskHostLost {
        /// Which.
        id: TaskId,
        /// When.
        at: Millis,
        /// Words for people.
        reason: Box<str>,
    },
    /// A stopped task is shown no longer.
    TaskForgotten(TaskId),
    /// A log group was created.
    LogGroupCreated(Box<LogGroup>),
    /// How long a log group keeps events.
    LogGroupRetention {
        /// Which.
        id: LogGroupId,
        /// Days; `None`: for ever.
        days: Option<u32>,
    },
    /// A log group was deleted, with all that was kept of it.
    LogGroupDeleted(LogGroupId),
    /// Something happened to a role, a policy or an instance profile.
    Iam(Box<IamChange>),
    /// Something happened to a parameter.
    Parameter(ParameterChange),
    /// Something happened to a secret.
    Secret(SecretChange),
    /// A client token was used.
    ClientTokenUsed(Box<ClientToken>),
    /// A client token has lapsed.
    ClientTokenLapsed {
        /// Its cluster.
        cluster: ClusterId,
        /// The token.
        token: Box<str>,
    },
}

/// A client token and what it was used for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientToken {
    /// Where.
    pub cluster: ClusterId,
    /// The caller's text.
    pub token: Box<str>,
    /// A digest of the request, to tell a repetition from a reuse.
    pub digest: [u8; 16],
    /// What came of it.
    pub tasks: Vec<TaskId>,
    /// When.
    pub at: Millis,
}
