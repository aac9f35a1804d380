//! Signing keys: derived from a secret for one day, region and service, and kept for the next request of the same scope.

use std::collections::BTreeMap;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::Key;

/// How many keys are kept.
const KEYS_MAX: usize = 1024;

/// Signing keys that were used before. A full cache starts again from nothing.
#[derive(Default)]
pub struct SigningKeys {
    /// By access key and scope, as `KEY/SCOPE`; beside the signing key stands the secret that it came from.
    kept: BTreeMap<String, (String, [u8; 32])>,
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SigningKeys").field("kept", &self.kept.len()).finish()
    }
}

impl SigningKeys {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// The signing key of `DAY/REGION/SERVICE/aws4_request`.
    pub(super) fn get(&mut self, key: &Key, scope: &str) -> [u8; 32] {
        let name = format!("{}/{scope}", key.access_key);
        let secret = key.secret.expose();
        if let Some((source, signing_key)) = self.kept.get(&name)
            // A secret may have been replaced under the same access key.
            && bool::from(source.as_bytes().ct_eq(secret.as_bytes()))
        {
            return *signing_key;
        }
        if self.kept.len() >= KEYS_MAX {
            self.kept.clear();
        }
        let signing_key = derive(secret, scope);
        self.kept.insert(name, (secret.to_owned(), signing_key));
        signing_key
    }
}

/// Derives the signing key: one HMAC for each part of the scope.
pub(super) fn derive(secret: &str, scope: &str) -> [u8; 32] {
    let mut parts = scope.split('/');
    let day = parts.next().unwrap_or_default();
    let first = hmac(format!("AWS4{secret}").as_bytes(), day.as_bytes());
    parts.fold(first, |key, part| hmac(&key, part.as_bytes()))
}

pub(super) fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    #[allow(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}
