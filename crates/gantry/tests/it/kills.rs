//! SIGKILL, which nothing can prepare for, at many moments of tasks' lives: what was acknowledged is there afterwards,
//! containers go on as the same processes, none is doubled or forgotten, and of what has finished nothing is left.

use crate::chaos::foreign;
use crate::host;
use crate::tasks::{WAIT, address, container, id, page, shell};
use crate::world::{GONE, Gantry, PATIENCE, eventually};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Milliseconds between an answer and the kill.
const MOMENTS: [u64; 10] = [0, 1, 3, 6, 9, 13, 18, 25, 60, 250];

/// Namespaces that a node keeps ready.
const POOL: usize = 4;

/// Who is killed, and started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    /// Both halves in one process.
    Up,
    /// The control plane of two processes.
    Control,
    /// The node of two processes.
    Node,
}

impl Victim {
    fn verb(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Control => "control",
            Self::Node => "node",
        }
    }
}

/// A deployment with one task that lives through everything.
struct Siege {
    gantry: Gantry,
    victim: Victim,
    steady: String,
    before: BTreeSet<(u32, u64)>,
    address: String,
    waiting: String,
}

impl Siege {
    fn begin(victim: Victim) -> Self {
        let mut gantry = Gantry::new();
        match victim {
            Victim::Up => gantry.start("up"),
            Victim::Control | Victim::Node => gantry.start_apart(),
        }
        gantry.load("busybox");
        let waiting = gantry.register("waiting", &[shell("main", WAIT)]);
        let (steady, address) = gantry.server("steady", "echo steady > /www/word");
        assert_eq!(page(&address, "/word"), "steady\n");
        let before = gantry.processes(&steady);
        assert_eq!(before.len(), 1);
        Self { gantry, victim, steady, before, address, waiting }
    }

    /// Waits for the moment, kills, and starts again.
    fn strike(&mut self, answered: Instant, moment: u64) {
        std::thread::sleep(Duration::from_millis(moment).saturating_sub(answered.elapsed()));
        self.gantry.kill(self.victim.verb());
        assert_eq!(self.gantry.processes(&self.steady), self.before, "they run on while nobody watches");
        self.gantry.start(self.victim.verb());
    }

    /// The task that was there before is what it was.
    fn check_steady(&self) {
        let seen = self.gantry.describe(&self.steady);
        assert_eq!((&seen["lastStatus"], &seen["desiredStatus"]), (&json!("RUNNING"), &json!("RUNNING")), "{seen:#}");
        assert_eq!(self.gantry.processes(&self.steady), self.before, "the same processes");
        assert_eq!(page(&self.address, "/word"), "steady\n");
    }

    /// The task runs, once.
    fn check_runs_once(&self, task: &str) {
        self.gantry.listening(task);
        // With cgroup v2 it moves to its task's group once nobody waits for anything.
        eventually("one supervisor", GONE, || match self.gantry.supervisors(task).len() {
            1 => Ok(()),
            count => Err(format!("{count}")),
        });
        let processes = self.gantry.processes(task);
        assert_eq!(processes.len(), 1, "one container: {processes:?}");
    }

    /// The host has nothing but what these tasks need.
    fn check_only(&self, tasks: &[&str]) {
        let node_id = self.gantry.node_id();
        let wanted: BTreeSet<String> = tasks.iter().map(|task| id(task)).collect();
        eventually("clean host", GONE, || {
            let mut odd = Vec::new();
            for group in host::groups(&format!("gantry/{node_id}")) {
                odd.extend(foreign(&group, &wanted));
            }
            odd.extend(foreign(&self.gantry.data_dir().join("tasks"), &wanted));
            odd.extend(foreign(format!("/run/gantry/{node_id}/netns").as_ref(), &wanted));
            odd.extend(foreign(format!("/run/gantry/{node_id}/sup").as_ref(), &wanted));
            odd.extend(self.links(tasks.len()).err());
            if odd.is_empty() { Ok(()) } else { Err(odd.join("\n")) }
        });
    }

    /// Every task has one link in the VPC's namespace; besides, some wait for tasks to come.
    fn links(&self, tasks: usize) -> Result<(), String> {
        let pins = format!("/run/gantry/{}/netns", self.gantry.node_id());
        let entries = std::fs::read_dir(pins).expect("pins").flatten();
        let vpc =
            entries.map(|entry| entry.path()).find(|path| path.to_string_lossy().contains("/vpc-")).expect("a VPC");
        let links = host::links_in(&vpc);
        let others = links.iter().filter(|link| *link != "lo" && !link.starts_with("host@"));
        let count = others.count();
        if (tasks..=tasks + POOL).contains(&count) {
            Ok(())
        } else {
            Err(format!("{tasks} tasks and these links: {links:?}"))
        }
    }
}

/// Kills at ten moments after a task was accepted.
fn while_starting(victim: Victim) {
    let mut siege = Siege::begin(victim);
    for moment in MOMENTS {
        let task = siege.gantry.run(&siege.waiting, 1).remove(0);
        siege.strike(Instant::now(), moment);
        siege.check_runs_once(&task);
        siege.check_steady();
        siege.gantry.stop(&task);
        let stopped = siege.gantry.stopped(&task);
        assert_eq!(container(&stopped, "main")["exitCode"], 0, "after {moment} ms: {stopped:#}");
        siege.gantry.gone(&task);
        siege.check_only(&[&siege.steady]);
    }
    siege.gantry.take_down();
}

/// Kills at moments after a task was told to stop.
fn while_stopping(victim: Victim) {
    let mut siege = Siege::begin(victim);
    for moment in [0, 4, 12, 40] {
        let task = siege.gantry.run(&siege.waiting, 1).remove(0);
        siege.check_runs_once(&task);
        siege.gantry.stop(&task);
        siege.strike(Instant::now(), moment);
        let stopped = siege.gantry.stopped(&task);
        assert_eq!(
            (&stopped["stopCode"], &container(&stopped, "main")["exitCode"]),
            (&json!("UserInitiated"), &json!(0)),
            "after {moment} ms: {stopped:#}"
        );
        siege.gantry.gone(&task);
        siege.check_steady();
        siege.check_only(&[&siege.steady]);
    }
    siege.gantry.take_down();
}

#[test]
fn up_is_killed_while_tasks_start() {
    while_starting(Victim::Up);
}

#[test]
fn control_is_killed_while_tasks_start() {
    while_starting(Victim::Control);
}

#[test]
fn the_node_is_killed_while_tasks_start() {
    while_starting(Victim::Node);
}

#[test]
fn up_is_killed_while_tasks_stop() {
    while_stopping(Victim::Up);
}

#[test]
fn control_is_killed_while_tasks_stop() {
    while_stopping(Victim::Control);
}

#[test]
fn the_node_is_killed_while_tasks_stop() {
    while_stopping(Victim::Node);
}

/// A container that ends while nobody listens has ended with its exit code all the same.
#[test]
fn what_ends_in_the_meantime_is_told_afterwards() {
    let mut siege = Siege::begin(Victim::Up);
    let short = siege.gantry.register("short", &[shell("main", "sleep 0.4; exit 23")]);
    let task = siege.gantry.run(&short, 1).remove(0);
    siege.gantry.running(&task);
    siege.gantry.kill("up");
    eventually("ended container", PATIENCE, || match siege.gantry.processes(&task) {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    });
    siege.gantry.start("up");
    let stopped = siege.gantry.stopped(&task);
    assert_eq!(container(&stopped, "main")["exitCode"], 23, "{stopped:#}");
    assert_eq!(stopped["stoppedReason"], "Essential container in task exited");
    siege.gantry.gone(&task);
    siege.check_steady();
    siege.check_only(&[&siege.steady]);
    siege.gantry.take_down();
}

/// Ten tasks at once, killed in the middle of their starts: each runs once afterwards, with an address of its own.
#[test]
fn ten_tasks_survive_together() {
    let mut siege = Siege::begin(Victim::Up);
    let tasks = siege.gantry.run(&siege.waiting, 10);
    siege.strike(Instant::now(), 15);
    let addresses: BTreeSet<String> = tasks.iter().map(|task| address(&siege.gantry.running(task))).collect();
    assert_eq!(addresses.len(), 10);
    for task in &tasks {
        siege.check_runs_once(task);
    }
    siege.check_steady();
    let all: Vec<&str> = tasks.iter().chain([&siege.steady]).map(String::as_str).collect();
    siege.check_only(&all);
    siege.gantry.take_down();
}
