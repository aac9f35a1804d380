//! The node comes and goes, supervisors die: what stays, what is found, what is taken away.

use crate::world::{World, patient};
use node::hands::{Command, ContainerSpec, Event, TaskLimits};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;

struct Found {
    record: Option<String>,
    supervised: bool,
    containers: Vec<node::hands::FoundContainer>,
    reported: Option<String>,
}

fn recover(world: &mut World, task: &node::hands::TaskKey) -> Found {
    world.runtime().recover();
    let found = world.wait("Found", |event| match event {
        Event::Found { task: of, record, supervised, containers, reported } if of == task => Some(Found {
            record: record.clone(),
            supervised: *supervised,
            containers: containers.clone(),
            reported: reported.clone(),
        }),
        _ => None,
    });
    world.wait("FoundAll", |event| matches!(event, Event::FoundAll).then_some(()));
    found
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).expect("pid"), Signal::KILL).expect("kill");
}

#[test]
fn containers_live_through_a_restart_of_the_node() {
    let mut world = World::new();
    let task = world.task(TaskLimits::default());
    world.start(&task, world.spec(&["sh", "-c", "echo before; sleep 0.3; echo while; exec sleep 60"]));
    world.start(&task, ContainerSpec { name: "short".into(), ..world.spec(&["sh", "-c", "sleep 0.2; exit 3"]) });
    world.started(&task, "main");
    world.started(&task, "short");
    world.perform(Command::NoteReported { task: task.clone(), status: "RUNNING".into() });
    let before = world.processes(&task);
    world.close();
    std::thread::sleep(std::time::Duration::from_millis(600));
    world.open();
    let found = recover(&mut world, &task);
    assert!(found.supervised);
    assert_eq!(found.record, Some(format!("record of {task}")));
    assert_eq!(found.reported.as_deref(), Some("RUNNING"));
    let by_name = |name: &str| found.containers.iter().find(|c| c.name == name).expect("container").clone();
    assert!(by_name("main").exit.is_none() && by_name("main").started_at.is_some());
    assert_eq!(by_name("short").exit.expect("an end").code, Some(3));
    let after = world.processes(&task);
    assert!(after.iter().all(|pid| before.contains(pid)), "{before:?} {after:?}");
    assert!(after.len() >= 2);
    assert!(world.printed(&task, "main").contains("while"), "output was kept meanwhile");
    world.perform(Command::StopContainer { task: task.clone(), container: "main".into(), force: true });
    assert_eq!(world.exited(&task, "main").code, Some(137));
    world.release(&task);
    world.assert_nothing_left(&task);
}

#[test]
fn a_supervisor_that_dies_is_missed_at_once_and_cleared_away() {
    let mut world = World::new();
    let task = world.task(TaskLimits::default());
    world.start(&task, world.spec(&["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]));
    world.started(&task, "main");
    kill(world.supervisor_pid(&task));
    world.wait("SupervisorLost", |event| {
        matches!(event, Event::SupervisorLost { task: of, .. } if *of == task).then_some(())
    });
    assert!(!world.processes(&task).is_empty(), "the container is still there");
    world.release(&task);
    assert!(world.processes(&task).is_empty());
    world.assert_nothing_left(&task);
}

#[test]
fn a_supervisor_that_died_while_the_node_was_away_is_found_dead() {
    let mut world = World::new();
    let task = world.task(TaskLimits::default());
    world.start(&task, ContainerSpec { name: "done".into(), ..world.spec(&["false"]) });
    assert_eq!(world.exited(&task, "done").code, Some(1));
    world.start(&task, world.spec(&["sleep", "60"]));
    world.started(&task, "main");
    world.close();
    kill(world.supervisor_pid(&task));
    std::thread::sleep(std::time::Duration::from_millis(50));
    world.open();
    let found = recover(&mut world, &task);
    assert!(!found.supervised);
    let names: Vec<&str> = found.containers.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["done"], "what is known is what was recorded");
    world.release(&task);
    world.assert_nothing_left(&task);
}

#[test]
fn what_belongs_to_no_task_is_swept() {
    let mut world = World::new();
    let task = world.task(TaskLimits::default());
    world.start(&task, world.spec(&["sleep", "60"]));
    world.started(&task, "main");
    let supervisor = world.supervisor_pid(&task);
    world.close();
    fs::remove_dir_all(world.data.join(format!("tasks/{task}"))).expect("lose the directory");
    world.open();
    world.assert_nothing_left(&task);
    let stat = fs::read_to_string(format!("/proc/{supervisor}/stat")).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
}

#[test]
fn spares_do_not_outlive_the_node() {
    let mut world = World::new();
    world.task(TaskLimits::default());
    // Each waits in a group of its own, named after its process.
    let spares = |world: &World| world.waiting();
    let deadline = std::time::Instant::now() + patient(std::time::Duration::from_secs(5));
    while spares(&world).is_empty() && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(!spares(&world).is_empty());
    world.close();
    let deadline = std::time::Instant::now() + patient(std::time::Duration::from_secs(5));
    while !spares(&world).is_empty() {
        assert!(std::time::Instant::now() < deadline, "spares stay");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Not a test of its own: the node that the next one kills.
#[test]
#[ignore = "started by `containers_live_through_a_killed_node`"]
fn a_node_to_be_killed() {
    let Ok(node_id) = std::env::var("NODE_TO_BE_KILLED") else { return };
    let mut world = World::of(&node_id);
    let task = world.task(TaskLimits::default());
    world.start(&task, world.spec(&["sh", "-c", "sleep 0.4; echo alone; exec sleep 60"]));
    world.started(&task, "main");
    println!("READY {task}");
    std::thread::sleep(std::time::Duration::from_secs(60));
}

#[test]
fn containers_live_through_a_killed_node() {
    use std::io::BufRead;
    let node_id = World::new_id();
    let mut node = std::process::Command::new(std::env::current_exe().expect("test binary"))
        .args(["--exact", "restart::a_node_to_be_killed", "--ignored", "--nocapture"])
        .env("NODE_TO_BE_KILLED", &node_id)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("node");
    let lines = std::io::BufReader::new(node.stdout.take().expect("stdout")).lines();
    let task = lines
        .map_while(Result::ok)
        .find_map(|line| node::hands::TaskKey::new(line.split_once("READY ")?.1))
        .expect("a task");
    node.kill().expect("kill");
    node.wait().expect("wait");
    std::thread::sleep(std::time::Duration::from_millis(600));
    let mut world = World::of(&node_id);
    world.adopt(&task);
    let found = recover(&mut world, &task);
    assert!(found.supervised);
    assert!(found.containers[0].exit.is_none());
    assert_eq!(world.printed(&task, "main"), "alone\n");
    world.release(&task);
    assert_eq!(world.exited(&task, "main").code, Some(137));
    world.assert_nothing_left(&task);
}
