//! The control plane driven through its own door, without a world around it: what is answered, and what is told to agents.

mod account;
mod capacity;
mod companions;
mod daemons;
mod deployments;
mod errors;
mod fuzz;
mod gpus;
mod health;
mod managed_daemons;
mod names;
mod pages;
mod placement;
mod plans;
mod ports;
mod protection;
mod services;
mod tags;
mod task_sets;

use control::{Caller, Config, Connect, Control, Input, Output, Principal};
use link::acs::{ToAgent, ToControl};
use model::audit::audit;
use model::instance::CAPABILITIES;
use model::state::Meta;
use model::vpc::Vpc;
use model::{Ids, State};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use wire::http::{Answer, Call};
use wire::{Fault, FromJson, ecs};

/// A control plane, and the clock it is told.
struct Desk {
    control: Control,
    now: u64,
    batches: Vec<control::Batch>,
    frames: Vec<String>,
}

fn operator() -> Caller {
    Caller { principal: Principal::Operator, access_key: "OPERATOR".into() }
}

fn node() -> Caller {
    Caller { principal: Principal::Node, access_key: "NODE".into() }
}

impl Desk {
    fn new() -> Self {
        let mut ids = Ids::seeded(1);
        let vpc = Vpc::plan(Ipv4Addr::new(172, 31, 0, 0), 16, "us-east-1", &mut ids);
        let meta = Meta { region: "us-east-1".into(), account: "000000000000".into(), vpc, token_key: [1; 32] };
        let config = Config { endpoint: "http://127.0.0.1:1".into(), version: "0".into(), settle_ms: 500 };
        let control = Control::new(1_000, config, State::new(meta), 0, ids);
        Self { control, now: 1_000, batches: Vec::new(), frames: Vec::new() }
    }

    /// What an operation answers. That it refuses as `errors.txt` says is looked at whatever it is called for.
    fn call(&mut self, caller: Caller, operation: &str, input: Value) -> Result<Value, Fault> {
        let answer = self.answer(caller, operation, &input);
        if let Err(fault) = &answer {
            assert!(errors::is_known(operation, &fault.code), "errors.txt does not have {operation}: {fault}, {input}");
        }
        answer
    }

    fn answer(&mut self, caller: Caller, operation: &str, input: &Value) -> Result<Value, Fault> {
        let operation = ecs::Operation::from_name(operation).unwrap();
        let request = ecs::Request::decode(operation, input.to_string().as_bytes())?;
        self.now += 1;
        self.control.handle(self.now, Input::Request { ticket: 7, caller, call: Call::Ecs(request) });
        let answer = self.round().expect("an answer");
        assert_eq!(audit(self.control.state()), []);
        match answer {
            Ok(Answer::Ecs(response)) => Ok(serde_json::from_str(&response.to_json()).unwrap()),
            Ok(other) => panic!("{other:?}"),
            Err(fault) => Err(fault),
        }
    }

    /// Ends a round; the answer in it, if one was asked for.
    fn round(&mut self) -> Option<Result<Answer, Fault>> {
        self.batches.extend(self.control.poll_batch());
        let mut answer = None;
        while let Some((_, output)) = self.control.poll_output() {
            match output {
                Output::Reply { answer: said, .. } => answer = Some(*said),
                Output::Frame { frame, .. } => self.frames.push(frame),
                Output::Connected { answer, .. } => answer.unwrap(),
                Output::Close { .. } | Output::Logs { .. } => {}
            }
        }
        answer
    }

    fn ok(&mut self, operation: &str, input: Value) -> Value {
        self.call(operator(), operation, input).unwrap_or_else(|fault| panic!("{operation}: {fault}"))
    }

    fn refused(&mut self, operation: &str, input: Value) -> (String, String) {
        let fault = self.call(operator(), operation, input).expect_err("a refusal");
        (fault.code.to_string(), fault.message)
    }

    /// A host of the Fargate pool, registered and connected.
    fn host(&mut self) -> String {
        let integer = |name: &str, value: u32| json!({"name": name, "type": "INTEGER", "integerValue": value});
        let mut attributes = vec![json!({"name": "gantry.eni"}), json!({"name": "gantry.pool", "value": "fargate"})];
        attributes.extend(CAPABILITIES.map(|name| json!({"name": name})));
        let resources = json!([integer("CPU", 2048), integer("MEMORY", 4096)]);
        let input = json!({"totalResources": resources, "attributes": attributes});
        let answer = self.call(node(), "RegisterContainerInstance", input).unwrap();
        let arn = answer["containerInstance"]["containerInstanceArn"].as_str().unwrap().to_owned();
        let connect = Connect { container_instance_arn: arn.clone(), ..Connect::default() };
        self.control.handle(self.now, Input::Connect { ticket: 1, session: 5, caller: node(), connect });
        self.round();
        arn
    }

    fn subnet(&self) -> String {
        self.control.state().meta().vpc.subnets[0].id.to_string()
    }

    fn web(&mut self) {
        self.ok(
            "RegisterTaskDefinition",
            serde_json::from_str(include_str!("../../../../examples/webserver.json")).unwrap(),
        );
    }

    fn run_web(&mut self) -> Value {
        let network = json!({"awsvpcConfiguration": {"subnets": [self.subnet()]}});
        self.ok(
            "RunTask",
            json!({"taskDefinition": "webserver", "launchType": "FARGATE", "networkConfiguration": network}),
        )
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no text at {pointer} of {value}"))
}

#[test]
fn a_task_goes_from_request_to_running_in_two_commits() {
    let mut desk = Desk::new();
    desk.host();
    desk.web();
    desk.frames.clear();
    let before = desk.batches.len();
    let run = desk.run_web();
    let arn = text(&run, "/tasks/0/taskArn").to_owned();
    assert_eq!(text(&run, "/tasks/0/lastStatus"), "PROVISIONING");
    assert_eq!(desk.batches.len(), before + 1);
    let [frame] = desk.frames.as_slice() else { panic!("{:?}", desk.frames) };
    let Some(ToAgent::PayloadMessage(payload)) = ToAgent::decode(frame) else { panic!("{frame}") };
    assert_eq!(payload.tasks[0].arn, arn);
    assert_eq!(payload.tasks[0].containers[0].image, "nginx");
    let ack = link::acs::Ack { message_id: payload.message_id, ..Default::default() };
    desk.control.handle(desk.now, Input::Frame { session: 5, frame: ToControl::AckRequest(ack).encode() });
    desk.round();
    assert_eq!(desk.batches.len(), before + 1, "an acknowledgement costs no commit");
    let attachment = payload.tasks[0].elastic_network_interfaces[0].attachment_arn.clone();
    let containers = json!([{"containerName": "web", "status": "RUNNING", "runtimeId": "r"}]);
    let attachments = json!([{"attachmentArn": attachment, "status": "ATTACHED"}]);
    let report = json!({"task": arn, "status": "RUNNING", "containers": containers, "attachments": attachments});
    desk.call(node(), "SubmitTaskStateChange", report.clone()).unwrap();
    assert_eq!(desk.batches.len(), before + 2);
    desk.call(node(), "SubmitTaskStateChange", report).unwrap();
    assert_eq!(desk.batches.len(), before + 2, "a repetition costs no commit");
    let shown = desk.ok("DescribeTasks", json!({"tasks": [arn]}));
    assert_eq!(text(&shown, "/tasks/0/lastStatus"), "RUNNING");
    assert_eq!(text(&shown, "/tasks/0/attachments/0/status"), "ATTACHED");
    assert_eq!(shown.pointer("/tasks/0/containerInstanceArn"), None, "Fargate shows no instance");
}

#[test]
fn stopping_is_told_to_the_agent_and_ends_when_it_says_so() {
    let mut desk = Desk::new();
    desk.host();
    desk.web();
    let run = desk.run_web();
    let arn = text(&run, "/tasks/0/taskArn").to_owned();
    desk.frames.clear();
    let stopped = desk.ok("StopTask", json!({"task": arn, "reason": "enough"}));
    assert_eq!(text(&stopped, "/task/desiredStatus"), "STOPPED");
    assert!(desk.frames.iter().any(|frame| frame.contains("\"desiredStatus\":\"STOPPED\"")), "{:?}", desk.frames);
    desk.call(node(), "SubmitTaskStateChange", json!({"task": arn, "status": "STOPPED"})).unwrap();
    let shown = desk.ok("DescribeTasks", json!({"tasks": [arn]}));
    assert_eq!(text(&shown, "/tasks/0/lastStatus"), "STOPPED");
    assert_eq!(text(&shown, "/tasks/0/stoppedReason"), "enough");
    assert_eq!(text(&shown, "/tasks/0/stopCode"), "UserInitiated");
    let listed = desk.ok("ListTasks", json!({"desiredStatus": "STOPPED"}));
    assert_eq!(listed["taskArns"], json!([arn]));
    desk.now += model::state::STOPPED_SHOWN_MS + 1;
    desk.control.handle_time(desk.now);
    desk.round();
    let gone = desk.ok("DescribeTasks", json!({"tasks": [arn]}));
    assert_eq!(text(&gone, "/failures/0/reason"), "MISSING");
}

#[test]
fn a_client_token_runs_once() {
    let mut desk = Desk::new();
    desk.host();
    desk.web();
    let network = json!({"awsvpcConfiguration": {"subnets": [desk.subnet()]}});
    let mut input = json!({"taskDefinition": "webserver", "launchType": "FARGATE", "networkConfiguration": network, "clientToken": "t1"});
    let first = desk.ok("RunTask", input.clone());
    let again = desk.ok("RunTask", input.clone());
    assert_eq!(first["tasks"][0]["taskArn"], again["tasks"][0]["taskArn"]);
    input["count"] = json!(2);
    let fault = desk.call(operator(), "RunTask", input).unwrap_err();
    assert_eq!(fault.code, "ConflictException");
    assert_eq!(fault.members, [("resourceIds", json!([first["tasks"][0]["taskArn"]]))]);
}

#[test]
fn what_does_not_fit_is_a_failure_with_numbers() {
    let mut desk = Desk::new();
    desk.host();
    desk.web();
    let big = json!({"family": "big", "networkMode": "awsvpc", "cpu": "1024", "memory": "8192",
        "requiresCompatibilities": ["FARGATE"], "containerDefinitions": [{"name": "a", "image": "x"}]});
    desk.ok("RegisterTaskDefinition", big);
    let network = json!({"awsvpcConfiguration": {"subnets": [desk.subnet()]}});
    let run =
        desk.ok("RunTask", json!({"taskDefinition": "big", "launchType": "FARGATE", "networkConfiguration": network}));
    assert_eq!(run["tasks"], json!([]));
    assert_eq!(text(&run, "/failures/0/reason"), "RESOURCE:MEMORY");
    assert!(text(&run, "/failures/0/detail").contains("needs 8192 MiB of memory, 4096 MiB are free"), "{run}");
}

#[test]
fn bad_input_is_refused_with_awss_codes() {
    let mut desk = Desk::new();
    desk.host();
    desk.web();
    let subnet = desk.subnet();
    let network = json!({"awsvpcConfiguration": {"subnets": [subnet]}});
    let fargate = |extra: Value| {
        let mut base = json!({"family": "f", "networkMode": "awsvpc", "cpu": "256", "memory": "512",
            "requiresCompatibilities": ["FARGATE"], "containerDefinitions": [{"name": "a", "image": "x"}]});
        base.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        base
    };
    let two = json!([{"name": "a", "image": "x"}, {"name": "a", "image": "y"}]);
    let cycle = json!([
        {"name": "a", "image": "x", "dependsOn": [{"containerName": "b", "condition": "START"}]},
        {"name": "b", "image": "x", "dependsOn": [{"containerName": "a", "condition": "START"}]}]);
    let cases = [
        ("CreateCluster", json!({"clusterName": "a b"}), "InvalidParameterException", "Invalid cluster name"),
        ("DescribeTasks", json!({"tasks": []}), "InvalidParameterException", "cannot be empty"),
        ("DescribeTasks", json!({"cluster": "none", "tasks": ["x"]}), "ClusterNotFoundException", "Cluster not found."),
        ("StopTask", json!({"task": "x"}), "InvalidParameterException", "taskId length should be one of"),
        (
            "DeleteCluster",
            json!({"cluster": "default"}),
            "ClusterContainsContainerInstancesException",
            "cannot be deleted",
        ),
        (
            "DescribeTaskDefinition",
            json!({"taskDefinition": "none"}),
            "ClientException",
            "Unable to describe task definition.",
        ),
        (
            "DeregisterTaskDefinition",
            json!({"taskDefinition": "webserver"}),
            "InvalidParameterException",
            "Revision is missing.",
        ),
        (
            "RegisterTaskDefinition",
            fargate(json!({"family": "a b"})),
            "ClientException",
            "Family contains invalid characters",
        ),
        (
            "RegisterTaskDefinition",
            fargate(json!({"memory": "700"})),
            "ClientException",
            "No Fargate configuration exists",
        ),
        ("RegisterTaskDefinition", fargate(json!({"cpu": "x"})), "ClientException", "Invalid 'cpu' setting"),
        (
            "RegisterTaskDefinition",
            fargate(json!({"networkMode": "host"})),
            "ClientException",
            "only supports network mode",
        ),
        (
            "RegisterTaskDefinition",
            fargate(json!({"containerDefinitions": two})),
            "ClientException",
            "Duplicate container name",
        ),
        (
            "RegisterTaskDefinition",
            fargate(json!({"containerDefinitions": cycle})),
            "ClientException",
            "dependency cycle",
        ),
        ("RegisterTaskDefinition", fargate(json!({"containerDefinitions": []})), "ClientException", "Container list"),
        ("RunTask", json!({"taskDefinition": "none"}), "ClientException", "TaskDefinition not found."),
        (
            "RunTask",
            json!({"taskDefinition": "webserver", "launchType": "FARGATE"}),
            "InvalidParameterException",
            "Network Configuration",
        ),
        (
            "RunTask",
            json!({"taskDefinition": "webserver", "launchType": "FARGATE", "count": 11, "networkConfiguration": network}),
            "InvalidParameterException",
            "Count",
        ),
        (
            "RunTask",
            json!({"taskDefinition": "webserver", "volumeConfigurations": [{"name": "v"}]}),
            "UnsupportedFeatureException",
            "volumeConfigurations",
        ),
        ("ListTasks", json!({"nextToken": "garbage"}), "InvalidParameterException", "Invalid token"),
        (
            "DescribeTasks",
            json!({"cluster": "arn:aws:ecs:eu-west-1:000000000000:cluster/default", "tasks": ["x"]}),
            "InvalidParameterException",
            "Region",
        ),
        (
            "DeleteExpressGatewayService",
            json!({"serviceArn": "x"}),
            "UnsupportedFeatureException",
            "DeleteExpressGatewayService",
        ),
    ];
    for (operation, input, code, words) in cases {
        let before = desk.batches.len();
        let (got, message) = desk.refused(operation, input.clone());
        assert_eq!(got, code, "{operation} {input}: {message}");
        assert!(message.contains(words), "{operation}: {message}");
        assert_eq!(desk.batches.len(), before, "{operation}: a refusal changes nothing");
    }
}

#[test]
fn acting_on_a_member_without_an_engine_names_it() {
    let mut desk = Desk::new();
    desk.host();
    let log = json!({"logDriver": "splunk", "options": {"splunk-url": "x"}});
    let definition = json!({"family": "logs", "networkMode": "awsvpc", "cpu": "256", "memory": "512",
        "requiresCompatibilities": ["FARGATE"], "containerDefinitions": [{"name": "a", "image": "x", "logConfiguration": log}]});
    let registered = desk.ok("RegisterTaskDefinition", definition);
    assert_eq!(registered.pointer("/taskDefinition/containerDefinitions/0/logConfiguration"), Some(&log));
    let network = json!({"awsvpcConfiguration": {"subnets": [desk.subnet()]}});
    let input = json!({"taskDefinition": "logs", "launchType": "FARGATE", "networkConfiguration": network});
    let (code, message) = desk.refused("RunTask", input);
    assert_eq!(code, "UnsupportedFeatureException");
    assert!(message.contains("containerDefinitions[a].logConfiguration.logDriver (splunk)"), "{message}");
}

/// A definition whose container logs to `group`, and what RunTask takes for it.
fn logging(desk: &mut Desk, group: &str, create: &str) -> Value {
    let options = json!({"awslogs-group": group, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p",
        "awslogs-create-group": create});
    let container =
        json!({"name": "a", "image": "x", "logConfiguration": {"logDriver": "awslogs", "options": options}});
    desk.ok(
        "RegisterTaskDefinition",
        json!({"family": "logs", "networkMode": "awsvpc", "cpu": "256", "memory": "512",
            "requiresCompatibilities": ["FARGATE"], "containerDefinitions": [container]}),
    );
    let network = json!({"awsvpcConfiguration": {"subnets": [desk.subnet()]}});
    json!({"taskDefinition": "logs", "launchType": "FARGATE", "networkConfiguration": network})
}

fn last_task(desk: &Desk) -> link::acs::Task {
    let Some(ToAgent::PayloadMessage(payload)) = ToAgent::decode(desk.frames.last().unwrap()) else {
        panic!("no payload")
    };
    payload.tasks.last().unwrap().clone()
}

#[test]
fn a_log_group_is_made_with_the_task_or_its_absence_is_told() {
    let mut desk = Desk::new();
    desk.host();
    let run = logging(&mut desk, "made", "true");
    let before = desk.batches.len();
    desk.ok("RunTask", run);
    assert_eq!(desk.batches.len(), before + 1, "group and task become durable together");
    let first = desk.control.state().log_group_named("made").unwrap().id;
    let task = last_task(&desk);
    assert_eq!(task.gantry, None);
    let host: link::acs::HostConfig = serde_json::from_str(&task.containers[0].docker_config.host_config).unwrap();
    let log = host.log_config.unwrap();
    let stream = format!("p/a/{}", link::acs::id_of(&task.arn));
    assert_eq!((log.driver.as_str(), &log.config["awslogs-stream"]), ("awslogs", &stream));
    let run = logging(&mut desk, "absent", "false");
    desk.ok("RunTask", run);
    let unable = last_task(&desk).gantry.and_then(|gantry| gantry.unable).unwrap();
    assert!(unable.starts_with("ResourceInitializationError: ") && unable.contains("absent"), "{unable}");
    let ask = |desk: &mut Desk, caller: Caller, stream: &str| {
        let question = control::LogQuestion {
            operation: wire::logs::Operation::PutLogEvents,
            group: "made".to_owned(),
            stream: Some(stream.to_owned()),
        };
        desk.control.handle(desk.now, Input::Logs { ticket: 9, caller, question });
        match desk.control.poll_output() {
            Some((_, Output::Logs { answer, .. })) => {
                answer.map(|access| access.id).map_err(|fault| fault.code.to_string())
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ask(&mut desk, node(), &stream), Ok(first));
    let other = Caller { principal: Principal::Node, access_key: "OTHER".into() };
    assert_eq!(ask(&mut desk, other, &stream), Err("AccessDeniedException".to_owned()));
    assert_eq!(ask(&mut desk, node(), "p/a/x"), Err("AccessDeniedException".to_owned()));
    assert_eq!(ask(&mut desk, operator(), "anything"), Ok(first));
}

#[test]
fn definitions_come_back_as_they_were_registered() {
    let mut desk = Desk::new();
    desk.web();
    let shown = desk.ok("DescribeTaskDefinition", json!({"taskDefinition": "webserver:1"}));
    let container = &shown["taskDefinition"]["containerDefinitions"][0];
    assert_eq!((container["memory"].as_i64(), container["cpu"].as_i64()), (Some(100), Some(99)));
    assert_eq!(container["essential"], json!(true));
    assert_eq!(shown["taskDefinition"]["compatibilities"], json!(["EC2", "FARGATE"]));
    let document = ecs::TaskDefinition::from_json_str(&shown["taskDefinition"].to_string()).unwrap();
    assert_eq!(document.revision, Some(1));
    desk.web();
    assert_eq!(
        desk.ok("DescribeTaskDefinition", json!({"taskDefinition": "webserver"}))["taskDefinition"]["revision"],
        json!(2)
    );
    desk.ok("DeregisterTaskDefinition", json!({"taskDefinition": "webserver:2"}));
    assert_eq!(
        desk.ok("DescribeTaskDefinition", json!({"taskDefinition": "webserver"}))["taskDefinition"]["revision"],
        json!(1)
    );
    desk.web();
    let listed = desk.ok("ListTaskDefinitions", json!({"sort": "DESC"}));
    let arns: Vec<&str> = listed["taskDefinitionArns"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(arns[0].ends_with("webserver:3") && arns[1].ends_with("webserver:1") && arns.len() == 2, "{arns:?}");
}

#[test]
fn a_node_may_only_speak_for_itself() {
    let mut desk = Desk::new();
    let arn = desk.host();
    desk.web();
    let run = desk.run_web();
    let task = text(&run, "/tasks/0/taskArn").to_owned();
    let stranger = Caller { principal: Principal::Node, access_key: "OTHER".into() };
    let report = json!({"task": task, "status": "STOPPED"});
    assert_eq!(desk.call(stranger.clone(), "SubmitTaskStateChange", report).unwrap_err().code, "AccessDeniedException");
    let again = json!({"containerInstanceArn": arn, "totalResources": []});
    assert_eq!(desk.call(stranger, "RegisterContainerInstance", again).unwrap_err().code, "AccessDeniedException");
    let mine = desk.call(node(), "RunTask", json!({"taskDefinition": "webserver"})).unwrap_err();
    assert_eq!(mine.code, "AccessDeniedException");
}

#[test]
fn a_forced_deregistration_ends_the_tasks_and_the_session() {
    let mut desk = Desk::new();
    let arn = desk.host();
    desk.web();
    let run = desk.run_web();
    let task = text(&run, "/tasks/0/taskArn").to_owned();
    let (code, _) = desk.refused("DeregisterContainerInstance", json!({"containerInstance": arn}));
    assert_eq!(code, "InvalidParameterException");
    desk.ok("DeregisterContainerInstance", json!({"containerInstance": arn, "force": true}));
    let shown = desk.ok("DescribeTasks", json!({"tasks": [task]}));
    assert_eq!(text(&shown, "/tasks/0/lastStatus"), "STOPPED");
    let connect = Connect { container_instance_arn: arn, ..Connect::default() };
    desk.control.handle(desk.now, Input::Connect { ticket: 9, session: 9, caller: node(), connect });
    desk.batches.extend(desk.control.poll_batch());
    let refused = std::iter::from_fn(|| desk.control.poll_output()).any(|(_, output)| {
        matches!(output, Output::Connected { answer: Err(refusal), .. } if refusal.kind == "InactiveInstanceException")
    });
    assert!(refused);
}
