//! Tasks on the VPC: attach, detach, adopt, sweep. All of it blocks for a fraction of a millisecond on the kernel and on
//! nothing else; the asynchronous face is `network`.
//!
//! Attaching ends with the pin: what is pinned is complete, what is not pinned is undone by the kernel when its
//! descriptor closes.

use crate::error::NetworkError;
use crate::namespace;
use crate::nft::{self, Group};
use crate::owner::Owner;
use crate::pool::{self, Pool, Ready};
use crate::range::Turns;
use crate::route::{Changes, Link, Target};
use crate::vpc::Vpc;
use node::hands::{Cidr, Interface, TaskKey};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What an owner of a namespace has in the VPC's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Attached {
    link: u32,
    address: Ipv4Addr,
}

/// What an `eth0` must be.
#[derive(Clone, Copy)]
struct Face {
    mac: [u8; 6],
    address: Ipv4Addr,
    prefix: u8,
    gateway: Ipv4Addr,
}

struct State {
    vpc: Vpc,
    attached: BTreeMap<Owner, Attached>,
    gateways: BTreeSet<Ipv4Addr>,
    bridge: Option<Cidr>,
    turns: Turns,
}

/// All tasks of the VPC on this node.
pub(crate) struct Tasks {
    directory: PathBuf,
    vpc_id: String,
    range: Cidr,
    state: Mutex<State>,
    pool: Pool,
}

/// What `Tasks::open` is told of.
pub(crate) struct TasksSettings<'a> {
    /// Where namespaces are pinned.
    pub directory: &'a Path,
    pub vpc_id: &'a str,
    pub range: Cidr,
    /// The range of containers in bridge mode.
    pub bridge: Option<Cidr>,
    pub pool_size: usize,
}

impl Tasks {
    /// Adopts the tasks that are pinned in the directory, and replaces the rules so that they hold for these and no
    /// others.
    pub fn open(vpc: Vpc, settings: &TasksSettings<'_>) -> Result<Self, NetworkError> {
        let attached = adopt(&vpc, settings.directory)?;
        if let Some(bridge) = settings.bridge {
            vpc.close_range(bridge)?;
        }
        let pool = Pool::start(Arc::clone(&vpc.namespace), settings.pool_size);
        let turns = Turns::new(
            attached.values().map(|a| a.address).filter(|a| settings.bridge.is_some_and(|b| b.contains(*a))),
        );
        let state = State { vpc, attached, gateways: BTreeSet::new(), bridge: settings.bridge, turns };
        state.replace_rules()?;
        let (directory, vpc_id) = (settings.directory.to_owned(), settings.vpc_id.to_owned());
        Ok(Self { directory, vpc_id, range: settings.range, state: Mutex::new(state), pool })
    }

    /// Where a namespace is pinned.
    pub fn path(&self, owner: &Owner) -> PathBuf {
        self.directory.join(owner.to_string())
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
        let face = Face::of(interface);
        let owner = Owner::task(task);
        if self.complete(&owner, &face)? {
            return Ok(());
        }
        let done = self.attach_new(&owner, &face);
        self.pool.refill();
        done
    }

    /// Gives a container a namespace of its own with an address behind the host's; answers the address.
    pub fn attach_bridged(&self, owner: &Owner) -> Result<Ipv4Addr, NetworkError> {
        let range = self.lock().bridge.ok_or(NetworkError::NoBridgeRange)?;
        let has = self.lock().attached.get(owner).map(|attached| attached.address);
        let address = match has {
            Some(address) if self.complete(owner, &Face::bridged(range, address))? => return Ok(address),
            Some(address) => address,
            None if namespace::is_pinned(&self.path(owner)) => {
                return Err(NetworkError::LinkLost { task: owner.to_string() });
            }
            None => self.lock().next_address(range)?,
        };
        let done = self.attach_new(owner, &Face::bridged(range, address));
        self.pool.refill();
        // Somebody may have been faster, with another address.
        done.map(|()| self.lock().attached.get(owner).map_or(address, |attached| attached.address))
    }

    /// Gives a container a namespace of its own with a loopback and nothing else.
    pub fn attach_nothing(&self, owner: &Owner) -> Result<(), NetworkError> {
        let path = self.path(owner);
        if namespace::is_pinned(&path) {
            return Ok(());
        }
        let (made, ()) = namespace::make(|| pool::open_loopback().map(drop))?;
        namespace::pin(&made, &path)
    }

    fn attach_new(&self, owner: &Owner, face: &Face) -> Result<(), NetworkError> {
        let ready = self.pool.claim()?;
        configure(&ready, face)?;
        let mut state = self.lock();
        let path = self.path(owner);
        if namespace::is_pinned(&path) {
            return Ok(()); // Somebody was faster; `ready` goes.
        }
        let attached = Attached { link: ready.vpc_link, address: face.address };
        let done = state.admit(owner, attached, face);
        let done = done.and_then(|()| namespace::pin(&ready.namespace, &path));
        match done {
            Ok(()) => drop(state.attached.insert(owner.clone(), attached)),
            Err(_) => {
                state.expel(attached);
                namespace::unpin(&path)?;
            }
        }
        done
    }

    /// Whether the owner is attached already; then whatever may be missing in the VPC's namespace is set again.
    fn complete(&self, owner: &Owner, face: &Face) -> Result<bool, NetworkError> {
        let mut state = self.lock();
        if !namespace::is_pinned(&self.path(owner)) {
            return Ok(false);
        }
        match state.attached.get(owner).copied() {
            Some(attached) if attached.address == face.address => state.admit(owner, attached, face).map(|()| true),
            Some(Attached { address: has, .. }) => Err(NetworkError::OtherInterface { has, wanted: face.address }),
            None => Err(NetworkError::LinkLost { task: owner.to_string() }),
        }
    }

    /// Takes the task off the VPC and drops its namespaces.
    pub fn detach(&self, task: &TaskKey) -> Result<(), NetworkError> {
        let mut state = self.lock();
        for owner in Owner::all_of(task) {
            if let Some(attached) = state.attached.remove(&owner) {
                state.expel(attached);
            }
            namespace::unpin(&self.path(&owner))?;
        }
        Ok(())
    }

    /// Detaches every task that is not in `keep`, and removes links of tasks that are not attached.
    pub fn sweep(&self, keep: &BTreeSet<TaskKey>) {
        let pinned = names_in(&self.directory).into_iter().filter_map(|name| Owner::parse(&name));
        let mut gone: BTreeSet<TaskKey> = pinned.map(|owner| owner.task).collect();
        gone.extend(self.lock().attached.keys().map(|owner| owner.task.clone()));
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
            if owner_of(&link).is_some() && !owned.contains(&link.index) {
                changes.delete_link(link.index);
            }
        }
        state.vpc.route.apply(&changes)
    }

    /// Sets the rules of the VPC's namespace again.
    pub fn reassert(&self) -> Result<(), NetworkError> {
        self.lock().replace_rules()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn group_of(&self, address: Ipv4Addr) -> Group {
        if self.bridge.is_some_and(|range| range.contains(address)) { Group::Bridge } else { Group::Default }
    }

    fn replace_rules(&self) -> Result<(), NetworkError> {
        let all: BTreeSet<Ipv4Addr> = self.attached.values().map(|a| a.address).collect();
        let (members, bridged): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|address| self.group_of(*address) == Group::Default);
        self.vpc.replace_rules(&members, &bridged)
    }

    /// An address that nobody has, and that was not given for as long as possible: somebody may still send to the last
    /// one who had it.
    fn next_address(&mut self, range: Cidr) -> Result<Ipv4Addr, NetworkError> {
        let used: BTreeSet<Ipv4Addr> = self.attached.values().map(|a| a.address).collect();
        self.turns.next(range, &used).ok_or(NetworkError::BridgeFull { range })
    }

    /// Everything the VPC's namespace must know of the owner.
    fn admit(&mut self, owner: &Owner, attached: Attached, face: &Face) -> Result<(), NetworkError> {
        if !self.gateways.contains(&face.gateway) {
            self.vpc.answer_for(face.gateway)?;
            self.gateways.insert(face.gateway);
        }
        let mut changes = Changes::default();
        changes
            .alias(attached.link, &owner.to_string())
            .neighbour(attached.link, attached.address, face.mac)
            .route(only(attached.address), &Target::Link(attached.link));
        self.vpc.route.apply(&changes)?;
        nft::add_members(&self.vpc.nft, self.group_of(attached.address), &[attached.address])
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
        match nft::delete_members(&self.vpc.nft, self.group_of(attached.address), &[attached.address]) {
            Err(NetworkError::Netlink { source, .. }) if source.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {
            }
            Err(error) => {
                tracing::warn!(error = %error.in_full(), address = %attached.address, "cannot remove a task's rights");
            }
            Ok(()) => {}
        }
    }
}

impl Face {
    fn of(interface: &Interface) -> Self {
        let Interface { mac, address, prefix, gateway, .. } = interface;
        Self { mac: *mac, address: *address, prefix: *prefix, gateway: *gateway }
    }

    /// The link-layer address is made of the other one, so that it is the same whenever it is asked for.
    fn bridged(range: Cidr, address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        let gateway = Ipv4Addr::from(u32::from(range.base) + 1);
        Self { mac: [0x02, 0x67, a, b, c, d], address, prefix: range.prefix, gateway }
    }
}

/// The owner's side of the link.
fn configure(ready: &Ready, face: &Face) -> Result<(), NetworkError> {
    let everything = Cidr { base: Ipv4Addr::UNSPECIFIED, prefix: 0 };
    let mut changes = Changes::default();
    changes
        .up(ready.task_link, Some(face.mac))
        .address(ready.task_link, face.address, face.prefix)
        .route(everything, &Target::Gateway(ready.task_link, face.gateway, None));
    ready.route.apply(&changes)
}

/// What an earlier process attached: the alias of a link names its task, the route through it the address.
fn adopt(vpc: &Vpc, directory: &Path) -> Result<BTreeMap<Owner, Attached>, NetworkError> {
    let routes = vpc.route.routes()?;
    let address_of = |link: u32| routes.iter().find(|r| r.link == Some(link) && r.to.prefix == 32).map(|r| r.to.base);
    let mut attached = BTreeMap::new();
    let mut changes = Changes::default();
    for link in vpc.route.links()? {
        let (Some(owner), Some(address)) = (owner_of(&link), address_of(link.index)) else { continue };
        if namespace::is_pinned(&directory.join(owner.to_string())) {
            attached.insert(owner, Attached { link: link.index, address });
        } else {
            changes.delete_route(only(address), link.index);
        }
    }
    vpc.route.apply(&changes)?;
    Ok(attached)
}

fn owner_of(link: &Link) -> Option<Owner> {
    link.alias.as_deref().and_then(Owner::parse)
}

fn only(address: Ipv4Addr) -> Cidr {
    Cidr { base: address, prefix: 32 }
}

/// File names in a directory; none when it cannot be read.
pub(crate) fn names_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
