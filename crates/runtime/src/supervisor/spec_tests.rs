//! Tests of the specification builder.

use super::*;

fn host() -> Host {
    let mut capabilities: Vec<String> = CAPABILITIES_DEFAULT.iter().map(|c| c.to_string()).collect();
    capabilities.extend(["CAP_SYS_ADMIN".to_owned(), "CAP_SYS_PTRACE".to_owned()]);
    Host { capabilities, hard_limits: BTreeMap::from([("nofile".to_owned(), 20_000)]), unified: false }
}

fn user(uid: u32) -> User {
    User { uid, gid: 5, groups: vec![6], home: "/h".into() }
}

fn built(spec: &ContainerSpec, image: &ImageConfig, uid: u32) -> Result<Value, Failure> {
    build(&Setup {
        spec,
        image,
        user: &user(uid),
        host: &host(),
        devices: &Devices::default(),
        root: Path::new("/r"),
        volumes: Path::new("/volumes"),
        network: Path::new("/n"),
        cgroup: "/gantry/x",
        cgroup_view: None,
    })
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn image() -> ImageConfig {
    ImageConfig {
        environment: strings(&["PATH=/bin", "A=1", "B=2"]),
        entry_point: strings(&["/entry"]),
        command: strings(&["arg"]),
        working_directory: "srv".into(),
        ..ImageConfig::default()
    }
}

#[test]
fn entry_point_and_command_combine_like_docker() {
    let arguments = |entry: Option<&[&str]>, command: Option<&[&str]>| {
        let spec = ContainerSpec {
            entry_point: entry.map(strings),
            command: command.map(strings),
            ..ContainerSpec::default()
        };
        super::arguments(&spec, &image()).ok()
    };
    assert_eq!(arguments(None, None), Some(strings(&["/entry", "arg"])));
    assert_eq!(arguments(None, Some(&["x"])), Some(strings(&["/entry", "x"])));
    assert_eq!(arguments(Some(&["/e"]), None), Some(strings(&["/e"])));
    assert_eq!(arguments(Some(&[]), Some(&["/c", "d"])), Some(strings(&["/c", "d"])));
    assert_eq!(arguments(Some(&[]), None), None, "nothing to run");
}

#[test]
fn the_tasks_environment_wins_and_keeps_its_place() {
    let spec = ContainerSpec {
        environment: vec![("A".into(), "9".into()), ("C".into(), "x=y".into())],
        ..ContainerSpec::default()
    };
    let document = built(&spec, &image(), 0).expect("spec");
    assert_eq!(document["process"]["env"], json!(["PATH=/bin", "HOME=/h", "A=9", "B=2", "C=x=y"]));
    assert_eq!(document["process"]["cwd"], "/srv");
}

#[test]
fn capabilities_are_dockers_and_root_only() {
    let spec = ContainerSpec {
        capabilities_add: strings(&["sys_ptrace"]),
        capabilities_drop: strings(&["MKNOD"]),
        ..ContainerSpec::default()
    };
    let document = built(&spec, &image(), 0).expect("spec");
    let held: BTreeSet<String> =
        serde_json::from_value(document["process"]["capabilities"]["effective"].clone()).expect("set");
    assert_eq!(held.len(), 14);
    assert!(held.contains("CAP_SYS_PTRACE") && !held.contains("CAP_MKNOD"));
    let document = built(&spec, &image(), 7).expect("spec");
    assert_eq!(document["process"]["capabilities"]["effective"], json!([]));
    assert_eq!(document["process"]["noNewPrivileges"], true);
}

#[test]
fn what_the_host_lacks_is_said() {
    let spec = ContainerSpec { capabilities_add: strings(&["NO_SUCH"]), ..ContainerSpec::default() };
    let failure = built(&spec, &image(), 0).expect_err("refused");
    assert!(failure.to_string().starts_with("CannotCreateContainerError: "), "{failure}");
    let limit = |hard| ContainerSpec {
        ulimits: vec![Ulimit { name: "nofile".into(), soft: 10, hard }],
        ..ContainerSpec::default()
    };
    let failure = built(&limit(20_001), &image(), 0).expect_err("refused");
    assert!(failure.to_string().starts_with("CannotStartContainerError: ulimit nofile"), "{failure}");
    let document = built(&limit(20_000), &image(), 0).expect("spec");
    assert_eq!(document["process"]["rlimits"][0]["hard"], 20_000);
}

#[test]
fn privileged_lifts_masks_filter_and_limits_of_capability() {
    let spec = ContainerSpec { privileged: true, ..ContainerSpec::default() };
    let document = built(&spec, &image(), 0).expect("spec");
    assert_eq!(document["linux"]["maskedPaths"], json!([]));
    assert!(document["linux"].get("seccomp").is_none());
    assert!(document["process"].get("noNewPrivileges").is_none());
    assert_eq!(document["process"]["capabilities"]["bounding"].as_array().map(Vec::len), Some(16));
}

#[test]
fn the_document_is_a_valid_specification() {
    let spec = ContainerSpec {
        tmpfs: vec![("/scratch".into(), 4096, strings(&["exec", "mode=700"]))],
        sysctls: vec![("net.core.somaxconn".into(), "9".into())],
        read_only_root: true,
        ..ContainerSpec::default()
    };
    let document = built(&spec, &image(), 0).expect("spec");
    let options = &document["mounts"].as_array().expect("mounts").last().expect("tmpfs")["options"];
    assert_eq!(*options, json!(["nosuid", "nodev", "exec", "mode=700", "size=4096"]));
    let parsed: libcontainer::oci_spec::runtime::Spec = serde_json::from_value(document).expect("an OCI spec");
    assert_eq!(parsed.root().as_ref().and_then(|root| root.readonly()), Some(true));
    assert!(parsed.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()).is_some());
}

#[test]
fn a_tmpfs_stays_inside() {
    for path in ["scratch", "/a/../b"] {
        let spec = ContainerSpec { tmpfs: vec![(path.into(), 1, vec![])], ..ContainerSpec::default() };
        assert!(built(&spec, &image(), 0).is_err(), "{path}");
    }
}
