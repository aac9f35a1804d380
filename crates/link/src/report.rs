//! What a node says of its tasks: the body of SubmitTaskStateChange, written by the node and read by the control plane.

use model::Millis;
use model::port::{PortMapping, Protocol};
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
        network_bindings: (!container.bindings.is_empty())
            .then(|| container.bindings.iter().map(binding_request).collect()),
    }
}

fn binding_request(mapping: &PortMapping) -> ecs::NetworkBinding {
    ecs::NetworkBinding {
        bind_ip: Some("0.0.0.0".to_owned()),
        container_port: Some(i32::from(mapping.container)),
        host_port: Some(i32::from(mapping.host)),
        protocol: ecs::TransportProtocol::from_wire(mapping.protocol.as_str()),
        ..Default::default()
    }
}

/// Bindings as a node says them; those of IPv6 repeat those of IPv4, and what has no ports says nothing.
fn bindings(said: Option<&[ecs::NetworkBinding]>) -> Box<[PortMapping]> {
    let port = |port: Option<i32>| port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
    let read = |said: &ecs::NetworkBinding| {
        let protocol = Protocol::parse(said.protocol.map_or("tcp", |protocol| protocol.as_str()))?;
        Some(PortMapping { container: port(said.container_port)?, host: port(said.host_port)?, protocol })
    };
    let four = said.unwrap_or_default().iter().filter(|said| !said.bind_ip.as_deref().unwrap_or("").contains(':'));
    four.filter_map(read).take(BINDINGS_MAX).collect()
}

fn time(at: Millis) -> Option<Timestamp> {
    (at != 0).then(|| Timestamp::from_millis(at))
}

fn millis(at: Option<Timestamp>) -> Millis {
    at.map_or(0, |at| at.millis())
}

/// Longest `reason` kept of a container or task (the API's documented limit for a container's).
const REASON_MAX: usize = 1024;
/// Bindings kept of a container; ECS has at most 100 ports for all containers of a host.
const BINDINGS_MAX: usize = 100;

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
        bindings: bindings(request.network_bindings.as_deref()),
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
        bindings: bindings(change.network_bindings.as_deref()),
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
                bindings: Box::new([
                    PortMapping { container: 80, host: 32_768, protocol: Protocol::Tcp },
                    PortMapping { container: 53, host: 53, protocol: Protocol::Udp },
                ]),
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
    fn of_what_agents_say_of_ports_only_what_can_be_is_kept() {
        let binding = |ip: &str, container_port, host_port| ecs::NetworkBinding {
            bind_ip: Some(ip.to_owned()),
            container_port: Some(container_port),
            host_port: Some(host_port),
            protocol: Some(ecs::TransportProtocol::Udp),
            ..Default::default()
        };
        let said =
            [binding("0.0.0.0", 53, 40_000), binding("::", 53, 40_000), binding("0.0.0.0", -1, 1), binding("", 1, 0)];
        assert_eq!(*bindings(Some(&said)), [PortMapping { container: 53, host: 40_000, protocol: Protocol::Udp }]);
        assert_eq!(bindings(Some(&vec![binding("0.0.0.0", 53, 40_000); 1000])).len(), BINDINGS_MAX);
    }

    #[test]
    fn long_reasons_are_cut_between_characters() {
        let text = "é".repeat(2000);
        assert_eq!(cut(&text).len(), 1024);
        assert_eq!(&*cut("short"), "short");
    }
}
