//! The node's link to its control plane: registers, discovers, keeps a control and a telemetry session open, carries
//! frames and reports. Ends never; what fails is tried again, soon at first.

use super::{AgentConfig, Registration, capacity, telemetry};
use crate::client::{CallError, Client};
use crate::clock::wall_ms;
use crate::data_dir::DataDir;
use crate::endpoint::{Endpoint, escape};
use anyhow::{Context, Result, anyhow, bail};
use futures_util::{SinkExt, StreamExt};
use link::report::StateChange;
use node::hands::TaskKey;
use node::{Identity, Outcome};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message, http};
use tokio_tungstenite::{WebSocketStream, client_async};
use wire::http::{Header, HttpRequest};
use wire::{ecs, sigv4};

/// Between tries, at first and at the most.
pub(super) const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// A server that is silent for longer is given up; it beats every 20 s.
pub(super) const SILENCE: Duration = Duration::from_secs(75);

pub(super) type Socket = WebSocketStream<TcpStream>;

/// What comes from the link.
pub enum FromUplink {
    /// A control session is open.
    Connected {
        /// Who we are now.
        identity: Identity,
    },
    /// A telemetry session is open.
    Listening,
    /// A frame of the control plane.
    Frame(String),
    /// How a report went.
    Reported {
        /// The task's.
        task: TaskKey,
        /// How.
        outcome: Outcome,
    },
}

/// The link.
pub struct Uplink {
    client: Arc<Client>,
    frames: mpsc::UnboundedSender<String>,
    telemetry: mpsc::UnboundedSender<String>,
    sender: mpsc::UnboundedSender<FromUplink>,
    incoming: mpsc::UnboundedReceiver<FromUplink>,
}

/// Who a registration makes us.
pub fn identity(registration: &Registration) -> Identity {
    Identity {
        cluster: registration.cluster.clone(),
        container_instance_arn: registration.container_instance_arn.clone(),
    }
}

const FILE: &str = "registration.json";

/// The registration of an earlier life, or the first one: then the control plane must be there.
pub async fn first_registration(config: &AgentConfig) -> Result<Registration> {
    if let Some(kept) = kept(&config.data_dir, &config.cluster)? {
        return Ok(kept);
    }
    let mut wait = RETRY_MIN;
    loop {
        match register(config, None).await {
            Ok(registration) => return Ok(registration),
            Err(CallError::Unreachable(error)) => tracing::warn!(error = format!("{error:#}"), "cannot register yet"),
            Err(CallError::Fault(fault)) => bail!("the control plane refuses this node: {fault}"),
        }
        pause(&mut wait).await;
    }
}

fn kept(data_dir: &DataDir, cluster: &str) -> Result<Option<Registration>> {
    let Some(text) = data_dir.text(FILE)? else { return Ok(None) };
    let kept: Registration = serde_json::from_str(&text).with_context(|| format!("cannot read {FILE}"))?;
    if kept.cluster != cluster {
        bail!("this node is registered in cluster {:?}; it cannot be started with {cluster:?}", kept.cluster);
    }
    Ok(Some(kept))
}

async fn register(config: &AgentConfig, arn: Option<String>) -> Result<Registration, CallError> {
    let request = capacity::registration(config, arn).map_err(CallError::Unreachable)?;
    let odd = || CallError::Unreachable(anyhow!("the control plane's answer names no container instance"));
    let ecs::Response::RegisterContainerInstance(answer) = config.client.ecs(request).await? else { return Err(odd()) };
    let instance = answer.container_instance.ok_or_else(odd)?;
    let attributes = instance.attributes.unwrap_or_default();
    let attribute = |name: &str| attributes.iter().find(|a| a.name == name).and_then(|a| a.value.clone());
    let registration = Registration {
        cluster: config.cluster.clone(),
        container_instance_arn: instance.container_instance_arn.ok_or_else(odd)?,
        vpc_id: attribute("ecs.vpc-id").ok_or_else(odd)?,
        vpc_cidr: attribute("gantry.vpc-cidr").ok_or_else(odd)?,
    };
    let text = serde_json::to_string(&registration).map_err(|error| CallError::Unreachable(error.into()))?;
    config.data_dir.write_text(FILE, &text).map_err(CallError::Unreachable)?;
    Ok(registration)
}

pub(super) async fn pause(wait: &mut Duration) {
    tokio::time::sleep(*wait).await;
    *wait = (*wait * 2).min(RETRY_MAX);
}

impl Uplink {
    /// Starts connecting.
    pub fn start(config: AgentConfig, registration: Registration) -> Self {
        let (frames, to_send) = mpsc::unbounded_channel();
        let (telemetry, to_publish) = mpsc::unbounded_channel();
        let (sender, incoming) = mpsc::unbounded_channel();
        let config = Arc::new(config);
        let client = Arc::new(config.client.again());
        tokio::spawn(keep_connected(config, registration, sender.clone(), to_send, to_publish));
        Self { client, frames, telemetry, sender, incoming }
    }

    /// What came.
    pub async fn next(&mut self) -> Option<FromUplink> {
        self.incoming.recv().await
    }

    /// Sends a frame on the session that is open; one that is lost is asked for again.
    pub fn say(&self, frame: String) {
        let _ = self.frames.send(frame);
    }

    /// Sends a frame on the telemetry session; what is lost is said again.
    pub fn publish(&self, frame: String) {
        let _ = self.telemetry.send(frame);
    }

    /// Sends a report; its outcome comes back.
    pub fn report(&self, task: TaskKey, change: StateChange) {
        let (client, sender) = (self.client.clone(), self.sender.clone());
        tokio::spawn(async move {
            let outcome = super::outcome(client.ecs(change.to_request()).await);
            let _ = sender.send(FromUplink::Reported { task, outcome });
        });
    }
}

/// Registers (again), connects, carries frames; when the session ends, from the start.
async fn keep_connected(
    config: Arc<AgentConfig>,
    mut registration: Registration,
    sender: mpsc::UnboundedSender<FromUplink>,
    mut to_send: mpsc::UnboundedReceiver<String>,
    mut to_publish: mpsc::UnboundedReceiver<String>,
) {
    let mut wait = RETRY_MIN;
    loop {
        match session(&config, &mut registration, &sender, &mut to_send, &mut to_publish).await {
            Ok(()) => wait = RETRY_MIN,
            Err(error) => tracing::warn!(error = format!("{error:#}"), "no session with the control plane"),
        }
        if sender.is_closed() {
            return;
        }
        pause(&mut wait).await;
    }
}

async fn session(
    config: &AgentConfig,
    registration: &mut Registration,
    sender: &mpsc::UnboundedSender<FromUplink>,
    to_send: &mut mpsc::UnboundedReceiver<String>,
    to_publish: &mut mpsc::UnboundedReceiver<String>,
) -> Result<()> {
    let known = registration.container_instance_arn.clone();
    let renewed = match register(config, Some(known)).await {
        Ok(registration) => registration,
        // The instance was deregistered: this host is a new one to the control plane.
        Err(CallError::Fault(fault)) if fault.code == "ClientException" => register(config, None).await?,
        Err(error) => return Err(error.into()),
    };
    if (&renewed.vpc_id, &renewed.vpc_cidr) != (&registration.vpc_id, &registration.vpc_cidr) {
        bail!("the control plane is another deployment now: run `gantry down` here and start the node again");
    }
    *registration = renewed;
    let (control, telemetry) = discover(config, registration).await?;
    let mut socket = connect(&config.client, &control, &control_query(registration)).await?;
    while to_send.try_recv().is_ok() {}
    let _ = sender.send(FromUplink::Connected { identity: identity(registration) });
    let query = telemetry_query(registration);
    tokio::select! {
        ended = carry(&mut socket, sender, to_send) => ended,
        () = telemetry::keep(&config.client, &telemetry, &query, sender, to_publish) => Ok(()),
    }
}

async fn carry(
    socket: &mut Socket,
    sender: &mpsc::UnboundedSender<FromUplink>,
    to_send: &mut mpsc::UnboundedReceiver<String>,
) -> Result<()> {
    loop {
        tokio::select! {
            frame = to_send.recv() => match frame {
                Some(frame) => socket.send(Message::text(frame)).await?,
                None => return Ok(()),
            },
            heard = tokio::time::timeout(SILENCE, socket.next()) => match heard {
                Err(_) => bail!("the control plane was silent for {} s", SILENCE.as_secs()),
                Ok(Some(Ok(Message::Text(frame)))) => {
                    let _ = sender.send(FromUplink::Frame(frame.as_str().to_owned()));
                }
                Ok(Some(Ok(Message::Close(_))) | None) => return Ok(()),
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(error))) => return Err(error.into()),
            },
        }
    }
}

async fn discover(config: &AgentConfig, registration: &Registration) -> Result<(Endpoint, Endpoint)> {
    let request = ecs::DiscoverPollEndpointRequest {
        cluster: Some(registration.cluster.clone()),
        container_instance: Some(registration.container_instance_arn.clone()),
    };
    let ecs::Response::DiscoverPollEndpoint(answer) = config.client.ecs(request).await? else { bail!("an odd answer") };
    let endpoint = |url: Option<String>| Endpoint::parse(&url.context("the control plane names no session endpoint")?);
    Ok((endpoint(answer.endpoint)?, endpoint(answer.telemetry_endpoint)?))
}

fn control_query(registration: &Registration) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "agentHash=gantry&agentVersion={version}&clusterArn={}&containerInstanceArn={}&dockerVersion=gantry&protocolVersion=2&sendCredentials=true&seqNum=1",
        escape(&registration.cluster),
        escape(&registration.container_instance_arn)
    )
}

fn telemetry_query(registration: &Registration) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "agentHash=gantry&agentVersion={version}&cluster={}&containerInstance={}&dockerVersion=gantry",
        escape(&registration.cluster),
        escape(&registration.container_instance_arn)
    )
}

pub(super) async fn connect(client: &Client, endpoint: &Endpoint, query: &str) -> Result<Socket> {
    let path = format!("{}/ws", endpoint.path);
    let mut headers: Vec<Header> = vec![("host".into(), endpoint.authority.as_str().into())];
    let plain = HttpRequest { method: "GET", path: &path, query, headers: &headers, body: &[] };
    let signature = sigv4::sign(client.key(), client.region(), "ecs", wall_ms() / 1000, &plain);
    headers.extend(signature);
    let mut request = http::Request::get(format!("ws://{}{path}?{query}", endpoint.authority))
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", tokio_tungstenite::tungstenite::handshake::client::generate_key());
    for (name, value) in headers {
        request = request.header(&*name, &*value);
    }
    let stream = TcpStream::connect(&endpoint.authority).await?;
    stream.set_nodelay(true)?;
    match client_async(request.body(())?, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(SocketError::Http(answer)) => {
            let body = answer.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
            bail!("the control plane refused the session: {} {body}", answer.status())
        }
        Err(error) => Err(error.into()),
    }
}
