//! Namespaces made ahead. Each has its loopback up and one veth, `eth0`, whose other end stands ready in the VPC's
//! namespace; what is a task's own (addresses, routes, rules) is set when it is claimed. A ready namespace is held by a
//! descriptor alone, so that a killed process leaves none behind.

use crate::error::NetworkError;
use crate::namespace;
use crate::route::{Changes, RouteSocket};
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

const TASK_LINK: &str = "eth0";
const LOOPBACK: u32 = 1;
const CARRIER_LOOKS: u32 = 100;
const CARRIER_PAUSE: Duration = Duration::from_micros(100);
/// After a failure the filler rests, as the next try would most likely fail too.
const REST: Duration = Duration::from_millis(500);

/// A namespace that only needs a task.
pub(crate) struct Ready {
    pub namespace: OwnedFd,
    /// A socket inside.
    pub route: RouteSocket,
    /// `eth0` inside.
    pub task_link: u32,
    /// Its other end, in the VPC's namespace.
    pub vpc_link: u32,
}

struct State {
    ready: VecDeque<Ready>,
    closing: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    vpc: Arc<OwnedFd>,
    size: usize,
    names: Names,
}

/// A stock of ready namespaces with the thread that refills it.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    filler: Option<JoinHandle<()>>,
}

impl Pool {
    /// Starts filling in the background.
    pub fn start(vpc: Arc<OwnedFd>, size: usize) -> Self {
        let state = Mutex::new(State { ready: VecDeque::with_capacity(size), closing: false });
        let shared = Arc::new(Shared { state, changed: Condvar::new(), vpc, size, names: Names::new() });
        let filler = Arc::clone(&shared);
        // Without the thread every claim makes its own: slower, not wrong.
        let filler = std::thread::Builder::new().name("netns-pool".into()).spawn(move || filler.fill()).ok();
        Self { shared, filler }
    }

    /// A namespace from the stock, or a new one when it is empty. Say `refill` when it is in use.
    pub fn claim(&self) -> Result<Ready, NetworkError> {
        let ready = self.shared.lock().ready.pop_front();
        match ready {
            Some(ready) => Ok(ready),
            None => self.shared.make(),
        }
    }

    /// Wakes the filler: not at once when something is claimed, as both would want the kernel's one lock for links.
    pub fn refill(&self) {
        self.shared.changed.notify_all();
    }

    /// How many are ready now.
    pub fn ready(&self) -> usize {
        self.shared.lock().ready.len()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.changed.notify_all();
        if let Some(filler) = self.filler.take() {
            let _ = filler.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self) {
        let mut state = self.lock();
        while !state.closing {
            if state.ready.len() >= self.size {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            drop(state);
            let made = self.make();
            state = self.lock();
            match made {
                Ok(ready) => state.ready.push_back(ready),
                Err(error) => {
                    tracing::warn!(error = %error.in_full(), "cannot make a network namespace ahead");
                    state = self.changed.wait_timeout(state, REST).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    fn make(&self) -> Result<Ready, NetworkError> {
        let name = self.names.next();
        let (namespace, (route, task_link, vpc_link)) = namespace::make(|| {
            let (route, here) = (open_loopback()?, namespace::current()?);
            // The rest is done from the VPC's namespace, for two reasons: the end that is made first can be brought up
            // at once; and the delay of answers for neighbours, up to a second otherwise, can be set only from within.
            namespace::enter(self.vpc.as_fd())?;
            let mut changes = Changes::default();
            changes.veth(&name, TASK_LINK, here.as_fd());
            let vpc = RouteSocket::open()?;
            vpc.apply(&changes)?;
            namespace::set_parameter(&format!("ipv4/neigh/{name}/proxy_delay"), "0")?;
            let missing = || NetworkError::Netlink {
                action: format!("cannot find the link {TASK_LINK} that was just made"),
                source: std::io::ErrorKind::NotFound.into(),
            };
            let link = route.link(TASK_LINK)?.ok_or_else(missing)?;
            let peer = link.peer.ok_or_else(missing)?;
            let mut changes = Changes::default();
            changes.up(link.index, None);
            route.apply(&changes)?;
            wait_until_it_carries(&vpc, peer)?;
            Ok((route, link.index, peer))
        })?;
        Ok(Ready { namespace, route, task_link, vpc_link })
    }
}

/// What every namespace of a task has. To be called within a new one; answers a socket inside.
pub(crate) fn open_loopback() -> Result<RouteSocket, NetworkError> {
    // As Docker does: no port is privileged and anybody may ping, since the namespace is the task's own.
    namespace::set_parameter_if_known("ipv4/ip_unprivileged_port_start", "0")?;
    namespace::set_parameter_if_known("ipv4/ping_group_range", "0 2147483647")?;
    // The VPC is IPv4; no link-local addresses and router solicitations that nobody answers.
    namespace::set_parameter_if_known("ipv6/conf/default/disable_ipv6", "1")?;
    let route = RouteSocket::open()?;
    let mut changes = Changes::default();
    changes.up(LOOPBACK, None);
    route.apply(&changes)?;
    Ok(route)
}

/// The end that came up first is switched on by the kernel in the background; until then it drops what is sent.
fn wait_until_it_carries(socket: &RouteSocket, link: u32) -> Result<(), NetworkError> {
    for _ in 0..CARRIER_LOOKS {
        if socket.link_at(link)?.is_some_and(|link| link.carries) {
            return Ok(());
        }
        std::thread::sleep(CARRIER_PAUSE);
    }
    // On a machine so busy the first packet may be lost, and sent again.
    Ok(())
}

/// Link names in the VPC's namespace, never used twice: links of an earlier process may linger there for a while.
struct Names {
    prefix: String,
    next: AtomicU64,
}

impl Names {
    fn new() -> Self {
        // Two processes of one node never run together; the clock tells them apart.
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let mixed = (now.tv_sec as u64).wrapping_mul(1_000_000_007).wrapping_add(now.tv_nsec as u64);
        Self { prefix: format!("t{:06x}", mixed & 0xff_ffff), next: AtomicU64::new(0) }
    }

    /// At most 15 characters, as the kernel wants it.
    fn next(&self) -> String {
        let serial = self.next.fetch_add(1, Ordering::Relaxed) & 0xffff_ffff;
        format!("{}{serial:x}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_names_are_short_and_never_repeat() {
        let names = Names::new();
        let (first, second) = (names.next(), names.next());
        assert_ne!(first, second);
        assert!(first.starts_with(&names.prefix));
        names.next.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(names.next().len(), 15);
    }
}
