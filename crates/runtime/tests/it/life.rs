//! Containers from start to end: programs, exit codes, output, users, confinement, stops.

use crate::world::{World, patient};
use node::hands::{Command, ContainerSpec, Event, TaskLimits};
use std::fs;
use std::time::{Duration, Instant};

#[test]
fn a_program_runs_and_its_end_is_told() {
    let mut world = World::new();
    let spec = world.spec(&["true"]);
    let (text, exit) = world.run(spec);
    assert_eq!((text.as_str(), exit.code, exit.out_of_memory), ("", Some(0), false));
    assert_eq!(exit.reason, None);
    assert_eq!(world.sh("exit 42").1.code, Some(42));
    let (text, exit) = world.sh("echo one; echo two >&2; printf three");
    assert_eq!(exit.code, Some(0));
    // Between the two streams there is no order.
    assert!(["one\n", "two\n", "three"].iter().all(|part| text.contains(part)), "{text:?}");
}

#[test]
fn the_end_is_recorded_before_it_is_told() {
    let mut world = World::new();
    let task = world.task(TaskLimits::default());
    world.start(&task, world.spec(&["false"]));
    let exit = world.exited(&task, "main");
    assert_eq!(exit.code, Some(1));
    let path = world.data.join(format!("tasks/{task}/exit-main.json"));
    let record: serde_json::Value = serde_json::from_slice(&fs::read(path).expect("record")).expect("json");
    assert_eq!(record["exit"]["code"], 1);
    assert_eq!(record["image_digest"], world.image.as_str());
    let id = record["runtime_id"].as_str().expect("id");
    assert!(id.starts_with(task.as_str()) && id.len() == 43, "{id}");
}

#[test]
fn image_and_task_settings_combine() {
    let mut world = World::new();
    let default = ContainerSpec { command: None, ..world.spec(&[]) };
    assert_eq!(world.run(default).0, "default command\n");
    let spec = ContainerSpec {
        entry_point: Some(vec!["sh".into(), "-c".into()]),
        command: Some(vec!["pwd; echo $IMAGE $BOTH $TASK $HOME; hostname; id -u; id -g; id -G".into()]),
        environment: vec![("BOTH".into(), "task".into()), ("TASK".into(), "yes".into())],
        user: Some("web".into()),
        ..world.spec(&[])
    };
    let (text, _) = world.run(spec);
    assert_eq!(text, "/made/here\nyes task yes /home\nbox\n1001\n1002\n1002 1003\n");
    let spec = ContainerSpec {
        user: Some("7:8".into()),
        working_directory: Some("/another/new".into()),
        ..world.spec(&["sh", "-c", "id -u; id -g; pwd"])
    };
    assert_eq!(world.run(spec).0, "7\n8\n/another/new\n");
    let (text, _) =
        world.sh("cat /etc/second /etc/resolv.conf /etc/hostname; ls /gone; grep localhost /etc/hosts | head -1");
    assert!(text.starts_with("second layer\nnameserver 172.31.0.2\nbox\n"), "{text}");
    assert!(text.contains("No such file") && text.contains("127.0.0.1\tlocalhost"), "{text}");
}

#[test]
fn what_cannot_run_says_why() {
    let mut world = World::new();
    let task = world.task(TaskLimits::default());
    let spec = |command: &[&str]| ContainerSpec {
        command: Some(command.iter().map(|c| c.to_string()).collect()),
        ..ContainerSpec::default()
    };
    let image = world.image.clone();
    let mut reason = |name: &str, spec: ContainerSpec| {
        let spec = ContainerSpec { name: name.into(), image_digest: image.clone(), ..spec };
        world.start(&task, spec);
        let exit = world.failed(&task, name);
        assert_eq!(exit.code, None);
        exit.reason.expect("a reason")
    };
    assert_eq!(
        reason("none", spec(&["nosuch"])),
        "CannotStartContainerError: exec: \"nosuch\": executable file not found in $PATH"
    );
    assert_eq!(
        reason("path", spec(&["/nosuch/program"])),
        "CannotStartContainerError: exec: \"/nosuch/program\": stat /nosuch/program: no such file or directory"
    );
    assert_eq!(
        reason("mode", spec(&["/notprogram"])),
        "CannotStartContainerError: exec: \"/notprogram\": permission denied"
    );
    let user = ContainerSpec { user: Some("nobody".into()), ..spec(&["true"]) };
    assert!(reason("user", user).starts_with("CannotStartContainerError: unable to find user nobody"));
    let limit = node::hands::Ulimit { name: "nofile".into(), soft: 1, hard: 1 << 40 };
    let limited = ContainerSpec { ulimits: vec![limit], ..spec(&["true"]) };
    let said = reason("limit", limited);
    assert!(said.starts_with("CannotStartContainerError: ulimit nofile") || said.contains("rlimit"), "{said}");
    let sysctl = ContainerSpec { sysctls: vec![("kernel.panic".into(), "1".into())], ..spec(&["true"]) };
    assert!(reason("sysctl", sysctl).starts_with("CannotCreateContainerError: "));
    world.start(&task, ContainerSpec { name: "image".into(), image_digest: "sha256:0".into(), ..spec(&["true"]) });
    assert!(world.failed(&task, "image").reason.expect("reason").contains("is not on this node"));
    // Failures leave nothing that stands in the way of the next container.
    world.start(&task, world.spec(&["true"]));
    assert_eq!(world.exited(&task, "main").code, Some(0));
}

#[test]
fn a_program_of_another_format_ends_with_its_reason_in_the_output() {
    let mut world = World::new();
    let spec = world.spec(&["/private"]);
    let (text, exit) = world.run(spec);
    assert_eq!(exit.code, Some(255));
    assert!(text.starts_with("exec /private: "), "{text}");
}

#[test]
fn confinement_is_dockers() {
    let mut world = World::new();
    let (text, _) = world.sh("grep -E 'Seccomp:|NoNewPrivs|CapEff|CapBnd' /proc/self/status");
    assert!(text.contains("Seccomp:\t2") && text.contains("NoNewPrivs:\t1"), "{text}");
    assert!(text.contains("CapEff:\t00000000a80425fb") && text.contains("CapBnd:\t00000000a80425fb"), "{text}");
    let (text, _) =
        world.sh("cat /proc/keys /proc/timer_list | head -c 10; ls /sys/firmware; touch /proc/sys/kernel/x /sys/x");
    assert!(text.contains("Read-only file system"), "{text}");
    assert!(!text.contains("acpi") && !text.contains("efi"), "masked: {text}");
    let (text, exit) = world.sh("mount -t tmpfs x /tmp; echo mount $?; unshare -n true; echo unshare $?");
    assert!(text.contains("mount 1") && text.contains("unshare 1"), "{text} {exit:?}");
    let (text, _) = world.sh(
        "mknod /tmp/disk b 254 0 && echo made; head -c 1 /tmp/disk; mknod /dev/n c 1 3; echo x > /dev/n && echo wrote",
    );
    assert!(text.contains("made") && text.contains("wrote"), "{text}");
    assert!(text.contains("Operation not permitted"), "a disk was opened: {text}");
    let (text, _) = world.sh("ls /dev /dev/pts /dev/shm /dev/mqueue /dev/fd/ > /dev/null && echo devices; cat /proc/1/comm; ls -d /proc/[0-9]* | grep -c .");
    assert!(text.starts_with("devices\nsh\n"), "{text}");
    let spec = ContainerSpec {
        privileged: true,
        ..world.spec(&[
            "sh",
            "-c",
            "grep -E 'Seccomp:|CapEff' /proc/self/status; mount -t tmpfs x /tmp && echo mounted",
        ])
    };
    let (text, _) = world.run(spec);
    assert!(text.contains("Seccomp:\t0") && text.contains("mounted"), "{text}");
    let spec = ContainerSpec { user: Some("web".into()), ..world.spec(&["grep", "CapEff", "/proc/self/status"]) };
    assert_eq!(world.run(spec).0, "CapEff:\t0000000000000000\n");
}

#[test]
fn roots_may_be_read_only_and_tmpfs_are_writable() {
    let mut world = World::new();
    let spec = ContainerSpec {
        read_only_root: true,
        tmpfs: vec![("/scratch".into(), 1 << 20, vec!["mode=1777".into()])],
        ..world.spec(&[
            "sh",
            "-c",
            "touch /x; touch /scratch/x && echo written; dd if=/dev/zero of=/scratch/y bs=1M count=2",
        ])
    };
    let (text, _) = world.run(spec);
    assert!(text.contains("/x: Read-only file system") && text.contains("written"), "{text}");
    assert!(text.contains("No space left"), "{text}");
}

#[test]
fn a_stop_is_asked_for_then_forced() {
    let mut world = World::new();
    let task = world.task(TaskLimits::default());
    let polite = world.spec(&["sh", "-c", "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done"]);
    let deaf = world.spec(&["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"]);
    let quit = ContainerSpec {
        stop_signal: Some("SIGQUIT".into()),
        ..world.spec(&["sh", "-c", "trap 'exit 8' QUIT; echo ready; while :; do sleep 0.05; done"])
    };
    for (name, spec) in [("polite", polite), ("deaf", deaf), ("quit", quit)] {
        world.start(&task, ContainerSpec { name: name.into(), ..spec });
        world.started(&task, name);
    }
    let ready = Instant::now() + patient(Duration::from_secs(5));
    while !(world.printed(&task, "polite").contains("ready") && world.printed(&task, "quit").contains("ready")) {
        assert!(Instant::now() < ready, "not ready");
        std::thread::sleep(Duration::from_millis(5));
    }
    let stop =
        |container: &str, force| Command::StopContainer { task: task.clone(), container: container.into(), force };
    world.perform(stop("polite", false));
    world.perform(stop("quit", false));
    world.perform(stop("deaf", false));
    assert_eq!(world.exited(&task, "polite").code, Some(7));
    assert_eq!(world.exited(&task, "quit").code, Some(8));
    assert!(world.printed(&task, "polite").ends_with("bye\n"));
    std::thread::sleep(Duration::from_millis(100));
    world.perform(stop("deaf", true));
    assert_eq!(world.exited(&task, "deaf").code, Some(137));
}

#[test]
fn a_stop_before_the_start_is_not_lost() {
    let mut world = World::new();
    let task = world.task(TaskLimits::default());
    world.start(&task, world.spec(&["sleep", "60"]));
    world.perform(Command::StopContainer { task: task.clone(), container: "main".into(), force: true });
    assert_eq!(world.exited(&task, "main").code, Some(137));
}

#[test]
fn orders_may_be_said_again() {
    let mut world = World::new();
    let task = world.task(TaskLimits::default());
    world.supervise(&task, TaskLimits::default());
    world.start(&task, world.spec(&["sleep", "60"]));
    world.started(&task, "main");
    world.start(&task, world.spec(&["sleep", "60"]));
    world.started(&task, "main");
    // Supervisor and container; the process that made it is on its way out.
    let deadline = Instant::now() + patient(Duration::from_secs(5));
    while world.processes(&task).len() != 2 {
        assert!(Instant::now() < deadline, "{:?}", world.processes(&task));
    }
    world.release(&task);
    assert_eq!(world.exited(&task, "main").code, Some(137));
    world.release(&task);
    world.assert_nothing_left(&task);
    let never = world.key();
    world.release(&never);
    for task in [task, never] {
        world.perform(Command::Forget { task: task.clone() });
        world.wait("Forgotten", |event| matches!(event, Event::Forgotten { task: of } if *of == task).then_some(()));
        assert!(!world.data.join(format!("tasks/{task}")).exists());
    }
}

#[test]
fn much_output_arrives_whole() {
    let mut world = World::new();
    let (text, _) = world.sh("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done");
    assert_eq!(text.lines().count(), 20_000);
    assert!(text.ends_with("line 19999\n"));
}
