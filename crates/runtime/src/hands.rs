//! The node's side: takes the node's commands and answers with events. Each task has an actor of its own, so that the
//! orders for one task keep their sequence and no task waits for another.
//!
//! Does everything in `node::hands::Command` but `AttachNetwork`, and in `Release` all but the network namespace: those
//! are the network's hands.

use crate::actor::{self, Order};
use crate::cgroup::{CgroupError, Cgroups, Usage};
use crate::directory::TaskDirectory;
use crate::image::{ImageStore, StoreError};
use crate::place::{Place, containers_group, is_node_id};
use crate::spares::Spares;
use crate::{recover, supervisor};
use node::hands::{Command, Event, TaskKey};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// What a runtime is told once.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// The node's data directory; `tasks/` and `images/` are made below it.
    pub data_dir: PathBuf,
    /// Eight lower-case hex digits, on everything of this node on its host.
    pub node_id: String,
    /// The program of which every task's supervisor is a process: normally /proc/self/exe.
    pub supervisor_program: PathBuf,
    /// Arguments that make it one; the node's id is added.
    pub supervisor_args: Vec<String>,
    /// Registries (`host:port`) without TLS, besides those on loopback.
    pub insecure_registries: Vec<String>,
    /// Directories whose files describe the GPUs of the host.
    pub cdi: Vec<PathBuf>,
}

/// Why containers cannot be run on this host.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// Not eight hex digits.
    #[error("malformed node id {node_id:?}")]
    NodeId {
        /// What was given.
        node_id: String,
    },
    /// A directory of the node.
    #[error("cannot make {}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// No container is run unfiltered.
    #[error("this kernel has no seccomp filter; containers are not run without")]
    Seccomp,
    /// See [`CgroupError`].
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// See [`StoreError`].
    #[error(transparent)]
    Images(#[from] StoreError),
}

/// The hands of one node.
pub struct Runtime {
    shared: Arc<Shared>,
    actors: Arc<Actors>,
}

/// What all actors use.
pub(crate) struct Shared {
    pub(crate) place: Place,
    /// `<data>/tasks`.
    pub(crate) tasks: PathBuf,
    pub(crate) cgroups: Cgroups,
    pub(crate) images: Arc<ImageStore>,
    pub(crate) spares: Spares,
    /// Where GPUs are described.
    pub(crate) cdi: Vec<PathBuf>,
    events: mpsc::UnboundedSender<Event>,
    handle: Handle,
}

impl Shared {
    /// Tells the node. One that has gone needs no telling.
    pub(crate) fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    pub(crate) fn directory(&self, task: &TaskKey) -> TaskDirectory {
        TaskDirectory::of(&self.tasks, task)
    }
}

/// The actors by task.
#[derive(Default)]
pub(crate) struct Actors(Mutex<HashMap<TaskKey, mpsc::UnboundedSender<Order>>>);

impl Actors {
    /// Gives an order to the task's actor, which is made if there is none.
    pub(crate) fn order(self: &Arc<Self>, shared: &Arc<Shared>, task: &TaskKey, order: Order) {
        let mut actors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let order = match actors.get(task) {
            Some(actor) => match actor.send(order) {
                Ok(()) => return,
                Err(unsent) => unsent.0,
            },
            None => order,
        };
        let (sender, orders) = mpsc::unbounded_channel();
        // The channel is new and its receiver in our hands.
        let _ = sender.send(order);
        let inbox = sender.downgrade();
        actors.insert(task.clone(), sender);
        shared.handle.spawn(actor::run(shared.clone(), task.clone(), orders, inbox));
    }

    /// The last order of a task has been given.
    fn forget(&self, task: &TaskKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(task);
    }
}

impl Runtime {
    /// Opens the node's directories, sweeps what belongs to no task, and readies supervisors. Must be called within a
    /// tokio runtime.
    pub async fn open(config: RuntimeConfig, events: mpsc::UnboundedSender<Event>) -> Result<Self, RuntimeError> {
        let handle = Handle::current();
        let opened = handle.spawn_blocking({
            let handle = handle.clone();
            move || Self::open_blocking(config, events, handle)
        });
        match opened.await {
            Ok(result) => result,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn open_blocking(
        config: RuntimeConfig,
        events: mpsc::UnboundedSender<Event>,
        handle: Handle,
    ) -> Result<Self, RuntimeError> {
        if !is_node_id(&config.node_id) {
            return Err(RuntimeError::NodeId { node_id: config.node_id });
        }
        if !supervisor::seccomp_supported() {
            return Err(RuntimeError::Seccomp);
        }
        let place = Place::new(&config.node_id);
        // Supervisors stand in other directories than we do.
        let data = std::path::absolute(&config.data_dir).unwrap_or(config.data_dir);
        let tasks = data.join("tasks");
        for path in [&tasks, &place.private(), &place.sockets()] {
            fs::create_dir_all(path).map_err(|source| RuntimeError::Directory { path: path.clone(), source })?;
        }
        // Records hold secrets of tasks, and writable layers may hold set-uid programs.
        fs::set_permissions(&tasks, fs::Permissions::from_mode(0o700))
            .map_err(|source| RuntimeError::Directory { path: tasks.clone(), source })?;
        let cgroups = Cgroups::discover()?;
        cgroups.create(&place.spare_cgroup())?;
        let images = ImageStore::open(&data.join("images"))?.with_insecure(config.insecure_registries);
        recover::sweep(&tasks, &place, &cgroups);
        let mut arguments = config.supervisor_args;
        arguments.push(config.node_id);
        let spares = Spares::new(config.supervisor_program, arguments, handle.clone());
        let images = Arc::new(images);
        let shared = Arc::new(Shared { place, tasks, cgroups, images, spares, cdi: config.cdi, events, handle });
        shared.spares.refill();
        Ok(Self { shared, actors: Arc::default() })
    }

    /// Tells of every task directory of an earlier life, then `FoundAll`. Supervisors that live are connected to.
    pub fn recover(&self) {
        let (shared, actors) = (self.shared.clone(), self.actors.clone());
        self.shared.handle.spawn(recover::tell_all(shared, actors));
    }

    /// Takes an order and returns at once; `AttachNetwork` is not ours and is ignored.
    pub fn perform(&self, command: Command) {
        let order = |task: &TaskKey, order| self.actors.order(&self.shared, task, order);
        match command {
            Command::AttachNetwork { .. } => {}
            Command::PrepareImage { task, container, image } => self.prepare(task, container, image),
            Command::Record { task, record } => order(&task, Order::Record(record)),
            Command::Supervise { task, limits } => order(&task, Order::Supervise(limits)),
            Command::StartContainer { task, spec } => order(&task, Order::Start(spec)),
            Command::StopContainer { task, container, force } => {
                order(&task, Order::Stop { container, force });
            }
            Command::CheckHealth { task, container, command, timeout_ms } => {
                order(&task, Order::Check { container, command, timeout_ms });
            }
            Command::Release { task } => order(&task, Order::Release),
            Command::NoteReported { task, status } => order(&task, Order::NoteReported(status)),
            Command::Forget { task } => {
                order(&task, Order::Forget);
                self.actors.forget(&task);
            }
        }
    }

    /// What each task has used of the host, by its id. Blocks for a few reads of the kernel's files for each task.
    pub fn usage(&self) -> Vec<(String, Usage)> {
        let (cgroups, place) = (&self.shared.cgroups, &self.shared.place);
        let groups = cgroups.children(&place.cgroup());
        let tasks = groups.into_iter().filter_map(|name| TaskKey::new(&name));
        let used =
            |task: TaskKey| Some((task.to_string(), cgroups.usage(&containers_group(&place.task_cgroup(&task)))?));
        tasks.filter_map(used).collect()
    }

    /// The images of this node.
    pub fn images(&self) -> &Arc<ImageStore> {
        &self.shared.images
    }

    /// Where a container's output is kept; see [`crate::output`].
    pub fn output_path(&self, task: &TaskKey, container: &str) -> PathBuf {
        self.shared.directory(task).output(container)
    }

    fn prepare(&self, task: TaskKey, container: String, image: String) {
        let shared = self.shared.clone();
        self.shared.handle.spawn(async move {
            let announced = AtomicBool::new(false);
            let progress = |_| {
                if !announced.swap(true, Ordering::Relaxed) {
                    let (task, container) = (task.clone(), container.clone());
                    shared.tell(Event::ImagePulling { task, container });
                }
            };
            let event = match shared.images.pull(&image, &progress).await {
                Ok(image) => {
                    Event::ImageReady { task: task.clone(), container: container.clone(), digest: image.digest }
                }
                Err(error) => {
                    Event::ImageFailed { task: task.clone(), container: container.clone(), failure: error.into() }
                }
            };
            shared.tell(event);
        });
    }
}
