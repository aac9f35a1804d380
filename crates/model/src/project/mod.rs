//! State as AWS shows it: the wire shapes of our nouns. Reading only.

pub use capacity_provider::strategy;
pub use network::mac as mac_text;
pub use service::Health;

mod capacity_provider;
mod cluster;
mod daemon_definition;
pub mod history;
mod instance;
mod log;
mod network;
mod service;
mod service_deployment;
mod task;
mod task_definition;
mod task_set;

use crate::Millis;
use crate::cluster::Tag;
use wire::{Timestamp, ecs};

/// A time, absent while it is zero.
fn time(at: Millis) -> Option<Timestamp> {
    (at != 0).then(|| Timestamp::from_millis(at))
}

/// Tags as the wire has them.
pub fn tags(tags: &[Tag]) -> Vec<ecs::Tag> {
    tags.iter().map(|tag| ecs::Tag { key: Some(tag.key.to_string()), value: Some(tag.value.to_string()) }).collect()
}

fn pair(name: &str, value: impl Into<String>) -> ecs::KeyValuePair {
    ecs::KeyValuePair { name: Some(name.to_owned()), value: Some(value.into()) }
}
