//! Whether a container that ended is started again in its place, as its policy has it.

use crate::Millis;
use crate::hands::Exit;
use link::acs;

/// Seconds that a container must have run when its policy does not say (ContainerRestartPolicy in the API reference).
const PERIOD_S: i64 = 300;

/// The policy of a container, if it acts.
pub(crate) fn policy<'a>(task: &'a acs::Task, container: &str) -> Option<&'a acs::RestartPolicy> {
    let said = task.containers.iter().find(|said| said.name == container)?;
    said.restart_policy.as_ref().filter(|policy| policy.enabled)
}

/// Whether it is started again. Looks at facts that are on record only, so that a later life of the node says the same.
pub(crate) fn again(policy: &acs::RestartPolicy, started_at: Millis, exit: &Exit) -> bool {
    let Some(code) = exit.code.filter(|_| started_at != 0) else { return false };
    let period = policy.restart_attempt_period.unwrap_or(PERIOD_S).max(0).unsigned_abs() * 1_000;
    !policy.ignored_exit_codes.contains(&code) && exit.at >= started_at.saturating_add(period)
}
