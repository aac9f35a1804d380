//! Ports of the host that lead to containers in bridge mode: chosen, kept in a file for each container below /run before
//! the kernel is told, and so the same after a restart of the node; gone with the task, or with the boot.

use crate::conntrack;
use crate::error::NetworkError;
use crate::host::Host;
use crate::namespace;
use crate::nft::Published;
use crate::owner::Owner;
use crate::tasks::names_in;
use node::hands::{HostPort, PortMapping, Protocol, TaskKey};
use rustix::net::{AddressFamily, SocketType, bind, ipproto, socket, sockopt};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The kernel's range for ports that nobody asks for by number.
const LOCAL_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const LOCAL_RANGE_DEFAULT: RangeInclusive<u16> = 32_768..=60_999;
/// The agent's own on an ECS host: tasks may ask for any other by number, and are never given these.
const NEVER: RangeInclusive<u16> = 51_678..=51_680;

/// Where the files of a node are.
pub(crate) fn directory(run_dir: &Path) -> PathBuf {
    run_dir.join("ports")
}

/// The published ports of one node.
pub(crate) struct Ports {
    directory: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    published: BTreeMap<Owner, Vec<Published>>,
    /// The last port that was chosen, so that one that was given back rests for a while.
    last: u16,
}

impl Ports {
    /// Takes up the ports of containers whose namespaces are pinned in `pins`.
    pub fn open(run_dir: &Path, pins: &Path) -> Result<Self, NetworkError> {
        let directory = directory(run_dir);
        std::fs::create_dir_all(&directory).map_err(NetworkError::file("cannot make the directory", &directory))?;
        let mut state = State::default();
        for name in names_in(&directory) {
            let path = directory.join(&name);
            let owner = Owner::parse(&name).filter(|owner| namespace::is_pinned(&pins.join(owner.to_string())));
            let text = owner.as_ref().and_then(|_| std::fs::read_to_string(&path).ok());
            match (owner, text.as_deref().and_then(read)) {
                (Some(owner), Some(published)) => drop(state.published.insert(owner, published)),
                _ => std::fs::remove_file(&path).map_err(NetworkError::file("cannot remove", &path))?,
            }
        }
        Ok(Self { directory, state: Mutex::new(state) })
    }

    /// Does `work` with all ports that are published; none comes or goes meanwhile.
    pub fn with_all<T>(&self, work: impl FnOnce(&[Published]) -> T) -> T {
        let state = self.lock();
        work(&state.published.values().flatten().copied().collect::<Vec<_>>())
    }

    /// Publishes what the container wants, or again what it has; answers every port with its number.
    pub fn publish(
        &self,
        host: &Host,
        owner: &Owner,
        address: Ipv4Addr,
        wanted: &[PortMapping],
    ) -> Result<Vec<PortMapping>, NetworkError> {
        let mut state = self.lock();
        if let Some(has) = state.published.get(owner).filter(|has| has.iter().all(|p| p.address == address)) {
            host.publish(has)?;
            return Ok(has.iter().map(mapping).collect());
        }
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let published = state.choose(address, wanted)?;
        let path = self.directory.join(owner.to_string());
        write(&path, &published)?;
        if let Err(error) = host.publish(&published) {
            std::fs::remove_file(&path).map_err(NetworkError::file("cannot remove", &path))?;
            return Err(error);
        }
        conntrack::forget_unanswered(&published);
        let mappings = published.iter().map(mapping).collect();
        state.published.insert(owner.clone(), published);
        Ok(mappings)
    }

    /// Takes back all that the task has published.
    pub fn withdraw(&self, host: &Host, task: &TaskKey) -> Result<(), NetworkError> {
        let mut state = self.lock();
        let owners: Vec<Owner> = Owner::all_of(task).filter(|owner| state.published.contains_key(owner)).collect();
        for owner in owners {
            let published = state.published.remove(&owner).unwrap_or_default();
            // Somebody may have flushed the table, and then there is nothing to take back.
            if let Err(error) = host.withdraw(&published) {
                tracing::warn!(%owner, error = %error.in_full(), "cannot take back published ports");
                let left: Vec<Published> = state.published.values().flatten().copied().collect();
                host.assert(&left)?;
            }
            conntrack::forget_redirected(&published);
            let path = self.directory.join(owner.to_string());
            std::fs::remove_file(&path).map_err(NetworkError::file("cannot remove", &path))?;
        }
        Ok(())
    }

    /// The tasks that have any.
    pub fn tasks(&self) -> BTreeSet<TaskKey> {
        self.lock().published.keys().map(|owner| owner.task.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A port for each mapping: the one it names, or one that is free. All are checked before any is taken.
    fn choose(&mut self, address: Ipv4Addr, wanted: &[PortMapping]) -> Result<Vec<Published>, NetworkError> {
        let mut taken: BTreeSet<HostPort> = self.published.values().flatten().map(|published| published.port).collect();
        for port in wanted.iter().filter_map(|mapping| mapping.host_port()) {
            if !taken.insert(port) {
                return Err(NetworkError::PortPublished { port });
            }
            if !is_free(port) {
                return Err(NetworkError::PortInUse { port });
            }
        }
        let range = local_range();
        let mut chosen = Vec::new();
        for mapping in wanted {
            let port = match mapping.host_port() {
                Some(port) => port,
                None => self.find(&range, mapping.protocol, &taken)?,
            };
            taken.insert(port);
            chosen.push(Published { port, address, to: mapping.container });
        }
        Ok(chosen)
    }

    fn find(
        &mut self,
        range: &RangeInclusive<u16>,
        protocol: Protocol,
        taken: &BTreeSet<HostPort>,
    ) -> Result<HostPort, NetworkError> {
        let (first, last) = (*range.start(), *range.end());
        let after = if range.contains(&self.last) && self.last != last { self.last + 1 } else { first };
        let mut candidates = (after..=last).chain(first..after).filter(|port| !NEVER.contains(port));
        let free = |port: &u16| {
            let port = HostPort { protocol, port: *port };
            !taken.contains(&port) && is_free(port)
        };
        let port = candidates.find(free).ok_or(NetworkError::NoPort { first, last })?;
        self.last = port;
        Ok(HostPort { protocol, port })
    }
}

/// Whether no program of the host listens there: the kernel is asked, and nothing ever listens for it.
fn is_free(port: HostPort) -> bool {
    let (kind, protocol) = match port.protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
    };
    let Ok(socket) = socket(AddressFamily::INET, kind, Some(protocol)) else { return false };
    // Connections that have ended there do not matter.
    if port.protocol == Protocol::Tcp && sockopt::set_socket_reuseaddr(&socket, true).is_err() {
        return false;
    }
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port.port)).is_ok()
}

fn local_range() -> RangeInclusive<u16> {
    let text = std::fs::read_to_string(LOCAL_RANGE).unwrap_or_default();
    parse_range(&text).unwrap_or(LOCAL_RANGE_DEFAULT)
}

fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut words = text.split_whitespace().map(str::parse::<u16>);
    let (first, last) = (words.next()?.ok()?, words.next()?.ok()?);
    (1..=last).contains(&first).then_some(first..=last)
}

fn mapping(published: &Published) -> PortMapping {
    let HostPort { protocol, port: host } = published.port;
    PortMapping { container: published.to, host, protocol }
}

/// One line for each port, the whole file at once.
fn write(path: &Path, published: &[Published]) -> Result<(), NetworkError> {
    let line = |p: &Published| format!("{} {} {} {}\n", p.port.protocol.as_str(), p.port.port, p.address, p.to);
    let text: String = published.iter().map(line).collect();
    let aside = path.with_extension("new");
    std::fs::write(&aside, text).map_err(NetworkError::file("cannot write", &aside))?;
    std::fs::rename(&aside, path).map_err(NetworkError::file("cannot write", path))
}

/// Reads what `write` wrote; `None` for anything else.
fn read(text: &str) -> Option<Vec<Published>> {
    let line = |line: &str| {
        let mut words = line.split(' ');
        let protocol = Protocol::parse(words.next()?)?;
        let port = words.next()?.parse().ok()?;
        let (address, to) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Published { port: HostPort { protocol, port }, address, to })
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    fn port(protocol: Protocol, port: u16) -> HostPort {
        HostPort { protocol, port }
    }

    #[test]
    fn a_file_is_read_as_it_is_written() {
        let all = vec![
            Published { port: port(Protocol::Tcp, 8080), address: ADDRESS, to: 80 },
            Published { port: port(Protocol::Udp, 53), address: ADDRESS, to: 53 },
        ];
        let path = std::env::temp_dir().join(format!("ports-{}", std::process::id()));
        write(&path, &all).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text, "tcp 8080 10.0.0.2 80\nudp 53 10.0.0.2 53\n");
        assert_eq!(read(&text), Some(all));
        assert!(read("tcp 8080 10.0.0.2").is_none() && read("sctp 1 10.0.0.2 1").is_none());
    }

    #[test]
    fn the_kernels_range_is_read_or_replaced() {
        assert_eq!(parse_range("32768\t60999\n"), Some(32_768..=60_999));
        assert_eq!(parse_range("9 1"), None);
        assert_eq!(parse_range("0 5"), None);
        assert_eq!(parse_range(""), None);
    }

    #[test]
    fn a_port_is_chosen_that_nobody_has_and_not_the_last_one_again() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let busy = listener.local_addr().unwrap().port();
        assert!(!is_free(port(Protocol::Tcp, busy)), "though only the loopback listens");
        let mut state = State::default();
        let any = PortMapping { container: 80, host: 0, protocol: Protocol::Tcp };
        let first = state.choose(ADDRESS, &[any]).unwrap()[0].port.port;
        let second = state.choose(ADDRESS, &[any]).unwrap()[0].port.port;
        assert_ne!(first, second);
        let named = PortMapping { host: busy, ..any };
        let refused = state.choose(ADDRESS, &[named]).unwrap_err();
        assert!(refused.to_string().contains("in use by another program"), "{refused}");
        state.published.insert(
            Owner::task(&TaskKey::new(&"a".repeat(32)).unwrap()),
            vec![Published { port: port(Protocol::Tcp, busy), address: ADDRESS, to: 80 }],
        );
        let refused = state.choose(ADDRESS, &[named]).unwrap_err();
        assert!(refused.to_string().contains("already published by another task"), "{refused}");
        let taken: BTreeSet<HostPort> = (1..=10).map(|n| port(Protocol::Tcp, n)).collect();
        assert!(state.find(&(1..=10), Protocol::Tcp, &taken).is_err());
    }
}
