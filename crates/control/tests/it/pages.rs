//! Pages of lists: whole, in order and without a gap, whatever comes and goes between them.

use crate::{Desk, text};
use serde_json::json;

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
