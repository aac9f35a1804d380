//! Tags of everything that may carry them, by ARN.

use crate::{Desk, operator, text};
use model::row::Loader;
use serde_json::{Value, json};
use wire::http::{Answer, Call};
use wire::tagging;

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

impl Desk {
    fn resources(&mut self, input: &tagging::GetResourcesInput) -> tagging::GetResourcesOutput {
        let call = Call::Tagging(tagging::Request::GetResources(Box::new(input.clone())));
        match self.ask(operator(), call) {
            Ok(Answer::Tagging(tagging::Response::GetResources(output))) => *output,
            other => panic!("{other:?}"),
        }
    }
}

fn with_tag(key: &str) -> tagging::GetResourcesInput {
    let filter = tagging::TagFilter { key: Some(key.to_owned()), values: None };
    tagging::GetResourcesInput { tag_filters: Some(vec![filter]), ..Default::default() }
}

#[test]
fn a_look_for_tags_goes_through_a_few_thousand_resources_at_a_time() {
    let mut desk = Desk::new();
    for n in 0..5000 {
        let key = if n == 4999 { "rare" } else { "usual" };
        desk.ok("CreateCluster", json!({"clusterName": format!("c{n}"), "tags": [{"key": key, "value": "1"}]}));
    }
    let mut input = with_tag("rare");
    let mut pages = Vec::new();
    loop {
        let page = desk.resources(&input);
        pages.push(page.resource_tag_mapping_list.unwrap().len());
        input.pagination_token = page.pagination_token.filter(|token| !token.is_empty());
        if input.pagination_token.is_none() {
            break;
        }
    }
    assert_eq!(pages, [0, 0, 1]);
}

#[test]
fn what_is_over_is_not_found_by_its_tags_and_a_start_finds_the_same() {
    let mut desk = Desk::with_providers();
    desk.host();
    desk.web();
    let tags = |value: &str| json!([{"key": "team", "value": value}]);
    let network = json!({"awsvpcConfiguration": {"subnets": [desk.subnet()]}});
    desk.ok(
        "CreateService",
        json!({"serviceName": "s", "taskDefinition": "webserver", "launchType": "FARGATE", "desiredCount": 0,
        "networkConfiguration": network, "tags": tags("a")}),
    );
    desk.ok("CreateCluster", json!({"clusterName": "blue", "tags": tags("b")}));
    let task = text(&desk.run_web(), "/tasks/0/taskArn").to_owned();
    desk.ok("TagResource", json!({"resourceArn": task, "tags": tags("c")}));
    let found = |desk: &mut Desk| {
        let list = desk.resources(&with_tag("team")).resource_tag_mapping_list.unwrap();
        list.into_iter().map(|found| found.resource_arn.unwrap()).collect::<Vec<_>>()
    };
    let values = |desk: &Desk| desk.control.state().tag_values_after("team", None).collect::<String>();
    assert_eq!((found(&mut desk).len(), values(&desk).as_str()), (3, "abc"));
    assert_eq!(desk.control.state().tag_keys_after(None).collect::<Vec<_>>(), ["team"]);
    assert_eq!(desk.control.state().tag_keys_after(Some("team")).count(), 0);
    let mut loader = Loader::default();
    for row in desk.control.state().rows() {
        loader.take(row.kind, &row.value.unwrap()).unwrap();
    }
    let again = loader.finish().unwrap().unwrap();
    assert_eq!(again.index_difference(desk.control.state()), None);
    desk.ok("TagResource", json!({"resourceArn": task, "tags": tags("b")}));
    desk.ok("DeleteCluster", json!({"cluster": "blue"}));
    assert_eq!(values(&desk), "ab");
    desk.ok("DeleteService", json!({"service": "s"}));
    desk.ok("UntagResource", json!({"resourceArn": task, "tagKeys": ["team"]}));
    assert_eq!((found(&mut desk).len(), values(&desk).as_str()), (0, ""));
    assert!(desk.control.state().tagged_from(None).next().is_none());
}
