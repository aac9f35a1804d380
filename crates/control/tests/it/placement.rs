//! Where tasks go: draining hosts, attributes, constraints and strategies, and what is said when nothing fits.

use super::{Desk, node, operator, text};
use control::{Connect, Input};
use model::task::Desired;
use serde_json::{Value, json};

impl Desk {
    /// A container instance with these attributes, registered and connected. It is its own session.
    fn instance(&mut self, session: u64, cpu: u32, memory: u32, attributes: Value) -> String {
        let integer = |name: &str, value: u32| json!({"name": name, "type": "INTEGER", "integerValue": value});
        let resources = json!([integer("CPU", cpu), integer("MEMORY", memory)]);
        let input = json!({"totalResources": resources, "attributes": attributes});
        let answer = self.call(node(), "RegisterContainerInstance", input).unwrap();
        let arn = text(&answer, "/containerInstance/containerInstanceArn").to_owned();
        let connect = Connect { container_instance_arn: arn.clone(), ..Connect::default() };
        self.control.handle(self.now, Input::Connect { ticket: 1, session, caller: node(), connect });
        self.round();
        arn
    }

    /// A definition of one container that needs that much of an instance.
    fn small(&mut self, family: &str, extra: Value) {
        let mut input = json!({"family": family, "containerDefinitions":
            [{"name": "main", "image": "busybox", "cpu": 100, "memory": 128}]});
        input.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        self.ok("RegisterTaskDefinition", input);
    }

    /// How many tasks are wanted RUNNING on each of these.
    fn spread(&self, instances: &[String]) -> Vec<usize> {
        let state = self.control.state();
        let on = |arn: &String| {
            let tasks = state.tasks.values().filter(|task| task.desired == Desired::Running);
            tasks.filter(|task| state.project_task(task, false).container_instance_arn.as_ref() == Some(arn)).count()
        };
        instances.iter().map(on).collect()
    }
}

#[test]
fn a_draining_host_takes_no_tasks_and_loses_those_of_services_within_the_bounds() {
    let mut desk = Desk::new();
    let hosts: Vec<String> = (0..2).map(|n| desk.instance(n, 1000, 1000, json!([]))).collect();
    desk.small("web", json!({}));
    desk.ok("RunTask", json!({"taskDefinition": "web", "group": "alone"}));
    let input = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 3});
    desk.ok("CreateService", input);
    desk.settle();
    assert_eq!(desk.spread(&hosts), [2, 2]);
    let answer = desk.ok(
        "UpdateContainerInstancesState",
        json!({"containerInstances": [&hosts[0], "f".repeat(32)], "status": "DRAINING"}),
    );
    assert_eq!(text(&answer, "/containerInstances/0/status"), "DRAINING");
    assert_eq!(text(&answer, "/failures/0/reason"), "MISSING");
    let listed = |desk: &mut Desk, status: &str| {
        desk.ok("ListContainerInstances", json!({"status": status}))["containerInstanceArns"].clone()
    };
    assert_eq!(listed(&mut desk, "DRAINING"), json!([&hosts[0]]));
    assert_eq!(listed(&mut desk, "ACTIVE"), json!([&hosts[1]]));
    desk.settle();
    let alone = desk.ok("ListTasks", json!({"family": "web", "containerInstance": &hosts[0]}));
    assert!(alone["taskArns"].as_array().unwrap().len() <= 1, "only what belongs to no service stays: {alone}");
    assert_eq!(desk.spread(&hosts).iter().sum::<usize>(), 4);
    let run = desk.ok("StartTask", json!({"taskDefinition": "web", "containerInstances": [&hosts[0]]}));
    assert_eq!(run["tasks"], json!([]), "{run}");
    desk.ok("UpdateContainerInstancesState", json!({"containerInstances": [&hosts[0]], "status": "ACTIVE"}));
    let run = desk.ok("StartTask", json!({"taskDefinition": "web", "containerInstances": [&hosts[0]]}));
    assert_eq!(run["failures"], json!([]), "{run}");
    for (input, expected) in [
        (json!({"containerInstances": [], "status": "ACTIVE"}), "cannot be empty"),
        (json!({"containerInstances": [&hosts[0]], "status": "REGISTERING"}), "ACTIVE or DRAINING"),
        (json!({"containerInstances": vec!["x"; 11], "status": "ACTIVE"}), "at most 10"),
    ] {
        let (code, message) = desk.refused("UpdateContainerInstancesState", input);
        assert!(code == "InvalidParameterException" && message.contains(expected), "{code} {message}");
    }
    // An agent may drain its own host, and not put it back.
    let input = |status: &str| json!({"containerInstances": [&hosts[0]], "status": status});
    assert!(desk.call(node(), "UpdateContainerInstancesState", input("DRAINING")).is_ok());
    assert!(desk.call(node(), "UpdateContainerInstancesState", input("ACTIVE")).is_err());
    assert!(desk.call(operator(), "UpdateContainerInstancesState", input("ACTIVE")).is_ok());
}
