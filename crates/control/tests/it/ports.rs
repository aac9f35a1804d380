//! Tasks without interfaces: what they are refused, what their instance books, what is shown of their ports.

use crate::{Desk, node, text};
use link::acs::ToAgent;
use serde_json::{Value, json};

fn definition(family: &str, mode: Value, mappings: Value) -> Value {
    let container = json!({"name": "web", "image": "nginx", "memory": 64, "portMappings": mappings});
    json!({"family": family, "networkMode": mode, "containerDefinitions": [container]})
}

fn run(desk: &mut Desk, family: &str) -> Value {
    desk.ok("RunTask", json!({"taskDefinition": family}))
}

#[test]
fn a_bridged_task_books_its_port_and_shows_what_its_node_tells() {
    let mut desk = Desk::new();
    let instance = desk.host();
    let mappings = json!([{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81}]);
    desk.ok("RegisterTaskDefinition", definition("web", Value::Null, mappings));
    desk.frames.clear();
    let ran = run(&mut desk, "web");
    let arn = text(&ran, "/tasks/0/taskArn").to_owned();
    assert_eq!(text(&ran, "/tasks/0/lastStatus"), "PENDING", "there is no interface to provision");
    assert_eq!(ran["tasks"][0]["attachments"], json!([]));
    let Some(ToAgent::PayloadMessage(payload)) = ToAgent::decode(&desk.frames[0]) else { panic!("{:?}", desk.frames) };
    let told = &payload.tasks[0];
    assert_eq!((told.network_mode.as_str(), told.elastic_network_interfaces.len()), ("bridge", 0));
    let ports: Vec<_> = told.containers[0].port_mappings.iter().map(|m| (m.container_port, m.host_port)).collect();
    assert_eq!(ports, [(80, 8080), (81, 0)]);
    assert!(told.containers[0].docker_config.host_config.contains("\"NetworkMode\":\"bridge\""));

    let again = run(&mut desk, "web");
    assert_eq!(text(&again, "/failures/0/reason"), "RESOURCE:PORTS");
    assert!(text(&again, "/failures/0/detail").contains("8080/tcp"), "{again}");
    let shown = desk.ok("DescribeContainerInstances", json!({"containerInstances": [instance]}));
    let ports = |which: &str| shown["containerInstances"][0][which][2]["stringSetValue"].clone();
    assert_eq!((ports("registeredResources"), ports("remainingResources")), (json!([]), json!(["8080"])));

    let binding = |host: u16, inside: u16| json!({"bindIP": "0.0.0.0", "containerPort": inside, "hostPort": host, "protocol": "tcp"});
    let bindings = json!([binding(8080, 80), binding(32_768, 81)]);
    let containers = json!([{"containerName": "web", "status": "RUNNING", "networkBindings": bindings}]);
    desk.call(node(), "SubmitTaskStateChange", json!({"task": arn, "status": "RUNNING", "containers": containers}))
        .unwrap();
    // A later report that does not speak of ports takes none away.
    desk.call(node(), "SubmitTaskStateChange", json!({"task": arn, "status": "RUNNING"})).unwrap();
    let shown = desk.ok("DescribeTasks", json!({"tasks": [arn]}));
    assert_eq!(shown.pointer("/tasks/0/containers/0/networkBindings"), Some(&bindings));
    assert_eq!(text(&shown, "/tasks/0/availabilityZone"), "us-east-1a");

    desk.ok("StopTask", json!({"task": arn}));
    assert_eq!(run(&mut desk, "web")["tasks"], json!([]), "it has the port until it is gone");
    desk.call(node(), "SubmitTaskStateChange", json!({"task": arn, "status": "STOPPED"})).unwrap();
    assert_eq!(run(&mut desk, "web")["failures"], json!([]));
}

#[test]
fn a_network_configuration_is_for_tasks_with_interfaces() {
    let mut desk = Desk::new();
    desk.host();
    desk.ok("RegisterTaskDefinition", definition("bridged", json!("bridge"), json!([])));
    desk.ok("RegisterTaskDefinition", definition("own", json!("awsvpc"), json!([])));
    let network = json!({"awsvpcConfiguration": {"subnets": [desk.subnet()]}});
    let words = "Network Configuration is not valid for the given networkMode of this task definition.";
    let refusal = ("InvalidParameterException".to_owned(), words.to_owned());
    let input = json!({"taskDefinition": "bridged", "networkConfiguration": network});
    assert_eq!(desk.refused("RunTask", input), refusal);
    let service = json!({"serviceName": "s", "taskDefinition": "bridged", "desiredCount": 0});
    let mut with = service.clone();
    with["networkConfiguration"] = network.clone();
    assert_eq!(desk.refused("CreateService", with), refusal);
    let created = desk.ok("CreateService", service);
    assert_eq!(created["service"].get("networkConfiguration"), None);
    // To tasks with interfaces and back again.
    let update = |definition: &str| json!({"service": "s", "taskDefinition": definition});
    let (_, missing) = desk.refused("UpdateService", update("own"));
    assert!(missing.contains("Network Configuration must be provided"), "{missing}");
    let mut with = update("own");
    with["networkConfiguration"] = network.clone();
    let updated = desk.ok("UpdateService", with);
    assert_eq!(
        updated.pointer("/service/networkConfiguration/awsvpcConfiguration/subnets/0"),
        Some(&json!(desk.subnet()))
    );
    let updated = desk.ok("UpdateService", update("bridged"));
    assert_eq!(updated["service"].get("networkConfiguration"), None);
}

#[test]
fn external_tasks_have_no_interface() {
    let mut desk = Desk::new();
    desk.host();
    desk.ok("RegisterTaskDefinition", definition("bridged", json!("bridge"), json!([{"containerPort": 80}])));
    let ran = desk.ok("RunTask", json!({"taskDefinition": "bridged", "launchType": "EXTERNAL"}));
    assert_eq!((text(&ran, "/tasks/0/launchType"), ran["failures"].clone()), ("EXTERNAL", json!([])));
    let registered = desk.ok("RegisterTaskDefinition", definition("h", json!("host"), json!([{"containerPort": 80}])));
    let mapping = registered.pointer("/taskDefinition/containerDefinitions/0/portMappings/0").cloned();
    assert_eq!(mapping, Some(json!({"containerPort": 80, "hostPort": 80, "protocol": "tcp"})));
}
