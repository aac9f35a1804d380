//! Task sets: services whose deployments somebody else controls.

use super::services::number;
use super::{Desk, text};
use model::task::Desired;
use serde_json::{Value, json};

impl Desk {
    fn external(&mut self, desired: u32) -> Value {
        let input =
            json!({"serviceName": "web", "desiredCount": desired, "deploymentController": {"type": "EXTERNAL"}});
        self.ok("CreateService", input)["service"].clone()
    }

    fn set_of(&mut self, scale: f64, extra: Value) -> Value {
        let network = json!({"awsvpcConfiguration": {"subnets": [self.subnet()]}});
        let mut input = json!({"cluster": "default", "service": "web", "taskDefinition": "webserver",
            "launchType": "FARGATE", "networkConfiguration": network, "scale": {"value": scale, "unit": "PERCENT"}});
        input.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        self.ok("CreateTaskSet", input)["taskSet"].clone()
    }

    fn on_set(&mut self, operation: &str, set: &str, extra: Value) -> Value {
        self.ok(operation, on(operation, set, extra))["taskSet"].clone()
    }

    fn sets(&mut self) -> Vec<Value> {
        let shown = self.ok("DescribeTaskSets", json!({"cluster": "default", "service": "web"}));
        shown["taskSets"].as_array().unwrap().clone()
    }

    /// Tasks wanted RUNNING that `startedBy` leads to.
    fn started_by(&mut self, set: &str) -> usize {
        let listed = self.ok("ListTasks", json!({"startedBy": set}));
        listed["taskArns"].as_array().unwrap().len()
    }
}

fn on(operation: &str, set: &str, extra: Value) -> Value {
    let member = if operation == "UpdateServicePrimaryTaskSet" { "primaryTaskSet" } else { "taskSet" };
    let mut input = json!({"cluster": "default", "service": "web", member: set});
    input.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    input
}

#[test]
fn two_sets_share_a_service_and_one_takes_over() {
    let mut desk = Desk::with_room();
    let made = desk.external(3);
    assert_eq!((text(&made, "/deploymentController/type"), made["taskSets"].clone()), ("EXTERNAL", json!([])));
    assert_eq!((made.get("taskDefinition"), made.get("launchType"), &made["deployments"]), (None, None, &json!([])));
    let blue = desk.set_of(50.0, json!({"externalId": "blue", "tags": [{"key": "a", "value": "b"}]}));
    let blue_id = text(&blue, "/id").to_owned();
    let arn = format!("arn:aws:ecs:us-east-1:000000000000:task-set/default/web/{blue_id}");
    assert_eq!((text(&blue, "/taskSetArn"), text(&blue, "/externalId")), (arn.as_str(), "blue"));
    assert_eq!((text(&blue, "/status"), text(&blue, "/stabilityStatus")), ("ACTIVE", "STABILIZING"));
    assert_eq!((number(&blue, "/computedDesiredCount"), blue["scale"]["value"].as_f64()), (2, Some(50.0)));
    let green = text(&desk.set_of(50.0, json!({})), "/id").to_owned();
    desk.settle();
    for set in desk.sets() {
        assert_eq!((number(&set, "/runningCount"), number(&set, "/pendingCount")), (2, 0));
        assert_eq!(text(&set, "/stabilityStatus"), "STEADY_STATE");
    }
    assert_eq!([desk.started_by(&blue_id), desk.started_by(&green)], [2, 2]);
    let tagged = desk.ok("ListTagsForResource", json!({"resourceArn": arn}));
    assert_eq!(tagged["tags"], json!([{"key": "a", "value": "b"}]));
    let said = desk.events().join("\n");
    for words in [
        format!("(service web) updated computedDesiredCount for taskSet {blue_id} to 2."),
        format!("(service web, taskSet {green}) has started 2 tasks: (task "),
        format!("(service web, taskSet {blue_id}) updated state to STEADY_STATE."),
        "(service web) has reached a steady state.".to_owned(),
    ] {
        assert!(said.contains(&words), "{words}\n{said}");
    }
    desk.on_set("UpdateServicePrimaryTaskSet", &arn, json!({}));
    let shown = desk.describe();
    assert_eq!((text(&shown, "/taskSets/0/status"), text(&shown, "/launchType")), ("PRIMARY", "FARGATE"));
    assert!(text(&shown, "/taskDefinition").ends_with("webserver:1"), "{shown}");
    desk.on_set("UpdateTaskSet", &green, json!({"scale": {"value": 100.0}}));
    let shifted = desk.on_set("UpdateTaskSet", &arn, json!({"scale": {"value": 0.0, "unit": "PERCENT"}}));
    assert_eq!((number(&shifted, "/computedDesiredCount"), text(&shifted, "/stabilityStatus")), (0, "STABILIZING"));
    desk.settle();
    assert_eq!([desk.started_by(&blue_id), desk.started_by(&green)], [0, 3]);
    let message = desk.refused("DeleteTaskSet", on("", &arn, json!({}))).1;
    assert!(message.contains("is the PRIMARY task set"), "{message}");
    desk.on_set("UpdateServicePrimaryTaskSet", &green, json!({}));
    let gone = desk.on_set("DeleteTaskSet", &arn, json!({}));
    assert_eq!(text(&gone, "/status"), "DRAINING");
    desk.settle();
    let left = desk.sets();
    assert_eq!((left.len(), text(&left[0], "/id"), text(&left[0], "/status")), (1, green.as_str(), "PRIMARY"));
    let code = desk.refused("UpdateTaskSet", on("", &arn, json!({"scale": {"value": 1.0}}))).0;
    assert_eq!(code, "TaskSetNotFoundException");
    let revisions = desk.control.state().service_revisions.len();
    let newest = text(&desk.set_of(0.0, json!({})), "/id").to_owned();
    assert_eq!(desk.control.state().service_revisions.len(), revisions, "what nothing names any more is gone");
    desk.on_set("DeleteTaskSet", &newest, json!({}));
}

#[test]
fn the_count_of_the_service_moves_its_sets() {
    let mut desk = Desk::with_room();
    desk.external(1);
    let set = text(&desk.set_of(66.67, json!({})), "/id").to_owned();
    desk.settle();
    assert_eq!(desk.started_by(&set), 1);
    desk.ok("UpdateService", json!({"service": "web", "desiredCount": 6}));
    assert_eq!(text(&desk.sets()[0], "/stabilityStatus"), "STABILIZING");
    desk.settle();
    assert_eq!((desk.started_by(&set), number(&desk.sets()[0], "/computedDesiredCount")), (5, 5));
    let plan = json!({"cluster": "default", "service": "web", "taskSet": set, "scale": {"value": 50.0}});
    let plan = desk.plan("UpdateTaskSet", plan).unwrap();
    assert_eq!((text(&plan, "/outcome"), plan["blocked"].clone()), ("COMPLETED", json!([])));
    let stops = plan["steps"].as_array().unwrap().iter().filter(|step| step["action"] == "STOP").count();
    assert_eq!((stops, desk.started_by(&set)), (2, 5));
    assert!(plan["steps"].to_string().contains("task set of 3 tasks"), "{plan}");
}

#[test]
fn a_failing_set_is_tried_with_patience_and_the_other_goes_on() {
    let mut desk = Desk::with_room();
    desk.external(2);
    let good = text(&desk.set_of(100.0, json!({})), "/id").to_owned();
    desk.settle();
    let bad = text(&desk.set_of(50.0, json!({})), "/id").to_owned();
    let number: u64 = bad.trim_start_matches("ecs-svc/").parse().unwrap();
    let mut starts = 0;
    for _ in 0..60 {
        let state = desk.control.state();
        let wanted = state.tasks.values().filter(|task| task.desired == Desired::Running);
        let mine = wanted.filter(|task| task.service.is_some_and(|member| member.deployment == number));
        let failing: Vec<String> = mine.map(|task| state.task_arn(task)).collect();
        starts += failing.len();
        failing.iter().for_each(|task| desk.fail(task, 1));
        desk.pass(100);
    }
    // At once, after 0, 1 and 2 s; the next after 4 s.
    assert_eq!(starts, 4);
    assert_eq!((desk.started_by(&good), text(&desk.sets()[0], "/stabilityStatus")), (2, "STEADY_STATE"));
    assert!(desk.events().iter().any(|said| said.contains("stopped")));
    desk.on_set("UpdateTaskSet", &bad, json!({"scale": {"value": 100.0}}));
    assert_eq!(desk.started_by(&bad), 2, "who changes something need not wait");
    desk.on_set("DeleteTaskSet", &bad, json!({"force": true}));
    desk.settle();
    assert_eq!(desk.sets().len(), 1);
}

#[test]
fn a_client_token_makes_one_set_and_five_are_enough() {
    let mut desk = Desk::with_room();
    desk.external(1);
    let first = desk.set_of(0.0, json!({"clientToken": "t"}));
    assert_eq!(desk.set_of(0.0, json!({"clientToken": "t"}))["id"], first["id"]);
    let other = json!({"cluster": "default", "service": "web", "taskDefinition": "webserver", "clientToken": "t"});
    assert_eq!(desk.refused("CreateTaskSet", other.clone()).0, "InvalidParameterException");
    (0..4).for_each(|_| drop(desk.set_of(0.0, json!({}))));
    let mut sixth = other;
    sixth["clientToken"] = json!("u");
    let (code, message) = desk.refused("CreateTaskSet", sixth);
    assert_eq!(code, "InvalidParameterException");
    assert!(message.starts_with("5 deployments exist on the service."), "{message}");
}

#[test]
fn a_service_goes_with_its_sets_by_force_only() {
    let mut desk = Desk::with_room();
    desk.external(1);
    desk.set_of(100.0, json!({}));
    desk.settle();
    assert!(desk.refused("DeleteService", json!({"service": "web"})).1.contains("scaled above 0"));
    desk.ok("UpdateService", json!({"service": "web", "desiredCount": 0}));
    desk.settle();
    let message = desk.refused("DeleteService", json!({"service": "web"})).1;
    assert_eq!(message, "The service cannot be stopped while deployments are active.");
    desk.ok("UpdateService", json!({"service": "web", "desiredCount": 1}));
    desk.settle();
    let deleted = desk.ok("DeleteService", json!({"service": "web", "force": true}));
    assert_eq!(text(&deleted, "/service/taskSets/0/status"), "DRAINING");
    let described = json!({"cluster": "default", "service": "web"});
    assert_eq!(desk.refused("DescribeTaskSets", described).0, "ServiceNotActiveException");
    desk.settle();
    assert_eq!((text(&desk.describe(), "/status"), desk.wanted().len()), ("INACTIVE", 0));
}

#[test]
fn what_is_not_of_such_a_service_is_refused() {
    let mut desk = Desk::with_room();
    let external = |extra: Value| {
        let mut input = json!({"serviceName": "x", "desiredCount": 1, "deploymentController": {"type": "EXTERNAL"}});
        input.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        input
    };
    for extra in [
        json!({"taskDefinition": "webserver"}),
        json!({"launchType": "FARGATE"}),
        json!({"platformVersion": "LATEST"}),
        json!({"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["x"]}}}),
        json!({"schedulingStrategy": "DAEMON"}),
        json!({"deploymentConfiguration": {"deploymentCircuitBreaker": {"enable": true, "rollback": true}}}),
    ] {
        let (code, message) = desk.refused("CreateService", external(extra.clone()));
        assert_eq!(code, "InvalidParameterException", "{extra} {message}");
    }
    let (code, message) =
        desk.refused("CreateService", external(json!({"deploymentController": {"type": "CODE_DEPLOY"}})));
    assert_eq!(code, "UnsupportedFeatureException", "{message}");
    desk.external(1);
    for (extra, word) in [
        (json!({"taskDefinition": "webserver"}), "task definition"),
        (json!({"platformVersion": "LATEST"}), "platform version"),
        (json!({"networkConfiguration": {}}), "network configuration"),
        (json!({"forceNewDeployment": true}), "deployment"),
        (json!({"deploymentConfiguration": {}}), "deployment configuration"),
    ] {
        let mut input = json!({"service": "web"});
        input.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let (code, message) = desk.refused("UpdateService", input);
        assert_eq!(code, "InvalidParameterException");
        assert!(message.contains(word) && message.contains("EXTERNAL"), "{message}");
    }
    let set = json!({"cluster": "default", "service": "web", "taskDefinition": "webserver"});
    for (extra, code) in [
        (json!({"loadBalancers": [{"targetGroupArn": "x"}]}), "UnsupportedFeatureException"),
        (json!({"serviceRegistries": [{"registryArn": "x"}]}), "UnsupportedFeatureException"),
        (json!({"scale": {"value": 101.0}}), "InvalidParameterException"),
        (json!({"scale": {"value": -1.0}}), "InvalidParameterException"),
        (json!({"scale": {}}), "InvalidParameterException"),
        (json!({"clientToken": "ä"}), "InvalidParameterException"),
        (json!({"platformVersion": "9"}), "PlatformUnknownException"),
        (json!({"taskDefinition": "nothing"}), "ClientException"),
        (json!({"service": "nothing"}), "ServiceNotFoundException"),
        (json!({"cluster": "nothing"}), "ClusterNotFoundException"),
    ] {
        let mut input = set.clone();
        input.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let refused = desk.refused("CreateTaskSet", input);
        assert_eq!(refused.0, code, "{extra} {}", refused.1);
    }
    let other = "arn:aws:ecs:us-east-1:000000000000:task-set/default/other/ecs-svc/1";
    let (code, words) = desk.refused("DeleteTaskSet", on("", other, json!({})));
    assert!(code == "InvalidParameterException" && words.contains("Identifier is for service other"), "{code} {words}");
    for odd in ["ecs-svc/1", "x"] {
        let (code, _) = desk.refused("DeleteTaskSet", on("", odd, json!({})));
        assert_eq!(code, "TaskSetNotFoundException", "{odd}");
        let named = json!({"cluster": "default", "service": "web", "taskSets": [odd]});
        assert_eq!(text(&desk.ok("DescribeTaskSets", named), "/failures/0/reason"), "MISSING");
    }
    let network = json!({"awsvpcConfiguration": {"subnets": [desk.subnet()]}});
    desk.ok(
        "CreateService",
        json!({"serviceName": "plain", "taskDefinition": "webserver", "launchType": "FARGATE", "desiredCount": 0,
            "networkConfiguration": network}),
    );
    let mut input = set;
    input["service"] = json!("plain");
    let message = desk.refused("CreateTaskSet", input).1;
    assert!(message.contains("only supports task set management"), "{message}");
}
