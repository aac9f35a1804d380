//! What a managed daemon is made from: definitions of a kind of their own, which only such daemons use. Nothing runs them
//! here yet, so that one that is deleted is DELETED at once; it stays, so that its number is never given again.

use crate::Millis;
use crate::cluster::Tag;
use serde::{Deserialize, Serialize};
use wire::ecs::DaemonTaskDefinitionStatus;

/// One revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonDefinition {
    /// Its family.
    pub family: Box<str>,
    /// Which of the family.
    pub revision: u32,
    /// The wire `DaemonTaskDefinition` without what is known elsewhere: JSON text, verbatim.
    pub document: Box<str>,
    /// When it was registered.
    pub registered_at: Millis,
    /// The ARN of who did.
    pub registered_by: Box<str>,
    /// When it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Millis>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

impl DaemonDefinition {
    /// Its status as AWS tells it.
    pub fn status(&self) -> DaemonTaskDefinitionStatus {
        match self.deleted_at {
            Some(_) => DaemonTaskDefinitionStatus::Deleted,
            None => DaemonTaskDefinitionStatus::Active,
        }
    }
}
