//! The one row that says how far the store has come and what it must contain, with a checksum of its own.

use crate::error::StoreError;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;

/// How far the store has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The last batch.
    pub last: u64,
    /// Its time.
    pub at: u64,
    /// How many rows there are.
    pub rows: u64,
    /// The sum of all rows' checksums: a row that vanished with a damaged page is missed.
    pub rows_sum: u64,
    /// Bytes of history.
    pub history_bytes: u64,
}

impl Head {
    /// The head of an opened store.
    pub fn read(connection: &Connection, path: &Path) -> Result<Self, StoreError> {
        let read = |row: &rusqlite::Row<'_>| {
            let number = |at| row.get::<_, i64>(at).map(i64::cast_unsigned);
            let head = Self {
                last: number(0)?,
                at: number(1)?,
                rows: number(2)?,
                rows_sum: number(3)?,
                history_bytes: number(4)?,
            };
            Ok((head, row.get::<_, i64>(5)?))
        };
        let sql = "SELECT last, at, rows, rows_sum, history_bytes, sum FROM head WHERE one = 1";
        let found = connection.query_row(sql, [], read).optional();
        let found = found.map_err(StoreError::sqlite("read", path))?;
        match found {
            Some((head, sum)) if sum == i64::from(head.sum()) => Ok(head),
            _ => Err(StoreError::damaged(path, "its head is not what was written")),
        }
    }

    /// Writes the head within the transaction that is open.
    pub fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let sql = "INSERT OR REPLACE INTO head (one, last, at, rows, rows_sum, history_bytes, sum) \
                   VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)";
        let numbers = [self.last, self.at, self.rows, self.rows_sum, self.history_bytes].map(u64::cast_signed);
        let [last, at, rows, rows_sum, history_bytes] = numbers;
        connection.prepare_cached(sql)?.execute(params![last, at, rows, rows_sum, history_bytes, self.sum()])?;
        Ok(())
    }

    fn sum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        for number in [self.last, self.at, self.rows, self.rows_sum, self.history_bytes] {
            hasher.update(&number.to_le_bytes());
        }
        hasher.finalize()
    }
}
