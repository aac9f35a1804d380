//! The one thread that writes. Whatever waits for it is made durable together and answered after that; deletions are done
//! a slice at a time, when nothing else waits. It sleeps while there is nothing to do.

use crate::append::Appended;
use crate::store::Store;
use crate::{Error, Group, Millis};
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

/// Requests that become durable together.
const TOGETHER_MAX: usize = 256;
/// Events that become durable together: what a transaction holds in memory.
const EVENTS_TOGETHER_MAX: usize = 50_000;

/// Answers a request, on the writing thread.
pub type Reply<T> = Box<dyn FnOnce(Result<T, Error>) + Send>;

enum Order {
    Create { group: Group, stream: String, now: Millis, reply: Reply<()> },
    Delete { group: Group, stream: String, reply: Reply<()> },
    Append(Append),
    Groups { reply: Reply<Vec<Group>> },
    Keep(Vec<Keep>),
}

struct Append {
    group: Group,
    stream: String,
    now: Millis,
    retention_ms: Option<Millis>,
    events: Vec<(Millis, String)>,
    reply: Reply<Appended>,
}

/// What of a group is to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All of it.
    Nothing(Group),
    /// What is from before that time.
    Since(Group, Millis),
}

/// Gives orders to the thread.
#[derive(Clone)]
pub struct Writer {
    orders: Sender<Order>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writer")
    }
}

impl Writer {
    pub(crate) fn start(store: Store) -> Result<Self, Error> {
        let (orders, incoming) = channel();
        std::thread::Builder::new().name("logs".into()).spawn(move || run(store, &incoming))?;
        Ok(Self { orders })
    }

    fn give(&self, order: Order) {
        // The thread lives for as long as this sender does; should it have died, the reply is dropped, which tells.
        let _ = self.orders.send(order);
    }

    /// Makes a stream.
    pub fn create_stream(&self, group: Group, stream: String, now: Millis, reply: Reply<()>) {
        self.give(Order::Create { group, stream, now, reply });
    }

    /// Deletes a stream and its events.
    pub fn delete_stream(&self, group: Group, stream: String, reply: Reply<()>) {
        self.give(Order::Delete { group, stream, reply });
    }

    /// Adds events, by the rules of PutLogEvents; answered when they are on disk.
    pub fn append(
        &self,
        (group, stream): (Group, String),
        (now, retention_ms): (Millis, Option<Millis>),
        events: Vec<(Millis, String)>,
        reply: Reply<Appended>,
    ) {
        self.give(Order::Append(Append { group, stream, now, retention_ms, events, reply }));
    }

    /// Every group that something is kept of.
    pub fn groups(&self, reply: Reply<Vec<Group>>) {
        self.give(Order::Groups { reply });
    }

    /// Deletes what is kept no longer, when there is time for it.
    pub fn keep(&self, keep: Vec<Keep>) {
        self.give(Order::Keep(keep));
    }
}

fn run(mut store: Store, orders: &Receiver<Order>) {
    let mut chores: VecDeque<Keep> = VecDeque::new();
    loop {
        let first = match chores.is_empty() {
            true => orders.recv().ok(),
            false => match orders.try_recv() {
                Ok(order) => Some(order),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => return,
            },
        };
        let Some(first) = first else {
            match chores.front().copied() {
                Some(chore) => tidy(&mut store, &mut chores, chore),
                None => return,
            }
            continue;
        };
        let (mut together, mut events) = (Vec::new(), 0);
        let mut next = Some(first);
        while let Some(order) = next {
            if let Order::Append(append) = &order {
                events += append.events.len();
            }
            match order {
                Order::Keep(more) => chores.extend(more),
                order => together.push(order),
            }
            let room = together.len() < TOGETHER_MAX && events < EVENTS_TOGETHER_MAX;
            next = if room { orders.try_recv().ok() } else { None };
        }
        commit(&mut store, together);
    }
}

fn tidy(store: &mut Store, chores: &mut VecDeque<Keep>, chore: Keep) {
    let more = match chore {
        Keep::Nothing(group) => store.delete_group(&group),
        Keep::Since(group, before) => store.expire(&group, before),
    };
    match more {
        Ok(true) => {}
        Ok(false) => drop(chores.pop_front()),
        Err(error) => {
            tracing::error!(%error, "old log events cannot be deleted; it is tried again with the next sweep");
            chores.pop_front();
        }
    }
}

/// An answer that waits for the disk.
type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

fn commit(store: &mut Store, orders: Vec<Order>) {
    let mut done: Vec<Done> = Vec::with_capacity(orders.len());
    let committed = attempt(store, orders, &mut done);
    if let Err(error) = &committed {
        tracing::error!(%error, "log events could not be made durable");
    }
    done.into_iter().for_each(|done| done(committed.clone()));
}

fn attempt(store: &mut Store, orders: Vec<Order>, done: &mut Vec<Done>) -> Result<(), Error> {
    let batch = match store.begin() {
        Ok(batch) => batch,
        Err(error) => {
            orders.into_iter().for_each(|order| refuse(order, &error));
            return Ok(());
        }
    };
    let mut broken = Ok(());
    for order in orders {
        let went = match order {
            Order::Create { group, stream, now, reply } => {
                answer(done, reply, batch.create_stream(&group, &stream, now))
            }
            Order::Delete { group, stream, reply } => answer(done, reply, batch.delete_stream(&group, &stream)),
            Order::Append(Append { group, stream, now, retention_ms, events, reply }) => {
                answer(done, reply, batch.append(&group, &stream, now, retention_ms, &events))
            }
            Order::Groups { reply } => answer(done, reply, batch.groups()),
            Order::Keep(_) => Ok(()),
        };
        broken = broken.and(went);
    }
    // What failed half way for the disk's sake must not become durable with the others: all are told so.
    broken?;
    batch.commit()
}

/// Keeps an answer until the batch is durable. An error: the disk's, not the caller's.
fn answer<T: Send + 'static>(done: &mut Vec<Done>, reply: Reply<T>, result: Result<T, Error>) -> Result<(), Error> {
    let broken = match &result {
        Err(Error::Store(_)) => result.as_ref().map(|_| ()).map_err(Clone::clone),
        _ => Ok(()),
    };
    done.push(Box::new(move |committed| reply(committed.and(result))));
    broken
}

fn refuse(order: Order, error: &Error) {
    match order {
        Order::Create { reply, .. } | Order::Delete { reply, .. } => reply(Err(error.clone())),
        Order::Append(append) => (append.reply)(Err(error.clone())),
        Order::Groups { reply } => reply(Err(error.clone())),
        Order::Keep(_) => {}
    }
}
