//! Task definitions: the document as registered and what has become of it.

use crate::state::State;
use crate::task_definition::TaskDefinition;
use wire::{FromJson, ecs};

impl State {
    /// The ARN of a revision.
    pub fn task_definition_arn(&self, id: crate::RevisionId) -> String {
        let family = self.families.get(&id.family).map_or("", |family| &family.name);
        self.scope().task_definition(family, id.revision)
    }

    /// A revision. The document was written by this program, so that one that cannot be read shows as an empty one.
    pub fn project_task_definition(&self, definition: &TaskDefinition) -> ecs::TaskDefinition {
        let document = ecs::TaskDefinition::from_json_str(&definition.document).unwrap_or_default();
        ecs::TaskDefinition {
            task_definition_arn: Some(self.task_definition_arn(definition.id)),
            revision: i32::try_from(definition.id.revision).ok(),
            status: Some(definition.status()),
            registered_at: super::time(definition.registered_at),
            registered_by: Some(definition.registered_by.to_string()),
            delete_requested_at: definition.delete_requested_at.and_then(super::time),
            deregistered_at: definition.deregistered_at.and_then(super::time),
            ..document
        }
    }
}
