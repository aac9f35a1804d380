//! Values that only who has the deployment's key can read. They are sealed before they come here and opened after they have
//! left: state, history and everything that decides hold them only like this.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a sealed value begins with.
const MARK: &str = "sealed.1.";
/// Bytes of the nonce and of the tag around a value.
const AROUND: usize = 12 + 16;

/// A sealed value: a mark, a digest that tells the same value of the same name again, and the sealed bytes, both in hex.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(Box<str>);

impl fmt::Debug for Sealed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Sealed({} bytes)", self.plain_len())
    }
}

impl Sealed {
    /// From a digest and the sealed bytes.
    pub fn new(digest: &[u8; 16], bytes: &[u8]) -> Self {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Self(format!("{MARK}{}.{}", hex(digest), hex(bytes)).into())
    }

    /// Reads what `as_str` says.
    pub fn parse(text: &str) -> Option<Self> {
        let (digest, bytes) = text.strip_prefix(MARK)?.split_once('.')?;
        let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        let fits = digest.len() == 32 && bytes.len().is_multiple_of(2) && bytes.len() >= 2 * AROUND;
        (fits && hex(digest) && hex(bytes)).then(|| Self(text.into()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The sealed bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let hex = self.0.rsplit('.').next().unwrap_or_default();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap_or_default(), 16).unwrap_or(0);
        hex.as_bytes().chunks(2).map(byte).collect()
    }

    /// How many bytes the value has.
    pub fn plain_len(&self) -> usize {
        let hex = self.0.rsplit('.').next().unwrap_or_default();
        (hex.len() / 2).saturating_sub(AROUND)
    }

    /// Whether both are the same value, sealed under the same name.
    pub fn is_same(&self, other: &Self) -> bool {
        let digest = |sealed: &Self| sealed.0[..MARK.len() + 32].to_owned();
        digest(self) == digest(other) && self.plain_len() == other.plain_len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_reads_again_and_a_plain_one_is_none() {
        let sealed = Sealed::new(&[1; 16], &[2; AROUND + 5]);
        assert_eq!(Sealed::parse(sealed.as_str()), Some(sealed.clone()));
        assert_eq!((sealed.plain_len(), sealed.bytes().len()), (5, AROUND + 5));
        assert!(sealed.is_same(&Sealed::new(&[1; 16], &[3; AROUND + 5])));
        assert!(!sealed.is_same(&Sealed::new(&[2; 16], &[2; AROUND + 5])));
        for plain in ["", "hunter2", "sealed.1.", "sealed.1.00.00", "é"] {
            assert_eq!(Sealed::parse(plain), None, "{plain}");
        }
        assert!(!format!("{sealed:?}").contains("02"));
    }
}
