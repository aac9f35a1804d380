//! Where tasks go: draining hosts, attributes, constraints and strategies, and what is said when nothing fits.

use super::{Desk, node, operator, text};
use control::{Connect, Input};
use model::task::Desired;
use serde_json::{Value, json};

impl Desk {
    /// A container instance with these attributes, registered and connected. It is its own session.
    pub fn instance(&mut self, session: u64, cpu: u32, memory: u32, attributes: Value) -> String {
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

#[test]
fn attributes_are_put_listed_chosen_by_and_deleted() {
    let mut desk = Desk::new();
    let hosts: Vec<String> = (0..3)
        .map(|n| {
            desk.instance(
                n,
                1000,
                1000,
                json!([{"name": "ecs.os-type", "value": "linux"}, {"name": "rack", "value": "r1"}]),
            )
        })
        .collect();
    let put = |desk: &mut Desk, host: &str, name: &str, value: Value| {
        let mut attribute = json!({"name": name, "targetType": "container-instance", "targetId": host});
        if !value.is_null() {
            attribute["value"] = value;
        }
        desk.call(operator(), "PutAttributes", json!({"attributes": [attribute]}))
    };
    let answer = put(&mut desk, &hosts[0], "stack", json!("prod")).unwrap();
    assert_eq!(answer["attributes"][0]["targetId"], json!(hosts[0]));
    let id = hosts[1].rsplit('/').next().unwrap().to_owned();
    put(&mut desk, &id, "stack", json!("dev")).unwrap();
    put(&mut desk, &hosts[1], "ssd", Value::Null).unwrap();
    let list = |desk: &mut Desk, filter: Value| {
        let mut input = json!({"targetType": "container-instance"});
        input.as_object_mut().unwrap().extend(filter.as_object().unwrap().clone());
        desk.ok("ListAttributes", input)
    };
    let found = list(&mut desk, json!({"attributeName": "stack"}));
    assert_eq!(found["attributes"].as_array().unwrap().len(), 2, "{found}");
    let found = list(&mut desk, json!({"attributeName": "stack", "attributeValue": "prod"}));
    assert_eq!(found["attributes"][0]["targetId"], json!(hosts[0]));
    let (mut names, mut token) = (Vec::new(), json!({"maxResults": 2}));
    loop {
        let page = list(&mut desk, token.clone());
        names.extend(page["attributes"].as_array().unwrap().iter().map(|a| format!("{a}")));
        let Some(next) = page.get("nextToken") else { break };
        token = json!({"maxResults": 2, "nextToken": next});
    }
    let whole = list(&mut desk, json!({}));
    let whole: Vec<String> = whole["attributes"].as_array().unwrap().iter().map(|a| format!("{a}")).collect();
    assert_eq!(names, whole);
    let chosen = |desk: &mut Desk, filter: &str| {
        desk.ok("ListContainerInstances", json!({"filter": filter}))["containerInstanceArns"].clone()
    };
    assert_eq!(chosen(&mut desk, "attribute:stack == prod"), json!([&hosts[0]]));
    assert_eq!(chosen(&mut desk, "attribute:stack !exists"), json!([&hosts[2]]));
    assert_eq!(chosen(&mut desk, &format!("containerInstanceArn == {}", hosts[2])), json!([&hosts[2]]));
    assert_eq!(chosen(&mut desk, "runningTasksCount == 0 and attribute:rack == r1").as_array().unwrap().len(), 3);
    let (code, message) = desk.refused("ListContainerInstances", json!({"filter": "attribute:stack = prod"}));
    assert_eq!(code, "InvalidParameterException");
    assert!(message.starts_with("Invalid expression: at character 17: expected an operator"), "{message}");
    let nowhere = json!({"totalResources": [{"name": "CPU", "integerValue": 1}, {"name": "MEMORY", "integerValue": 1}],
        "attributes": [{"name": "ecs.availability-zone", "value": "mars-1a"}]});
    let refused = desk.call(node(), "RegisterContainerInstance", nowhere).unwrap_err();
    assert!(refused.message.contains("there are us-east-1a, us-east-1b, us-east-1c"), "{refused}");
    // An agent sends custom attributes at its first registration only; they stay.
    let resources = json!([{"name": "CPU", "integerValue": 1000}, {"name": "MEMORY", "integerValue": 1000}]);
    let again = json!({"containerInstanceArn": &hosts[0], "totalResources": resources, "attributes": [{"name": "ecs.os-type", "value": "linux"}]});
    desk.call(node(), "RegisterContainerInstance", again).unwrap();
    assert_eq!(chosen(&mut desk, "attribute:stack == prod and attribute:rack == r1"), json!([&hosts[0]]));
    let gone = json!({"attributes": [{"name": "stack", "value": "dev", "targetId": &hosts[0]}]});
    assert_eq!(desk.refused("DeleteAttributes", gone).0, "TargetNotFoundException");
    desk.ok("DeleteAttributes", json!({"attributes": [{"name": "stack", "value": "prod", "targetId": &hosts[0]}]}));
    assert_eq!(chosen(&mut desk, "attribute:stack == prod"), json!([]));
    for (host, name, value, code) in [
        (hosts[0].as_str(), "ecs.os-type", json!("x"), "InvalidParameterException"),
        (&hosts[0], "a b", json!("x"), "InvalidParameterException"),
        (&hosts[0], "a", json!(" x"), "InvalidParameterException"),
        (&hosts[0], &"a".repeat(129), json!("x"), "InvalidParameterException"),
        (&"f".repeat(32), "a", json!("x"), "TargetNotFoundException"),
    ] {
        assert_eq!(put(&mut desk, host, name, value).unwrap_err().code, code, "{name}");
    }
    // `rack` is one of the ten.
    (0..9).for_each(|n| drop(put(&mut desk, &hosts[0], &format!("n{n}"), json!("x")).unwrap()));
    assert_eq!(put(&mut desk, &hosts[0], "n9", json!("x")).unwrap_err().code, "AttributeLimitExceededException");
}

/// Three hosts in two zones; the first and the last are of the stack prod.
fn zoned() -> (Desk, Vec<String>) {
    let mut desk = Desk::new();
    let host = |desk: &mut Desk, n: u64, zone: &str, stack: &str| {
        let attributes = json!([{"name": "ecs.availability-zone", "value": zone}, {"name": "stack", "value": stack}]);
        desk.instance(n, 1000, 1000, attributes)
    };
    let hosts = [("us-east-1a", "prod"), ("us-east-1a", "dev"), ("us-east-1b", "prod")];
    let hosts = (0..).zip(hosts).map(|(n, (zone, stack))| host(&mut desk, n, zone, stack)).collect();
    desk.small("web", json!({}));
    (desk, hosts)
}

#[test]
fn constraints_and_strategies_of_requests_are_obeyed() {
    let (mut desk, hosts) = zoned();
    let prod = json!([{"type": "memberOf", "expression": "attribute:stack == prod"}]);
    desk.ok("RunTask", json!({"taskDefinition": "web", "count": 4, "placementConstraints": prod}));
    assert_eq!(desk.spread(&hosts), [2, 0, 2]);
    let spread =
        json!([{"type": "spread", "field": "attribute:ecs.availability-zone"}, {"type": "binpack", "field": "memory"}]);
    desk.ok("RunTask", json!({"taskDefinition": "web", "count": 4, "group": "g", "placementStrategy": spread}));
    assert_eq!(desk.spread(&hosts), [4, 0, 4]);
    let distinct = json!([{"type": "distinctInstance"}]);
    let run = desk
        .ok("RunTask", json!({"taskDefinition": "web", "count": 4, "group": "d", "placementConstraints": distinct}));
    assert_eq!(run["tasks"].as_array().unwrap().len(), 3);
    assert_eq!(text(&run, "/failures/0/reason"), "DistinctInstance placement constraint unsatisfied.");
    let none = json!([{"type": "memberOf", "expression": "attribute:stack == test"}]);
    let run = desk.ok("RunTask", json!({"taskDefinition": "web", "placementConstraints": none}));
    assert_eq!(text(&run, "/failures/0/reason"), "MemberOf placement constraint unsatisfied.");
    let detail = text(&run, "/failures/0/detail");
    assert!(detail.starts_with("none of 3 instances satisfy attribute:stack == test; instance "), "{detail}");
    let big = json!({"containerOverrides": [{"name": "main", "memory": 900}]});
    let run = desk.ok("RunTask", json!({"taskDefinition": "web", "placementConstraints": prod, "overrides": big}));
    let detail = text(&run, "/failures/0/detail");
    assert_eq!(text(&run, "/failures/0/reason"), "RESOURCE:MEMORY", "a container's own size is what is booked");
    assert!(
        detail.starts_with("needs 900 MiB of memory; 2 of 3 instances satisfy attribute:stack == prod"),
        "{detail}"
    );
    for (member, value, words) in [
        (
            "placementConstraints",
            json!([{"type": "memberOf", "expression": "stack == prod"}]),
            "at character 1: unknown subject",
        ),
        ("placementConstraints", json!([{"type": "memberOf"}]), "needs an expression"),
        ("placementConstraints", json!(vec![json!({"type": "distinctInstance"}); 11]), "at most 10"),
        ("placementStrategy", json!([{"type": "binpack", "field": "disk"}]), "cpu or memory"),
        ("placementStrategy", json!(vec![json!({"type": "random"}); 6]), "at most 5"),
    ] {
        let mut input = json!({"taskDefinition": "web"});
        input[member] = value;
        let (code, message) = desk.refused("RunTask", input);
        assert!(code == "InvalidParameterException" && message.contains(words), "{code} {message}");
    }
}

#[test]
fn a_service_is_placed_as_it_says_and_says_why_not() {
    let (mut desk, hosts) = zoned();
    let dev = json!([{"type": "memberOf", "expression": "attribute:stack == dev"}]);
    let pack = json!([{"type": "binpack", "field": "cpu"}]);
    let input = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 9, "placementConstraints": dev, "placementStrategy": pack});
    let created = desk.ok("CreateService", input);
    assert_eq!(text(&created, "/service/placementConstraints/0/expression"), "attribute:stack == dev");
    assert_eq!(text(&created, "/service/placementStrategy/0/field"), "cpu");
    desk.settle();
    assert_eq!(desk.spread(&hosts), [0, 7, 0], "as many as have room");
    let shown = desk.describe();
    let events: Vec<&str> = shown["events"].as_array().unwrap().iter().map(|e| text(e, "/message")).collect();
    let unable: Vec<&&str> = events.iter().filter(|message| message.contains("was unable to place a task")).collect();
    let [unable] = unable.as_slice() else { panic!("once: {events:?}") };
    assert!(
        unable.contains(
            "because no container instance met all of its requirements. The closest matching (container-instance "
        ),
        "{unable}"
    );
    assert!(unable.contains("has insufficient memory available. Needs 128 MiB of memory; 1 of 3 instances satisfy attribute:stack == dev"), "{unable}");
    // Without the constraint there is room; no new deployment is made for that.
    let deployment = text(&desk.describe(), "/deployments/0/id").to_owned();
    let updated =
        desk.ok("UpdateService", json!({"service": "web", "placementConstraints": [], "placementStrategy": []}));
    assert_eq!(updated["service"]["placementConstraints"], json!([]));
    desk.settle();
    assert_eq!(text(&desk.describe(), "/deployments/0/id"), deployment);
    assert_eq!(desk.spread(&hosts).iter().sum::<usize>(), 9);
    assert_eq!(desk.spread(&hosts)[2], 2, "the zone with the fewest");
}

#[test]
fn what_a_definition_asks_of_a_host_is_asked() {
    let (mut desk, hosts) = zoned();
    let check = json!({"command": ["CMD", "true"]});
    let container = json!({"name": "main", "image": "busybox", "memory": 64, "healthCheck": check});
    desk.ok("RegisterTaskDefinition", json!({"family": "checked", "containerDefinitions": [container]}));
    let run = desk.ok("RunTask", json!({"taskDefinition": "checked"}));
    assert_eq!(text(&run, "/failures/0/reason"), "ATTRIBUTE");
    assert!(text(&run, "/failures/0/detail").contains("have the attribute"), "{run}");
    let rack = json!([{"type": "memberOf", "expression": "attribute:ecs.availability-zone == us-east-1b"}]);
    desk.small("far", json!({"placementConstraints": rack}));
    desk.ok("RunTask", json!({"taskDefinition": "far", "count": 2}));
    assert_eq!(desk.spread(&hosts), [0, 0, 2]);
    let bad = json!({"family": "far", "containerDefinitions": [{"name": "m", "image": "i", "memory": 64}],
        "placementConstraints": [{"type": "memberOf", "expression": "rack == 1"}]});
    let (_, message) = desk.refused("RegisterTaskDefinition", bad);
    assert!(message.contains("unknown subject \"rack\""), "{message}");
    let fargate = json!({"taskDefinition": "webserver", "launchType": "FARGATE", "placementConstraints": [{"type": "distinctInstance"}],
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": [desk.subnet()]}}});
    desk.web();
    assert!(desk.refused("RunTask", fargate).1.contains("not supported with FARGATE launch type"));
}

impl Desk {
    pub fn explain(&mut self, subject: &str) -> Value {
        let request = json!({"subject": subject}).to_string();
        let operation = wire::gantry::Operation::from_name("Explain").unwrap();
        let request = wire::gantry::Request::decode(operation, request.as_bytes()).unwrap();
        let call = wire::http::Call::Gantry(request);
        self.control.handle(self.now, Input::Request { ticket: 7, caller: operator(), call });
        match self.round().expect("an answer") {
            Ok(wire::http::Answer::Gantry(answer)) => serde_json::from_str(&answer.to_json()).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_waits_is_explained_by_instance_and_rule_and_what_runs_by_what_chose_it() {
    let (mut desk, hosts) = zoned();
    let dev = json!([{"type": "memberOf", "expression": "attribute:stack == dev"}]);
    let input = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 8, "placementConstraints": dev});
    desk.ok("CreateService", input);
    desk.settle();
    let said = desk.explain("web");
    let summary = text(&said, "/summary");
    assert!(
        summary.starts_with("waits for room for 1 of 8 tasks: needs 128 MiB of memory; 1 of 3 instances satisfy"),
        "{summary}"
    );
    let verdicts = said["verdicts"].as_array().unwrap();
    let of = |arn: &String| verdicts.iter().find(|v| v["containerInstanceArn"] == json!(arn)).unwrap();
    assert_eq!(of(&hosts[0])["reasons"][0]["rule"], "memberOf");
    assert_eq!(of(&hosts[1])["reasons"][0]["code"], "RESOURCE:MEMORY");
    let deployment = text(&desk.describe(), "/deployments/0/id").to_owned();
    assert_eq!(text(&desk.explain(&deployment), "/summary"), summary);
    let by =
        json!([{"type": "spread", "field": "attribute:ecs.availability-zone"}, {"type": "binpack", "field": "memory"}]);
    let run = desk.ok("RunTask", json!({"taskDefinition": "web", "placementStrategy": by}));
    let task = text(&run, "/tasks/0/taskArn").to_owned();
    let said = desk.explain(&task);
    let summary = text(&said, "/summary");
    assert!(
        summary.contains("chosen by spread(attribute:ecs.availability-zone), then binpack(memory); 1 other"),
        "{summary}"
    );
    desk.ok("StopTask", json!({"task": task, "reason": "enough"}));
    desk.settle();
    assert_eq!(text(&desk.explain(&task), "/summary"), "stopped with UserInitiated: enough");
}

#[test]
fn zones_that_have_become_uneven_are_evened_out_one_task_at_a_time() {
    let mut desk = Desk::new();
    let zone = |name: &str| json!([{"name": "ecs.availability-zone", "value": name}]);
    let mut hosts = vec![desk.instance(0, 1000, 1000, zone("us-east-1a"))];
    desk.small("web", json!({}));
    let web = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 4,
        "availabilityZoneRebalancing": "ENABLED"});
    let made = desk.ok("CreateService", web)["service"].clone();
    assert_eq!(text(&made, "/availabilityZoneRebalancing"), "ENABLED");
    desk.settle();
    assert_eq!(desk.spread(&hosts), [4]);
    let said = desk.events();
    desk.pass(120_000);
    assert_eq!((desk.spread(&hosts), desk.events()), (vec![4], said), "one zone is even");
    hosts.push(desk.instance(1, 1000, 1000, zone("us-east-1b")));
    assert_eq!(desk.spread(&hosts), [4, 1], "in the round in which the host came");
    let seen = desk.settle();
    assert!((seen.most, seen.least) == (5, 4), "{seen:?}");
    assert_eq!(desk.spread(&hosts), [2, 2]);
    let said = desk.events();
    let one = |words: &str| said.iter().filter(|event| event.contains(words)).count();
    let began = "(service web) is not AZ balanced with 4 tasks in us-east-1a, 0 tasks in us-east-1b. AZ Rebalancing in progress.";
    assert_eq!(
        (one(began), one("is AZ balanced with 2 tasks in us-east-1a, 2 tasks in us-east-1b.")),
        (1, 1),
        "{said:?}"
    );
    // A zone without room changes nothing, and is asked again.
    desk.instance(2, 10, 10, zone("us-east-1c"));
    desk.settle();
    desk.ok("UpdateService", json!({"service": "web", "desiredCount": 6}));
    desk.settle();
    assert_eq!(desk.spread(&hosts), [3, 3]);
    let refused = |desk: &mut Desk, member: &str, value: Value| {
        let (code, message) = desk.refused("UpdateService", json!({"service": "web", member: value}));
        assert_eq!(code, "InvalidParameterException");
        assert!(message.contains("availabilityZoneRebalancing"), "{message}");
    };
    refused(&mut desk, "placementStrategy", json!([{"type": "binpack", "field": "memory"}]));
    refused(&mut desk, "deploymentConfiguration", json!({"maximumPercent": 100, "minimumHealthyPercent": 50}));
    desk.ok("UpdateService", json!({"service": "web", "availabilityZoneRebalancing": "DISABLED"}));
    assert_eq!(text(&desk.describe(), "/availabilityZoneRebalancing"), "DISABLED");
}

#[test]
fn nothing_is_moved_while_a_deployment_is_in_progress_nor_without_being_asked() {
    let mut desk = Desk::new();
    let zone = |name: &str| json!([{"name": "ecs.availability-zone", "value": name}]);
    let mut hosts = vec![desk.instance(0, 1000, 1000, zone("us-east-1a"))];
    desk.small("web", json!({}));
    let web = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 4});
    assert_eq!(text(&desk.ok("CreateService", web)["service"], "/availabilityZoneRebalancing"), "DISABLED");
    desk.settle();
    hosts.push(desk.instance(1, 1000, 1000, zone("us-east-1b")));
    desk.settle();
    assert_eq!(desk.spread(&hosts), [4, 0]);
    let hook = json!([{"targetType": "PAUSE", "lifecycleStages": ["PRE_SCALE_UP"]}]);
    desk.ok(
        "UpdateService",
        json!({"service": "web", "forceNewDeployment": true, "availabilityZoneRebalancing": "ENABLED",
            "deploymentConfiguration": {"lifecycleHooks": hook}}),
    );
    desk.settle();
    assert_eq!(desk.spread(&hosts), [4, 0], "the deployment waits");
}
