//! A container's health check: when it is made, and what its results mean.
//!
//! ```text
//! nothing known -> HEALTHY (a check passed) <-> UNHEALTHY (`retries` checks failed in a row)
//! ```
//!
//! The first check is made as soon as the container runs. Until one has passed it is repeated after short, growing
//! pauses, up to the time of Docker's first one, so that what starts fast is healthy soon. Failures before that time, or
//! within the start period, count for nothing. What the last life of the node knew is not kept: the first check of this
//! one is made at once, and nothing is said before it.

use crate::Millis;
use link::acs;
use model::task::HealthStatus;

/// The first pause between checks of a container that has passed none.
const PROBE_MS: Millis = 100;
/// A check whose result is this late after its timeout is lost, and counts as failed.
const LOST_MS: Millis = 10_000;
const NANOSECONDS: i64 = 1_000_000;

/// A check as the definition has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Check {
    command: Vec<String>,
    interval: Millis,
    timeout: Millis,
    start_period: Millis,
    retries: u32,
}

/// The health of one container.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    check: Check,
    /// What is known, and since when.
    status: Option<(HealthStatus, Millis)>,
    /// Since when the container runs.
    began: Millis,
    /// In a row.
    failures: u32,
    /// Since it began.
    tries: u32,
    passed: bool,
    next_at: Millis,
    asked_at: Option<Millis>,
}

impl Health {
    /// The health of a container that has a check.
    pub fn of(container: &acs::Container) -> Option<Self> {
        if container.health_check_type.as_deref() != Some("docker") {
            return None;
        }
        let config: acs::Config = serde_json::from_str(&container.docker_config.config).ok()?;
        let said = config.healthcheck?;
        let command = match said.test.split_first()? {
            (word, rest) if word == "CMD" => rest.to_vec(),
            (word, rest) if word == "CMD-SHELL" => {
                ["/bin/sh", "-c"].map(str::to_owned).into_iter().chain(rest.to_vec()).collect()
            }
            _ => return None,
        };
        let millis = |nanoseconds: i64| u64::try_from(nanoseconds / NANOSECONDS).unwrap_or(0);
        let check = Check {
            command,
            interval: millis(said.interval).max(1_000),
            timeout: millis(said.timeout).max(1_000),
            start_period: millis(said.start_period),
            retries: u32::try_from(said.retries).unwrap_or(0).max(1),
        };
        let (status, asked_at) = (None, None);
        (!check.command.is_empty()).then_some(Self {
            check,
            status,
            began: 0,
            failures: 0,
            tries: 0,
            passed: false,
            next_at: 0,
            asked_at,
        })
    }

    /// The container runs. One that was started again is UNKNOWN until a check says more.
    pub fn begin(&mut self, at: Millis, again: bool) -> bool {
        let known = self.status.take();
        (self.began, self.next_at, self.asked_at) = (at, 0, None);
        (self.failures, self.tries, self.passed) = (0, 0, false);
        self.status = again.then_some((HealthStatus::Unknown, at));
        known.map(|(status, _)| status) != self.status.map(|(status, _)| status)
    }

    /// What is known, and since when.
    pub fn status(&self) -> Option<(HealthStatus, Millis)> {
        self.status
    }

    pub fn is_healthy(&self) -> bool {
        self.status.is_some_and(|(status, _)| status == HealthStatus::Healthy)
    }

    /// The check that is to be made now, with its timeout.
    pub fn due(&mut self, now: Millis) -> Option<(Vec<String>, Millis)> {
        if self.asked_at.is_some() || self.next_at > now {
            return None;
        }
        self.asked_at = Some(now);
        Some((self.check.command.clone(), self.check.timeout))
    }

    /// A check whose result does not come has failed. Whether that changed anything.
    pub fn give_up(&mut self, now: Millis) -> bool {
        self.lost_at().is_some_and(|at| at <= now) && self.take(now, false)
    }

    fn lost_at(&self) -> Option<Millis> {
        self.asked_at.map(|at| at + self.check.timeout + LOST_MS)
    }

    /// The result of a check; whether it changed the status. One that nobody waits for means nothing.
    pub fn take(&mut self, now: Millis, passed: bool) -> bool {
        let Some(asked) = self.asked_at.take() else { return false };
        let Check { interval, start_period, retries, .. } = self.check;
        let first_of_docker = self.began + interval;
        let counts = self.passed || asked >= self.began + start_period.max(interval);
        self.passed |= passed;
        self.failures = if passed { 0 } else { self.failures + u32::from(counts) };
        self.next_at = now + interval;
        if !self.passed && now < first_of_docker {
            self.next_at = (now + (PROBE_MS << self.tries.min(12))).min(first_of_docker);
        }
        self.tries += 1;
        let status = match passed {
            true => HealthStatus::Healthy,
            false if self.failures >= retries => HealthStatus::Unhealthy,
            false => return false,
        };
        let changed = self.status.is_none_or(|(known, _)| known != status);
        if changed {
            self.status = Some((status, now));
        }
        changed
    }

    /// When something is due.
    pub fn next_wake(&self) -> Millis {
        self.lost_at().unwrap_or(self.next_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(start_period_s: i64) -> Health {
        let second = 1_000 * NANOSECONDS;
        let healthcheck = acs::Healthcheck {
            test: vec!["CMD-SHELL".into(), "true".into()],
            interval: 5 * second,
            timeout: 2 * second,
            start_period: start_period_s * second,
            retries: 2,
        };
        let config = acs::Config { healthcheck: Some(healthcheck), ..Default::default() };
        let config = serde_json::to_string(&config).unwrap();
        let docker_config = acs::DockerConfig { config, ..Default::default() };
        let health_check_type = Some("docker".into());
        Health::of(&acs::Container { docker_config, health_check_type, ..Default::default() }).unwrap()
    }

    /// Makes checks that take no time until `end`; when they were made, and what was known after each.
    fn run(health: &mut Health, end: Millis, passes: impl Fn(Millis) -> bool) -> Vec<(Millis, Option<HealthStatus>)> {
        let mut seen = Vec::new();
        let mut now = health.next_wake().max(health.began);
        while now < end {
            let (command, timeout) = health.due(now).unwrap();
            assert_eq!((command.join(" ").as_str(), timeout), ("/bin/sh -c true", 2_000));
            health.take(now, passes(now));
            seen.push((now, health.status().map(|(status, _)| status)));
            now = health.next_wake();
        }
        seen
    }

    #[test]
    fn a_fast_start_is_healthy_soon_and_then_checked_at_the_interval() {
        let mut fast = health(0);
        fast.begin(10_000, false);
        let seen = run(&mut fast, 17_000, |now| now >= 10_200);
        let healthy = Some(HealthStatus::Healthy);
        assert_eq!(seen, [(10_000, None), (10_100, None), (10_300, healthy), (15_300, healthy)]);
    }

    #[test]
    fn failures_count_from_dockers_first_check_on() {
        let mut broken = health(0);
        broken.begin(0, false);
        let seen = run(&mut broken, 16_000, |_| false);
        let late: Vec<_> = seen.into_iter().filter(|(at, _)| *at >= 5_000).collect();
        let unhealthy = Some(HealthStatus::Unhealthy);
        assert_eq!(late, [(5_000, None), (10_000, unhealthy), (15_000, unhealthy)]);
        assert!(broken.due(20_000).is_some());
        assert!(broken.take(20_001, true), "one success is enough");
        assert_eq!(broken.status(), Some((HealthStatus::Healthy, 20_001)));
        for (at, changes) in [(25_001, false), (30_001, true)] {
            broken.due(at).unwrap();
            assert_eq!(broken.take(at, false), changes, "as many as retries in a row");
        }
    }

    #[test]
    fn the_start_period_forgives_and_a_lost_result_is_a_failure() {
        let mut slow = health(30);
        slow.begin(0, false);
        let seen = run(&mut slow, 36_000, |_| false);
        assert!(seen.iter().filter(|(at, _)| *at < 35_000).all(|(_, status)| status.is_none()), "{seen:?}");
        assert_eq!(seen.last().unwrap().1, Some(HealthStatus::Unhealthy));
        slow.due(40_000).unwrap();
        assert_eq!((slow.due(41_000), slow.next_wake()), (None, 52_000));
        assert!(!slow.give_up(51_999));
        slow.give_up(52_000);
        assert_eq!(slow.next_wake(), 57_000);
        assert!(slow.begin(60_000, true), "started again, nothing is known");
        assert_eq!(slow.status(), Some((HealthStatus::Unknown, 60_000)));
    }
}
