//! The file: groups, streams, blocks, and the indexes by which a range of time is found from either end.

use crate::append::{self, Appended};
use crate::block::{BLOCK_BYTES, Block};
use crate::{Error, Group, Millis};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Raised with every change of the tables.
const VERSION: u32 = 1;
/// "GanL".
const APPLICATION: u32 = 0x4761_6e4c;
/// A last block with fewer unpacked bytes is rewritten with what comes.
const TAIL_BYTES: usize = BLOCK_BYTES / 2;
/// Blocks that one slice of a deletion takes.
const SLICE: usize = 128;

const TABLES: &str = "
    CREATE TABLE groups (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE);
    CREATE TABLE streams (id INTEGER PRIMARY KEY AUTOINCREMENT, owner INTEGER NOT NULL, name TEXT NOT NULL,
        created INTEGER NOT NULL, ingested INTEGER, next INTEGER NOT NULL, tail INTEGER, UNIQUE (owner, name));
    CREATE TABLE blocks (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL, stream INTEGER NOT NULL, seq INTEGER NOT NULL,
        first INTEGER NOT NULL, last INTEGER NOT NULL, raw INTEGER NOT NULL, sum INTEGER NOT NULL, data BLOB NOT NULL);
    CREATE INDEX by_owner ON blocks (owner, first, stream, seq);
    CREATE INDEX by_first ON blocks (stream, first, seq);
    CREATE INDEX by_last ON blocks (stream, last, seq);";

/// The writing end.
#[derive(Debug)]
pub(crate) struct Store {
    connection: Connection,
}

/// Opens a connection. Small caches: what is read once is rarely read again.
pub(crate) fn connect(path: &Path, flags: OpenFlags, cache_kib: u32) -> Result<Connection, Error> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.execute_batch(&format!(
        "PRAGMA cache_size = -{cache_kib}; PRAGMA mmap_size = 0; PRAGMA temp_store = memory; PRAGMA trusted_schema = off;"
    ))?;
    Ok(connection)
}

impl Store {
    /// Opens the file, or makes it; refuses one that is not ours or newer.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, 1024)?;
        let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, u32>(0));
        match (pragma("application_id")?, pragma("user_version")?) {
            (0, 0) => {
                // Freed pages can be given back to the file system; to be said before anything is written.
                connection.execute_batch("PRAGMA auto_vacuum = incremental; PRAGMA journal_mode = wal;")?;
                let head = format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};");
                connection.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} {head} COMMIT;"))?;
            }
            (APPLICATION, VERSION) => {}
            (APPLICATION, version) => {
                return Err(Error::Store(format!("{} was written by a newer version ({version})", path.display())));
            }
            _ => return Err(Error::Store(format!("{} is not a log store", path.display()))),
        }
        connection.execute_batch(
            "PRAGMA journal_mode = wal; PRAGMA synchronous = full; PRAGMA wal_autocheckpoint = 2048;
             PRAGMA journal_size_limit = 8388608;",
        )?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(Self { connection })
    }

    /// Begins what becomes durable together.
    pub(crate) fn begin(&mut self) -> Result<Batch<'_>, Error> {
        Ok(Batch { inner: self.connection.transaction_with_behavior(TransactionBehavior::Immediate)? })
    }

    /// Deletes a slice of a group; true: there is more.
    pub(crate) fn delete_group(&mut self, group: &Group) -> Result<bool, Error> {
        let batch = self.begin()?;
        let Some(owner) = batch.group(group)? else { return Ok(false) };
        let left = batch.slice("owner = ?1", owner)?;
        if !left {
            batch.inner.execute("DELETE FROM streams WHERE owner = ?1", [owner])?;
            batch.inner.execute("DELETE FROM groups WHERE id = ?1", [owner])?;
        }
        batch.commit()?;
        self.give_back()?;
        Ok(left)
    }

    /// Deletes a slice of what a group has from before a time; true: there is more.
    pub(crate) fn expire(&mut self, group: &Group, before: Millis) -> Result<bool, Error> {
        let batch = self.begin()?;
        let Some(owner) = batch.group(group)? else { return Ok(false) };
        // A block goes when its last event has gone; readers leave out older events before.
        let left = batch.slice(&format!("owner = ?1 AND first < {before} AND last < {before}"), owner)?;
        batch.commit()?;
        self.give_back()?;
        Ok(left)
    }

    fn give_back(&self) -> Result<(), Error> {
        Ok(self.connection.execute_batch("PRAGMA incremental_vacuum(1024)")?)
    }
}

/// Changes on their way.
pub(crate) struct Batch<'a> {
    inner: Transaction<'a>,
}

impl Batch<'_> {
    /// Makes it all durable: on disk when this returns.
    pub(crate) fn commit(self) -> Result<(), Error> {
        Ok(self.inner.commit()?)
    }

    /// Every group that something is kept of.
    pub(crate) fn groups(&self) -> Result<Vec<Group>, Error> {
        let mut statement = self.inner.prepare("SELECT key FROM groups ORDER BY id")?;
        let keys = statement.query_map([], |row| row.get::<_, Group>(0))?;
        Ok(keys.collect::<Result<_, _>>()?)
    }

    fn group(&self, group: &Group) -> Result<Option<i64>, Error> {
        let mut find = self.inner.prepare_cached("SELECT id FROM groups WHERE key = ?1")?;
        Ok(find.query_row([&group[..]], |row| row.get(0)).optional()?)
    }

    /// True: there may be more.
    fn slice(&self, of: &str, owner: i64) -> Result<bool, Error> {
        let sql = format!("DELETE FROM blocks WHERE id IN (SELECT id FROM blocks WHERE {of} LIMIT {SLICE})");
        Ok(self.inner.execute(&sql, [owner])? == SLICE)
    }

    pub(crate) fn create_stream(&self, group: &Group, name: &str, now: Millis) -> Result<(), Error> {
        let owner = match self.group(group)? {
            Some(owner) => owner,
            None => {
                self.inner.execute("INSERT INTO groups (key) VALUES (?1)", [&group[..]])?;
                self.inner.last_insert_rowid()
            }
        };
        let mut insert = self.inner.prepare_cached(
            "INSERT INTO streams (owner, name, created, next) VALUES (?1, ?2, ?3, 0) ON CONFLICT DO NOTHING",
        )?;
        match insert.execute(params![owner, name, now as i64])? {
            0 => Err(Error::StreamExists),
            _ => Ok(()),
        }
    }

    /// Deletes a stream and what it has.
    pub(crate) fn delete_stream(&self, group: &Group, name: &str) -> Result<(), Error> {
        let (_, stream) = self.stream(group, name)?;
        self.inner.execute("DELETE FROM blocks WHERE stream = ?1", [stream])?;
        self.inner.execute("DELETE FROM streams WHERE id = ?1", [stream])?;
        Ok(())
    }

    fn stream(&self, group: &Group, name: &str) -> Result<(i64, i64), Error> {
        let mut find = self.inner.prepare_cached(
            "SELECT s.owner, s.id FROM streams s JOIN groups g ON s.owner = g.id WHERE g.key = ?1 AND s.name = ?2",
        )?;
        let found = find.query_row(params![&group[..], name], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        found.ok_or(Error::NoStream)
    }

    /// Adds events to a stream.
    pub(crate) fn append(
        &self,
        group: &Group,
        name: &str,
        now: Millis,
        retention_ms: Option<Millis>,
        events: &[(Millis, String)],
    ) -> Result<Appended, Error> {
        let (owner, stream) = self.stream(group, name)?;
        let (taken, rejected) = append::check(now, retention_ms, events)?;
        let count = taken.len();
        if count == 0 {
            return Ok(Appended { count, rejected });
        }
        let mut find = self.inner.prepare_cached("SELECT next, tail FROM streams WHERE id = ?1")?;
        let (mut next, tail): (i64, Option<i64>) = find.query_row([stream], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut open = match tail {
            Some(tail) => self.tail(tail)?,
            None => None,
        };
        let mut last = tail;
        for (at, message) in &events[taken] {
            let full = |(block, ..): &(Block, i64, Option<i64>)| !block.takes(*at);
            if open.as_ref().is_some_and(full)
                && let Some(block) = open.take()
            {
                last = Some(self.put(owner, stream, block)?);
            }
            let (block, ..) = open.get_or_insert_with(|| (Block::default(), next, None));
            block.push(*at, now, message);
            next += 1;
        }
        if let Some(block) = open {
            last = Some(self.put(owner, stream, block)?);
        }
        let mut update =
            self.inner.prepare_cached("UPDATE streams SET next = ?2, tail = ?3, ingested = ?4 WHERE id = ?1")?;
        update.execute(params![stream, next, last, now as i64])?;
        Ok(Appended { count, rejected })
    }

    /// The last block of a stream with its place, when it is small and sound enough to be added to.
    fn tail(&self, id: i64) -> Result<Option<(Block, i64, Option<i64>)>, Error> {
        let mut find =
            self.inner.prepare_cached("SELECT seq, raw, sum, data FROM blocks WHERE id = ?1 AND raw < ?2")?;
        let found = find.query_row(params![id, TAIL_BYTES as i64], |row| {
            let (seq, raw, sum): (i64, i64, u32) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let block = row.get_ref(3)?.as_blob().ok().and_then(|data| Block::unpack(data, sum, raw as usize));
            Ok(block.map(|block| (block, seq, Some(id))))
        });
        Ok(found.optional()?.flatten())
    }

    fn put(&self, owner: i64, stream: i64, (block, seq, id): (Block, i64, Option<i64>)) -> Result<i64, Error> {
        let (data, sum) = block.pack()?;
        let mut put = self.inner.prepare_cached(
            "INSERT OR REPLACE INTO blocks (id, owner, stream, seq, first, last, raw, sum, data) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        let (first, last, raw) = (block.first_at() as i64, block.last_at() as i64, block.raw_bytes() as i64);
        put.execute(params![id, owner, stream, seq, first, last, raw, sum, data])?;
        Ok(self.inner.last_insert_rowid())
    }
}
