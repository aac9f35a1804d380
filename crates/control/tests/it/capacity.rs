//! Capacity providers: what they are, how tasks are spread over them, and tasks that wait for room.

use super::services::number;
use crate::{Desk, node, operator, text};
use control::{Connect, Input};
use serde_json::{Value, json};

fn group(name: &str) -> Value {
    let arn = format!("arn:aws:autoscaling:us-east-1:000000000000:autoScalingGroup:1-2:autoScalingGroupName/{name}");
    json!({"name": name, "autoScalingGroupProvider": {"autoScalingGroupArn": arn}})
}

impl Desk {
    /// An empty host of a capacity provider, connected.
    pub fn provided_host(&mut self, provider: &str, memory: u32, session: u64) -> String {
        let integer = |name: &str, value: u32| json!({"name": name, "type": "INTEGER", "integerValue": value});
        let attributes = json!([{"name": "gantry.eni"}, {"name": "gantry.capacity-provider", "value": provider}]);
        let resources = json!([integer("CPU", 4096), integer("MEMORY", memory)]);
        let input = json!({"totalResources": resources, "attributes": attributes});
        let answer = self.call(node(), "RegisterContainerInstance", input).unwrap();
        let arn = text(&answer, "/containerInstance/containerInstanceArn").to_owned();
        let connect = Connect { container_instance_arn: arn.clone(), ..Connect::default() };
        self.control.handle(self.now, Input::Connect { ticket: 1, session, caller: node(), connect });
        self.round();
        arn
    }

    /// The cluster `default` with the providers blue and green, and definitions of 512 and 2048 MiB.
    pub fn with_providers() -> Self {
        let mut desk = Self::new();
        desk.ok("CreateCapacityProvider", group("blue"));
        desk.ok("CreateCapacityProvider", group("green"));
        let providers = json!(["blue", "green", "FARGATE", "FARGATE_SPOT"]);
        desk.ok(
            "PutClusterCapacityProviders",
            json!({"cluster": "default", "capacityProviders": providers, "defaultCapacityProviderStrategy": []}),
        );
        for (family, memory) in [("small", 512), ("large", 2048)] {
            let container = json!([{"name": "main", "image": "x", "memory": memory}]);
            desk.ok("RegisterTaskDefinition", json!({"family": family, "containerDefinitions": container}));
        }
        desk
    }

    fn run_on(&mut self, family: &str, strategy: Value, count: u32) -> Value {
        let input = json!({"taskDefinition": family, "count": count, "capacityProviderStrategy": strategy});
        self.ok("RunTask", input)
    }

    fn task_shown(&mut self, arn: &Value) -> Value {
        self.ok("DescribeTasks", json!({"tasks": [arn]}))["tasks"][0].clone()
    }
}

fn on(provider: &str) -> Value {
    json!([{"capacityProvider": provider, "weight": 1}])
}

#[test]
fn providers_are_made_altered_and_deleted() {
    let mut desk = Desk::new();
    let mut input = group("blue");
    input["tags"] = json!([{"key": "team", "value": "a"}]);
    let made = desk.ok("CreateCapacityProvider", input.clone())["capacityProvider"].clone();
    assert_eq!((text(&made, "/status"), text(&made, "/updateStatus")), ("ACTIVE", "CREATE_COMPLETE"));
    assert_eq!(text(&made, "/capacityProviderArn"), "arn:aws:ecs:us-east-1:000000000000:capacity-provider/blue");
    assert_eq!(text(&made, "/autoScalingGroupProvider/managedScaling/status"), "DISABLED");
    assert_eq!(desk.ok("CreateCapacityProvider", input.clone())["capacityProvider"], made);
    input["autoScalingGroupProvider"]["managedDraining"] = json!("DISABLED");
    let (code, message) = desk.refused("CreateCapacityProvider", input);
    assert!(code == "ClientException" && message.contains("already exists"), "{message}");

    let update = json!({"name": "blue", "autoScalingGroupProvider": {"managedScaling": {"targetCapacity": 80}}});
    let altered = desk.ok("UpdateCapacityProvider", update)["capacityProvider"].clone();
    assert_eq!(number(&altered, "/autoScalingGroupProvider/managedScaling/targetCapacity"), 80);
    assert_eq!(text(&altered, "/updateStatus"), "UPDATE_COMPLETE");

    let all = desk.ok("DescribeCapacityProviders", json!({}));
    let names: Vec<&str> = (0..3).map(|n| text(&all["capacityProviders"][n], "/name")).collect();
    assert_eq!(names, ["FARGATE", "FARGATE_SPOT", "blue"]);
    assert_eq!(text(&all, "/capacityProviders/1/type"), "FARGATE_SPOT");
    assert_eq!(all["capacityProviders"][2]["tags"], json!([]));
    let named = json!({"capacityProviders": [altered["capacityProviderArn"], "none"], "include": ["TAGS"]});
    let named = desk.ok("DescribeCapacityProviders", named);
    assert_eq!(text(&named, "/capacityProviders/0/tags/0/value"), "a");
    assert_eq!(text(&named, "/failures/0/reason"), "MISSING");

    let put = |providers: Value| json!({"cluster": "default", "capacityProviders": providers, "defaultCapacityProviderStrategy": []});
    desk.ok("PutClusterCapacityProviders", put(json!(["blue"])));
    let (_, message) = desk.refused("DeleteCapacityProvider", json!({"capacityProvider": "blue"}));
    assert!(message.contains("associated with cluster: default"), "{message}");
    desk.ok("PutClusterCapacityProviders", put(json!([])));
    let gone = desk.ok("DeleteCapacityProvider", json!({"capacityProvider": "blue"}));
    assert_eq!(text(&gone, "/capacityProvider/status"), "INACTIVE");
    let shown = desk.ok("DescribeCapacityProviders", json!({"capacityProviders": ["blue"]}));
    assert_eq!(text(&shown, "/capacityProviders/0/updateStatus"), "DELETE_COMPLETE");
    desk.ok("CreateCapacityProvider", group("blue"));
}

#[test]
fn providers_are_shown_in_pages_of_ten() {
    let mut desk = Desk::new();
    (0..12).for_each(|n| drop(desk.ok("CreateCapacityProvider", group(&format!("p{n:02}")))));
    let first = desk.ok("DescribeCapacityProviders", json!({}));
    let rest = desk.ok("DescribeCapacityProviders", json!({"nextToken": first["nextToken"]}));
    let count = |page: &Value| page["capacityProviders"].as_array().unwrap().len();
    assert_eq!((count(&first), count(&rest), &rest["nextToken"]), (10, 4, &Value::Null));
}

#[test]
fn what_is_wrong_with_a_provider_or_a_strategy_is_said() {
    let mut desk = Desk::with_providers();
    desk.host();
    desk.web();
    let provider = |name: &str, with: Value| json!({"name": name, "autoScalingGroupProvider": with});
    let strategy = |items: Value| json!({"taskDefinition": "small", "capacityProviderStrategy": items});
    let item = |name: &str, weight: u32, base: u32| json!({"capacityProvider": name, "weight": weight, "base": base});
    let put = |providers: Value, items: Value| json!({"cluster": "default", "capacityProviders": providers, "defaultCapacityProviderStrategy": items});
    let foreign = "arn:aws:autoscaling:eu-west-1:000000000000:autoScalingGroup:1:autoScalingGroupName/x";
    let cases = [
        ("CreateCapacityProvider", provider("aws-x", json!({"autoScalingGroupArn": "x"})), "name is invalid"),
        ("CreateCapacityProvider", provider("x", json!({"autoScalingGroupArn": "a:b"})), "ARN is not valid"),
        ("CreateCapacityProvider", provider("x", json!({"autoScalingGroupArn": foreign})), "ARN is not valid"),
        ("CreateCapacityProvider", json!({"name": "x"}), "autoScalingGroupProvider"),
        (
            "CreateCapacityProvider",
            provider("x", json!({"autoScalingGroupArn": "x", "managedScaling": {"status": "ENABLED"}})),
            "not supported yet: autoScalingGroupProvider.managedScaling.status ENABLED",
        ),
        (
            "CreateCapacityProvider",
            provider("x", group("blue")["autoScalingGroupProvider"].clone()),
            "already being used by another capacity provider",
        ),
        ("UpdateCapacityProvider", provider("none", json!({})), "does not exist"),
        ("DeleteCapacityProvider", json!({"capacityProvider": "FARGATE"}), "reserved"),
        ("RunTask", strategy(json!([item("none", 1, 0)])), "not associated with the cluster"),
        ("RunTask", strategy(json!([item("blue", 1, 0), item("FARGATE", 1, 0)])), "mix of capacity providers"),
        ("RunTask", strategy(json!([item("blue", 0, 1)])), "weight greater than 0"),
        ("RunTask", strategy(json!([item("blue", 1, 1), item("green", 1, 1)])), "base"),
        ("RunTask", strategy(json!([item("blue", 1, 0), item("blue", 1, 0)])), "twice"),
        ("RunTask", strategy(json!([item("blue", 1001, 0)])), "1000"),
        (
            "RunTask",
            json!({"taskDefinition": "small", "launchType": "EC2", "capacityProviderStrategy": on("blue")}),
            "both a launch type and capacity provider strategy",
        ),
        ("PutClusterCapacityProviders", put(json!(["none"]), json!([])), "was not found"),
        ("PutClusterCapacityProviders", put(json!(["blue"]), on("green")), "not associated"),
    ];
    for (operation, input, words) in cases {
        let (_, message) = desk.refused(operation, input.clone());
        assert!(message.contains(words), "{operation} {input}: {message}");
    }
}

#[test]
fn tasks_without_room_wait_and_get_it_oldest_first_but_none_blocks_another() {
    let mut desk = Desk::with_providers();
    let old = desk.run_on("large", on("blue"), 1)["tasks"][0].clone();
    assert_eq!((text(&old, "/lastStatus"), text(&old, "/capacityProviderName")), ("PROVISIONING", "blue"));
    assert_eq!(old["containerInstanceArn"], Value::Null);
    let young = desk.run_on("small", on("blue"), 3);
    let cluster = desk.ok("DescribeClusters", json!({}));
    assert_eq!(number(&cluster, "/clusters/0/pendingTasksCount"), 4);
    assert_eq!(desk.ok("ListTasks", json!({}))["taskArns"].as_array().unwrap().len(), 4);

    let host = desk.provided_host("blue", 1024, 5);
    let placed = |desk: &mut Desk, arn: &Value| desk.task_shown(arn)["containerInstanceArn"].clone();
    assert_eq!(placed(&mut desk, &old["taskArn"]), Value::Null, "the large one does not fit");
    let arns: Vec<Value> = (0..3).map(|n| young["tasks"][n]["taskArn"].clone()).collect();
    let places: Vec<Value> = arns.iter().map(|arn| placed(&mut desk, arn)).collect();
    assert_eq!(places.iter().filter(|place| **place == json!(host)).count(), 2, "{places:?}");
    let waits = &arns[places.iter().position(Value::is_null).unwrap()];

    // The wrong provider's host changes nothing.
    desk.provided_host("green", 4096, 6);
    assert_eq!(placed(&mut desk, &old["taskArn"]), Value::Null);
    // Room on the host goes to what fits in it.
    let first = &arns[places.iter().position(|place| !place.is_null()).unwrap()];
    desk.ok("StopTask", json!({"task": first}));
    assert_eq!(placed(&mut desk, waits), Value::Null, "the room is kept until the node says so");
    desk.call(node(), "SubmitTaskStateChange", json!({"task": first, "status": "STOPPED"})).unwrap();
    assert_eq!(placed(&mut desk, waits), json!(host));
    let large = desk.provided_host("blue", 4096, 7);
    assert_eq!(placed(&mut desk, &old["taskArn"]), json!(large));
    assert_eq!(text(&desk.task_shown(&old["taskArn"]), "/lastStatus"), "PENDING");
}

fn timeline(desk: &mut Desk, arn: &Value) -> Value {
    let request = wire::gantry::DescribeTimelineRequest { task: arn.as_str().unwrap().into(), ..Default::default() };
    let call = wire::http::Call::Gantry(wire::gantry::Request::DescribeTimeline(Box::new(request)));
    desk.control.handle(desk.now, Input::Request { ticket: 1, caller: operator(), call });
    let Some(Ok(wire::http::Answer::Gantry(answer))) = desk.round() else { panic!("no timeline") };
    let wire::gantry::Response::DescribeTimeline(answer) = answer else { panic!("{answer:?}") };
    serde_json::from_str(&wire::ToJson::to_json(&*answer)).unwrap()
}

#[test]
fn of_many_that_wait_for_the_same_one_is_asked_for() {
    let mut desk = Desk::with_providers();
    let tasks: Vec<Value> = (0..3).map(|_| desk.run_on("small", on("blue"), 10)["tasks"].clone()).collect();
    let arns: Vec<Value> =
        tasks.iter().flat_map(|tasks| tasks.as_array().unwrap()).map(|task| task["taskArn"].clone()).collect();
    let large = desk.run_on("large", on("blue"), 1)["tasks"][0]["taskArn"].clone();
    desk.provided_host("blue", 1024, 5);
    let placed = |desk: &mut Desk, arn: &Value| !desk.task_shown(arn)["containerInstanceArn"].is_null();
    let ran: Vec<Value> = arns.iter().filter(|arn| placed(&mut desk, arn)).cloned().collect();
    assert_eq!(ran.len(), 2);
    desk.now += 5_000;
    desk.ok("StopTask", json!({"task": ran[0]}));
    let before = desk.batches.len();
    desk.call(node(), "SubmitTaskStateChange", json!({"task": ran[0], "status": "STOPPED"})).unwrap();
    let changes: usize = desk.batches[before..].iter().map(|batch| batch.changes.len()).sum();
    assert!(changes <= 4, "a report, a place, and what the oldest of two needs lack: {changes} changes");
    assert_eq!(arns.iter().filter(|arn| placed(&mut desk, arn)).count(), 3);
    // Every one that waits says what it lacks.
    let waits: Vec<Value> = arns.iter().filter(|arn| !placed(&mut desk, arn)).cloned().collect();
    for task in [&waits[0], &waits[26], &large] {
        let timeline = timeline(&mut desk, task);
        assert_eq!(text(&timeline, "/waiting/reason"), "RESOURCE:MEMORY", "{timeline}");
    }
}

#[test]
fn a_waiting_task_stops_at_once_and_says_why_it_waited() {
    let mut desk = Desk::with_providers();
    desk.provided_host("blue", 1024, 5);
    let arn = desk.run_on("large", on("blue"), 1)["tasks"][0]["taskArn"].clone();
    let timeline = timeline(&mut desk, &arn);
    assert_eq!(text(&timeline, "/waiting/reason"), "RESOURCE:MEMORY", "{timeline}");
    assert!(text(&timeline, "/waiting/detail").contains("needs 2048 MiB of memory, 1024 MiB are free"), "{timeline}");
    assert_eq!(number(&timeline, "/waiting/count"), 1);
    let stopped = desk.ok("StopTask", json!({"task": arn}));
    assert_eq!((text(&stopped, "/task/lastStatus"), text(&stopped, "/task/stopCode")), ("STOPPED", "UserInitiated"));
    desk.provided_host("blue", 4096, 6);
    assert_eq!(desk.task_shown(&arn)["containerInstanceArn"], Value::Null);
}

#[test]
fn base_and_weight_spread_tasks_and_the_ratio_holds_in_a_service() {
    let mut desk = Desk::with_providers();
    desk.provided_host("blue", 16_384, 5);
    desk.provided_host("green", 16_384, 6);
    let of = |desk: &Desk, provider: &str| {
        let live = desk.control.state().tasks.values().filter(|task| task.stop.is_none());
        live.filter(|task| task.provider.as_deref() == Some(provider)).count()
    };
    let strategy =
        json!([{"capacityProvider": "blue", "base": 1, "weight": 1}, {"capacityProvider": "green", "weight": 3}]);
    desk.run_on("small", strategy.clone(), 9);
    assert_eq!((of(&desk, "blue"), of(&desk, "green")), (3, 6));
    let service =
        json!({"serviceName": "s", "taskDefinition": "small", "desiredCount": 5, "capacityProviderStrategy": strategy});
    let made = desk.ok("CreateService", service)["service"].clone();
    assert_eq!((made["launchType"].clone(), number(&made, "/capacityProviderStrategy/0/base")), (Value::Null, 1));
    assert_eq!((of(&desk, "blue"), of(&desk, "green")), (3 + 2, 6 + 3));
    desk.ok("UpdateService", json!({"service": "s", "desiredCount": 9}));
    assert_eq!((of(&desk, "blue"), of(&desk, "green")), (3 + 3, 6 + 6));
    let put = json!({"cluster": "default", "capacityProviders": ["blue"], "defaultCapacityProviderStrategy": []});
    let (code, message) = desk.refused("PutClusterCapacityProviders", put);
    assert!(code == "ResourceInUseException" && message.contains("the service s"), "{code} {message}");
    // Another strategy is another deployment.
    let update = json!({"service": "s", "capacityProviderStrategy": on("green")});
    let altered = desk.ok("UpdateService", update)["service"].clone();
    assert_eq!(altered["deployments"].as_array().unwrap().len(), 2);
    assert_eq!(text(&altered, "/deployments/0/capacityProviderStrategy/0/capacityProvider"), "green");
    assert_eq!(text(&altered, "/deployments/1/capacityProviderStrategy/0/capacityProvider"), "blue");
}

#[test]
fn the_strategy_of_the_cluster_is_for_requests_that_say_nothing() {
    let mut desk = Desk::new();
    desk.host();
    desk.web();
    let made = desk.ok(
        "CreateCluster",
        json!({"clusterName": "spot", "capacityProviders": ["FARGATE", "FARGATE_SPOT"],
            "defaultCapacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}],
            "settings": [{"name": "containerInsights", "value": "disabled"}]}),
    );
    assert_eq!(made["cluster"]["capacityProviders"], json!(["FARGATE", "FARGATE_SPOT"]));
    let network = json!({"awsvpcConfiguration": {"subnets": [desk.subnet()]}});
    let mut input = json!({"cluster": "spot", "taskDefinition": "webserver", "networkConfiguration": network});
    let task = desk.ok("RunTask", input.clone())["tasks"][0].clone();
    assert_eq!((text(&task, "/launchType"), text(&task, "/capacityProviderName")), ("FARGATE", "FARGATE_SPOT"));
    input["launchType"] = json!("FARGATE");
    let task = desk.ok("RunTask", input)["tasks"][0].clone();
    assert_eq!(task["capacityProviderName"], Value::Null);
    let shown = desk.ok("DescribeClusters", json!({"clusters": ["spot"]}));
    let default = shown["clusters"][0]["defaultCapacityProviderStrategy"].clone();
    assert_eq!(default, json!([{"capacityProvider": "FARGATE_SPOT", "weight": 1, "base": 0}]));
}

#[test]
fn a_service_waits_for_room_without_trying_in_vain() {
    let mut desk = Desk::with_providers();
    let service = json!({"serviceName": "s", "taskDefinition": "small", "desiredCount": 2, "capacityProviderStrategy": on("blue")});
    desk.ok("CreateService", service);
    let shown = |desk: &mut Desk| desk.ok("DescribeServices", json!({"services": ["s"]}))["services"][0].clone();
    assert_eq!(number(&shown(&mut desk), "/pendingCount"), 2);
    let batches = desk.batches.len();
    desk.now += 120_000;
    desk.control.handle_time(desk.now);
    desk.round();
    assert_eq!(desk.batches.len(), batches, "nothing is tried while nothing has changed");
    desk.provided_host("blue", 4096, 5);
    assert!(desk.control.state().tasks.values().all(|task| task.instance.is_some()));
    desk.ok("UpdateService", json!({"service": "s", "desiredCount": 0}));
    desk.ok("DeleteService", json!({"service": "s"}));
}
