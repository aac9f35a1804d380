//! The parts of an `Authorization` header. Only its form is checked here. Refusals never repeat the header.

use super::{ALGORITHM, TERMINATOR, incomplete};
use crate::fault::Fault;

/// A header taken apart.
#[derive(Debug)]
pub(super) struct Authorization<'a> {
    pub access_key: &'a str,
    pub day: &'a str,
    pub region: &'a str,
    pub service: &'a str,
    /// In the order that the canonical request wants.
    pub signed_headers: Vec<&'a str>,
    pub signature: &'a str,
}

impl<'a> Authorization<'a> {
    pub fn parse(header: &'a str) -> Result<Self, Fault> {
        let rest = header
            .trim()
            .strip_prefix(ALGORITHM)
            .filter(|rest| rest.starts_with([' ', '\t']))
            .ok_or_else(|| incomplete("Unsupported AWS 'algorithm': only AWS4-HMAC-SHA256 is known."))?;
        let part = |name: &str| {
            let found = rest.split(',').find_map(|part| {
                let (known, value) = part.trim().split_once('=')?;
                (known == name && !value.is_empty()).then_some(value)
            });
            found.ok_or_else(|| incomplete(&format!("Authorization header requires '{name}' parameter.")))
        };
        let credential: Vec<&str> = part("Credential")?.split('/').collect();
        let signed_headers = part("SignedHeaders")?;
        let signature = part("Signature")?;
        let [access_key, day, region, service, terminator] = credential.as_slice() else {
            return Err(incomplete(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.",
            ));
        };
        if *terminator != TERMINATOR {
            return Err(incomplete("Credential should be scoped with a valid terminator: 'aws4_request'."));
        }
        let mut signed_headers: Vec<&str> = signed_headers.split(';').collect();
        signed_headers.sort_unstable();
        signed_headers.dedup();
        Ok(Self { access_key, day, region, service, signed_headers, signature })
    }

    /// What the signing key is made for.
    pub fn scope(&self) -> String {
        format!("{}/{}/{}/{TERMINATOR}", self.day, self.region, self.service)
    }
}
