//! Definitions of managed daemons, and the daemons that there never are.

use crate::{Desk, text};
use serde_json::{Value, json};

fn definition(family: &str) -> Value {
    let container =
        json!({"name": "agent", "image": "busybox", "memory": 64, "linuxParameters": {"initProcessEnabled": true}});
    json!({"family": family, "containerDefinitions": [container], "pidMode": "shared", "ipcMode": "none",
        "volumes": [{"name": "sock", "logDriverVolumeConfiguration": {"driver": "awsfirelens"}}], "tags": [{"key": "team", "value": "blue"}]})
}

#[test]
fn a_definition_is_registered_described_listed_and_deleted() {
    let mut desk = Desk::new();
    for family in ["logs", "logs", "metrics"] {
        desk.ok("RegisterDaemonTaskDefinition", definition(family));
    }
    let shown = desk.ok("DescribeDaemonTaskDefinition", json!({"daemonTaskDefinition": "logs"}));
    let shown = &shown["daemonTaskDefinition"];
    assert_eq!(
        (&shown["revision"], &shown["status"], &shown["pidMode"]),
        (&json!(2), &json!("ACTIVE"), &json!("shared"))
    );
    assert_eq!(shown["containerDefinitions"], definition("logs")["containerDefinitions"]);
    assert_eq!(shown["volumes"], definition("logs")["volumes"]);
    let arn = text(shown, "/daemonTaskDefinitionArn").to_owned();
    assert!(arn.ends_with(":daemon-task-definition/logs:2"), "{arn}");
    let tags = desk.ok("ListTagsForResource", json!({"resourceArn": arn}))["tags"].clone();
    assert_eq!(tags, json!([{"key": "team", "value": "blue"}]));
    desk.ok("TagResource", json!({"resourceArn": arn, "tags": [{"key": "team", "value": "green"}]}));
    let listed = |desk: &mut Desk, input: Value| -> Vec<String> {
        let answer = desk.ok("ListDaemonTaskDefinitions", input);
        let arns = answer["daemonTaskDefinitions"].as_array().unwrap().iter().map(|known| text(known, "/arn"));
        arns.map(|arn| arn.rsplit('/').next().unwrap().to_owned()).collect()
    };
    assert_eq!(listed(&mut desk, json!({})), ["logs:1", "logs:2", "metrics:1"]);
    assert_eq!(listed(&mut desk, json!({"sort": "DESC"})), ["metrics:1", "logs:2", "logs:1"]);
    assert_eq!(listed(&mut desk, json!({"revision": "LAST_REGISTERED"})), ["logs:2", "metrics:1"]);
    assert_eq!(listed(&mut desk, json!({"family": "log"})), Vec::<String>::new());
    assert_eq!(listed(&mut desk, json!({"familyPrefix": "log"})), ["logs:1", "logs:2"]);
    let page = desk.ok("ListDaemonTaskDefinitions", json!({"maxResults": 2}));
    let rest = json!({"maxResults": 2, "nextToken": page["nextToken"]});
    assert_eq!(listed(&mut desk, rest), ["metrics:1"]);
    for _ in 0..2 {
        let answer = desk.ok("DeleteDaemonTaskDefinition", json!({"daemonTaskDefinition": arn}));
        assert_eq!(text(&answer, "/daemonTaskDefinitionArn"), arn);
    }
    let gone = desk.ok("DescribeDaemonTaskDefinition", json!({"daemonTaskDefinition": arn}));
    assert_eq!(text(&gone, "/daemonTaskDefinition/status"), "DELETED");
    assert_eq!(listed(&mut desk, json!({"family": "logs", "status": "ALL"})), ["logs:1"]);
    assert_eq!(desk.refused("TagResource", json!({"resourceArn": arn, "tags": []})).0, "InvalidParameterException");
    // Its number is never given again.
    let next = desk.ok("RegisterDaemonTaskDefinition", definition("logs"));
    assert!(text(&next, "/daemonTaskDefinitionArn").ends_with("logs:3"), "{next}");
}

#[test]
fn what_is_wrong_or_not_there_is_told() {
    let mut desk = Desk::new();
    desk.ok("RegisterDaemonTaskDefinition", definition("logs"));
    let mut wrong = definition("logs");
    wrong["containerDefinitions"] = json!([]);
    let daemon = json!({"daemonArn": "arn:aws:ecs:us-east-1:000000000000:daemon/default/d"});
    for (operation, input, code) in [
        ("RegisterDaemonTaskDefinition", wrong, "ClientException"),
        ("DescribeDaemonTaskDefinition", json!({"daemonTaskDefinition": "other"}), "ClientException"),
        ("DeleteDaemonTaskDefinition", json!({"daemonTaskDefinition": "logs"}), "InvalidParameterException"),
        ("DescribeDaemon", daemon.clone(), "DaemonNotFoundException"),
        ("DeleteDaemon", daemon.clone(), "DaemonNotFoundException"),
        ("ListDaemonDeployments", daemon, "InvalidParameterException"),
        ("ListDaemons", json!({"clusterArn": "nowhere"}), "ClusterNotFoundException"),
        ("DescribeDaemonRevisions", json!({"daemonRevisionArns": []}), "InvalidParameterException"),
    ] {
        assert_eq!(desk.refused(operation, input).0, code, "{operation}");
    }
    assert_eq!(desk.ok("ListDaemons", json!({}))["daemonSummariesList"], json!([]));
    let arn = "arn:aws:ecs:us-east-1:000000000000:daemon-deployment/default/d/1";
    let answer = desk.ok("DescribeDaemonDeployments", json!({ "daemonDeploymentArns": [arn] }));
    assert_eq!(text(&answer, "/failures/0/reason"), "MISSING");
}
