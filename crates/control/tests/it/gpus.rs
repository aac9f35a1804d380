//! GPUs: what hosts register of them, which of them a task gets and keeps, what is said when there are too few.

use super::services::number;
use super::{Desk, node, text};
use control::{Connect, Input};
use link::acs::ToAgent;
use model::instance::CAPABILITIES;
use serde_json::{Value, json};

impl Desk {
    fn gpu_registration(gpus: &[&str]) -> Value {
        let integer = |name: &str, value: u32| json!({"name": name, "type": "INTEGER", "integerValue": value});
        let mut attributes = vec![json!({"name": "gantry.capacity-provider", "value": "blue"})];
        attributes.extend(CAPABILITIES.map(|name| json!({"name": name})));
        let resources = json!([integer("CPU", 8192), integer("MEMORY", 8192)]);
        let devices: Vec<Value> = gpus.iter().map(|id| json!({"id": id, "type": "GPU"})).collect();
        json!({"totalResources": resources, "attributes": attributes, "platformDevices": devices})
    }

    /// A host with GPUs, registered and connected.
    fn gpu_host(&mut self, gpus: &[&str], session: u64) -> String {
        let answer = self.call(node(), "RegisterContainerInstance", Self::gpu_registration(gpus)).unwrap();
        let arn = text(&answer, "/containerInstance/containerInstanceArn").to_owned();
        let connect = Connect { container_instance_arn: arn.clone(), ..Connect::default() };
        self.control.handle(self.now, Input::Connect { ticket: 1, session, caller: node(), connect });
        self.round();
        arn
    }

    /// A definition whose containers want so many GPUs.
    fn gpu_definition(&mut self, family: &str, wanted: &[u32]) -> Value {
        let container = |(n, count): (usize, &u32)| {
            let mut container = json!({"name": format!("c{n}"), "image": "x", "memory": 64});
            if *count > 0 {
                container["resourceRequirements"] = json!([{"type": "GPU", "value": count.to_string()}]);
            }
            container
        };
        let containers: Vec<Value> = wanted.iter().enumerate().map(container).collect();
        self.ok("RegisterTaskDefinition", json!({"family": family, "containerDefinitions": containers}))
    }

    fn free_gpus(&mut self, instance: &str, which: &str) -> Value {
        let shown = self.ok("DescribeContainerInstances", json!({"containerInstances": [instance]}));
        let all = shown["containerInstances"][0][which].as_array().unwrap().clone();
        let gpu = all.iter().find(|resource| resource["name"] == "GPU");
        gpu.map_or(Value::Null, |gpu| {
            assert_eq!(gpu["type"], "STRINGSET");
            gpu["stringSetValue"].clone()
        })
    }

    fn ended(&mut self, arn: &str) {
        self.call(node(), "SubmitTaskStateChange", json!({"task": arn, "status": "STOPPED"})).unwrap();
    }
}

fn ids(task: &Value) -> Vec<Value> {
    task["containers"].as_array().unwrap().iter().map(|container| container["gpuIds"].clone()).collect()
}

#[test]
fn a_task_gets_gpus_of_its_host_and_keeps_them_until_its_node_says_it_is_gone() {
    let mut desk = Desk::new();
    let host = desk.gpu_host(&["GPU-a", "GPU-b", "GPU-c"], 5);
    let all = json!(["GPU-a", "GPU-b", "GPU-c"]);
    assert_eq!(
        (desk.free_gpus(&host, "registeredResources"), desk.free_gpus(&host, "remainingResources")),
        (all.clone(), all.clone())
    );
    let registered = desk.gpu_definition("two", &[1, 0, 1]);
    let asked = registered.pointer("/taskDefinition/containerDefinitions/0/resourceRequirements").cloned();
    assert_eq!(asked, Some(json!([{"type": "GPU", "value": "1"}])));
    assert_eq!(registered["taskDefinition"]["compatibilities"], json!(["EC2", "EXTERNAL"]));
    desk.frames.clear();
    let ran = desk.ok("RunTask", json!({"taskDefinition": "two"}));
    assert_eq!(ids(&ran["tasks"][0]), [json!(["GPU-a"]), Value::Null, json!(["GPU-b"])]);
    let arn = text(&ran, "/tasks/0/taskArn").to_owned();
    let Some(ToAgent::PayloadMessage(payload)) = ToAgent::decode(&desk.frames[0]) else { panic!("{:?}", desk.frames) };
    let told: Vec<_> =
        payload.tasks[0].associations.iter().map(|a| (&*a.name, &*a.kind, a.containers.clone())).collect();
    let said = |gpu, container: &str| (gpu, "gpu", vec![container.to_owned()]);
    assert_eq!(told, [said("GPU-a", "c0"), said("GPU-b", "c2")]);

    assert_eq!(desk.free_gpus(&host, "remainingResources"), json!(["GPU-c"]));
    assert_eq!(desk.free_gpus(&host, "registeredResources"), all);
    let shown = desk.ok("DescribeContainerInstances", json!({"containerInstances": [host]}));
    let devices = &shown["containerInstances"][0]["gpuDevices"];
    let mode = |n: usize| (devices[n]["gpuId"].as_str(), devices[n]["sharingMode"].as_str());
    assert_eq!((mode(0), mode(2)), ((Some("GPU-a"), Some("DEDICATED")), (Some("GPU-c"), Some("IDLE"))));

    let again = desk.ok("RunTask", json!({"taskDefinition": "two", "launchType": "EXTERNAL"}));
    assert_eq!((again["tasks"].clone(), text(&again, "/failures/0/reason")), (json!([]), "RESOURCE:GPU"));
    assert!(text(&again, "/failures/0/detail").contains("needs 2 GPUs, 1 are free"), "{again}");
    assert!(text(&again, "/failures/0/detail").starts_with("needs 2 GPUs; the one instance, "), "{again}");

    // An agent that comes back says the same, and nothing changes.
    let mut same = Desk::gpu_registration(&["GPU-a", "GPU-b", "GPU-c"]);
    same["containerInstanceArn"] = json!(host);
    desk.call(node(), "RegisterContainerInstance", same).unwrap();
    assert_eq!(desk.free_gpus(&host, "remainingResources"), json!(["GPU-c"]));
    desk.ok("StopTask", json!({"task": arn}));
    assert_eq!(desk.free_gpus(&host, "remainingResources"), json!(["GPU-c"]), "it may still use them");
    desk.ended(&arn);
    assert_eq!(desk.free_gpus(&host, "remainingResources"), all);
    let shown = desk.ok("DescribeTasks", json!({"tasks": [arn]}));
    assert_eq!(ids(&shown["tasks"][0])[0], json!(["GPU-a"]), "what it had is still shown");
    let ran = desk.ok("RunTask", json!({"taskDefinition": "two"}));
    assert_eq!(ids(&ran["tasks"][0])[0], json!(["GPU-a"]));
}

#[test]
fn overrides_and_start_task_count_gpus_too() {
    let mut desk = Desk::new();
    let host = desk.gpu_host(&["0", "1", "2", "3"], 5);
    desk.gpu_definition("plain", &[0, 0]);
    let over = |count: &str| {
        let asked = json!([{"type": "GPU", "value": count}]);
        json!({"containerOverrides": [{"name": "c1", "resourceRequirements": asked}]})
    };
    let input = json!({"taskDefinition": "plain", "containerInstances": [host], "overrides": over("3")});
    let started = desk.ok("StartTask", input.clone());
    assert_eq!(ids(&started["tasks"][0]), [Value::Null, json!(["0", "1", "2"])]);
    let shown = text(&started, "/tasks/0/overrides/containerOverrides/0/resourceRequirements/0/value");
    assert_eq!(shown, "3");
    assert_eq!(text(&desk.ok("StartTask", input), "/failures/0/reason"), "RESOURCE:GPU");
    let plain = desk.ok("RunTask", json!({"taskDefinition": "plain"}));
    assert_eq!(ids(&plain["tasks"][0]), [Value::Null, Value::Null], "others are not held up");
    // Of a definition that wants some, an override says how many.
    desk.gpu_definition("three", &[3]);
    let asked = json!([{"type": "GPU", "value": "1"}]);
    let less = json!({"containerOverrides": [{"name": "c0", "resourceRequirements": asked}]});
    let ran = desk.ok("RunTask", json!({"taskDefinition": "three", "overrides": less}));
    assert_eq!(ids(&ran["tasks"][0]), [json!(["3"])]);

    for (count, code, words) in [
        (
            "0",
            "InvalidParameterException",
            "Override for container c1: The value of a resource requirement of type GPU",
        ),
        ("x", "InvalidParameterException", "whole number of at least 1, not \"x\""),
    ] {
        let (said, message) = desk.refused("RunTask", json!({"taskDefinition": "plain", "overrides": over(count)}));
        assert!(said == code && message.contains(words), "{said}: {message}");
    }
    let shared = json!([{"type": "GPU", "value": "1", "sharingStrategy": {"nvidiaMps": {"memory": 1024}}}]);
    for (asked, words) in [
        (shared, "containerOverrides.resourceRequirements.sharingStrategy"),
        (json!([{"type": "InferenceAccelerator", "value": "d"}]), "resourceRequirements.InferenceAccelerator"),
    ] {
        let over = json!({"containerOverrides": [{"name": "c0", "resourceRequirements": asked}]});
        let (code, message) = desk.refused("RunTask", json!({"taskDefinition": "plain", "overrides": over}));
        assert!(code == "UnsupportedFeatureException" && message.contains(words), "{code}: {message}");
    }
}

#[test]
fn fargate_has_no_gpus_and_wrong_numbers_are_refused() {
    let mut desk = Desk::new();
    desk.host();
    let words = "Tasks using the Fargate launch type do not support GPU resource requirements.";
    let container = |asked: Value| json!([{"name": "a", "image": "x", "memory": 64, "resourceRequirements": asked}]);
    let gpu = |value: Value| json!([{"type": "GPU", "value": value}]);
    let mut fargate = json!({"family": "f", "networkMode": "awsvpc", "cpu": "256", "memory": "512",
        "requiresCompatibilities": ["FARGATE"], "containerDefinitions": container(gpu(json!("1")))});
    let refusal = ("ClientException".to_owned(), words.to_owned());
    assert_eq!(desk.refused("RegisterTaskDefinition", fargate.clone()), refusal);
    fargate["containerDefinitions"] = json!([{"name": "a", "image": "x"}]);
    desk.ok("RegisterTaskDefinition", fargate);
    let network = json!({"awsvpcConfiguration": {"subnets": [desk.subnet()]}});
    let over = json!({"containerOverrides": [{"name": "a", "resourceRequirements": gpu(json!("1"))}]});
    let input =
        json!({"taskDefinition": "f", "launchType": "FARGATE", "networkConfiguration": network, "overrides": over});
    assert_eq!(desk.refused("RunTask", input), ("InvalidParameterException".to_owned(), words.to_owned()));
    for value in ["0", "-1", "1.0", "all", "", "99999999999"] {
        let input = json!({"family": "g", "containerDefinitions": container(gpu(json!(value)))});
        let (code, message) = desk.refused("RegisterTaskDefinition", input);
        assert!(code == "ClientException" && message.contains("whole number of at least 1"), "{code}: {message}");
    }
    let twice = json!([{"type": "GPU", "value": "1"}, {"type": "GPU", "value": "1"}]);
    let input = json!({"family": "g", "containerDefinitions": container(twice)});
    assert!(desk.refused("RegisterTaskDefinition", input).1.contains("one resource requirement of type GPU"));
    for id in ["", "a,b", "../x", "a b"] {
        let fault = desk.call(node(), "RegisterContainerInstance", Desk::gpu_registration(&[id])).unwrap_err();
        assert!(fault.message.contains("is no id of a GPU"), "{fault}");
    }
    let many: Vec<String> = (0..257).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let fault = desk.call(node(), "RegisterContainerInstance", Desk::gpu_registration(&many)).unwrap_err();
    assert!(fault.message.contains("at most 256 GPUs"), "{fault}");
}

#[test]
fn a_task_of_a_capacity_provider_waits_for_gpus() {
    let mut desk = Desk::with_providers();
    let host = desk.gpu_host(&["GPU-a", "GPU-b"], 5);
    desk.gpu_definition("both", &[2]);
    let input =
        json!({"taskDefinition": "both", "capacityProviderStrategy": [{"capacityProvider": "blue", "weight": 1}]});
    let first = desk.ok("RunTask", input.clone());
    let second = desk.ok("RunTask", input);
    assert_eq!(ids(&first["tasks"][0]), [json!(["GPU-a", "GPU-b"])]);
    assert_eq!((text(&second, "/tasks/0/lastStatus"), ids(&second["tasks"][0])), ("PROVISIONING", vec![Value::Null]));
    let (first, second) = (text(&first, "/tasks/0/taskArn").to_owned(), text(&second, "/tasks/0/taskArn").to_owned());
    let said = desk.explain(&second);
    assert!(said.to_string().contains("RESOURCE:GPU") && said.to_string().contains("needs 2 GPUs"), "{said}");
    desk.ok("StopTask", json!({"task": first}));
    desk.ended(&first);
    let shown = desk.ok("DescribeTasks", json!({"tasks": [second]}));
    assert_eq!(ids(&shown["tasks"][0]), [json!(["GPU-a", "GPU-b"])]);
    // More come with a registration, and what waits takes them.
    desk.gpu_definition("three", &[3]);
    let input =
        json!({"taskDefinition": "three", "capacityProviderStrategy": [{"capacityProvider": "blue", "weight": 1}]});
    let third = desk.ok("RunTask", input);
    let mut more = Desk::gpu_registration(&["GPU-b", "GPU-c", "GPU-d", "GPU-e"]);
    more["containerInstanceArn"] = json!(host);
    desk.call(node(), "RegisterContainerInstance", more).unwrap();
    let shown = desk.ok("DescribeTasks", json!({"tasks": [third["tasks"][0]["taskArn"]]}));
    assert_eq!(ids(&shown["tasks"][0]), [json!(["GPU-c", "GPU-d", "GPU-e"])]);
    assert_eq!(desk.free_gpus(&host, "remainingResources"), json!([]));
}

#[test]
fn a_service_has_as_many_tasks_as_there_are_gpus_and_says_what_is_missing() {
    let mut desk = Desk::new();
    desk.gpu_host(&["0", "1"], 5);
    desk.gpu_host(&["0"], 6);
    desk.gpu_host(&[], 7);
    desk.gpu_definition("one", &[1]);
    let input = json!({"serviceName": "web", "taskDefinition": "one", "desiredCount": 4, "launchType": "EC2"});
    desk.ok("CreateService", input);
    desk.settle();
    let shown = desk.describe();
    assert_eq!((number(&shown, "/runningCount"), number(&shown, "/desiredCount")), (3, 4));
    let said = shown["events"].to_string();
    assert!(said.contains("has insufficient GPU resource available") && said.contains("Needs 1 GPU; "), "{said}");
    let explained = desk.explain("web").to_string();
    assert!(explained.contains("needs 1 GPU, 0 are free"), "{explained}");
    let listed = desk.ok("ListTasks", json!({"serviceName": "web"}))["taskArns"].clone();
    let tasks = desk.ok("DescribeTasks", json!({"tasks": listed}))["tasks"].clone();
    let mut held: Vec<String> = Vec::new();
    for task in tasks.as_array().unwrap() {
        held.push(format!("{} {}", task["containerInstanceArn"], ids(task)[0]));
    }
    held.sort();
    held.dedup();
    assert_eq!(held.len(), 3, "each has its own: {held:?}");
}
