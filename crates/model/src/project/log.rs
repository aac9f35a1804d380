//! Log groups.

use crate::log::LogGroup;
use crate::state::State;
use wire::logs;

impl State {
    /// A log group; how much is kept of it is not known here.
    pub fn project_log_group(&self, group: &LogGroup) -> logs::LogGroup {
        let arn = self.scope().log_group(&group.name);
        logs::LogGroup {
            log_group_name: Some(group.name.to_string()),
            creation_time: i64::try_from(group.created_at).ok(),
            retention_in_days: group.retention_days.and_then(|days| i32::try_from(days).ok()),
            metric_filter_count: Some(0),
            arn: Some(format!("{arn}:*")),
            log_group_arn: Some(arn),
            log_group_class: Some(logs::LogGroupClass::Standard),
            ..logs::LogGroup::default()
        }
    }
}
