//! What a container is and is not allowed, read from inside it and from the host's cgroups.

use crate::host;
use crate::tasks::{SERVE, address, detail, id, page, shell};
use crate::world::Gantry;
use serde_json::json;

/// Docker's fourteen capabilities.
const CAPABILITIES: &str = "00000000a80425fb";

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in:\n{status}")).trim()
}

#[test]
fn a_container_is_confined() {
    let gantry = Gantry::up();
    let script = "\
        cat /proc/self/status > /www/status
        cat /proc/1/cmdline | tr '\\0' ' ' > /www/first
        (cat /proc/kcore | head -c 1 | wc -c; cat /proc/keys /proc/timer_list /proc/sysrq-trigger 2>/dev/null | wc -c) > /www/masked
        (echo x > /proc/sys/kernel/hostname) 2> /www/sys || true
        (echo 1 > /sys/kernel/mm/ksm/run) 2> /www/sysfs || true
        (mount -t tmpfs none /mnt || mkdir /mnt; mount -t tmpfs none /mnt) 2> /www/mount || true
        unshare -n true 2> /www/unshare || true
        (mknod /dev/disk b 254 0 && head -c 1 /dev/disk) > /www/disk 2>&1 || true
        readlink /proc/self/ns/net > /www/net; readlink /proc/self/ns/pid > /www/pid; readlink /proc/self/ns/mnt > /www/mnt
        hostname > /www/hostname; ls /dev > /www/dev; id > /www/id; ulimit -n > /www/files";
    let (_, address) = gantry.server("confined", script);
    let read = |name: &str| page(&address, &format!("/{name}"));
    let status = read("status");
    assert_eq!(field(&status, "Seccomp"), "2");
    assert_eq!(field(&status, "NoNewPrivs"), "1");
    for set in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(field(&status, set), CAPABILITIES, "{set}");
    }
    assert!(read("first").starts_with("sh -c mkdir"), "its own processes alone: {}", read("first"));
    assert_eq!(read("masked"), "0\n0\n", "masked files are empty");
    assert!(read("sys").contains("Read-only file system"), "{}", read("sys"));
    assert!(read("sysfs").contains("Read-only file system"), "{}", read("sysfs"));
    assert!(read("mount").contains("denied") || read("mount").contains("not permitted"), "{}", read("mount"));
    assert!(read("unshare").contains("not permitted"), "{}", read("unshare"));
    assert!(read("disk").contains("not permitted"), "{}", read("disk"));
    for kind in ["net", "pid", "mnt"] {
        let host = std::fs::read_link(format!("/proc/self/ns/{kind}")).expect("a namespace");
        assert_ne!(read(kind).trim(), host.to_string_lossy(), "a {kind} namespace of its own");
    }
    assert!(!read("dev").lines().any(|device| device.starts_with("vd") || device.starts_with("sd")), "{}", read("dev"));
    gantry.take_down();
}

#[test]
fn a_container_has_its_address_route_and_resolver() {
    let gantry = Gantry::up();
    let script = "ip -4 -o addr show dev eth0 > /www/addr; ip route > /www/route; ip link show eth0 > /www/link
        cat /etc/resolv.conf > /www/resolv; cat /etc/hosts > /www/hosts; ls /sys/class/net > /www/links";
    let (task, address) = gantry.server("wired", script);
    let seen = gantry.describe(&task);
    let read = |name: &str| page(&address, &format!("/{name}"));
    assert!(read("addr").contains(&format!("inet {address}/")), "{}", read("addr"));
    assert!(read("route").lines().any(|line| line.starts_with("default via ")), "{}", read("route"));
    assert!(read("link").contains(&detail(&seen, "macAddress")), "{}", read("link"));
    let vpc = gantry.ec2("DescribeVpcs");
    let range = vpc.split("<cidrBlock>").nth(1).and_then(|rest| rest.split('/').next()).expect("a range");
    let resolver = format!("nameserver {}", range.replace(".0.0", ".0.2"));
    assert!(read("resolv").lines().any(|line| line == resolver), "{resolver} in:\n{}", read("resolv"));
    assert!(read("hosts").contains(&address), "{}", read("hosts"));
    assert!(read("links").lines().all(|link| link == "lo" || link == "eth0"), "{}", read("links"));
    gantry.take_down();
}

#[test]
fn limits_are_the_kernels() {
    let gantry = Gantry::up();
    let mut main = shell("main", &format!("mkdir -p /www; {SERVE}"));
    main["memory"] = json!(100);
    main["cpu"] = json!(99);
    let task = gantry.task("limited", &[main, shell("other", "exec sleep 1000")]);
    gantry.running(&task);
    let group = format!("gantry/{}/{}/c", gantry.node_id(), id(&task));
    let memory = |group: &str| host::group_file(group, &["memory.limit_in_bytes", "memory.max"]);
    assert_eq!(memory(&group), Some((512 * 1024 * 1024).to_string()), "the task's");
    assert_eq!(memory(&format!("{group}/0")), Some((100 * 1024 * 1024).to_string()), "the container's");
    let quota = host::group_file(&group, &["cpu.cfs_quota_us", "cpu.max"]).expect("a quota");
    assert!(quota == "25000" || quota == "25000 100000", "a quarter of a core: {quota}");
    let shares = host::group_file(&format!("{group}/0"), &["cpu.shares"]);
    assert!(shares.is_none_or(|shares| shares == "99"), "the container's share");
    gantry.take_down();
}

#[test]
fn members_that_confine_further() {
    let gantry = Gantry::up();
    let mut main = shell("main", "touch /x 2> /tmp/no; exit $?");
    main["readonlyRootFilesystem"] = json!(true);
    let task = gantry.ended("readonly", &[main]);
    assert_ne!(task["containers"][0]["exitCode"], 0, "{task:#}");
    let script = format!(
        "mkdir -p /tmp/www; cat /proc/self/status > /tmp/www/status; id > /tmp/www/id; ulimit -n > /tmp/www/files; pwd > /tmp/www/pwd; {}",
        SERVE.replace("/www", "/tmp/www").replace("-p 80", "-p 8080")
    );
    let mut main = shell("main", &script);
    main["user"] = json!("www-data");
    main["workingDirectory"] = json!("/tmp");
    main["ulimits"] = json!([{ "name": "nofile", "softLimit": 123, "hardLimit": 456 }]);
    main["linuxParameters"] = json!({ "capabilities": { "drop": ["ALL"] } });
    let task = gantry.task("dropped", &[main]);
    let address = address(&gantry.running(&task));
    let read = |name: &str| {
        let authority = format!("{address}:8080");
        crate::world::eventually("page", crate::world::PATIENCE, || {
            let answer = crate::http::exchange(&authority, "GET", name, &[], &[]).map_err(|error| error.to_string())?;
            if answer.status == 200 { Ok(answer.text()) } else { Err(answer.text()) }
        })
    };
    assert!(read("/id").starts_with("uid=33(www-data) gid=33(www-data)"), "{}", read("/id"));
    assert_eq!(read("/files").trim(), "123");
    assert_eq!(read("/pwd").trim(), "/tmp");
    assert_eq!(field(&read("/status"), "CapBnd"), "0000000000000000");
    gantry.take_down();
}
