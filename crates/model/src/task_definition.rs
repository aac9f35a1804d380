//! A task definition: the wire document as registered, and what changes about it.

use crate::Millis;
use crate::cluster::Tag;
use crate::ids::{FamilyId, RevisionId};
use crate::needs::Needs;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// What its tasks need; computed from the document, not stored.
    #[serde(skip)]
    pub needs: Arc<Needs>,
}
