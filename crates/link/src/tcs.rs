//! The agent's telemetry channel. Frames of the agent carry a signed header block before the JSON; frames of the control
//! plane are plain JSON. Health is read; the rest is acknowledged and not kept.

use model::Millis;
use model::task::HealthStatus;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Tasks in one message, as the public agent pages them.
pub const TASKS_MAX: usize = 10;
/// Between two tellings of what has not changed, as the public agent does: what was lost is told again.
pub const REPEAT_MS: Millis = 20_000;

/// `PublishHealthRequest`: what an agent says of its containers' health.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PublishHealth {
    /// Who says it.
    pub metadata: Metadata,
    /// At most `TASKS_MAX`.
    pub tasks: Vec<TaskHealth>,
    /// Seconds since the epoch.
    pub timestamp: f64,
}

/// Who publishes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// The cluster as configured.
    pub cluster: String,
    /// The instance.
    pub container_instance: String,
    /// The same on all pages.
    pub message_id: String,
    /// The last page.
    pub fin: bool,
}

/// A task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskHealth {
    /// Its ARN.
    pub task_arn: String,
    /// Its cluster's.
    pub cluster_arn: String,
    /// The family of its definition.
    pub task_definition_family: String,
    /// The revision, as text.
    pub task_definition_version: String,
    /// Containers with a health check.
    pub containers: Vec<ContainerHealth>,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerHealth {
    /// Its name.
    pub container_name: String,
    /// `HEALTHY`, `UNHEALTHY`, `UNKNOWN`.
    pub health_status: String,
    /// Seconds since the epoch.
    pub status_since: f64,
}

impl ContainerHealth {
    /// What it says; `None`: a word that we do not know.
    pub fn status(&self) -> Option<HealthStatus> {
        HealthStatus::parse(&self.health_status)
    }
}

/// The protocol's seconds.
pub fn seconds(at: Millis) -> f64 {
    at as f64 / 1000.0
}

impl PublishHealth {
    /// The frame's text.
    pub fn encode(&self) -> String {
        json!({"type": "PublishHealthRequest", "message": self}).to_string()
    }

    /// Reads a frame of an agent; `None`: it is another, or cannot be read.
    pub fn decode(frame: &str) -> Option<Self> {
        let mut envelope: Value = serde_json::from_str(body(frame)?).ok()?;
        let is_health = envelope.get("type")?.as_str() == Some("PublishHealthRequest");
        is_health.then(|| serde_json::from_value(envelope["message"].take()).ok()).flatten()
    }
}

/// The JSON of a frame, without the header block.
fn body(frame: &str) -> Option<&str> {
    if frame.starts_with('{') { Some(frame) } else { frame.split_once("\r\n\r\n").map(|(_, body)| body) }
}

/// The control plane's answer to a frame of an agent; `None`: nothing is answered.
pub fn answer(frame: &str) -> Option<String> {
    let envelope: Value = serde_json::from_str(body(frame)?).ok()?;
    let ack = match envelope.get("type")?.as_str()? {
        "PublishMetricsRequest" => "AckPublishMetric",
        "PublishHealthRequest" => "AckPublishHealth",
        "PublishInstanceStatusRequest" => "AckPublishInstanceStatus",
        _ => return None,
    };
    Some(json!({"type": ack, "message": {"message": "received"}}).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishes_are_acknowledged_with_and_without_headers() {
        let bare = r#"{"type":"PublishHealthRequest","message":{}}"#;
        let signed = format!("Authorization: x\r\nHost: y\r\n\r\n{bare}");
        for frame in [bare, &signed] {
            assert!(answer(frame).unwrap().contains("AckPublishHealth"));
            assert_eq!(PublishHealth::decode(frame), Some(PublishHealth::default()));
        }
        for frame in ["", "{", "Host: x", r#"{"type":"Other"}"#, r#"{"type":"PublishHealthRequest","message":3}"#] {
            assert_eq!(PublishHealth::decode(frame), None);
        }
        assert_eq!(answer(r#"{"type":"Other"}"#), None);
    }

    #[test]
    fn health_has_the_agents_shape() {
        let frame = r#"{"type":"PublishHealthRequest","message":{"metadata":{"cluster":"default","fin":true},
            "tasks":[{"taskArn":"t","containers":[{"containerName":"web","healthStatus":"UNHEALTHY",
            "statusSince":1700000000.5,"statusMessage":"x"}]}],"timestamp":1700000001}}"#;
        let health = PublishHealth::decode(frame).unwrap();
        assert_eq!(health.tasks[0].containers[0].status(), Some(HealthStatus::Unhealthy));
        assert_eq!(PublishHealth::decode(&health.encode()), Some(health));
    }
}
