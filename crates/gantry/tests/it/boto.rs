//! boto3: the scripts in `tests/clients`, each against a deployment of its own. What they check is said in them.

use crate::clients::{python, python_with};
use crate::world::Gantry;
use std::path::Path;

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

#[test]
fn values_of_parameters_and_secrets_are_kept_sealed() {
    const WORD: &str = "nobody-reads-hunter2";
    let mut gantry = Gantry::new();
    gantry.start("control");
    for script in ["ssm.py", "secrets_manager.py"] {
        python_with(&gantry, script, &[WORD]);
    }
    let backup = gantry.directory.join("kept.tar");
    let told = gantry.cli(&["backup", &backup.to_string_lossy()]);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let past = gantry.cli(&["history", "-n", "1000"]);
    assert!(!holds(&past.stdout, WORD), "the history tells a value");
    gantry.kill("control");
    assert_eq!(files_with(&gantry.directory, WORD), Vec::<String>::new());
    let (key, aside) = (gantry.data_dir().join("secrets.json"), gantry.directory.join("aside.json"));
    std::fs::rename(&key, &aside).expect("a key");
    let told = gantry.cli(&["control", "--listen", "127.0.0.1:0"]);
    assert!(!told.status.success() && holds(&told.stderr, "secrets.json is missing"), "{told:?}");
    assert!(!key.exists(), "a new key hides that the old one is lost");
    std::fs::rename(&aside, &key).expect("a key");
    // Once where it was, and once from the backup.
    gantry.start("control");
    python_with(&gantry, "secrets_kept.py", &[WORD]);
    gantry.kill("control");
    gantry.keep_in(gantry.directory.join("restored"));
    let told = gantry.cli(&["restore", &backup.to_string_lossy()]);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    gantry.start("control");
    python_with(&gantry, "secrets_kept.py", &[WORD]);
    python_with(&gantry, "ssm_kept.py", &[WORD]);
    gantry.take_down();
}

#[test]
fn what_has_tags_is_found_and_a_vpc_tells_its_attributes() {
    let mut gantry = Gantry::new();
    gantry.start("control");
    python(&gantry, "tagging.py");
    gantry.take_down();
}

fn holds(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

/// Files below a directory that hold a word.
fn files_with(directory: &Path, word: &str) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let (directories, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let here = files.iter().filter(|path| std::fs::read(path).is_ok_and(|bytes| holds(&bytes, word)));
    let here = here.map(|path| path.display().to_string());
    here.chain(directories.iter().flat_map(|below| files_with(below, word))).collect()
}
