//! What containers of a task are to each other, whether they work, and whether they are started again.

use super::{KEY, commands, container, ends, exit, key, message, payload, ready_node, started, starting};
use link::acs;
use link::tcs::PublishHealth;
use model::task::ContainerStatus;
use node::hands::{Command, Event, Exit, FoundContainer};
use node::{Identity, Node, Outcome};

fn depends(name: &str, on: &[(&str, &str)]) -> acs::Container {
    let dependency = |(name, condition): &(&str, &str)| acs::Dependency {
        container_name: (*name).into(),
        condition: (*condition).into(),
    };
    acs::Container { depends_on: on.iter().map(dependency).collect(), ..container(name, true) }
}

fn checked(name: &str) -> acs::Container {
    let second = 1_000_000_000;
    let healthcheck = acs::Healthcheck {
        test: vec!["CMD".into(), "/check".into()],
        interval: 5 * second,
        timeout: 2 * second,
        start_period: 0,
        retries: 1,
    };
    let config = acs::Config { healthcheck: Some(healthcheck), ..Default::default() };
    let mut checked = container(name, true);
    checked.docker_config.config = serde_json::to_string(&config).unwrap();
    checked.health_check_type = Some("docker".into());
    checked
}

fn restarting(name: &str, period: i64) -> acs::Container {
    let policy =
        acs::RestartPolicy { enabled: true, ignored_exit_codes: vec![0], restart_attempt_period: Some(period) };
    acs::Container { restart_policy: Some(policy), ..container(name, true) }
}

/// The names of containers that were just ordered to start, stop or be checked.
fn ordered(node: &mut Node) -> Vec<String> {
    let name = |command: Command| match command {
        Command::StartContainer { spec, .. } if spec.attempt > 0 => {
            Some(format!("start {} {}", spec.name, spec.attempt))
        }
        Command::StartContainer { spec, .. } => Some(format!("start {}", spec.name)),
        Command::StopContainer { container, force: false, .. } => Some(format!("stop {container}")),
        Command::StopContainer { container, .. } => Some(format!("kill {container}")),
        Command::CheckHealth { container, .. } => Some(format!("check {container}")),
        _ => None,
    };
    commands(node).into_iter().filter_map(name).collect()
}

fn exited(node: &mut Node, name: &str, code: i32, at: u64) {
    node.handle_event(at, Event::ContainerExited { task: key(), container: name.into(), exit: exit(code, at) });
}

fn checked_with(node: &mut Node, name: &str, code: i32, at: u64) {
    node.handle_event(at, Event::HealthChecked { task: key(), container: name.into(), code });
}

fn stop(node: &mut Node, now: u64) {
    let stop = acs::Task { desired_status: "STOPPED".into(), containers: Vec::new(), ..message(Vec::new()) };
    node.handle_frame(now, &payload(stop));
}

/// What the node publishes now: statuses by container.
fn published(node: &mut Node, now: u64) -> Vec<(String, String)> {
    let frames: Vec<String> = std::iter::from_fn(|| node.poll_telemetry(now)).collect();
    let tasks = frames.iter().flat_map(|frame| PublishHealth::decode(frame).unwrap().tasks);
    let containers = tasks.flat_map(|task| {
        assert!(task.task_arn.ends_with(KEY));
        task.containers
    });
    containers.map(|container| (container.container_name, container.health_status)).collect()
}

#[test]
fn containers_start_in_order_and_stop_in_reverse() {
    let init = acs::Container { essential: false, ..container("init", true) };
    let chain = vec![depends("web", &[("db", "HEALTHY"), ("init", "SUCCESS")]), init, checked("db")];
    let mut node = starting(chain);
    assert_eq!(ordered(&mut node), ["start init", "start db"]);
    started(&mut node, "init");
    started(&mut node, "db");
    exited(&mut node, "init", 0, 8);
    assert_eq!(ordered(&mut node), ["check db"], "exited well, but the other is not healthy yet");
    checked_with(&mut node, "db", 0, 9);
    assert_eq!(ordered(&mut node), ["start web"]);
    let (task, told) = node.poll_report(9).unwrap();
    assert_eq!(told.report.status, Some(ContainerStatus::Pending), "not before all have started");
    node.handle_outcome(9, &task, Outcome::Accepted);
    started(&mut node, "web");
    assert_eq!(node.poll_report(10).unwrap().1.report.status, Some(ContainerStatus::Running));
    node.handle_outcome(10, &task, Outcome::Accepted);
    commands(&mut node);
    stop(&mut node, 20);
    assert_eq!(ordered(&mut node), ["stop web"], "what it depends on goes on until it has ended");
    exited(&mut node, "web", 143, 21);
    assert_eq!(ordered(&mut node), ["stop db"]);
    exited(&mut node, "db", 143, 22);
    ends(&mut node, 22);
}

/// The reason for which a task ended before it had started.
fn reason_of_end(node: &mut Node, now: u64) -> String {
    commands(node);
    node.handle_event(now, Event::Recorded { task: key(), error: None });
    commands(node);
    node.handle_event(now, Event::Released { task: key() });
    let (_, told) = node.poll_report(now).unwrap();
    assert_eq!(told.report.status, Some(ContainerStatus::Stopped));
    let reasons: Vec<String> =
        told.report.containers.iter().filter_map(|container| container.reason.as_deref().map(str::to_owned)).collect();
    reasons.join("; ")
}

#[test]
fn a_dependency_that_cannot_come_true_ends_the_task() {
    let init = |timeout| acs::Container { essential: false, start_timeout: timeout, ..container("init", true) };
    let mut failed = starting(vec![init(None), depends("web", &[("init", "SUCCESS")])]);
    started(&mut failed, "init");
    exited(&mut failed, "init", 2, 8);
    let reason = reason_of_end(&mut failed, 8);
    assert!(reason.starts_with("CannotStartContainerError: dependency graph: failed to resolve"), "{reason}");
    assert!(reason.contains("[init] for target [web]") && reason.ends_with("did not exit successfully"), "{reason}");

    let mut late = starting(vec![init(Some(3)), depends("web", &[("init", "COMPLETE")])]);
    started(&mut late, "init");
    commands(&mut late);
    assert_eq!(late.next_wake(), Some(3_007), "from its start");
    late.handle_time(3_006);
    assert_eq!(ordered(&mut late), Vec::<String>::new());
    late.handle_time(3_007);
    assert_eq!(ordered(&mut late), ["stop init"]);
    exited(&mut late, "init", 143, 3_008);
    let reason = reason_of_end(&mut late, 3_008);
    assert!(reason.ends_with("dependency [init] for target [web] has timed out"), "{reason}");

    let mut never = starting(vec![init(None), depends("web", &[("init", "START")])]);
    let exit = Exit { code: None, out_of_memory: false, reason: Some("CannotCreateContainerError: x".into()), at: 6 };
    never.handle_event(6, Event::ContainerFailed { task: key(), container: "init".into(), exit });
    assert!(reason_of_end(&mut never, 6).contains("as dependency will never start"));
}

#[test]
fn health_is_published_when_it_changes_and_again_now_and_then() {
    let mut node = starting(vec![checked("web"), container("side", false)]);
    commands(&mut node);
    node.handle_telemetry_connected(5);
    started(&mut node, "web");
    assert_eq!(ordered(&mut node), ["check web"], "at once");
    assert_eq!(published(&mut node, 7), []);
    checked_with(&mut node, "web", 0, 8);
    let healthy = [("web".to_owned(), "HEALTHY".to_owned())];
    assert_eq!(published(&mut node, 8), healthy);
    assert_eq!(published(&mut node, 8), []);
    node.handle_time(5_008);
    assert_eq!(ordered(&mut node), ["check web"], "after the interval");
    checked_with(&mut node, "web", 1, 5_010);
    assert_eq!(published(&mut node, 5_010), [("web".to_owned(), "UNHEALTHY".to_owned())]);
    node.handle_time(10_010);
    assert_eq!(ordered(&mut node), ["check web"]);
    checked_with(&mut node, "web", 0, 10_011);
    assert_eq!(published(&mut node, 10_011), healthy);
    node.handle_telemetry_connected(10_012);
    assert_eq!(published(&mut node, 10_012), healthy, "a new session hears all");
    node.handle_time(30_012);
    assert_eq!(published(&mut node, 30_012), healthy, "what was lost is said again");
    assert_eq!(ordered(&mut node), ["check web"]);
    stop(&mut node, 30_013);
    checked_with(&mut node, "web", 1, 30_014);
    node.handle_time(36_000);
    assert_eq!(ordered(&mut node), ["stop web", "kill web"], "what is stopping is not checked");
}

#[test]
fn a_restarted_node_checks_at_once_and_says_nothing_before() {
    let mut first = ready_node();
    first.handle_frame(1, &payload(message(vec![checked("web")])));
    let Some(Command::Record { record, .. }) = first.poll_command() else { panic!("no record") };
    let mut node = Node::new(Identity::default());
    let web = FoundContainer {
        name: "web".into(),
        runtime_id: "r".into(),
        image_digest: "sha256:1".into(),
        started_at: Some(7),
        exit: None,
        attempt: 0,
    };
    let found = Event::Found {
        task: key(),
        record: Some(record),
        supervised: true,
        containers: vec![web],
        reported: Some("RUNNING".into()),
    };
    node.handle_event(100_000, found);
    node.handle_event(100_000, Event::FoundAll);
    node.handle_telemetry_connected(100_000);
    assert_eq!(ordered(&mut node), ["check web"]);
    assert_eq!(published(&mut node, 100_000), [], "the control plane's last word stands");
    checked_with(&mut node, "web", 1, 100_001);
    assert_eq!(published(&mut node, 100_001), [("web".to_owned(), "UNHEALTHY".to_owned())]);
}

#[test]
fn a_container_is_started_again_as_its_policy_has_it() {
    let mut node = starting(vec![restarting("web", 60)]);
    commands(&mut node);
    started(&mut node, "web");
    let (task, _) = node.poll_report(8).unwrap();
    node.handle_outcome(8, &task, Outcome::Accepted);
    commands(&mut node);
    exited(&mut node, "web", 1, 60_007);
    assert_eq!(ordered(&mut node), ["start web 1"]);
    assert_eq!(node.poll_report(60_008), None, "nobody needs to hear of it");
    let at = 60_100;
    node.handle_event(at, Event::ContainerStarted { task: key(), container: "web".into(), at });
    let told = node.poll_report(at).map(|(_, told)| told.report);
    assert!(told.is_none_or(|told| told.containers[0].status == Some(ContainerStatus::Running)));
    node.handle_outcome(at, &task, Outcome::Accepted);
    commands(&mut node);
    exited(&mut node, "web", 1, 60_200);
    ends(&mut node, 60_200);

    let mut well = starting(vec![restarting("web", 60)]);
    commands(&mut well);
    started(&mut well, "web");
    exited(&mut well, "web", 0, 90_000);
    ends(&mut well, 90_000);

    let mut stopping = starting(vec![restarting("web", 60)]);
    commands(&mut stopping);
    started(&mut stopping, "web");
    stop(&mut stopping, 90_000);
    commands(&mut stopping);
    exited(&mut stopping, "web", 143, 90_001);
    ends(&mut stopping, 90_001);
}

#[test]
fn a_restart_is_made_by_a_later_life_of_the_node_too() {
    let mut first = ready_node();
    first.handle_frame(1, &payload(message(vec![restarting("web", 60)])));
    let Some(Command::Record { record, .. }) = first.poll_command() else { panic!("no record") };
    let revived = |attempt, exit: Exit| {
        let mut node = Node::new(Identity::default());
        let web = FoundContainer {
            name: "web".into(),
            runtime_id: "r".into(),
            image_digest: "sha256:1".into(),
            started_at: Some(7),
            exit: Some(exit),
            attempt,
        };
        let found = Event::Found {
            task: key(),
            record: Some(record.clone()),
            supervised: true,
            containers: vec![web],
            reported: Some("RUNNING".into()),
        };
        node.handle_event(200_000, found);
        node.handle_event(200_000, Event::FoundAll);
        node.handle_event(200_001, Event::NetworkReady { task: key(), containers: Vec::new() });
        node
    };
    assert_eq!(ordered(&mut revived(3, exit(1, 100_000))), ["start web 4"]);
    ends(&mut revived(3, exit(1, 100)), 200_001);
}

#[test]
fn volumes_of_a_task_are_mounts_of_its_containers() {
    let volume = |name: &str, source_path: &str| acs::Volume {
        name: name.into(),
        kind: "host".into(),
        host: acs::HostVolume { source_path: source_path.into() },
    };
    let point = |volume: &str, path: &str, read_only| acs::MountPoint {
        source_volume: volume.into(),
        container_path: path.into(),
        read_only,
    };
    let web = acs::Container {
        mount_points: vec![point("data", "/data", false), point("own", "/own", true)],
        ..container("web", true)
    };
    let side = acs::Container {
        mount_points: vec![point("own", "/own", false)],
        volumes_from: vec![acs::VolumeFrom { source_container: "web".into(), read_only: true }],
        ..container("side", true)
    };
    let mut node = ready_node();
    let task = acs::Task { volumes: vec![volume("data", "/srv"), volume("own", "")], ..message(vec![web, side]) };
    node.handle_frame(1, &payload(task));
    node.handle_event(2, Event::Recorded { task: key(), error: None });
    node.handle_event(3, Event::NetworkReady { task: key(), containers: Vec::new() });
    node.handle_event(4, Event::Supervised { task: key() });
    for container in ["web", "side"] {
        node.handle_event(5, Event::ImageReady { task: key(), container: container.into(), digest: "d".into() });
    }
    let mounts = |command: Command| match command {
        Command::StartContainer { spec, .. } => {
            let mounts = spec.mounts.iter();
            Some(mounts.map(|m| format!("{:?} {} {}", m.source, m.path, m.read_only)).collect::<Vec<_>>())
        }
        _ => None,
    };
    let mounts: Vec<_> = commands(&mut node).into_iter().filter_map(mounts).collect();
    assert_eq!(mounts[0], [r#"Host("/srv") /data false"#, r#"Task("own") /own true"#]);
    assert_eq!(mounts[1], [r#"Task("own") /own false"#, r#"Host("/srv") /data true"#]);
}

#[test]
fn what_a_definition_says_of_names_and_memory_reaches_the_container() {
    let host = acs::HostConfig {
        dns: vec!["10.1.2.3".into()],
        dns_search: vec!["one.test".into(), "two.test".into()],
        extra_hosts: vec!["peer:10.0.0.9".into(), "six:fd00::1".into()],
        shm_size: Some(8 << 20),
        tmpfs: [("/scratch".to_owned(), "defaults,noexec,mode=1777,size=4m".to_owned())].into(),
        ..Default::default()
    };
    let mut web = container("web", true);
    web.docker_config.host_config = serde_json::to_string(&host).unwrap();
    let mut node = starting(vec![web]);
    let orders = commands(&mut node);
    let Some(Command::StartContainer { spec, .. }) = orders.last() else { panic!("{orders:?}") };
    let dns: Vec<String> = spec.dns.iter().map(ToString::to_string).collect();
    assert_eq!((dns, &spec.dns_search), (vec!["10.1.2.3".to_owned()], &host.dns_search));
    let hosts: Vec<(&str, &str)> = spec.hosts.iter().map(|(name, address)| (name.as_str(), address.as_str())).collect();
    assert_eq!(hosts, [("ip-172-31-0-4.ec2.internal", "172.31.0.4"), ("peer", "10.0.0.9"), ("six", "fd00::1")]);
    assert_eq!(spec.shm_bytes, Some(8 << 20));
    assert_eq!(spec.tmpfs, [("/scratch".to_owned(), 4 << 20, vec!["noexec".to_owned(), "mode=1777".to_owned()])]);
}
