//! Whatever names a thing: every member of every operation takes its name, its short and its long ARN alike, and says of an
//! ARN of another account, region, service, kind or cluster what AWS says.

use crate::errors::{MODEL, Stage, has_no_engine, least};
use crate::operator;
use serde_json::{Value, json};
use wire::ecs;

/// What a member names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Cluster,
    Service,
    Task,
    Instance,
    Definition,
    Provider,
    TaskSet,
    Deployment,
    Revision,
    DaemonDefinition,
    Daemon,
    DaemonDeployment,
    DaemonRevision,
    Anything,
}

/// Members that name something else than what ECS has, that name what is to be made, or that are not looked at.
const OTHER: &[&str] = &[
    "CreateCluster.clusterName",
    "CreateService.serviceName",
    "CreateService.role",
    "DeleteAccountSetting.principalArn",
    "DiscoverPollEndpoint.containerInstance",
    "ListAccountSettings.principalArn",
    "ListTasks.daemonName",
    "PutAccountSetting.principalArn",
    "RegisterContainerInstance.instanceIdentityDocument",
    "RegisterContainerInstance.instanceIdentityDocumentSignature",
    "RegisterDaemonTaskDefinition.executionRoleArn",
    "RegisterDaemonTaskDefinition.taskRoleArn",
    "RegisterTaskDefinition.executionRoleArn",
    "RegisterTaskDefinition.taskRoleArn",
    // Reports of agents name tasks by their ids alone, in whatever ARN.
    "SubmitContainerStateChange.task",
    "SubmitTaskStateChange.task",
];

fn kind(operation: &str, member: &str) -> Option<Kind> {
    Some(match member {
        _ if OTHER.contains(&format!("{operation}.{member}").as_str()) => return None,
        "cluster" | "clusters" | "clusterArn" => Kind::Cluster,
        "service" | "services" | "serviceName" => Kind::Service,
        "task" | "tasks" => Kind::Task,
        "containerInstance" | "containerInstances" | "containerInstanceArn" => Kind::Instance,
        "taskDefinition" | "taskDefinitions" => Kind::Definition,
        "capacityProvider" | "capacityProviders" | "capacityProviderArns" => Kind::Provider,
        "name" if operation == "UpdateCapacityProvider" => Kind::Provider,
        "taskSet" | "taskSets" | "primaryTaskSet" => Kind::TaskSet,
        "serviceDeploymentArn" | "serviceDeploymentArns" => Kind::Deployment,
        "serviceRevisionArns" => Kind::Revision,
        "daemonTaskDefinition" => Kind::DaemonDefinition,
        "daemonArn" => Kind::Daemon,
        "daemonDeploymentArns" => Kind::DaemonDeployment,
        "daemonRevisionArns" => Kind::DaemonRevision,
        "resourceArn" => Kind::Anything,
        _ => return None,
    })
}

const HERE: &str = "arn:aws:ecs:us-east-1:000000000000:";

impl Kind {
    /// The ways to name the one that the stage has, the long ARN last.
    fn names(self, stage: &Stage) -> Vec<String> {
        let known = |name: &str| stage.names[name].clone();
        let last = |arn: &str| arn.rsplit('/').next().unwrap().to_owned();
        let of_cluster = |kind: &str, id: String| {
            vec![id.clone(), format!("{HERE}{kind}/{id}"), format!("{HERE}{kind}/default/{id}")]
        };
        match self {
            Self::Cluster => vec!["default".to_owned(), format!("{HERE}cluster/default")],
            Self::Service => of_cluster("service", "sets".to_owned()),
            Self::Task => of_cluster("task", last(&known("task"))),
            Self::Instance => of_cluster("container-instance", last(&known("instance"))),
            Self::Definition => vec!["webserver:1".to_owned(), format!("{HERE}task-definition/webserver:1")],
            Self::Provider => vec!["hosts".to_owned(), format!("{HERE}capacity-provider/hosts")],
            Self::TaskSet => vec![known("set"), format!("{HERE}task-set/default/sets/{}", known("set"))],
            Self::Deployment => vec![known("deployment")],
            Self::Revision => vec![known("revision")],
            Self::DaemonDefinition => vec!["agent:1".to_owned(), format!("{HERE}daemon-task-definition/agent:1")],
            Self::Daemon => vec![known("daemon")],
            Self::DaemonDeployment => vec![format!("{HERE}daemon-deployment/default/x/y")],
            Self::DaemonRevision => vec![format!("{HERE}daemon-revision/default/x/1")],
            Self::Anything => vec![format!("{HERE}cluster/default")],
        }
    }

    /// Names of nothing here, and a part of what is said of each.
    fn foreign(self, long: &str) -> Vec<(String, &'static str)> {
        let mut foreign = vec![
            (long.replace("us-east-1", "eu-west-1"), "Invalid Region in ARN"),
            (
                long.replace("000000000000", "111111111111"),
                "Identifier is for 111111111111. Your accountId is 000000000000",
            ),
            (long.replace(":ecs:", ":s3:"), "Invalid service in ARN"),
            ("arn:aws".to_owned(), "Invalid identifier"),
            (format!("{HERE}attachment/default/x"), ""),
        ];
        if matches!(self, Self::Service | Self::Task | Self::Instance | Self::TaskSet) {
            let words = "Invalid identifier: Identifier is for cluster blue. Your cluster is default";
            foreign.push((long.replace("/default/", "/blue/"), words));
        }
        if matches!(self, Self::Service | Self::Task | Self::Instance) {
            foreign.push((format!("blue/{}", long.rsplit('/').next().unwrap()), "Unexpected number of separators."));
        }
        foreign
    }
}

/// The members of an operation that are text or lists of it.
fn texts(operation: &str) -> Vec<(String, bool)> {
    let model = &*MODEL;
    let kind = |shape: &str| model["shapes"][shape]["type"].as_str().unwrap_or_default().to_owned();
    let input = &model["shapes"][model["operations"][operation]["input"]["shape"].as_str().unwrap()];
    let members = input["members"].as_object().into_iter().flatten();
    let read = |(name, member): (&String, &Value)| {
        let shape = member["shape"].as_str()?;
        let of = model["shapes"][shape]["member"]["shape"].as_str().unwrap_or_default();
        match kind(shape).as_str() {
            "string" if model["shapes"][shape]["enum"].is_null() => Some((name.clone(), false)),
            "list" if kind(of) == "string" && model["shapes"][of]["enum"].is_null() => Some((name.clone(), true)),
            _ => None,
        }
    };
    members.filter_map(read).collect()
}

/// A request in which everything that must be named is named.
fn request(stage: &Stage, operation: &str) -> Value {
    let mut request = least(&MODEL, MODEL["operations"][operation]["input"]["shape"].as_str().unwrap());
    for (member, is_list) in texts(operation) {
        let is_asked = request.get(&member).is_some();
        if let Some(kind) = kind(operation, &member).filter(|_| is_asked) {
            let name = kind.names(stage).swap_remove(0);
            request[member] = if is_list { json!([name]) } else { json!(name) };
        }
    }
    match operation {
        "GetTaskProtection" => request["tasks"] = json!([Kind::Task.names(stage)[0]]),
        // Task sets have the definitions of the other.
        "UpdateService" => request["service"] = json!("web"),
        _ => {}
    }
    request
}

/// A code and its words, or that what was named was found.
fn outcome(stage: &mut Stage, operation: &str, input: &Value) -> (String, String) {
    match stage.desk.answer(operator(), operation, input) {
        Ok(answer) => {
            let missing = answer["failures"].as_array().into_iter().flatten().filter(|f| f["reason"] == "MISSING");
            (format!("found, {} missing", missing.count()), String::new())
        }
        Err(fault) => (fault.code.to_string(), fault.message),
    }
}

#[test]
fn everything_is_named_in_every_way_and_what_is_foreign_is_refused() {
    let (mut asked, mut wrong) = (0, Vec::new());
    let names = ecs::Operation::ALL.iter().map(|operation| operation.name());
    for operation in names.filter(|operation| !has_no_engine(operation)) {
        for (member, is_list) in texts(operation) {
            let Some(kind) = kind(operation, &member) else { continue };
            let mut told = Vec::new();
            let ways = kind.names(&Stage::new());
            for (n, _) in ways.iter().enumerate() {
                // Of a new world each, as one way to say it must not find what another has left.
                let mut stage = Stage::new();
                let name = kind.names(&stage).swap_remove(n);
                let mut input = request(&stage, operation);
                input[&member] = if is_list { json!([name]) } else { json!(name) };
                let (code, words) = outcome(&mut stage, operation, &input);
                if ["Identifier", "identifier", "in ARN"].iter().any(|lost| words.contains(lost)) {
                    wrong.push(format!("{operation}.{member} {name:?}: {code} {words}"));
                }
                told.push(code);
            }
            if told.iter().any(|code| *code != told[0]) {
                wrong.push(format!("{operation}.{member}: not the same by {ways:?}: {told:?}"));
            }
            let mut stage = Stage::new();
            let long = kind.names(&stage).pop().unwrap();
            for (name, words) in kind.foreign(&long) {
                let mut input = request(&stage, operation);
                input[&member] = if is_list { json!([name]) } else { json!(name) };
                let (code, said) = outcome(&mut stage, operation, &input);
                if code != "InvalidParameterException" || !said.contains(words) {
                    wrong.push(format!("{operation}.{member} {name:?}: {code} {said}"));
                }
                asked += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(asked > 300, "{asked}");
}

#[test]
fn every_member_that_could_name_something_is_known() {
    let names = ["arn", "cluster", "service", "task", "instance", "provider", "daemon"];
    let mut unknown = Vec::new();
    let operations = ecs::Operation::ALL.iter().map(|operation| operation.name());
    // What has no engine names nothing yet.
    for operation in operations.filter(|operation| !has_no_engine(operation)) {
        for (member, _) in texts(operation) {
            let low = member.to_ascii_lowercase();
            let path = format!("{operation}.{member}");
            let known = kind(operation, &member).is_some() || OTHER.contains(&path.as_str());
            if !known && names.iter().any(|name| low.contains(name)) {
                unknown.push(path);
            }
        }
    }
    assert_eq!(unknown, Vec::<String>::new());
}

#[test]
fn names_inside_of_lists_are_read_alike() {
    let mut stage = Stage::new();
    let instance = Kind::Instance.names(&stage);
    for name in &instance {
        let attributes = json!({"attributes": [{"name": "b", "value": "v", "targetId": name}]});
        stage.desk.ok("PutAttributes", attributes.clone());
        stage.desk.ok("DeleteAttributes", attributes);
    }
    let strategy = |name: &str| json!([{"capacityProvider": name, "weight": 1}]);
    for name in Kind::Provider.names(&stage) {
        let run = json!({"cluster": "waiting", "taskDefinition": "plain", "capacityProviderStrategy": strategy(&name)});
        assert_eq!(stage.desk.ok("RunTask", run)["tasks"].as_array().map(Vec::len), Some(1), "{name}");
    }
    for foreign in ["arn:aws:ecs:eu-west-1:000000000000:capacity-provider/hosts", &instance[2]] {
        let run =
            json!({"cluster": "waiting", "taskDefinition": "plain", "capacityProviderStrategy": strategy(foreign)});
        assert_eq!(stage.desk.refused("RunTask", run).0, "InvalidParameterException");
        let put = json!({"cluster": "default", "capacityProviders": ["FARGATE"],
            "defaultCapacityProviderStrategy": strategy(foreign)});
        assert_eq!(stage.desk.refused("PutClusterCapacityProviders", put).0, "InvalidParameterException");
    }
}
