//! Directories that go away, batches that can be foretold, and a pseudo-random number.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use store::{Batch, Row, Store, StoreError};

/// A directory of one case.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let name = format!("gantry-store-{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn store(&self) -> PathBuf {
        self.0.join("state.db")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// xorshift64*: the same numbers for the same seed.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % limit
    }
}

pub const KEYS: u64 = 60;

/// Batch `index` always is the same: it writes or deletes a few of `KEYS` rows.
pub fn batch(index: u64) -> Batch {
    let mut random = Random(index.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let count = 1 + random.below(8);
    let rows = (0..count).map(|n| {
        let key = random.below(KEYS).to_be_bytes().to_vec();
        let size = random.below(900);
        let value = (random.below(5) > 0).then(|| text(index, n, size));
        Row { kind: if n % 2 == 0 { "task".into() } else { "service".into() }, key, value }
    });
    let rows = rows.collect();
    let changes = (0..count).map(|n| text(index, n, 100)).collect();
    Batch { index, at: 1_000_000 + index, changes, rows }
}

fn text(index: u64, n: u64, size: u64) -> Vec<u8> {
    let mut text = format!("{{\"batch\":{index},\"n\":{n},\"pad\":\"").into_bytes();
    text.extend((0..size).map(|at| b'a' + u8::try_from((index + n + at) % 26).unwrap()));
    text.extend_from_slice(b"\"}");
    text
}

pub type Rows = BTreeMap<(String, Vec<u8>), Vec<u8>>;

/// What the rows must be after batches 1 to `last`.
pub fn rows_after(last: u64) -> Rows {
    let mut rows = Rows::new();
    for row in (1..=last).flat_map(|index| batch(index).rows) {
        let key = (row.kind.into_owned(), row.key);
        match row.value {
            Some(value) => drop(rows.insert(key, value)),
            None => drop(rows.remove(&key)),
        }
    }
    rows
}

/// All rows and the last index.
pub fn load(store: &mut Store) -> Result<(u64, Rows), StoreError> {
    let mut rows = Rows::new();
    let last = store.load(|kind, key, value| {
        rows.insert((kind.to_owned(), key.to_vec()), value.to_vec());
    })?;
    Ok((last, rows))
}

/// Commits batches up to `last`, some at a time.
pub fn commit_to(store: &mut Store, last: u64) {
    while store.last() < last {
        let from = store.last() + 1;
        let batches: Vec<Batch> = (from..=last.min(from + 6)).map(batch).collect();
        store.commit(&batches).unwrap();
    }
}
