//! A block: events of one stream in the order of their times, compressed, with a checksum over what is stored.
//!
//! Unpacked, an event is three variable-length numbers and its text: milliseconds since the event before (the first: since
//! the epoch), how long it took to arrive against the event before (zigzag), and the length of the text.

use crate::Millis;

/// Unpacked bytes from which a block is not added to any more.
pub(crate) const BLOCK_BYTES: usize = 64 << 10;
/// Milliseconds that a block spans at most, so that what is inside a range can be found by where blocks begin.
pub(crate) const BLOCK_SPAN_MS: Millis = 3_600_000;
/// The fastest level that still makes a tenth of usual lines.
const LEVEL: i32 = 1;
/// No block unpacks to more; a length that says so is damage. The largest event, and a full block before it.
const UNPACKED_MAX: usize = (1 << 20) + 2 * BLOCK_BYTES;

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its own time, milliseconds since the epoch.
    pub at: Millis,
    /// When it came.
    pub ingested: Millis,
    /// The text.
    pub message: String,
}

/// Where an event stands in an unpacked block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub at: Millis,
    pub ingested: Millis,
    start: u32,
    length: u32,
}

/// A block that is being filled, or was read.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub entries: Vec<Entry>,
    raw: Vec<u8>,
}

impl Block {
    pub(crate) fn message(&self, entry: &Entry) -> &str {
        let bytes = &self.raw[entry.start as usize..(entry.start + entry.length) as usize];
        // Checked when the block was read, and text when it was pushed.
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    pub(crate) fn event(&self, entry: &Entry) -> Event {
        Event { at: entry.at, ingested: entry.ingested, message: self.message(entry).to_owned() }
    }

    pub(crate) fn first_at(&self) -> Millis {
        self.entries.first().map_or(0, |entry| entry.at)
    }

    pub(crate) fn last_at(&self) -> Millis {
        self.entries.last().map_or(0, |entry| entry.at)
    }

    pub(crate) fn raw_bytes(&self) -> usize {
        self.raw.len()
    }

    /// Whether an event of that time may be added.
    pub(crate) fn takes(&self, at: Millis) -> bool {
        let inside = at >= self.last_at() && at - self.first_at() <= BLOCK_SPAN_MS;
        self.entries.is_empty() || (inside && self.raw.len() < BLOCK_BYTES)
    }

    /// Adds an event that the block takes.
    pub(crate) fn push(&mut self, at: Millis, ingested: Millis, message: &str) {
        let before = self.entries.last().map_or((0, 0), |entry| (entry.at, entry.ingested));
        put(&mut self.raw, at - before.0);
        put(&mut self.raw, zigzag(ingested.wrapping_sub(before.1) as i64));
        put(&mut self.raw, message.len() as u64);
        let (start, length) = (self.raw.len() as u32, message.len() as u32);
        self.raw.extend_from_slice(message.as_bytes());
        self.entries.push(Entry { at, ingested, start, length });
    }

    /// What is stored, and its checksum.
    pub(crate) fn pack(&self) -> std::io::Result<(Vec<u8>, u32)> {
        let packed = zstd::bulk::compress(&self.raw, LEVEL)?;
        let sum = crc32fast::hash(&packed);
        Ok((packed, sum))
    }

    /// Reads what was stored; `None`: it is damaged.
    pub(crate) fn unpack(packed: &[u8], sum: u32, raw_bytes: usize) -> Option<Self> {
        if crc32fast::hash(packed) != sum || raw_bytes > UNPACKED_MAX {
            return None;
        }
        let raw = zstd::bulk::decompress(packed, raw_bytes).ok()?;
        let mut entries = Vec::new();
        let (mut at, mut ingested, mut place) = (0u64, 0u64, 0usize);
        while place < raw.len() {
            at = at.checked_add(take(&raw, &mut place)?)?;
            ingested = ingested.wrapping_add(unzigzag(take(&raw, &mut place)?) as u64);
            let length = usize::try_from(take(&raw, &mut place)?).ok()?;
            let end = place.checked_add(length).filter(|end| *end <= raw.len())?;
            std::str::from_utf8(&raw[place..end]).ok()?;
            entries.push(Entry { at, ingested, start: place as u32, length: length as u32 });
            place = end;
        }
        Some(Self { entries, raw })
    }
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take(bytes: &[u8], place: &mut usize) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*place)?;
        *place += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_back_as_they_went() {
        let mut block = Block::default();
        let events = [(5, 9, "one"), (5, 8, ""), (3_000_005, 3_000_000, "zwei é")];
        for (at, ingested, message) in events {
            assert!(block.takes(at));
            block.push(at, ingested, message);
        }
        assert!(!block.takes(4) && !block.takes(5 + BLOCK_SPAN_MS + 1));
        let (packed, sum) = block.pack().unwrap();
        let back = Block::unpack(&packed, sum, block.raw_bytes()).unwrap();
        let read: Vec<_> = back.entries.iter().map(|e| (e.at, e.ingested, back.message(e))).collect();
        assert_eq!(read, events);
    }

    #[test]
    fn damage_is_seen_and_nothing_panics() {
        let mut block = Block::default();
        (0..100).for_each(|n| block.push(n, n, "line"));
        let (packed, sum) = block.pack().unwrap();
        for place in 0..packed.len() {
            let mut bad = packed.clone();
            bad[place] ^= 1;
            assert!(Block::unpack(&bad, sum, block.raw_bytes()).is_none());
            // With a matching checksum it may still be no block.
            let _ = Block::unpack(&bad, crc32fast::hash(&bad), block.raw_bytes());
        }
        assert!(Block::unpack(&packed, sum, usize::MAX).is_none());
    }
}
