//! What the JSON protocol accepts beside the letter of the model, and what it answers to what it does not accept.

use serde_json::json;
use wire::ecs::{
    Compatibility, KeyValuePair, LaunchType, NetworkMode, Operation, RegisterTaskDefinitionRequest, Request,
    RunTaskRequest, RunTaskResponse, Task,
};
use wire::{Fault, FromJson, Timestamp, ToJson};

fn run_task(extra: serde_json::Value) -> Result<RunTaskRequest, Fault> {
    let mut document = json!({"taskDefinition": "t"});
    document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    RunTaskRequest::from_json_str(&document.to_string())
}

fn refusal(extra: serde_json::Value) -> (String, String) {
    let fault = run_task(extra).unwrap_err();
    (fault.code.into_owned(), fault.message)
}

#[test]
fn the_example_of_the_root_is_read() {
    let text = include_str!("../../../examples/webserver.json");
    let request = RegisterTaskDefinitionRequest::from_json_str(text).unwrap();
    assert_eq!(request.family, "webserver");
    assert_eq!(request.memory.as_deref(), Some("512"));
    assert_eq!(request.network_mode, Some(NetworkMode::Awsvpc));
    assert_eq!(request.requires_compatibilities, Some(vec![Compatibility::Fargate]));
    let web = &request.container_definitions[0];
    assert_eq!((web.memory, web.cpu), (Some(100), Some(99)));
    assert_eq!(RegisterTaskDefinitionRequest::from_json_str(&request.to_json()).unwrap(), request);
}

#[test]
fn numbers_may_be_text_and_null_is_absent() {
    for count in [json!(3), json!("3"), json!(3.0), json!(" 3 "), json!("3.0"), json!("+3")] {
        assert_eq!(run_task(json!({"count": count})).unwrap().count, Some(3), "{count}");
    }
    let request = run_task(json!({"count": null, "cluster": null, "later": {"x": 1}})).unwrap();
    assert_eq!((request.count, request.cluster), (None, None));
}

#[test]
fn the_wrong_type_is_named_with_its_place() {
    let serialization = "SerializationException".to_owned();
    for (extra, message) in [
        (json!({"count": "many"}), "count: expected an integer, got \"many\""),
        (json!({"count": 2.5}), "count: expected an integer, got 2.5"),
        (json!({"count": true}), "count: expected an integer, got a boolean"),
        (json!({"count": 3_000_000_000_u32}), "count: expected an integer of 32 bits, got 3000000000"),
        (json!({"count": u64::MAX}), "count: expected an integer, got 18446744073709551615"),
        (json!({"cluster": 5}), "cluster: expected a string, got a number"),
        (json!({"cluster": {}}), "cluster: expected a string, got an object"),
        (json!({"tags": {}}), "tags: expected a list, got an object"),
        (json!({"tags": [{}, null]}), "tags[1]: expected an object, got null"),
        (json!({"enableECSManagedTags": "true"}), "enableECSManagedTags: expected a boolean, got \"true\""),
    ] {
        assert_eq!(refusal(extra), (serialization.clone(), message.to_owned()));
    }
    let text = r#"{"family": "f", "containerDefinitions": [{"memory": "abc"}]}"#;
    let fault = RegisterTaskDefinitionRequest::from_json_str(text).unwrap_err();
    assert_eq!(fault.message, "containerDefinitions[0].memory: expected an integer, got \"abc\"");
}

#[test]
fn malformed_json_is_refused_and_deep_json_does_not_overflow() {
    let deep = "[".repeat(200_000);
    for body in ["{", "{\"a\":}", "[]", "nonsense", "\u{feff}{}", &deep, &format!("{{\"a\":{deep}")] {
        let fault = Request::decode(Operation::RunTask, body.as_bytes()).unwrap_err();
        assert_eq!((fault.code.as_ref(), fault.status), ("SerializationException", 400));
    }
    assert!(Request::decode(Operation::ListClusters, b"{\"cluster\":\"\xff\"}").is_err());
}

#[test]
fn constraints_are_checked() {
    let invalid = "InvalidParameterException".to_owned();
    let tag = |key: &str| json!({"tags": [{"key": "ok"}, {"key": key}]});
    for (extra, message) in [
        (
            tag("50%"),
            "tags[1].key: the character '%' is not allowed; use letters, digits, spaces and _ . : / = + - @".to_owned(),
        ),
        (tag(""), "tags[1].key: the number of characters must be between 1 and 128, got 0".to_owned()),
        (json!({"tags": vec![json!({}); 51]}), "tags: the number of items must be between 0 and 50, got 51".to_owned()),
        (
            json!({"capacityProviderStrategy": [{"capacityProvider": "c", "weight": 1001}]}),
            "capacityProviderStrategy[0].weight: the value must be between 0 and 1000, got 1001".to_owned(),
        ),
        (
            json!({"capacityProviderStrategy": [{"weight": 1}]}),
            "capacityProviderStrategy[0].capacityProvider: a required member is missing".to_owned(),
        ),
    ] {
        assert_eq!(refusal(extra), (invalid.clone(), message));
    }
    assert!(run_task(tag("Größe: 5 @x")).is_ok());
    // An empty text in place of a required one is for handlers to judge.
    assert!(RunTaskRequest::from_json_str(r#"{"taskDefinition": ""}"#).is_ok());
}

#[test]
fn secrets_are_not_printed() {
    let pair = KeyValuePair { name: Some("PASSWORD".to_owned()), value: Some("hunter2".to_owned()) };
    let credentials = wire::ecs::RepositoryCredentials { credentials_parameter: "hunter2".to_owned() };
    let container = wire::ecs::ContainerDefinition {
        environment: Some(vec![pair]),
        repository_credentials: Some(credentials),
        ..Default::default()
    };
    let request = RegisterTaskDefinitionRequest { container_definitions: vec![container], ..Default::default() };
    let session = wire::ecs::Session { token_value: Some("hunter2".to_owned()), ..Default::default() };
    let text = format!("{request:?} {session:?}");
    assert!(text.contains("***") && !text.contains("hunter2"), "{text}");
    assert!(request.to_json().contains("hunter2"));
}

#[test]
fn answers_leave_out_what_is_absent_and_write_times_as_numbers() {
    let task = Task {
        created_at: Some(Timestamp::from_millis(1_700_000_000_007)),
        launch_type: Some(LaunchType::Fargate),
        ..Task::default()
    };
    let answer = RunTaskResponse { tasks: Some(vec![task]), failures: Some(vec![]) };
    assert_eq!(answer.to_json(), r#"{"failures":[],"tasks":[{"createdAt":1700000000.007,"launchType":"FARGATE"}]}"#);
}

#[test]
fn enums_know_their_names() {
    assert_eq!(LaunchType::from_wire("FARGATE"), Some(LaunchType::Fargate));
    assert_eq!(LaunchType::from_wire("fargate"), None);
    assert_eq!(format!("{:>9}", LaunchType::Ec2), "      EC2");
    for value in LaunchType::ALL {
        assert_eq!(LaunchType::from_wire(value.as_str()), Some(*value));
    }
}
