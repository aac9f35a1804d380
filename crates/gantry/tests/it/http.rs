//! HTTP/1.1 by hand, so that requests can be as wrong as a test wants them, and signed requests made of it. One connection
//! for each request; what the server says is read even where it stopped listening.

use crate::world::patient;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use wire::http::{Header, HttpRequest};
use wire::sigv4::{self, Key, Secret};

const TIMEOUT: Duration = Duration::from_secs(40);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }
}

/// Sends one request and reads its answer.
pub fn exchange(
    authority: &str,
    method: &str,
    path: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(authority)?;
    stream.set_read_timeout(Some(patient(TIMEOUT)))?;
    stream.set_write_timeout(Some(patient(TIMEOUT)))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| name == "host") {
        head.push_str(&format!("host: {authority}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    // A server may answer before it has read everything; then its answer counts, not the failed write.
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    read(&stream).or_else(|error| sent.and(Err(error)))
}

fn read(stream: &TcpStream) -> io::Result<Answer> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status line: {line:?}")))?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    let mut body = Vec::new();
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
    match length {
        Some(length) => {
            body.resize(length, 0);
            reader.read_exact(&mut body)?;
        }
        None => drop(reader.read_to_end(&mut body)?),
    }
    Ok(Answer { status, headers, body })
}

/// The page at `http://address/path`.
pub fn page(address: &str, path: &str) -> io::Result<String> {
    let answer = exchange(&format!("{address}:80"), "GET", path, &[], &[])?;
    match answer.status {
        200 => Ok(answer.text()),
        status => Err(io::Error::other(format!("{path} answers {status}"))),
    }
}

/// Whoever signs requests.
#[derive(Clone)]
pub struct Signer {
    /// `127.0.0.1:8580`.
    pub authority: String,
    pub region: String,
    pub access_key: String,
    pub secret: String,
    /// Seconds by which the signer's clock is ahead.
    pub skew: i64,
}

impl Signer {
    /// The headers that sign a request.
    pub fn sign(&self, service: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<(String, String)> {
        let key =
            Key { access_key: self.access_key.clone(), secret: Secret::new(self.secret.clone()), session_token: None };
        let mut all: Vec<Header> = vec![("host".into(), self.authority.as_str().into())];
        all.extend(headers.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let now = now.saturating_add_signed(self.skew);
        let plain = HttpRequest { method: "POST", path: "/", query: "", headers: &all, body };
        let signature = sigv4::sign(&key, &self.region, service, now, &plain);
        all.extend(signature);
        all.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
    }

    /// Calls an operation of a JSON service with a body that may be anything.
    pub fn send(&self, service: &str, target: &str, body: &[u8]) -> Answer {
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)];
        let headers = self.sign(service, &headers, body);
        let answer = exchange(&self.authority, "POST", "/", &headers, body);
        answer.unwrap_or_else(|error| panic!("{target} was not answered: {error}"))
    }

    /// Calls an operation of ECS.
    pub fn ecs(&self, operation: &str, body: &[u8]) -> Answer {
        self.send("ecs", &format!("AmazonEC2ContainerServiceV20141113.{operation}"), body)
    }
}
