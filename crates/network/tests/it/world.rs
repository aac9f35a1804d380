//! The world around the cases: a host with an uplink, an outside behind it, tasks, and small talk between them.

use network::{Network, NetworkConfig};
use node::hands::{Cidr, Interface, TaskKey};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
pub const UPLINK: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
const SHORT: Duration = Duration::from_millis(700);

static ROOT: OnceLock<PathBuf> = OnceLock::new();
static SERIAL: AtomicU32 = AtomicU32::new(1);

thread_local! {
    /// Nodes of the running case, to be removed even when it fails.
    static NODES: RefCell<Vec<(String, PathBuf)>> = const { RefCell::new(Vec::new()) };
}

pub fn root() -> &'static Path {
    ROOT.get().expect("prepared first")
}

/// The uplink and the namespace behind it.
pub fn prepare(root: PathBuf) {
    ROOT.set(root.clone()).unwrap();
    run("mount -t tmpfs none", &[root.to_str().unwrap()]);
    let outside = root.join("outside");
    File::create(&outside).unwrap();
    run("unshare", &[&format!("--net={}", outside.display()), "true"]);
    let outside_fd = outside.display().to_string();
    let everybody_pings = || std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647").unwrap();
    everybody_pings();
    in_namespace(&outside, everybody_pings);
    run("ip", &["link", "set", "lo", "up"]);
    run("ip", &["link", "add", "up0", "type", "veth", "peer", "name", "out0"]);
    let pid = Command::new("nsenter").arg(format!("--net={outside_fd}")).args(["sleep", "2"]).spawn();
    let mut sleeper = pid.unwrap();
    let moved = until(|| {
        let theirs = std::fs::read_link(format!("/proc/{}/ns/net", sleeper.id())).ok();
        theirs.is_some() && theirs != std::fs::read_link("/proc/self/ns/net").ok()
    });
    assert!(moved, "the sleeper entered the outside");
    run("ip", &["link", "set", "out0", "netns", &sleeper.id().to_string()]);
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    run("ip", &["addr", "add", &format!("{UPLINK}/24"), "dev", "up0"]);
    run("ip", &["link", "set", "up0", "up"]);
    run("ip", &["route", "add", "default", "via", &OUTSIDE.to_string()]);
    for words in [
        "link set lo up",
        "addr add 10.99.0.1/24 dev out0",
        "link set out0 up",
        "route add 172.16.0.0/12 via 10.99.0.2",
    ] {
        in_namespace(&outside, || run("ip", &words.split(' ').collect::<Vec<_>>()));
    }
}

/// After every case, passed or not.
pub fn clean() {
    for (node_id, run_dir) in NODES.take() {
        network::remove_everything(&node_id, &run_dir).unwrap();
    }
}

pub fn outside() -> PathBuf {
    root().join("outside")
}

/// Runs a program that must succeed. `program` may carry first arguments.
pub fn run(program: &str, args: &[&str]) {
    let mut words = program.split(' ');
    let status = Command::new(words.next().unwrap()).args(words).args(args).status();
    assert!(status.unwrap().success(), "{program} {args:?}");
}

/// What a program prints.
pub fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Waits a few seconds for something that the kernel does in the background.
pub fn until(mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        if done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    done()
}

/// Does `work` in the namespace that is pinned to `path`.
pub fn in_namespace<T: Send>(path: &Path, work: impl FnOnce() -> T + Send) -> T {
    let namespace = File::open(path).unwrap();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A node with its network.
pub struct Node {
    pub runtime: tokio::runtime::Runtime,
    pub network: Network,
    pub id: String,
    pub run_dir: PathBuf,
    pub range: Cidr,
}

pub fn config(id: &str, range: &str) -> NetworkConfig {
    let run_dir = root().join(id);
    NODES.with_borrow_mut(|nodes| nodes.push((id.to_owned(), run_dir.clone())));
    NetworkConfig {
        node_id: id.to_owned(),
        run_dir,
        vpc_cidr: Cidr::parse(range).unwrap(),
        vpc_id: "vpc-0123456789abcdef0".to_owned(),
        pool_size: 4,
        resolver_program: std::env::current_exe().unwrap(),
        resolver_args: vec!["resolver".to_owned()],
    }
}

impl Node {
    pub fn open(id: &str, range: &str) -> Self {
        let config = config(id, range);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (run_dir, range) = (config.run_dir.clone(), config.vpc_cidr);
        let network = runtime.block_on(Network::open(config)).unwrap();
        Self { runtime, network, id: id.to_owned(), run_dir, range }
    }

    pub fn vpc_namespace(&self) -> PathBuf {
        self.run_dir.join("netns/vpc-0123456789abcdef0")
    }

    /// A new task with the `n`th address of the range.
    pub fn attach(&self, n: u32) -> Task {
        let (key, interface) = (new_key(), interface(self.range, n));
        self.runtime.block_on(self.network.attach(&key, &interface)).unwrap();
        Task { namespace: self.network.netns_path(&key), key, address: interface.address, interface }
    }

    pub fn detach(&self, task: &Task) {
        self.detach_key(&task.key);
    }

    pub fn detach_key(&self, key: &TaskKey) {
        self.runtime.block_on(self.network.detach(key)).unwrap();
    }
}

pub fn new_key() -> TaskKey {
    TaskKey::new(&format!("{:032x}", SERIAL.fetch_add(1, Ordering::Relaxed))).unwrap()
}

pub fn interface(range: Cidr, n: u32) -> Interface {
    let [.., c, d] = n.to_be_bytes();
    let address = range.nth(n).unwrap();
    Interface {
        id: format!("eni-{n:017x}"),
        vpc: "vpc-0123456789abcdef0".to_owned(),
        vpc_cidr: range,
        mac: [0x02, 0, 0, 0x77, c, d],
        address,
        prefix: 20,
        gateway: range.nth(1).unwrap(),
        resolver: range.nth(2).unwrap(),
        host_name: format!("ip-{}.ec2.internal", address.to_string().replace('.', "-")),
    }
}

pub struct Task {
    pub key: TaskKey,
    pub namespace: PathBuf,
    pub address: Ipv4Addr,
    pub interface: Interface,
}

impl Task {
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        in_namespace(&self.namespace, work)
    }

    /// Serves on `port` for one client after another, telling each who it seems to be and `word`.
    pub fn serve(&self, port: u16, word: &str) {
        serve(&self.namespace, port, word);
    }
}

/// The thread lives until the program ends.
pub fn serve(namespace: &Path, port: u16, word: &str) {
    let listener = in_namespace(namespace, || TcpListener::bind(("0.0.0.0", port)).unwrap());
    let word = word.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let from = stream.peer_addr().map(|a| a.ip().to_string()).unwrap_or_default();
            let _ = stream.write_all(format!("{word} {from}").as_bytes());
        }
    });
}

/// What the server says, from the namespace we are in; `None` when it cannot be reached.
pub fn hear(address: Ipv4Addr, port: u16) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((address, port)), SHORT).ok()?;
    stream.set_read_timeout(Some(SHORT)).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

/// One echo request from the namespace we are in, as an unprivileged socket sends it.
pub fn ping(address: Ipv4Addr) -> bool {
    use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, ipproto, socket};
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, Some(ipproto::ICMP)).unwrap();
    rustix::net::sockopt::set_socket_timeout(&socket, rustix::net::sockopt::Timeout::Recv, Some(SHORT)).unwrap();
    let echo = [8, 0, 0, 0, 0, 0, 0, 1, b'g', b'a', b'n', b't', b'r', b'y', 0, 0];
    if rustix::net::sendto(&socket, &echo, SendFlags::empty(), &SocketAddr::from((address, 0))).is_err() {
        return false;
    }
    let mut answer = [0; 64];
    let received = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty());
    received.is_ok() && answer[0] == 0 && answer[8..14] == *b"gantry"
}

/// A limit of time, longer on a machine that is emulated or shared and says so.
pub fn patient(limit: Duration) -> Duration {
    let slowness = std::env::var("GANTRY_TEST_SLOWNESS").ok().and_then(|times| times.parse().ok());
    limit * slowness.unwrap_or(1)
}
