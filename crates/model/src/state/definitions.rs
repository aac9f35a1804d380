//! Task definitions and their families in the state: what was made from a revision, and when a deleted one may go; and
//! definitions of managed daemons.

use super::{State, Touched};
use crate::Millis;
use crate::daemon_definition::DaemonDefinition;
use crate::ids::RevisionId;
use crate::task_definition::{DELETED_SHOWN_MS, Family, TaskDefinition};

impl State {
    pub(super) fn register(&mut self, family: &str, definition: &TaskDefinition) -> Vec<Touched> {
        let RevisionId { family: id, revision } = definition.id;
        self.put_family(Family { id, name: family.into(), latest: revision });
        self.put_definition(definition.clone());
        vec![Touched::Family(id), Touched::Definition(definition.id)]
    }

    pub(crate) fn put_family(&mut self, family: Family) {
        let id = family.id;
        self.index.family_names.insert(family.name.clone(), id);
        self.families.insert(id, family);
        self.list_family(id);
    }

    pub(crate) fn put_definition(&mut self, definition: TaskDefinition) {
        let id = definition.id;
        self.definitions.insert(id, definition);
        self.list_revision(id);
        self.list_deletion(id);
    }

    pub(super) fn deregister(&mut self, id: RevisionId, at: Millis) -> Vec<Touched> {
        let Some(definition) = self.definitions.get_mut(&id) else { return Vec::new() };
        definition.active = false;
        definition.deregistered_at = Some(at);
        self.list_revision(id);
        vec![Touched::Definition(id)]
    }

    pub(super) fn delete_definition(&mut self, id: RevisionId, at: Millis) -> Vec<Touched> {
        let Some(definition) = self.definitions.get_mut(&id) else { return Vec::new() };
        definition.delete_requested_at = Some(at);
        self.list_revision(id);
        self.list_deletion(id);
        vec![Touched::Definition(id)]
    }

    /// The family stays, so that its numbers go on.
    pub(super) fn forget_definition(&mut self, id: RevisionId) -> Vec<Touched> {
        let Some(old) = self.definitions.remove(&id) else { return Vec::new() };
        self.index.deletions.remove(&(old.delete_requested_at.unwrap_or_default() + DELETED_SHOWN_MS, id));
        self.list_revision(id);
        vec![Touched::Definition(id)]
    }

    /// Something was made from the revision.
    pub(super) fn use_definition(&mut self, id: RevisionId) {
        *self.index.definition_uses.entry(id).or_default() += 1;
        self.list_deletion(id);
    }

    /// Something that was made from the revision is shown no longer.
    pub(super) fn release_definition(&mut self, id: RevisionId) {
        let Some(uses) = self.index.definition_uses.get_mut(&id) else { return };
        *uses -= 1;
        if *uses == 0 {
            self.index.definition_uses.remove(&id);
            self.list_deletion(id);
        }
    }

    /// Only what nothing was made from waits for its end.
    fn list_deletion(&mut self, id: RevisionId) {
        let Some(at) = self.definitions.get(&id).and_then(|definition| definition.delete_requested_at) else { return };
        let key = (at + DELETED_SHOWN_MS, id);
        if self.index.definition_uses.contains_key(&id) {
            self.index.deletions.remove(&key);
        } else {
            self.index.deletions.insert(key);
        }
    }

    /// Deleted revisions whose time is up at `now`, and that no task or service that is shown was made from.
    pub fn expired_definitions(&self, now: Millis) -> impl Iterator<Item = RevisionId> {
        self.index.deletions.iter().take_while(move |(at, _)| *at <= now).map(|(_, id)| *id)
    }

    pub(crate) fn put_daemon_definition(&mut self, definition: DaemonDefinition) -> Vec<Touched> {
        let key = (definition.family.clone(), definition.revision);
        self.daemon_definitions.insert(key.clone(), definition);
        vec![Touched::DaemonDefinition(key.0, key.1)]
    }

    /// The revisions of a family of managed daemons, oldest first, deleted ones too.
    pub fn daemon_revisions(&self, family: &str) -> impl DoubleEndedIterator<Item = &DaemonDefinition> {
        let (first, last) = ((family.into(), 0), (family.into(), u32::MAX));
        self.daemon_definitions.range(first..=last).map(|(_, definition)| definition)
    }

    /// Definitions of managed daemons by family and revision, from the first family not below `from`.
    pub fn daemon_definitions_from(&self, from: &str) -> impl Iterator<Item = &DaemonDefinition> {
        self.daemon_definitions.range((from.into(), 0)..).map(|(_, definition)| definition)
    }
}
