//! What the store promises when nothing goes wrong, what it refuses, and what it says when the disk is full.

use crate::world::{Directory, Rows, batch, commit_to, load, rows_after};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use store::{BATCH_BYTES_MAX, Batch, Row, Store, StoreError};

pub fn what_was_committed_is_there_again() {
    let directory = Directory::new();
    let mut store = Store::open(&directory.store()).unwrap();
    assert_eq!(load(&mut store).unwrap(), (0, Rows::new()));
    commit_to(&mut store, 100);
    assert_eq!(load(&mut store).unwrap(), (100, rows_after(100)));
    store.checkpoint().unwrap();
    store.probe().unwrap();
    commit_to(&mut store, 120);
    drop(store);
    let mut store = Store::open(&directory.store()).unwrap();
    assert_eq!(load(&mut store).unwrap(), (120, rows_after(120)));
    assert_eq!((store.last(), store.last_at()), (120, 1_000_120));
    for name in ["state.db", "state.db.lock", "state.db-wal"] {
        let mode = std::fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

pub fn batches_follow_each_other_and_are_small() {
    let directory = Directory::new();
    let mut store = Store::open(&directory.store()).unwrap();
    store.commit(&[]).unwrap();
    store.commit(&[batch(1), batch(2)]).unwrap();
    for wrong in [vec![batch(2)], vec![batch(4)], vec![batch(3), batch(5)], vec![batch(3), batch(3)]] {
        let error = store.commit(&wrong).unwrap_err();
        assert!(matches!(error, StoreError::OutOfOrder { .. }), "{error}");
    }
    let of_size = |bytes: usize| Batch { index: 3, at: 5, changes: vec![vec![b'x'; bytes]], rows: Vec::new() };
    let error = store.commit(&[of_size(BATCH_BYTES_MAX)]).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { index: 3, .. }), "{error}");
    assert_eq!(load(&mut store).unwrap(), (2, rows_after(2)), "nothing of a refused commit stays");
    store.commit(&[of_size(BATCH_BYTES_MAX - 4)]).unwrap();
    assert_eq!(store.last_at(), 1_000_002, "time never goes back");
    // The last row of a key wins, and deleting what is not there is no error.
    let row = |value: Option<&[u8]>| Row { kind: "x".into(), key: vec![0], value: value.map(<[u8]>::to_vec) };
    let rows = vec![row(None), row(Some(b"1")), row(Some(b"2"))];
    store.commit(&[Batch { index: 4, at: 6, changes: Vec::new(), rows }]).unwrap();
    let (_, rows) = load(&mut store).unwrap();
    assert_eq!(rows[&("x".to_owned(), vec![0])], b"2");
}

pub fn history_is_read_and_forgotten() {
    let directory = Directory::new();
    let mut store = Store::open(&directory.store()).unwrap();
    assert!(store.history(1, 10).unwrap().is_empty());
    commit_to(&mut store, 1000);
    let some = store.history(10, 5).unwrap();
    assert_eq!(some.iter().map(|e| e.index).collect::<Vec<_>>(), [10, 11, 12, 13, 14]);
    for entry in store.history(1, usize::MAX).unwrap() {
        let batch = batch(entry.index);
        assert_eq!((entry.at, entry.changes), (batch.at, batch.changes));
    }
    assert!(store.history(1001, 5).unwrap().is_empty());
    // By age: those before batch 301, in slices.
    let mut forgotten = 0;
    loop {
        let trimmed = store.trim_history(1_000_301, u64::MAX).unwrap();
        assert!(trimmed.batches <= 256, "a slice is small");
        forgotten += trimmed.batches;
        if !trimmed.more {
            break;
        }
    }
    assert_eq!((forgotten, store.history(1, 1).unwrap()[0].index), (300, 301));
    // By size, and the account of it survives.
    drop(store);
    let mut store = Store::open(&directory.store()).unwrap();
    while store.trim_history(0, 10_000).unwrap().more {}
    let left = store.history(1, usize::MAX).unwrap();
    let bytes: usize = left.iter().flat_map(|e| &e.changes).map(|c| c.len() + 4).sum();
    assert!(bytes <= 10_000 && bytes > 5_000, "{bytes}");
    while store.trim_history(u64::MAX, 0).unwrap().more {}
    assert_eq!(store.history(1, 9).unwrap()[0].index, 1000, "the last one stays");
    assert_eq!(load(&mut store).unwrap(), (1000, rows_after(1000)), "rows do not depend on history");
    commit_to(&mut store, 1010);
}

pub fn a_backup_is_a_store() {
    let directory = Directory::new();
    let mut store = Store::open(&directory.store()).unwrap();
    commit_to(&mut store, 200);
    let to = directory.path().join("backup.db");
    store.backup(&to).unwrap();
    commit_to(&mut store, 210);
    let mut copy = Store::open(&to).unwrap();
    assert_eq!(load(&mut copy).unwrap(), (200, rows_after(200)));
    assert_eq!(copy.history(1, usize::MAX).unwrap().len(), 200);
    commit_to(&mut copy, 205);
    assert!(matches!(store.backup(&to).unwrap_err(), StoreError::Unwritable { .. }), "it replaces nothing");
    assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    let error = store.backup(&directory.path().join("no/such/backup")).unwrap_err();
    assert!(matches!(error, StoreError::Unwritable { .. }), "{error}");
}

pub fn what_must_not_be_opened_is_refused() {
    let directory = Directory::new();
    let path = directory.store();
    let store = Store::open(&path).unwrap();
    let error = Store::open(&path).unwrap_err();
    let expected = format!("the store {} is in use by process {}", path.display(), std::process::id());
    assert_eq!(error.to_string(), expected);
    drop(store);
    drop(Store::open(&path).unwrap());

    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", 7).unwrap();
    drop(raw);
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 7, known: 1, .. }), "{error}");

    let foreign = directory.path().join("foreign.db");
    let raw = rusqlite::Connection::open(&foreign).unwrap();
    raw.execute_batch("CREATE TABLE songs (name TEXT)").unwrap();
    drop(raw);
    assert!(matches!(Store::open(&foreign).unwrap_err(), StoreError::Foreign { .. }));
    let text = directory.path().join("text");
    std::fs::write(&text, "no database, though long enough to be taken for one ".repeat(50)).unwrap();
    assert!(matches!(Store::open(&text).unwrap_err(), StoreError::Damaged { .. }));
    let before = std::fs::read(&text).unwrap();
    assert!(before.starts_with(b"no database"), "it was left alone");

    for nowhere in [directory.path().join("text/state.db"), directory.path().join("none/state.db")] {
        let error = Store::open(&nowhere).unwrap_err();
        assert!(matches!(error, StoreError::Unwritable { .. }), "{error}");
        assert!(error.to_string().contains("cannot write to"), "{error}");
    }
}

pub fn a_full_disk_is_told() {
    let directory = Directory::new();
    let script = format!(
        "mount -t tmpfs -o size=2m none {0} && exec {1} fill {0}",
        directory.path().display(),
        std::env::current_exe().unwrap().display()
    );
    let status = Command::new("unshare").args(["--mount", "--propagation", "private", "sh", "-c", &script]).status();
    let Ok(status) = status else { return println!("not run: unshare is not there") };
    if status.code() == Some(1) || status.code() == Some(32) {
        return println!("not run: only root can mount a small disk");
    }
    assert!(status.success());
}

/// In a directory of two megabytes.
pub fn fill(directory: &Path) {
    let mut store = Store::open(&directory.join("state.db")).unwrap();
    let error = loop {
        let next = batch(store.last() + 1);
        if let Err(error) = store.commit(&[next]) {
            break error;
        }
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    let last = store.last();
    assert_eq!(load(&mut store).unwrap(), (last, rows_after(last)), "what was acknowledged, and nothing else");
    let size = "remount,size=8m";
    let grown = Command::new("mount").args(["-o", size]).arg(directory).status().unwrap();
    assert!(grown.success());
    store.probe().unwrap();
    commit_to(&mut store, last + 20);
    assert_eq!(load(&mut store).unwrap(), (last + 20, rows_after(last + 20)));
}
