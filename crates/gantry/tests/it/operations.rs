//! Every operation of the ECS model: those with a handler answer, the others say by name that they are not supported yet.

use crate::world::{Gantry, fault};
use serde_json::{Map, Value, json};

/// The operations that act, each with a client of `tests/clients` that calls it.
const HANDLED: &[(&str, &str)] = &[
    ("ContinueServiceDeployment", "deployments.py"),
    ("CreateCapacityProvider", "nouns.py"),
    ("CreateCluster", "nouns.py"),
    ("CreateService", "nouns.py"),
    ("CreateTaskSet", "task_sets.py"),
    ("DeleteAccountSetting", "nouns.py"),
    ("DeleteAttributes", "nouns.py"),
    ("DeleteCapacityProvider", "capacity.py"),
    ("DeleteCluster", "nouns.py"),
    ("DeleteDaemon", "nouns.py"),
    ("DeleteDaemonTaskDefinition", "nouns.py"),
    ("DeleteService", "services.py"),
    ("DeleteTaskDefinitions", "nouns.py"),
    ("DeleteTaskSet", "task_sets.py"),
    ("DeregisterContainerInstance", "nouns.py"),
    ("DeregisterTaskDefinition", "nouns.py"),
    ("DescribeCapacityProviders", "capacity.py"),
    ("DescribeClusters", "nouns.py"),
    ("DescribeContainerInstances", "capacity.py"),
    ("DescribeDaemon", "nouns.py"),
    ("DescribeDaemonDeployments", "nouns.py"),
    ("DescribeDaemonRevisions", "nouns.py"),
    ("DescribeDaemonTaskDefinition", "nouns.py"),
    ("DescribeServiceDeployments", "deployments.py"),
    ("DescribeServiceRevisions", "deployments.py"),
    ("DescribeServices", "services.py"),
    ("DescribeTaskDefinition", "nouns.py"),
    ("DescribeTaskSets", "task_sets.py"),
    ("DescribeTasks", "services.py"),
    ("DiscoverPollEndpoint", "nouns.py"),
    ("ExecuteCommand", "nouns.py"),
    ("GetTaskProtection", "nouns.py"),
    ("ListAccountSettings", "nouns.py"),
    ("ListAttributes", "nouns.py"),
    ("ListClusters", "nouns.py"),
    ("ListContainerInstances", "nouns.py"),
    ("ListDaemonDeployments", "nouns.py"),
    ("ListDaemonTaskDefinitions", "nouns.py"),
    ("ListDaemons", "nouns.py"),
    ("ListServiceDeployments", "deployments.py"),
    ("ListServices", "nouns.py"),
    ("ListServicesByNamespace", "nouns.py"),
    ("ListTagsForResource", "capacity.py"),
    ("ListTaskDefinitionFamilies", "nouns.py"),
    ("ListTaskDefinitions", "nouns.py"),
    ("ListTasks", "nouns.py"),
    ("PutAccountSetting", "nouns.py"),
    ("PutAccountSettingDefault", "nouns.py"),
    ("PutAttributes", "nouns.py"),
    ("PutClusterCapacityProviders", "capacity.py"),
    ("RegisterContainerInstance", "nouns.py"),
    ("RegisterDaemonTaskDefinition", "nouns.py"),
    ("RegisterTaskDefinition", "nouns.py"),
    ("RunTask", "nouns.py"),
    ("StartTask", "nouns.py"),
    ("StopServiceDeployment", "deployments.py"),
    ("StopTask", "nouns.py"),
    ("SubmitAttachmentStateChanges", "nouns.py"),
    ("SubmitContainerStateChange", "nouns.py"),
    ("SubmitTaskStateChange", "nouns.py"),
    ("TagResource", "capacity.py"),
    ("UntagResource", "capacity.py"),
    ("UpdateCapacityProvider", "nouns.py"),
    ("UpdateCluster", "nouns.py"),
    ("UpdateClusterSettings", "nouns.py"),
    ("UpdateContainerAgent", "nouns.py"),
    ("UpdateContainerInstancesState", "nouns.py"),
    ("UpdateService", "services.py"),
    ("UpdateServicePrimaryTaskSet", "task_sets.py"),
    ("UpdateTaskProtection", "capacity.py"),
    ("UpdateTaskSet", "task_sets.py"),
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
        let handled = HANDLED.iter().any(|(known, _)| known == name);
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

#[test]
fn every_operation_that_acts_is_called_by_a_client() {
    let clients = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    for (operation, client) in HANDLED {
        let script = std::fs::read_to_string(clients.join(client)).expect("a client");
        let parts = operation.char_indices().map(|(at, letter)| match letter {
            'A'..='Z' if at > 0 => format!("_{}", letter.to_ascii_lowercase()),
            letter => letter.to_ascii_lowercase().to_string(),
        });
        let method: String = parts.collect();
        let calls = script.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).any(|word| word == method);
        assert!(calls, "{client} does not call {method}");
    }
}
