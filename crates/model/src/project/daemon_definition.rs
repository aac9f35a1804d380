//! Definitions of managed daemons: the document as registered and what has become of it.

use crate::daemon_definition::DaemonDefinition;
use crate::state::State;
use wire::{FromJson, ecs};

impl State {
    /// The ARN of a revision.
    pub fn daemon_definition_arn(&self, definition: &DaemonDefinition) -> String {
        self.scope().daemon_definition(&definition.family, definition.revision)
    }

    /// A revision. The document was written by this program, so that one that cannot be read shows as an empty one.
    pub fn project_daemon_definition(&self, definition: &DaemonDefinition) -> ecs::DaemonTaskDefinition {
        ecs::DaemonTaskDefinition {
            daemon_task_definition_arn: Some(self.daemon_definition_arn(definition)),
            family: Some(definition.family.to_string()),
            revision: i32::try_from(definition.revision).ok(),
            status: Some(definition.status()),
            registered_at: super::time(definition.registered_at),
            registered_by: Some(definition.registered_by.to_string()),
            delete_requested_at: definition.deleted_at.and_then(super::time),
            ..ecs::DaemonTaskDefinition::from_json_str(&definition.document).unwrap_or_default()
        }
    }

    /// A revision in a list.
    pub fn summarise_daemon_definition(&self, definition: &DaemonDefinition) -> ecs::DaemonTaskDefinitionSummary {
        ecs::DaemonTaskDefinitionSummary {
            arn: Some(self.daemon_definition_arn(definition)),
            status: Some(definition.status()),
            registered_at: super::time(definition.registered_at),
            registered_by: Some(definition.registered_by.to_string()),
            delete_requested_at: definition.deleted_at.and_then(super::time),
        }
    }
}
