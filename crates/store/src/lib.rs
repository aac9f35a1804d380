//! Durability: ordered batches of changes with the rows they touch, in one SQLite file. What is in a row or a change is
//! not known here; what was committed is there after a kill or a power cut, whole and in order, or the store says that
//! it is damaged. It takes no decision and starts no thread.
#![forbid(unsafe_code)]

mod batch;
mod error;
mod head;
mod history;
mod lock;
mod schema;
mod store;

pub use batch::{BATCH_BYTES_MAX, Batch, HistoryEntry, Row};
pub use error::StoreError;
pub use history::Trimmed;
pub use store::Store;
