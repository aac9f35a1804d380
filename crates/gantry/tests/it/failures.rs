//! Tasks that cannot start or end badly: what the user is told, in ECS's words.

use crate::registry::{Registry, free_authority};
use crate::tasks::{container, shell};
use crate::world::Gantry;
use serde_json::{Value, json};

fn reason(task: &Value) -> String {
    task["stoppedReason"].as_str().expect("a reason").to_owned()
}

#[test]
fn images_that_cannot_be_pulled() {
    let gantry = Gantry::up();
    let registry = Registry::start(&gantry.directory);
    registry.push("busybox", "team/app", "1");
    let unknown = format!("{}/team/app:2", registry.authority);
    let refused = format!("{}/team/app:1", free_authority());
    for (family, image, words) in [("unknown", unknown, "manifest unknown"), ("refused", refused, "refused")] {
        let task = gantry.ended(family, &[json!({ "name": "main", "image": image })]);
        assert_eq!(task["stopCode"], "TaskFailedToStart", "{task:#}");
        let reason = reason(&task);
        assert!(reason.contains("CannotPullContainerError"), "{reason}");
        assert!(reason.to_lowercase().contains(words), "the registry's words: {reason}");
        assert!(container(&task, "main").get("exitCode").is_none(), "nothing ran: {task:#}");
        gantry.gone(task["taskArn"].as_str().expect("an ARN"));
    }
    gantry.take_down();
}

#[test]
fn an_image_comes_from_a_registry() {
    let gantry = Gantry::up();
    let registry = Registry::start(&gantry.directory);
    registry.push("busybox", "team/app", "1");
    let image = format!("{}/team/app:1", registry.authority);
    let made = json!({ "name": "main", "image": image, "command": ["sh", "-c", "exit 7"] });
    let task = gantry.ended("pulled", &[made]);
    assert_eq!(container(&task, "main")["exitCode"], 7, "{task:#}");
    assert!(task["pullStartedAt"].is_number() && task["pullStoppedAt"].is_number(), "{task:#}");
    let digest = container(&task, "main")["imageDigest"].as_str().expect("a digest").to_owned();
    assert!(digest.starts_with("sha256:"), "{digest}");
    let listed = gantry.cli(&["image", "ls", "--output", "json"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains(&digest));
    gantry.take_down();
}

#[test]
fn too_much_memory_ends_a_container() {
    let gantry = Gantry::up();
    let mut hungry = shell("main", "exec dd if=/dev/zero of=/dev/null bs=256M");
    hungry["memory"] = json!(32);
    let task = gantry.ended("hungry", &[hungry]);
    let main = container(&task, "main");
    assert_eq!(main["exitCode"], 137, "{task:#}");
    assert_eq!(main["reason"], "OutOfMemoryError: Container killed due to memory usage");
    assert_eq!(
        (&task["stopCode"], reason(&task).as_str()),
        (&json!("EssentialContainerExited"), "Essential container in task exited")
    );
    gantry.take_down();
}

#[test]
fn a_command_that_does_not_exist() {
    let gantry = Gantry::up();
    let task =
        gantry.ended("nothing", &[json!({ "name": "main", "image": "busybox", "command": ["/no/such/program"] })]);
    assert_eq!(task["stopCode"], "TaskFailedToStart", "{task:#}");
    let told = container(&task, "main")["reason"].as_str().expect("a reason").to_owned();
    assert!(told.starts_with("CannotStartContainerError"), "{told}");
    assert!(told.contains("/no/such/program"), "{told}");
    assert!(reason(&task).contains("CannotStartContainerError"), "{task:#}");
    gantry.take_down();
}

#[test]
fn exit_codes_are_kept() {
    let gantry = Gantry::up();
    for code in [0, 1, 42, 255] {
        let task = gantry.ended("exits", &[shell("main", &format!("exit {code}"))]);
        assert_eq!(container(&task, "main")["exitCode"], code, "{task:#}");
        assert_eq!(task["stopCode"], "EssentialContainerExited");
        assert_eq!(reason(&task), "Essential container in task exited");
    }
    gantry.take_down();
}
