//! Lists of task definitions: revisions by their status, families by what they have, so that a list of some passes by none
//! of the others.

use super::State;
use crate::ids::{FamilyId, RevisionId};
use crate::task_definition::{Family, TaskDefinition};
use std::ops::Bound;
use wire::ecs::TaskDefinitionStatus;

/// What a family has; it may be of several kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FamilyKind {
    /// An ACTIVE revision.
    Active,
    /// An INACTIVE one.
    Inactive,
    /// One that is DELETE_IN_PROGRESS.
    Deleting,
    /// Any revision.
    Any,
    /// Some, but none that is ACTIVE.
    WithoutActive,
}

const STATUSES: [FamilyKind; 3] = [FamilyKind::Active, FamilyKind::Inactive, FamilyKind::Deleting];

impl From<TaskDefinitionStatus> for FamilyKind {
    fn from(status: TaskDefinitionStatus) -> Self {
        match status {
            TaskDefinitionStatus::Active => Self::Active,
            TaskDefinitionStatus::Inactive => Self::Inactive,
            TaskDefinitionStatus::DeleteInProgress => Self::Deleting,
        }
    }
}

impl State {
    /// Lists a revision by its status, after that has changed.
    pub(super) fn list_revision(&mut self, id: RevisionId) {
        let now = self.definitions.get(&id).map(|definition| FamilyKind::from(definition.status()));
        for kind in STATUSES {
            match now == Some(kind) {
                true => self.index.revisions.insert((kind, id)),
                false => self.index.revisions.remove(&(kind, id)),
            };
        }
        self.list_family(id.family);
    }

    /// Lists a family by what it has. Rows come in any order: it may not be there yet.
    pub(super) fn list_family(&mut self, id: FamilyId) {
        let Some(name) = self.families.get(&id).map(|family| family.name.clone()) else { return };
        let [active, inactive, deleting] = STATUSES.map(|kind| self.revisions_of(id, kind).next().is_some());
        let any = active || inactive || deleting;
        let kinds = [
            (FamilyKind::Active, active),
            (FamilyKind::Inactive, inactive),
            (FamilyKind::Deleting, deleting),
            (FamilyKind::Any, any),
            (FamilyKind::WithoutActive, any && !active),
        ];
        for (kind, is) in kinds {
            let names = self.index.families.entry(kind).or_default();
            match is {
                true => names.insert(name.clone()),
                false => names.remove(&name),
            };
        }
    }
}

/// Reading.
impl State {
    /// The family of that name.
    pub fn family_named(&self, name: &str) -> Option<&Family> {
        self.families.get(self.index.family_names.get(name)?)
    }

    /// Families of a kind by name, from one name to another.
    pub fn families_of<'a>(
        &'a self,
        kind: FamilyKind,
        first: Bound<&str>,
        last: Bound<&str>,
    ) -> impl DoubleEndedIterator<Item = &'a Family> + use<'a> {
        let names = self.index.families.get(&kind).map(|names| names.range::<str, _>((first, last)));
        names.into_iter().flatten().filter_map(|name| self.family_named(name))
    }

    /// The revisions of a family, oldest first.
    pub fn revisions(&self, family: FamilyId) -> impl DoubleEndedIterator<Item = &TaskDefinition> {
        let (first, last) = (RevisionId { family, revision: 0 }, RevisionId { family, revision: u32::MAX });
        self.definitions.range(first..=last).map(|(_, definition)| definition)
    }

    /// Those of one status.
    pub fn revisions_of(
        &self,
        family: FamilyId,
        status: FamilyKind,
    ) -> impl DoubleEndedIterator<Item = RevisionId> + use<'_> {
        self.revisions_between(family, status, 0, u32::MAX)
    }

    /// The same between two numbers, both included.
    pub fn revisions_between(
        &self,
        family: FamilyId,
        status: FamilyKind,
        first: u32,
        last: u32,
    ) -> impl DoubleEndedIterator<Item = RevisionId> + use<'_> {
        let key = |revision| (status, RevisionId { family, revision });
        let keys = (first <= last).then(|| self.index.revisions.range(key(first)..=key(last)));
        keys.into_iter().flatten().map(|(_, id)| *id)
    }

    /// The newest ACTIVE revision of a family.
    pub fn latest_active(&self, family: FamilyId) -> Option<&TaskDefinition> {
        self.definitions.get(&self.revisions_of(family, FamilyKind::Active).next_back()?)
    }
}
