//! HTTP: one endpoint for every service. A request is routed, authenticated, decoded, decided and encoded; whatever goes
//! wrong is a fault in the protocol that the client speaks.

use super::core::Handle;
use super::keys::Keys;
use super::logs::Logs;
use super::websocket;
use control::Caller;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_LENGTH;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use wire::http::{Answer, BODY_BYTES_MAX, Call, Header, HttpRequest, HttpResponse, Protocol, body_bytes_max};
use wire::{Fault, ecs, gantry};

/// Connections at once; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 4096;
/// A client that does not finish its headers in this time is let go.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// A client that does not finish its body in this time is let go.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

pub type Reply = Response<Full<Bytes>>;

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, core: Handle, keys: Arc<Keys>, logs: Arc<Logs>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (core, keys, logs) = (core.clone(), keys.clone(), logs.clone());
                tokio::spawn(async move {
                    connection(stream, core, keys, logs).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: others must finish first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, core: Handle, keys: Arc<Keys>, logs: Arc<Logs>) {
    // Replies are small and wanted at once.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let (core, keys, logs) = (core.clone(), keys.clone(), logs.clone());
        async move { Ok::<_, Infallible>(answer(request, &core, &keys, &logs).await) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).with_upgrades().await {
        tracing::debug!(%error, "a connection ended");
    }
}

async fn answer(request: Request<Incoming>, core: &Handle, keys: &Keys, logs: &Arc<Logs>) -> Reply {
    let request_id = core.request_id();
    if websocket::is_upgrade(&request) {
        return websocket::upgrade(request, core, keys).await;
    }
    let (head, body) = request.into_parts();
    let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let declared = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    // Large bodies are held in memory: only so many at once, and only where the client said so before.
    let large = declared.is_some_and(|length| length > BODY_BYTES_MAX);
    let longest = if large { body_bytes_max(target) } else { BODY_BYTES_MAX };
    let _place = if longest > BODY_BYTES_MAX { logs.large_body().await } else { None };
    let limited = Limited::new(body, longest + 1);
    let body = match tokio::time::timeout(BODY_TIMEOUT, limited.collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Bytes::from(vec![0; longest + 1]),
        Ok(Err(_)) | Err(_) => Bytes::new(),
    };
    let received = Instant::now();
    let headers = headers(&head.headers);
    let plain = HttpRequest {
        method: head.method.as_str(),
        path: head.uri.path(),
        query: head.uri.query().unwrap_or(""),
        headers: &headers,
        body: &body,
    };
    let response = decide(&plain, (core, logs), keys, received, &request_id).await;
    reply(response)
}

async fn decide(
    request: &HttpRequest<'_>,
    (core, logs): (&Handle, &Arc<Logs>),
    keys: &Keys,
    received: Instant,
    request_id: &str,
) -> HttpResponse {
    let target = match wire::http::route(request) {
        Ok(target) => target,
        Err((protocol, fault)) => return wire::http::encode(protocol, Err(fault), request_id),
    };
    let call =
        keys.verify(request, target.service).and_then(|caller| Ok((caller, wire::http::decode(request, target)?)));
    let answer = match call {
        Ok((caller, call)) if is_plan(request, &call) => plan(core, caller, call).await,
        Ok((caller, Call::Logs(request))) => logs.answer(caller, request, received).await.map(Answer::Logs),
        Ok((caller, call @ (Call::Ssm(_) | Call::SecretsManager(_)))) => {
            keys.vault.answer(core, caller, call, received).await
        }
        Ok((caller, call)) => core.request(caller, call, received).await,
        Err(fault) => Err(fault),
    };
    if let Err(fault) = &answer {
        tracing::debug!(operation = target.operation.full_name(), %fault, request_id, "refused");
    }
    wire::http::encode(target.protocol, answer, request_id)
}

/// Whether a request asks what it would bring about: `gantry:Plan`, or any request of ECS with this header.
fn is_plan(request: &HttpRequest<'_>, call: &Call) -> bool {
    let asked = request.header("x-gantry-plan").is_some_and(|value| !matches!(value, "0" | "false" | ""));
    matches!(call, Call::Gantry(gantry::Request::Plan(_))) || (asked && matches!(call, Call::Ecs(_)))
}

async fn plan(core: &Handle, caller: Caller, call: Call) -> Result<Answer, Fault> {
    let call = match call {
        Call::Gantry(gantry::Request::Plan(input)) => {
            let unknown = || Fault::invalid_parameter(format!("ECS has no operation {:?}.", input.operation));
            let operation = ecs::Operation::from_name(&input.operation).ok_or_else(unknown)?;
            Call::Ecs(ecs::Request::decode(operation, input.input.as_deref().unwrap_or("{}").as_bytes())?)
        }
        call => call,
    };
    let plan = core.plan(caller, call).await?;
    Ok(Answer::Gantry(gantry::Response::Plan(Box::new(plan))))
}

/// Headers as signatures need them: lower-case names, text values; a value that is no text signs as nothing.
pub fn headers(map: &hyper::HeaderMap) -> Vec<Header<'_>> {
    map.iter().map(|(name, value)| (name.as_str().into(), String::from_utf8_lossy(value.as_bytes()))).collect()
}

fn reply(response: HttpResponse) -> Reply {
    let mut reply = Response::builder().status(response.status);
    for (name, value) in response.headers {
        reply = reply.header(name, value);
    }
    // The parts are ours: a status, header names and values that are all plain text.
    reply.body(Full::new(Bytes::from(response.body))).unwrap_or_else(|_| Response::new(Full::new(Bytes::new())))
}

/// A fault in the plain JSON protocol, for requests that never reached a service.
pub fn fault_reply(fault: Fault, request_id: &str) -> Reply {
    reply(wire::http::encode(Protocol::Json11, Err(fault), request_id))
}
