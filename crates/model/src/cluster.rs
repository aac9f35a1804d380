//! A cluster. ACTIVE until deleted, then INACTIVE and still describable; its name may be taken into use again, which
//! makes it ACTIVE once more.

use crate::Millis;
use crate::capacity_provider::StrategyItem;
use crate::ids::ClusterId;
use serde::{Deserialize, Serialize};

/// A cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Its number.
    pub id: ClusterId,
    /// Its name: 1 to 255 letters, digits, `-`, `_`.
    pub name: Box<str>,
    /// False once deleted.
    pub active: bool,
    /// When it was created.
    pub created_at: Millis,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// Names of its capacity providers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<Box<str>>,
    /// The strategy of requests that say neither a strategy nor a launch type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strategy: Vec<StrategyItem>,
    /// How commands are executed in its containers: the wire's `executeCommandConfiguration`, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execute_command: Option<Box<str>>,
    /// Raised by each change.
    pub version: u64,
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tag {
    /// 1 to 128 characters.
    pub key: Box<str>,
    /// 0 to 256 characters.
    pub value: Box<str>,
}

/// Whether `name` may name a cluster or family: letters, digits, `-`, `_`, 1 to 255 of them (CreateCluster,
/// RegisterTaskDefinition in the API reference).
pub fn is_valid_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=255).contains(&name.len()) && name.bytes().all(allowed)
}
