//! Tasks on the VPC: attach, detach, adopt, sweep. All of it blocks for a fraction of a millisecond on the kernel and on
//! nothing else; the asynchronous face is `network`.
//!
//! Attaching ends with the pin: what is pinned is complete, what is not pinned is undone by the kernel when its
//! descriptor closes.

use crate::error::NetworkError;
use crate::namespace;
use crate::nft;
use crate::pool::{Pool, Ready};
use crate::route::{Changes, Link, Target};
use crate::vpc::Vpc;
use node::hands::{Cidr, Interface, TaskKey};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a task has in the VPC's namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Attached {
    link: u32,
    address: Ipv4Addr,
}

struct State {
    vpc: Vpc,
    attached: BTreeMap<TaskKey, Attached>,
    gateways: BTreeSet<Ipv4Addr>,
}

/// All tasks of the VPC on this node.
pub(crate) struct Tasks {
    directory: PathBuf,
    vpc_id: String,
    range: Cidr,
    state: Mutex<State>,
    pool: Pool,
}

impl Tasks {
    /// Adopts the tasks that are pinned in `directory`, and replaces the rules so that they hold for these and no
    /// others.
    pub fn open(vpc: Vpc, directory: &Path, vpc_id: &str, range: Cidr, pool_size: usize) -> Result<Self, NetworkError> {
        let attached = adopt(&vpc, directory)?;
        let members: BTreeSet<Ipv4Addr> = attached.values().map(|a| a.address).collect();
        vpc.replace_rules(&members.into_iter().collect::<Vec<_>>())?;
        let pool = Pool::start(Arc::clone(&vpc.namespace), pool_size);
        let state = Mutex::new(State { vpc, attached, gateways: BTreeSet::new() });
        Ok(Self { directory: directory.to_owned(), vpc_id: vpc_id.to_owned(), range, state, pool })
    }

    /// Where the task's namespace is pinned.
    pub fn path(&self, task: &TaskKey) -> PathBuf {
        self.directory.join(task.as_str())
    }

    /// How many namespaces are ready for tasks to come.
    pub fn ready(&self) -> usize {
        self.pool.ready()
    }

    /// Gives the task its namespace and interface.
    pub fn attach(&self, task: &TaskKey, interface: &Interface) -> Result<(), NetworkError> {
        if interface.vpc_cidr != self.range || !self.range.contains(interface.address) {
            let (address, vpc) = (interface.address, self.vpc_id.clone());
            return Err(NetworkError::ForeignInterface { address, vpc, range: self.range });
        }
        if self.complete(task, interface)? {
            return Ok(());
        }
        let done = self.attach_new(task, interface);
        self.pool.refill();
        done
    }

    fn attach_new(&self, task: &TaskKey, interface: &Interface) -> Result<(), NetworkError> {
        let ready = self.pool.claim()?;
        configure(&ready, interface)?;
        let mut state = self.lock();
        if namespace::is_pinned(&self.path(task)) {
            return Ok(()); // Somebody was faster; `ready` goes.
        }
        let attached = Attached { link: ready.vpc_link, address: interface.address };
        let done = state.admit(task, attached, interface);
        let done = done.and_then(|()| namespace::pin(&ready.namespace, &self.path(task)));
        match done {
            Ok(()) => drop(state.attached.insert(task.clone(), attached)),
            Err(_) => {
                state.expel(attached);
                namespace::unpin(&self.path(task))?;
            }
        }
        done
    }

    /// Whether the task is attached already; then whatever may be missing in the VPC's namespace is set again.
    fn complete(&self, task: &TaskKey, interface: &Interface) -> Result<bool, NetworkError> {
        let mut state = self.lock();
        if !namespace::is_pinned(&self.path(task)) {
            return Ok(false);
        }
        match state.attached.get(task).copied() {
            Some(attached) if attached.address == interface.address => {
                state.admit(task, attached, interface).map(|()| true)
            }
            Some(Attached { address: has, .. }) => Err(NetworkError::OtherInterface { has, wanted: interface.address }),
            None => Err(NetworkError::LinkLost { task: task.to_string() }),
        }
    }

    /// Takes the task off the VPC and drops its namespace.
    pub fn detach(&self, task: &TaskKey) -> Result<(), NetworkError> {
        let mut state = self.lock();
        if let Some(attached) = state.attached.remove(task) {
            state.expel(attached);
        }
        namespace::unpin(&self.path(task))
    }

    /// Detaches every task that is not in `keep`, and removes links of tasks that are not attached.
    pub fn sweep(&self, keep: &BTreeSet<TaskKey>) {
        let mut gone: BTreeSet<TaskKey> =
            names_in(&self.directory).iter().filter_map(|name| TaskKey::new(name)).collect();
        gone.extend(self.lock().attached.keys().cloned());
        for task in gone.difference(keep) {
            tracing::info!(%task, "removing the network of a task that nobody knows");
            if let Err(error) = self.detach(task) {
                tracing::warn!(%task, error = %error.in_full(), "cannot remove a task's network");
            }
        }
        if let Err(error) = self.sweep_links() {
            tracing::warn!(error = %error.in_full(), "cannot remove links of earlier tasks");
        }
    }

    /// Links outlive the pin while some process is still inside the namespace.
    fn sweep_links(&self) -> Result<(), NetworkError> {
        let state = self.lock();
        let owned: BTreeSet<u32> = state.attached.values().map(|a| a.link).collect();
        let mut changes = Changes::default();
        for link in state.vpc.route.links()? {
            if task_of(&link).is_some() && !owned.contains(&link.index) {
                changes.delete_link(link.index);
            }
        }
        state.vpc.route.apply(&changes)
    }

    /// Sets the rules of the VPC's namespace again.
    pub fn reassert(&self) -> Result<(), NetworkError> {
        let state = self.lock();
        let members: BTreeSet<Ipv4Addr> = state.attached.values().map(|a| a.address).collect();
        state.vpc.replace_rules(&members.into_iter().collect::<Vec<_>>())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Everything the VPC's namespace must know of the task.
    fn admit(&mut self, task: &TaskKey, attached: Attached, interface: &Interface) -> Result<(), NetworkError> {
        if !self.gateways.contains(&interface.gateway) {
            self.vpc.answer_for(interface.gateway)?;
            self.gateways.insert(interface.gateway);
        }
        let mut changes = Changes::default();
        changes
            .alias(attached.link, task.as_str())
            .neighbour(attached.link, attached.address, interface.mac)
            .route(only(attached.address), &Target::Link(attached.link));
        self.vpc.route.apply(&changes)?;
        nft::add_members(&self.vpc.nft, &[attached.address])
    }

    /// The reverse. Deleting the link would take 20 ms; it goes with its namespace.
    fn expel(&mut self, attached: Attached) {
        let mut changes = Changes::default();
        changes.delete_route(only(attached.address), attached.link);
        if let Err(error) = self.vpc.route.apply(&changes) {
            tracing::warn!(error = %error.in_full(), address = %attached.address, "cannot remove a task's route");
        }
        // The address may be another task's by now.
        if self.attached.values().any(|other| other.address == attached.address) {
            return;
        }
        match nft::delete_members(&self.vpc.nft, &[attached.address]) {
            Err(NetworkError::Netlink { source, .. }) if source.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {
            }
            Err(error) => {
                tracing::warn!(error = %error.in_full(), address = %attached.address, "cannot remove a task's rights");
            }
            Ok(()) => {}
        }
    }
}

/// The task's side of the link.
fn configure(ready: &Ready, interface: &Interface) -> Result<(), NetworkError> {
    let everything = Cidr { base: Ipv4Addr::UNSPECIFIED, prefix: 0 };
    let mut changes = Changes::default();
    changes
        .up(ready.task_link, Some(interface.mac))
        .address(ready.task_link, interface.address, interface.prefix)
        .route(everything, &Target::Gateway(ready.task_link, interface.gateway, None));
    ready.route.apply(&changes)
}

/// What an earlier process attached: the alias of a link names its task, the route through it the address.
fn adopt(vpc: &Vpc, directory: &Path) -> Result<BTreeMap<TaskKey, Attached>, NetworkError> {
    let routes = vpc.route.routes()?;
    let address_of = |link: u32| routes.iter().find(|r| r.link == Some(link) && r.to.prefix == 32).map(|r| r.to.base);
    let mut attached = BTreeMap::new();
    let mut changes = Changes::default();
    for link in vpc.route.links()? {
        let (Some(task), Some(address)) = (task_of(&link), address_of(link.index)) else { continue };
        if namespace::is_pinned(&directory.join(task.as_str())) {
            attached.insert(task, Attached { link: link.index, address });
        } else {
            changes.delete_route(only(address), link.index);
        }
    }
    vpc.route.apply(&changes)?;
    Ok(attached)
}

fn task_of(link: &Link) -> Option<TaskKey> {
    link.alias.as_deref().and_then(TaskKey::new)
}

fn only(address: Ipv4Addr) -> Cidr {
    Cidr { base: address, prefix: 32 }
}

/// File names in a directory; none when it cannot be read.
pub(crate) fn names_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
