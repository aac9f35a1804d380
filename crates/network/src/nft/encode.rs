//! Bytes of an nf_tables batch: messages, attributes, nested attributes. It knows the framing and no meaning.

use crate::netlink::{FLAG_ACK, FLAG_DUMP, FLAG_REQUEST, HEADER};

/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NESTED: u16 = 0x8000;
const UNSPECIFIED: u8 = 0;

/// The protocol family of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// IPv4 and IPv6 together.
    Inet = 1,
    /// IPv4 alone, as `iptables` uses it.
    Ip = 2,
}

/// Growing attributes.
#[derive(Default)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    /// An attribute of raw bytes.
    pub fn bytes(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = u16::try_from(value.len() + 4).expect("our own values are far below 64 KiB");
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// A string with its closing zero.
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    /// A number in network order.
    pub fn number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// A 64-bit number in network order.
    pub fn long(&mut self, kind: u16, value: u64) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// Attributes within an attribute.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Attributes)) -> &mut Self {
        let mut inner = Attributes::default();
        fill(&mut inner);
        self.bytes(kind | NESTED, &inner.0)
    }

    /// What was written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A transaction: all its messages take effect, or none.
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Where the last message begins, to ask for its acknowledgement.
    last: usize,
    notes: Vec<String>,
}

impl Batch {
    /// An empty transaction.
    pub fn new() -> Self {
        let mut bytes = Vec::with_capacity(4096);
        let begin = start(&mut bytes, BATCH_BEGIN, FLAG_REQUEST, 0, UNSPECIFIED, SUBSYSTEM);
        finish(&mut bytes, begin);
        Self { bytes, last: 0, notes: Vec::new() }
    }

    /// Adds one message; `note` says what it does, for the error.
    pub fn message(
        &mut self,
        note: &str,
        kind: u16,
        flags: u16,
        family: Family,
        fill: impl FnOnce(&mut Attributes),
    ) -> &mut Self {
        self.notes.push(note.to_owned());
        let sequence = self.last_sequence();
        self.last = start(&mut self.bytes, SUBSYSTEM << 8 | kind, FLAG_REQUEST | flags, sequence, family as u8, 0);
        let mut attributes = Attributes::default();
        fill(&mut attributes);
        self.bytes.extend_from_slice(attributes.as_bytes());
        finish(&mut self.bytes, self.last);
        self
    }

    /// The sequence number of the last message; they count from one.
    pub fn last_sequence(&self) -> u32 {
        u32::try_from(self.notes.len()).unwrap_or(u32::MAX)
    }

    /// Whether there is anything to send.
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// The whole transaction, its last message asking for an answer.
    pub fn into_bytes(mut self) -> (Vec<u8>, Vec<String>) {
        // One acknowledgement is enough, and a thousand would only fill the receive buffer.
        self.bytes[self.last + 6] |= FLAG_ACK as u8;
        let sequence = self.last_sequence() + 1;
        let end = start(&mut self.bytes, BATCH_END, FLAG_REQUEST, sequence, UNSPECIFIED, SUBSYSTEM);
        finish(&mut self.bytes, end);
        (self.bytes, self.notes)
    }
}

/// A request to list objects, outside any transaction.
pub(crate) fn dump(kind: u16, family: Family, fill: impl FnOnce(&mut Attributes)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let at = start(&mut bytes, SUBSYSTEM << 8 | kind, FLAG_REQUEST | FLAG_DUMP, 1, family as u8, 0);
    let mut attributes = Attributes::default();
    fill(&mut attributes);
    bytes.extend_from_slice(attributes.as_bytes());
    finish(&mut bytes, at);
    bytes
}

/// Writes `nlmsghdr` (its length comes later) and `nfgenmsg`; returns where they begin.
fn start(bytes: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32, family: u8, resource: u16) -> usize {
    let at = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&sequence.to_ne_bytes());
    bytes.extend_from_slice(&[0; 4]);
    debug_assert_eq!(bytes.len() - at, HEADER);
    bytes.extend_from_slice(&[family, 0]);
    bytes.extend_from_slice(&resource.to_be_bytes());
    at
}

fn finish(bytes: &mut [u8], at: usize) {
    let length = u32::try_from(bytes.len() - at).expect("a message of ours is far below 4 GiB");
    bytes[at..at + 4].copy_from_slice(&length.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes_of_a_transaction() {
        let mut batch = Batch::new();
        batch.message("make the table", 0, 0x400, Family::Inet, |a| {
            a.text(1, "gantry").number(2, 0);
        });
        let (bytes, notes) = batch.into_bytes();
        let expected: [u8; 80] = [
            20, 0, 0, 0, 0x10, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, // begin
            40, 0, 0, 0, 0, 10, 0x05, 4, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, // NEWTABLE, inet, create, ack
            11, 0, 1, 0, b'g', b'a', b'n', b't', b'r', b'y', 0, 0, // name
            8, 0, 2, 0, 0, 0, 0, 0, // flags
            20, 0, 0, 0, 0x11, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, // end
        ];
        assert_eq!(bytes, expected);
        assert_eq!(notes, ["make the table"]);
    }

    #[test]
    fn nesting_marks_itself_and_pads() {
        let mut attributes = Attributes::default();
        attributes.nest(4, |inner| {
            inner.number(1, 2).text(2, "ab");
        });
        let expected = [20, 0, 4, 0x80, 8, 0, 1, 0, 0, 0, 0, 2, 7, 0, 2, 0, b'a', b'b', 0, 0];
        assert_eq!(attributes.as_bytes(), expected);
    }
}
