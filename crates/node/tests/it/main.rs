//! The agent driven by hand: frames and events in, orders, frames and reports out.

mod containers;

use link::acs::{self, Payload, ToAgent, ToControl};
use model::task::{ContainerStatus, Phase};
use node::hands::{
    Attachment, Command, ContainerNetwork, Event, Exit, FoundContainer, Joined, PortMapping, Protocol, TaskKey,
};
use node::{Identity, Node, Outcome};

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn key() -> TaskKey {
    TaskKey::new(KEY).unwrap()
}

fn container(name: &str, essential: bool) -> acs::Container {
    acs::Container {
        name: name.into(),
        image: "busybox".into(),
        essential,
        stop_timeout: Some(2),
        docker_config: acs::DockerConfig { version: "1.24".into(), config: "{}".into(), host_config: "{}".into() },
        ..acs::Container::default()
    }
}

fn message(containers: Vec<acs::Container>) -> acs::Task {
    acs::Task {
        arn: format!("arn:aws:ecs:us-east-1:000000000000:task/default/{KEY}"),
        task_cluster_arn: "arn:aws:ecs:us-east-1:000000000000:cluster/default".into(),
        desired_status: "RUNNING".into(),
        network_mode: "awsvpc".into(),
        containers,
        elastic_network_interfaces: vec![acs::ElasticNetworkInterface {
            attachment_arn: "arn:attachment".into(),
            ec2_id: "eni-1".into(),
            mac_address: "02:00:00:00:00:01".into(),
            ipv4_addresses: vec![acs::Ipv4Address { private_address: "172.31.0.4".into(), primary: true }],
            subnet_gateway_ipv4_address: "172.31.0.1/20".into(),
            domain_name_servers: vec!["172.31.0.2".into()],
            private_dns_name: "ip-172-31-0-4.ec2.internal".into(),
            gantry: Some(acs::GantryInterface { vpc_id: "vpc-1".into(), vpc_cidr: "172.31.0.0/16".into() }),
            ..Default::default()
        }],
        ..acs::Task::default()
    }
}

fn payload(task: acs::Task) -> String {
    let payload = Payload { message_id: "m1".into(), seq_num: 3, tasks: vec![task], ..Payload::default() };
    ToAgent::PayloadMessage(payload).encode()
}

fn ready_node() -> Node {
    let mut node = Node::new(Identity { cluster: "default".into(), container_instance_arn: "arn:i".into() });
    node.handle_event(0, Event::FoundAll);
    node.handle_connected();
    node
}

fn commands(node: &mut Node) -> Vec<Command> {
    std::iter::from_fn(|| node.poll_command()).collect()
}

fn frames(node: &mut Node) -> Vec<ToControl> {
    std::iter::from_fn(|| node.poll_frame()).map(|frame| ToControl::decode(&frame).unwrap()).collect()
}

fn exit(code: i32, at: u64) -> Exit {
    Exit { code: Some(code), out_of_memory: false, reason: None, at }
}

/// A node whose task's containers have been ordered to start.
fn starting(containers: Vec<acs::Container>) -> Node {
    let mut node = ready_node();
    let names: Vec<String> = containers.iter().map(|container| container.name.clone()).collect();
    node.handle_frame(1, &payload(message(containers)));
    commands(&mut node);
    node.handle_event(2, Event::Recorded { task: key(), error: None });
    node.handle_event(3, Event::NetworkReady { task: key(), containers: Vec::new() });
    node.handle_event(4, Event::Supervised { task: key() });
    for container in names {
        node.handle_event(5, Event::ImageReady { task: key(), container, digest: "sha256:1".into() });
    }
    node
}

fn started(node: &mut Node, container: &str) {
    let (task, name) = (key(), container.to_owned());
    node.handle_event(
        6,
        Event::ContainerCreated { task: task.clone(), container: name.clone(), runtime_id: "r".into(), at: 6 },
    );
    node.handle_event(7, Event::ContainerStarted { task, container: name, at: 7 });
}

/// The task ends: that is on record before anything is released. Answers the record.
fn ends(node: &mut Node, now: u64) -> String {
    let orders = commands(node);
    let [Command::Record { record, .. }] = orders.as_slice() else { panic!("{orders:?}") };
    node.handle_event(now, Event::Recorded { task: key(), error: None });
    assert!(matches!(commands(node).as_slice(), [Command::Release { .. }]));
    record.clone()
}

#[test]
fn nothing_happens_before_the_record_and_everything_at_once_after_it() {
    let mut node = ready_node();
    node.handle_frame(1, &payload(message(vec![container("web", true)])));
    let first = commands(&mut node);
    assert!(matches!(first.as_slice(), [Command::Record { .. }]), "{first:?}");
    assert_eq!(frames(&mut node), [], "not acknowledged before it is on record");
    node.handle_event(2, Event::Recorded { task: key(), error: None });
    let ToControl::AckRequest(ack) = frames(&mut node).remove(0) else { panic!("no acknowledgement") };
    assert_eq!((ack.message_id.as_str(), ack.container_instance.as_str()), ("m1", "arn:i"));
    let then = commands(&mut node);
    let at_once = [
        matches!(then[0], Command::AttachNetwork { .. }),
        matches!(then[1], Command::Supervise { .. }),
        matches!(then[2], Command::PrepareImage { .. }),
    ];
    assert_eq!((at_once, then.len()), ([true; 3], 3));
}

#[test]
fn a_task_runs_and_is_reported_once_with_its_timeline() {
    let mut node = starting(vec![container("web", true)]);
    let orders = commands(&mut node);
    let Some(Command::StartContainer { spec, .. }) = orders.last() else { panic!("{orders:?}") };
    assert_eq!(
        (spec.image_digest.as_str(), spec.host_name.as_deref()),
        ("sha256:1", Some("ip-172-31-0-4.ec2.internal"))
    );
    assert_eq!(node.poll_report(5), None);
    started(&mut node, "web");
    let (task, change) = node.poll_report(8).unwrap();
    assert_eq!(change.report.status, Some(ContainerStatus::Running));
    assert_eq!(change.attachment.as_deref(), Some("arn:attachment"));
    assert!(change.report.phases.contains(&(Phase::NetworkReady, 3)), "{:?}", change.report.phases);
    assert_eq!(node.poll_report(8), None, "one report at a time");
    node.handle_outcome(9, &task, Outcome::Failed);
    assert_eq!(node.poll_report(9), None, "not at once again");
    let later = node.next_wake().unwrap();
    let (task, again) = node.poll_report(later).unwrap();
    assert_eq!(again, change);
    node.handle_outcome(later, &task, Outcome::Accepted);
    assert!(matches!(commands(&mut node).as_slice(), [Command::NoteReported { .. }]));
}

/// A task in bridge mode with a port that its node chooses.
fn bridged() -> acs::Task {
    let mapping = acs::PortMapping { container_port: 80, host_port: 0, protocol: "tcp".into() };
    let web = acs::Container { port_mappings: vec![mapping], ..container("web", true) };
    let task = message(vec![web, container("side", false)]);
    acs::Task { network_mode: "bridge".into(), elastic_network_interfaces: Vec::new(), ..task }
}

#[test]
fn a_bridged_task_has_a_network_for_each_container_and_tells_its_ports() {
    let mut node = ready_node();
    node.handle_frame(1, &payload(bridged()));
    let Some(Command::Record { record, .. }) = commands(&mut node).pop() else { panic!("no record") };
    node.handle_event(2, Event::Recorded { task: key(), error: None });
    let wanted = PortMapping { container: 80, host: 0, protocol: Protocol::Tcp };
    let orders = commands(&mut node);
    let Command::AttachNetwork { attachment, .. } = &orders[0] else { panic!("{orders:?}") };
    assert_eq!(*attachment, Attachment::Bridge(vec![vec![wanted], Vec::new()]));
    let bound = PortMapping { host: 40_000, ..wanted };
    let networks = || {
        let network = |last, bindings: &[PortMapping]| ContainerNetwork {
            address: Some([172, 24, 0, last].into()),
            dns: vec![[172, 31, 0, 2].into()],
            dns_search: vec!["lan".into()],
            bindings: bindings.to_vec(),
        };
        Event::NetworkReady { task: key(), containers: vec![network(2, &[bound]), network(3, &[])] }
    };
    node.handle_event(3, networks());
    node.handle_event(4, Event::Supervised { task: key() });
    for container in ["web", "side"] {
        let (container, digest) = (container.to_owned(), "sha256:1".to_owned());
        node.handle_event(5, Event::ImageReady { task: key(), container, digest });
    }
    let orders = commands(&mut node);
    let specs = orders.iter().filter_map(|order| match order {
        Command::StartContainer { spec, .. } => {
            Some((spec.network, spec.host_name.clone().unwrap(), spec.hosts.clone()))
        }
        _ => None,
    });
    let name = |number: u8| format!("{}{number:02x}", &KEY[..10]);
    let spec =
        |number: u8| (Joined::Own(number), name(number), vec![(name(number), format!("172.24.0.{}", number + 2))]);
    assert_eq!(specs.collect::<Vec<_>>(), [spec(0), spec(1)]);
    started(&mut node, "web");
    started(&mut node, "side");
    let (_, change) = node.poll_report(8).unwrap();
    assert_eq!((change.attachment, &*change.report.containers[0].bindings), (None, &[bound][..]));
    assert!(change.report.containers[1].bindings.is_empty());

    // The next life asks for the same, and tells it again.
    let mut next = Node::new(Identity::default());
    let found = |name: &str| FoundContainer {
        name: name.into(),
        runtime_id: "r".into(),
        image_digest: "sha256:1".into(),
        started_at: Some(7),
        exit: None,
        attempt: 0,
    };
    let containers = vec![found("web"), found("side")];
    let (record, reported) = (Some(record), Some("RUNNING".to_owned()));
    next.handle_event(20, Event::Found { task: key(), record, supervised: true, containers, reported });
    next.handle_event(20, Event::FoundAll);
    let orders = commands(&mut next);
    assert!(matches!(&orders[..], [Command::AttachNetwork { attachment: Attachment::Bridge(_), .. }]), "{orders:?}");
    next.handle_event(21, networks());
    let (_, change) = next.poll_report(22).unwrap();
    assert_eq!(*change.report.containers[0].bindings, [bound]);
}

#[test]
fn host_and_none_are_joined_as_they_are() {
    for (mode, joined, named) in [("host", Joined::Host, false), ("none", Joined::Own(0), true)] {
        let mut node = ready_node();
        let task = acs::Task {
            network_mode: mode.into(),
            elastic_network_interfaces: Vec::new(),
            ..message(vec![container("web", true)])
        };
        node.handle_frame(1, &payload(task));
        node.handle_event(2, Event::Recorded { task: key(), error: None });
        node.handle_event(3, Event::NetworkReady { task: key(), containers: vec![ContainerNetwork::default()] });
        node.handle_event(4, Event::Supervised { task: key() });
        node.handle_event(5, Event::ImageReady { task: key(), container: "web".into(), digest: "sha256:1".into() });
        let Some(Command::StartContainer { spec, .. }) = commands(&mut node).pop() else { panic!("{mode}") };
        assert_eq!((spec.network, spec.host_name.is_some(), spec.dns.is_empty()), (joined, named, true), "{mode}");
    }
}

#[test]
fn a_stop_signals_waits_kills_releases_reports_and_forgets() {
    let mut node = starting(vec![container("web", true)]);
    started(&mut node, "web");
    let (task, _) = node.poll_report(8).unwrap();
    node.handle_outcome(8, &task, Outcome::Accepted);
    commands(&mut node);
    let stop = acs::Task { desired_status: "STOPPED".into(), containers: Vec::new(), ..message(Vec::new()) };
    node.handle_frame(10, &payload(stop));
    assert!(matches!(commands(&mut node).as_slice(), [Command::StopContainer { force: false, .. }]));
    node.handle_time(2_009);
    assert_eq!(commands(&mut node), []);
    node.handle_time(2_010);
    assert!(matches!(commands(&mut node).as_slice(), [Command::StopContainer { force: true, .. }]));
    node.handle_event(2_011, Event::ContainerExited { task: key(), container: "web".into(), exit: exit(137, 2_011) });
    ends(&mut node, 2_011);
    assert_eq!(node.poll_report(2_011), None, "STOPPED is said when nothing is left");
    node.handle_event(2_012, Event::Released { task: key() });
    let (task, change) = node.poll_report(2_012).unwrap();
    assert_eq!(change.report.status, Some(ContainerStatus::Stopped));
    assert_eq!(change.report.containers[0].exit_code, Some(137));
    node.handle_outcome(2_013, &task, Outcome::Accepted);
    let last = commands(&mut node);
    assert!(matches!(last.as_slice(), [Command::NoteReported { .. }, Command::Forget { .. }]), "{last:?}");
    node.handle_event(2_014, Event::Forgotten { task: key() });
    assert_eq!(node.task_keys().count(), 0);
}

/// A start that hung and came all the same, while the end was written down; and then its supervisor dies.
#[test]
fn a_supervisor_that_dies_while_the_end_is_written_down_is_not_waited_for() {
    let mut node = starting(vec![container("web", true)]);
    commands(&mut node);
    let stop = acs::Task { desired_status: "STOPPED".into(), containers: Vec::new(), ..message(Vec::new()) };
    node.handle_frame(10, &payload(stop));
    node.handle_time(2_010);
    assert!(matches!(commands(&mut node).as_slice(), [Command::Record { .. }]), "it hangs");
    node.handle_event(2_011, Event::ContainerStarted { task: key(), container: "web".into(), at: 2_011 });
    node.handle_event(2_012, Event::SupervisorLost { task: key(), message: "killed".into() });
    node.handle_event(2_013, Event::Recorded { task: key(), error: None });
    assert!(matches!(commands(&mut node).as_slice(), [Command::Release { .. }]), "nobody is there to be stopped");
    node.handle_event(2_014, Event::Released { task: key() });
    let reports: Vec<_> = std::iter::from_fn(|| node.poll_report(2_014)).collect();
    assert_eq!(reports.last().unwrap().1.report.status, Some(ContainerStatus::Stopped), "{reports:?}");
}

#[test]
fn the_end_of_an_essential_container_stops_the_others_and_of_another_does_not() {
    let mut node = starting(vec![container("web", true), container("side", false)]);
    started(&mut node, "web");
    started(&mut node, "side");
    let (task, _) = node.poll_report(8).unwrap();
    node.handle_outcome(8, &task, Outcome::Accepted);
    commands(&mut node);
    node.handle_event(9, Event::ContainerExited { task: key(), container: "side".into(), exit: exit(0, 9) });
    assert_eq!(commands(&mut node), []);
    let (task, told) = node.poll_report(9).unwrap();
    assert_eq!(told.report.status, Some(ContainerStatus::Running));
    node.handle_outcome(9, &task, Outcome::Accepted);
    commands(&mut node);
    node.handle_event(10, Event::ContainerExited { task: key(), container: "web".into(), exit: exit(3, 10) });
    ends(&mut node, 10);
}

#[test]
fn a_restarted_node_keeps_what_runs_and_reports_what_ended() {
    let mut first = ready_node();
    first.handle_frame(1, &payload(message(vec![container("web", true)])));
    let Some(Command::Record { record, .. }) = first.poll_command() else { panic!("no record") };
    let found = |exit: Option<Exit>, supervised| Event::Found {
        task: key(),
        record: Some(record.clone()),
        supervised,
        containers: vec![FoundContainer {
            name: "web".into(),
            runtime_id: "r".into(),
            image_digest: "sha256:1".into(),
            started_at: Some(7),
            exit,
            attempt: 0,
        }],
        reported: Some("RUNNING".into()),
    };
    let revived = |event| {
        let mut node = Node::new(Identity::default());
        node.handle_event(100, event);
        assert_eq!(node.poll_command(), None, "nothing is ordered before everything is found");
        node.handle_event(100, Event::FoundAll);
        node
    };
    let mut running = revived(found(None, true));
    let orders = commands(&mut running);
    assert!(
        !orders.iter().any(|order| matches!(order, Command::StartContainer { .. } | Command::Release { .. })),
        "{orders:?}"
    );
    let mut ended = revived(found(Some(exit(4, 50)), true));
    ends(&mut ended, 100);
    let mut lost = revived(found(None, false));
    ends(&mut lost, 100);
    lost.handle_event(101, Event::Released { task: key() });
    let (_, change) = lost.poll_report(101).unwrap();
    assert_eq!(change.report.containers[0].exit_code, None);
    assert!(change.report.reason.unwrap().contains("supervisor lost"));
}

#[test]
fn a_task_whose_end_is_on_record_is_never_started_again() {
    let mut node = starting(vec![container("web", true)]);
    commands(&mut node);
    node.handle_event(6, Event::NetworkFailed { task: key(), message: "no such device".into() });
    let at = node.next_wake().unwrap();
    node.handle_time(at);
    let record = ends(&mut node, at);
    // The node dies before it hears that STOPPED was heard; nothing else is left of the task.
    let mut revived = Node::new(Identity::default());
    let found =
        Event::Found { task: key(), record: Some(record), supervised: false, containers: Vec::new(), reported: None };
    revived.handle_event(100, found);
    revived.handle_event(100, Event::FoundAll);
    assert!(matches!(commands(&mut revived).as_slice(), [Command::Release { .. }]));
    revived.handle_event(101, Event::Released { task: key() });
    let (_, change) = revived.poll_report(101).unwrap();
    assert_eq!(change.report.status, Some(ContainerStatus::Stopped));
    assert!(change.report.reason.unwrap().contains("no such device"));
}

#[test]
fn a_payload_that_arrives_after_the_end_is_acknowledged_and_starts_nothing() {
    let mut node = ready_node();
    node.handle_frame(1, &payload(message(vec![container("web", true)])));
    commands(&mut node);
    node.handle_event(2, Event::Recorded { task: key(), error: Some("no space left on device".into()) });
    assert_eq!(frames(&mut node), [], "not acknowledged while neither on record nor over");
    ends(&mut node, 2);
    node.handle_event(3, Event::Released { task: key() });
    let (task, _) = node.poll_report(3).unwrap();
    node.handle_outcome(4, &task, Outcome::Accepted);
    node.handle_event(5, Event::Forgotten { task: key() });
    commands(&mut node);
    frames(&mut node);
    node.handle_frame(6, &payload(message(vec![container("web", true)])));
    assert_eq!(commands(&mut node), []);
    assert_eq!(frames(&mut node).len(), 1);
}

#[test]
fn an_old_manifest_is_ignored_and_a_new_one_asks_before_it_stops() {
    let mut node = starting(vec![container("web", true)]);
    started(&mut node, "web");
    frames(&mut node);
    let manifest = |timeline| {
        ToAgent::TaskManifestMessage(acs::Manifest { message_id: "mf".into(), timeline, ..Default::default() })
    };
    node.handle_frame(9, &manifest(3).encode());
    assert_eq!(frames(&mut node), [], "not newer than the payload");
    node.handle_frame(9, &manifest(4).encode());
    let said = frames(&mut node);
    let [ToControl::AckRequest(_), ToControl::TaskStopVerificationMessage(question)] = said.as_slice() else {
        panic!("{said:?}")
    };
    let stops = acs::StopVerificationAck {
        message_id: "mf".into(),
        stop_tasks: question.stop_candidates.clone(),
        ..Default::default()
    };
    commands(&mut node);
    node.handle_frame(10, &ToAgent::TaskStopVerificationAck(stops).encode());
    assert!(matches!(commands(&mut node).as_slice(), [Command::StopContainer { .. }]));
}

/// A session may open before the host has told of every directory: what comes over it must not be lost on a finding.
#[test]
fn a_stop_that_comes_before_the_task_is_found_is_heard() {
    let task = message(vec![container("main", true)]);
    let mut first = ready_node();
    first.handle_frame(1, &payload(task.clone()));
    let record = commands(&mut first).into_iter().find_map(|command| match command {
        Command::Record { record, .. } => Some(record),
        _ => None,
    });
    let mut node = Node::new(Identity { cluster: "default".into(), container_instance_arn: "arn:i".into() });
    node.handle_connected();
    let stop = acs::Task { desired_status: "STOPPED".into(), ..task };
    node.handle_frame(5, &payload(stop));
    assert!(frames(&mut node).is_empty(), "not acknowledged before it is heard");
    let container = FoundContainer {
        name: "main".into(),
        runtime_id: "r1".into(),
        image_digest: "sha256:1".into(),
        started_at: Some(4),
        exit: None,
        attempt: 0,
    };
    let containers = vec![container];
    node.handle_event(6, Event::Found { task: key(), record, supervised: true, containers, reported: None });
    node.handle_event(7, Event::FoundAll);
    let stops = |command: &Command| matches!(command, Command::StopContainer { force: false, .. });
    assert!(commands(&mut node).iter().any(stops));
    assert!(matches!(frames(&mut node).as_slice(), [ToControl::AckRequest(_)]));
}
