//! The node's network as the node's hands see it: open, attach, detach, sweep, reassert, close. Everything it makes
//! survives this process and is adopted by the next `open`.

use crate::error::NetworkError;
use crate::host::Host;
use crate::namespace;
use crate::owner::{CONTAINERS_MAX, Owner};
use crate::ports::Ports;
use crate::range::{free_bridge_range, host_ranges};
use crate::resolver::{self, Resolver, ResolverSettings};
use crate::tasks::{Tasks, TasksSettings};
use crate::vpc::{Vpc, VpcSettings};
use node::hands::{Attachment, Cidr, ContainerNetwork, Interface, PortMapping, TaskKey};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a network is made from.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Eight hex digits, part of every name on the host.
    pub node_id: String,
    /// `/run/gantry/<node id>`: pins, the resolver's files.
    pub run_dir: PathBuf,
    /// The VPC's range.
    pub vpc_cidr: Cidr,
    /// `vpc-…`.
    pub vpc_id: String,
    /// How many namespaces are kept ready.
    pub pool_size: usize,
    /// The program that calls `resolver_main`.
    pub resolver_program: PathBuf,
    /// Its first arguments.
    pub resolver_args: Vec<String>,
}

/// One VPC on one node. Cheap to clone; the last clone to go stops the thread that keeps namespaces ready, and nothing
/// else.
#[derive(Clone)]
pub struct Network {
    inner: Arc<Inner>,
}

struct Inner {
    tasks: Tasks,
    host: Host,
    ports: Ports,
    resolver: Resolver,
    node_id: String,
    run_dir: PathBuf,
}

/// Where namespaces are pinned.
pub(crate) fn pins(run_dir: &Path) -> PathBuf {
    run_dir.join("netns")
}

impl Network {
    /// Makes the VPC's namespace, the host's link, rules, routes and the resolver, or adopts what is there.
    pub async fn open(config: NetworkConfig) -> Result<Self, NetworkError> {
        blocking(move || Inner::open(&config)).await.map(|inner| Self { inner: Arc::new(inner) })
    }

    /// Gives the task its namespace and interface. May be repeated.
    pub async fn attach(&self, task: &TaskKey, interface: &Interface) -> Result<(), NetworkError> {
        let (inner, task, interface) = (Arc::clone(&self.inner), task.clone(), interface.clone());
        blocking(move || inner.tasks.attach(&task, &interface)).await
    }

    /// Gives the task whatever network it wants; answers what each container has of its own. May be repeated, and
    /// answers the same for as long as the task has it.
    pub async fn join(&self, task: &TaskKey, wanted: Attachment) -> Result<Vec<ContainerNetwork>, NetworkError> {
        let (inner, task) = (Arc::clone(&self.inner), task.clone());
        blocking(move || inner.join(&task, &wanted)).await
    }

    /// Takes the task off the VPC and drops its namespace. May be repeated.
    pub async fn detach(&self, task: &TaskKey) -> Result<(), NetworkError> {
        let (inner, task) = (Arc::clone(&self.inner), task.clone());
        blocking(move || inner.detach(&task)).await
    }

    /// Removes what belongs to no task in `keep`.
    pub async fn sweep(&self, keep: &BTreeSet<TaskKey>) {
        let (inner, keep) = (Arc::clone(&self.inner), keep.clone());
        let swept = blocking(move || {
            inner.sweep(&keep);
            Ok(())
        });
        // It fails only when the process ends.
        let _ = swept.await;
    }

    /// Sets again what others may have changed: the host's route, forwarding, rules (Docker and firewalls rewrite
    /// theirs), the VPC's rules; restarts the resolver if it has died. Meant for every half minute or so.
    pub async fn reassert(&self) -> Result<(), NetworkError> {
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            inner.ports.with_all(|published| inner.host.assert(published))?;
            inner.tasks.reassert()?;
            inner.resolver.ensure()
        })
        .await
    }

    /// Where the task's namespace is pinned while it is attached.
    pub fn netns_path(&self, task: &TaskKey) -> PathBuf {
        self.inner.tasks.path(&Owner::task(task))
    }

    /// Where the namespace of one of a task's containers is pinned, when each has its own.
    pub fn container_netns_path(&self, task: &TaskKey, container: u8) -> PathBuf {
        self.inner.tasks.path(&Owner::container(task, container))
    }

    /// How many namespaces stand ready for tasks to come.
    pub fn ready(&self) -> usize {
        self.inner.tasks.ready()
    }

    /// Removes everything of this node id, as `remove_everything`.
    pub async fn close_all(self) -> Result<(), NetworkError> {
        blocking(move || {
            let (node_id, run_dir) = (self.inner.node_id.clone(), self.inner.run_dir.clone());
            drop(self);
            crate::teardown::remove_everything(&node_id, &run_dir)
        })
        .await
    }
}

impl Inner {
    fn open(config: &NetworkConfig) -> Result<Self, NetworkError> {
        check_names(config)?;
        let pins = pins(&config.run_dir);
        namespace::make_private_mount(&pins)?;
        let no_room = || NetworkError::BadName { name: config.vpc_cidr.to_string(), what: "a range for a VPC" };
        let resolver = config.vpc_cidr.nth(2).ok_or_else(no_room)?;
        let pin = pins.join(&config.vpc_id);
        let vpc = Vpc::open(&VpcSettings { node_id: &config.node_id, pin: &pin, range: config.vpc_cidr, resolver })?;
        let bridge = bridge_range(config)?;
        let ports = Ports::open(&config.run_dir, &pins)?;
        let host = Host::new(&config.node_id, config.vpc_cidr, bridge, vpc.host_link.clone())?;
        let settings = ResolverSettings {
            program: config.resolver_program.clone(),
            args: config.resolver_args.clone(),
            run_dir: config.run_dir.clone(),
            namespace: pin,
            listen: resolver,
            range: config.vpc_cidr,
        };
        let resolver = Resolver::new(settings);
        // The resolver's start is an exec: the longest step, beside which the others are done.
        let (started, made) = std::thread::scope(|scope| {
            let starting = scope.spawn(|| resolver.ensure());
            let settings = TasksSettings {
                directory: &pins,
                vpc_id: &config.vpc_id,
                range: config.vpc_cidr,
                bridge,
                pool_size: config.pool_size,
            };
            let made = ports.with_all(|published| host.assert(published)).and_then(|()| Tasks::open(vpc, &settings));
            (starting.join(), made)
        });
        started.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let (node_id, run_dir) = (config.node_id.clone(), config.run_dir.clone());
        Ok(Self { tasks: made?, host, ports, resolver, node_id, run_dir })
    }

    fn join(&self, task: &TaskKey, wanted: &Attachment) -> Result<Vec<ContainerNetwork>, NetworkError> {
        let own = |(number, ports): (u8, &Vec<PortMapping>)| self.join_bridge(&Owner::container(task, number), ports);
        match wanted {
            Attachment::Interface(interface) => self.tasks.attach(task, interface).map(|()| Vec::new()),
            Attachment::Bridge(all) => numbered(all.len())?.zip(all).map(own).collect(),
            Attachment::Host(all) => {
                Ok(all.iter().map(|ports| ContainerNetwork { bindings: ports.clone(), ..Default::default() }).collect())
            }
            Attachment::Nothing(count) => {
                let own = |number| self.tasks.attach_nothing(&Owner::container(task, number));
                numbered(*count)?.map(|number| own(number).map(|()| ContainerNetwork::default())).collect()
            }
        }
    }

    /// The VPC's resolver forwards to the servers of the host, those on its loopback too; the rest of its configuration
    /// is the host's.
    fn join_bridge(&self, owner: &Owner, ports: &[PortMapping]) -> Result<ContainerNetwork, NetworkError> {
        let address = self.tasks.attach_bridged(owner)?;
        let bindings = self.ports.publish(&self.host, owner, address, ports)?;
        let dns_search = resolver::search_domains();
        Ok(ContainerNetwork { address: Some(address), dns: vec![self.resolver.address()], dns_search, bindings })
    }

    fn detach(&self, task: &TaskKey) -> Result<(), NetworkError> {
        self.ports.withdraw(&self.host, task)?;
        self.tasks.detach(task)
    }

    fn sweep(&self, keep: &BTreeSet<TaskKey>) {
        for task in self.ports.tasks().difference(keep) {
            if let Err(error) = self.ports.withdraw(&self.host, task) {
                tracing::warn!(%task, error = %error.in_full(), "cannot take back a task's ports");
            }
        }
        self.tasks.sweep(keep);
    }
}

fn numbered(count: usize) -> Result<std::ops::Range<u8>, NetworkError> {
    let number = u8::try_from(count).ok().filter(|count| *count <= CONTAINERS_MAX);
    number.map(|count| 0..count).ok_or(NetworkError::TooManyContainers { count, max: CONTAINERS_MAX })
}

/// The range of containers in bridge mode: what an earlier life of this boot has chosen, or one that is free now.
fn bridge_range(config: &NetworkConfig) -> Result<Option<Cidr>, NetworkError> {
    let path = bridge_file(&config.run_dir);
    let known = std::fs::read_to_string(&path).ok().and_then(|text| Cidr::parse(text.trim()));
    if known.is_some_and(|known| !known.overlaps(config.vpc_cidr)) {
        return Ok(known);
    }
    let used = [host_ranges()?, vec![config.vpc_cidr]].concat();
    let Some(range) = free_bridge_range(&config.node_id, &used) else {
        tracing::warn!("no private range is left on this host: tasks in bridge mode cannot run here");
        return Ok(None);
    };
    std::fs::write(&path, range.to_string()).map_err(NetworkError::file("cannot write", &path))?;
    Ok(Some(range))
}

/// Remembers the range of containers in bridge mode until the next boot.
pub(crate) fn bridge_file(run_dir: &Path) -> PathBuf {
    run_dir.join("bridge")
}

/// Names become link names and file names.
fn check_names(config: &NetworkConfig) -> Result<(), NetworkError> {
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if config.node_id.len() > 8 || !plain(&config.node_id) {
        return Err(NetworkError::BadName { name: config.node_id.clone(), what: "a node id" });
    }
    if !plain(&config.vpc_id) || TaskKey::new(&config.vpc_id).is_some() {
        return Err(NetworkError::BadName { name: config.vpc_id.clone(), what: "a VPC id" });
    }
    Ok(())
}

/// Netlink answers at once, but mounts, threads and the resolver's start do block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NetworkError> + Send + 'static,
) -> Result<T, NetworkError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(NetworkError::Closing),
        },
    }
}
