//! What happened: the changes of past batches, read in pieces and forgotten in slices, so that no commit waits long.

use crate::batch::{HistoryEntry, batch_sum, decode};
use crate::error::StoreError;
use crate::store::Store;
use rusqlite::params;

/// One slice forgets so many batches at most.
const SLICE: i64 = 256;

/// What one slice did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trimmed {
    /// Batches forgotten.
    pub batches: u64,
    /// There is more to forget: call again when idle.
    pub more: bool,
}

impl Store {
    /// Forgets the oldest batches, up to a slice of them: those before `older_than_ms`, and those that make the history
    /// larger than `max_bytes`. The last batch always stays.
    pub fn trim_history(&mut self, older_than_ms: u64, max_bytes: u64) -> Result<Trimmed, StoreError> {
        let oldest = self.oldest()?;
        let mut left = self.head.history_bytes;
        let mut cut = None;
        let mut count = 0;
        for (number, at, bytes) in &oldest {
            let keep = (*at >= older_than_ms && left <= max_bytes) || *number == self.head.last;
            if keep || count == SLICE.unsigned_abs() {
                break;
            }
            left = left.saturating_sub(*bytes);
            count += 1;
            cut = Some(*number);
        }
        let Some(cut) = cut else { return Ok(Trimmed { batches: 0, more: false }) };
        let mut head = self.head;
        head.history_bytes = left;
        self.transact("trim", |transaction| {
            let sql = "DELETE FROM history WHERE number <= ?1";
            transaction.prepare_cached(sql)?.execute([cut.cast_signed()])?;
            head.write(transaction)
        })?;
        self.head = head;
        Ok(Trimmed { batches: count, more: count == SLICE.unsigned_abs() })
    }

    /// Number, time and size of the oldest batches.
    fn oldest(&self) -> Result<Vec<(u64, u64, u64)>, StoreError> {
        let read = || -> rusqlite::Result<Vec<(u64, u64, u64)>> {
            let sql = "SELECT number, at, bytes FROM history ORDER BY number LIMIT ?1";
            let mut statement = self.connection.prepare_cached(sql)?;
            let number = |row: &rusqlite::Row<'_>, at| row.get::<_, i64>(at).map(i64::cast_unsigned);
            statement.query_map([SLICE], |row| Ok((number(row, 0)?, number(row, 1)?, number(row, 2)?)))?.collect()
        };
        read().map_err(StoreError::sqlite("trim", &self.path))
    }

    /// Up to `limit` batches from `from_index` on, or from the oldest that is kept, in order and without a gap.
    pub fn history(&mut self, from_index: u64, limit: usize) -> Result<Vec<HistoryEntry>, StoreError> {
        let failed = || StoreError::sqlite("read the history of", &self.path);
        let damaged = |index| StoreError::damaged(&self.path, format!("batch {index} is not what was written"));
        let sql = "SELECT number, at, sum, body FROM history WHERE number >= ?1 ORDER BY number LIMIT ?2";
        let mut statement = self.connection.prepare_cached(sql).map_err(failed())?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let from = i64::try_from(from_index).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![from, limit]).map_err(failed())?;
        let mut entries: Vec<HistoryEntry> = Vec::new();
        while let Some(row) = rows.next().map_err(failed())? {
            let number = |at| row.get::<_, i64>(at).map(i64::cast_unsigned).map_err(failed());
            let (index, at, sum) = (number(0)?, number(1)?, number(2)?);
            let body = row.get_ref(3).map_err(failed())?.as_blob().map_err(|_| damaged(index))?;
            if sum != u64::from(batch_sum(index, at, body)) {
                return Err(damaged(index));
            }
            if entries.last().is_some_and(|before| before.index + 1 != index) {
                return Err(StoreError::damaged(&self.path, format!("batch {} is missing", index - 1)));
            }
            let changes = decode(body).ok_or_else(|| damaged(index))?;
            entries.push(HistoryEntry { index, at, changes });
        }
        Ok(entries)
    }
}
