//! Tasks as tests want them: definitions of busybox and nginx, runs of them, and waiting for what becomes of them.

use crate::host;
use crate::http;
use crate::world::{GONE, Gantry, PATIENCE, eventually, in_subnets};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A shell that serves what the script put into /www.
pub const SERVE: &str = "exec httpd -f -p 80 -h /www";
/// A shell that waits until it is told to end, and ends with 0.
pub const WAIT: &str = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done";

/// A container of busybox that runs a shell script.
pub fn shell(name: &str, script: &str) -> Value {
    json!({ "name": name, "image": "busybox", "command": ["sh", "-c", script], "stopTimeout": 2 })
}

/// A Fargate definition.
pub fn definition(family: &str, containers: &[Value]) -> Value {
    json!({
        "family": family, "containerDefinitions": containers, "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc", "cpu": "256", "memory": "512",
    })
}

impl Gantry {
    /// Registers a Fargate definition; its ARN.
    pub fn register(&self, family: &str, containers: &[Value]) -> String {
        let answer = self.ecs("RegisterTaskDefinition", definition(family, containers));
        answer["taskDefinition"]["taskDefinitionArn"].as_str().expect("an ARN").to_owned()
    }

    /// RunTask's input for a definition.
    pub fn run_input(&self, definition: &str, count: u32) -> Value {
        json!({
            "taskDefinition": definition, "count": count, "launchType": "FARGATE",
            "networkConfiguration": in_subnets(&self.subnets()),
        })
    }

    /// Runs tasks; their ARNs.
    pub fn run(&self, definition: &str, count: u32) -> Vec<String> {
        let answer = self.ecs("RunTask", self.run_input(definition, count));
        assert_eq!(answer["failures"], json!([]), "{answer}");
        arns(&answer["tasks"])
    }

    /// Registers and runs one task.
    pub fn task(&self, family: &str, containers: &[Value]) -> String {
        let definition = self.register(family, containers);
        self.run(&definition, 1).remove(0)
    }

    /// A task that serves what `script` puts into /www, and its address.
    pub fn server(&self, family: &str, script: &str) -> (String, String) {
        let task = self.task(family, &[shell("main", &format!("mkdir -p /www; {script}\n{SERVE}"))]);
        let address = address(&self.running(&task));
        (task, address)
    }

    pub fn describe(&self, task: &str) -> Value {
        let answer = self.ecs("DescribeTasks", json!({ "tasks": [task] }));
        assert_eq!(answer["failures"], json!([]), "{answer}");
        answer["tasks"][0].clone()
    }

    pub fn wait(&self, task: &str, status: &str) -> Value {
        eventually(&format!("{status} task"), PATIENCE, || {
            let seen = self.describe(task);
            match seen["lastStatus"].as_str() {
                Some(last) if last == status => Ok(seen),
                Some("STOPPED") => panic!("the task stopped: {seen:#}"),
                _ => Err(format!("{seen:#}")),
            }
        })
    }

    pub fn running(&self, task: &str) -> Value {
        self.wait(task, "RUNNING")
    }

    /// Waits until a task of shells that [`WAIT`] runs and would hear that it is to end.
    pub fn listening(&self, task: &str) -> Value {
        let seen = self.running(task);
        eventually("task that listens", PATIENCE, || {
            let deaf: Vec<_> = self.processes(task).into_iter().filter(|(pid, _)| !host::listens(*pid)).collect();
            if deaf.is_empty() { Ok(()) } else { Err(format!("{deaf:?}")) }
        });
        seen
    }

    pub fn stopped(&self, task: &str) -> Value {
        self.wait(task, "STOPPED")
    }

    pub fn stop(&self, task: &str) {
        self.ecs("StopTask", json!({ "task": task, "reason": "the test says so" }));
    }

    /// Runs a task to its end.
    pub fn ended(&self, family: &str, containers: &[Value]) -> Value {
        let task = self.task(family, containers);
        self.stopped(&task)
    }

    /// The first process of each of a task's containers.
    pub fn processes(&self, task: &str) -> BTreeSet<(u32, u64)> {
        host::containers_below(&format!("gantry/{}/{}/c", self.node_id(), id(task)))
    }

    /// The processes that watch a task's containers.
    pub fn supervisors(&self, task: &str) -> BTreeSet<(u32, u64)> {
        host::processes_below(&format!("gantry/{}/{}/supervisor", self.node_id(), id(task)))
    }

    /// Waits until the host has nothing of a task.
    pub fn gone(&self, task: &str) {
        let (node_id, task) = (self.node_id(), id(task));
        eventually("clean host", GONE, || {
            let mut left = host::of_task(&node_id, &task);
            let directory = self.data_dir().join("tasks").join(&task);
            left.extend(directory.exists().then(|| format!("directory {}", directory.display())));
            if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
        });
    }
}

pub fn arns(tasks: &Value) -> Vec<String> {
    let tasks = tasks.as_array().expect("tasks").iter();
    tasks.map(|task| task["taskArn"].as_str().expect("an ARN").to_owned()).collect()
}

/// The id in a task's ARN.
pub fn id(arn: &str) -> String {
    arn.rsplit('/').next().unwrap_or_default().to_owned()
}

/// A detail of the task's network interface.
pub fn detail(task: &Value, name: &str) -> String {
    let details = task["attachments"][0]["details"].as_array().expect("details");
    let found = details.iter().find(|detail| detail["name"] == name);
    found.and_then(|detail| detail["value"].as_str()).unwrap_or_else(|| panic!("no {name} in {details:?}")).to_owned()
}

pub fn address(task: &Value) -> String {
    detail(task, "privateIPv4Address")
}

/// The page at an address, once the program there listens.
pub fn page(address: &str, path: &str) -> String {
    eventually(&format!("page at {address}"), PATIENCE, || http::page(address, path).map_err(|error| error.to_string()))
}

/// The only container of a task, or the one of that name.
pub fn container<'a>(task: &'a Value, name: &str) -> &'a Value {
    let containers = task["containers"].as_array().expect("containers");
    containers.iter().find(|container| container["name"] == name).expect("such a container")
}
