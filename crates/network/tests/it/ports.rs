//! Containers with namespaces of their own: behind ports of the host, or behind nothing.

use crate::world::{
    Node, OUTSIDE, UPLINK, config, hear, in_namespace, new_key, output, outside, ping, root, run, serve, until,
};
use network::Network;
use node::hands::{Attachment, ContainerNetwork, PortMapping, Protocol, TaskKey};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

const RANGE: &str = "172.31.0.0/16";
const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;
const HOST: &str = "/proc/self/ns/net";

fn tcp(host: u16, container: u16) -> PortMapping {
    PortMapping { container, host, protocol: Protocol::Tcp }
}

fn udp(host: u16, container: u16) -> PortMapping {
    PortMapping { container, host, protocol: Protocol::Udp }
}

/// A container in bridge mode.
struct Bridged {
    key: TaskKey,
    namespace: PathBuf,
    address: Ipv4Addr,
    network: ContainerNetwork,
}

impl Bridged {
    fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        in_namespace(&self.namespace, work)
    }

    fn host_port(&self) -> u16 {
        self.network.bindings[0].host
    }
}

fn join(node: &Node, key: &TaskKey, ports: &[PortMapping]) -> Result<Bridged, network::NetworkError> {
    let wanted = Attachment::Bridge(vec![ports.to_vec()]);
    let mut all = node.runtime.block_on(node.network.join(key, wanted))?;
    let network = all.remove(0);
    let namespace = node.network.container_netns_path(key, 0);
    Ok(Bridged { key: key.clone(), namespace, address: network.address.unwrap(), network })
}

fn bridged(node: &Node, ports: &[PortMapping]) -> Bridged {
    join(node, &new_key(), ports).unwrap()
}

/// Answers one datagram with who it seems to come from.
fn echo(namespace: &Path, port: u16) {
    let socket = in_namespace(namespace, || UdpSocket::bind(("0.0.0.0", port)).unwrap());
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(from.ip().to_string().as_bytes(), from);
        }
    });
}

fn ask(address: Ipv4Addr, port: u16) -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
    socket.send_to(b"who", (address, port)).ok()?;
    let mut buffer = [0; 64];
    let (length, _) = socket.recv_from(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

pub fn a_published_port_is_reached_from_everywhere() {
    let node = Node::open("00000030", RANGE);
    let web = bridged(&node, &[tcp(8080, 80), udp(8080, 53)]);
    assert_eq!(web.network.bindings, [tcp(8080, 80), udp(8080, 53)]);
    serve(&web.namespace, 80, "web");
    echo(&web.namespace, 53);
    let other = bridged(&node, &[]);
    let task = node.attach(10);
    let from_outside = in_namespace(&outside(), || hear(UPLINK, 8080));
    assert_eq!(from_outside, Some(format!("web {OUTSIDE}")), "the client keeps its address");
    assert_eq!(in_namespace(&outside(), || ask(UPLINK, 8080)), Some(OUTSIDE.to_string()));
    for address in [LOCALHOST, UPLINK] {
        assert!(hear(address, 8080).is_some_and(|text| text.starts_with("web ")), "the host, at {address}");
        assert!(ask(address, 8080).is_some(), "the host by UDP, at {address}");
    }
    assert!(other.run(|| hear(UPLINK, 8080)).is_some(), "another container, by the address of the host");
    assert!(web.run(|| hear(UPLINK, 8080)).is_some(), "itself, by the address of the host");
    assert!(task.run(|| hear(UPLINK, 8080)).is_some(), "a task of the VPC, by the address of the host");
    assert!(other.run(|| hear(web.address, 80)).is_some(), "another container, as on a bridge");
    assert!(other.run(|| hear(LOCALHOST, 8080)).is_none(), "its loopback is its own");
    assert_eq!(in_namespace(&outside(), || hear(UPLINK, 80)), None, "only what is published");
    node.detach_key(&web.key);
    assert_eq!(in_namespace(&outside(), || hear(UPLINK, 8080)), None);
    assert_eq!(hear(LOCALHOST, 8080), None);
    let again = bridged(&node, &[tcp(8080, 80)]);
    assert_ne!(again.address, web.address, "an address rests before it is used again");
    serve(&again.namespace, 80, "again");
    assert!(in_namespace(&outside(), || hear(UPLINK, 8080)).is_some_and(|text| text.starts_with("again ")));
}

pub fn a_bridged_container_is_kept_where_it_belongs() {
    let node = Node::open("00000031", RANGE);
    let container = bridged(&node, &[tcp(8081, 80)]);
    let task = node.attach(10);
    task.serve(80, "task");
    serve(&container.namespace, 80, "container");
    serve(&outside(), 9010, "outside");
    assert_eq!(container.run(|| hear(OUTSIDE, 9010)), Some(format!("outside {UPLINK}")), "with the host's address");
    assert_eq!(container.run(|| hear(task.address, 80)), None, "ports of the VPC are not its business");
    assert!(!container.run(|| ping(task.address)));
    assert_eq!(task.run(|| hear(container.address, 80)), None);
    assert_eq!(in_namespace(&outside(), || hear(container.address, 80)), None, "the outside knows ports only");
    // The host's loopback, by a packet that says so on the wire.
    let listener = UdpSocket::bind("127.0.0.1:7777").unwrap();
    listener.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    container.run(|| {
        run("ip", &["addr", "del", "127.0.0.1/8", "dev", "lo"]);
        let gateway = output("ip", &["-4", "route", "show", "default"]);
        let gateway = gateway.split_whitespace().nth(2).unwrap().to_owned();
        run("ip", &["route", "add", "127.0.0.1/32", "via", &gateway, "dev", "eth0"]);
        let _ = UdpSocket::bind((container.address, 0)).unwrap().send_to(b"in", "127.0.0.1:7777");
    });
    assert!(listener.recv(&mut [0; 8]).is_err(), "the host's loopback is out of reach");
    let resolver = container.network.dns.clone();
    assert_eq!(resolver, [node.range.nth(2).unwrap()]);
    assert!(container.run(|| ping(resolver[0])), "its resolver answers");
}

pub fn a_udp_flow_finds_the_next_container() {
    let node = Node::open("00000037", RANGE);
    let client = in_namespace(&outside(), || UdpSocket::bind((OUTSIDE, 7070)).unwrap());
    client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    // One socket, that never tires.
    let heard = || {
        until(|| {
            let _ = client.send_to(b"who", (UPLINK, 8084));
            client.recv(&mut [0; 64]).is_ok()
        })
    };
    let _ = client.send_to(b"early", (UPLINK, 8084));
    for _ in 0..2 {
        let container = bridged(&node, &[udp(8084, 53)]);
        echo(&container.namespace, 53);
        assert!(heard());
        node.detach_key(&container.key);
    }
}

pub fn ports_are_chosen_and_refused() {
    let node = Node::open("00000032", RANGE);
    let (one, two) = (bridged(&node, &[tcp(0, 80)]), bridged(&node, &[tcp(0, 80), udp(0, 80)]));
    serve(&one.namespace, 80, "one");
    serve(&two.namespace, 80, "two");
    assert_ne!(one.host_port(), two.host_port());
    for (port, word) in [(one.host_port(), "one "), (two.host_port(), "two ")] {
        assert!((32_768..=60_999).contains(&port));
        assert!(in_namespace(&outside(), || hear(UPLINK, port)).is_some_and(|text| text.starts_with(word)));
    }
    let refused = |ports: &[PortMapping]| join(&node, &new_key(), ports).err().map(|error| error.to_string());
    let taken = refused(&[tcp(one.host_port(), 80)]).unwrap();
    assert!(taken.contains("already published by another task"), "{taken}");
    let listener = in_namespace(Path::new(HOST), || TcpListener::bind("127.0.0.1:9011").unwrap());
    let busy = refused(&[tcp(9011, 80)]).unwrap();
    assert!(busy.contains("the host port 9011/tcp is in use by another program"), "{busy}");
    assert!(refused(&[udp(9011, 80)]).is_none(), "protocols are apart");
    drop(listener);
    assert!(refused(&[tcp(9011, 80)]).is_none());
    // Said again, it is the same.
    let again = join(&node, &one.key, &[tcp(0, 80)]).unwrap();
    assert_eq!((again.address, &again.network.bindings), (one.address, &one.network.bindings));
}

pub fn published_ports_survive_the_node_and_a_flush() {
    let (key, bound, address) = {
        let node = Node::open("00000033", RANGE);
        let web = bridged(&node, &[tcp(0, 80)]);
        serve(&web.namespace, 80, "web");
        (web.key, web.network.bindings, web.address)
    };
    let port = bound[0].host;
    assert!(in_namespace(&outside(), || hear(UPLINK, port)).is_some(), "without a node");
    let node = Node::open("00000033", RANGE);
    assert!(in_namespace(&outside(), || hear(UPLINK, port)).is_some(), "adopted");
    let again = join(&node, &key, &[tcp(0, 80)]).unwrap();
    assert_eq!((again.network.bindings, again.address), (bound, address));
    let other = bridged(&node, &[tcp(0, 80)]);
    assert_ne!((other.host_port(), other.address), (port, address));
    // A firewall that starts again flushes everybody's rules.
    crate::kernel::change(2, 0, crate::kernel::IP, &[crate::kernel::text(1, "gantry_00000033")]);
    assert_eq!(in_namespace(&outside(), || hear(UPLINK, port)), None);
    node.runtime.block_on(node.network.reassert()).unwrap();
    assert!(in_namespace(&outside(), || hear(UPLINK, port)).is_some());
    node.runtime.block_on(node.network.sweep(&std::collections::BTreeSet::from([other.key.clone()])));
    assert_eq!(in_namespace(&outside(), || hear(UPLINK, port)), None, "swept");
    assert!(!again.namespace.exists() && other.namespace.exists());
    assert_eq!(std::fs::read_dir(root().join("00000033/ports")).unwrap().count(), 1);
    network::remove_everything(&node.id, &node.run_dir).unwrap();
    assert!(!node.run_dir.exists());
}

pub fn nothing_is_a_loopback() {
    let node = Node::open("00000034", RANGE);
    let key = new_key();
    let wanted = || Attachment::Nothing(2);
    let all = node.runtime.block_on(node.network.join(&key, wanted())).unwrap();
    assert_eq!(all, [ContainerNetwork::default(), ContainerNetwork::default()]);
    assert_eq!(node.runtime.block_on(node.network.join(&key, wanted())).unwrap(), all);
    for number in 0..2 {
        let namespace = node.network.container_netns_path(&key, number);
        let links = in_namespace(&namespace, || output("ip", &["-o", "link"]));
        assert!(links.lines().count() == 1 && links.contains("lo: <LOOPBACK,UP"), "{links}");
        assert!(in_namespace(&namespace, || ping(LOCALHOST)) && !in_namespace(&namespace, || ping(UPLINK)));
    }
    node.detach_key(&key);
    assert!(!node.network.container_netns_path(&key, 0).exists());
    let too_many = node.runtime.block_on(node.network.join(&key, Attachment::Nothing(11)));
    assert!(too_many.unwrap_err().to_string().contains("at most 10"));
}

pub fn two_nodes_publish_side_by_side() {
    let (one, two) = (Node::open("00000035", RANGE), Node::open("00000036", "172.30.0.0/16"));
    let (left, right) = (bridged(&one, &[tcp(8082, 80)]), bridged(&two, &[tcp(8083, 80)]));
    assert_ne!(left.address, right.address);
    serve(&left.namespace, 80, "left");
    serve(&right.namespace, 80, "right");
    for (port, word) in [(8082, "left "), (8083, "right ")] {
        assert!(in_namespace(&outside(), || hear(UPLINK, port)).is_some_and(|text| text.starts_with(word)));
    }
    assert!(left.run(|| hear(UPLINK, 8083)).is_some(), "one node's container, by the port of the other's");
    assert_eq!(left.run(|| hear(right.address, 80)), None);
    network::remove_everything(&one.id, &one.run_dir).unwrap();
    assert_eq!(in_namespace(&outside(), || hear(UPLINK, 8082)), None);
    assert!(in_namespace(&outside(), || hear(UPLINK, 8083)).is_some());
    // Which ranges are free is looked at once a boot.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(Network::open(config("00000036", "172.30.0.0/16"))).unwrap();
    assert!(in_namespace(&outside(), || hear(UPLINK, 8083)).is_some());
}
