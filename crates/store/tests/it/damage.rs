//! Files that somebody cut or altered: the store says so, or hands out exactly what was written. It never panics, and
//! never hands out anything else.

use crate::world::{Directory, Random, batch, commit_to, load, rows_after};
use std::path::Path;
use store::{Store, StoreError};

const LAST: u64 = 400;

/// A whole store as one file.
fn whole(directory: &Directory) -> Vec<u8> {
    let mut store = Store::open(&directory.store()).unwrap();
    commit_to(&mut store, LAST);
    drop(store);
    std::fs::read(directory.store()).unwrap()
}

/// Everything that can be read, compared with the truth.
fn read(path: &Path) -> Result<(), StoreError> {
    let mut store = Store::open(path)?;
    let (last, rows) = load(&mut store)?;
    assert_eq!(last, LAST);
    assert!(rows == rows_after(LAST), "rows that were never written");
    let mut next = 1;
    while next <= LAST {
        let entries = store.history(next, 50)?;
        let Some(end) = entries.last().map(|e| e.index) else {
            return Err(StoreError::Damaged { path: path.to_owned(), detail: "history ends early".to_owned() });
        };
        for entry in entries {
            assert!(entry.changes == batch(entry.index).changes, "changes that were never made");
        }
        next = end + 1;
    }
    Ok(())
}

fn is_clear(error: &StoreError) -> bool {
    matches!(error, StoreError::Damaged { .. } | StoreError::Newer { .. } | StoreError::Foreign { .. })
}

pub fn a_torn_file_is_told() {
    let directory = Directory::new();
    let bytes = whole(&directory);
    read(&directory.store()).unwrap();
    let torn = directory.path().join("torn.db");
    for part in 1..20 {
        std::fs::write(&torn, &bytes[..bytes.len() * part / 20]).unwrap();
        let error = read(&torn).expect_err("a part is not the whole");
        assert!(is_clear(&error), "{part}/20: {error:?}");
    }
    let error = {
        std::fs::write(&torn, &bytes[..bytes.len() / 2]).unwrap();
        read(&torn).unwrap_err().to_string()
    };
    assert!(error.contains("torn.db is damaged") && error.contains("restore it from a backup"), "{error}");
}

pub fn a_flipped_bit_is_told_or_harmless() {
    let directory = Directory::new();
    let bytes = whole(&directory);
    let flipped = directory.path().join("flipped.db");
    let mut random = Random(0xf11b);
    let (mut told, mut harmless) = (0, 0);
    for _ in 0..400 {
        let mut bytes = bytes.clone();
        let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
        bytes[at] ^= 1 << random.below(8);
        std::fs::write(&flipped, &bytes).unwrap();
        match read(&flipped) {
            Ok(()) => harmless += 1,
            Err(error) => {
                assert!(is_clear(&error), "byte {at}: {error:?}");
                told += 1;
            }
        }
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", flipped.display()));
        }
    }
    println!("{told} flips told, {harmless} in unused places");
    assert!(told > 300);
}
