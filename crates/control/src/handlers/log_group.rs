//! Log groups, and who may get at the streams of one. Streams and events themselves never come here.

use crate::authorize::{self, Caller};
use crate::desk::Desk;
use crate::page::Page;
use model::change::Change;
use model::cluster::Tag;
use model::log::{LogGroup, LogNeeds, RETENTION_DAYS, is_valid_group};
use model::{LogGroupId, Millis, State};
use wire::{Fault, logs};

/// Log groups of a deployment. AWS allows a million; a family has one.
const GROUPS_MAX: usize = 1_000_000;
/// A day.
const DAY_MS: Millis = 86_400_000;

/// What a request to streams or events is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogQuestion {
    /// The operation.
    pub operation: logs::Operation,
    /// The group's name or ARN.
    pub group: String,
    /// The stream, when it names one.
    pub stream: Option<String>,
}

/// A log group as those see it who keep its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogAccess {
    /// Below which everything is kept.
    pub id: LogGroupId,
    /// The start of the ARNs of its streams.
    pub arn: String,
    /// Events that are older are gone, in milliseconds.
    pub retention_ms: Option<Millis>,
}

fn access(state: &State, group: &LogGroup) -> LogAccess {
    let retention_ms = group.retention_days.map(|days| Millis::from(days) * DAY_MS);
    LogAccess { id: group.id, arn: state.scope().log_group(&group.name), retention_ms }
}

/// The group that a request to streams or events means, when the caller may make it.
pub(crate) fn ask(state: &State, caller: &Caller, question: &LogQuestion) -> Result<LogAccess, Fault> {
    let group = named(state, &question.group);
    authorize::authorize_logs(state, caller, question, group.as_ref().map(|group| &*group.name).ok())?;
    Ok(access(state, group?))
}

/// Every group there is.
pub(crate) fn all(state: &State) -> Vec<LogAccess> {
    state.log_groups.values().map(|group| access(state, group)).collect()
}

/// A group by its name or its ARN, with `:*` behind it or not.
fn named<'a>(state: &'a State, text: &str) -> Result<&'a LogGroup, Fault> {
    let name = match text.strip_prefix(&state.scope().log_group("")) {
        Some(name) => name.strip_suffix(":*").unwrap_or(name),
        None => text,
    };
    let missing = || logs::fault::resource_not_found("The specified log group does not exist.");
    state.log_group_named(name).ok_or_else(missing)
}

/// The group that a container's output goes to, made when it is to be. `None`: it is not there.
pub(crate) fn ensure(desk: &mut Desk, log: &LogNeeds) -> Option<LogGroupId> {
    if let Some(group) = desk.state.log_group_named(&log.group) {
        return Some(group.id);
    }
    (log.create && desk.state.log_groups.len() < GROUPS_MAX).then(|| create_named(desk, &log.group, Vec::new()))
}

fn create_named(desk: &mut Desk, name: &str, tags: Vec<Tag>) -> LogGroupId {
    let id = desk.ids.log_group();
    let group = LogGroup { id, name: name.into(), created_at: desk.now, retention_days: None, tags, version: 1 };
    desk.commit(Change::LogGroupCreated(Box::new(group)));
    id
}

fn unsupported(member: &str) -> Fault {
    logs::fault::invalid_parameter(format!("not supported yet: {member}. Nothing was changed."))
}

/// CreateLogGroup.
pub(crate) fn create(
    desk: &mut Desk,
    _: &Caller,
    input: logs::CreateLogGroupRequest,
) -> Result<logs::CreateLogGroupResponse, Fault> {
    let class = input.log_group_class.is_some_and(|class| class != logs::LogGroupClass::Standard);
    let used = [
        ("kmsKeyId", input.kms_key_id.is_some()),
        ("logGroupClass", class),
        ("deletionProtectionEnabled", input.deletion_protection_enabled == Some(true)),
        // What reads tags of groups is not there yet, and a tag that nobody can read is not kept.
        ("tags", input.tags.is_some()),
    ];
    if let Some((member, _)) = used.iter().find(|(_, used)| *used) {
        return Err(unsupported(member));
    }
    let name = input.log_group_name;
    if !is_valid_group(&name) {
        return Err(logs::fault::invalid_parameter(
            "logGroupName: 1 to 512 letters, digits and . - _ / # are allowed.",
        ));
    }
    if desk.state.log_group_named(&name).is_some() {
        return Err(logs::fault::resource_already_exists("The specified log group already exists"));
    }
    if desk.state.log_groups.len() >= GROUPS_MAX {
        return Err(logs::fault::limit_exceeded(format!("There may be at most {GROUPS_MAX} log groups.")));
    }
    create_named(desk, &name, Vec::new());
    Ok(logs::CreateLogGroupResponse {})
}

/// DeleteLogGroup.
pub(crate) fn delete(
    desk: &mut Desk,
    _: &Caller,
    input: logs::DeleteLogGroupRequest,
) -> Result<logs::DeleteLogGroupResponse, Fault> {
    let id = named(&desk.state, &input.log_group_name)?.id;
    desk.commit(Change::LogGroupDeleted(id));
    Ok(logs::DeleteLogGroupResponse {})
}

/// DescribeLogGroups, by name.
pub(crate) fn describe(
    desk: &mut Desk,
    _: &Caller,
    input: logs::DescribeLogGroupsRequest,
) -> Result<logs::DescribeLogGroupsResponse, Fault> {
    let filled = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let used = [
        ("accountIdentifiers", filled(&input.account_identifiers)),
        ("includeLinkedAccounts", input.include_linked_accounts == Some(true)),
        ("logGroupIdentifiers", filled(&input.log_group_identifiers)),
    ];
    if let Some((member, _)) = used.iter().find(|(_, used)| *used) {
        return Err(unsupported(member));
    }
    let prefix = input.log_group_name_prefix.unwrap_or_default();
    let pattern = input.log_group_name_pattern.unwrap_or_default().to_lowercase();
    if !prefix.is_empty() && !pattern.is_empty() {
        let message = "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.";
        return Err(logs::fault::invalid_parameter(message));
    }
    let standard = input.log_group_class.is_none_or(|class| class == logs::LogGroupClass::Standard);
    let state = &desk.state;
    let scope = format!("DescribeLogGroups|{prefix}|{pattern}|{standard}");
    let page = Page::read(&state.meta().token_key, scope, (50, 50), input.limit, input.next_token.as_deref())?;
    let groups = state.log_groups_from(page.after().unwrap_or(&prefix)).filter(|_| standard);
    let groups = groups.take_while(|group| group.name.starts_with(&*prefix));
    let groups = groups.filter(|group| page.after().is_none_or(|after| &*group.name > after));
    let groups = groups.filter(|group| pattern.is_empty() || group.name.to_lowercase().contains(&pattern));
    let (groups, next_token) = page.take(groups, |group| group.name.to_string());
    let groups = groups.into_iter().map(|group| state.project_log_group(group)).collect();
    Ok(logs::DescribeLogGroupsResponse { log_groups: Some(groups), next_token })
}

/// PutRetentionPolicy.
pub(crate) fn put_retention(
    desk: &mut Desk,
    _: &Caller,
    input: logs::PutRetentionPolicyRequest,
) -> Result<logs::PutRetentionPolicyResponse, Fault> {
    let days = input.retention_in_days;
    if !RETENTION_DAYS.contains(&days) {
        let known: Vec<String> = RETENTION_DAYS.iter().map(i32::to_string).collect();
        let message = format!("retentionInDays is {days}: the possible values are {}.", known.join(", "));
        return Err(logs::fault::invalid_parameter(message));
    }
    keep(desk, &input.log_group_name, u32::try_from(days).ok())?;
    Ok(logs::PutRetentionPolicyResponse {})
}

/// DeleteRetentionPolicy: events are kept for ever.
pub(crate) fn delete_retention(
    desk: &mut Desk,
    _: &Caller,
    input: logs::DeleteRetentionPolicyRequest,
) -> Result<logs::DeleteRetentionPolicyResponse, Fault> {
    keep(desk, &input.log_group_name, None)?;
    Ok(logs::DeleteRetentionPolicyResponse {})
}

fn keep(desk: &mut Desk, name: &str, days: Option<u32>) -> Result<(), Fault> {
    let group = named(&desk.state, name)?;
    if group.retention_days != days {
        desk.commit(Change::LogGroupRetention { id: group.id, days });
    }
    Ok(())
}
