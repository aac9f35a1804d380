//! What AWS has no operation for, and who the caller is.

use crate::Config;
use crate::authorize::{Caller, Principal};
use crate::desk::Desk;
use crate::named;
use model::task::Phase;
use model::waiting::Waiting;
use wire::{Fault, Timestamp, gantry, sts};

/// sts:GetCallerIdentity: the operator is the account's root, a node a role session.
pub(crate) fn caller_identity(
    desk: &mut Desk,
    caller: &Caller,
    _: sts::GetCallerIdentityRequest,
) -> Result<sts::GetCallerIdentityResponse, Fault> {
    let account = desk.state.meta().account.to_string();
    let (user_id, arn) = match caller.principal {
        Principal::Operator => (account.clone(), desk.state.scope().root()),
        Principal::Node => {
            let arn = format!("arn:aws:sts::{account}:assumed-role/gantry-node/{}", caller.access_key);
            (format!("{}:node", caller.access_key), arn)
        }
    };
    Ok(sts::GetCallerIdentityResponse { user_id: Some(user_id), account: Some(account), arn: Some(arn) })
}

/// gantry:DescribeTimeline: when each phase of a task's start was reached.
pub(crate) fn timeline(
    desk: &mut Desk,
    _: &Caller,
    input: gantry::DescribeTimelineRequest,
) -> Result<gantry::DescribeTimelineResponse, Fault> {
    let state = &desk.state;
    let cluster = named::any_cluster(state, input.cluster.as_deref())?;
    let missing = || gantry::fault::resource_not_found("The task was not found.");
    let task = named::task(state, cluster, &input.task)?.ok_or_else(missing)?;
    let reached = Phase::ALL.into_iter().zip(task.phases).filter(|(_, at)| *at != 0);
    let phase = |(phase, at): (Phase, u64)| gantry::Phase {
        name: Some(phase.as_str().to_owned()),
        at: Some(Timestamp::from_millis(at)),
        since_accepted_ms: Some(at as i64 - task.phases[0] as i64),
    };
    // The oldest of those that need the same is tried for all of them.
    let oldest = task.is_waiting().then(|| state.waiting_for_the_same(task)).flatten();
    let lacks = |task: &model::Task| task.waiting.as_deref().map(waiting);
    Ok(gantry::DescribeTimelineResponse {
        task_arn: Some(state.task_arn(task)),
        phases: Some(reached.map(phase).collect()),
        waiting: oldest.and_then(lacks),
    })
}

/// Why a task has no place yet.
fn waiting(waiting: &Waiting) -> gantry::Waiting {
    gantry::Waiting {
        reason: Some(waiting.code.to_string()),
        detail: Some(waiting.detail.to_string()),
        first_seen: Some(Timestamp::from_millis(waiting.first_seen)),
        last_seen: Some(Timestamp::from_millis(waiting.last_seen)),
        count: Some(i64::from(waiting.count)),
    }
}

/// gantry:DescribeServer.
pub(crate) fn server(desk: &Desk, config: &Config) -> gantry::DescribeServerResponse {
    let meta = desk.state.meta();
    gantry::DescribeServerResponse {
        version: Some(config.version.clone()),
        region: Some(meta.region.to_string()),
        account_id: Some(meta.account.to_string()),
        commit_index: i64::try_from(desk.seen_index()).ok(),
        tasks: i64::try_from(desk.state.tasks.len()).ok(),
    }
}
