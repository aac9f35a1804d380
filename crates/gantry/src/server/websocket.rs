//! Agents' sessions: the signed upgrade, then text frames both ways. `/acs/ws` is the control session, `/tcs/ws` the
//! telemetry session.

use super::core::{Handle, ToSession};
use super::http::{Reply, fault_reply, headers};
use super::keys::Keys;
use control::{Caller, Connect, Input};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use wire::Fault;
use wire::http::HttpRequest;

/// Largest frame an agent may send.
const FRAME_MAX: usize = 4 * 1024 * 1024;
/// Heartbeats on the telemetry session.
const TELEMETRY_HEARTBEAT: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// Whether a request asks to become a websocket.
pub fn is_upgrade(request: &Request<Incoming>) -> bool {
    let upgrade = request.headers().get(UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

/// Answers the upgrade and serves the session behind it.
pub async fn upgrade(mut request: Request<Incoming>, core: &Handle, keys: &Keys) -> Reply {
    let request_id = core.request_id();
    let headers = headers(request.headers());
    let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or("").to_owned());
    let plain =
        HttpRequest { method: request.method().as_str(), path: &path, query: &query, headers: &headers, body: &[] };
    let caller = match keys.verify(&plain, wire::http::Service::Ecs) {
        Ok(caller) => caller,
        Err(fault) => return fault_reply(fault, &request_id),
    };
    let Some(accept) = request.headers().get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes())) else {
        return fault_reply(Fault::new("BadRequestException", 400, "Sec-WebSocket-Key is missing."), &request_id);
    };
    let upgraded = hyper::upgrade::on(&mut request);
    match path.as_str() {
        "/acs/ws" => {
            let connect = connect(&query);
            let (sender, frames) = mpsc::unbounded_channel();
            let session = match core.connect(caller, connect, sender).await {
                Ok(session) => session,
                Err(refusal) => return refused(refusal.kind, &refusal.message),
            };
            let core = core.clone();
            tokio::spawn(async move {
                match upgraded.await {
                    Ok(stream) => control_session(socket(stream).await, &core, session, frames).await,
                    Err(error) => tracing::debug!(%error, "an agent went away during the handshake"),
                }
                core.disconnected(session);
            });
        }
        "/tcs/ws" => {
            let core = core.clone();
            tokio::spawn(async move {
                if let Ok(stream) = upgraded.await {
                    telemetry_session(socket(stream).await, &core, caller).await;
                }
            });
        }
        _ => return fault_reply(Fault::new("BadRequestException", 404, format!("no session at {path}")), &request_id),
    }
    switching(&accept)
}

fn switching(accept: &str) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::new()));
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = reply.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    reply
}

fn refused(kind: &str, message: &str) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(link::acs::refusal(kind, message))));
    *reply.status_mut() = StatusCode::BAD_REQUEST;
    reply
}

async fn socket(stream: hyper::upgrade::Upgraded) -> Socket {
    let limits = WebSocketConfig::default().max_message_size(Some(FRAME_MAX)).max_frame_size(Some(FRAME_MAX));
    WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Server, Some(limits)).await
}

fn connect(query: &str) -> Connect {
    let mut connect = Connect::default();
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let value = crate::endpoint::unescape(value);
        match name {
            "containerInstanceArn" => connect.container_instance_arn = value,
            "agentVersion" => connect.agent_version = value,
            "agentHash" => connect.agent_hash = value,
            "dockerVersion" => connect.docker_version = value,
            _ => {}
        }
    }
    connect
}

/// Carries frames until either side ends it.
async fn control_session(
    mut socket: Socket,
    core: &Handle,
    session: u64,
    mut frames: mpsc::UnboundedReceiver<ToSession>,
) {
    use futures_util::{SinkExt, StreamExt};
    loop {
        tokio::select! {
            said = frames.recv() => match said {
                Some(ToSession::Frame(frame)) => {
                    if socket.send(Message::text(frame)).await.is_err() { return; }
                }
                Some(ToSession::Close { code, reason }) => {
                    let _ = socket.close(Some(close(code, &reason))).await;
                    return;
                }
                None => return,
            },
            heard = socket.next() => match heard {
                Some(Ok(Message::Text(frame))) => core.take(Input::Frame { session, frame: frame.as_str().to_owned() }),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
}

fn close(code: u16, reason: &str) -> CloseFrame {
    // A close reason has at most 123 bytes on the wire.
    let end = (0..=reason.len().min(120)).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
    CloseFrame { code: code.into(), reason: Utf8Bytes::from(reason[..end].to_owned()) }
}

/// Hands on and acknowledges what an agent publishes, and keeps the session alive. The acknowledgement promises nothing:
/// an agent says everything again now and then.
async fn telemetry_session(mut socket: Socket, core: &Handle, caller: Caller) {
    use futures_util::{SinkExt, StreamExt};
    let mut beat = tokio::time::interval(TELEMETRY_HEARTBEAT);
    beat.tick().await;
    loop {
        tokio::select! {
            _ = beat.tick() => {
                let heartbeat = r#"{"type":"HeartbeatMessage","message":{"healthy":true}}"#;
                if socket.send(Message::text(heartbeat)).await.is_err() { return; }
            }
            heard = socket.next() => match heard {
                Some(Ok(Message::Text(frame))) => {
                    let Some(answer) = link::tcs::answer(frame.as_str()) else { continue };
                    core.take(Input::Telemetry { caller: caller.clone(), frame: frame.as_str().to_owned() });
                    if socket.send(Message::text(answer)).await.is_err() { return; }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
}
