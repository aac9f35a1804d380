//! What happened, as text: every line goes into a running hash, the last ones are kept for whoever looks at a failure.
//! Never part of a decision.

use model::Millis;
use std::collections::{BTreeMap, VecDeque};

/// Lines kept for a failure.
const TAIL_LINES: usize = 160;

/// FNV-1a, 64 bits, going on from `hash`.
pub(crate) fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The trace of a run.
#[derive(Debug)]
pub(crate) struct Trace {
    start: Millis,
    hash: u64,
    lines: u64,
    tail: VecDeque<String>,
    all: Option<Vec<String>>,
    names: BTreeMap<String, String>,
}

impl Trace {
    pub fn new(start: Millis, keep_all: bool) -> Self {
        let all = keep_all.then(Vec::new);
        Self { start, hash: 0xcbf2_9ce4_8422_2325, lines: 0, tail: VecDeque::new(), all, names: BTreeMap::new() }
    }

    /// Adds a line.
    pub fn line(&mut self, now: Millis, text: &str) {
        let since = now - self.start;
        let line = format!("{:>8}.{:03} {text}", since / 1000, since % 1000);
        self.hash = fnv(self.hash, line.as_bytes());
        self.lines += 1;
        if let Some(all) = &mut self.all {
            all.push(line.clone());
        }
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    /// Gives an id a short name, unless it has one.
    pub fn call(&mut self, id: String, kind: &str) {
        if self.names.contains_key(&id) {
            return;
        }
        let alike = self.names.values().filter(|name| name.starts_with(kind)).count();
        self.names.entry(id).or_insert_with(|| format!("{kind}-{}", alike + 1));
    }

    /// The short name of an id; of an ARN, that of its last part.
    pub fn name<'a>(&'a self, id: &'a str) -> &'a str {
        let id = link::acs::id_of(id);
        self.names.get(id).map_or(id, String::as_str)
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn lines(&self) -> u64 {
        self.lines
    }

    pub fn tail(&self) -> Vec<String> {
        self.tail.iter().cloned().collect()
    }

    /// Whether a line that was not taken yet holds `text`.
    pub fn tells(&self, text: &str) -> bool {
        self.all.as_ref().is_some_and(|all| all.iter().any(|line| line.contains(text)))
    }

    /// Everything since the last call, when everything is kept.
    pub fn take(&mut self) -> Vec<String> {
        self.all.as_mut().map(std::mem::take).unwrap_or_default()
    }
}
