//! Tags of everything that may carry them, by ARN.

use crate::{Desk, text};
use serde_json::{Value, json};

fn tags_of(desk: &mut Desk, arn: &str) -> Value {
    desk.ok("ListTagsForResource", json!({"resourceArn": arn}))["tags"].clone()
}

#[test]
fn everything_that_exists_takes_tags_and_shows_them() {
    let mut desk = Desk::with_providers();
    desk.host();
    desk.web();
    let instance = desk.host();
    let network = json!({"awsvpcConfiguration": {"subnets": [desk.subnet()]}});
    let service = json!({"serviceName": "s", "taskDefinition": "webserver", "launchType": "FARGATE", "desiredCount": 1,
        "networkConfiguration": network});
    let service = text(&desk.ok("CreateService", service), "/service/serviceArn").to_owned();
    let task = text(&desk.run_web(), "/tasks/0/taskArn").to_owned();
    let arn = |rest: &str| format!("arn:aws:ecs:us-east-1:000000000000:{rest}");
    let include = json!(["TAGS"]);
    let shown = [
        (arn("cluster/default"), "DescribeClusters", json!({"include": include}), "/clusters/0/tags"),
        (
            arn("capacity-provider/blue"),
            "DescribeCapacityProviders",
            json!({"capacityProviders": ["blue"], "include": include}),
            "/capacityProviders/0/tags",
        ),
        (
            arn("task-definition/webserver:1"),
            "DescribeTaskDefinition",
            json!({"taskDefinition": "webserver", "include": include}),
            "/tags",
        ),
        (
            instance.clone(),
            "DescribeContainerInstances",
            json!({"containerInstances": [instance], "include": include}),
            "/containerInstances/0/tags",
        ),
        (service, "DescribeServices", json!({"services": ["s"], "include": include}), "/services/0/tags"),
        (task.clone(), "DescribeTasks", json!({"tasks": [task], "include": include}), "/tasks/0/tags"),
    ];
    for (arn, describe, input, place) in shown {
        let tag = |key: &str, value: &str| json!({"key": key, "value": value});
        desk.ok("TagResource", json!({"resourceArn": arn, "tags": [tag("team", "a"), tag("cost", "1")]}));
        desk.ok("TagResource", json!({"resourceArn": arn, "tags": [tag("team", "b")]}));
        assert_eq!(tags_of(&mut desk, &arn), json!([tag("team", "b"), tag("cost", "1")]), "{arn}");
        desk.ok("UntagResource", json!({"resourceArn": arn, "tagKeys": ["cost", "none"]}));
        assert_eq!(desk.ok(describe, input).pointer(place), Some(&json!([tag("team", "b")])), "{describe}");
        let before = desk.batches.len();
        desk.ok("TagResource", json!({"resourceArn": arn, "tags": [tag("team", "b")]}));
        assert_eq!(desk.batches.len(), before, "what is so already costs no commit");
    }
}

#[test]
fn what_cannot_be_tagged_is_said() {
    let mut desk = Desk::with_providers();
    desk.ok("CreateCluster", json!({"clusterName": "old"}));
    desk.ok("DeleteCluster", json!({"cluster": "old"}));
    let arn = |rest: &str| format!("arn:aws:ecs:us-east-1:000000000000:{rest}");
    let long = "x".repeat(32);
    let cases = [
        ("default".to_owned(), "InvalidParameterException", "no ARN"),
        (arn("cluster/none"), "ClusterNotFoundException", "not found"),
        (arn("cluster/old"), "InvalidParameterException", "inactive"),
        (arn("service/default/none"), "ResourceNotFoundException", "service could not be found"),
        (arn("service/none"), "InvalidParameterException", "Long arn format"),
        (arn(&format!("task/default/{long}")), "ResourceNotFoundException", "task could not be found"),
        (arn("task-definition/small"), "ResourceNotFoundException", "task definition could not be found"),
        (arn("capacity-provider/FARGATE"), "InvalidParameterException", "FARGATE"),
        (arn("daemon/x"), "InvalidParameterException", "no ARN"),
        ("arn:aws:ecs:eu-west-1:000000000000:cluster/default".to_owned(), "InvalidParameterException", "Region"),
        ("arn:aws:ecs:us-east-1:111111111111:cluster/default".to_owned(), "InvalidParameterException", "accountId"),
    ];
    for (arn, code, words) in cases {
        let (got, message) = desk.refused("TagResource", json!({"resourceArn": arn, "tags": [{"key": "a"}]}));
        assert!(got == code && message.contains(words), "{arn}: {got} {message}");
    }
    let cluster = arn("cluster/default");
    let many: Vec<Value> = (0..50).map(|n| json!({"key": format!("k{n}"), "value": "v"})).collect();
    desk.ok("TagResource", json!({"resourceArn": cluster, "tags": many}));
    let long = |length: usize| "x".repeat(length);
    for (tags, words) in [
        (json!([{"key": "one-more", "value": "v"}]), "at most 50 tags"),
        (json!([{"key": "AWS:x", "value": "v"}]), "reserved prefix"),
        (json!([{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]), "Duplicate"),
        (json!([{"key": long(129), "value": "v"}]), "128"),
        (json!([{"key": "k", "value": long(257)}]), "256"),
        (json!([{"key": "k<", "value": "v"}]), "letters"),
    ] {
        let (_, message) = desk.refused("TagResource", json!({"resourceArn": cluster, "tags": tags}));
        assert!(message.contains(words), "{words}: {message}");
    }
    let (_, message) = desk.refused("UntagResource", json!({"resourceArn": cluster, "tagKeys": ["aws:x"]}));
    assert!(message.contains("reserved prefix"), "{message}");
}
