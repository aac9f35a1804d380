//! Bulk data that is not state: the streams and events of log groups. A group is known here by sixteen bytes and nothing
//! else; who may read it and what it is called is decided elsewhere.
//!
//! Events of a stream are gathered in blocks (`block`), compressed and checksummed, which one SQLite file keeps with an
//! index by time (`store`). One thread writes: whatever waits for it becomes durable in one transaction, and is answered
//! after that (`writer`). Readers have connections of their own and merge blocks in the order of time (`read`). A stream
//! that gets a line now and then has its last block rewritten until that is worth a block; so neither many small writes nor
//! a kill between two leave anything to be tidied.
#![forbid(unsafe_code)]

mod append;
mod block;
mod pattern;
mod read;
mod store;
mod writer;

pub use append::{Appended, BATCH_BYTES_MAX, EVENT_OVERHEAD_BYTES, EVENTS_MAX, Rejected};
pub use block::Event;
pub use pattern::Pattern;
pub use read::{Filter, Found, Order, Page, Reader, Stream, Streams, Token};
pub use writer::{Keep, Reply, Writer};

use std::path::Path;

/// Milliseconds since the epoch.
pub type Millis = u64;
/// What a log group is called here.
pub type Group = [u8; 16];

/// Why something cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such stream.
    #[error("The specified log stream does not exist.")]
    NoStream,
    /// There is one already.
    #[error("The specified log stream already exists")]
    StreamExists,
    /// The request cannot be right.
    #[error("{0}")]
    Invalid(String),
    /// The disk or the file.
    #[error("the log store failed: {0}")]
    Store(String),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Store(error.to_string())
    }
}

/// Opens the file at `path`, or makes it, and starts the thread that writes.
pub fn open(path: &Path) -> Result<(Writer, Reader), Error> {
    let writer = Writer::start(store::Store::open(path)?)?;
    Ok((writer, Reader::new(path)))
}
