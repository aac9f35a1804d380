//! DAEMON services: one task on each instance, as instances come, drain and change.

use super::services::number;
use crate::{Desk, node, text};
use model::task::{Desired, TaskStatus};
use serde_json::{Value, json};

impl Desk {
    fn daemon(&mut self, extra: Value) -> Value {
        let container = json!([{"name": "main", "image": "x", "memory": 128}]);
        self.ok("RegisterTaskDefinition", json!({"family": "agent", "containerDefinitions": container}));
        let mut input = json!({"serviceName": "web", "taskDefinition": "agent", "schedulingStrategy": "DAEMON"});
        input.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        self.ok("CreateService", input)["service"].clone()
    }

    /// How many tasks of the service each of these instances has, not STOPPED ones.
    fn on(&self, instances: &[String]) -> Vec<usize> {
        let state = self.control.state();
        let live = |id: &str| {
            let here = state.tasks.values().filter(|task| task.service.is_some() && task.status != TaskStatus::Stopped);
            here.filter(|task| task.instance.is_some_and(|at| id.ends_with(&at.to_string()))).count()
        };
        instances.iter().map(|arn| live(arn)).collect()
    }

    fn drain(&mut self, instance: &str, status: &str) {
        self.ok("UpdateContainerInstancesState", json!({"containerInstances": [instance], "status": status}));
    }
}

#[test]
fn every_instance_gets_its_task_and_so_do_those_that_come() {
    let mut desk = Desk::new();
    let mut hosts = vec![desk.provided_host("", 1024, 11), desk.provided_host("", 1024, 12)];
    let made = desk.daemon(json!({}));
    assert_eq!(text(&made, "/schedulingStrategy"), "DAEMON");
    let bounds = ["/deploymentConfiguration/minimumHealthyPercent", "/deploymentConfiguration/maximumPercent"];
    assert_eq!(bounds.map(|pointer| number(&made, pointer)), [0, 100]);
    assert_eq!(desk.on(&hosts), [1, 1]);
    desk.settle();
    let shown = desk.describe();
    assert_eq!((number(&shown, "/desiredCount"), number(&shown, "/runningCount")), (2, 2));
    assert_eq!(text(&shown, "/deployments/0/rolloutState"), "COMPLETED");
    hosts.push(desk.provided_host("", 1024, 13));
    assert_eq!(desk.on(&hosts), [1, 1, 1], "in the round in which its agent came");
    assert_eq!(number(&desk.describe(), "/desiredCount"), 3);
    let listed = desk.ok("ListServices", json!({"schedulingStrategy": "DAEMON"}));
    assert_eq!(listed["serviceArns"].as_array().unwrap().len(), 1);
    assert_eq!(desk.ok("ListServices", json!({"schedulingStrategy": "REPLICA"}))["serviceArns"], json!([]));
    desk.ok("DeleteService", json!({"service": "web"}));
    desk.settle();
    assert_eq!(desk.on(&hosts), [0, 0, 0]);
}

#[test]
fn a_draining_instance_loses_its_daemon_last() {
    let mut desk = Desk::new();
    let host = [desk.provided_host("", 1024, 11)];
    desk.daemon(json!({}));
    let run = desk.ok("RunTask", json!({"taskDefinition": "agent"}));
    let other = text(&run, "/tasks/0/taskArn").to_owned();
    desk.settle();
    desk.drain(&host[0], "DRAINING");
    desk.settle();
    assert_eq!(desk.on(&host), [1], "another task is there still");
    assert_eq!(number(&desk.describe(), "/desiredCount"), 0);
    desk.ok("StopTask", json!({"task": other}));
    desk.call(node(), "SubmitTaskStateChange", json!({"task": other, "status": "STOPPED"})).unwrap();
    desk.settle();
    assert_eq!(desk.on(&host), [0]);
    desk.drain(&host[0], "ACTIVE");
    assert_eq!(desk.on(&host), [1]);
}

#[test]
fn a_deployment_rolls_by_percent_and_no_instance_ever_has_two() {
    let mut desk = Desk::new();
    let hosts: Vec<String> = (0..4).map(|n| desk.provided_host("", 1024, 11 + n)).collect();
    desk.daemon(json!({"deploymentConfiguration": {"minimumHealthyPercent": 50, "maximumPercent": 100}}));
    desk.settle();
    desk.ok("UpdateService", json!({"service": "web", "forceNewDeployment": true}));
    let running = |desk: &Desk| {
        let tasks = desk.control.state().tasks.values();
        tasks.filter(|task| task.desired == Desired::Running && task.status == TaskStatus::Running).count()
    };
    let mut least = 4;
    for _ in 0..60 {
        least = least.min(running(&desk));
        desk.obey();
        assert!(desk.on(&hosts).iter().all(|count| *count <= 1));
        desk.pass(100);
    }
    assert_eq!(least, 2);
    let shown = desk.describe();
    assert_eq!(shown["deployments"].as_array().unwrap().len(), 1);
    assert_eq!(text(&shown, "/deployments/0/rolloutState"), "COMPLETED");
    assert_eq!(desk.on(&hosts), [1, 1, 1, 1]);
}

#[test]
fn constraints_say_which_instances_and_room_only_when() {
    let mut desk = Desk::new();
    let hosts = [
        desk.provided_host("blue", 1024, 11),
        desk.provided_host("green", 1024, 12),
        desk.provided_host("blue", 100, 13),
    ];
    let only = json!([{"type": "memberOf", "expression": "attribute:gantry.capacity-provider == blue"}]);
    desk.daemon(json!({"placementConstraints": only}));
    desk.settle();
    assert_eq!(desk.on(&hosts), [1, 0, 0]);
    let shown = desk.describe();
    assert_eq!((number(&shown, "/desiredCount"), number(&shown, "/runningCount")), (2, 1), "one has no room");
    assert!(shown["events"].to_string().contains("was unable to place a task"), "{shown}");
}

#[test]
fn what_a_daemon_cannot_have_is_said() {
    let mut desk = Desk::with_providers();
    desk.web();
    let with = |extra: Value| {
        let mut input = json!({"serviceName": "d", "taskDefinition": "small", "schedulingStrategy": "DAEMON"});
        input.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        input
    };
    for (extra, words) in [
        (json!({"desiredCount": 1}), "does not support a desired count"),
        (json!({"launchType": "FARGATE"}), "FARGATE"),
        (
            json!({"capacityProviderStrategy": [{"capacityProvider": "blue", "weight": 1}]}),
            "capacity provider strategy",
        ),
        (json!({"placementStrategy": [{"type": "random"}]}), "placement strateg"),
        (json!({"deploymentConfiguration": {"maximumPercent": 200}}), "maximumPercent"),
    ] {
        let (_, message) = desk.refused("CreateService", with(extra));
        assert!(message.contains(words), "{words}: {message}");
    }
    desk.ok("CreateService", with(json!({})));
    let (_, message) = desk.refused("UpdateService", json!({"service": "d", "desiredCount": 2}));
    assert!(message.contains("does not support a desired count"), "{message}");
}
