//! The network on a real kernel, as root, in a network and a mount namespace of its own: the machine it runs on is left
//! untouched. This file runs the cases; it judges nothing itself.

mod cases;
mod docker;
mod flows;
mod kernel;
mod names;
mod ports;
mod world;

use std::ffi::OsString;
use std::process::{Command, ExitCode};
use std::time::Instant;

const INSIDE: &str = "GANTRY_NETWORK_TEST_INSIDE";

type Case = (&'static str, fn());

const CASES: &[Case] = &[
    ("two_tasks_reach_each_other_and_the_host_reaches_them", cases::two_tasks_reach_each_other),
    ("ten_tasks_listen_on_port_80", cases::ten_tasks_listen_on_port_80),
    ("egress_is_masqueraded_and_nobody_outside_gets_in", cases::egress_is_masqueraded),
    ("a_task_cannot_pretend_another_address", cases::spoofing_is_stopped),
    ("the_resolver_answers_and_forwards", names::the_resolver_answers_and_forwards),
    ("the_resolver_is_restarted_when_it_dies", names::the_resolver_is_restarted),
    ("detach_leaves_nothing", cases::detach_leaves_nothing),
    ("attach_is_idempotent_and_refuses_what_it_must", cases::attach_is_idempotent),
    ("sweep_removes_strangers", cases::sweep_removes_strangers),
    ("two_nodes_live_side_by_side", cases::two_nodes_side_by_side),
    ("remove_everything_leaves_nothing", cases::remove_everything_leaves_nothing),
    ("flows_survive_the_death_of_the_node", flows::flows_survive_the_death_of_the_node),
    ("a_dropping_forward_chain_is_opened", docker::a_dropping_forward_chain_is_opened),
    ("docker_user_is_preferred_and_cleaned", docker::docker_user_is_preferred_and_cleaned),
    ("a_published_port_is_reached_from_everywhere", ports::a_published_port_is_reached_from_everywhere),
    ("a_bridged_container_is_kept_where_it_belongs", ports::a_bridged_container_is_kept_where_it_belongs),
    ("ports_are_chosen_and_refused", ports::ports_are_chosen_and_refused),
    ("published_ports_survive_the_node_and_a_flush", ports::published_ports_survive_the_node_and_a_flush),
    ("a_udp_flow_finds_the_next_container", ports::a_udp_flow_finds_the_next_container),
    ("nothing_is_a_loopback", ports::nothing_is_a_loopback),
    ("two_nodes_publish_side_by_side", ports::two_nodes_publish_side_by_side),
    ("a_taken_range_is_refused", cases::a_taken_range_is_refused),
    ("how_long_it_takes", flows::how_long_it_takes),
];

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next().as_deref().and_then(|a| a.to_str()) {
        Some("resolver") => return network::resolver_main(args),
        Some("hold") => return flows::hold(args),
        Some("--list") => {
            CASES.iter().for_each(|(name, _)| println!("{name}: test"));
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    if !rustix::process::geteuid().is_root() {
        println!("not run: these cases need root");
        return ExitCode::SUCCESS;
    }
    let Some(root) = std::env::var_os(INSIDE) else { return enter() };
    let filters: Vec<OsString> =
        std::env::args_os().skip(1).filter(|a| !a.to_string_lossy().starts_with('-')).collect();
    world::prepare(root.into());
    let mut failed = 0;
    for (name, case) in CASES {
        if !filters.is_empty() && !filters.iter().any(|f| name.contains(&*f.to_string_lossy())) {
            continue;
        }
        let began = Instant::now();
        let passed = std::panic::catch_unwind(case).is_ok();
        println!("case {name} ... {} ({:.2?})", if passed { "ok" } else { "FAILED" }, began.elapsed());
        failed += u32::from(!passed);
        world::clean();
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The same program again, within its own namespaces.
fn enter() -> ExitCode {
    let this = std::env::current_exe().expect("a running program has a path");
    let root = std::env::temp_dir().join(format!("gantry-network-{}", std::process::id()));
    std::fs::create_dir_all(&root).expect("a temporary directory");
    let status = Command::new("unshare")
        .args(["--net", "--mount", "--propagation", "private", "--"])
        .arg(this)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, &root)
        .status()
        .expect("unshare is part of util-linux");
    // What was mounted on it has gone with the mount namespace.
    std::fs::remove_dir(&root).expect("an empty directory");
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
