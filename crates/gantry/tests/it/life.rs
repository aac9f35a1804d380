//! What becomes of a task's containers: which end takes the task along, how they are asked to end, what overrides change,
//! and what the command line says of it.

use crate::tasks::{SERVE, WAIT, address, container, page, shell};
use crate::world::{Gantry, PATIENCE, eventually, patient};
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

#[test]
fn a_helper_may_end_and_the_task_goes_on() {
    let gantry = Gantry::up();
    let mut helper = shell("helper", "exit 3");
    helper["essential"] = json!(false);
    let task = gantry.task("helped", &[shell("main", WAIT), helper]);
    let seen = eventually("ended helper", PATIENCE, || {
        let seen = gantry.describe(&task);
        let ended = container(&seen, "helper")["lastStatus"] == "STOPPED" && seen["lastStatus"] == "RUNNING";
        if ended { Ok(seen) } else { Err(format!("{seen:#}")) }
    });
    assert_eq!(container(&seen, "helper")["exitCode"], 3);
    std::thread::sleep(Duration::from_millis(500));
    let still = gantry.describe(&task);
    assert_eq!((&still["lastStatus"], &still["desiredStatus"]), (&json!("RUNNING"), &json!("RUNNING")));
    assert_eq!(container(&still, "main")["lastStatus"], "RUNNING");
    gantry.listening(&task);
    gantry.stop(&task);
    let stopped = gantry.stopped(&task);
    assert_eq!(container(&stopped, "main")["exitCode"], 0, "it was asked to end, and did: {stopped:#}");
    gantry.take_down();
}

#[test]
fn an_essential_end_takes_the_others_along() {
    let gantry = Gantry::up();
    let task = gantry.ended("pair", &[shell("main", WAIT), shell("short", "sleep 0.3; exit 5")]);
    assert_eq!(container(&task, "short")["exitCode"], 5, "{task:#}");
    assert_eq!(container(&task, "main")["exitCode"], 0, "{task:#}");
    assert_eq!(task["stoppedReason"], "Essential container in task exited");
    gantry.take_down();
}

#[test]
fn one_that_does_not_listen_is_killed_after_its_time() {
    let gantry = Gantry::up();
    let mut deaf = shell("main", "trap '' TERM; while :; do sleep 1; done");
    deaf["stopTimeout"] = json!(1);
    let task = gantry.task("deaf", &[deaf]);
    gantry.running(&task);
    let asked = std::time::Instant::now();
    gantry.stop(&task);
    let stopped = gantry.stopped(&task);
    assert_eq!(container(&stopped, "main")["exitCode"], 137, "{stopped:#}");
    let took = asked.elapsed();
    assert!(took >= Duration::from_millis(900) && took < patient(Duration::from_secs(6)), "{took:?}");
    gantry.take_down();
}

#[test]
fn overrides_change_one_run() {
    let gantry = Gantry::up();
    let mut main = shell("main", "exit 1");
    main["environment"] = json!([{ "name": "KEPT", "value": "definition" }, { "name": "SET", "value": "definition" }]);
    let definition = gantry.register("overridden", &[main]);
    let mut input = gantry.run_input(&definition, 1);
    let script = format!("mkdir -p /www; env > /www/env; {SERVE}");
    input["overrides"] = json!({ "containerOverrides": [{
        "name": "main", "command": ["sh", "-c", script],
        "environment": [{ "name": "SET", "value": "override" }, { "name": "NEW", "value": "override" }],
    }] });
    let answer = gantry.ecs("RunTask", input);
    let task = answer["tasks"][0]["taskArn"].as_str().expect("an ARN").to_owned();
    let seen = gantry.running(&task);
    assert_eq!(seen["overrides"]["containerOverrides"][0]["environment"][1]["value"], "override");
    let env = page(&address(&seen), "/env");
    for line in ["KEPT=definition", "SET=override", "NEW=override"] {
        assert!(env.lines().any(|known| known == line), "{line} in:\n{env}");
    }
    gantry.take_down();
}

/// `gantry run`, `ps`, `timeline`, `stop`: the way without any foreign client.
#[test]
fn our_own_command_line() {
    let gantry = Gantry::up();
    let file = gantry.directory.join("definition.json");
    fs::write(&file, crate::tasks::definition("own", &[shell("main", WAIT)]).to_string()).expect("a file");
    let json_of = |arguments: &[&str]| -> Value {
        let done = gantry.cli(&[arguments, &["--output", "json"]].concat());
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).expect("JSON")
    };
    let task = json_of(&["run", "--detach", &file.to_string_lossy()]);
    let arn = task["taskArn"].as_str().expect("an ARN").to_owned();
    gantry.running(&arn);
    let listed = json_of(&["ps"]);
    assert_eq!((listed[0]["taskArn"].as_str(), listed[0]["lastStatus"].as_str()), (Some(&*arn), Some("RUNNING")));
    let timeline = json_of(&["timeline", &arn]);
    let phases: Vec<&str> =
        timeline["phases"].as_array().expect("phases").iter().filter_map(|p| p["name"].as_str()).collect();
    assert_eq!(phases, ["accepted", "placed", "network ready", "image ready", "created", "started", "running"]);
    let stopped = json_of(&["stop", &crate::tasks::id(&arn)[..8]]);
    assert_eq!(stopped["lastStatus"], "STOPPED");
    assert_eq!(json_of(&["ps"]), json!([]));
    let missing = gantry.cli(&["run", "/no/such/file"]);
    assert!(String::from_utf8_lossy(&missing.stderr).starts_with("gantry: cannot read /no/such/file"));
    gantry.take_down();
}

/// Without --detach, `gantry run` is the task: it ends when the task does, with its exit code.
#[test]
fn run_ends_with_the_tasks_exit_code() {
    let gantry = Gantry::up();
    let file = gantry.directory.join("definition.json");
    fs::write(&file, crate::tasks::definition("code", &[shell("main", "echo out; echo err >&2; exit 9")]).to_string())
        .expect("a file");
    let done = gantry.cli(&["run", &file.to_string_lossy()]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(9), "{said}");
    assert!(said.contains("Essential container in task exited"), "{said}");
    let mut printed: Vec<String> = String::from_utf8_lossy(&done.stdout).lines().map(str::to_owned).collect();
    printed.sort();
    assert_eq!(printed, ["err", "out"], "its output is the task's: {said}");
    gantry.take_down();
}
