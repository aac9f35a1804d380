//! Tasks, the host, the outside, and what is left afterwards.

use crate::kernel;
use crate::world::{
    Node, OUTSIDE, UPLINK, config, hear, in_namespace, interface, new_key, output, outside, patient, ping, root, run,
    serve, until,
};
use network::{Network, NetworkError};
use node::hands::Cidr;
use std::collections::BTreeSet;
use std::net::{TcpListener, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

const RANGE: &str = "172.31.0.0/16";

pub fn two_tasks_reach_each_other() {
    let node = Node::open("00000001", RANGE);
    let (one, two) = (node.attach(10), node.attach(11));
    two.serve(8080, "two");
    assert!(one.run(|| ping(two.address)), "task to task");
    assert!(one.run(|| ping(one.interface.gateway)), "task to its gateway");
    assert!(one.run(|| ping("127.0.0.1".parse().unwrap())), "the loopback is up");
    assert!(ping(one.address), "host to task");
    assert_eq!(one.run(|| hear(two.address, 8080)), Some(format!("two {}", one.address)), "with its own address");
    assert!(hear(two.address, 8080).unwrap().starts_with("two 169.254."), "the host, from its link");
    assert!(!one.run(|| ping(node.range.nth(999).unwrap())), "nobody has this address");
    let link = one.run(|| output("ip", &["-o", "link", "show", "eth0"]));
    assert!(link.contains("02:00:00:77:00:0a"), "{link}");
    let routes = one.run(|| output("ip", &["route"]));
    assert!(
        routes.contains("default via 172.31.0.1 dev eth0") && routes.contains("172.31.0.0/20 dev eth0"),
        "{routes}"
    );
    // A task reaches services of the host, as any neighbour does.
    serve(std::path::Path::new("/proc/self/ns/net"), 7000, "host");
    assert_eq!(one.run(|| hear(UPLINK, 7000)), Some(format!("host {}", one.address)));
}

pub fn ten_tasks_listen_on_port_80() {
    let node = Node::open("00000002", RANGE);
    let tasks: Vec<_> = (20..30).map(|n| node.attach(n)).collect();
    for (n, task) in tasks.iter().enumerate() {
        task.serve(80, &format!("task {n}"));
    }
    for (n, task) in tasks.iter().enumerate() {
        assert!(hear(task.address, 80).unwrap().starts_with(&format!("task {n} ")));
        let next = &tasks[(n + 1) % tasks.len()];
        let heard = task.run(|| hear(next.address, 80)).unwrap();
        assert_eq!(heard, format!("task {} {}", (n + 1) % tasks.len(), task.address));
    }
}

pub fn egress_is_masqueraded() {
    let node = Node::open("00000003", RANGE);
    let task = node.attach(10);
    serve(&outside(), 9000, "outside");
    assert_eq!(task.run(|| hear(OUTSIDE, 9000)), Some(format!("outside {UPLINK}")), "with the host's address");
    assert!(task.run(|| ping(OUTSIDE)));
    task.serve(80, "task");
    assert!(hear(task.address, 80).is_some(), "the host gets in");
    // The outside has a route to the VPC by way of the host, and must not get in.
    assert_eq!(in_namespace(&outside(), || hear(task.address, 80)), None);
    assert!(!in_namespace(&outside(), || ping(task.address)));
    // Nor when it pretends to be the host on its link.
    let link = kernel::address_of_link(&format!("gan-{}", node.id));
    in_namespace(&outside(), || run("ip", &["addr", "add", &format!("{link}/32"), "dev", "out0"]));
    let heard = task.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:5556").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        in_namespace(&outside(), || {
            let socket = UdpSocket::bind((link, 0)).unwrap();
            let _ = socket.send_to(b"in", (task.address, 5556));
        });
        socket.recv(&mut [0; 8]).is_ok()
    });
    in_namespace(&outside(), || run("ip", &["addr", "del", &format!("{link}/32"), "dev", "out0"]));
    assert!(!heard);
}

pub fn spoofing_is_stopped() {
    let node = Node::open("00000004", RANGE);
    let (thief, owner, victim) = (node.attach(10), node.attach(11), node.attach(12));
    let listener = victim.run(|| UdpSocket::bind("0.0.0.0:6000").unwrap());
    listener.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let say = |from: std::net::Ipv4Addr| {
        let socket = UdpSocket::bind((from, 0)).unwrap();
        let _ = socket.send_to(b"hello", (victim.address, 6000));
    };
    owner.run(|| say(owner.address));
    assert!(listener.recv(&mut [0; 8]).is_ok(), "the owner is heard");
    thief.run(|| {
        run("ip", &["addr", "add", &format!("{}/32", owner.address), "dev", "eth0"]);
        say(owner.address);
    });
    assert!(listener.recv(&mut [0; 8]).is_err(), "a thief is not");
}

pub fn detach_leaves_nothing() {
    let node = Node::open("00000005", RANGE);
    let (stays, goes) = (node.attach(10), node.attach(11));
    let elements = || in_namespace(&node.vpc_namespace(), || kernel::elements("gantry", "tasks"));
    let links = || in_namespace(&node.vpc_namespace(), || output("ip", &["-o", "link"]));
    let routes = || in_namespace(&node.vpc_namespace(), || output("ip", &["route"]));
    assert_eq!(elements(), BTreeSet::from([stays.address, goes.address]));
    assert!(links().contains(goes.key.as_str()), "its link carries its name");
    // As a container's, this mount namespace holds a copy of every pin.
    let mut container =
        Command::new("unshare").args(["--mount", "--propagation", "private", "sleep", "20"]).spawn().unwrap();
    let mounts = format!("/proc/{}/mountinfo", container.id());
    let sleeps = format!("/proc/{}/comm", container.id());
    assert!(until(|| std::fs::read_to_string(&sleeps).is_ok_and(|comm| comm.trim() == "sleep")));
    assert!(std::fs::read_to_string(&mounts).unwrap().contains(goes.key.as_str()));
    node.detach(&goes);
    assert!(!goes.namespace.exists());
    assert_eq!(elements(), BTreeSet::from([stays.address]));
    assert!(!routes().contains(&format!("{} ", goes.address)), "{}", routes());
    assert!(until(|| !links().contains(goes.key.as_str())), "the link goes with its namespace");
    container.kill().unwrap();
    container.wait().unwrap();
    node.detach(&goes);
    assert!(ping(stays.address) && !ping(goes.address));
    // The address may be used again at once.
    let again = node.attach(11);
    assert!(stays.run(|| ping(again.address)));
}

pub fn attach_is_idempotent() {
    let node = Node::open("00000006", RANGE);
    let task = node.attach(10);
    let before = std::fs::metadata(&task.namespace).unwrap();
    node.runtime.block_on(node.network.attach(&task.key, &task.interface)).unwrap();
    let after = std::fs::metadata(&task.namespace).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::ino(&before), std::os::unix::fs::MetadataExt::ino(&after));
    assert!(ping(task.address));
    let other = interface(node.range, 11);
    let error = node.runtime.block_on(node.network.attach(&task.key, &other)).unwrap_err();
    assert!(matches!(error, NetworkError::OtherInterface { .. }), "{error}");
    let foreign = interface(Cidr::parse("10.0.0.0/16").unwrap(), 11);
    let error = node.runtime.block_on(node.network.attach(&new_key(), &foreign)).unwrap_err();
    assert!(matches!(error, NetworkError::ForeignInterface { .. }), "{error}");
    // What somebody removed comes back when it is said again.
    in_namespace(&node.vpc_namespace(), || run("ip", &["route", "del", &format!("{}/32", task.address)]));
    assert!(!ping(task.address));
    node.runtime.block_on(node.network.attach(&task.key, &task.interface)).unwrap();
    assert!(ping(task.address));
    run("ip", &["route", "del", RANGE]);
    node.runtime.block_on(node.network.reassert()).unwrap();
    assert!(ping(task.address));
}

pub fn sweep_removes_strangers() {
    let node = Node::open("00000007", RANGE);
    let (known, stranger) = (node.attach(10), node.attach(11));
    let listener = stranger.run(|| TcpListener::bind("0.0.0.0:80").unwrap());
    node.runtime.block_on(node.network.sweep(&BTreeSet::from([known.key.clone()])));
    assert!(known.namespace.exists() && !stranger.namespace.exists());
    assert!(ping(known.address) && !ping(stranger.address));
    let links = in_namespace(&node.vpc_namespace(), || output("ip", &["-o", "link"]));
    assert!(!links.contains(stranger.key.as_str()), "though a socket still holds the namespace");
    drop(listener);
}

pub fn two_nodes_side_by_side() {
    let (one, two) = (Node::open("0000000a", RANGE), Node::open("0000000b", "172.30.0.0/16"));
    let (left, right) = (one.attach(10), two.attach(10));
    right.serve(80, "right");
    assert!(ping(left.address) && ping(right.address));
    assert_eq!(left.run(|| hear(right.address, 80)), None, "VPCs are apart");
    serve(&outside(), 9001, "outside");
    for task in [&left, &right] {
        assert!(task.run(|| hear(OUTSIDE, 9001)).is_some());
    }
    network::remove_everything(&one.id, &one.run_dir).unwrap();
    assert!(!ping(left.address) && ping(right.address));
    assert!(right.run(|| hear(OUTSIDE, 9001)).is_some());
    assert!(hear(right.address, 80).is_some());
}

pub fn remove_everything_leaves_nothing() {
    let snapshot = || {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mounts = mounts.lines().filter(|l| l.contains(root().to_str().unwrap())).count();
        let tables = kernel::tables();
        (output("ip", &["-o", "link"]), output("ip", &["route"]), output("ip", &["-o", "addr"]), mounts, tables)
    };
    let before = snapshot();
    let node = Node::open("0000000c", RANGE);
    let task = node.attach(10);
    let resolver = std::fs::read_to_string(node.run_dir.join("resolver")).unwrap();
    let resolver: i32 = resolver.lines().next().unwrap().parse().unwrap();
    assert_ne!(snapshot(), before);
    assert!(ping(task.address));
    let Node { runtime, network, id, run_dir, .. } = node;
    runtime.block_on(network.close_all()).unwrap();
    assert_eq!(snapshot(), before);
    assert!(!std::path::Path::new(&format!("/proc/{resolver}")).exists(), "the resolver has ended");
    assert!(!run_dir.exists());
    network::remove_everything(&id, &run_dir).unwrap();
}

pub fn a_taken_range_is_refused() {
    run("ip", &["route", "add", "172.29.4.0/24", "via", &OUTSIDE.to_string()]);
    let used = network::host_ranges().unwrap();
    assert!(
        used.contains(&Cidr::parse("172.29.4.0/24").unwrap()) && used.contains(&Cidr::parse("10.99.0.0/24").unwrap())
    );
    let wanted = Cidr::parse("172.29.0.0/16").unwrap();
    assert_eq!(network::free_vpc_cidr(wanted, &used), Cidr::parse("172.30.0.0/16"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let opened = runtime.block_on(Network::open(config("0000000d", "172.29.0.0/16")));
    let error = opened.err().expect("must be refused");
    assert!(error.to_string().contains("already routed to up0"), "{error}");
    run("ip", &["route", "del", "172.29.4.0/24"]);
    let began = Instant::now();
    runtime.block_on(Network::open(config("0000000d", "172.29.0.0/16"))).unwrap();
    assert!(began.elapsed() < patient(Duration::from_secs(2)));
}
