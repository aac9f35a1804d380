//! Our nouns and their status ladders, the `State` of one deployment, the `Change`s that alter it, and its projections
//! to AWS's shapes. No IO, no clock, no entropy: what happens is decided elsewhere and arrives here as a `Change`.
#![forbid(unsafe_code)]

pub mod account_setting;
pub mod arn;
pub mod audit;
pub mod capacity_provider;
pub mod change;
pub mod cluster;
pub mod daemon_definition;
pub mod deployment_configuration;
pub mod eni;
pub mod failure;
pub mod gpu;
pub mod group;
pub mod health;
pub mod iam;
pub mod id_map;
mod id_set;
pub mod ids;
pub mod instance;
pub mod log;
pub mod needs;
pub mod parameter;
pub mod placement;
pub mod port;
pub mod project;
pub mod query;
pub mod reason;
pub mod report;
pub mod room;
pub mod row;
pub mod sealed;
pub mod secret;
pub mod service;
pub mod service_deployment;
pub mod service_revision;
pub mod state;
pub mod supported_members;
pub mod tagged;
pub mod task;
pub mod task_definition;
pub mod task_set;
pub mod timeline;
pub mod vpc;
pub mod waiting;

pub use capacity_provider::CapacityProvider;
pub use change::Change;
pub use cluster::Cluster;
pub use ids::{ClusterId, EniId, FamilyId, Ids, InstanceId, LogGroupId, RevisionId, ServiceId, TaskId};
pub use instance::Instance;
pub use log::LogGroup;
pub use needs::Needs;
pub use reason::Reason;
pub use service::Service;
pub use service_deployment::{ServiceDeployment, ServiceDeploymentStatus};
pub use service_revision::ServiceRevision;
pub use state::State;
pub use task::{Task, TaskStatus};
pub use task_definition::TaskDefinition;
pub use task_set::TaskSet;

/// Milliseconds since the epoch.
pub type Millis = u64;
