//! In which order the containers of a task start and stop: what `dependsOn` asks for, and whether it can still come true.

use crate::Millis;
use crate::entry::{Held, Stage};
use link::acs;

/// Whether a container may be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Now.
    Ready,
    /// Not yet; at that time it will be too late.
    Wait(Option<Millis>),
    /// Never, and why.
    Never(String),
}

/// Looks at everything that `container` depends on.
pub(crate) fn may_start(now: Millis, container: &acs::Container, all: &[Held], said: &[acs::Container]) -> Verdict {
    let mut verdict = Verdict::Ready;
    for dependency in &container.depends_on {
        let name = &dependency.container_name;
        let on = all.iter().zip(said).find(|(held, _)| held.name == *name);
        let one = on.map_or(Verdict::Never("does not exist".to_owned()), |(held, said)| {
            judge(now, &dependency.condition, held, said)
        });
        verdict = match (verdict, one) {
            (_, Verdict::Never(why)) => return Verdict::Never(words(&container.name, name, &why)),
            (Verdict::Wait(a), Verdict::Wait(b)) => Verdict::Wait(a.into_iter().chain(b).min()),
            (Verdict::Wait(at), _) | (_, Verdict::Wait(at)) => Verdict::Wait(at),
            (verdict, _) => verdict,
        };
    }
    verdict
}

/// The public agent's words.
fn words(target: &str, on: &str, why: &str) -> String {
    if why == TIMED_OUT {
        return format!(
            "CannotStartContainerError: dependency graph: container ordering dependency [{on}] for target [{target}] {why}"
        );
    }
    format!(
        "CannotStartContainerError: dependency graph: failed to resolve container ordering dependency [{on}] for target \
         [{target}] as dependency {why}"
    )
}

const TIMED_OUT: &str = "has timed out";
const NEVER_STARTS: &str = "will never start";

fn judge(now: Millis, condition: &str, on: &Held, said: &acs::Container) -> Verdict {
    let never = |why: &str| Verdict::Never(why.to_owned());
    let met = match (condition, &on.stage) {
        (_, Stage::Stopped(exit)) if exit.code.is_none() => return never(NEVER_STARTS),
        ("START", _) => on.started_at != 0,
        ("COMPLETE", Stage::Stopped(_)) => true,
        ("SUCCESS", Stage::Stopped(exit)) if exit.code == Some(0) => true,
        ("SUCCESS", Stage::Stopped(_)) => return never("did not exit successfully"),
        ("HEALTHY", Stage::Stopped(_)) => return never("has exited and will never be healthy"),
        ("HEALTHY", Stage::Running) => on.health.as_ref().is_some_and(|health| health.is_healthy()),
        ("COMPLETE" | "SUCCESS" | "HEALTHY", _) => false,
        _ => return never("has a condition that this node does not know"),
    };
    if met {
        return Verdict::Ready;
    }
    match deadline(condition, on, said) {
        Some(at) if at <= now => never(TIMED_OUT),
        at => Verdict::Wait(at),
    }
}

/// `startTimeout` of the container that is waited for counts from its start.
fn deadline(condition: &str, on: &Held, said: &acs::Container) -> Option<Millis> {
    let seconds = said.start_timeout.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0)?;
    (condition != "START" && on.started_at != 0).then(|| on.started_at + seconds.saturating_mul(1_000))
}

/// Whether others must be stopped before `name`: those that depend on it.
pub(crate) fn is_needed(name: &str, all: &[Held], said: &[acs::Container]) -> bool {
    let depends = |said: &acs::Container| said.depends_on.iter().any(|on| on.container_name == *name);
    all.iter().zip(said).any(|(held, said)| depends(said) && !held.is_over())
}
