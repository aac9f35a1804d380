//! What is going to happen, in order of time and, at one time, of being planned. Decides nothing.

use crate::faults::Fault;
use model::Millis;
use node::hands::{Event as HostEvent, TaskKey};
use std::collections::BTreeMap;

/// Something that is going to happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// The control plane's process is started.
    PlaneStart,
    /// It takes what has arrived and decides.
    PlaneRound { life: u32 },
    /// It asked to be woken.
    PlaneWake { life: u32 },
    /// The disk has finished with the oldest batch.
    Commit { life: u32 },
    /// A request reaches the control plane's host.
    CallArrives { call: u64 },
    /// An answer reaches who asked.
    CallReturns { call: u64 },
    /// Who asked gives up.
    CallExpires { call: u64 },
    /// A session's opening handshake reaches the control plane's host.
    ConnectArrives { session: u64 },
    /// Something may have arrived at a session's end.
    Packet { session: u64, to_node: bool },
    /// A node's process is started.
    NodeStart { agent: usize },
    /// Its hands tell of the next directory.
    NodeFinds { agent: usize, life: u32, after: Option<TaskKey> },
    /// It tries to register or to connect.
    NodeReaches { agent: usize, life: u32 },
    /// It asked to be woken.
    NodeWake { agent: usize, life: u32 },
    /// It looks whether its session is still alive.
    NodeListens { agent: usize, life: u32, session: u64 },
    /// Its hands have done an order.
    JobDone { agent: usize, life: u32, job: u64 },
    /// The supervisor goes on with a container.
    Supervised { agent: usize, boot: u32, task: TaskKey, container: String, serial: u64, step: Step },
    /// The host tells the node something.
    HostSays { agent: usize, life: u32, event: HostEvent },
    /// A client does something.
    ClientTurn { client: usize },
    /// The keeper does something.
    KeeperTurn,
    /// Something goes wrong.
    Fault(Fault),
    /// A partition ends.
    Reunite { agent: usize, partition: u64 },
}

/// What happens to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is made.
    Create,
    /// Its process runs.
    Start,
    /// Its process ends by itself.
    Exit { code: i32, out_of_memory: bool },
    /// Its process ends on a signal.
    Signal { code: i32 },
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    queue: BTreeMap<(Millis, u64), Event>,
    planned: u64,
}

impl Agenda {
    pub fn plan(&mut self, at: Millis, event: Event) {
        self.planned += 1;
        self.queue.insert((at, self.planned), event);
    }

    /// When the next event is.
    pub fn next_at(&self) -> Option<Millis> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    pub fn take(&mut self) -> Option<(Millis, Event)> {
        self.queue.pop_first().map(|((at, _), event)| (at, event))
    }

    /// How many events were ever planned: a clock that never stands still.
    pub fn planned(&self) -> u64 {
        self.planned
    }
}
