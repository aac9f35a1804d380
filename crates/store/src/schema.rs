//! The file: its settings, its tables, its version. Only what this release knows is opened.

use crate::error::StoreError;
use crate::head::Head;
use rusqlite::{Connection, OpenFlags};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Raised with every change of the tables; the upgrade then writes a backup first.
pub(crate) const VERSION: u32 = 1;
/// "Gant": so that `file` and we can tell our files from others.
const APPLICATION: u32 = 0x4761_6e74;

/// In the order in which they are made; compared with what is found.
const TABLES: [&str; 3] = [
    "CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL, at INTEGER NOT NULL, \
     rows INTEGER NOT NULL, rows_sum INTEGER NOT NULL, history_bytes INTEGER NOT NULL, sum INTEGER NOT NULL)",
    "CREATE TABLE rows (kind TEXT NOT NULL, key BLOB NOT NULL, sum INTEGER NOT NULL, value BLOB NOT NULL, \
     PRIMARY KEY (kind, key)) WITHOUT ROWID",
    "CREATE TABLE history (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, sum INTEGER NOT NULL, bytes INTEGER NOT NULL, \
     body BLOB NOT NULL)",
];

/// Settings of every connection. Memory first: a cache of 4 MiB and no memory map, as an idle process is small. The log
/// is written back when it has 16 MiB and nobody did it before (`Store::checkpoint`).
const SETTINGS: &str = "
    PRAGMA locking_mode = exclusive;
    PRAGMA journal_mode = wal;
    PRAGMA synchronous = full;
    PRAGMA wal_autocheckpoint = 4096;
    PRAGMA journal_size_limit = 16777216;
    PRAGMA cache_size = -4096;
    PRAGMA mmap_size = 0;
    PRAGMA temp_store = memory;
    PRAGMA cell_size_check = on;
    PRAGMA trusted_schema = off;
    PRAGMA foreign_keys = off;";

/// Opens the file, or makes it, and checks that it is ours.
pub(crate) fn open(path: &Path) -> Result<Connection, StoreError> {
    // Made here, so that it and its log are private from the first moment.
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(|source| StoreError::Unwritable { path: path.to_owned(), source })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(StoreError::sqlite("open", path))?;
    connection.set_prepared_statement_cache_capacity(32);
    let application = pragma(&connection, path, "application_id")?;
    let version = pragma(&connection, path, "user_version")?;
    let tables = tables(&connection, path)?;
    match (application, version) {
        (0, 0) if tables.is_empty() => {
            configure(&connection, path)?;
            create(&mut connection).map_err(StoreError::sqlite("create", path))?;
        }
        (APPLICATION, VERSION) => {
            if tables != TABLES {
                return Err(StoreError::damaged(path, "its tables are not what was made"));
            }
            configure(&connection, path)?;
        }
        (APPLICATION, found) if found > VERSION => {
            return Err(StoreError::Newer { path: path.to_owned(), found, known: VERSION });
        }
        (APPLICATION, found) => {
            return Err(StoreError::damaged(path, format!("its version is {found}")));
        }
        _ => return Err(StoreError::Foreign { path: path.to_owned() }),
    }
    Ok(connection)
}

fn configure(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    connection.execute_batch(SETTINGS).map_err(StoreError::sqlite("configure", path))
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for table in TABLES {
        transaction.execute_batch(table)?;
    }
    Head::default().write(&transaction)?;
    transaction.execute_batch(&format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"))?;
    transaction.commit()
}

fn pragma(connection: &Connection, path: &Path, name: &str) -> Result<u32, StoreError> {
    let number: i64 = connection
        .query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
        .map_err(StoreError::sqlite("open", path))?;
    // SQLite keeps 32 bits and shows them signed.
    Ok(number as u32)
}

fn tables(connection: &Connection, path: &Path) -> Result<Vec<String>, StoreError> {
    let read = || -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    read().map_err(StoreError::sqlite("open", path))
}
