//! The stock AWS CLI, as a user types it.

use crate::clients::{aws, aws_ok};
use crate::tasks::{arns, container, detail, page};
use crate::world::Gantry;
use serde_json::Value;
use std::fs;
use std::process::Command;

/// The definition of the examples, with numbers as the CLI wants them.
fn webserver(gantry: &Gantry) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/webserver.json");
    let mut definition: Value = serde_json::from_str(&fs::read_to_string(path).expect("example")).expect("JSON");
    for member in ["cpu", "memory"] {
        let number: u32 =
            definition["containerDefinitions"][0][member].as_str().expect("text").parse().expect("number");
        definition["containerDefinitions"][0][member] = number.into();
    }
    let file = gantry.directory.join("webserver.json");
    fs::write(&file, definition.to_string()).expect("a file");
    format!("file://{}", file.display())
}

#[test]
fn three_web_servers_from_register_to_stopped() {
    let gantry = Gantry::up();
    gantry.load("nginx");
    let registered = aws_ok(&gantry, &["ecs", "register-task-definition", "--cli-input-json", &webserver(&gantry)]);
    assert_eq!(registered["taskDefinition"]["revision"], 1);
    let subnets = aws_ok(&gantry, &["ec2", "describe-subnets", "--query", "Subnets[].SubnetId"]);
    let subnets: Vec<&str> = subnets.as_array().expect("subnets").iter().filter_map(Value::as_str).collect();
    let network = format!("awsvpcConfiguration={{subnets=[{}],assignPublicIp=ENABLED}}", subnets.join(","));
    let run = ["ecs", "run-task", "--task-definition", "webserver", "--count", "3", "--launch-type", "FARGATE"];
    let run = aws_ok(&gantry, &[&run[..], &["--network-configuration", &network]].concat());
    assert_eq!(run["failures"], serde_json::json!([]));
    let tasks = arns(&run["tasks"]);
    assert_eq!(tasks.len(), 3);
    let names: Vec<&str> = tasks.iter().map(String::as_str).collect();
    aws_ok(&gantry, &[&["ecs", "wait", "tasks-running", "--tasks"], &names[..]].concat());
    let described = aws_ok(&gantry, &[&["ecs", "describe-tasks", "--tasks"], &names[..]].concat());
    for task in described["tasks"].as_array().expect("tasks") {
        assert_eq!(task["lastStatus"], "RUNNING");
        assert!(task.get("containerInstanceArn").is_none(), "Fargate shows no instance: {task}");
        let body = page(&detail(task, "privateIPv4Address"), "/");
        assert!(body.contains("<title>Welcome to nginx!</title>"), "{body}");
    }
    for task in &names {
        let stopped = aws_ok(&gantry, &["ecs", "stop-task", "--task", task, "--reason", "seen enough"]);
        assert_eq!(stopped["task"]["desiredStatus"], "STOPPED");
    }
    aws_ok(&gantry, &[&["ecs", "wait", "tasks-stopped", "--tasks"], &names[..]].concat());
    let described = aws_ok(&gantry, &[&["ecs", "describe-tasks", "--tasks"], &names[..]].concat());
    for task in described["tasks"].as_array().expect("tasks") {
        assert_eq!((&task["stopCode"], &task["stoppedReason"]), (&"UserInitiated".into(), &"seen enough".into()));
        assert_eq!(container(task, "web")["exitCode"], 0, "nginx ends in peace: {task:#}");
    }
    tasks.iter().for_each(|task| gantry.gone(task));
    gantry.take_down();
}

#[test]
fn refusals_reach_the_user_of_the_cli() {
    let gantry = Gantry::up();
    let done = aws(&gantry, &["ecs", "describe-tasks", "--cluster", "nowhere", "--tasks", "a"]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success());
    assert!(said.contains("(ClusterNotFoundException)") && said.contains("Cluster not found."), "{said}");
    gantry.take_down();
}

/// `eval "$(gantry env)"` in a POSIX shell is all that a user types.
#[test]
fn the_printed_environment_is_enough_for_a_shell() {
    let gantry = Gantry::up();
    let program = crate::world::program();
    let script = format!(
        "eval \"$({} env --data-dir {})\" && exec {} ecs list-clusters",
        program.display(),
        gantry.data_dir().display(),
        crate::world::told("GANTRY_TEST_CLIENTS").join("aws").display()
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &gantry.directory);
    let done = shell.output().expect("sh");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(said.contains(":cluster/default"), "{said}{}", String::from_utf8_lossy(&done.stderr));
    gantry.take_down();
}
