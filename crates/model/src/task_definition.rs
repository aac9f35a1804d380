//! A task definition: the wire document as registered, and what changes about it.

use crate::Millis;
use crate::cluster::Tag;
use crate::ids::{FamilyId, RevisionId};
use crate::needs::Needs;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wire::ecs::TaskDefinitionStatus;

/// How long a deleted revision is shown before it goes for good (AWS: usually within an hour).
pub const DELETED_SHOWN_MS: Millis = 3_600_000;

/// A family of revisions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Family {
    /// Its number.
    pub id: FamilyId,
    /// Its name.
    pub name: Box<str>,
    /// The highest revision ever given, so that none is given twice.
    pub latest: u32,
}

/// One revision.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskDefinition {
    /// Which.
    pub id: RevisionId,
    /// The wire `TaskDefinition` without what is known elsewhere (ARN, revision, status, times): JSON text, verbatim.
    pub document: Box<str>,
    /// ACTIVE; else INACTIVE.
    pub active: bool,
    /// When it was registered.
    pub registered_at: Millis,
    /// The ARN of who did.
    pub registered_by: Box<str>,
    /// When it was deregistered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deregistered_at: Option<Millis>,
    /// When it was asked to be deleted; it goes when nothing that is shown was made from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_requested_at: Option<Millis>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// What its tasks need; computed from the document, not stored.
    #[serde(skip)]
    pub needs: Arc<Needs>,
}

impl TaskDefinition {
    /// Its status as AWS tells it.
    pub fn status(&self) -> TaskDefinitionStatus {
        match (self.active, self.delete_requested_at) {
            (_, Some(_)) => TaskDefinitionStatus::DeleteInProgress,
            (true, None) => TaskDefinitionStatus::Active,
            (false, None) => TaskDefinitionStatus::Inactive,
        }
    }
}
