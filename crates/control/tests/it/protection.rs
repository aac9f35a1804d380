//! Task protection: who is spared, by what, and for how long.

use super::services::number;
use crate::{Desk, text};
use serde_json::{Value, json};

impl Desk {
    fn protect(&mut self, tasks: &[String], enabled: bool, minutes: u32) -> Value {
        let input =
            json!({"cluster": "default", "tasks": tasks, "protectionEnabled": enabled, "expiresInMinutes": minutes});
        self.ok("UpdateTaskProtection", input)
    }

    fn arns(&self) -> Vec<String> {
        self.wanted().into_iter().map(|(arn, ..)| arn).collect()
    }
}

#[test]
fn scaling_in_spares_what_is_protected_until_it_expires() {
    let mut desk = Desk::with_room();
    desk.service(3, json!({}));
    desk.settle();
    let kept = desk.arns()[..2].to_vec();
    let answer = desk.protect(&kept, true, 10);
    assert_eq!(answer["protectedTasks"][1]["protectionEnabled"], json!(true));
    let ends = answer["protectedTasks"][0]["expirationDate"].as_f64().unwrap();
    assert_eq!(ends, (desk.now + 600_000) as f64 / 1000.0);
    desk.ok("UpdateService", json!({"service": "web", "desiredCount": 1}));
    desk.settle();
    assert_eq!(desk.arns(), kept);
    let shown = desk.describe();
    assert_eq!((number(&shown, "/desiredCount"), number(&shown, "/runningCount")), (1, 2));
    assert!(shown["events"].to_string().contains("number of protected tasks are more than"), "{shown}");
    desk.pass(600_000);
    desk.settle();
    assert_eq!(desk.arns().len(), 1);
    let get = desk.ok("GetTaskProtection", json!({"cluster": "default", "tasks": desk.arns()}));
    assert_eq!(get["protectedTasks"][0]["protectionEnabled"], json!(false));
    assert_eq!(get["protectedTasks"][0]["expirationDate"], Value::Null);
}

#[test]
fn a_deployment_waits_for_protected_tasks_and_says_so() {
    let mut desk = Desk::with_room();
    desk.service(2, json!({}));
    desk.settle();
    let old = desk.arns();
    desk.protect(&old[..1], true, 60);
    desk.ok("UpdateService", json!({"service": "web", "forceNewDeployment": true}));
    desk.settle();
    assert!(desk.arns().contains(&old[0]) && !desk.arns().contains(&old[1]), "{:?}", desk.arns());
    let shown = desk.describe();
    assert_eq!(text(&shown, "/deployments/0/rolloutState"), "IN_PROGRESS");
    let events = shown["events"].to_string();
    assert_eq!(events.matches("number of protected tasks are more than").count(), 1, "{events}");
    // Ending the protection lets it go on at once.
    desk.protect(&old[..1], false, 60);
    desk.settle();
    assert!(!desk.arns().contains(&old[0]));
    assert_eq!(text(&desk.describe(), "/deployments/0/rolloutState"), "COMPLETED");
}

#[test]
fn a_deployment_that_cannot_go_on_for_two_reasons_says_the_one_that_will_pass() {
    let mut desk = Desk::with_room();
    let bounds = json!({"minimumHealthyPercent": 0, "maximumPercent": 100});
    desk.service(1, json!({"deploymentConfiguration": bounds}));
    desk.settle();
    let old = desk.arns();
    desk.protect(&old, true, 60);
    desk.ok("UpdateService", json!({"service": "web", "forceNewDeployment": true}));
    desk.settle();
    assert_eq!(desk.arns(), old);
    let events = desk.describe()["events"].to_string();
    assert_eq!(events.matches("number of protected tasks are more than").count(), 1, "{events}");
    assert_eq!(events.matches("allow no step").count(), 0, "{events}");
}

#[test]
fn a_healthy_task_stays_while_a_protected_one_is_not_healthy_yet() {
    let mut desk = Desk::with_room();
    desk.service(1, json!({}));
    desk.settle();
    let healthy = desk.arns();
    desk.ok("UpdateService", json!({"service": "web", "desiredCount": 2}));
    let new: Vec<String> = desk.arns().into_iter().filter(|arn| !healthy.contains(arn)).collect();
    desk.protect(&new, true, 60);
    desk.ok("UpdateService", json!({"service": "web", "desiredCount": 1}));
    assert!(desk.arns().contains(&healthy[0]), "{:?}", desk.arns());
    desk.settle();
    assert_eq!(desk.arns(), new);
}

#[test]
fn no_further_task_is_protected_while_a_deployment_waits() {
    let mut desk = Desk::with_room();
    desk.service(2, json!({}));
    desk.settle();
    let old = desk.arns();
    desk.protect(&old[..1], true, 60);
    desk.ok("UpdateService", json!({"service": "web", "forceNewDeployment": true}));
    let answer = desk.protect(&old, true, 60);
    assert_eq!(answer["protectedTasks"].as_array().unwrap().len(), 1, "a longer protection of the same task is taken");
    assert_eq!(text(&answer, "/failures/0/reason"), "DEPLOYMENT_BLOCKED");
}

#[test]
fn a_protected_task_stops_when_somebody_stops_it() {
    let mut desk = Desk::with_room();
    desk.service(1, json!({}));
    desk.settle();
    let old = desk.arns();
    desk.protect(&old, true, 60);
    desk.ok("StopTask", json!({"task": old[0]}));
    assert!(!desk.arns().contains(&old[0]));
}

#[test]
fn only_tasks_of_services_are_protected() {
    let mut desk = Desk::with_room();
    let task = text(&desk.run_web(), "/tasks/0/taskArn").to_owned();
    let answer = desk.protect(&[task, "0".repeat(32)], true, 60);
    assert_eq!(answer["protectedTasks"], json!([]));
    let reason = |n: usize| text(&answer["failures"][n], "/reason").to_owned();
    assert_eq!([reason(0), reason(1)], ["TASK_NOT_VALID", "MISSING"]);
    for (minutes, tasks) in [(0, json!(["x"])), (2_881, json!(["x"])), (1, json!([])), (1, json!(vec!["x"; 11]))] {
        let input =
            json!({"cluster": "default", "tasks": tasks, "protectionEnabled": true, "expiresInMinutes": minutes});
        assert_eq!(desk.refused("UpdateTaskProtection", input).0, "InvalidParameterException");
    }
}
