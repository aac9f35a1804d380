//! Services: the count is kept, deployments stay within their bounds, what fails is tried with growing patience.

use super::{Desk, node, text};
use model::task::{Desired, TaskStatus};
use serde_json::{Value, json};

/// Through a deployment, after every round: how many tasks were wanted RUNNING at the most, healthy at the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub most: usize,
    pub least: usize,
}

impl Desk {
    pub fn service(&mut self, desired: u32, extra: Value) -> Value {
        let network = json!({"awsvpcConfiguration": {"subnets": [self.subnet()]}});
        let mut input = json!({"serviceName": "web", "taskDefinition": "webserver", "launchType": "FARGATE",
            "desiredCount": desired, "networkConfiguration": network});
        input.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        self.ok("CreateService", input)
    }

    pub fn describe(&mut self) -> Value {
        let shown = self.ok("DescribeServices", json!({"services": ["web"]}));
        shown["services"][0].clone()
    }

    pub fn wanted(&self) -> Vec<(String, TaskStatus, u64)> {
        let state = self.control.state();
        let live = state.tasks.values().filter(|task| task.desired == Desired::Running);
        live.map(|task| (state.task_arn(task), task.status, task.times.started)).collect()
    }

    pub fn healthy(&self) -> usize {
        self.wanted().iter().filter(|(_, status, at)| *status == TaskStatus::Running && at + 500 <= self.now).count()
    }

    /// The host makes everything true that is wanted of it: pending tasks run, unwanted ones are gone.
    pub fn obey(&mut self) {
        let state = self.control.state();
        let alive = state.tasks.values().filter(|task| task.status != TaskStatus::Stopped);
        let said: Vec<(String, &str)> = alive
            .filter_map(|task| match (task.desired, task.status) {
                (Desired::Stopped, _) => Some((state.task_arn(task), "STOPPED")),
                (Desired::Running, status) if status < TaskStatus::Running => Some((state.task_arn(task), "RUNNING")),
                _ => None,
            })
            .collect();
        for (task, status) in said {
            self.call(node(), "SubmitTaskStateChange", json!({"task": task, "status": status})).unwrap();
        }
    }

    pub fn pass(&mut self, ms: u64) {
        self.now += ms;
        self.control.handle_time(self.now);
        self.round();
    }

    /// Lets time pass until nothing changes, and tells what was seen on the way.
    pub fn settle(&mut self) -> Seen {
        let mut seen = Seen { most: 0, least: usize::MAX };
        for _ in 0..60 {
            self.obey();
            self.pass(100);
            seen.most = seen.most.max(self.wanted().len());
            seen.least = seen.least.min(self.healthy());
        }
        seen
    }

    pub fn fail(&mut self, task: &str, code: i32) {
        let containers = json!([{"containerName": "web", "status": "STOPPED", "exitCode": code}]);
        let report = json!({"task": task, "status": "STOPPED", "containers": containers});
        self.call(node(), "SubmitTaskStateChange", report).unwrap();
    }

    pub fn with_room() -> Self {
        let mut desk = Self::new();
        for _ in 0..6 {
            desk.host();
        }
        desk.web();
        desk
    }
}

pub fn number(value: &Value, pointer: &str) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or_else(|| panic!("no number at {pointer} of {value}"))
}

#[test]
fn a_service_starts_its_tasks_and_is_never_called_steady_early() {
    let mut desk = Desk::with_room();
    let created = desk.service(3, json!({}));
    assert_eq!(text(&created, "/service/status"), "ACTIVE");
    assert_eq!(text(&created, "/service/deployments/0/rolloutState"), "IN_PROGRESS");
    assert_eq!(desk.wanted().len(), 3);
    desk.obey();
    let early = desk.describe();
    assert_eq!(
        (number(&early, "/runningCount"), number(&early, "/pendingCount")),
        (0, 3),
        "running is not yet healthy"
    );
    desk.pass(600);
    let shown = desk.describe();
    assert_eq!((number(&shown, "/runningCount"), number(&shown, "/pendingCount")), (3, 0));
    assert_eq!(text(&shown, "/deployments/0/rolloutState"), "COMPLETED");
    assert!(text(&shown, "/events/0/message").contains("has reached a steady state"), "{shown}");
    let tasks = desk.ok("ListTasks", json!({"serviceName": "web"}));
    assert_eq!(tasks["taskArns"].as_array().unwrap().len(), 3);
    let task = desk.ok("DescribeTasks", json!({"tasks": [tasks["taskArns"][0]]}));
    assert_eq!(text(&task, "/tasks/0/group"), "service:web");
    assert_eq!(text(&task, "/tasks/0/startedBy"), text(&shown, "/deployments/0/id"));
}

#[test]
fn a_dead_task_is_replaced_in_the_same_round() {
    let mut desk = Desk::with_room();
    desk.service(2, json!({}));
    desk.settle();
    let (task, ..) = desk.wanted().remove(0);
    desk.fail(&task, 137);
    let now: Vec<String> = desk.wanted().into_iter().map(|(arn, ..)| arn).collect();
    assert_eq!(now.len(), 2);
    assert!(!now.contains(&task));
    let stopped = desk.ok("StopTask", json!({"task": now[0]}));
    assert_eq!(text(&stopped, "/task/desiredStatus"), "STOPPED");
    assert_eq!(desk.wanted().len(), 2, "a stopped task of a service is replaced too");
}

#[test]
fn starts_that_fail_are_tried_at_once_and_then_with_growing_patience() {
    let mut desk = Desk::with_room();
    desk.service(1, json!({}));
    let mut waits = Vec::new();
    for _ in 0..5 {
        let (task, ..) = desk.wanted().remove(0);
        desk.fail(&task, 1);
        let began = desk.now;
        while desk.wanted().is_empty() {
            desk.pass(100);
        }
        waits.push((desk.now - began).div_ceil(1000));
    }
    assert_eq!(waits, [0, 1, 2, 4, 8]);
    let shown = desk.describe();
    assert_eq!(number(&shown, "/deployments/0/failedTasks"), 5);
    assert!(
        text(&shown, "/deployments/0/rolloutStateReason").contains("Essential container in task exited"),
        "{shown}"
    );
    desk.settle();
    desk.pass(41_000);
    let (task, ..) = desk.wanted().remove(0);
    desk.fail(&task, 1);
    assert_eq!(desk.wanted().len(), 1, "after a settled run patience begins anew");
}

#[test]
fn rolling_updates_stay_within_their_bounds() {
    for (desired, minimum, maximum, bounds) in [
        (4, 100, 200, Seen { most: 8, least: 4 }),
        (4, 50, 100, Seen { most: 4, least: 2 }),
        (3, 50, 150, Seen { most: 4, least: 2 }),
        (4, 0, 100, Seen { most: 4, least: 0 }),
        (1, 100, 200, Seen { most: 2, least: 1 }),
    ] {
        let mut desk = Desk::with_room();
        let configuration = json!({"minimumHealthyPercent": minimum, "maximumPercent": maximum});
        desk.service(desired, json!({"deploymentConfiguration": configuration}));
        desk.settle();
        desk.web();
        let updated = desk.ok("UpdateService", json!({"service": "web", "taskDefinition": "webserver:2"}));
        assert_eq!(updated["service"]["deployments"].as_array().unwrap().len(), 2);
        let seen = desk.settle();
        assert!(seen.most <= bounds.most && seen.least >= bounds.least, "{desired} {minimum} {maximum}: {seen:?}");
        let shown = desk.describe();
        assert_eq!(shown["deployments"].as_array().unwrap().len(), 1, "{shown}");
        assert_eq!(text(&shown, "/deployments/0/rolloutState"), "COMPLETED");
        assert!(text(&shown, "/deployments/0/taskDefinition").ends_with("webserver:2"));
        assert_eq!(number(&shown, "/runningCount"), i64::from(desired));
    }
}

#[test]
fn an_old_deployment_stays_until_its_last_task_is_gone() {
    let mut desk = Desk::with_room();
    desk.service(1, json!({}));
    desk.settle();
    desk.ok("UpdateService", json!({"service": "web", "forceNewDeployment": true}));
    let state = desk.control.state();
    let new =
        state.tasks.values().find(|task| task.status < TaskStatus::Running).map(|task| state.task_arn(task)).unwrap();
    desk.call(node(), "SubmitTaskStateChange", json!({"task": new, "status": "RUNNING"})).unwrap();
    desk.pass(600);
    let draining = desk.describe();
    assert_eq!(draining["deployments"].as_array().unwrap().len(), 2, "the old task is stopping: {draining}");
    assert_eq!(text(&draining, "/deployments/0/rolloutState"), "IN_PROGRESS");
    desk.obey();
    assert_eq!(desk.describe()["deployments"].as_array().unwrap().len(), 1);
}

#[test]
fn a_deployment_that_fails_leaves_the_old_one_alone() {
    let mut desk = Desk::with_room();
    desk.service(2, json!({}));
    desk.settle();
    let before = desk.wanted();
    desk.ok("UpdateService", json!({"service": "web", "forceNewDeployment": true}));
    for _ in 0..20 {
        let fresh: Vec<String> = desk
            .wanted()
            .into_iter()
            .filter(|(_, status, _)| *status < TaskStatus::Running)
            .map(|(arn, ..)| arn)
            .collect();
        fresh.iter().for_each(|task| desk.fail(task, 1));
        desk.pass(500);
    }
    assert!(before.iter().all(|old| desk.wanted().iter().any(|now| now.0 == old.0)), "healthy old tasks go on");
    assert_eq!(text(&desk.describe(), "/deployments/0/rolloutState"), "IN_PROGRESS");
}

#[test]
fn counts_scale_both_ways() {
    let mut desk = Desk::with_room();
    desk.service(1, json!({}));
    desk.settle();
    desk.ok("UpdateService", json!({"service": "web", "desiredCount": 4}));
    assert_eq!(desk.wanted().len(), 4);
    desk.settle();
    desk.ok("UpdateService", json!({"service": "web", "desiredCount": 2}));
    assert_eq!(desk.wanted().len(), 2);
    desk.settle();
    let shown = desk.describe();
    assert_eq!((number(&shown, "/runningCount"), shown["deployments"].as_array().unwrap().len()), (2, 1));
}

#[test]
fn deleting_drains_and_leaves_an_inactive_service_for_a_while() {
    let mut desk = Desk::with_room();
    desk.service(2, json!({}));
    desk.settle();
    let (code, _) = desk.refused("DeleteService", json!({"service": "web"}));
    assert_eq!(code, "InvalidParameterException");
    let deleted = desk.ok("DeleteService", json!({"service": "web", "force": true}));
    assert_eq!(text(&deleted, "/service/status"), "DRAINING");
    assert_eq!(desk.wanted().len(), 0);
    assert_eq!(text(&desk.describe(), "/status"), "DRAINING");
    desk.settle();
    assert_eq!(text(&desk.describe(), "/status"), "INACTIVE");
    assert_eq!(desk.ok("ListServices", json!({}))["serviceArns"], json!([]));
    let again = desk.service(1, json!({}));
    assert_eq!(text(&again, "/service/status"), "ACTIVE");
}

#[test]
fn a_task_without_room_is_said_once_and_tried_again() {
    let mut desk = Desk::new();
    desk.web();
    desk.service(1, json!({}));
    desk.pass(1_100);
    desk.pass(1_100);
    let shown = desk.describe();
    let said =
        shown["events"].as_array().unwrap().iter().filter(|e| text(e, "/message").contains("unable to place")).count();
    assert_eq!(said, 1, "{shown}");
    desk.host();
    desk.pass(1_100);
    assert_eq!(desk.wanted().len(), 1);
}

#[test]
fn creating_twice_is_one_service_and_another_of_that_name_is_refused() {
    let mut desk = Desk::with_room();
    let first = desk.service(1, json!({}));
    let second = desk.service(1, json!({}));
    assert_eq!(first["service"]["serviceArn"], second["service"]["serviceArn"]);
    assert_eq!(desk.wanted().len(), 1);
    let network = json!({"awsvpcConfiguration": {"subnets": [desk.subnet()]}});
    let other = json!({"serviceName": "web", "taskDefinition": "webserver", "launchType": "FARGATE", "desiredCount": 2,
        "networkConfiguration": network});
    let (_, message) = desk.refused("CreateService", other.clone());
    assert_eq!(message, "Creation of service was not idempotent.");
    for (extra, words) in [
        (json!({"serviceName": "a b"}), "Invalid service name"),
        (json!({"serviceName": "x", "loadBalancers": [{"containerName": "web"}]}), "loadBalancers"),
        (json!({"serviceName": "x", "platformVersion": "9.9"}), "platform version"),
        (json!({"serviceName": "x", "role": "r"}), "role"),
        (json!({"serviceName": "x", "desiredCount": -1}), "desiredCount"),
        (
            json!({"serviceName": "x", "deploymentConfiguration": {"minimumHealthyPercent": 100, "maximumPercent": 100}}),
            "no room",
        ),
        (json!({"serviceName": "x", "taskDefinition": "none"}), "TaskDefinition not found."),
    ] {
        let mut input = other.clone();
        input.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let (_, message) = desk.refused("CreateService", input);
        assert!(message.contains(words), "{message}");
    }
}
