//! Files as drivers write them, and files that nobody should have written.

use super::*;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// As the driver's tool writes it, for two GPUs, cut short.
const DRIVERS: &str = r#"---
cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
    - name: "0"
      containerEdits:
        deviceNodes:
            - path: /dev/nvidia0
            - path: /dev/dri/card1
              fileMode: 438
              permissions: rwm
              gid: 44
    - name: "1"
      containerEdits:
        deviceNodes:
            - path: /dev/nvidia1
              major: 195
              minor: 1
    - name: GPU-8dcd6a29-0000-0000-0000-000000000000
      containerEdits:
        deviceNodes:
            - path: /dev/nvidia0
            - path: /dev/dri/card1
              fileMode: 438
              permissions: rwm
              gid: 44
    - name: GPU-b1d20a3f-0000-0000-0000-000000000000
      containerEdits:
        deviceNodes:
            - path: /dev/nvidia1
              major: 195
              minor: 1
    - name: all
      containerEdits:
        deviceNodes:
            - path: /dev/nvidia0
            - path: /dev/nvidia1
containerEdits:
    env:
        - NVIDIA_VISIBLE_DEVICES=void
    deviceNodes:
        - path: /dev/nvidiactl
    hooks:
        - hookName: createContainer
          path: /usr/bin/nvidia-cdi-hook
          args:
            - nvidia-cdi-hook
            - update-ldcache
            - --folder
            - /usr/lib/x86_64-linux-gnu
          env:
            - NVIDIA_CTK_DEBUG=false
    mounts:
        - hostPath: /usr/bin/nvidia-smi
          containerPath: /usr/bin/nvidia-smi
          options:
            - ro
            - nosuid
            - nodev
            - rbind
            - rprivate
"#;

/// Two directories that go with the test.
struct Places([PathBuf; 2]);

impl Places {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let own = format!("gantry-cdi-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let places = Self(["etc", "run"].map(|name| std::env::temp_dir().join(&own).join(name)));
        places.0.iter().for_each(|place| fs::create_dir_all(place).expect("a directory"));
        places
    }

    fn put(&self, place: usize, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.0[place].join(name), text).expect("a file");
    }

    fn gpus(&self) -> (Vec<String>, Vec<String>) {
        gpus(&self.0)
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        let _ = self.0[0].parent().map(fs::remove_dir_all);
    }
}

fn plain(name: &str, node: &str) -> String {
    let device = format!(r#"{{"name": "{name}", "containerEdits": {{"deviceNodes": [{{"path": "{node}"}}]}}}}"#);
    format!(r#"{{"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": [{device}]}}"#)
}

#[test]
fn a_drivers_file_is_understood_and_each_gpu_counted_once() {
    let places = Places::new();
    places.put(0, "nvidia.yaml", DRIVERS);
    let (names, problems) = places.gpus();
    let uuids = ["GPU-8dcd6a29-0000-0000-0000-000000000000", "GPU-b1d20a3f-0000-0000-0000-000000000000"];
    assert_eq!((names, problems), (uuids.map(str::to_owned).to_vec(), Vec::new()));
    let edits = edits(&places.0, &uuids.map(str::to_owned)).expect("edits");
    let nodes: Vec<&str> = edits.device_nodes.iter().map(|node| node.path.as_str()).collect();
    assert_eq!(nodes, ["/dev/nvidiactl", "/dev/nvidia0", "/dev/dri/card1", "/dev/nvidia1"]);
    assert_eq!((edits.mounts.len(), edits.hooks.len()), (1, 1), "what is for all is there once");
    let hook = edits.hooks[0].document();
    assert_eq!((&hook["timeout"], &hook["args"][1]), (&30.into(), &"update-ldcache".into()));
    assert_eq!((edits.device_nodes[2].file_mode, edits.device_nodes[2].gid), (Some(0o666), Some(44)));
    // By its number it is had too, and goes over the wire whole.
    let one = super::edits(&places.0, &["1".to_owned()]).expect("edits");
    let again: Edits = serde_json::from_str(&serde_json::to_string(&one).expect("text")).expect("edits");
    assert_eq!(again, one);
}

#[test]
fn the_last_directory_wins_and_others_kinds_are_passed_by() {
    let places = Places::new();
    places.put(0, "a.json", plain("0", "/dev/old"));
    places.put(0, "b.json", plain("1", "/dev/other"));
    places.put(0, "b2.json", plain("1", "/dev/second"));
    places.put(1, "c.json", plain("0", "/dev/new"));
    places.put(1, "d.json", plain("2", "/dev/x").replace("nvidia.com/gpu", "example.com/fpga"));
    places.put(1, "e.txt", "no specification");
    let (names, problems) = places.gpus();
    assert_eq!(names, ["0", "1"]);
    assert!(problems.len() == 1 && problems[0].contains("both have the device \"1\""), "{problems:?}");
    let path = |name: &str| edits(&places.0, &[name.to_owned()]).expect("edits").device_nodes[0].path.clone();
    assert_eq!((path("0"), path("1")), ("/dev/new".to_owned(), "/dev/other".to_owned()));
    let missing = edits(&places.0, &["2".to_owned()]).expect_err("no such GPU");
    assert!(missing.contains("describes the GPU 2") && missing.contains("/etc"), "{missing}");
    assert_eq!(gpus(&["/nowhere/at/all".into()]), (Vec::new(), Vec::new()));
    assert_eq!(edits(&[], &[]), Ok(Edits::default()));
}

#[test]
fn hostile_files_are_named_and_stop_nothing() {
    let places = Places::new();
    places.put(0, "good.json", plain("0", "/dev/good"));
    let bomb =
        "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c]\n";
    let deep = "[".repeat(100_000);
    let texts: Vec<(&str, Vec<u8>)> = vec![
        ("empty.json", Vec::new()),
        ("empty.yaml", Vec::new()),
        ("torn.json", plain("1", "/dev/x").into_bytes()[..40].to_vec()),
        ("letters.yaml", vec![0xff, 0xfe, 0x00, 0x80]),
        ("bomb.yaml", bomb.into()),
        ("deep.json", deep.clone().into()),
        ("deep.yaml", deep.into()),
        ("list.yaml", "- a\n- b\n".into()),
        ("version.json", plain("1", "/dev/x").replace("0.6.0", "7.0.0").into()),
        ("member.json", plain("1", "/dev/x").replace("\"devices\"", "\"surprise\": 1, \"devices\"").into()),
        ("large.json", vec![b' '; FILE_BYTES_MAX as usize + 1]),
    ];
    for (name, text) in &texts {
        places.put(0, name, text);
    }
    fs::create_dir(places.0[0].join("directory.json")).expect("a directory");
    std::os::unix::fs::symlink("/dev/zero", places.0[0].join("endless.yaml")).expect("a link");
    std::os::unix::fs::symlink("/nowhere", places.0[0].join("broken.yaml")).expect("a link");
    let (names, problems) = places.gpus();
    assert_eq!(names, ["0"]);
    for name in texts.iter().map(|(name, _)| *name).chain(["directory.json", "endless.yaml", "broken.yaml"]) {
        assert!(problems.iter().any(|problem| problem.contains(&format!("/{name}: "))), "{name}: {problems:?}");
    }
}

#[test]
fn devices_that_cannot_be_given_are_not_registered() {
    let places = Places::new();
    let edits = [
        ("net", r#""netDevices": [{"hostInterfaceName": "a", "name": "b"}]"#, "netDevices is not supported"),
        ("rdt", r#""intelRdt": {"closID": "x"}"#, "intelRdt is not supported"),
        ("late", r#""hooks": [{"hookName": "poststop", "path": "/bin/x"}]"#, "hook \"poststop\" (/bin/x)"),
        ("path", r#""hooks": [{"hookName": "createContainer", "path": "bin/x"}]"#, "not an absolute path"),
        ("time", r#""hooks": [{"hookName": "createContainer", "path": "/x", "timeout": 0}]"#, "from 1 to 600"),
        ("node", r#""deviceNodes": [{"path": "/dev/../etc/passwd"}]"#, "not below /dev"),
        ("etc", r#""deviceNodes": [{"path": "/etc/x"}]"#, "not below /dev"),
        ("kind", r#""deviceNodes": [{"path": "/dev/x", "type": "s"}]"#, "no known type"),
        ("access", r#""deviceNodes": [{"path": "/dev/x", "permissions": "rwx"}]"#, "not of r, w and m"),
        ("number", r#""deviceNodes": [{"path": "/dev/x", "major": -1}]"#, "no valid number"),
        ("mount", r#""mounts": [{"hostPath": "/x", "containerPath": "../x"}]"#, "is not absolute"),
        ("source", r#""mounts": [{"hostPath": "x", "containerPath": "/x"}]"#, "source \"x\""),
        ("proc", r#""mounts": [{"hostPath": "/x", "containerPath": "/x", "type": "proc"}]"#, "of type \"proc\""),
        ("env", r#""env": ["A"]"#, "no environment variable"),
    ];
    let device =
        |(name, edits, _): &(&str, &str, &str)| format!(r#"{{"name": "{name}", "containerEdits": {{{edits}}}}}"#);
    let mut devices: Vec<String> = edits.iter().map(device).collect();
    devices.push(r#"{"name": "a b", "containerEdits": {}}"#.to_owned());
    devices.push(r#"{"name": "x,y", "containerEdits": {}}"#.to_owned());
    devices.push(r#"{"name": "bare", "containerEdits": {}}"#.to_owned());
    devices.push(r#"{"name": "bare", "containerEdits": {}}"#.to_owned());
    let text = format!(r#"{{"cdiVersion": "1.0.0", "kind": "nvidia.com/gpu", "devices": [{}]}}"#, devices.join(","));
    places.put(1, "odd.json", text);
    let (names, problems) = places.gpus();
    assert_eq!(names, ["bare"]);
    for (name, _, why) in edits {
        let said = problems.iter().find(|problem| problem.contains(&format!("device \"{name}\" is not used")));
        assert!(said.is_some_and(|said| said.contains(why)), "{name}: {problems:?}");
    }
    assert!(problems.iter().filter(|problem| problem.contains("no name of a device")).count() == 2, "{problems:?}");
    // What is wrong for all of a file takes all of its devices.
    let all = plain("9", "/dev/x").replace("\"devices\"", "\"containerEdits\": {\"intelRdt\": {}}, \"devices\"");
    places.put(1, "all.json", all);
    let (names, problems) = places.gpus();
    assert_eq!(names, ["bare"]);
    assert!(problems.iter().any(|problem| problem.contains("its devices are not used")), "{problems:?}");
}
