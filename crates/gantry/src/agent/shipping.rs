//! One batch of one container's output on its way to its log stream.

use crate::client::{CallError, Client};
use runtime::tail::{Line, Tail};
use wire::logs;

/// A batch that was not taken this often, though somebody answered, never will be.
const REFUSALS_MAX: u32 = 5;

/// What became of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Something was shipped, or given up; there is more.
    More,
    /// Everything was; perhaps but a line that has no end yet.
    Done,
    /// Nobody answered, or nobody could: to be tried again, for as long as it takes.
    Away,
    /// It was refused: to be tried again a few times.
    Refused,
    /// It was refused for good; what comes after it may be too.
    GivenUp,
}

/// A container's output and what is on its way of it.
pub struct Shipment {
    pub tail: Tail,
    batch: Vec<Line>,
    more: bool,
    /// In a row.
    refusals: u32,
}

impl Shipment {
    /// Nothing is on its way yet.
    pub fn new(tail: Tail) -> Self {
        Self { tail, batch: Vec::new(), more: false, refusals: 0 }
    }

    /// Ships a batch: the one before when it was not taken. `flush`: a line without its end is one too.
    pub async fn ship(mut self, client: &Client, flush: bool) -> (Self, Outcome) {
        if self.batch.is_empty() {
            self = match self.read(flush).await {
                Ok(read) => read,
                Err(read) => return (read, Outcome::Away),
            };
        }
        if self.batch.is_empty() {
            return (self, Outcome::Done);
        }
        match self.put(client).await {
            Ok(()) => self.refusals = 0,
            Err(CallError::Unreachable(_)) => return (self, Outcome::Away),
            Err(CallError::Fault(fault)) if fault.is_server_side() => return (self, Outcome::Away),
            Err(CallError::Fault(fault)) => {
                self.refusals += 1;
                if self.refusals < REFUSALS_MAX {
                    return (self, Outcome::Refused);
                }
                // The group is gone, most likely: the container must not wait for it, and its disk not fill.
                if self.refusals == REFUSALS_MAX {
                    let spool = self.tail.directory().display();
                    tracing::warn!(%fault, %spool, "output is refused by the log API and given up");
                }
            }
        }
        self.batch.clear();
        if let Err(error) = self.tail.commit() {
            tracing::warn!(%error, "what was shipped cannot be noted; a restart ships it again");
        }
        let outcome = match (self.refusals, self.more) {
            (REFUSALS_MAX.., _) => Outcome::GivenUp,
            (_, true) => Outcome::More,
            (_, false) => Outcome::Done,
        };
        (self, outcome)
    }

    /// Reading may wait for a disk.
    async fn read(mut self, flush: bool) -> Result<Self, Self> {
        let read = tokio::task::spawn_blocking(move || {
            let read = self.tail.read(flush);
            (self, read)
        });
        match read.await {
            Ok((mut read, Ok((lines, more)))) => {
                (read.batch, read.more) = (lines, more);
                Ok(read)
            }
            Ok((read, Err(error))) => {
                tracing::warn!(%error, spool = %read.tail.directory().display(), "a container's output cannot be read");
                Err(read)
            }
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    async fn put(&self, client: &Client) -> Result<(), CallError> {
        let target = self.tail.target();
        let stream = target.stream.clone().unwrap_or_default();
        match self.put_events(client, &stream).await {
            Err(CallError::Fault(fault)) if fault.code == "ResourceNotFoundException" => {}
            other => return other,
        }
        let create =
            logs::CreateLogStreamRequest { log_group_name: target.group.clone(), log_stream_name: stream.clone() };
        match client.logs(create).await {
            Err(CallError::Fault(fault)) if fault.code == "ResourceAlreadyExistsException" => {}
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        self.put_events(client, &stream).await
    }

    async fn put_events(&self, client: &Client, stream: &str) -> Result<(), CallError> {
        let event = |line: &Line| logs::InputLogEvent { timestamp: line.at as i64, message: line.message.clone() };
        let request = logs::PutLogEventsRequest {
            log_group_name: self.tail.target().group.clone(),
            log_stream_name: stream.to_owned(),
            log_events: self.batch.iter().map(event).collect(),
            ..Default::default()
        };
        client.logs(request).await.map(|_| ())
    }
}
