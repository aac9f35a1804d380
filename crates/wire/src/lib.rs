//! AWS's words: the generated shapes of the APIs, their faults and constraints, one handler trait per service, the protocols
//! that carry them, and request signatures. Bytes in, bytes out: no IO, no clock, no threads, and no opinion on what a request
//! should do.

#![forbid(unsafe_code)]

mod cbor;
mod closed_enum;
pub mod fault;
mod generated;
pub mod http;
mod json;
mod limit;
mod path;
pub mod query;
mod service;
pub mod sigv4;
mod tables;
mod timestamp;
pub mod xml;

pub use closed_enum::ClosedEnum;
pub use fault::Fault;
pub use generated::{ec2, ecs, gantry, iam, logs, resourcegroupstaggingapi as tagging, secretsmanager, ssm, sts};
pub use json::{FromJson, JsonWriter, Members, ToJson};
pub use path::Path;
pub use timestamp::Timestamp;
