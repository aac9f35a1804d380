//! boto3: the scripts in `tests/clients`, each against a deployment of its own. What they check is said in them.

use crate::clients::python;
use crate::world::Gantry;

#[test]
fn a_task_lives_and_dies() {
    let gantry = Gantry::up();
    python(&gantry, "life.py");
    gantry.take_down();
}

#[test]
fn the_network_and_the_caller_are_described() {
    let gantry = Gantry::up();
    python(&gantry, "network.py");
    gantry.take_down();
}

#[test]
fn pages_tokens_and_exceptions() {
    let gantry = Gantry::up();
    python(&gantry, "requests.py");
    gantry.take_down();
}

#[test]
fn a_service_is_kept_rolled_and_deleted() {
    let gantry = Gantry::up();
    python(&gantry, "services.py");
    gantry.take_down();
}

#[test]
fn containers_are_checked_ordered_and_share_volumes() {
    let gantry = Gantry::up();
    python(&gantry, "containers.py");
    gantry.take_down();
}

#[test]
fn a_header_asks_what_a_call_would_bring_about() {
    let gantry = Gantry::up();
    python(&gantry, "plans.py");
    gantry.take_down();
}

#[test]
fn every_member_of_a_task_definition_comes_back() {
    let mut gantry = Gantry::new();
    gantry.start("control");
    python(&gantry, "definitions.py");
    gantry.take_down();
}

#[test]
fn every_member_of_a_service_comes_back_or_is_refused() {
    let mut gantry = Gantry::new();
    gantry.start("control");
    python(&gantry, "service_members.py");
    gantry.take_down();
}

#[test]
fn every_waiter_and_paginator_is_driven() {
    let mut gantry = Gantry::new();
    gantry.start("control");
    python(&gantry, "driven.py");
    gantry.take_down();
}

#[test]
fn every_noun_is_called_and_refuses_as_it_declares() {
    let gantry = Gantry::up();
    python(&gantry, "nouns.py");
    gantry.take_down();
}

#[test]
fn what_is_not_placed_is_explained() {
    let gantry = Gantry::up();
    python(&gantry, "explain.py");
    gantry.take_down();
}

#[test]
fn tasks_of_a_capacity_provider_wait_for_room() {
    let mut gantry = Gantry::new();
    gantry.node_flags = vec!["--capacity-provider", "blue"];
    gantry.start("up");
    gantry.load("busybox");
    python(&gantry, "capacity.py");
    let listed = gantry.cli(&["ps"]);
    let listed = String::from_utf8_lossy(&listed.stdout);
    assert!(listed.contains("RESOURCE:MEMORY: "), "{listed}");
    gantry.take_down();
}

#[test]
fn deployments_fail_fast_stop_pause_and_go_back() {
    let gantry = Gantry::up();
    python(&gantry, "deployments.py");
    gantry.take_down();
}

#[test]
fn task_sets_share_a_service_and_one_takes_over() {
    let gantry = Gantry::up();
    python(&gantry, "task_sets.py");
    gantry.take_down();
}

#[test]
fn roles_policies_and_instance_profiles_are_kept() {
    let mut gantry = Gantry::new();
    gantry.start("control");
    python(&gantry, "iam.py");
    gantry.kill("control");
    gantry.start("control");
    python(&gantry, "iam_kept.py");
    gantry.take_down();
}
