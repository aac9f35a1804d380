//! Limits: what the groups say, and what the kernel does about it.

use crate::world::{World, patient};
use node::hands::{ContainerSpec, TaskLimits, Ulimit};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn read(groups: &[PathBuf], files: &[&str]) -> String {
    let found = groups
        .iter()
        .flat_map(|group| files.iter().map(|file| group.join(file)))
        .find_map(|path| fs::read_to_string(path).ok());
    found.unwrap_or_else(|| panic!("none of {files:?} in {groups:?}")).trim().to_owned()
}

#[test]
fn limits_are_in_the_groups() {
    let mut world = World::new();
    let limits = TaskLimits { cpu_units: Some(512), memory_bytes: Some(256 << 20) };
    let task = world.task(limits);
    let spec = ContainerSpec {
        memory_bytes: Some(64 << 20),
        memory_reservation_bytes: Some(32 << 20),
        cpu_shares: Some(256),
        ulimits: vec![Ulimit { name: "nofile".into(), soft: 100, hard: 200 }],
        sysctls: vec![("net.core.somaxconn".into(), "77".into())],
        shm_bytes: Some(1 << 20),
        ..world.spec(&["sh", "-c", "ulimit -n; ulimit -Hn; cat /proc/sys/net/core/somaxconn; grep /dev/shm /proc/mounts; ls /sys/fs/cgroup; sleep 60"])
    };
    world.start(&task, spec);
    world.started(&task, "main");
    let group = world.groups(&format!("{task}/c"));
    assert_eq!(read(&group, &["memory.limit_in_bytes", "memory.max"]), (256 << 20).to_string());
    let quota = read(&group, &["cpu.cfs_quota_us", "cpu.max"]);
    assert!(quota == "50000" || quota == "50000 100000", "{quota}");
    assert_eq!(read(&group, &["pids.max"]), "4096");
    let own = world.groups(&format!("{task}/c/0"));
    assert_eq!(read(&own, &["memory.limit_in_bytes", "memory.max"]), (64 << 20).to_string());
    assert_eq!(read(&own, &["memory.soft_limit_in_bytes", "memory.low"]), (32 << 20).to_string());
    assert!(["256", "10"].contains(&read(&own, &["cpu.shares", "cpu.weight"]).as_str()));
    let swap = read(&own, &["memory.memsw.limit_in_bytes", "memory.swap.max"]);
    assert!(swap == (64 << 20).to_string() || swap == "0", "{swap}");
    let deadline = Instant::now() + patient(Duration::from_secs(5));
    while world.printed(&task, "main").lines().count() < 5 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let text = world.printed(&task, "main");
    assert!(text.starts_with("100\n200\n77\n"), "{text}");
    assert!(text.contains("size=1024k"), "{text}");
    // In every hierarchy the container is in its own group, alone once its maker has gone, and the supervisor in its own.
    let deadline = Instant::now() + patient(Duration::from_secs(5));
    for group in own {
        let pids = || fs::read_to_string(group.join("cgroup.procs")).expect("procs");
        while pids().lines().count() != 1 {
            assert!(Instant::now() < deadline, "{group:?}: {}", pids());
        }
    }
    let supervisor = world.supervisor_pid(&task).to_string();
    for group in world.groups(&format!("{task}/supervisor")) {
        assert_eq!(fs::read_to_string(group.join("cgroup.procs")).expect("procs").trim(), supervisor);
    }
}

#[test]
fn too_much_memory_is_told_as_such() {
    let mut world = World::new();
    let hungry = "dd if=/dev/zero of=/dev/null bs=64M count=1";
    let spec = ContainerSpec { memory_bytes: Some(16 << 20), ..world.spec(&["sh", "-c", hungry]) };
    let (_, exit) = world.run(spec);
    assert!(exit.out_of_memory, "{exit:?}");
    let direct: Vec<&str> = hungry.split(' ').collect();
    let spec = ContainerSpec { memory_bytes: Some(16 << 20), ..world.spec(&direct) };
    let (_, exit) = world.run(spec);
    assert_eq!((exit.code, exit.out_of_memory), (Some(137), true));
}

#[test]
fn a_tasks_limit_holds_for_its_containers_together() {
    let mut world = World::new();
    let task = world.task(TaskLimits { cpu_units: None, memory_bytes: Some(24 << 20) });
    world.start(&task, world.spec(&["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]));
    let exit = world.exited(&task, "main");
    assert_eq!((exit.code, exit.out_of_memory), (Some(137), true));
}
