//! Starts that cannot go well say so in one line and leave nothing; stops that are gentle leave the tasks alone.

use crate::faults::serve;
use crate::tasks::{WAIT, shell};
use crate::world::{Gantry, patient};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// Runs a server that must fail at once; what it said.
fn fails(gantry: &Gantry, arguments: &[&str]) -> String {
    let begun = Instant::now();
    let done = gantry.cli(arguments);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success(), "{arguments:?} succeeded: {said}");
    assert!(begun.elapsed() < patient(Duration::from_secs(5)), "at once, not after {:?}", begun.elapsed());
    assert!(!said.contains("panicked"), "{said}");
    let last = said.lines().last().unwrap_or_default().to_owned();
    assert!(last.starts_with("gantry: "), "{said}");
    last
}

const UP: [&str; 3] = ["up", "--listen", "127.0.0.1:0"];

#[test]
fn a_file_in_the_place_of_the_data_directory() {
    let gantry = Gantry::new();
    fs::write(gantry.data_dir(), "in the way").expect("a file");
    let said = fails(&gantry, &UP);
    assert!(said.contains("cannot use the data directory") && said.contains("--data-dir"), "{said}");
    assert_eq!(fs::read_to_string(gantry.data_dir()).expect("still there"), "in the way");
    fs::remove_file(gantry.data_dir()).expect("remove");
    gantry.take_down_nothing();
}

#[test]
fn a_data_directory_that_cannot_be_written() {
    let gantry = Gantry::new();
    fs::create_dir_all(gantry.data_dir()).expect("a directory");
    let mount = |arguments: &[&str]| {
        let mut mount = Command::new("mount");
        assert!(mount.args(arguments).arg(gantry.data_dir()).status().expect("mount").success());
    };
    // Root writes wherever the file system lets it: it must be the file system that does not.
    mount(&["-t", "tmpfs", "-o", "ro", "tmpfs"]);
    let said = fails(&gantry, &UP);
    let unmounted = Command::new("umount").arg(gantry.data_dir()).status().expect("umount");
    assert!(unmounted.success());
    assert!(said.contains("Read-only file system") && said.contains("--data-dir"), "{said}");
    gantry.take_down_nothing();
}

#[test]
fn a_second_start_says_who_is_there() {
    let gantry = Gantry::up();
    let said = fails(&gantry, &UP);
    assert!(said.contains("in use") && said.contains(&gantry.pid("up").to_string()), "{said}");
    let said = fails(&gantry, &["node"]);
    assert!(said.contains("in use") && said.contains(&gantry.pid("up").to_string()), "{said}");
    gantry.take_down();
}

#[test]
fn an_address_that_is_taken() {
    let (gantry, other) = (Gantry::up(), Gantry::new());
    let said = fails(&other, &["up", "--listen", &gantry.signer.authority]);
    assert!(said.contains("cannot listen on") && said.contains("--listen"), "{said}");
    other.take_down();
    gantry.take_down();
}

#[test]
fn region_and_account_are_fixed_at_the_first_start() {
    let mut gantry = Gantry::up();
    gantry.kill("up");
    let said = fails(&gantry, &["up", "--listen", "127.0.0.1:0", "--region", "eu-west-1"]);
    assert!(said.contains("--region us-east-1"), "{said}");
    let said = fails(&gantry, &["up", "--listen", "127.0.0.1:0", "--account-id", "123456789012"]);
    assert!(said.contains("--account-id 000000000000"), "{said}");
    gantry.start("up");
    gantry.take_down();
}

/// SIGTERM to the server is not the end of the tasks, and `down` without --purge keeps the state.
#[test]
fn tasks_outlive_a_gentle_stop_and_end_with_down() {
    let mut gantry = Gantry::new();
    // After `down` its range is anybody's: one that no other test chooses.
    gantry.node_flags = vec!["--vpc-cidr", "10.213.0.0/16"];
    gantry.start("up");
    gantry.load("busybox");
    let task = gantry.task("steady", &[shell("main", WAIT)]);
    gantry.listening(&task);
    let before = gantry.processes(&task);
    gantry.terminate("up");
    assert_eq!(gantry.processes(&task), before);
    gantry.start("up");
    assert_eq!(gantry.running(&task)["containers"][0]["lastStatus"], "RUNNING");
    assert_eq!(gantry.processes(&task), before, "the same processes as before");
    let down = gantry.cli(&["down"]);
    assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
    gantry.collect("up");
    gantry.host_is_clean();
    gantry.start("up");
    let stopped = gantry.stopped(&task);
    assert_eq!(stopped["containers"][0]["exitCode"], 0, "{stopped:#}");
    gantry.take_down();
}

/// A service replaces what is stopped under it, for as long as its server lives.
#[test]
fn down_does_not_wait_for_what_a_service_starts_anew() {
    let gantry = Gantry::up();
    let definition = gantry.register("web", &[shell("main", WAIT)]);
    serve(&gantry, &definition);
    let task = gantry.run(&definition, 1).remove(0);
    gantry.listening(&task);
    let begun = Instant::now();
    gantry.take_down();
    // `down` gives up on tasks that do not stop after 35 s, and a slower machine must not hide that it did.
    assert!(begun.elapsed() < Duration::from_secs(30), "it took {:?}", begun.elapsed());
}
