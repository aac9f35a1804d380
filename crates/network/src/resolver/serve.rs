//! The resolver's process: one thread waits for datagrams from tasks and from name servers; a stream gets a small
//! thread of its own. Every wait has an end, every table a limit.

use super::names::{Decision, decide, failure};
use super::process::{Identity, Orders};
use super::stream::Streams;
use super::upstream::{RESOLV_CONF, Upstreams};
use crate::error::in_full;
use crate::namespace;
use hickory_proto::op::ResponseCode;
use node::hands::Cidr;
use rustix::event::epoll;
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PORT: u16 = 53;
const DATAGRAM_MAX: usize = 65_535;
/// Queries under way; one more is answered SERVFAIL.
const PENDING_MAX: usize = 1024;
/// One server's time for an answer; the C library gives up on us after 5 s.
const PATIENCE: Duration = Duration::from_millis(1500);
const ATTEMPTS_MAX: usize = 3;
const DATAGRAMS: u64 = 0;
const STREAMS: u64 = 1;
const FIRST_PENDING: u64 = 2;

/// The hidden subcommand of the program that `NetworkConfig` names: serves until it is killed. `args` are what follows
/// `resolver_args` on the command line.
pub fn resolver_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match start(args) {
        Ok(mut server) => match server.serve() {
            Ok(never) => match never {},
            Err(error) => {
                eprintln!("resolver: {error}");
                ExitCode::FAILURE
            }
        },
        Err(message) => {
            // The node reads this and tells its user.
            println!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: impl IntoIterator<Item = OsString>) -> Result<Server, String> {
    let orders = Orders::parse(args).ok_or("the resolver is started by the node, not by hand")?;
    let _ = rustix::process::setsid();
    let identity = Identity::claim(&orders).map_err(|error| error.to_string())?;
    let server = Server::open(&orders).map_err(|error| in_full(&*error))?;
    identity.publish(&orders).map_err(|error| format!("cannot write the resolver's file: {error}"))?;
    // Best effort: the last process to be killed when memory is short.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-900");
    say_ready().map_err(|error| format!("cannot answer the node: {error}"))?;
    Ok(server)
}

/// Tells the node, which waits for the end of this stream, and lets go of it.
fn say_ready() -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(b"ready\n")?;
    out.flush()?;
    let null = std::fs::File::options().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(null)?;
    Ok(())
}

struct Server {
    vpc: Cidr,
    clients: UdpSocket,
    listener: TcpListener,
    poll: OwnedFd,
    upstreams: Arc<Mutex<Upstreams>>,
    streams: Streams,
    pending: HashMap<u64, Pending>,
    deadlines: BTreeSet<(Instant, u64)>,
    next: u64,
    random: RandomState,
}

/// A query that a name server has not answered yet. Its socket is connected to that server, and goes with it.
struct Pending {
    socket: UdpSocket,
    client: SocketAddr,
    query: Vec<u8>,
    id: [u8; 2],
    attempt: usize,
    deadline: Instant,
}

/// `serve` ends by an error or not at all.
enum Never {}

impl Server {
    /// Opens the listening sockets in the VPC's namespace and everything else here, in the host's.
    fn open(orders: &Orders) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let at = SocketAddr::from((orders.listen, PORT));
        let vpc = namespace::open(&orders.namespace)?;
        let (clients, listener) = namespace::within(vpc.as_fd(), || Ok(listen(at)))??;
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let when = epoll::EventFlags::IN;
        epoll::add(&poll, &clients, epoll::EventData::new_u64(DATAGRAMS), when)?;
        epoll::add(&poll, &listener, epoll::EventData::new_u64(STREAMS), when)?;
        let upstreams = Upstreams::new(PathBuf::from(RESOLV_CONF), orders.listen.into());
        let upstreams = Arc::new(Mutex::new(upstreams));
        Ok(Self {
            vpc: orders.range,
            clients,
            listener,
            poll,
            streams: Streams::new(Arc::clone(&upstreams), orders.range),
            upstreams,
            pending: HashMap::new(),
            deadlines: BTreeSet::new(),
            next: FIRST_PENDING,
            random: RandomState::new(),
        })
    }

    fn serve(&mut self) -> io::Result<Never> {
        let mut buffer = vec![0; DATAGRAM_MAX];
        let mut events = [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 64];
        loop {
            let wait = self.deadlines.first().map(|(at, _)| at.saturating_duration_since(Instant::now()));
            let wait = wait.map(|w| rustix::event::Timespec {
                tv_sec: i64::try_from(w.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: w.subsec_nanos().into(),
            });
            let count = match epoll::wait(&self.poll, &mut events[..], wait.as_ref()) {
                Ok(count) => count,
                Err(rustix::io::Errno::INTR) => 0,
                Err(error) => return Err(error.into()),
            };
            for event in &events[..count] {
                match event.data.u64() {
                    DATAGRAMS => self.take_queries(&mut buffer),
                    STREAMS => self.streams.accept(&self.listener),
                    token => self.take_answer(token, &mut buffer),
                }
            }
            self.end_patience();
        }
    }

    fn take_queries(&mut self, buffer: &mut [u8]) {
        while let Ok((length, client)) = self.clients.recv_from(buffer) {
            let query = &buffer[..length];
            match decide(query, self.vpc) {
                Decision::Ignore => {}
                Decision::Answer(answer) => self.reply(&answer, client),
                Decision::Forward if self.pending.len() >= PENDING_MAX => self.fail(query, client),
                Decision::Forward => self.forward(query.to_vec(), client, 0),
            }
        }
    }

    /// Asks the server whose turn it is, or the next when it cannot even be asked.
    fn forward(&mut self, query: Vec<u8>, client: SocketAddr, first: usize) {
        let servers = match self.upstreams.lock() {
            Ok(mut upstreams) => upstreams.servers().to_vec(),
            Err(_) => Vec::new(),
        };
        for attempt in first..ATTEMPTS_MAX {
            let Some(server) = servers.get(attempt % servers.len().max(1)) else { break };
            let id = self.random_id();
            let Ok(socket) = ask(*server, &query, id) else { continue };
            let token = self.next;
            self.next += 1;
            let data = epoll::EventData::new_u64(token);
            if epoll::add(&self.poll, &socket, data, epoll::EventFlags::IN).is_err() {
                continue;
            }
            let deadline = Instant::now() + PATIENCE;
            self.deadlines.insert((deadline, token));
            self.pending.insert(token, Pending { socket, client, query, id, attempt, deadline });
            return;
        }
        self.fail(&query, client);
    }

    fn take_answer(&mut self, token: u64, buffer: &mut [u8]) {
        let Some(pending) = self.pending.get(&token) else { return };
        let received = pending.socket.recv(buffer);
        match received {
            Ok(length) if is_answer(&buffer[..length], pending.id) => {
                let Some(pending) = self.forget(token) else { return };
                let refused = matches!(buffer[3] & 0x0f, SERVER_FAILURE | REFUSED);
                if refused && pending.attempt + 1 < self.servers() {
                    return self.forward(pending.query, pending.client, pending.attempt + 1);
                }
                buffer[..2].copy_from_slice(&pending.query[..2]);
                self.reply(&buffer[..length], pending.client);
            }
            // Not the answer: go on waiting.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // "Connection refused": nobody is there.
            Err(_) => self.ask_next(token),
        }
    }

    fn end_patience(&mut self) {
        let now = Instant::now();
        while let Some((_, token)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.ask_next(token);
        }
    }

    fn ask_next(&mut self, token: u64) {
        if let Some(pending) = self.forget(token) {
            self.forward(pending.query, pending.client, pending.attempt + 1);
        }
    }

    fn forget(&mut self, token: u64) -> Option<Pending> {
        let pending = self.pending.remove(&token)?;
        self.deadlines.remove(&(pending.deadline, token));
        Some(pending)
    }

    fn servers(&self) -> usize {
        self.upstreams.lock().map_or(0, |mut upstreams| upstreams.servers().len())
    }

    fn fail(&self, query: &[u8], client: SocketAddr) {
        self.reply(&failure(query, ResponseCode::ServFail), client);
    }

    /// A full send buffer loses the answer, as any datagram may be lost: the client asks again.
    fn reply(&self, answer: &[u8], client: SocketAddr) {
        let _ = self.clients.send_to(answer, client);
    }

    /// Unpredictable, as the keys of `RandomState` come from the kernel's entropy.
    fn random_id(&self) -> [u8; 2] {
        let mut hasher = self.random.build_hasher();
        hasher.write_u64(self.next);
        let [a, b, ..] = hasher.finish().to_ne_bytes();
        [a, b]
    }
}

const SERVER_FAILURE: u8 = 2;
const REFUSED: u8 = 5;

fn is_answer(bytes: &[u8], id: [u8; 2]) -> bool {
    bytes.len() >= 12 && bytes[..2] == id && bytes[2] & 0x80 != 0
}

/// Sends the query from a port of its own, under an id of its own.
fn ask(server: SocketAddr, query: &[u8], id: [u8; 2]) -> io::Result<UdpSocket> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    socket.connect(server)?;
    let mut bytes = query.to_vec();
    bytes[..2].copy_from_slice(&id);
    socket.send(&bytes)?;
    Ok(socket)
}

fn listen(at: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let clients = UdpSocket::bind(at)?;
    clients.set_nonblocking(true)?;
    let listener = TcpListener::bind(at)?;
    listener.set_nonblocking(true)?;
    Ok((clients, listener))
}
