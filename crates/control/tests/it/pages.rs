//! Pages of lists: whole, in order and without a gap, whatever comes and goes between them.

use crate::errors::Stage;
use crate::{Desk, node, text};
use serde_json::{Value, json};

#[test]
fn lists_page_and_go_on_while_they_change() {
    let mut desk = Desk::new();
    for n in 0..5 {
        desk.ok("CreateCluster", json!({"clusterName": format!("c{n}")}));
    }
    let first = desk.ok("ListClusters", json!({"maxResults": 2}));
    desk.ok("CreateCluster", json!({"clusterName": "a"}));
    let mut names = vec![first["clusterArns"].clone()];
    let mut token = first["nextToken"].clone();
    while token.is_string() {
        let page = desk.ok("ListClusters", json!({"maxResults": 2, "nextToken": token}));
        names.push(page["clusterArns"].clone());
        token = page["nextToken"].clone();
    }
    let all: Vec<String> =
        names.iter().flat_map(|page| page.as_array().unwrap()).map(|arn| text(arn, "").to_owned()).collect();
    let mut unique = all.clone();
    unique.dedup();
    assert_eq!((all.len(), unique.len()), (6, 6), "{all:?}");
}

/// A list: its operation, the member that it answers, what is asked with it, a filter that makes another list of it, how many
/// there are on a page without a word about it, and the most.
struct List {
    operation: &'static str,
    member: &'static str,
    with: Value,
    other: Value,
    page: usize,
    most: usize,
}

fn lists() -> Vec<List> {
    let list = |operation, member, with, other, page, most| List { operation, member, with, other, page, most };
    vec![
        list("ListClusters", "clusterArns", json!({}), Value::Null, 100, 100),
        list("ListServices", "serviceArns", json!({}), json!({"launchType": "FARGATE"}), 10, 100),
        list("ListTasks", "taskArns", json!({"cluster": "waiting"}), json!({"family": "plain"}), 100, 100),
        list("ListContainerInstances", "containerInstanceArns", json!({}), json!({"status": "ACTIVE"}), 100, 100),
        list(
            "ListAttributes",
            "attributes",
            json!({"targetType": "container-instance"}),
            json!({"attributeName": "ecs.vpc-id"}),
            100,
            100,
        ),
        list("ListTaskDefinitions", "taskDefinitionArns", json!({}), json!({"sort": "DESC"}), 100, 100),
        list("ListTaskDefinitionFamilies", "families", json!({}), json!({"familyPrefix": "n"}), 100, 100),
        list("ListDaemonTaskDefinitions", "daemonTaskDefinitions", json!({}), json!({"sort": "DESC"}), 100, 100),
        list(
            "ListAccountSettings",
            "settings",
            json!({"effectiveSettings": true}),
            json!({"effectiveSettings": false}),
            10,
            100,
        ),
        list(
            "ListServiceDeployments",
            "serviceDeployments",
            json!({"service": "web"}),
            json!({"status": ["STOPPED"]}),
            20,
            100,
        ),
        list("DescribeCapacityProviders", "capacityProviders", json!({}), json!({"cluster": "waiting"}), 10, 10),
    ]
}

fn asked(list: &List, extra: &Value) -> Value {
    let mut input = list.with.clone();
    input.as_object_mut().unwrap().extend(extra.as_object().cloned().unwrap_or_default());
    input
}

/// More of everything than a page holds.
fn full() -> Stage {
    let mut stage = Stage::new();
    let desk = &mut stage.desk;
    for n in 0..101 {
        desk.ok("CreateCluster", json!({"clusterName": format!("n{n:03}")}));
        let main = json!({"name": "main", "image": "busybox", "memory": 8});
        let definition = json!({"family": format!("n{n:03}"), "containerDefinitions": [main]});
        desk.ok("RegisterTaskDefinition", definition.clone());
        desk.ok("RegisterDaemonTaskDefinition", definition);
        let integer = |name: &str| json!({"name": name, "type": "INTEGER", "integerValue": 512});
        let resources = json!({"totalResources": [integer("CPU"), integer("MEMORY")]});
        desk.call(node(), "RegisterContainerInstance", resources).unwrap();
    }
    for n in 0..12 {
        desk.service(0, json!({"serviceName": format!("n{n}")}));
        desk.ok("UpdateService", json!({"service": "web", "forceNewDeployment": true}));
        desk.ok("UpdateService", json!({"service": "web", "forceNewDeployment": true}));
        let group = json!({"autoScalingGroupArn": format!("n{n}"), "managedScaling": {"status": "DISABLED"}});
        desk.ok("CreateCapacityProvider", json!({"name": format!("n{n}"), "autoScalingGroupProvider": group}));
        let strategy = json!([{"capacityProvider": "hosts", "weight": 1}]);
        desk.ok(
            "RunTask",
            json!({"cluster": "waiting", "taskDefinition": "plain", "count": 10, "capacityProviderStrategy": strategy}),
        );
    }
    stage
}

/// The pages of a list of that size, from a token on.
fn walk(desk: &mut Desk, list: &List, size: usize, mut token: Value) -> Vec<Value> {
    let mut all = Vec::new();
    loop {
        let mut input = asked(list, &json!({ "maxResults": size }));
        if token.is_string() {
            input["nextToken"] = token;
        }
        let page = desk.ok(list.operation, input);
        let items = page[list.member].as_array().unwrap();
        assert!(items.len() <= size, "{}: a page of {}", list.operation, items.len());
        all.extend(items.iter().cloned());
        token = page["nextToken"].clone();
        if !token.is_string() {
            return all;
        }
        assert_eq!(items.len(), size, "{}: a page before the last is full", list.operation);
    }
}

#[test]
fn every_list_is_whole_in_pages_of_any_size_and_none_is_larger() {
    let mut stage = full();
    for list in lists() {
        let desk = &mut stage.desk;
        let plain = desk.ok(list.operation, asked(&list, &json!({})));
        assert_eq!(plain[list.member].as_array().unwrap().len(), list.page, "{}", list.operation);
        assert!(plain["nextToken"].is_string(), "{}: there is more than a page", list.operation);
        let whole = walk(desk, &list, list.most, Value::Null);
        assert!(whole.len() > list.page, "{}", list.operation);
        for size in [1, 3, 7] {
            assert_eq!(walk(desk, &list, size, Value::Null), whole, "{} by {size}", list.operation);
        }
        for (n, item) in whole.iter().enumerate() {
            assert!(!whole[..n].contains(item), "{}: {item} twice", list.operation);
        }
    }
}

#[test]
fn tokens_are_for_their_list_alone_and_bounds_are_kept() {
    let mut stage = full();
    let token = |stage: &mut Stage, list: &List| {
        let page = stage.desk.ok(list.operation, asked(list, &json!({"maxResults": 2})));
        page["nextToken"].as_str().unwrap().to_owned()
    };
    let tokens: Vec<String> = lists().iter().map(|list| token(&mut stage, list)).collect();
    for (n, list) in lists().iter().enumerate() {
        let own = &tokens[n];
        let mut odd = vec![String::new(), "x".to_owned(), "00".repeat(16), own[2..].to_owned(), format!("{own}00")];
        odd.push(own.replace(&own[..2], if own.starts_with("00") { "01" } else { "00" }));
        odd.push("0".repeat(5_000));
        odd.extend(tokens.iter().enumerate().filter(|(other, _)| *other != n).map(|(_, token)| token.clone()));
        for odd in odd {
            let refused = stage.desk.refused(list.operation, asked(list, &json!({ "nextToken": odd })));
            assert_eq!(
                refused,
                ("InvalidParameterException".to_owned(), "Invalid token".to_owned()),
                "{} {odd}",
                list.operation
            );
        }
        if !list.other.is_null() {
            let mut other = asked(list, &list.other);
            other["nextToken"] = json!(own);
            assert_eq!(stage.desk.refused(list.operation, other).1, "Invalid token", "{}", list.operation);
        }
        // The size of a page is nothing that a token is for.
        stage.desk.ok(list.operation, asked(list, &json!({"nextToken": own, "maxResults": 1})));
        let most = i64::try_from(list.most).unwrap();
        for size in [0, -1, most + 1, i64::from(i32::MAX)] {
            if (list.operation, size) == ("ListAccountSettings", 0) {
                continue;
            }
            let (code, words) = stage.desk.refused(list.operation, asked(list, &json!({ "maxResults": size })));
            let wanted = format!("maxResults must be between 1 and {most}, got {size}");
            assert_eq!((code.as_str(), words), ("InvalidParameterException", wanted), "{}", list.operation);
        }
    }
}

#[test]
fn what_stays_is_listed_once_whatever_comes_and_goes_between_pages() {
    let mut stage = full();
    let before: Vec<(Vec<Value>, Vec<Value>, Value)> = lists()
        .iter()
        .map(|list| {
            let whole = walk(&mut stage.desk, list, list.most, Value::Null);
            let first = stage.desk.ok(list.operation, asked(list, &json!({"maxResults": 5})));
            (whole, first[list.member].as_array().unwrap().clone(), first["nextToken"].clone())
        })
        .collect();
    let desk = &mut stage.desk;
    let (services, instances) = (desk.ok("ListServices", json!({})), desk.ok("ListContainerInstances", json!({})));
    let tasks = desk.ok("ListTasks", json!({"cluster": "waiting"}));
    for n in [2, 4, 5, 7, 9] {
        desk.ok("DeleteCluster", json!({"cluster": format!("n{n:03}")}));
        desk.ok("CreateCluster", json!({"clusterName": format!("n{n:03}x")}));
        desk.ok("DeregisterTaskDefinition", json!({"taskDefinition": format!("n{n:03}:1")}));
        desk.ok("DeleteDaemonTaskDefinition", json!({"daemonTaskDefinition": format!("n{n:03}:1")}));
        desk.ok("DeleteService", json!({"service": services["serviceArns"][n], "force": true}));
        desk.service(0, json!({"serviceName": format!("n{n}x")}));
        let gone = &instances["containerInstanceArns"][n + 20];
        desk.ok("DeregisterContainerInstance", json!({"containerInstance": gone, "force": true}));
        desk.ok("StopTask", json!({"cluster": "waiting", "task": tasks["taskArns"][n]}));
        desk.ok("DeleteCapacityProvider", json!({"capacityProvider": format!("n{n}")}));
    }
    for (list, (whole, first, token)) in lists().iter().zip(before) {
        let rest = walk(desk, list, 5, token);
        let now = walk(desk, list, list.most, Value::Null);
        let shown: Vec<Value> = first.into_iter().chain(rest).collect();
        for stayed in whole.iter().filter(|item| now.contains(item)) {
            let times = shown.iter().filter(|item| *item == stayed).count();
            assert_eq!(times, 1, "{}: {stayed}", list.operation);
        }
        for item in &shown {
            assert!(whole.contains(item) || now.contains(item), "{}: {item} never was", list.operation);
        }
    }
}

#[test]
fn services_and_instances_are_listed_by_what_they_show() {
    let mut stage = Stage::new();
    let arns = |desk: &mut Desk, filter: Value| -> Vec<String> {
        let listed = desk.ok("ListServices", filter);
        let names = listed["serviceArns"].as_array().unwrap().iter().map(|arn| text(arn, ""));
        names.map(|arn| arn.rsplit('/').next().unwrap().to_owned()).collect()
    };
    let desk = &mut stage.desk;
    desk.ok("CreateService", json!({"serviceName": "d", "taskDefinition": "plain", "schedulingStrategy": "DAEMON"}));
    desk.ok("CreateService", json!({"serviceName": "e", "taskDefinition": "plain", "desiredCount": 0}));
    for (filter, wanted) in [
        (json!({}), vec!["d", "draining", "e", "sets", "web"]),
        (json!({"schedulingStrategy": "DAEMON"}), vec!["d"]),
        (json!({"schedulingStrategy": "REPLICA"}), vec!["draining", "e", "sets", "web"]),
        (json!({"launchType": "EC2"}), vec!["d", "e"]),
        (json!({"launchType": "EC2", "schedulingStrategy": "REPLICA"}), vec!["e"]),
        (json!({"launchType": "FARGATE"}), vec!["draining", "web"]),
        (json!({"launchType": "EXTERNAL"}), vec![]),
        (json!({"launchType": "MANAGED_INSTANCES"}), vec![]),
    ] {
        assert_eq!(arns(desk, filter.clone()), wanted, "{filter}");
    }
    // A set that takes over gives its service a launch type; one that goes is listed no more.
    let set = stage.names["set"].clone();
    let desk = &mut stage.desk;
    desk.ok("UpdateServicePrimaryTaskSet", json!({"cluster": "default", "service": "sets", "primaryTaskSet": set}));
    assert_eq!(arns(desk, json!({"launchType": "FARGATE"})), ["draining", "sets", "web"]);
    desk.ok("DeleteService", json!({"service": "e"}));
    desk.pass(100);
    assert_eq!(arns(desk, json!({"launchType": "EC2"})), ["d"]);
    desk.ok("CreateService", json!({"serviceName": "e", "taskDefinition": "plain", "desiredCount": 0}));
    assert_eq!(arns(desk, json!({"launchType": "EC2"})), ["d", "e"]);
    let instances = |desk: &mut Desk, status: &str| {
        let listed = desk.ok("ListContainerInstances", json!({ "status": status }));
        listed["containerInstanceArns"].as_array().unwrap().clone()
    };
    let (host, other) = (stage.names["instance"].clone(), stage.names["versioned"].clone());
    let desk = &mut stage.desk;
    assert_eq!(instances(desk, "ACTIVE").len(), 2);
    desk.ok("UpdateContainerInstancesState", json!({"containerInstances": [host], "status": "DRAINING"}));
    assert_eq!((instances(desk, "ACTIVE"), instances(desk, "DRAINING")), (vec![json!(other)], vec![json!(host)]));
    desk.ok("DeregisterContainerInstance", json!({"containerInstance": other}));
    assert_eq!((instances(desk, "ACTIVE"), instances(desk, "REGISTERING")), (vec![], vec![]));
}
