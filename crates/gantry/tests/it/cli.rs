//! The verbs of the command line that change or keep more than one task: services, history, backup and restore.

use crate::tasks::{WAIT, definition, id, shell};
use crate::world::{Gantry, PATIENCE, eventually};
use serde_json::{Value, json};
use std::fs;
use std::process::Output;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn ok(gantry: &Gantry, arguments: &[&str]) -> String {
    let done = gantry.cli(arguments);
    assert!(done.status.success(), "{arguments:?}: {}", said(&done));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn json_of(gantry: &Gantry, arguments: &[&str]) -> Value {
    serde_json::from_str(&ok(gantry, &[arguments, &["--output", "json"]].concat())).expect("JSON")
}

/// A file with a task definition of one container.
fn file(gantry: &Gantry, family: &str, script: &str) -> String {
    let path = gantry.directory.join(format!("{family}.json"));
    fs::write(&path, definition(family, &[shell("main", script)]).to_string()).expect("a file");
    path.to_string_lossy().into_owned()
}

#[test]
fn services_from_the_command_line() {
    let gantry = Gantry::up();
    let first = file(&gantry, "first", WAIT);
    let made = json_of(&gantry, &["service", "create", "web", &first, "-n", "2"]);
    assert_eq!((&made["runningCount"], &made["desiredCount"]), (&json!(2), &json!(2)), "{made:#}");
    let second = file(&gantry, "second", WAIT);
    let updated = json_of(&gantry, &["service", "update", "web", "--definition", &second, "-n", "1"]);
    assert_eq!((&updated["runningCount"], &updated["desiredCount"]), (&json!(1), &json!(1)), "{updated:#}");
    assert!(updated["taskDefinition"].as_str().expect("a definition").ends_with("second:1"), "{updated:#}");
    let listed = json_of(&gantry, &["service", "ls"]);
    assert_eq!(listed[0]["serviceName"], "web");
    let events = ok(&gantry, &["service", "events", "web"]);
    assert!(events.contains("has reached a steady state"), "{events}");
    let shown = ok(&gantry, &["ps"]);
    assert!(shown.contains("web") && shown.contains("service:web") && shown.contains("RUNNING"), "{shown}");
    let missing = gantry.cli(&["service", "update", "nothing", "-n", "1"]);
    assert!(said(&missing).starts_with("gantry: ServiceNotFoundException"), "{}", said(&missing));
    let gone = json_of(&gantry, &["service", "rm", "web"]);
    assert_eq!(gone["status"], "INACTIVE");
    assert_eq!(json_of(&gantry, &["ps"]), json!([]));
    gantry.take_down();
}

#[test]
fn top_tells_what_tasks_use() {
    let gantry = Gantry::up();
    let busy = gantry.task("busy", &[shell("main", "while :; do :; done")]);
    let calm = gantry.task("calm", &[shell("main", WAIT)]);
    gantry.running(&busy);
    gantry.running(&calm);
    let seen = json_of(&gantry, &["top", "--once"]);
    let first = &seen[0];
    assert_eq!((first["task"].as_str(), first["group"].as_str()), (Some(&*id(&busy)), Some("family:busy")), "{seen:#}");
    // A quarter of a core is its limit.
    let percent = first["cpuPercent"].as_f64().expect("a number");
    assert!((5.0..40.0).contains(&percent), "{seen:#}");
    assert!(seen[1]["cpuPercent"].as_f64().expect("a number") < 5.0, "{seen:#}");
    assert_eq!(seen[1]["memoryLimit"], 512 << 20, "{seen:#}");
    assert!(seen[1]["memoryBytes"].as_u64().expect("a number") > 0, "{seen:#}");
    gantry.take_down();
}

#[test]
fn history_tells_what_happened_to_a_task() {
    let gantry = Gantry::up();
    let task = gantry.ended("told", &[shell("main", "exit 4")]);
    let arn = task["taskArn"].as_str().expect("an ARN");
    let told = ok(&gantry, &["history", &id(arn)[..12]]);
    let kinds: Vec<&str> = told.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    assert_eq!(kinds.first(), Some(&"TaskAccepted"), "{told}");
    assert!(kinds.iter().skip(1).all(|kind| kind.starts_with("Task")), "{told}");
    assert!(told.contains("main exit 4"), "{told}");
    let whole = ok(&gantry, &["history", "-n", "1000"]);
    assert!(whole.lines().next().expect("a line").contains("Opened"), "{whole}");
    assert_eq!(ok(&gantry, &["history", "-n", "2"]).lines().count(), 2);
    gantry.take_down();
}

/// What is restored is what was there; what came after the backup is gone, from the hosts as well.
#[test]
fn a_backup_is_restored() {
    let mut gantry = Gantry::up();
    let (kept, address) = gantry.server("kept", "echo kept > /www/word");
    gantry.ecs("CreateCluster", json!({ "clusterName": "before" }));
    let file = gantry.directory.join("backup.tar").to_string_lossy().into_owned();
    ok(&gantry, &["backup", &file]);
    assert!(said(&gantry.cli(&["backup", &file])).contains("File exists"), "a backup is never overwritten");
    gantry.ecs("CreateCluster", json!({ "clusterName": "after" }));
    let (lost, _) = gantry.server("lost", "echo lost > /www/word");
    let refused = gantry.cli(&["restore", "--replace", &file]);
    assert!(said(&refused).contains("stop the server first"), "{}", said(&refused));
    let before = gantry.processes(&kept);
    gantry.kill("up");
    let refused = gantry.cli(&["restore", &file]);
    assert!(said(&refused).contains("--replace"), "{}", said(&refused));
    fs::write(gantry.directory.join("broken.tar"), &fs::read(&file).expect("backup")[..4096]).expect("a file");
    let broken = gantry.directory.join("broken.tar").to_string_lossy().into_owned();
    assert!(!gantry.cli(&["restore", "--replace", &broken]).status.success(), "half a backup is none");
    ok(&gantry, &["restore", "--replace", &file]);
    gantry.start("up");
    let clusters = gantry.ecs("DescribeClusters", json!({ "clusters": ["before", "after"] }));
    assert_eq!(clusters["clusters"][0]["clusterName"], "before", "{clusters:#}");
    assert_eq!(clusters["failures"][0]["reason"], "MISSING", "{clusters:#}");
    eventually("task that runs on", PATIENCE, || match gantry.describe(&kept)["lastStatus"].as_str() {
        Some("RUNNING") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(gantry.processes(&kept), before);
    assert_eq!(crate::tasks::page(&address, "/word"), "kept\n");
    gantry.gone(&lost);
    // A server that is not running is backed up as well.
    gantry.terminate("up");
    let second = gantry.directory.join("second.tar").to_string_lossy().into_owned();
    ok(&gantry, &["backup", &second]);
    gantry.take_down();
}

#[test]
fn shells_are_told_what_to_complete() {
    let gantry = Gantry::new();
    for shell in ["bash", "zsh", "fish"] {
        let done = std::process::Command::new(crate::world::program()).args(["completion", shell]).output();
        let script = String::from_utf8(done.expect("the program").stdout).expect("text");
        assert!(script.contains("timeline") && script.contains("restore"), "{shell}");
    }
    gantry.take_down_nothing();
}

#[test]
fn a_plan_tells_what_an_update_then_does() {
    let gantry = Gantry::up();
    let first = file(&gantry, "planned", WAIT);
    json_of(&gantry, &["service", "create", "web", &first, "-n", "2"]);
    let before = gantry.ecs("ListTasks", json!({}))["taskArns"].clone();
    let data_dir = gantry.data_dir().to_string_lossy().into_owned();
    let plan = |extra: &[&str]| {
        let verb = ["plan", "--data-dir", &data_dir, "--output", "json", "update-service", "--service", "web"];
        let mut command = std::process::Command::new(crate::world::program());
        let done = command.args(verb).args(extra).output().expect("gantry plan");
        let plan: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{}", said(&done)));
        (done.status.success(), plan)
    };
    let (fine, told) = plan(&["--force-new-deployment"]);
    assert!(fine && told["outcome"] == "COMPLETED", "{told:#}");
    assert_eq!(gantry.ecs("ListTasks", json!({}))["taskArns"], before, "nothing is altered by a plan");
    let actions: Vec<&str> =
        told["steps"].as_array().expect("steps").iter().filter_map(|s| s["action"].as_str()).collect();
    assert_eq!(actions.iter().filter(|action| **action == "START").count(), 2, "{told:#}");
    assert!(told["basis"].to_string().contains("the median of 2 of that family"), "{told:#}");
    let began = std::time::Instant::now();
    json_of(&gantry, &["service", "update", "web", "--force"]);
    let took = began.elapsed().as_millis() as i64;
    let estimate = told["durationMs"].as_i64().expect("an estimate");
    assert!((estimate / 3..estimate * 3 + 1000).contains(&took), "{estimate} ms were told, {took} ms it took");
    let (fine, told) = plan(&["--desired-count", "4000"]);
    assert!(!fine && told["outcome"] == "BLOCKED", "{}", told["blocked"]);
    gantry.take_down();
}
