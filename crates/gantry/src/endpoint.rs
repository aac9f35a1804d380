//! URLs of an endpoint: `http://host:port`, and percent-encoding of query values.

use anyhow::{Context, Result};

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `127.0.0.1:8580`: what a client connects to and the Host header says.
    pub authority: String,
    /// What stands before the operation's own path, without a slash at its end.
    pub path: String,
}

impl Endpoint {
    /// Parses `http://host:port[/path]`. TLS between Gantry's own parts comes with several machines.
    pub fn parse(url: &str) -> Result<Self> {
        let told = || format!("{url:?} is no address of a Gantry server: http://HOST:PORT is expected");
        let rest = url.strip_prefix("http://").with_context(told)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.is_empty() || authority.contains('@') {
            anyhow::bail!(told());
        }
        let authority = if has_port(authority) { authority.to_owned() } else { format!("{authority}:80") };
        let path = path.trim_end_matches('/');
        let path = if path.is_empty() { String::new() } else { format!("/{path}") };
        Ok(Self { authority, path })
    }
}

fn has_port(authority: &str) -> bool {
    authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Encodes a query value: everything but unreserved characters, as signatures need it.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// Decodes a query value, `+` as a space; what is no proper encoding stays as it is.
pub fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        let byte = hex.filter(|_| bytes[at] == b'%').and_then(|pair| u8::from_str_radix(pair, 16).ok());
        plain.push(byte.unwrap_or(if bytes[at] == b'+' { b' ' } else { bytes[at] }));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_round_trip() {
        for text in ["", "a b+c", "arn:aws:ecs:x/y", "é%", "100%zz"] {
            assert_eq!(unescape(&escape(text)), text);
        }
        assert_eq!(unescape("a+b%3A%zz%"), "a b:%zz%");
    }

    #[test]
    fn addresses_are_read() {
        let endpoint = Endpoint::parse("http://127.0.0.1:8580/acs/").unwrap();
        assert_eq!((endpoint.authority.as_str(), endpoint.path.as_str()), ("127.0.0.1:8580", "/acs"));
        assert_eq!(Endpoint::parse("http://host").unwrap().authority, "host:80");
        for bad in ["https://x", "ftp://x", "x", "http://", "http://u@h"] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
    }
}
