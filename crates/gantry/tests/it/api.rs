//! The API beyond the beaten path: what is registered comes back, sizes as text, lists, idempotence.

use crate::tasks::{WAIT, arns, shell};
use crate::world::Gantry;
use serde_json::{Value, json};

#[test]
fn the_example_is_registered_as_it_stands_and_comes_back() {
    let gantry = Gantry::up();
    let example = include_str!("../../../../examples/webserver.json");
    let wanted: Value = serde_json::from_str(example).expect("JSON");
    assert!(wanted["containerDefinitions"][0]["cpu"].is_string(), "the example writes container sizes as text");
    let registered = gantry.ecs("RegisterTaskDefinition", wanted.clone())["taskDefinition"].clone();
    let described = gantry.ecs("DescribeTaskDefinition", json!({ "taskDefinition": "webserver" }));
    assert_eq!(described["taskDefinition"], registered, "described as it was registered");
    let container = &registered["containerDefinitions"][0];
    assert_eq!((&container["cpu"], &container["memory"]), (&json!(99), &json!(100)), "numbers, as on AWS");
    assert_eq!((&registered["cpu"], &registered["memory"]), (&wanted["cpu"], &wanted["memory"]));
    assert_eq!(registered["compatibilities"], json!(["EC2", "FARGATE"]));
    assert_eq!(registered["taskDefinitionArn"], "arn:aws:ecs:us-east-1:000000000000:task-definition/webserver:1");
    let by_arn = json!({ "taskDefinition": registered["taskDefinitionArn"] });
    assert_eq!(gantry.ecs("DescribeTaskDefinition", by_arn)["taskDefinition"], registered);
    gantry.take_down();
}

/// Members that no engine implements are kept word for word, and refused when something is to run with them.
#[test]
fn what_cannot_be_run_yet_is_kept_and_refused_by_name() {
    let gantry = Gantry::up();
    let mut main = shell("main", "true");
    main["secrets"] = json!([{ "name": "WORD", "valueFrom": "arn:aws:ssm:us-east-1:000000000000:parameter/word" }]);
    let arn = gantry.register("secretive", &[main.clone()]);
    let described = gantry.ecs("DescribeTaskDefinition", json!({ "taskDefinition": arn }));
    assert_eq!(described["taskDefinition"]["containerDefinitions"][0]["secrets"], main["secrets"]);
    let (code, message) = gantry.refused("RunTask", &gantry.run_input(&arn, 1));
    assert_eq!(code, "UnsupportedFeatureException");
    assert!(message.contains("containerDefinitions[main].secrets"), "{message}");
    assert_eq!(gantry.ecs("ListTasks", json!({}))["taskArns"], json!([]), "nothing was started");
    gantry.take_down();
}

#[test]
fn lists_come_in_pages_and_filters() {
    let gantry = Gantry::up();
    let (web, job) = (gantry.register("web", &[shell("main", WAIT)]), gantry.register("job", &[shell("main", WAIT)]));
    let mut all = gantry.run(&web, 3);
    all.extend(gantry.run(&job, 2));
    let mut seen = Vec::new();
    let mut token = Value::Null;
    loop {
        let mut input = json!({ "maxResults": 2 });
        if !token.is_null() {
            input["nextToken"] = token;
        }
        let page = gantry.ecs("ListTasks", input);
        let arns: Vec<String> = serde_json::from_value(page["taskArns"].clone()).expect("ARNs");
        assert!(arns.len() <= 2);
        seen.extend(arns);
        token = page["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    seen.sort();
    all.sort();
    assert_eq!(seen, all, "every task once");
    let count = |input: Value| gantry.ecs("ListTasks", input)["taskArns"].as_array().expect("ARNs").len();
    assert_eq!(count(json!({ "family": "job" })), 2);
    assert_eq!(count(json!({ "launchType": "EC2" })), 0);
    assert_eq!(count(json!({ "desiredStatus": "STOPPED" })), 0);
    let (code, _) = gantry.refused("ListTasks", &json!({ "nextToken": "forged" }));
    assert_eq!(code, "InvalidParameterException");
    gantry.take_down();
}

#[test]
fn a_client_token_makes_a_repetition_harmless() {
    let gantry = Gantry::up();
    let definition = gantry.register("once", &[shell("main", WAIT)]);
    let mut input = gantry.run_input(&definition, 2);
    input["clientToken"] = json!("deploy-7");
    let first = arns(&gantry.ecs("RunTask", input.clone())["tasks"]);
    assert_eq!(arns(&gantry.ecs("RunTask", input.clone())["tasks"]), first);
    input["count"] = json!(3);
    let answer = gantry.signer.ecs("RunTask", input.to_string().as_bytes());
    assert_eq!((answer.status, &answer.json()["__type"]), (400, &json!("ConflictException")), "{}", answer.text());
    assert_eq!(answer.json()["resourceIds"], json!(first));
    assert_eq!(gantry.ecs("ListTasks", json!({}))["taskArns"].as_array().map(Vec::len), Some(2));
    gantry.take_down();
}

#[test]
fn what_cannot_be_placed_is_a_failure_with_numbers() {
    let mut gantry = Gantry::new();
    gantry.memory_factor = "0.001";
    gantry.start("up");
    let definition = gantry.register("large", &[shell("main", WAIT)]);
    let answer = gantry.ecs("RunTask", gantry.run_input(&definition, 2));
    assert_eq!(answer["tasks"], json!([]));
    let failures = answer["failures"].as_array().expect("failures");
    assert_eq!(failures.len(), 2, "{answer}");
    for failure in failures {
        assert_eq!(failure["reason"], "RESOURCE:MEMORY");
        let detail = failure["detail"].as_str().expect("a detail");
        assert!(detail.contains("needs 512 MiB of memory"), "{detail}");
    }
    gantry.take_down();
}
