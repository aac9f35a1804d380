//! What health checks say of containers, and what follows for their task.

use crate::task::{ContainerStatus, Task};
use serde::{Deserialize, Serialize};

/// What health checks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HealthStatus {
    /// No check has told yet.
    Unknown,
    /// The last check passed.
    Healthy,
    /// As many checks failed in a row as the definition allows.
    Unhealthy,
}

impl HealthStatus {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
        }
    }

    /// From AWS's word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Unknown, Self::Healthy, Self::Unhealthy].into_iter().find(|status| status.as_str() == text)
    }
}

impl Task {
    /// Takes what its node says of a container's health. Words on a container that has no check, or has ended, mean
    /// nothing.
    pub fn take_health(&mut self, container: &str, health: HealthStatus) {
        let known = self.containers.iter_mut().find(|known| *known.name == *container);
        if let Some(known) = known.filter(|known| known.health.is_some() && known.status != ContainerStatus::Stopped) {
            known.health = Some(health);
        }
    }

    /// AWS's rule: UNHEALTHY when an essential container is, HEALTHY when all are, otherwise UNKNOWN. A container without
    /// a check is UNKNOWN.
    pub fn health(&self) -> HealthStatus {
        let essential = || self.containers.iter().filter(|container| container.essential);
        let all = |wanted| essential().all(|container| container.health == Some(wanted));
        if self.is_unhealthy() {
            return HealthStatus::Unhealthy;
        }
        if all(HealthStatus::Healthy) { HealthStatus::Healthy } else { HealthStatus::Unknown }
    }

    /// An essential container fails its check.
    pub fn is_unhealthy(&self) -> bool {
        self.checked().any(|health| health == HealthStatus::Unhealthy)
    }

    /// Whether all essential containers with a check pass it; `None`: there is no such container, and time must tell.
    pub fn passes_checks(&self) -> Option<bool> {
        self.checked().next()?;
        Some(self.checked().all(|health| health == HealthStatus::Healthy))
    }

    fn checked(&self) -> impl Iterator<Item = HealthStatus> {
        self.containers.iter().filter(|container| container.essential).filter_map(|container| container.health)
    }
}

#[cfg(test)]
mod tests {
    use super::HealthStatus::{Healthy, Unhealthy, Unknown};
    use crate::task::Container;
    use crate::task::tests::plain_task;

    #[test]
    fn essential_containers_make_a_tasks_health() {
        let mut task = plain_task();
        assert_eq!((task.health(), task.passes_checks()), (Unknown, None));
        task.take_health("web", Healthy);
        assert_eq!(task.health(), Unknown, "it has no check");
        for container in &mut task.containers {
            container.health = Some(Unknown);
        }
        assert_eq!((task.health(), task.passes_checks()), (Unknown, Some(false)));
        task.take_health("side", Unhealthy);
        task.take_health("web", Healthy);
        assert_eq!((task.health(), task.passes_checks()), (Healthy, Some(true)), "the other is not essential");
        task.take_health("web", Unhealthy);
        assert_eq!((task.health(), task.is_unhealthy()), (Unhealthy, true));
        task.take_health("web", Healthy);
        task.containers[1] = Container { essential: true, health: None, ..task.containers[1].clone() };
        assert_eq!((task.health(), task.passes_checks()), (Unknown, Some(true)), "an essential one without a check");
    }
}
