//! Blocks merged in the order of time. Only blocks that overlap at the current event are unpacked; what is known of the
//! others is read a few hundred at a time.

use super::earliest;
use crate::block::{BLOCK_SPAN_MS, Block, Entry};
use crate::{Error, Millis};
use rusqlite::{Connection, params, params_from_iter};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::ops::ControlFlow;

/// What is known of so many blocks is read at once.
const KNOWN_MAX: usize = 256;
/// Blocks that may be unpacked at once: streams with events of the same moment.
const OPEN_MAX: usize = 2048;

/// Whose events.
pub(super) enum Scope {
    /// One stream's.
    Stream(i64),
    /// Some of a group's.
    Some(i64, BTreeSet<i64>),
    /// A whole group's.
    Owner(i64),
}

/// An event in its place.
pub(super) struct Seen<'a> {
    pub stream: i64,
    pub seq: i64,
    pub block: &'a Block,
    pub entry: &'a Entry,
}

/// A block that is known and not read.
#[derive(Clone, Copy, Debug)]
struct Known {
    id: i64,
    stream: i64,
    seq: i64,
    first: i64,
    last: i64,
}

/// A block that is being read.
struct Open {
    stream: i64,
    seq: i64,
    block: Block,
    next: usize,
}

fn open(connection: &Connection, known: Known) -> Result<Open, Error> {
    let mut find = connection.prepare_cached("SELECT raw, sum, data FROM blocks WHERE id = ?1")?;
    let block = find.query_row([known.id], |row| {
        let (raw, sum): (i64, u32) = (row.get(0)?, row.get(1)?);
        Ok(row.get_ref(2)?.as_blob().ok().and_then(|data| Block::unpack(data, sum, raw as usize)))
    })?;
    let block = block.unwrap_or_else(|| {
        tracing::error!(block = known.id, stream = known.stream, "a block of log events is damaged");
        let mut told = Block::default();
        let (at, words) = (known.first as Millis, "[gantry] log events that stood here are damaged and cannot be read");
        told.push(at, at, words);
        told
    });
    Ok(Open { stream: known.stream, seq: known.seq, block, next: 0 })
}

/// From old to new.
pub(super) struct Forward<'a> {
    connection: &'a Connection,
    scope: Scope,
    begin: (Millis, i64, i64),
    to: Millis,
    known: VecDeque<Known>,
    /// The last block that was known: first, stream, seq.
    reached: Option<(i64, i64, i64)>,
    ended: bool,
}

impl<'a> Forward<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        scope: Scope,
        begin: (Millis, i64, i64),
        to: Millis,
    ) -> Result<Self, Error> {
        let to = to.min(i64::MAX as Millis);
        Ok(Self { connection, scope, begin, to, known: VecDeque::new(), reached: None, ended: false })
    }

    fn refill(&mut self) -> Result<(), Error> {
        while self.known.is_empty() && !self.ended {
            let reached = self.reached.unwrap_or((earliest(self.begin.0), i64::MIN, i64::MIN));
            let (owner, column) = match &self.scope {
                Scope::Stream(id) => (*id, "stream"),
                Scope::Some(owner, _) | Scope::Owner(owner) => (*owner, "owner"),
            };
            let sql = format!(
                "SELECT id, stream, seq, first, last FROM blocks WHERE {column} = ?1 AND first >= ?2 AND first < ?3 \
                 AND (first, stream, seq) > (?2, ?4, ?5) ORDER BY first, stream, seq LIMIT {KNOWN_MAX}"
            );
            let mut find = self.connection.prepare_cached(&sql)?;
            let values = params![owner, reached.0, self.to as i64, reached.1, reached.2];
            let rows = find.query_map(values, known)?;
            let rows: Vec<Known> = rows.collect::<Result<_, _>>()?;
            self.ended = rows.len() < KNOWN_MAX;
            if let Some(last) = rows.last() {
                self.reached = Some((last.first, last.stream, last.seq));
            }
            let begin = self.begin.0 as i64;
            let wanted = |known: &Known| known.last >= begin && self.scope.has(known.stream);
            self.known = rows.into_iter().filter(wanted).collect();
        }
        Ok(())
    }

    pub(super) fn run(&mut self, mut visit: impl FnMut(Seen<'_>) -> ControlFlow<()>) -> Result<(), Error> {
        let mut opened: Vec<Option<Open>> = Vec::new();
        let mut heap: BinaryHeap<Reverse<(Millis, i64, i64, usize)>> = BinaryHeap::new();
        loop {
            self.refill()?;
            let top = heap.peek().map_or(i64::MAX, |Reverse(top)| top.0 as i64);
            if let Some(known) = self.known.front().copied().filter(|known| known.first <= top) {
                self.known.pop_front();
                let mut open = open(self.connection, known)?;
                let (stream, seq) = (open.stream, open.seq);
                let place = |(n, entry): (usize, &Entry)| (entry.at, stream, seq + n as i64);
                open.next = open.block.entries.iter().enumerate().take_while(|item| place(*item) < self.begin).count();
                let slot = opened.iter().position(Option::is_none).unwrap_or(opened.len());
                if slot >= OPEN_MAX {
                    let message = "Too many streams have events of the same moment: name streams or a prefix.";
                    return Err(Error::Invalid(message.to_owned()));
                }
                if let Some(entry) = open.block.entries.get(open.next) {
                    heap.push(Reverse((entry.at, open.stream, open.seq + open.next as i64, slot)));
                    if slot == opened.len() { opened.push(Some(open)) } else { opened[slot] = Some(open) }
                }
                continue;
            }
            let Some(Reverse((at, stream, seq, slot))) = heap.pop() else { return Ok(()) };
            if at >= self.to {
                return Ok(());
            }
            let Some(open) = opened.get_mut(slot).and_then(Option::as_mut) else { return Ok(()) };
            let entry = open.block.entries[open.next];
            if visit(Seen { stream, seq, block: &open.block, entry: &entry }).is_break() {
                return Ok(());
            }
            open.next += 1;
            match open.block.entries.get(open.next) {
                Some(entry) => heap.push(Reverse((entry.at, stream, seq + 1, slot))),
                None => opened[slot] = None,
            }
        }
    }
}

impl Scope {
    fn has(&self, stream: i64) -> bool {
        match self {
            Self::Some(_, ids) => ids.contains(&stream),
            Self::Stream(_) | Self::Owner(_) => true,
        }
    }
}

fn known(row: &rusqlite::Row<'_>) -> rusqlite::Result<Known> {
    Ok(Known { id: row.get(0)?, stream: row.get(1)?, seq: row.get(2)?, first: row.get(3)?, last: row.get(4)? })
}

/// From new to old, of one stream.
pub(super) struct Backward<'a> {
    connection: &'a Connection,
    stream: i64,
    from: Millis,
    end: (Millis, i64),
    known: VecDeque<Known>,
    /// The last block that was known: last, seq.
    reached: Option<(i64, i64)>,
    ended: bool,
}

impl<'a> Backward<'a> {
    /// Events from `from` on that stand before `end`.
    pub(super) fn new(
        connection: &'a Connection,
        stream: i64,
        from: Millis,
        end: (Millis, i64),
    ) -> Result<Self, Error> {
        Ok(Self { connection, stream, from, end, known: VecDeque::new(), reached: None, ended: false })
    }

    fn refill(&mut self) -> Result<(), Error> {
        while self.known.is_empty() && !self.ended {
            let latest = i64::try_from(self.end.0.saturating_add(BLOCK_SPAN_MS)).unwrap_or(i64::MAX);
            let reached = self.reached.unwrap_or((latest, i64::MAX));
            let sql = format!(
                "SELECT id, stream, seq, first, last FROM blocks WHERE stream = ?1 AND last >= ?2 AND last <= ?3 \
                 AND (last, seq) < (?3, ?4) ORDER BY last DESC, seq DESC LIMIT {KNOWN_MAX}"
            );
            let mut find = self.connection.prepare_cached(&sql)?;
            let from = i64::try_from(self.from).unwrap_or(i64::MAX);
            let rows = find.query_map(params_from_iter([self.stream, from, reached.0, reached.1]), known)?;
            let rows: Vec<Known> = rows.collect::<Result<_, _>>()?;
            self.ended = rows.len() < KNOWN_MAX;
            if let Some(last) = rows.last() {
                self.reached = Some((last.last, last.seq));
            }
            let end = i64::try_from(self.end.0).unwrap_or(i64::MAX);
            self.known = rows.into_iter().filter(|known| known.first <= end).collect();
        }
        Ok(())
    }

    pub(super) fn run(&mut self, mut visit: impl FnMut(Seen<'_>) -> ControlFlow<()>) -> Result<(), Error> {
        let mut opened: Vec<Option<Open>> = Vec::new();
        let mut heap: BinaryHeap<(Millis, i64, usize)> = BinaryHeap::new();
        loop {
            self.refill()?;
            let top = heap.peek().map_or(i64::MIN, |top| top.0 as i64);
            if let Some(known) = self.known.front().copied().filter(|known| known.last >= top) {
                self.known.pop_front();
                let mut open = open(self.connection, known)?;
                let seq = open.seq;
                let place = |(n, entry): (usize, &Entry)| (entry.at, seq + n as i64);
                // `next` counts the events that are left.
                open.next = open.block.entries.iter().enumerate().take_while(|item| place(*item) < self.end).count();
                let slot = opened.iter().position(Option::is_none).unwrap_or(opened.len());
                if let Some(entry) = open.next.checked_sub(1).map(|at| open.block.entries[at]) {
                    heap.push((entry.at, open.seq + open.next as i64 - 1, slot));
                    if slot == opened.len() { opened.push(Some(open)) } else { opened[slot] = Some(open) }
                }
                continue;
            }
            let Some((at, seq, slot)) = heap.pop() else { return Ok(()) };
            if at < self.from {
                return Ok(());
            }
            let Some(open) = opened.get_mut(slot).and_then(Option::as_mut) else { return Ok(()) };
            let entry = open.block.entries[open.next - 1];
            if visit(Seen { stream: self.stream, seq, block: &open.block, entry: &entry }).is_break() {
                return Ok(());
            }
            open.next -= 1;
            match open.next.checked_sub(1).map(|at| open.block.entries[at]) {
                Some(entry) => heap.push((entry.at, seq - 1, slot)),
                None => opened[slot] = None,
            }
        }
    }
}
