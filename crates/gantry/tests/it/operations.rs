//! Every operation of the ECS model: those with a handler answer, the others say by name that they are not supported yet.

use crate::world::{Gantry, fault};
use serde_json::{Map, Value, json};

/// The operations that have a handler.
const HANDLED: &[&str] = &[
    "ContinueServiceDeployment",
    "CreateCapacityProvider",
    "CreateCluster",
    "CreateService",
    "CreateTaskSet",
    "DeleteAccountSetting",
    "DeleteAttributes",
    "DeleteCapacityProvider",
    "DeleteCluster",
    "DeleteService",
    "DeleteTaskDefinitions",
    "DeleteTaskSet",
    "DeregisterContainerInstance",
    "DeregisterTaskDefinition",
    "DescribeCapacityProviders",
    "DescribeClusters",
    "DescribeContainerInstances",
    "DescribeServiceDeployments",
    "DescribeServiceRevisions",
    "DescribeServices",
    "DescribeTaskDefinition",
    "DescribeTaskSets",
    "DescribeTasks",
    "DiscoverPollEndpoint",
    "ExecuteCommand",
    "GetTaskProtection",
    "ListAccountSettings",
    "ListAttributes",
    "ListClusters",
    "ListContainerInstances",
    "ListServiceDeployments",
    "ListServices",
    "ListServicesByNamespace",
    "ListTagsForResource",
    "ListTaskDefinitionFamilies",
    "ListTaskDefinitions",
    "ListTasks",
    "PutAccountSetting",
    "PutAccountSettingDefault",
    "PutAttributes",
    "PutClusterCapacityProviders",
    "RegisterContainerInstance",
    "RegisterTaskDefinition",
    "RunTask",
    "StartTask",
    "StopServiceDeployment",
    "StopTask",
    "SubmitAttachmentStateChanges",
    "SubmitContainerStateChange",
    "SubmitTaskStateChange",
    "TagResource",
    "UntagResource",
    "UpdateCapacityProvider",
    "UpdateCluster",
    "UpdateClusterSettings",
    "UpdateContainerAgent",
    "UpdateContainerInstancesState",
    "UpdateService",
    "UpdateServicePrimaryTaskSet",
    "UpdateTaskProtection",
    "UpdateTaskSet",
];

/// The least that a shape takes.
pub fn least(model: &Value, shape: &str) -> Value {
    let shape = &model["shapes"][shape];
    match shape["type"].as_str().unwrap_or_default() {
        "structure" => {
            let required = shape["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let value = |name: &str| least(model, shape["members"][name]["shape"].as_str().expect("a shape"));
            Value::Object(required.map(|name| (name.to_owned(), value(name))).collect::<Map<_, _>>())
        }
        "list" => json!([least(model, shape["member"]["shape"].as_str().expect("a member"))]),
        "map" => json!({}),
        "string" => shape["enum"].get(0).cloned().unwrap_or_else(|| json!("x")),
        "boolean" => json!(true),
        "integer" | "long" => json!(1),
        "double" | "float" => json!(1.0),
        "timestamp" => json!(1_700_000_000),
        other => panic!("a shape of type {other:?}"),
    }
}

#[test]
fn every_operation_of_the_model_is_answered() {
    let mut gantry = Gantry::new();
    gantry.start("control");
    let model: Value = serde_json::from_str(include_str!("../../../../models/ecs.json")).expect("the model");
    let operations = model["operations"].as_object().expect("operations");
    let mut refused = 0;
    for (name, operation) in operations {
        let input = operation["input"]["shape"].as_str().map_or(json!({}), |shape| least(&model, shape));
        let answer = gantry.signer.ecs(name, input.to_string().as_bytes());
        let handled = HANDLED.contains(&name.as_str());
        if answer.status == 200 {
            assert!(handled, "{name} was answered: {}", answer.text());
            continue;
        }
        let (code, message) = fault(name, &answer);
        let unsupported = message.starts_with(&format!("{name} is not supported yet"));
        assert_eq!(unsupported, !handled, "{name} {input}: {code} {message}");
        if unsupported {
            refused += 1;
            assert!(["UnsupportedFeatureException", "ClientException"].contains(&code.as_str()), "{name}: {code}");
            assert_eq!(answer.status, 400);
        }
    }
    assert_eq!((operations.len(), wire::ecs::Operation::ALL.len()), (88, 88));
    assert_eq!(refused, 88 - HANDLED.len(), "the others are supported");
    gantry.take_down();
}
