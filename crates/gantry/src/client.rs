//! A signed client of our own endpoint, for the command line and the node. A few connections, opened again when
//! they are gone.

use crate::clock::wall_ms;
use crate::endpoint::Endpoint;
use anyhow::{Context, Result, anyhow};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use wire::http::{Header, HttpRequest};
use wire::sigv4::{self, Key};
use wire::{Fault, ecs, gantry, logs};

/// Largest answer taken.
const ANSWER_MAX: usize = 64 * 1024 * 1024;
/// A request that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Requests on their way at once; each has a connection of its own.
const CONNECTIONS: usize = 4;

/// A client.
pub struct Client {
    endpoint: Endpoint,
    region: String,
    key: Key,
    connections: [Mutex<Option<SendRequest<Full<Bytes>>>>; CONNECTIONS],
}

/// What went wrong with a call.
#[derive(Debug)]
pub enum CallError {
    /// The server answered, and refused.
    Fault(Fault),
    /// The server could not be reached, or its answer could not be read: nobody knows what it did.
    Unreachable(anyhow::Error),
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fault(fault) => write!(f, "{fault}"),
            Self::Unreachable(error) => write!(f, "{error:#}"),
        }
    }
}

impl std::error::Error for CallError {}

impl Client {
    /// A client of the server at `url`.
    pub fn new(url: &str, region: &str, key: Key) -> Result<Self> {
        let endpoint = Endpoint::parse(url)?;
        Ok(Self { endpoint, region: region.to_owned(), key, connections: Default::default() })
    }

    /// A client like this one, with connections of its own.
    pub fn again(&self) -> Self {
        let (endpoint, region, key) = (self.endpoint.clone(), self.region.clone(), self.key.clone());
        Self { endpoint, region, key, connections: Default::default() }
    }

    /// What it signs with.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The region it signs for.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Calls an ECS operation.
    pub async fn ecs(&self, request: impl Into<ecs::Request>) -> Result<ecs::Response, CallError> {
        let request = request.into();
        let operation = request.operation();
        let body = self.call("ecs", operation.target(), request.to_json()).await?;
        ecs::Response::decode(operation, &body).map_err(CallError::Fault)
    }

    /// Calls an operation of Gantry's own.
    pub async fn gantry(&self, request: impl Into<gantry::Request>) -> Result<gantry::Response, CallError> {
        let request = request.into();
        let operation = request.operation();
        let body = self.call("gantry", operation.target(), request.to_json()).await?;
        gantry::Response::decode(operation, &body).map_err(CallError::Fault)
    }

    /// Calls an operation of CloudWatch Logs.
    pub async fn logs(&self, request: impl Into<logs::Request>) -> Result<logs::Response, CallError> {
        let request = request.into();
        let operation = request.operation();
        let body = self.call("logs", operation.target(), request.to_json()).await?;
        logs::Response::decode(operation, &body).map_err(CallError::Fault)
    }

    /// Calls an EC2 operation and answers its XML as text.
    pub async fn ec2(&self, action: &str) -> Result<String, CallError> {
        let body = format!("Action={action}&Version=2016-11-15");
        let content = "application/x-www-form-urlencoded; charset=utf-8";
        let answer = self.send("ec2", &[("content-type", content)], body).await?;
        match answer {
            (status, body) if status.is_success() => Ok(String::from_utf8_lossy(&body).into_owned()),
            (status, body) => Err(CallError::Unreachable(anyhow!("{status}: {}", String::from_utf8_lossy(&body)))),
        }
    }

    async fn call(&self, service: &str, target: &str, body: String) -> Result<Bytes, CallError> {
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)];
        match self.send(service, &headers, body).await? {
            (status, body) if status.is_success() => Ok(body),
            (status, body) => Err(CallError::Fault(Fault::from_json_answer(status.as_u16(), &body))),
        }
    }

    async fn send(
        &self,
        service: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let sent = tokio::time::timeout(TIMEOUT, self.exchange(service, headers, body)).await;
        let sent = sent.unwrap_or_else(|_| Err(anyhow!("no answer within {} s", TIMEOUT.as_secs())));
        let told = || format!("cannot talk to the Gantry server at http://{}: is it running?", self.endpoint.authority);
        sent.with_context(told).map_err(CallError::Unreachable)
    }

    async fn exchange(&self, service: &str, headers: &[(&str, &str)], body: String) -> Result<(StatusCode, Bytes)> {
        let free = self.connections.iter().find_map(|connection| connection.try_lock().ok());
        let mut connection = match free {
            Some(connection) => connection,
            None => self.connections[0].lock().await,
        };
        let alive = match connection.as_mut() {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !alive {
            *connection = Some(open(&self.endpoint).await?);
        }
        let sender = connection.as_mut().context("just opened")?;
        let request = self.signed(service, headers, body)?;
        let answer = sender.send_request(request).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                *connection = None;
                return Err(error.into());
            }
        };
        let status = answer.status();
        match Limited::new(answer.into_body(), ANSWER_MAX).collect().await {
            Ok(body) => Ok((status, body.to_bytes())),
            Err(error) => {
                *connection = None;
                Err(anyhow!(error))
            }
        }
    }

    fn signed(&self, service: &str, headers: &[(&str, &str)], body: String) -> Result<Request<Full<Bytes>>> {
        let mut all: Vec<Header> = vec![("host".into(), self.endpoint.authority.as_str().into())];
        all.extend(headers.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let path = if self.endpoint.path.is_empty() { "/" } else { &self.endpoint.path };
        let plain = HttpRequest { method: "POST", path, query: "", headers: &all, body: body.as_bytes() };
        let signature = sigv4::sign(&self.key, &self.region, service, wall_ms() / 1000, &plain);
        all.extend(signature);
        let mut request = Request::post(path);
        for (name, value) in all {
            request = request.header(&*name, &*value);
        }
        Ok(request.body(Full::new(Bytes::from(body)))?)
    }
}

async fn open(endpoint: &Endpoint) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(&endpoint.authority).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to the server ended");
        }
    });
    Ok(sender)
}
