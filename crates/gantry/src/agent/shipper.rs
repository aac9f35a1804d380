//! Ships what containers print to their log streams: one task for all of them. It sleeps until a spool is written to, gathers
//! for a moment, and ships at least once: a kill repeats the batch that was on its way. While nobody answers it tries less
//! and less often; containers go on.

use super::shipping::{Outcome, Shipment};
use crate::client::Client;
use node::hands::TaskKey;
use runtime::Runtime;
use runtime::tail::Tail;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// From a line to its batch: others may come.
const LINGER: Duration = Duration::from_millis(40);
/// A line without its end is shipped as it is after this time.
const PART_PATIENCE: Duration = Duration::from_secs(1);
/// Between looks at a spool that cannot be watched.
const UNWATCHED: Duration = Duration::from_millis(250);
/// Between tries, at first and at the most.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Batches on their way at once.
const TOGETHER_MAX: usize = 4;

enum Order {
    Watch(TaskKey),
    Finish(TaskKey, oneshot::Sender<()>),
}

/// Gives orders to the task that ships.
pub struct Shipper {
    orders: mpsc::UnboundedSender<Order>,
}

impl Shipper {
    /// Starts it.
    pub fn start(runtime: Arc<Runtime>, client: Client) -> Self {
        let (orders, incoming) = mpsc::unbounded_channel();
        let (written, writes) = mpsc::unbounded_channel();
        let watcher = watcher(written)
            .inspect_err(|error| tracing::warn!(%error, "spools cannot be watched and are looked at often"))
            .ok();
        let work = Work {
            runtime,
            client: Arc::new(client),
            watcher,
            writes,
            spools: HashMap::new(),
            known: HashSet::new(),
            watches: HashMap::new(),
            due: BTreeSet::new(),
            finishing: HashMap::new(),
            running: JoinSet::new(),
            next: 0,
        };
        tokio::spawn(work.run(incoming));
        Self { orders }
    }

    /// A container of the task has started: its output is to be shipped from now on.
    pub fn watch(&self, task: &TaskKey) {
        let _ = self.orders.send(Order::Watch(task.clone()));
    }

    /// The task is over; answered when its output is shipped, or given up.
    pub fn finish(&self, task: &TaskKey) -> oneshot::Receiver<()> {
        let (done, shipped) = oneshot::channel();
        let _ = self.orders.send(Order::Finish(task.clone(), done));
        shipped
    }
}

type SpoolId = u64;

/// A container's output.
struct Spool {
    task: TaskKey,
    directory: PathBuf,
    /// `None` while a batch is on its way.
    shipment: Option<Shipment>,
    due: Option<Instant>,
    flush: bool,
    wait: Duration,
    away: bool,
}

struct Work {
    runtime: Arc<Runtime>,
    client: Arc<Client>,
    watcher: Option<Arc<OwnedFd>>,
    /// Watches that have told of a write.
    writes: mpsc::UnboundedReceiver<i32>,
    spools: HashMap<SpoolId, Spool>,
    known: HashSet<PathBuf>,
    watches: HashMap<i32, SpoolId>,
    due: BTreeSet<(Instant, SpoolId)>,
    finishing: HashMap<TaskKey, oneshot::Sender<()>>,
    running: JoinSet<(SpoolId, Shipment, Outcome)>,
    next: SpoolId,
}

impl Work {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            self.start_due();
            let room = self.running.len() < TOGETHER_MAX;
            let wake = self.due.first().filter(|_| room).map(|(at, _)| *at);
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Watch(task)) => self.watch(&task),
                    Some(Order::Finish(task, done)) => self.finish(task, done),
                    None => return,
                },
                Some(done) = self.running.join_next() => match done {
                    Ok((id, shipment, outcome)) => self.take(id, shipment, outcome),
                    Err(error) => tracing::error!(%error, "shipping failed"),
                },
                Some(watch) = self.writes.recv() => {
                    if let Some(id) = self.watches.remove(&watch) {
                        self.set_due(id, LINGER);
                    }
                }
                () = until(wake) => {}
            }
        }
    }

    /// Takes up the spools of a task that are not known yet.
    fn watch(&mut self, task: &TaskKey) {
        let output = self.runtime.output_path(task, "x");
        let Some(output) = output.parent() else { return };
        for directory in Tail::all(output) {
            if self.known.contains(&directory) {
                continue;
            }
            match Tail::open(&directory) {
                Ok(tail) => self.add(task, directory, tail),
                Err(error) => tracing::warn!(%error, spool = %directory.display(), "a spool cannot be read"),
            }
        }
    }

    fn add(&mut self, task: &TaskKey, directory: PathBuf, tail: Tail) {
        self.next += 1;
        let id = self.next;
        self.known.insert(directory.clone());
        let spool = Spool {
            task: task.clone(),
            directory,
            shipment: Some(Shipment::new(tail)),
            due: None,
            flush: false,
            wait: RETRY_MIN,
            away: false,
        };
        self.spools.insert(id, spool);
        self.set_due(id, Duration::ZERO);
    }

    fn finish(&mut self, task: TaskKey, done: oneshot::Sender<()>) {
        self.watch(&task);
        let own: Vec<SpoolId> = self.spools.iter().filter(|(_, spool)| spool.task == task).map(|(id, _)| *id).collect();
        if own.is_empty() {
            let _ = done.send(());
            return;
        }
        self.finishing.insert(task, done);
        for id in own {
            if let Some(spool) = self.spools.get_mut(&id) {
                spool.flush = true;
            }
            self.set_due(id, Duration::ZERO);
        }
    }

    /// Sooner is kept.
    fn set_due(&mut self, id: SpoolId, after: Duration) {
        let Some(spool) = self.spools.get_mut(&id) else { return };
        let at = Instant::now() + after;
        if let Some(known) = spool.due {
            if known <= at {
                return;
            }
            self.due.remove(&(known, id));
        }
        spool.due = Some(at);
        self.due.insert((at, id));
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        let mut busy = Vec::new();
        while self.running.len() < TOGETHER_MAX {
            let Some((at, id)) = self.due.first().copied().filter(|(at, _)| *at <= now) else { break };
            self.due.remove(&(at, id));
            let Some(spool) = self.spools.get_mut(&id) else { continue };
            spool.due = None;
            let Some(shipment) = spool.shipment.take() else {
                busy.push(id);
                continue;
            };
            // Watched before it is read: what comes after is told.
            let over = self.finishing.contains_key(&spool.task);
            if !over && !arm(&self.watcher, &mut self.watches, &spool.directory, id) {
                busy.push(id);
            }
            let (client, flush) = (self.client.clone(), std::mem::take(&mut spool.flush));
            self.running.spawn(async move {
                let (shipment, outcome) = shipment.ship(&client, flush).await;
                (id, shipment, outcome)
            });
        }
        busy.into_iter().for_each(|id| self.set_due(id, UNWATCHED));
    }

    fn take(&mut self, id: SpoolId, shipment: Shipment, outcome: Outcome) {
        let Some(spool) = self.spools.get_mut(&id) else { return };
        let finishing = self.finishing.contains_key(&spool.task);
        let part = shipment.tail.has_part();
        spool.shipment = Some(shipment);
        if matches!(outcome, Outcome::More | Outcome::Done) {
            (spool.wait, spool.away) = (RETRY_MIN, false);
        }
        match outcome {
            Outcome::More => {
                spool.flush = finishing;
                self.set_due(id, Duration::ZERO);
            }
            // Written to, or over, since this batch was read.
            Outcome::Done if spool.due.is_some() => {
                spool.flush = finishing;
                self.set_due(id, if finishing { Duration::ZERO } else { LINGER });
            }
            Outcome::Done if finishing && !part => self.drop_spool(id),
            Outcome::Done if part => {
                spool.flush = true;
                self.set_due(id, if finishing { Duration::ZERO } else { PART_PATIENCE });
            }
            Outcome::Done => {}
            // Nothing of a task that is over is worth a wait when nobody takes it.
            Outcome::GivenUp if finishing => {
                spool.flush = true;
                self.set_due(id, Duration::ZERO);
            }
            Outcome::Away | Outcome::Refused | Outcome::GivenUp => {
                if !std::mem::replace(&mut spool.away, true) {
                    tracing::warn!(spool = %spool.directory.display(), ?outcome, "output cannot be shipped now");
                }
                let wait = spool.wait;
                (spool.wait, spool.flush) = ((wait * 2).min(RETRY_MAX), finishing);
                // What is written meanwhile must not make it sooner.
                if let Some(due) = spool.due.take() {
                    self.due.remove(&(due, id));
                }
                self.watches.retain(|_, watched| *watched != id);
                self.set_due(id, wait);
            }
        }
    }

    /// All of it is shipped; with the last spool of a task the task is.
    fn drop_spool(&mut self, id: SpoolId) {
        let Some(spool) = self.spools.remove(&id) else { return };
        if let Some(due) = spool.due {
            self.due.remove(&(due, id));
        }
        self.known.remove(&spool.directory);
        self.watches.retain(|_, watched| *watched != id);
        if !self.spools.values().any(|other| other.task == spool.task)
            && let Some(done) = self.finishing.remove(&spool.task)
        {
            let _ = done.send(());
        }
    }
}

/// Has the next write to a spool told, once. False: it cannot be.
fn arm(watcher: &Option<Arc<OwnedFd>>, watches: &mut HashMap<i32, SpoolId>, directory: &Path, id: SpoolId) -> bool {
    let Some(watcher) = watcher else { return false };
    let flags = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::ONESHOT;
    match inotify::add_watch(&**watcher, directory, flags) {
        Ok(watch) => {
            watches.insert(watch, id);
            true
        }
        // A spool that is gone is found to be empty.
        Err(rustix::io::Errno::NOENT) => true,
        Err(_) => false,
    }
}

/// Watches directories; a thread waits for what they tell, as the runtime has no safe way to.
fn watcher(written: mpsc::UnboundedSender<i32>) -> std::io::Result<Arc<OwnedFd>> {
    let watcher = Arc::new(inotify::init(CreateFlags::CLOEXEC)?);
    let heard = watcher.clone();
    std::thread::Builder::new().name("spools".into()).stack_size(64 << 10).spawn(move || {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&*heard, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) if written.send(event.wd()).is_err() => return,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return tracing::error!(%error, "writes to spools are not heard of any more"),
            }
        }
    })?;
    Ok(watcher)
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
