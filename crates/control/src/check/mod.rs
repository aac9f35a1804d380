//! What makes a request right: the rules of the API reference and the developer guide that the model does not carry.

mod attributes;
pub(crate) mod capacity;
pub(crate) mod cluster;
mod container;
pub(crate) mod deployment;
pub(crate) mod external;
mod ports;
pub(crate) mod run;
pub(crate) mod service;
pub(crate) mod task_definition;

/// Fargate has no GPUs.
const FARGATE_GPUS: &str = "Tasks using the Fargate launch type do not support GPU resource requirements.";
