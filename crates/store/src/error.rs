//! Why the store cannot do as it is told. It formats; it never decides. Where SQLite has no more to say than "disk I/O
//! error", the file system is asked for its words.

use crate::lock::beside;
use rusqlite::ErrorCode;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Why a store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be written.
    #[error("cannot write to {}", path.display())]
    Unwritable {
        /// The directory or file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Another process has the store open.
    #[error("the store {} is in use by {}", path.display(), holder.map_or("another process".to_owned(), |pid| format!("process {pid}")))]
    InUse {
        /// The store.
        path: PathBuf,
        /// The process that holds it, if it said so.
        holder: Option<u32>,
    },
    /// The store was written by a newer release.
    #[error("the store {} has version {found}, newer than version {known} of this release", path.display())]
    Newer {
        /// The store.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest that we know.
        known: u32,
    },
    /// A file that is no store of ours.
    #[error("{} is not a store of gantry", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is torn or was changed by somebody else.
    #[error("the store {} is damaged: {detail}; restore it from a backup", path.display())]
    Damaged {
        /// The store.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The disk is full.
    #[error("no space is left for the store {}", path.display())]
    Full {
        /// The store.
        path: PathBuf,
    },
    /// A batch does not follow the last one. A bug of the caller's.
    #[error("batch {found} does not follow batch {last}")]
    OutOfOrder {
        /// The last batch that is durable.
        last: u64,
        /// The one that was given.
        found: u64,
    },
    /// A batch is larger than the store's unit.
    #[error("batch {index} has {bytes} bytes, more than the store's unit of {max}")]
    TooLarge {
        /// The batch.
        index: u64,
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Anything else that SQLite says.
    #[error("cannot {action} the store {}", path.display())]
    Sqlite {
        /// What was tried.
        action: &'static str,
        /// The store.
        path: PathBuf,
        /// SQLite's words.
        #[source]
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// For `map_err`: sorts SQLite's errors into ours.
    pub(crate) fn sqlite(action: &'static str, path: &Path) -> impl FnOnce(rusqlite::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { path, detail: source.to_string() }
            }
            // A column that has not the type with which every row was written.
            None if matches!(
                source,
                rusqlite::Error::InvalidColumnType(..)
                    | rusqlite::Error::FromSqlConversionFailure(..)
                    | rusqlite::Error::Utf8Error(..)
            ) =>
            {
                Self::Damaged { path, detail: source.to_string() }
            }
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::SystemIoFailure | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
                room(&path, BLOCK_BYTES).err().unwrap_or(Self::Sqlite { action, path, source })
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse { path, holder: None },
            _ => Self::Sqlite { action, path, source },
        }
    }

    pub(crate) fn damaged(path: &Path, detail: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), detail: detail.into() }
    }
}

/// The least that a file system gives.
const BLOCK_BYTES: usize = 4096;

/// Whether the file system takes so much beside the store, in its own words.
pub(crate) fn room(store: &Path, bytes: usize) -> Result<(), StoreError> {
    try_to_write(store, bytes).map_err(|source| match source.kind() {
        io::ErrorKind::StorageFull => StoreError::Full { path: store.to_owned() },
        _ => StoreError::Unwritable { path: store.to_owned(), source },
    })
}

fn try_to_write(store: &Path, bytes: usize) -> io::Result<()> {
    let path = beside(store, ".probe");
    let write = || {
        let mut file = File::create(&path)?;
        file.write_all(&vec![0; bytes]).and_then(|()| file.sync_all())
    };
    let written = write();
    // One that could not be made cannot be removed, and need not be.
    let _ = fs::remove_file(&path);
    written
}
