//! The store's unit, its size and its bytes in the history. Pure.

use std::borrow::Cow;

/// A batch may have so many bytes: far inside what etcd takes as one value, should the log ever live there.
pub const BATCH_BYTES_MAX: usize = 1 << 20;

/// One row that a batch touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The kind of thing, `task`.
    pub kind: Cow<'static, str>,
    /// Its key among its kind.
    pub key: Vec<u8>,
    /// Its new value; `None`: deleted.
    pub value: Option<Vec<u8>>,
}

/// Changes that become durable together, with the rows as they are afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The commit index: one more than the batch before.
    pub index: u64,
    /// Milliseconds since the epoch.
    pub at: u64,
    /// Self-describing changes, kept as history.
    pub changes: Vec<Vec<u8>>,
    /// The rows that the changes touched; a later row of the same key replaces an earlier one.
    pub rows: Vec<Row>,
}

impl Batch {
    /// What counts towards `BATCH_BYTES_MAX`: so that a caller can cut in time.
    pub fn bytes(&self) -> usize {
        let changes: usize = self.changes.iter().map(|c| c.len() + LENGTH).sum();
        let rows: usize = self.rows.iter().map(Row::bytes).sum();
        changes + rows
    }
}

impl Row {
    /// What the row counts towards `BATCH_BYTES_MAX`.
    pub fn bytes(&self) -> usize {
        self.kind.len() + self.key.len() + self.value.as_ref().map_or(0, Vec::len) + 2 * LENGTH
    }
}

/// A batch as history keeps it: without its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The commit index.
    pub index: u64,
    /// Milliseconds since the epoch.
    pub at: u64,
    /// The changes.
    pub changes: Vec<Vec<u8>>,
}

const LENGTH: usize = 4;

/// Each change after its length.
pub(crate) fn encode(changes: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::with_capacity(changes.iter().map(|c| c.len() + LENGTH).sum());
    for change in changes {
        // A batch is smaller than a mebibyte, so is a change.
        let length = u32::try_from(change.len()).unwrap_or(u32::MAX);
        body.extend_from_slice(&length.to_le_bytes());
        body.extend_from_slice(change);
    }
    body
}

/// The reverse; `None` when the lengths do not fit the body.
pub(crate) fn decode(mut body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut changes = Vec::new();
    while !body.is_empty() {
        let (length, rest) = body.split_first_chunk::<LENGTH>()?;
        let (change, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        changes.push(change.to_vec());
        body = rest;
    }
    Some(changes)
}

/// The checksum of a row. Parts are told apart by their lengths.
pub(crate) fn row_sum(kind: &str, key: &[u8], value: &[u8]) -> u32 {
    sum(&[kind.as_bytes(), key, value])
}

/// The checksum of a batch in the history.
pub(crate) fn batch_sum(index: u64, at: u64, body: &[u8]) -> u32 {
    sum(&[&index.to_le_bytes(), &at.to_le_bytes(), body])
}

fn sum(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_come_back_as_they_were() {
        let changes = vec![b"{}".to_vec(), Vec::new(), vec![0xff; 300]];
        assert_eq!(decode(&encode(&changes)), Some(changes));
        assert_eq!(decode(&[]), Some(Vec::new()));
        assert_eq!(decode(&[1, 0, 0]), None);
        assert_eq!(decode(&[5, 0, 0, 0, b'x']), None);
    }

    #[test]
    fn the_checksum_tells_parts_apart() {
        assert_ne!(row_sum("ab", b"c", b""), row_sum("a", b"bc", b""));
        assert_ne!(batch_sum(1, 2, b""), batch_sum(2, 1, b""));
    }

    #[test]
    fn golden_bytes_of_a_history_body() {
        assert_eq!(encode(&[b"ab".to_vec()]), [2, 0, 0, 0, b'a', b'b']);
        assert_eq!(batch_sum(1, 1000, b"x"), 370_709_797);
    }
}
