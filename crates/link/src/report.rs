//! What a node says of its tasks: the body of SubmitTaskStateChange, written by the node and read by the control plane.

use model::Millis;
use model::task::{ContainerReport, ContainerStatus, Phase, TaskReport};
use wire::{Timestamp, ecs};

/// A report on one task, as its node holds it until it is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The task's ARN.
    pub task: String,
    /// The ARN of its cluster.
    pub cluster: String,
    /// The attachment of its interface, once that is up.
    pub attachment: Option<String>,
    /// The rest.
    pub report: TaskReport,
}

impl StateChange {
    /// The request that says it.
    pub fn to_request(&self) -> ecs::SubmitTaskStateChangeRequest {
        let report = &self.report;
        let attachment =
            |arn: &String| ecs::AttachmentStateChange { attachment_arn: arn.clone(), status: "ATTACHED".to_owned() };
        let phase = |(phase, at): &(Phase, Millis)| ecs::GantryPhase {
            name: Some(phase.as_str().to_owned()),
            at: Some(Timestamp::from_millis(*at)),
        };
        let timeline = report.phases.iter().map(phase).collect();
        ecs::SubmitTaskStateChangeRequest {
            cluster: Some(self.cluster.clone()),
            task: Some(self.task.clone()),
            status: report.status.map(|status| status.as_str().to_owned()),
            reason: report.reason.as_deref().map(str::to_owned),
            containers: Some(report.containers.iter().map(container_request).collect()),
            attachments: self.attachment.as_ref().map(|arn| vec![attachment(arn)]),
            pull_started_at: time(report.pull_started),
            pull_stopped_at: time(report.pull_stopped),
            execution_stopped_at: time(report.execution_stopped),
            gantry: Some(ecs::GantryTaskReport { timeline: Some(timeline), ..Default::default() }),
            ..Default::default()
        }
    }
}

fn container_request(container: &ContainerReport) -> ecs::ContainerStateChange {
    ecs::ContainerStateChange {
        container_name: Some(container.name.to_string()),
        status: container.status.map(|status| status.as_str().to_owned()),
        runtime_id: container.runtime_id.as_deref().map(str::to_owned),
        image_digest: container.image_digest.as_deref().map(str::to_owned),
        exit_code: container.exit_code,
        reason: container.reason.as_deref().map(str::to_owned),
        ..Default::default()
    }
}

fn time(at: Millis) -> Option<Timestamp> {
    (at != 0).then(|| Timestamp::from_millis(at))
}

fn millis(at: Option<Timestamp>) -> Millis {
    at.map_or(0, |at| at.millis())
}

/// Longest `reason` kept of a container or task (the API's documented limit for a container's).
const REASON_MAX: usize = 1024;

/// Reads the request. A status that is no word of the ladder says nothing.
pub fn read(request: &ecs::SubmitTaskStateChangeRequest) -> TaskReport {
    let changes = request.containers.as_deref().unwrap_or_default();
    let attachments = request.attachments.as_deref().unwrap_or_default();
    let gantry = request.gantry.as_ref();
    let phases = gantry.and_then(|gantry| gantry.timeline.as_deref()).unwrap_or_default();
    TaskReport {
        status: request.status.as_deref().and_then(ContainerStatus::parse),
        reason: request.reason.as_deref().map(cut),
        attached: attachments.iter().any(|attachment| attachment.status == "ATTACHED"),
        containers: changes.iter().filter_map(container_report).collect(),
        pull_started: millis(request.pull_started_at),
        pull_stopped: millis(request.pull_stopped_at),
        execution_stopped: millis(request.execution_stopped_at),
        phases: phases.iter().filter_map(|p| Some((Phase::parse(p.name.as_deref()?)?, millis(p.at)))).collect(),
    }
}

/// Reads what SubmitContainerStateChange says of one container.
pub fn read_container(request: &ecs::SubmitContainerStateChangeRequest) -> TaskReport {
    let container = request.container_name.as_deref().map(|name| ContainerReport {
        name: name.into(),
        status: request.status.as_deref().and_then(ContainerStatus::parse),
        runtime_id: request.runtime_id.as_deref().map(Into::into),
        image_digest: None,
        exit_code: request.exit_code,
        reason: request.reason.as_deref().map(cut),
    });
    TaskReport { containers: container.into_iter().collect(), ..TaskReport::default() }
}

fn container_report(change: &ecs::ContainerStateChange) -> Option<ContainerReport> {
    Some(ContainerReport {
        name: change.container_name.as_deref()?.into(),
        status: change.status.as_deref().and_then(ContainerStatus::parse),
        runtime_id: change.runtime_id.as_deref().map(Into::into),
        image_digest: change.image_digest.as_deref().map(Into::into),
        exit_code: change.exit_code,
        reason: change.reason.as_deref().filter(|reason| !reason.is_empty()).map(cut),
    })
}

fn cut(text: &str) -> Box<str> {
    let end = (0..=REASON_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text[..end].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let report = TaskReport {
            status: Some(ContainerStatus::Running),
            attached: true,
            containers: vec![ContainerReport {
                name: "web".into(),
                status: Some(ContainerStatus::Stopped),
                runtime_id: Some("r".into()),
                image_digest: Some("sha256:1".into()),
                exit_code: Some(137),
                reason: Some("OutOfMemoryError: Container killed due to memory usage".into()),
            }],
            pull_started: 1_700_000_000_123,
            pull_stopped: 1_700_000_000_124,
            execution_stopped: 1_700_000_000_125,
            phases: vec![(Phase::Started, 1_700_000_000_126)],
            ..TaskReport::default()
        };
        let change =
            StateChange { task: "t".into(), cluster: "c".into(), attachment: Some("a".into()), report: report.clone() };
        let text = wire::ToJson::to_json(&change.to_request());
        let request = <ecs::SubmitTaskStateChangeRequest as wire::FromJson>::from_json_str(&text).unwrap();
        assert_eq!(read(&request), report);
    }

    #[test]
    fn long_reasons_are_cut_between_characters() {
        let text = "é".repeat(2000);
        assert_eq!(cut(&text).len(), 1024);
        assert_eq!(&*cut("short"), "short");
    }
}
