//! A signed client that measures nothing but what it must: one connection, blocking.

use super::server::Server;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};
use wire::http::{Header, HttpRequest};
use wire::sigv4::{self, Key, Secret};

/// A client of one server.
pub struct Client {
    authority: String,
    region: String,
    key: Key,
    stream: RefCell<BufReader<TcpStream>>,
}

impl Client {
    /// Connects with the operator's key.
    pub fn new(server: &Server) -> Result<Self> {
        let environment = server.environment()?;
        let variable = |name: &str| environment[name].as_str().map(str::to_owned).with_context(|| format!("no {name}"));
        let authority = variable("AWS_ENDPOINT_URL")?.trim_start_matches("http://").to_owned();
        let secret = Secret::new(variable("AWS_SECRET_ACCESS_KEY")?);
        let key = Key { access_key: variable("AWS_ACCESS_KEY_ID")?, secret, session_token: None };
        let stream = TcpStream::connect(&authority)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            authority,
            region: variable("AWS_DEFAULT_REGION")?,
            key,
            stream: RefCell::new(BufReader::new(stream)),
        })
    }

    /// Calls an ECS operation.
    pub fn ecs(&self, operation: &str, input: &Value) -> Result<Value> {
        self.call("ecs", &format!("AmazonEC2ContainerServiceV20141113.{operation}"), input)
    }

    /// Calls an operation of a JSON service.
    pub fn call(&self, service: &str, target: &str, input: &Value) -> Result<Value> {
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)];
        let (status, body) = self.send(service, &headers, &input.to_string())?;
        if status != 200 {
            bail!("{target}: HTTP {status}: {body}");
        }
        serde_json::from_str(&body).with_context(|| format!("{target}: {body}"))
    }

    /// The number of the last commit.
    pub fn commit_index(&self) -> Result<i64> {
        let answer = self.call("gantry", "Gantry_20261101.DescribeServer", &json!({}))?;
        answer["commitIndex"].as_i64().context("the server tells no commit index")
    }

    /// The subnets of the default VPC.
    pub fn subnets(&self) -> Result<Vec<String>> {
        let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        let (_, xml) = self.send("ec2", &headers, "Action=DescribeSubnets&Version=2016-11-15")?;
        let parts = xml.split("<subnetId>").skip(1);
        Ok(parts.filter_map(|part| Some(part.split_once("</subnetId>")?.0.to_owned())).collect())
    }

    /// Where the server is.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// A whole signed request of an ECS operation.
    pub fn signed(&self, operation: &str, input: &Value) -> Result<String> {
        let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
        self.request(
            "ecs",
            &[("content-type", "application/x-amz-json-1.1"), ("x-amz-target", &target)],
            &input.to_string(),
        )
    }

    fn send(&self, service: &str, headers: &[(&str, &str)], body: &str) -> Result<(u16, String)> {
        let text = self.request(service, headers, body)?;
        let mut stream = self.stream.borrow_mut();
        stream.get_mut().write_all(text.as_bytes())?;
        read_answer(&mut stream)
    }

    fn request(&self, service: &str, headers: &[(&str, &str)], body: &str) -> Result<String> {
        let mut all: Vec<Header> = vec![("host".into(), self.authority.as_str().into())];
        all.extend(headers.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let request = HttpRequest { method: "POST", path: "/", query: "", headers: &all, body: body.as_bytes() };
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let signature = sigv4::sign(&self.key, &self.region, service, now, &request);
        all.extend(signature);
        let lines: String = all.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        Ok(format!("POST / HTTP/1.1\r\n{lines}content-length: {}\r\n\r\n{body}", body.len()))
    }
}

/// Reads one answer: its status and body.
pub fn read_answer(stream: &mut BufReader<TcpStream>) -> Result<(u16, String)> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status =
        line.split(' ').nth(1).and_then(|code| code.parse().ok()).with_context(|| format!("no status: {line:?}"))?;
    let mut length = 0;
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((status, String::from_utf8(body)?))
}
