//! Every error that every operation can answer, as `errors.txt` has them: each is provoked here through the control plane's
//! own door, and none is missing there. What the model declares and nothing here brings about stands there with a reason.

use crate::{Desk, node, operator, text};
use control::{Caller, Principal};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use wire::ecs;

const TEXT: &str = include_str!("errors.txt");
/// What every operation can answer, said once at the top of the table.
const COMMON: [&str; 3] = ["AccessDeniedException", "SerializationException", "ServerException"];

/// What the table has of one operation.
#[derive(Default)]
struct Row {
    /// Code, words, request.
    cases: Vec<(&'static str, &'static str, &'static str)>,
    never: BTreeSet<&'static str>,
}

static TABLE: LazyLock<BTreeMap<&'static str, Row>> = LazyLock::new(|| {
    let mut table: BTreeMap<&str, Row> = BTreeMap::new();
    let (mut named, mut is_open) = (Vec::new(), false);
    for line in TEXT.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let Some(said) = line.strip_prefix("    ") else {
            if !is_open {
                named.clear();
            }
            named.extend(line.split(',').map(str::trim).filter(|name| !name.is_empty()));
            is_open = true;
            continue;
        };
        is_open = false;
        for name in &named {
            let row = table.entry(*name).or_default();
            match said.strip_prefix("- ") {
                Some(never) => row.never.extend(never.split_once(": ").expect("a reason").0.split(' ')),
                None => {
                    let (code, case) = said.split_once(": ").expect("a code");
                    let (words, input) = case.split_once(" <- ").expect("a request");
                    row.cases.push((code, words, input));
                }
            }
        }
    }
    table
});

/// The API model.
pub static MODEL: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../../models/ecs.json")).unwrap());

/// Whether the table has that code for that operation.
pub fn is_known(operation: &str, code: &str) -> bool {
    COMMON.contains(&code)
        || TABLE.get(operation).is_some_and(|row| row.cases.iter().any(|(known, _, _)| *known == code))
}

/// Whether an operation is refused as a whole.
pub fn has_no_engine(operation: &str) -> bool {
    TABLE[operation].cases.iter().any(|(_, words, _)| *words == "is not supported yet")
}

fn stranger() -> Caller {
    Caller { principal: Principal::Node, access_key: "STRANGER".into() }
}

/// The least that a shape takes.
pub fn least(model: &Value, shape: &str) -> Value {
    let shape = &model["shapes"][shape];
    match shape["type"].as_str().unwrap_or_default() {
        "structure" => {
            let required = shape["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let value = |name: &str| least(model, shape["members"][name]["shape"].as_str().unwrap());
            Value::Object(required.map(|name| (name.to_owned(), value(name))).collect::<Map<_, _>>())
        }
        "list" => json!([least(model, shape["member"]["shape"].as_str().unwrap())]),
        "map" => json!({}),
        "boolean" => json!(true),
        "integer" | "long" | "double" | "float" | "timestamp" => json!(1),
        _ => shape["enum"].get(0).cloned().unwrap_or_else(|| json!("x")),
    }
}

/// A control plane with something of everything, and what the table calls the things.
pub struct Stage {
    pub desk: Desk,
    pub names: BTreeMap<&'static str, String>,
}

impl Stage {
    pub fn new() -> Self {
        let mut stage = Self { desk: Desk::new(), names: BTreeMap::new() };
        stage.clusters();
        stage.instances();
        stage.tasks();
        stage.services();
        let texts = |n: usize| Value::from((0..n).map(|n| format!("x{n}")).collect::<Vec<_>>()).to_string();
        stage.name("many", texts(101));
        stage.name("twenty", json!(vec!["ACTIVE"; 20]).to_string());
        let attribute = |n: usize| json!({"name": format!("a{n}"), "targetId": "x"});
        stage.name("attributes", Value::from((0..11).map(attribute).collect::<Vec<_>>()).to_string());
        stage.name("managed", least(&MODEL, "CreateManagedInstancesProviderConfiguration").to_string());
        stage.name("daemon", "arn:aws:ecs:us-east-1:000000000000:daemon/default/x".to_owned());
        let missing = "arn:aws:ecs:us-east-1:000000000000:service-deployment/default/web/x";
        stage.name("nodeployment", missing.to_owned());
        stage
    }

    fn name(&mut self, name: &'static str, value: String) {
        self.names.insert(name, value);
    }

    fn clusters(&mut self) {
        let tags: Vec<Value> = (0..50).map(|n| json!({"key": format!("k{n}"), "value": "v"})).collect();
        for name in ["inactive", "serving", "waiting"] {
            self.desk.ok("CreateCluster", json!({"clusterName": name}));
        }
        self.desk.ok("CreateCluster", json!({"clusterName": "tagged", "tags": tags}));
        self.desk.ok("DeleteCluster", json!({"cluster": "inactive"}));
        let group = json!({"autoScalingGroupArn": "hosts", "managedScaling": {"status": "DISABLED"}});
        self.desk.ok("CreateCapacityProvider", json!({"name": "hosts", "autoScalingGroupProvider": group}));
        let providers =
            json!({"cluster": "waiting", "capacityProviders": ["hosts"], "defaultCapacityProviderStrategy": []});
        self.desk.ok("PutClusterCapacityProviders", providers);
    }

    fn instances(&mut self) {
        let host = self.desk.host();
        self.name("instance", host);
        let resources = ["CPU", "MEMORY"].map(|name| json!({"name": name, "type": "INTEGER", "integerValue": 512}));
        let input = json!({"totalResources": resources, "versionInfo": {"agentVersion": "1.0.0"}});
        let other = self.desk.call(node(), "RegisterContainerInstance", input).unwrap();
        let other = text(&other, "/containerInstance/containerInstanceArn").to_owned();
        let custom: Vec<Value> = (0..10).map(|n| json!({"name": format!("a{n}"), "targetId": other})).collect();
        self.desk.ok("PutAttributes", json!({ "attributes": custom }));
        self.name("versioned", other);
    }

    fn tasks(&mut self) {
        let desk = &mut self.desk;
        desk.web();
        let log = json!({"logDriver": "splunk", "options": {"splunk-url": "x"}});
        for (family, container) in [
            ("plain", json!({"name": "main", "image": "busybox", "memory": 32})),
            ("gone", json!({"name": "main", "image": "busybox", "memory": 32})),
            ("logs", json!({"name": "a", "image": "busybox", "memory": 32, "logConfiguration": log})),
        ] {
            desk.ok("RegisterTaskDefinition", json!({"family": family, "containerDefinitions": [container]}));
        }
        desk.ok("DeregisterTaskDefinition", json!({"taskDefinition": "gone:1"}));
        let agent = json!({"name": "agent", "image": "busybox", "memory": 32});
        desk.ok("RegisterDaemonTaskDefinition", json!({"family": "agent", "containerDefinitions": [agent]}));
        let run = desk.run_web();
        let task = text(&run, "/tasks/0/taskArn").to_owned();
        let attachment = text(&run, "/tasks/0/attachments/0/id").to_owned();
        desk.call(node(), "SubmitTaskStateChange", json!({"task": task, "status": "RUNNING"})).unwrap();
        let network = json!({"awsvpcConfiguration": {"subnets": [desk.subnet()]}});
        let with_token = json!({"taskDefinition": "webserver", "launchType": "FARGATE", "networkConfiguration": network,
            "clientToken": "used", "enableExecuteCommand": true});
        let exec = text(&desk.ok("RunTask", with_token), "/tasks/0/taskArn").to_owned();
        desk.call(node(), "SubmitTaskStateChange", json!({"task": exec, "status": "RUNNING"})).unwrap();
        let strategy = json!([{"capacityProvider": "hosts", "weight": 1}]);
        let waiting = json!({"cluster": "waiting", "taskDefinition": "plain", "capacityProviderStrategy": strategy});
        desk.ok("RunTask", waiting);
        self.name("task", task);
        self.name("exec", exec);
        self.name("attachment", format!("arn:aws:ecs:us-east-1:000000000000:attachment/{attachment}"));
    }

    fn services(&mut self) {
        let desk = &mut self.desk;
        desk.service(1, json!({}));
        desk.service(1, json!({"serviceName": "draining"}));
        desk.service(0, json!({"serviceName": "inactive"}));
        desk.service(0, json!({"serviceName": "serving", "cluster": "serving"}));
        desk.ok("DeleteService", json!({"service": "draining", "force": true}));
        desk.ok("DeleteService", json!({"service": "inactive"}));
        desk.ok("UpdateService", json!({"service": "web", "forceNewDeployment": true}));
        let listed = desk.ok("ListServiceDeployments", json!({"service": "web"}));
        let arn = |n: usize| text(&listed, &format!("/serviceDeployments/{n}/serviceDeploymentArn")).to_owned();
        let (newest, over) = (arn(0), arn(1));
        let external = json!({"serviceName": "sets", "deploymentController": {"type": "EXTERNAL"}, "desiredCount": 2});
        desk.ok("CreateService", external);
        let network = json!({"awsvpcConfiguration": {"subnets": [desk.subnet()]}});
        let set = json!({"cluster": "default", "service": "sets", "taskDefinition": "webserver", "launchType": "FARGATE",
            "networkConfiguration": network, "scale": {"value": 100.0, "unit": "PERCENT"}});
        let set = text(&desk.ok("CreateTaskSet", set), "/taskSet/id").to_owned();
        let shown = self.desk.ok("DescribeServiceDeployments", json!({ "serviceDeploymentArns": [newest] }));
        let revision = text(&shown, "/serviceDeployments/0/targetServiceRevision/arn").to_owned();
        self.name("revision", revision);
        self.name("deployment", newest);
        self.name("over", over);
        self.name("set", set);
    }

    /// A request of the table, with the things' own names.
    fn input(&self, operation: &str, written: &str) -> Value {
        if written == "least" {
            return least(&MODEL, MODEL["operations"][operation]["input"]["shape"].as_str().unwrap());
        }
        let named =
            self.names.iter().fold(written.to_owned(), |text, (name, value)| text.replace(&format!("${name}"), value));
        serde_json::from_str(&named).unwrap_or_else(|why| panic!("{operation} {named}: {why}"))
    }
}

#[test]
fn the_table_has_every_operation_and_every_code_that_is_declared() {
    let known: Vec<&str> = ecs::Operation::ALL.iter().map(|operation| operation.name()).collect();
    let listed: Vec<&str> = TABLE.keys().copied().collect();
    assert_eq!(listed, known);
    for operation in ecs::Operation::ALL {
        let row = &TABLE[operation.name()];
        let raised: BTreeSet<&str> = row.cases.iter().map(|(code, _, _)| *code).collect();
        assert!(raised.is_disjoint(&row.never), "{operation}: brought about and never brought about");
        for code in operation.declared_faults() {
            let said = COMMON.contains(code) || raised.contains(code) || row.never.contains(code);
            assert!(said, "{operation} declares {code}: provoke it, or say why nothing does");
        }
        let declared = operation.declared_faults();
        assert!(raised.iter().all(|code| declared.contains(code)), "{operation} answers what it does not declare");
    }
}

#[test]
fn every_error_is_answered_with_its_code_and_words_and_changes_nothing() {
    let mut stage = Stage::new();
    let mut wrong = Vec::new();
    for operation in ecs::Operation::ALL {
        let name = operation.name();
        let broken = ecs::Request::decode(*operation, b"[1").unwrap_err();
        assert_eq!(broken.code, "SerializationException", "{name}");
        let mut cases = TABLE[name].cases.clone();
        if cases.iter().all(|(code, _, _)| *code != "AccessDeniedException") {
            cases.push(("AccessDeniedException", "is not authorized to perform: ecs:", "least"));
        }
        for (code, words, written) in cases {
            let input = stage.input(name, written);
            let caller = if code == "AccessDeniedException" { stranger() } else { operator() };
            let before = stage.desk.batches.len();
            match stage.desk.answer(caller, name, &input) {
                Err(fault) if fault.code == code && fault.message.contains(words) && fault.status == 400 => {}
                other => wrong.push(format!("{name}, {code} {words}, {input}: {other:?}")),
            }
            if stage.desk.batches.len() != before {
                wrong.push(format!("{name}: a refusal changed something"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
