//! GPUs, as the files of the Container Device Interface describe them: here they are harmless devices under other names.

use crate::clients::python_with;
use crate::world::Gantry;
use std::fs;

/// As a driver's tool writes it: each GPU by its number and by its UUID.
const SPECIFICATION: &str = r#"---
cdiVersion: 0.7.0
kind: nvidia.com/gpu
devices:
    - name: "0"
      containerEdits: &first
        deviceNodes:
            - path: /dev/gpus/gpu0
              hostPath: /dev/full
              permissions: rw
            - path: /dev/gpus/control0
              hostPath: /dev/net/tun
        env:
            - GPU_FIRST=yes
    - name: "1"
      containerEdits: &second
        deviceNodes:
            - path: /dev/gpus/gpu1
              hostPath: /dev/random
              fileMode: 416
              gid: 4242
    - name: GPU-00000000-1111-2222-3333-444444444444
      containerEdits: *first
    - name: GPU-55555555-6666-7777-8888-999999999999
      containerEdits: *second
    - name: all
      containerEdits:
        deviceNodes:
            - path: /dev/gpus/gpu0
containerEdits:
    env:
        - NVIDIA_VISIBLE_DEVICES=void
        - GPU_DRIVER=1.2.3
    additionalGids:
        - 4242
    hooks:
        - hookName: createContainer
          path: /bin/sh
          args:
            - sh
            - @DIR@/hook.sh
            - made
          env:
            - PATH=/usr/bin:/bin
            - WORD=here
    mounts:
        - hostPath: @DIR@/driver
          containerPath: /opt/driver
          options:
            - ro
            - nosuid
            - nodev
            - rbind
            - rprivate
"#;

/// Finds the container's root as drivers' hooks do: through the bundle of the state that it is told.
const HOOK: &str = r#"state=$(cat)
bundle=$(printf %s "$state" | sed 's/.*"bundle": *"\([^"]*\)".*/\1/')
root=$(sed 's/.*"root":{[^}]*"path":"\([^"]*\)".*/\1/' "$bundle/config.json")
# The mounts of the container are there already, and its root is not yet the root.
test -e "$root/opt/driver/version" && test -e "$bundle/config.json" || exit 7
echo "$1 $WORD" > "$root/hooked"
"#;

#[test]
fn a_container_gets_the_gpus_that_it_asks_for_and_no_other() {
    let mut gantry = Gantry::new();
    let directory = gantry.directory.join("cdi");
    let driver = directory.join("driver");
    fs::create_dir_all(&driver).expect("a directory");
    let shown = directory.to_str().expect("text").to_owned();
    fs::write(directory.join("nvidia.yaml"), SPECIFICATION.replace("@DIR@", &shown)).expect("a specification");
    fs::write(directory.join("torn.json"), "{\"cdiVersion\": ").expect("a torn one");
    fs::write(directory.join("hook.sh"), HOOK).expect("a hook");
    fs::write(driver.join("version"), "1.2.3\n").expect("a file of the driver");
    let flag: &'static str = shown.clone().leak();
    gantry.node_flags = vec!["--cdi-dir", flag];
    gantry.start("up");
    gantry.load("busybox");
    let log = gantry.log("up");
    assert!(log.contains("torn.json: "), "what cannot be read is said:\n{log}");
    python_with(&gantry, "gpus.py", &[&shown]);
    gantry.take_down();
}
