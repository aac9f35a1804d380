//! Account settings, settings of clusters, and what has no engine yet but a right answer.

use crate::{Desk, node, text};
use serde_json::json;

const ROOT: &str = "arn:aws:iam::000000000000:root";

#[test]
fn a_choice_holds_for_who_made_none() {
    let mut desk = Desk::new();
    let all = desk.ok("ListAccountSettings", json!({"effectiveSettings": true, "maxResults": 100}));
    assert_eq!(all["settings"].as_array().unwrap().len(), 11);
    let user = "arn:aws:iam::000000000000:user/ada";
    let log = |value: &str| json!({"name": "defaultLogDriverMode", "value": value});
    assert_eq!(desk.ok("ListAccountSettings", json!({}))["settings"], json!([]));
    let put = desk.ok("PutAccountSettingDefault", log("blocking"));
    assert_eq!(
        put["setting"],
        json!({"name": "defaultLogDriverMode", "value": "blocking", "principalArn": ROOT, "type": "user"})
    );
    let of_ada = json!({"name": "defaultLogDriverMode", "principalArn": user, "effectiveSettings": true});
    assert_eq!(text(&desk.ok("ListAccountSettings", of_ada.clone()), "/settings/0/value"), "blocking");
    let mut own = log("non-blocking");
    own["principalArn"] = json!(user);
    desk.ok("PutAccountSetting", own);
    assert_eq!(text(&desk.ok("ListAccountSettings", of_ada.clone()), "/settings/0/value"), "non-blocking");
    assert_eq!(text(&desk.ok("ListAccountSettings", json!({})), "/settings/0/value"), "blocking");
    desk.ok("DeleteAccountSetting", json!({"name": "defaultLogDriverMode", "principalArn": user}));
    assert_eq!(text(&desk.ok("ListAccountSettings", of_ada), "/settings/0/value"), "blocking");
    let deleted = desk.ok("DeleteAccountSetting", json!({"name": "defaultLogDriverMode"}));
    assert_eq!(text(&deleted, "/setting/value"), "non-blocking");
    assert_eq!(desk.ok("ListAccountSettings", json!({}))["settings"], json!([]));
}

#[test]
fn settings_are_paged_and_filtered_by_value() {
    let mut desk = Desk::new();
    let mut seen = Vec::new();
    let mut input = json!({"effectiveSettings": true, "maxResults": 4});
    loop {
        let page = desk.ok("ListAccountSettings", input.clone());
        seen.extend(page["settings"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap().to_owned()));
        match page["nextToken"].as_str() {
            Some(token) => input["nextToken"] = json!(token),
            None => break,
        }
    }
    let mut sorted = seen.clone();
    sorted.sort();
    assert_eq!((seen.len(), &seen), (11, &sorted));
    let wanted = |value: &str| json!({"name": "taskLongArnFormat", "value": value, "effectiveSettings": true});
    assert_eq!(desk.ok("ListAccountSettings", wanted("enabled"))["settings"].as_array().unwrap().len(), 1);
    assert_eq!(desk.ok("ListAccountSettings", wanted("disabled"))["settings"], json!([]));
}

#[test]
fn a_setting_that_could_not_act_is_refused() {
    let mut desk = Desk::new();
    for (name, value, code, words) in [
        ("taskLongArnFormat", "disabled", "InvalidParameterException", "You can no longer disable"),
        ("containerInsights", "enhanced", "ClientException", "not supported yet: account setting containerInsights"),
        ("fargateFIPSMode", "enabled", "ClientException", "not supported yet"),
        ("guardDutyActivate", "on", "InvalidParameterException", "read-only"),
        ("awsvpcTrunking", "maybe", "InvalidParameterException", "enabled, disabled"),
    ] {
        let (said, message) = desk.refused("PutAccountSetting", json!({"name": name, "value": value}));
        assert_eq!(said, code, "{name}");
        assert!(message.contains(words), "{name}: {message}");
    }
    for principal in ["arn:aws:iam::999999999999:root", "arn:aws:iam::000000000000:user/", "ada"] {
        let input = json!({"name": "awsvpcTrunking", "value": "enabled", "principalArn": principal});
        assert_eq!(desk.refused("PutAccountSetting", input).0, "InvalidParameterException", "{principal}");
    }
    assert_eq!(desk.refused("ListAccountSettings", json!({"value": "on"})).0, "InvalidParameterException");
}

#[test]
fn the_default_mode_of_logs_is_told_to_agents() {
    let mut desk = Desk::new();
    desk.host();
    desk.ok("PutAccountSettingDefault", json!({"name": "defaultLogDriverMode", "value": "blocking"}));
    let options = json!({"awslogs-group": "g", "awslogs-region": "us-east-1", "awslogs-create-group": "true", "awslogs-stream-prefix": "p"});
    let container =
        json!({"name": "a", "image": "i", "logConfiguration": {"logDriver": "awslogs", "options": options}});
    desk.ok(
        "RegisterTaskDefinition",
        json!({"family": "logs", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256",
            "memory": "512", "containerDefinitions": [container]}),
    );
    let network = json!({"awsvpcConfiguration": {"subnets": [desk.subnet()]}});
    desk.frames.clear();
    desk.ok("RunTask", json!({"taskDefinition": "logs", "launchType": "FARGATE", "networkConfiguration": network}));
    assert!(desk.frames[0].contains(r#"\"mode\":\"blocking\""#), "{}", desk.frames[0]);
}

#[test]
fn a_cluster_is_updated() {
    let mut desk = Desk::new();
    let execute = json!({"logging": "OVERRIDE", "logConfiguration": {"cloudWatchLogGroupName": "exec"}});
    let configuration = json!({"executeCommandConfiguration": execute});
    let made = desk.ok(
        "CreateCluster",
        json!({"clusterName": "blue", "configuration": configuration,
        "settings": [{"name": "containerInsights", "value": "disabled"}]}),
    );
    assert_eq!(made["cluster"]["configuration"], configuration);
    assert_eq!(text(&made, "/cluster/settings/0/value"), "disabled");
    let shown = desk.ok("DescribeClusters", json!({"clusters": ["blue"], "include": ["CONFIGURATIONS"]}));
    assert_eq!(shown["clusters"][0]["configuration"], configuration);
    assert_eq!(desk.ok("DescribeClusters", json!({"clusters": ["blue"]}))["clusters"][0].get("configuration"), None);
    let none = json!({"executeCommandConfiguration": {"logging": "NONE"}});
    let updated = desk.ok("UpdateCluster", json!({"cluster": "blue", "configuration": none}));
    assert_eq!(updated["cluster"]["configuration"], none);
    let off = json!([{"name": "containerInsights", "value": "disabled"}]);
    desk.ok("UpdateClusterSettings", json!({"cluster": "blue", "settings": off}));
    for (input, code, words) in [
        (json!({"cluster": "green"}), "ClusterNotFoundException", "Cluster not found."),
        (
            json!({"cluster": "blue", "configuration": {"managedStorageConfiguration": {}}}),
            "ClientException",
            "managed",
        ),
        (json!({"cluster": "blue", "serviceConnectDefaults": {"namespace": "n"}}), "ClientException", "serviceConnect"),
        (
            json!({"cluster": "blue", "configuration": {"executeCommandConfiguration": {"logging": "OVERRIDE"}}}),
            "InvalidParameterException",
            "logConfiguration",
        ),
        (
            json!({"cluster": "blue", "settings": [{"name": "containerInsights", "value": "enabled"}]}),
            "ClientException",
            "not supported yet: settings (containerInsights=enabled)",
        ),
    ] {
        let (said, message) = desk.refused("UpdateCluster", input.clone());
        assert!(said == code && message.contains(words), "{input}: {said} {message}");
    }
    assert_eq!(
        desk.refused("UpdateClusterSettings", json!({"cluster": "blue", "settings": []})).0,
        "InvalidParameterException"
    );
}

#[test]
fn a_deleted_revision_goes_when_nothing_was_made_from_it() {
    let mut desk = Desk::new();
    desk.host();
    desk.web();
    let delete = json!({"taskDefinitions": ["webserver:1"]});
    let answer = desk.ok("DeleteTaskDefinitions", delete.clone());
    assert!(text(&answer, "/failures/0/reason").contains("still in ACTIVE status"), "{answer}");
    let task = text(&desk.run_web(), "/tasks/0/taskArn").to_owned();
    desk.ok("DeregisterTaskDefinition", json!({"taskDefinition": "webserver:1"}));
    let answer = desk.ok("DeleteTaskDefinitions", delete.clone());
    assert_eq!((text(&answer, "/taskDefinitions/0/status"), &answer["failures"]), ("DELETE_IN_PROGRESS", &json!([])));
    assert!(answer["taskDefinitions"][0]["deleteRequestedAt"].is_number(), "{answer}");
    assert_eq!(desk.ok("DeleteTaskDefinitions", delete)["failures"], json!([]));
    let listed = desk.ok("ListTaskDefinitions", json!({"status": "DELETE_IN_PROGRESS"}));
    assert_eq!(listed["taskDefinitionArns"].as_array().unwrap().len(), 1);
    let network = json!({"awsvpcConfiguration": {"subnets": [desk.subnet()]}});
    let run = json!({"taskDefinition": "webserver:1", "launchType": "FARGATE", "networkConfiguration": network});
    assert_eq!(desk.refused("RunTask", run).0, "ClientException");
    // The task still needs it, however long that takes; the task's own end is shown for an hour.
    let hours = |desk: &mut Desk, hours: u64| {
        desk.now += hours * 3_600_000;
        desk.control.handle_time(desk.now);
        desk.round();
    };
    hours(&mut desk, 5);
    desk.ok("DescribeTaskDefinition", json!({"taskDefinition": "webserver:1"}));
    desk.call(node(), "SubmitTaskStateChange", json!({"task": task, "status": "STOPPED"})).unwrap();
    hours(&mut desk, 2);
    let gone = desk.refused("DescribeTaskDefinition", json!({"taskDefinition": "webserver:1"}));
    assert_eq!(gone.0, "ClientException");
    assert_eq!(desk.ok("ListTaskDefinitionFamilies", json!({}))["families"], json!([]));
    // Its number is never given again.
    desk.web();
    assert_eq!(
        text(
            &desk.ok("DescribeTaskDefinition", json!({"taskDefinition": "webserver"})),
            "/taskDefinition/taskDefinitionArn"
        ),
        "arn:aws:ecs:us-east-1:000000000000:task-definition/webserver:2"
    );
    for (names, code) in [
        (json!([]), "InvalidParameterException"),
        (json!(["webserver"]), "InvalidParameterException"),
        (json!(vec!["webserver:2"; 11]), "InvalidParameterException"),
    ] {
        assert_eq!(desk.refused("DeleteTaskDefinitions", json!({"taskDefinitions": names})).0, code);
    }
    let answer = desk.ok("DeleteTaskDefinitions", json!({"taskDefinitions": ["webserver:9"]}));
    assert!(text(&answer, "/failures/0/reason").contains("does not exist"), "{answer}");
}

#[test]
fn commands_agents_and_namespaces_have_their_refusals() {
    let mut desk = Desk::new();
    let instance = desk.host();
    desk.web();
    let network = json!({"awsvpcConfiguration": {"subnets": [desk.subnet()]}});
    let run = desk.ok(
        "RunTask",
        json!({"taskDefinition": "webserver", "launchType": "FARGATE",
        "networkConfiguration": network, "enableExecuteCommand": true}),
    );
    assert_eq!(run["tasks"][0]["enableExecuteCommand"], true);
    let task = text(&run, "/tasks/0/taskArn").to_owned();
    let command = |container: &str| json!({"task": task, "command": "sh", "interactive": true, "container": container});
    let (code, message) = desk.refused("ExecuteCommand", command("other"));
    assert!(code == "InvalidParameterException" && message.contains("no container"), "{code} {message}");
    let name = text(&run, "/tasks/0/containers/0/name").to_owned();
    assert!(desk.refused("ExecuteCommand", command(&name)).1.contains("not RUNNING"));
    desk.call(node(), "SubmitTaskStateChange", json!({"task": task, "status": "RUNNING"})).unwrap();
    assert_eq!(desk.refused("ExecuteCommand", command(&name)).0, "TargetNotConnectedException");
    let agent = json!({"containerInstance": instance});
    assert_eq!(desk.refused("UpdateContainerAgent", agent.clone()).0, "MissingVersionException");
    let integer = |name: &str| json!({"name": name, "type": "INTEGER", "integerValue": 4096});
    let again = json!({"containerInstanceArn": instance, "versionInfo": {"agentVersion": "1.0.0"},
        "totalResources": [integer("CPU"), integer("MEMORY")]});
    desk.call(node(), "RegisterContainerInstance", again).unwrap();
    assert_eq!(desk.refused("UpdateContainerAgent", agent).0, "NoUpdateAvailableException");
    let none = json!({"namespace": "local"});
    assert_eq!(desk.refused("ListServicesByNamespace", none).0, "NamespaceNotFoundException");
}
