//! One task on its node: takes the task's orders one after the other, keeps the link to its supervisor, tells the node
//! what becomes of it.
//!
//! ```text
//! alone ── Supervise ──> asking ── State ──> linked ── Release ──> releasing ──> alone
//!   ^                      │ Refused, Gone      │ Gone
//!   └── SupervisorLost ────┴────────────────────┘
//! ```

use crate::cdi::{self, Edits};
use crate::directory::{TaskDirectory, now_ms};
use crate::hands::Shared;
use crate::link::Link;
use crate::release;
use crate::supervisor::protocol::{self, Assignment, PROTOCOL, Report, Start};
use node::hands::{ContainerSpec, Event, Exit, FoundContainer, TaskKey, TaskLimits};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, WeakUnboundedSender};
use tokio::sync::oneshot;

/// A supervisor that does not answer its assignment for this long is killed. Its death is seen at once; this is for one
/// that hangs, on a host that may be slow.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A supervisor that has not ended this long after it was told to is killed, with what it holds.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// A holder of the task's lock that is not to be spoken to for this long has gone wrong.
const HOLDER_TIMEOUT: Duration = Duration::from_secs(5);
/// Between looks whether it is.
const HOLDER_PAUSE: Duration = Duration::from_millis(5);

/// What a task's actor is told, by the node or by its own supervisor.
pub(crate) enum Order {
    Record(String),
    Supervise(TaskLimits),
    Start(Box<ContainerSpec>),
    Stop {
        container: String,
        force: bool,
    },
    Check {
        container: String,
        command: Vec<String>,
        timeout_ms: u64,
    },
    Release,
    NoteReported(String),
    Forget,
    /// A supervisor of an earlier life is connected; answers what it says of its containers.
    Adopt(UnixStream, OwnedFd, oneshot::Sender<Option<Vec<FoundContainer>>>),
    Report(u64, Report),
    Gone(u64),
}

struct Actor {
    shared: Arc<Shared>,
    task: TaskKey,
    directory: TaskDirectory,
    orders: UnboundedReceiver<Order>,
    inbox: WeakUnboundedSender<Order>,
    link: Option<Link>,
    links: u64,
    /// Orders that came while an answer was awaited; first in line.
    backlog: VecDeque<Order>,
    /// Why the supervisor went, in its own words.
    refused: Option<String>,
}

/// An actor's life: until `Forget`, or until the runtime is dropped.
pub(crate) async fn run(
    shared: Arc<Shared>,
    task: TaskKey,
    orders: UnboundedReceiver<Order>,
    inbox: WeakUnboundedSender<Order>,
) {
    let directory = shared.directory(&task);
    let mut actor =
        Actor { shared, task, directory, orders, inbox, link: None, links: 0, backlog: VecDeque::new(), refused: None };
    loop {
        let order = match actor.backlog.pop_front() {
            Some(order) => order,
            None => match actor.orders.recv().await {
                Some(order) => order,
                None => break,
            },
        };
        let last = matches!(order, Order::Forget);
        actor.obey(order).await;
        if last {
            break;
        }
    }
}

impl Actor {
    async fn obey(&mut self, order: Order) {
        match order {
            Order::Record(record) => {
                let error = self.directory.write_record(&record).err().map(|error| error.to_string());
                self.tell(|task| Event::Recorded { task, error });
            }
            Order::Supervise(limits) => self.supervise(limits).await,
            Order::Start(spec) => self.start(*spec).await,
            Order::Stop { container, force } => {
                self.send(&protocol::Order::Stop { container, force }).await;
            }
            Order::Check { container, command, timeout_ms } => {
                self.send(&protocol::Order::Check { container, command, timeout_ms }).await;
            }
            Order::Release => self.release().await,
            Order::NoteReported(status) => {
                if let Err(error) = self.directory.write_reported(&status) {
                    tracing::warn!(task = %self.task, %error, "cannot note what was reported");
                }
            }
            Order::Forget => self.forget(),
            Order::Adopt(socket, pidfd, answer) => {
                let containers = self.adopt(socket, pidfd).await;
                // The asker waits for as long as it lives.
                let _ = answer.send(containers);
            }
            Order::Report(number, report) if self.is_current(number) => self.report(report),
            Order::Gone(number) if self.is_current(number) => self.lost("the supervisor has died"),
            // Of a link that was given up.
            Order::Report(..) | Order::Gone(_) => {}
        }
    }

    fn tell(&self, event: impl FnOnce(TaskKey) -> Event) {
        self.shared.tell(event(self.task.clone()));
    }

    fn is_current(&self, number: u64) -> bool {
        self.link.as_ref().is_some_and(|link| link.number == number)
    }

    fn lost(&mut self, message: &str) {
        self.link = None;
        let message = self.refused.take().unwrap_or_else(|| message.to_owned());
        self.tell(|task| Event::SupervisorLost { task, message });
    }

    async fn send(&mut self, order: &protocol::Order) {
        let Some(link) = &mut self.link else { return };
        if link.send(order).await.is_err() {
            // It is dead or stuck; either way the reader tells of its end.
            link.kill();
        }
    }

    /// A supervisor that an earlier node employed with its last breath may be taking the task over at this very moment:
    /// it holds the lock and cannot be spoken to yet. It is waited for, and adopted.
    async fn supervise(&mut self, limits: TaskLimits) {
        let until = tokio::time::Instant::now() + HOLDER_TIMEOUT;
        loop {
            if self.link.is_some() || self.reconnect().await {
                self.tell(|task| Event::Supervised { task });
                return;
            }
            if self.directory.is_held() && tokio::time::Instant::now() < until {
                tokio::time::sleep(HOLDER_PAUSE).await;
                continue;
            }
            let assignment = Assignment {
                task: self.task.clone(),
                directory: self.directory.path().to_owned(),
                socket: self.shared.place.socket(&self.task),
                limits,
            };
            if let Err(error) = self.employ(assignment).await {
                self.lost(&format!("cannot start a supervisor: {error}"));
                return;
            }
            if self.state().await.is_some() {
                self.tell(|task| Event::Supervised { task });
                return;
            }
            if let Some(link) = self.link.take() {
                link.kill();
            }
            if !self.directory.is_held() || tokio::time::Instant::now() >= until {
                self.lost("the supervisor did not take the task over");
                return;
            }
        }
    }

    async fn employ(&mut self, assignment: Assignment) -> std::io::Result<()> {
        let spare = self.shared.spares.take()?;
        self.connect(spare.socket, spare.pidfd)?;
        match &mut self.link {
            Some(link) => link.send(&protocol::Order::Assign(assignment)).await,
            None => Ok(()),
        }
    }

    fn connect(&mut self, socket: UnixStream, pidfd: OwnedFd) -> std::io::Result<()> {
        self.links += 1;
        self.refused = None;
        self.link = Some(Link::new(self.links, socket, pidfd, self.inbox.clone())?);
        Ok(())
    }

    /// The supervisor's first words; `None` when they do not come. Orders that come in between are kept back.
    async fn state(&mut self) -> Option<Vec<FoundContainer>> {
        let deadline = tokio::time::Instant::now() + ANSWER_TIMEOUT;
        loop {
            match tokio::time::timeout_at(deadline, self.orders.recv()).await {
                Ok(Some(Order::Report(number, Report::State { version, containers }))) if self.is_current(number) => {
                    return (version <= PROTOCOL).then_some(containers);
                }
                Ok(Some(Order::Report(number, report))) if self.is_current(number) => {
                    self.report(report);
                }
                Ok(Some(Order::Gone(number))) if self.is_current(number) => return None,
                Ok(Some(order)) => self.backlog.push_back(order),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    async fn adopt(&mut self, socket: UnixStream, pidfd: OwnedFd) -> Option<Vec<FoundContainer>> {
        self.connect(socket, pidfd).ok()?;
        let containers = self.state().await;
        if containers.is_none() {
            self.link = None;
        }
        containers
    }

    /// To a supervisor that is there from before; its containers' state is told again.
    async fn reconnect(&mut self) -> bool {
        let Some((socket, pidfd)) = release::living(&self.shared.place, &self.task, &self.directory) else {
            return false;
        };
        let Some(containers) = self.adopt(socket, pidfd).await else { return false };
        for container in containers {
            self.retell(container);
        }
        true
    }

    fn retell(&mut self, found: FoundContainer) {
        let FoundContainer { name, runtime_id, started_at, exit, .. } = found;
        if let Some(at) = started_at {
            self.report(Report::Created { container: name.clone(), runtime_id, at });
            self.report(Report::Started { container: name.clone(), at });
        }
        match exit {
            Some(exit) if started_at.is_none() => self.report(Report::Failed { container: name, exit }),
            Some(exit) => self.report(Report::Exited { container: name, exit }),
            None => {}
        }
    }

    async fn start(&mut self, spec: ContainerSpec) {
        let container = spec.name.clone();
        let refused = |reason: &str| Event::ContainerFailed {
            task: self.task.clone(),
            container: container.clone(),
            exit: Exit {
                code: None,
                out_of_memory: false,
                reason: Some(format!("CannotCreateContainerError: {reason}")),
                at: now_ms(),
            },
        };
        let Some(image) = self.shared.images.by_digest(&spec.image_digest) else {
            self.shared.tell(refused(&format!("image {} is not on this node", spec.image_digest)));
            return;
        };
        if self.link.is_none() {
            self.shared.tell(refused("the task has no supervisor"));
            return;
        }
        let edits = match self.edits(&spec).await {
            Ok(edits) => edits,
            Err(why) => {
                self.shared.tell(refused(&why));
                return;
            }
        };
        let network = self.shared.place.network(&self.task, spec.network);
        let volumes = self.directory.volumes();
        let start = Start { spec, image: image.config, layers: image.layers, network, volumes, edits };
        self.send(&protocol::Order::Start(Box::new(start))).await;
    }

    /// What the GPUs of a container do to it, read from their files when there are any.
    async fn edits(&self, spec: &ContainerSpec) -> Result<Edits, String> {
        if spec.gpus.is_empty() {
            return Ok(Edits::default());
        }
        let (shared, gpus) = (self.shared.clone(), spec.gpus.clone());
        let read = tokio::task::spawn_blocking(move || cdi::edits(&shared.cdi, &gpus)).await;
        read.unwrap_or_else(|error| Err(error.to_string()))
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Created { container, runtime_id, at } => {
                self.tell(|task| Event::ContainerCreated { task, container, runtime_id, at });
            }
            Report::Started { container, at } => {
                self.shared.spares.breathe();
                self.tell(|task| Event::ContainerStarted { task, container, at });
            }
            Report::Failed { container, exit } => {
                self.tell(|task| Event::ContainerFailed { task, container, exit });
            }
            Report::Exited { container, exit } => {
                self.tell(|task| Event::ContainerExited { task, container, exit });
            }
            Report::Checked { container, code } => {
                self.tell(|task| Event::HealthChecked { task, container, code });
            }
            Report::Refused { message } => self.refused = Some(message),
            // Asked for and taken in `state`.
            Report::State { .. } => {}
        }
    }

    async fn release(&mut self) {
        self.end_supervisor().await;
        self.link = None;
        let (shared, task, directory) = (self.shared.clone(), self.task.clone(), self.directory.clone());
        let clean = move || release::release(&shared, &task, &directory);
        if let Err(error) = tokio::task::spawn_blocking(clean).await {
            tracing::error!(task = %self.task, %error, "release failed");
        }
        // Moved away first: the task may be started again, and its new root must not be what is being deleted.
        let of_task = [self.directory.rootfs(), self.directory.volumes()];
        let pairs = of_task.map(|made| (made.clone(), made.with_extension("old")));
        let moved = tokio::task::spawn_blocking({
            let pairs = pairs.clone();
            move || {
                for (made, aside) in pairs {
                    let _ = std::fs::remove_dir_all(&aside);
                    // One that was never made cannot be moved, and need not be.
                    let _ = std::fs::rename(&made, &aside).or_else(|_| std::fs::remove_dir_all(&made));
                }
            }
        });
        let _ = moved.await;
        self.tell(|task| Event::Released { task });
        let remove = |(_, aside): (_, std::path::PathBuf)| drop(std::fs::remove_dir_all(aside));
        tokio::task::spawn_blocking(move || pairs.into_iter().for_each(remove));
    }

    /// Asks it to end, and tells the exits that it still reports.
    async fn end_supervisor(&mut self) {
        self.send(&protocol::Order::End).await;
        let deadline = tokio::time::Instant::now() + END_TIMEOUT;
        while self.link.is_some() {
            match tokio::time::timeout_at(deadline, self.orders.recv()).await {
                Ok(Some(Order::Report(number, report))) if self.is_current(number) => {
                    self.report(report);
                }
                Ok(Some(Order::Gone(number))) if self.is_current(number) => self.link = None,
                Ok(Some(order)) => self.backlog.push_back(order),
                Ok(None) | Err(_) => {
                    if let Some(link) = self.link.take() {
                        link.kill();
                    }
                }
            }
        }
    }

    fn forget(&mut self) {
        self.link = None;
        match release::set_aside(&self.shared.tasks, &self.task, &self.directory) {
            Ok(aside) => {
                tokio::task::spawn_blocking(move || drop(std::fs::remove_dir_all(aside)));
            }
            Err(error) => tracing::error!(task = %self.task, %error, "cannot delete the task's directory"),
        }
        self.tell(|task| Event::Forgotten { task });
    }
}
