//! Worlds of many seeds, the same world twice, and scripts with their transcripts.

use sim::{Options, Planted};

#[test]
fn five_hundred_worlds_keep_every_invariant() {
    let workers = std::thread::available_parallelism().map_or(2, |cores| cores.get() as u64);
    let world = |seed| sim::run(seed, &Options::default());
    let broken = std::thread::scope(|scope| {
        let share = |worker: u64| move || (worker..500).step_by(workers as usize).find_map(|seed| world(seed).err());
        let running: Vec<_> = (0..workers).map(|worker| scope.spawn(share(worker))).collect();
        running.into_iter().filter_map(|worker| worker.join().unwrap()).min_by_key(|broken| broken.seed)
    });
    if let Some(broken) = broken {
        panic!("{broken}");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [2, 11] {
        let run = || sim::run(seed, &Options::default()).map(|outcome| (outcome.trace_hash, outcome.events));
        assert_eq!(run(), run(), "seed {seed}");
    }
    let hash = |seed| sim::run(seed, &Options::default()).map(|outcome| outcome.trace_hash);
    assert_ne!(hash(2), hash(3));
}

/// Seeds within which a planted bug must be found.
const PLANTED_SEEDS: u64 = 40;

#[test]
fn every_planted_bug_is_found() {
    for (planted, name) in Planted::ALL {
        let options = Options { planted: Some(planted), ..Options::default() };
        let found = (0..PLANTED_SEEDS).find_map(|seed| sim::run(seed, &options).err());
        let found = found.unwrap_or_else(|| panic!("nobody finds {name} within {PLANTED_SEEDS} seeds"));
        println!("{name}: seed {}: {}: {}", found.seed, found.invariant, found.detail);
    }
}

macro_rules! scenarios {
    ($($name:ident: $file:literal;)*) => {
        $(
            #[test]
            fn $name() {
                let script = include_str!(concat!("../scenarios/", $file, ".txt"));
                let expected = include_str!(concat!("../scenarios/", $file, ".out"));
                compare(&sim::play(script).unwrap_or_else(|error| panic!("{error}")), expected);
            }
        )*
    };
}

scenarios! {
    a_task_lives: "life";
    a_node_dies_before_it_acknowledges: "node-dies-before-it-acknowledges";
    the_control_plane_dies_before_it_replies: "control-dies-before-it-replies";
    a_host_reboots: "host-reboots";
    a_host_drains: "host-drains";
    a_host_is_given_up: "host-is-given-up";
    a_breaker_rolls_back: "breaker-rolls-back";
    a_hook_waits: "hook-waits";
    a_task_waits_for_room: "task-waits-for-room";
    a_daemon_follows_hosts: "daemon-follows-hosts";
    zones_are_evened_out: "zones-are-evened-out";
    task_sets_share_a_service: "task-sets-share-a-service";
}

fn compare(played: &str, expected: &str) {
    let pairs = played.lines().zip(expected.lines()).enumerate();
    for (number, (played, expected)) in pairs {
        let number = number + 1;
        assert_eq!(played, expected, "line {number}; if it is right, write it anew: cargo xtask sim --bless");
    }
    assert_eq!(played.lines().count(), expected.lines().count(), "cargo xtask sim --bless");
}
