//! Plans: what a call would bring about is told, and what it then does bring about is the same; nothing is altered by it.

use super::services::number;
use super::{Desk, operator, text};
use serde_json::{Value, json};
use wire::http::Call;
use wire::{Fault, ToJson, ecs};

impl Desk {
    pub fn plan(&self, operation: &str, input: Value) -> Result<Value, Fault> {
        let operation = ecs::Operation::from_name(operation).unwrap();
        let call = Call::Ecs(ecs::Request::decode(operation, input.to_string().as_bytes())?);
        let plan = self.control.stage(self.now).rehearse(&operator(), call)?;
        Ok(serde_json::from_str(&plan.to_json()).unwrap())
    }
}

fn actions(plan: &Value) -> Vec<(String, i64)> {
    let steps = plan["steps"].as_array().unwrap();
    steps.iter().map(|step| (text(step, "/action").to_owned(), number(step, "/atMs"))).collect()
}

fn service(desk: &mut Desk, desired: u32) {
    desk.service(desired, json!({}));
    desk.settle();
}

#[test]
fn a_rolling_update_is_told_in_order_with_its_peak_and_alters_nothing() {
    let mut desk = Desk::with_room();
    service(&mut desk, 3);
    let before = format!("{:?}", desk.control.state().rows());
    let plan = desk.plan("UpdateService", json!({"service": "web", "forceNewDeployment": true})).unwrap();
    assert_eq!(format!("{:?}", desk.control.state().rows()), before);
    assert_eq!(text(&plan, "/outcome"), "COMPLETED", "{plan:#}");
    let steps = actions(&plan);
    let count = |wanted: &str| steps.iter().filter(|(action, _)| action == wanted).count();
    assert_eq!(
        (count("START"), count("RUNNING"), count("STOP"), count("STOPPED"), count("COMPLETED")),
        (3, 3, 3, 3, 1)
    );
    let first = |wanted: &str| steps.iter().position(|(action, _)| action == wanted).unwrap();
    assert!(first("START") < first("RUNNING") && first("RUNNING") < first("STOP"), "{steps:?}");
    assert!(steps.is_sorted_by_key(|(_, at)| *at), "{steps:?}");
    // Half a second of RUNNING makes a task healthy here.
    assert!(number(&plan, "/durationMs") >= 500, "{plan:#}");
    let most: i64 = plan["peaks"].as_array().unwrap().iter().map(|peak| number(peak, "/tasks")).sum();
    assert!((6..=6 + 3).contains(&most), "three old and three new tasks at once: {plan:#}");
    assert!(
        plan["basis"].as_array().unwrap().iter().any(|said| said.as_str().unwrap().contains("the median of 3 of that"))
    );
    assert_eq!(text(&plan, "/operation"), "UpdateService");
    let answer: Value = serde_json::from_str(text(&plan, "/answer")).unwrap();
    assert_eq!(answer["service"]["deployments"].as_array().unwrap().len(), 2);
}

#[test]
fn what_would_block_it_is_said() {
    let mut desk = Desk::with_room();
    service(&mut desk, 3);
    let plan = desk.plan("UpdateService", json!({"service": "web", "desiredCount": 500})).unwrap();
    assert_eq!(text(&plan, "/outcome"), "BLOCKED");
    assert!(text(&plan, "/blocked/0").contains("of 500 tasks"), "{}", plan["blocked"]);
    assert!(
        text(&plan, "/blocked/0").contains("CPU") || text(&plan, "/blocked/0").contains("memory"),
        "{}",
        plan["blocked"]
    );
    let tight = json!({"minimumHealthyPercent": 100, "maximumPercent": 101});
    let plan = desk
        .plan("UpdateService", json!({"service": "web", "forceNewDeployment": true, "deploymentConfiguration": tight}))
        .unwrap();
    assert_eq!(text(&plan, "/outcome"), "BLOCKED");
    assert!(text(&plan, "/blocked/0").contains("allow no step"), "{}", plan["blocked"]);
}

#[test]
fn a_call_that_would_be_refused_is_refused_and_reading_is_no_plan() {
    let mut desk = Desk::with_room();
    service(&mut desk, 1);
    let fault = desk.plan("UpdateService", json!({"service": "other"})).unwrap_err();
    assert_eq!(fault.code, "ServiceNotFoundException");
    let fault = desk.plan("DescribeServices", json!({"services": ["web"]})).unwrap_err();
    assert_eq!(fault.code, "InvalidParameterException");
}

#[test]
fn a_host_that_is_away_holds_it_up() {
    let mut desk = Desk::new();
    desk.host();
    desk.web();
    service(&mut desk, 1);
    desk.control.handle(desk.now, control::Input::Disconnected { session: 5 });
    desk.round();
    let task = desk.ok("ListTasks", json!({}))["taskArns"][0].clone();
    let plan = desk.plan("StopTask", json!({"task": task})).unwrap();
    assert_eq!(text(&plan, "/outcome"), "BLOCKED");
    assert!(actions(&plan).iter().all(|(action, _)| action != "STOPPED"), "{plan:#}");
    assert!(plan["blocked"].to_string().contains("is not connected"), "{plan:#}");
}

#[test]
fn a_deployment_that_would_pause_says_where() {
    let mut desk = Desk::with_room();
    service(&mut desk, 1);
    let hook = json!({"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"]});
    let input =
        json!({"service": "web", "forceNewDeployment": true, "deploymentConfiguration": {"lifecycleHooks": [hook]}});
    let plan = desk.plan("UpdateService", input).unwrap();
    assert_eq!(text(&plan, "/outcome"), "BLOCKED");
    assert!(text(&plan, "/blocked/0").contains("POST_SCALE_UP for ContinueServiceDeployment"), "{}", plan["blocked"]);
}
