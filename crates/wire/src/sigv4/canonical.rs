//! The canonical form of a request: the text that is hashed and signed, the same for everyone who saw the same request.

use std::borrow::Cow;

use crate::http::HttpRequest;
use crate::query::percent_decoded;

const HEX: &[u8; 16] = b"0123456789abcdef";
const HEX_CAPITALS: &[u8; 16] = b"0123456789ABCDEF";

/// The canonical request; `None` when a header that should be signed is not there.
pub(super) fn canonical_request(request: &HttpRequest<'_>, signed_headers: &[&str], body_hash: &str) -> Option<String> {
    let mut text =
        format!("{}\n{}\n{}\n", request.method, canonical_path(request.path), canonical_query(request.query));
    for name in signed_headers {
        let mut values = request.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| folded(value));
        text.push_str(name);
        text.push(':');
        text.push_str(&values.next()?);
        for value in values {
            text.push(',');
            text.push_str(&value);
        }
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&signed_headers.join(";"));
    text.push('\n');
    text.push_str(body_hash);
    Some(text)
}

/// A header's value without outer space and with single spaces inside.
fn folded(value: &str) -> Cow<'_, str> {
    if !value.bytes().any(|byte| byte.is_ascii_whitespace()) {
        return Cow::Borrowed(value);
    }
    let words: Vec<&str> = value.split_ascii_whitespace().collect();
    Cow::Owned(words.join(" "))
}

/// The path without `.`, `..` and empty segments, encoded once more than it was sent, as every service but S3 does.
fn canonical_path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let mut out = String::from("/");
    for (index, segment) in segments.iter().enumerate() {
        if index > 0 {
            out.push('/');
        }
        encode(segment.as_bytes(), &mut out);
    }
    if path.ends_with('/') && !segments.is_empty() {
        out.push('/');
    }
    out
}

/// The parameters, each encoded in the one right way, in order of name and value.
fn canonical_query(query: &str) -> String {
    let encoded = |part: &str| {
        let mut out = String::new();
        encode(&percent_decoded(part), &mut out);
        out
    };
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (encoded(name), encoded(value))
        })
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

fn encode(bytes: &[u8], out: &mut String) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX_CAPITALS[usize::from(byte >> 4)]));
            out.push(char::from(HEX_CAPITALS[usize::from(byte & 15)]));
        }
    }
}

/// Bytes as small hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(HEX[usize::from(byte >> 4)]));
        out.push(char::from(HEX[usize::from(byte & 15)]));
    }
    out
}
