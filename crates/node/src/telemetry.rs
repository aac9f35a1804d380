//! The node's side of the telemetry session: what health checks say, at once when it changes and again now and then.

use crate::entry::Entry;
use crate::{Millis, Node};
use link::tcs::{ContainerHealth, Metadata, PublishHealth, REPEAT_MS, TASKS_MAX, TaskHealth, seconds};

/// What is to be told of health.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    /// When all is told again.
    repeat_at: Millis,
    messages: u64,
}

impl Node {
    /// A telemetry session was opened: all is told, as what was said in the last one may be lost.
    pub fn handle_telemetry_connected(&mut self, now: Millis) {
        self.tell_all_health(now);
    }

    /// The next frame for the telemetry session.
    pub fn poll_telemetry(&mut self, now: Millis) -> Option<String> {
        if !self.found_all {
            return None;
        }
        let news = self.tasks.values_mut().filter(|entry| entry.health_news);
        let tasks: Vec<TaskHealth> = news.take(TASKS_MAX).map(told).collect();
        if tasks.is_empty() {
            return None;
        }
        self.telemetry.messages += 1;
        let metadata = Metadata {
            cluster: self.identity.cluster.clone(),
            container_instance: self.identity.container_instance_arn.clone(),
            message_id: format!("health-{}", self.telemetry.messages),
            fin: true,
        };
        Some(PublishHealth { metadata, tasks, timestamp: seconds(now) }.encode())
    }

    pub(crate) fn repeat_health(&mut self, now: Millis) {
        if self.next_repeat().is_some_and(|at| at <= now) {
            self.tell_all_health(now);
        }
    }

    pub(crate) fn next_repeat(&self) -> Option<Millis> {
        self.tasks.values().any(has_health).then_some(self.telemetry.repeat_at)
    }

    fn tell_all_health(&mut self, now: Millis) {
        self.telemetry.repeat_at = now + REPEAT_MS;
        self.tasks.values_mut().filter(|entry| has_health(entry)).for_each(|entry| entry.health_news = true);
    }
}

fn has_health(entry: &Entry) -> bool {
    entry.containers.iter().any(|held| held.health.as_ref().is_some_and(|health| health.status().is_some()))
}

fn told(entry: &mut Entry) -> TaskHealth {
    entry.health_news = false;
    let container = |held: &crate::entry::Held| {
        let (status, since) = held.health.as_ref()?.status()?;
        Some(ContainerHealth {
            container_name: held.name.clone(),
            health_status: status.as_str().to_owned(),
            status_since: seconds(since),
        })
    };
    TaskHealth {
        task_arn: entry.message.arn.clone(),
        cluster_arn: entry.message.task_cluster_arn.clone(),
        task_definition_family: entry.message.family.clone(),
        task_definition_version: entry.message.version.clone(),
        containers: entry.containers.iter().filter_map(container).collect(),
    }
}
