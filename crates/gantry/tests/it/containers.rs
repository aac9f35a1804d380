//! Containers through the deaths of their node: started again in their place, and checked on.

use crate::tasks::{id, shell};
use crate::world::{Gantry, PATIENCE, eventually};
use rustix::process::{Pid, Signal};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;

impl Gantry {
    /// The first process of the task's only container, once there is another one than `before`.
    fn next_process(&self, task: &str, before: Option<u32>) -> u32 {
        eventually("a process of the container", PATIENCE, || {
            let found: BTreeSet<(u32, u64)> = self.processes(task);
            match found.iter().next() {
                Some((pid, _)) if Some(*pid) != before => Ok(*pid),
                _ => Err(format!("{found:?}")),
            }
        })
    }

    /// What its container has written, once there are so many lines of it.
    fn runs(&self, pid: u32, lines: usize) {
        eventually("lines of each run", PATIENCE, || {
            let text = fs::read_to_string(format!("/proc/{pid}/root/runs")).unwrap_or_default();
            if text.lines().count() == lines { Ok(()) } else { Err(text) }
        });
    }
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, Signal::KILL).expect("kill");
}

/// The policy's least period is a minute, which is too long for a test: the node's record of the task is made to say less
/// while the node is away.
#[test]
fn a_container_is_started_again_in_its_place() {
    let mut gantry = Gantry::up();
    let mut main = shell("main", "echo run >> /runs; sleep 600 & wait");
    main["restartPolicy"] = json!({ "enabled": true, "restartAttemptPeriod": 60 });
    let task = gantry.task("again", &[main]);
    gantry.running(&task);
    let first = gantry.next_process(&task, None);
    gantry.runs(first, 1);
    gantry.kill("up");
    let path = gantry.data_dir().join("tasks").join(id(&task)).join("task.json");
    let record = fs::read_to_string(&path).expect("a record");
    assert!(record.contains("\"restartAttemptPeriod\":60"), "{record}");
    fs::write(&path, record.replace("\"restartAttemptPeriod\":60", "\"restartAttemptPeriod\":0")).expect("write");
    gantry.start("up");
    kill(first);
    let second = gantry.next_process(&task, Some(first));
    gantry.runs(second, 2);
    // It ends while the node is away: the next life of the node starts it again.
    gantry.kill("up");
    kill(second);
    gantry.start("up");
    let third = gantry.next_process(&task, Some(second));
    gantry.runs(third, 3);
    let seen = gantry.describe(&task);
    assert_eq!((&seen["lastStatus"], &seen["containers"][0]["lastStatus"]), (&json!("RUNNING"), &json!("RUNNING")));
    // And it lives on through another death as the same process.
    gantry.kill("up");
    gantry.start("up");
    gantry.stop(&task);
    let stopped = gantry.stopped(&task);
    assert_eq!(stopped["stopCode"], "UserInitiated", "{stopped:#}");
    gantry.gone(&task);
    gantry.take_down();
}

#[test]
fn health_is_kept_and_checked_on_after_a_kill() {
    let mut gantry = Gantry::up();
    let mut main = shell("main", "touch /ok; sleep 600 & wait");
    main["healthCheck"] = json!({ "command": ["CMD", "test", "-f", "/ok"], "interval": 5, "retries": 1 });
    let task = gantry.task("checked", &[main]);
    let health = |gantry: &Gantry, wanted: &str| {
        eventually(wanted, PATIENCE, || {
            let seen = gantry.describe(&task);
            if seen["healthStatus"] == wanted { Ok(()) } else { Err(format!("{seen:#}")) }
        });
    };
    health(&gantry, "HEALTHY");
    let pid = gantry.next_process(&task, None);
    gantry.kill("up");
    gantry.start("up");
    assert_eq!(gantry.describe(&task)["healthStatus"], "HEALTHY", "the last word stands");
    fs::remove_file(format!("/proc/{pid}/root/ok")).expect("the file");
    health(&gantry, "UNHEALTHY");
    assert_eq!(gantry.describe(&task)["lastStatus"], "RUNNING", "a task of no service is only reported");
    fs::write(format!("/proc/{pid}/root/ok"), "").expect("the file");
    health(&gantry, "HEALTHY");
    gantry.stop(&task);
    gantry.stopped(&task);
    gantry.gone(&task);
    gantry.take_down();
}
