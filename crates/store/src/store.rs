//! The store itself: open, load, commit, probe, checkpoint, backup. One connection, one thread at a time.

use crate::batch::{BATCH_BYTES_MAX, Batch, Row, batch_sum, encode, row_sum};
use crate::error::{StoreError, room};
use crate::head::Head;
use crate::lock::{Lock, beside};
use crate::schema;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Batches that come are larger than the one that tries: without this much room they would not be taken after all.
const ROOM_BYTES: usize = 1 << 20;

/// An opened store.
#[derive(Debug)]
pub struct Store {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
    pub(crate) head: Head,
    /// Released after the connection is closed.
    _lock: Lock,
}

impl Store {
    /// Opens the store, or makes it (its directory must exist). Refuses one that is in use, newer, damaged or not ours.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = Lock::take(path)?;
        let connection = schema::open(path)?;
        let head = Head::read(&connection, path)?;
        Ok(Self { connection, path: path.to_owned(), head, _lock: lock })
    }

    /// Hands every row to `each` (kind, key, value), in the order of kind and key; returns the last batch's index, zero
    /// for a new store. A damaged row is an error, after rows before it were handed over.
    pub fn load(&mut self, mut each: impl FnMut(&str, &[u8], &[u8])) -> Result<u64, StoreError> {
        let failed = || StoreError::sqlite("load", &self.path);
        // As at start: whoever loads again after a failed commit sees what is durable, not what was remembered.
        let head = Head::read(&self.connection, &self.path)?;
        let (mut count, mut total) = (0u64, 0u64);
        {
            let sql = "SELECT kind, key, sum, value FROM rows ORDER BY kind, key";
            let mut statement = self.connection.prepare(sql).map_err(failed())?;
            let mut rows = statement.query([]).map_err(failed())?;
            while let Some(row) = rows.next().map_err(failed())? {
                let part = |at| row.get_ref(at).map_err(failed());
                let (kind, key, sum, value) =
                    (part(0)?.as_str(), part(1)?.as_blob(), part(2)?.as_i64(), part(3)?.as_blob());
                let (Ok(kind), Ok(key), Ok(sum), Ok(value)) = (kind, key, sum, value) else {
                    return Err(StoreError::damaged(&self.path, "a row has no proper columns"));
                };
                let expected = row_sum(kind, key, value);
                if sum != i64::from(expected) {
                    return Err(StoreError::damaged(
                        &self.path,
                        format!("a row of kind {kind:?} is not what was written"),
                    ));
                }
                count += 1;
                total = total.wrapping_add(expected.into());
                each(kind, key, value);
            }
        }
        if (count, total) != (head.rows, head.rows_sum) {
            return Err(StoreError::damaged(&self.path, format!("{count} rows were found instead of {}", head.rows)));
        }
        // The pages that were read are of no more use.
        self.connection.execute_batch("PRAGMA shrink_memory").map_err(failed())?;
        self.head = head;
        Ok(head.last)
    }

    /// The index of the last durable batch.
    pub fn last(&self) -> u64 {
        self.head.last
    }

    /// The time of the last durable batch, in milliseconds since the epoch: the highest `now` that the store has seen.
    pub fn last_at(&self) -> u64 {
        self.head.at
    }

    /// Makes all batches durable in one transaction, or none of them.
    pub fn commit(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        let mut head = self.head;
        for batch in batches {
            if batch.index != head.last + 1 {
                return Err(StoreError::OutOfOrder { last: head.last, found: batch.index });
            }
            let bytes = batch.bytes();
            if bytes > BATCH_BYTES_MAX {
                return Err(StoreError::TooLarge { index: batch.index, bytes, max: BATCH_BYTES_MAX });
            }
            head.last = batch.index;
        }
        if batches.is_empty() {
            return Ok(());
        }
        let mut head = self.head;
        self.transact("write to", |transaction| {
            for batch in batches {
                write_batch(transaction, batch, &mut head)?;
            }
            head.write(transaction)
        })?;
        self.head = head;
        Ok(())
    }

    /// Writes what is there already, once there is room for more than that: whether the disk takes writes again.
    pub fn probe(&mut self) -> Result<(), StoreError> {
        room(&self.path, ROOM_BYTES)?;
        let head = self.head;
        self.transact("write to", |transaction| head.write(transaction))
    }

    /// Brings the log's pages home. For idle moments, so that no commit has to.
    pub fn checkpoint(&mut self) -> Result<(), StoreError> {
        let done = self.connection.query_row("PRAGMA wal_checkpoint(passive)", [], |_| Ok(()));
        done.map_err(StoreError::sqlite("checkpoint", &self.path))
    }

    /// Writes a whole and consistent copy to `to`, which must not exist. It appears when it is complete and durable.
    pub fn backup(&mut self, to: &Path) -> Result<(), StoreError> {
        let unwritable = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Unwritable { path, source }
        };
        if to.exists() {
            return Err(unwritable(to)(std::io::ErrorKind::AlreadyExists.into()));
        }
        let aside = beside(to, ".part");
        match std::fs::remove_file(&aside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unwritable(&aside)(error)),
            _ => {}
        }
        // Private from the first moment; SQLite takes an empty file for a new one.
        let mut options = File::options();
        std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600);
        let file = options.open(&aside).map_err(unwritable(&aside))?;
        let name = aside.to_string_lossy();
        self.connection.execute("VACUUM INTO ?1", [&*name]).map_err(StoreError::sqlite("back up", &self.path))?;
        file.sync_all().map_err(unwritable(&aside))?;
        std::fs::rename(&aside, to).map_err(unwritable(to))?;
        let directory = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory).and_then(|d| d.sync_all()).map_err(unwritable(directory))
    }

    /// One transaction: all or nothing, durable when it returns.
    pub(crate) fn transact(
        &mut self,
        action: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let run = || {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            work(&transaction)?;
            transaction.commit()
        };
        run().map_err(StoreError::sqlite(action, &self.path))
    }
}

fn write_batch(transaction: &Transaction<'_>, batch: &Batch, head: &mut Head) -> rusqlite::Result<()> {
    let body = encode(&batch.changes);
    let sum = batch_sum(batch.index, batch.at, &body);
    let bytes = body.len() as u64;
    let sql = "INSERT INTO history (number, at, sum, bytes, body) VALUES (?1, ?2, ?3, ?4, ?5)";
    let (index, at) = (batch.index.cast_signed(), batch.at.cast_signed());
    transaction.prepare_cached(sql)?.execute(params![index, at, sum, bytes.cast_signed(), body])?;
    for row in &batch.rows {
        write_row(transaction, row, head)?;
    }
    head.last = batch.index;
    head.at = head.at.max(batch.at);
    head.history_bytes += bytes;
    Ok(())
}

fn write_row(transaction: &Transaction<'_>, row: &Row, head: &mut Head) -> rusqlite::Result<()> {
    let (kind, key) = (&*row.kind, &row.key);
    let old: Option<i64> = transaction
        .prepare_cached("SELECT sum FROM rows WHERE kind = ?1 AND key = ?2")?
        .query_row(params![kind, key], |found| found.get(0))
        .optional()?;
    if let Some(old) = old {
        head.rows = head.rows.wrapping_sub(1);
        head.rows_sum = head.rows_sum.wrapping_sub(old.cast_unsigned());
    }
    match &row.value {
        Some(value) => {
            let sum = row_sum(kind, key, value);
            head.rows = head.rows.wrapping_add(1);
            head.rows_sum = head.rows_sum.wrapping_add(sum.into());
            let sql = "INSERT OR REPLACE INTO rows (kind, key, sum, value) VALUES (?1, ?2, ?3, ?4)";
            transaction.prepare_cached(sql)?.execute(params![kind, key, sum, value])?;
        }
        None if old.is_some() => {
            let sql = "DELETE FROM rows WHERE kind = ?1 AND key = ?2";
            transaction.prepare_cached(sql)?.execute(params![kind, key])?;
        }
        None => {}
    }
    Ok(())
}
