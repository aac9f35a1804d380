//! AWS Signature Version 4: signing requests and verifying signed ones. The time comes from the caller, keys come from a lookup
//! of the caller's, and bodies are always hashed: unsigned and streamed bodies are refused, as are presigned addresses.

mod authorization;
mod canonical;
mod keys;
#[cfg(test)]
mod tests;

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::fault::Fault;
use crate::http::{Header, HttpRequest};
use crate::timestamp::Moment;
use authorization::Authorization;
use canonical::{canonical_request, hex};
use keys::hmac;

pub use keys::SigningKeys;

/// How far the time of a signature may lie from ours, in seconds.
pub const SKEW_SECONDS_MAX: u64 = 300;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";

/// A secret access key. It is never printed.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

/// An access key and what proves that one holds it.
#[derive(Clone)]
pub struct Key {
    /// The public half.
    pub access_key: String,
    /// The secret half.
    pub secret: Secret,
    /// The token that must come with a temporary key.
    pub session_token: Option<String>,
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Key")
            .field("access_key", &self.access_key)
            .field("secret", &self.secret)
            .field("session_token", &format_args!("***"))
            .finish()
    }
}

/// Who signed a request, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The access key that was used.
    pub access_key: String,
    /// The region of the scope.
    pub region: String,
    /// The service of the scope.
    pub service: String,
}

impl Verified {
    /// Refuses a request that was signed for another region or service.
    pub fn scoped_to(&self, region: &str, service: &str) -> Result<(), Fault> {
        if self.region != region {
            let got = &self.region;
            return Err(invalid(format!(
                "Credential should be scoped to a valid region. This server is {region:?}, the request was signed for {got:?}."
            )));
        }
        if self.service != service {
            return Err(invalid(format!("Credential should be scoped to correct service: '{service}'.")));
        }
        Ok(())
    }
}

/// Verifies a request's signature. Faults carry the codes of the JSON services; see [`crate::http::adapt`].
pub fn verify(
    request: &HttpRequest<'_>,
    now_unix_seconds: u64,
    lookup: &dyn Fn(&str) -> Option<Key>,
    signing_keys: &mut SigningKeys,
) -> Result<Verified, Fault> {
    let header = request.header("authorization").ok_or_else(|| {
        let message = "Missing Authentication Token";
        Fault::new("MissingAuthenticationTokenException", 400, message)
    })?;
    let authorization = Authorization::parse(header)?;
    let date = signed_date(request, &authorization)?;
    check_time(&authorization, &date, now_unix_seconds)?;
    let key = lookup(authorization.access_key).ok_or_else(unrecognized)?;
    check_token(request, &key)?;
    check_signed_headers(request, &authorization)?;
    let body_hash = hex(&Sha256::digest(request.body));
    if let Some(claimed) = request.header("x-amz-content-sha256")
        && claimed != body_hash
    {
        return Err(invalid("The provided 'x-amz-content-sha256' header does not match what was computed.".to_owned()));
    }
    let canonical = canonical_request(request, &authorization.signed_headers, &body_hash).ok_or_else(mismatch)?;
    let scope = authorization.scope();
    let signing_key = signing_keys.get(&key, &scope);
    let wanted = signature(&signing_key, &date.text, &scope, &canonical);
    let same = wanted.as_bytes().ct_eq(authorization.signature.as_bytes());
    if !bool::from(same) {
        return Err(mismatch());
    }
    Ok(Verified {
        access_key: key.access_key,
        region: authorization.region.to_owned(),
        service: authorization.service.to_owned(),
    })
}

/// The headers to add to a request so that it is signed. All headers that the request has are signed; `host` must be one.
pub fn sign(
    key: &Key,
    region: &str,
    service: &str,
    now_unix_seconds: u64,
    request: &HttpRequest<'_>,
) -> Vec<Header<'static>> {
    let date = Moment::from_unix(now_unix_seconds).basic();
    let mut added = vec![("x-amz-date".into(), date.clone().into())];
    if let Some(token) = &key.session_token {
        added.push(("x-amz-security-token".into(), token.clone().into()));
    }
    let mut headers = request.headers.to_vec();
    headers.extend(added.iter().cloned());
    let mut names: Vec<&str> = headers.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    names.dedup();
    let day = date.split('T').next().unwrap_or_default();
    let scope = format!("{day}/{region}/{service}/{TERMINATOR}");
    let body_hash = hex(&Sha256::digest(request.body));
    let whole = HttpRequest { headers: &headers, ..*request };
    // Every name was taken from the headers, so none is missing.
    let canonical = canonical_request(&whole, &names, &body_hash).unwrap_or_default();
    let signing_key = keys::derive(key.secret.expose(), &scope);
    let signature = signature(&signing_key, &date, &scope, &canonical);
    let (access_key, names) = (&key.access_key, names.join(";"));
    let value = format!("{ALGORITHM} Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}");
    added.push(("authorization".into(), value.into()));
    added
}

fn signature(signing_key: &[u8; 32], date: &str, scope: &str, canonical: &str) -> String {
    let hash = hex(&Sha256::digest(canonical.as_bytes()));
    let text = format!("{ALGORITHM}\n{date}\n{scope}\n{hash}");
    hex(&hmac(signing_key, text.as_bytes()))
}

/// The time at which a request says it was signed.
struct SignedDate {
    text: String,
    unix_seconds: u64,
}

/// The date header, which must be signed: `x-amz-date`, or `date` where that is missing.
fn signed_date(request: &HttpRequest<'_>, authorization: &Authorization<'_>) -> Result<SignedDate, Fault> {
    let (name, moment) = match (request.header("x-amz-date"), request.header("date")) {
        (Some(text), _) => ("x-amz-date", Moment::from_basic(text)),
        (None, Some(text)) => {
            let moment = Moment::from_http(text).or_else(|| Moment::from_basic(text));
            ("date", moment)
        }
        (None, None) => {
            return Err(incomplete(
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
            ));
        }
    };
    let unsigned = || incomplete(&format!("'{name}' must be a 'SignedHeader' in the AWS Authorization."));
    let malformed = || incomplete("Date must be in ISO-8601 'basic format', as 20150830T123600Z.");
    if !authorization.signed_headers.contains(&name) {
        return Err(unsigned());
    }
    let moment = moment.ok_or_else(malformed)?;
    Ok(SignedDate { text: moment.basic(), unix_seconds: moment.unix().ok_or_else(malformed)? })
}

fn check_time(authorization: &Authorization<'_>, date: &SignedDate, now: u64) -> Result<(), Fault> {
    let text = &date.text;
    let day = text.split('T').next().unwrap_or_default();
    if authorization.day != day {
        let scope_day = authorization.day;
        return Err(invalid(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{scope_day}' != '{day}', from '{text}'."
        )));
    }
    let stamp = |seconds: u64| Moment::from_unix(seconds).basic();
    let earliest = now.saturating_sub(SKEW_SECONDS_MAX);
    let latest = now.saturating_add(SKEW_SECONDS_MAX);
    if date.unix_seconds < earliest {
        return Err(invalid(format!(
            "Signature expired: {text} is now earlier than {} ({} - 5 min.)",
            stamp(earliest),
            stamp(now)
        )));
    }
    if date.unix_seconds > latest {
        return Err(invalid(format!(
            "Signature not yet current: {text} is still later than {} ({} + 5 min.)",
            stamp(latest),
            stamp(now)
        )));
    }
    Ok(())
}

/// A temporary key must come with its token, and another key with none.
fn check_token(request: &HttpRequest<'_>, key: &Key) -> Result<(), Fault> {
    let sent = request.header("x-amz-security-token");
    let same = match (sent, &key.session_token) {
        (None, None) => true,
        (Some(sent), Some(known)) => sent.as_bytes().ct_eq(known.as_bytes()).into(),
        _ => false,
    };
    if same { Ok(()) } else { Err(unrecognized()) }
}

/// What decides who answers and what is done must be signed, or a signature could be moved to another request.
fn check_signed_headers(request: &HttpRequest<'_>, authorization: &Authorization<'_>) -> Result<(), Fault> {
    let signed = |name: &str| authorization.signed_headers.contains(&name);
    if !signed("host") {
        return Err(invalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".to_owned()));
    }
    if request.header("x-amz-target").is_some() && !signed("x-amz-target") {
        return Err(invalid("'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization.".to_owned()));
    }
    Ok(())
}

fn incomplete(message: &str) -> Fault {
    Fault::new("IncompleteSignatureException", 400, message)
}

fn invalid(message: String) -> Fault {
    Fault::new("InvalidSignatureException", 400, message)
}

fn mismatch() -> Fault {
    invalid(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
            .to_owned(),
    )
}

fn unrecognized() -> Fault {
    let message = "The security token included in the request is invalid.";
    Fault::new("UnrecognizedClientException", 400, message)
}
