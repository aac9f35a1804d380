//! What happens to a container while it runs and after it: checks inside it, another start in its place, volumes.

use crate::world::{World, patient};
use node::hands::{Command, ContainerSpec, Event, Mount, MountSource, TaskKey, TaskLimits};
use std::fs;
use std::time::{Duration, Instant};

impl World {
    fn check(&mut self, task: &TaskKey, command: &[&str]) -> i32 {
        let command = command.iter().map(|text| (*text).to_owned()).collect();
        let (task, container) = (task.clone(), "main".to_owned());
        self.perform(Command::CheckHealth { task: task.clone(), container, command, timeout_ms: 1_000 });
        self.wait("HealthChecked", |event| match event {
            Event::HealthChecked { task: of, code, .. } if *of == task => Some(*code),
            _ => None,
        })
    }

    /// Runs a check that leaves text in /tmp/said, which every user may write.
    fn said(&mut self, task: &TaskKey, script: &str) -> String {
        let script = format!("({script}) > /tmp/said 2>&1; cp /tmp/said /proc/1/fd/1; true");
        assert_eq!(self.check(task, &["/bin/sh", "-c", &script]), 0);
        let until = Instant::now() + patient(Duration::from_secs(5));
        loop {
            let text = self.printed(task, "main");
            if !text.is_empty() || Instant::now() > until {
                return text;
            }
        }
    }
}

#[test]
fn a_check_runs_inside_its_container_and_is_confined_like_it() {
    let mut world = World::new();
    let task = world.task(TaskLimits { cpu_units: None, memory_bytes: Some(256 << 20) });
    let spec = ContainerSpec {
        environment: vec![("TASK".into(), "yes".into())],
        ulimits: vec![node::hands::Ulimit { name: "nofile".into(), soft: 99, hard: 99 }],
        memory_bytes: Some(64 << 20),
        ..world.spec(&["sh", "-c", "echo here > /was; exec sleep 60"])
    };
    world.start(&task, spec);
    world.started(&task, "main");
    assert_eq!(world.check(&task, &["true"]), 0);
    assert_eq!(world.check(&task, &["false"]), 1);
    assert_eq!(world.check(&task, &["nosuch"]), 127);
    let began = Instant::now();
    assert!((0..20).all(|_| world.check(&task, &["true"]) == 0));
    println!("a check takes {:.1} ms", began.elapsed().as_secs_f64() * 1000.0 / 20.0);
    let began = Instant::now();
    assert_eq!(world.check(&task, &["sh", "-c", "sleep 30 & sleep 30"]), 137, "its time was up");
    assert!(began.elapsed() < patient(Duration::from_secs(3)));
    let facts = "cat /was; pwd; echo $TASK $IMAGE; hostname; id -u; ulimit -n; tr '\\0' ' ' < /proc/1/cmdline; echo; \
                 grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status; ls /proc/self/fd | wc -l; \
                 ps | grep -c '[s]leep 30'; mount -t tmpfs x /mnt 2>&1 | grep -c denied";
    let text = world.said(&task, facts);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["here", "/made/here"], "{text}");
    assert!(lines[2].starts_with("yes"), "{text}");
    assert_eq!(lines[3..6], ["box", "0", "99"], "{text}");
    assert_eq!(lines[6].trim_end(), "sleep 60", "{text}");
    for line in ["CapEff:\t00000000a80425fb", "CapBnd:\t00000000a80425fb", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    // Standard ones and the directory itself; nothing of the killed check is left; mounting is refused.
    assert_eq!(lines[lines.len() - 3..], ["4", "0", "1"], "{text}");
    // It counts for the container: a process of a check is in the container's groups.
    let before = world.processes(&task).len();
    let command = ["sleep", "0.5"].map(str::to_owned).to_vec();
    world.perform(Command::CheckHealth { task: task.clone(), container: "main".into(), command, timeout_ms: 5_000 });
    let until = Instant::now() + patient(Duration::from_secs(5));
    while world.processes(&task).len() <= before {
        assert!(Instant::now() < until, "the check is in no group of the task");
    }
    world.release(&task);
    world.assert_nothing_left(&task);
}

#[test]
fn a_check_runs_as_the_containers_user_and_not_in_what_has_ended() {
    let mut world = World::new();
    let task = world.task(TaskLimits::default());
    let spec = ContainerSpec { user: Some("web".into()), ..world.spec(&["sh", "-c", "echo up; exec sleep 60"]) };
    world.start(&task, spec);
    world.started(&task, "main");
    assert_eq!(world.check(&task, &["sh", "-c", "test $(id -u):$(id -g) = 1001:1002 && test $HOME = /home"]), 0);
    assert_eq!(world.check(&task, &["sh", "-c", "grep -q CapEff:.0000000000000000 /proc/self/status"]), 0);
    assert_eq!(world.check(&task, &["sh", "-c", "test \"$(id -G)\" = '1002 1003'"]), 0);
    world.perform(Command::StopContainer { task: task.clone(), container: "main".into(), force: true });
    assert_eq!(world.exited(&task, "main").code, Some(137));
    let command = vec!["true".to_owned()];
    world.perform(Command::CheckHealth { task: task.clone(), container: "main".into(), command, timeout_ms: 1_000 });
    world.release(&task);
    assert_eq!(world.seen(|event| matches!(event, Event::HealthChecked { .. })), 0);
}

#[test]
fn a_container_is_started_again_on_what_it_wrote() {
    let mut world = World::new();
    let task = world.task(TaskLimits::default());
    let script = "echo run >> /runs; wc -l < /runs; hostname; exit 3";
    for attempt in 0..3 {
        world.start(&task, ContainerSpec { attempt, ..world.spec(&["sh", "-c", script]) });
        world.started(&task, "main");
        assert_eq!(world.exited(&task, "main").code, Some(3));
        let path = world.data.join(format!("tasks/{task}/exit-main.json"));
        let record: serde_json::Value = serde_json::from_slice(&fs::read(path).expect("record")).expect("json");
        assert_eq!(record["attempt"], attempt);
    }
    assert_eq!(world.printed(&task, "main"), "1\nbox\n2\nbox\n3\nbox\n");
    // Said again, it is told and not done again.
    world.start(&task, ContainerSpec { attempt: 2, ..world.spec(&["sh", "-c", script]) });
    assert_eq!(world.exited(&task, "main").code, Some(3));
    assert_eq!(world.printed(&task, "main").lines().count(), 6);
    world.release(&task);
    world.assert_nothing_left(&task);
}

#[test]
fn volumes_are_shared_kept_and_never_lead_out_of_a_container() {
    let mut world = World::new();
    let task = world.task(TaskLimits::default());
    let host = world.data.join("given/deeper");
    let mount = |source: MountSource, path: &str, read_only| Mount { source, path: path.into(), read_only };
    let own = || MountSource::Task("own".into());
    let given = || MountSource::Host(host.to_str().expect("text").into());
    // The image has a link /out to /, and content where the volume is first seen.
    let script =
        "cat /etc/second; ls -d /etc/x; echo one > /own/file; echo two > /given/file; echo three > /etc/x/link";
    let first = ContainerSpec { mounts: vec![mount(own(), "/etc/x/../own", false)], ..world.spec(&["true"]) };
    world.start(&task, ContainerSpec { name: "bad".into(), ..first });
    assert!(world.failed(&task, "bad").reason.expect("reason").contains("is not absolute"));
    let first = ContainerSpec {
        name: "first".into(),
        mounts: vec![mount(own(), "/own", false), mount(given(), "/given", false), mount(own(), "/etc/x", false)],
        ..world.spec(&["sh", "-c", script])
    };
    world.start(&task, first);
    assert_eq!(world.exited(&task, "first").code, Some(0), "{}", world.printed(&task, "first"));
    assert_eq!(fs::read_to_string(host.join("file")).expect("a file of the host"), "two\n");
    let second = ContainerSpec {
        name: "second".into(),
        mounts: vec![mount(own(), "/elsewhere", true), mount(given(), "/given", true)],
        ..world.spec(&["sh", "-c", "cat /elsewhere/file /elsewhere/link; echo x > /elsewhere/no; echo x > /given/no"])
    };
    world.start(&task, second);
    world.exited(&task, "second");
    let text = world.printed(&task, "second");
    assert!(text.contains("one\nthree\n"), "{text}");
    assert_eq!(text.matches("Read-only file system").count(), 2, "{text}");
    // A link that a container has made leads into its own root, not to the host's.
    let plain = world.spec(&["sh", "-c", "ls /out/escape-*; ln -s ../../../../../../tmp /out"]);
    let link = |attempt, mounts| ContainerSpec { name: "link".into(), attempt, mounts, ..plain.clone() };
    let escape = format!("escape-{}", world.node_id);
    for mounts in [vec![], vec![mount(given(), &format!("/out/{escape}"), false)]] {
        world.start(&task, link(u32::from(!mounts.is_empty()), mounts));
        world.exited(&task, "link");
    }
    assert!(world.printed(&task, "link").contains("file\n"), "{}", world.printed(&task, "link"));
    assert!(!std::env::temp_dir().join(escape).exists());
    // A fresh volume begins with what the image has in its place, owner and mode included.
    let filled = ContainerSpec {
        name: "filled".into(),
        mounts: vec![mount(MountSource::Task("image".into()), "/etc", false)],
        ..world.spec(&["sh", "-c", "cat /etc/second; stat -c %a:%u /etc/passwd"])
    };
    world.start(&task, filled);
    assert_eq!(world.exited(&task, "filled").code, Some(0), "{}", world.printed(&task, "filled"));
    assert_eq!(world.printed(&task, "filled"), "second layer\n644:0\n");
    world.release(&task);
    assert!(!world.data.join(format!("tasks/{task}/volumes")).exists(), "the task's own volumes go with it");
    assert_eq!(fs::read_to_string(host.join("file")).expect("the host's own stays"), "two\n");
}

#[test]
fn names_and_memory_are_what_the_task_says() {
    let mut world = World::new();
    let spec = ContainerSpec {
        dns: vec!["10.1.2.3".parse().expect("address"), "10.1.2.4".parse().expect("address")],
        dns_search: vec!["one.test".into(), "two.test".into()],
        hosts: vec![("peer".into(), "10.0.0.9".into())],
        shm_bytes: Some(3 << 20),
        tmpfs: vec![("/scratch/deep".into(), 2 << 20, vec!["exec".into(), "mode=1777".into()])],
        ..world.spec(&[
            "sh",
            "-c",
            "cat /etc/resolv.conf; hostname; tail -n 1 /etc/hosts; grep -E ' (/dev/shm|/scratch/deep) ' /proc/mounts",
        ])
    };
    let (text, _) = world.run(spec);
    assert!(text.starts_with("search one.test two.test\nnameserver 10.1.2.3\nnameserver 10.1.2.4\nbox\n"), "{text}");
    let lines: Vec<&str> = text.lines().skip(4).collect();
    assert_eq!(lines[0], "10.0.0.9\tpeer", "{text}");
    assert!(lines[1].contains("size=3072k") && lines[1].contains("noexec"), "{text}");
    assert!(lines[2].contains("size=2048k") && !lines[2].contains("noexec") && lines[2].contains("nosuid"), "{text}");
}
