//! Fixed-size identities, and the one generator of fresh ones. The generator is seeded from outside, so that the same
//! seed names the same things in the same order.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// Parses exactly 32 lower-case hex digits.
            pub fn parse(text: &str) -> Option<Self> {
                hex_16(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                Self::parse(&text).ok_or_else(|| format!("not 32 hex digits: {text:?}"))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

hex_id!(
    /// A task: the 32 hex digits at the end of its ARN.
    TaskId
);
hex_id!(
    /// A container instance: the 32 hex digits at the end of its ARN.
    InstanceId
);
hex_id!(
    /// A log group; the name of everything that is kept of it.
    LogGroupId
);
hex_id!(
    /// Any other thing that AWS names by a UUID (attachments, container ARNs), shown with dashes.
    Uuid
);

impl Uuid {
    /// From that form.
    pub fn parse_dashed(text: &str) -> Option<Self> {
        Self::parse(&text.replace('-', "")).filter(|uuid| uuid.dashed() == text)
    }

    /// The 8-4-4-4-12 form.
    pub fn dashed(&self) -> String {
        let hex = self.to_string();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

/// A cluster, numbered in order of creation and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(pub u32);

/// A service, numbered in order of creation and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServiceId(pub u32);

/// A task-definition family, numbered in order of creation and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FamilyId(pub u32);

/// One revision of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RevisionId {
    /// The family.
    pub family: FamilyId,
    /// 1, 2, 3 …
    pub revision: u32,
}

/// A network interface, shown as `eni-` and 17 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EniId(pub u64);

impl EniId {
    /// Parses `eni-` and 17 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("eni-0")?;
        (hex.len() == 16).then(|| u64::from_str_radix(hex, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for EniId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "eni-0{:016x}", self.0)
    }
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let mut text = [0; 32];
    for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    }
    let length = (2 * bytes.len()).min(text.len());
    f.write_str(std::str::from_utf8(&text[..length]).unwrap_or_default())
}

fn hex_16(text: &str) -> Option<[u8; 16]> {
    let digits = text.as_bytes();
    if digits.len() != 32 {
        return None;
    }
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Makes fresh ids from a seed (xoshiro256**, which passes as random but is not for secrets).
#[derive(Clone, Debug)]
pub struct Ids {
    state: [u64; 4],
}

impl Ids {
    /// A generator that says the same things for the same seed.
    pub fn seeded(seed: u64) -> Self {
        let mut z = seed;
        let state = [(); 4].map(|()| {
            z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut x = z;
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^ (x >> 31)
        });
        Self { state }
    }

    /// A generator from 32 bytes of the operating system's entropy.
    pub fn from_entropy(bytes: [u8; 32]) -> Self {
        let mut state = [0; 4];
        for (word, chunk) in state.iter_mut().zip(bytes.chunks(8)) {
            *word = chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        state[0] |= 1;
        Self { state }
    }

    /// 64 fresh bits.
    pub fn bits(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// 16 fresh bytes.
    pub fn bytes(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.bits().to_be_bytes());
        bytes[8..].copy_from_slice(&self.bits().to_be_bytes());
        bytes
    }

    /// A fresh task.
    pub fn task(&mut self) -> TaskId {
        TaskId(self.bytes())
    }

    /// A fresh container instance.
    pub fn instance(&mut self) -> InstanceId {
        InstanceId(self.bytes())
    }

    /// A fresh log group.
    pub fn log_group(&mut self) -> LogGroupId {
        LogGroupId(self.bytes())
    }

    /// A fresh UUID (version 4).
    pub fn uuid(&mut self) -> Uuid {
        let mut bytes = self.bytes();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Uuid(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_ids_round_trip_and_refuse_anything_else() {
        let id = Ids::seeded(7).task();
        assert_eq!(TaskId::parse(&id.to_string()), Some(id));
        for bad in ["", "abc", &"g".repeat(32), &"A".repeat(32), &"a".repeat(33), "é234567890123456789012345678901"] {
            assert_eq!(TaskId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_same_seed_says_the_same() {
        let (mut a, mut b, mut c) = (Ids::seeded(1), Ids::seeded(1), Ids::seeded(2));
        assert_eq!(a.bytes(), b.bytes());
        assert_ne!(a.bytes(), c.bytes());
    }

    #[test]
    fn eni_names_round_trip() {
        let id = EniId(0x00ab_cdef_0123_4567);
        assert_eq!(id.to_string(), "eni-000abcdef01234567");
        assert_eq!(EniId::parse(&id.to_string()), Some(id));
        assert_eq!(EniId::parse("eni-1"), None);
    }
}
