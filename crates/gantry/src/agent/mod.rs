//! The node's shell: the machine `node::Node`, the hands that act for it, and its link to the control plane.
//!
//! One task owns the machine and feeds it: events of the host, frames and outcomes of the link, orders of the image
//! socket, time. Nothing here decides.

mod capacity;
mod hands;
pub mod hidden;
mod shipper;
mod shipping;
mod socket;
mod teardown;
mod telemetry;
mod uplink;

pub use capacity::FargateFactors;
pub use teardown::teardown;

use crate::client::Client;
use crate::clock::Clock;
use crate::data_dir::{DataDir, Lock};
use anyhow::{Context, Result};
use hands::LinuxHands;
use network::{Network, NetworkConfig};
use node::hands::{Cidr, Event, Hands, TaskKey};
use node::{Node, Outcome};
use runtime::{Runtime, RuntimeConfig};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use uplink::{FromUplink, Uplink};

/// Namespaces kept ready for tasks to come.
const POOL: usize = 4;
/// Between looks at what others may have changed on the host.
const REASSERT: Duration = Duration::from_secs(30);

/// What a node is started with.
pub struct AgentConfig {
    /// Where its tasks and images are.
    pub data_dir: DataDir,
    /// The cluster it registers into.
    pub cluster: String,
    /// Capacity it declares for Fargate tasks; `None`: it is not in the pool.
    pub fargate: Option<FargateFactors>,
    /// What else was said of the host.
    pub attributes: Vec<(String, Option<String>)>,
    /// The capacity provider that the host belongs to.
    pub capacity_provider: Option<String>,
    /// Registries (`host:port`) without TLS, besides those on loopback.
    pub insecure_registries: Vec<String>,
    /// Directories whose files describe the GPUs of the host.
    pub cdi: Vec<PathBuf>,
    /// The control plane, with the node's key.
    pub client: Client,
}

/// What is kept of a registration, so that a node can take its tasks up before its control plane is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registration {
    cluster: String,
    container_instance_arn: String,
    vpc_id: String,
    vpc_cidr: String,
}

/// A node that runs. Dropping it ends the process's part; tasks go on.
pub struct Agent {
    _lock: Lock,
    /// Answered once it is registered, connected and takes tasks.
    pub ready: oneshot::Receiver<()>,
}

/// `/run/gantry/<node id>`: what must not survive a reboot.
pub fn run_dir(node_id: &str) -> PathBuf {
    Path::new("/run/gantry").join(node_id)
}

impl Agent {
    /// Starts: takes up what an earlier life left, registers, connects, serves images.
    pub async fn start(config: AgentConfig) -> Result<Self> {
        config.data_dir.create()?;
        let lock = config.data_dir.lock("node")?;
        let node_id = config.data_dir.node_id()?;
        let (events, from_runtime) = mpsc::unbounded_channel();
        let runtime = Runtime::open(
            RuntimeConfig {
                data_dir: config.data_dir.root().to_owned(),
                node_id: node_id.clone(),
                supervisor_program: "/proc/self/exe".into(),
                supervisor_args: vec!["supervisor".to_owned()],
                insecure_registries: config.insecure_registries.clone(),
                cdi: config.cdi.clone(),
            },
            events,
        );
        let register = uplink::first_registration(&config);
        let (runtime, registration) = tokio::join!(runtime, register);
        let (runtime, registration) = (Arc::new(runtime.context("this host cannot run containers")?), registration?);
        let network = open_network(&node_id, &registration).await?;
        let (to_machine, orders) = mpsc::unbounded_channel();
        socket::serve(config.data_dir.root(), runtime.clone(), to_machine)?;
        let shipper = shipper::Shipper::start(runtime.clone(), config.client.again());
        let uplink = Uplink::start(config, registration.clone());
        let hands = LinuxHands::new(runtime.clone(), network.clone(), shipper);
        runtime.recover();
        let node = Node::new(uplink::identity(&registration));
        let (told, ready) = oneshot::channel();
        let machine =
            Machine { node, hands, network, uplink, clock: Clock::start(0), found: BTreeSet::new(), told: Some(told) };
        tokio::spawn(machine.run(from_runtime, orders));
        Ok(Self { _lock: lock, ready })
    }
}

async fn open_network(node_id: &str, registration: &Registration) -> Result<Network> {
    let vpc_cidr = Cidr::parse(&registration.vpc_cidr).context("the control plane gave no VPC range")?;
    let config = NetworkConfig {
        node_id: node_id.to_owned(),
        run_dir: run_dir(node_id),
        vpc_cidr,
        vpc_id: registration.vpc_id.clone(),
        pool_size: POOL,
        resolver_program: "/proc/self/exe".into(),
        resolver_args: vec!["resolver".to_owned()],
    };
    Network::open(config).await.context("this host cannot give tasks a network")
}

/// A question of the image socket.
pub enum Order {
    /// Which images tasks hold.
    ImagesInUse(oneshot::Sender<BTreeSet<String>>),
}

struct Machine {
    node: Node,
    hands: LinuxHands,
    network: Network,
    uplink: Uplink,
    clock: Clock,
    found: BTreeSet<TaskKey>,
    told: Option<oneshot::Sender<()>>,
}

impl Machine {
    async fn run(mut self, mut events: mpsc::UnboundedReceiver<Event>, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut reassert = tokio::time::interval(REASSERT);
        reassert.tick().await;
        loop {
            let wake = self.node.next_wake().map(|wake| Duration::from_millis(wake.saturating_sub(self.clock.now())));
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.take_event(event).await,
                    None => return,
                },
                event = self.hands.next_event() => self.node.handle_event(self.clock.now(), event),
                said = self.uplink.next() => match said {
                    Some(said) => self.take_uplink(said),
                    None => return,
                },
                Some(order) = orders.recv() => self.take_order(order),
                () = tokio::time::sleep(wake.unwrap_or(REASSERT)) => self.node.handle_time(self.clock.now()),
                _ = reassert.tick() => self.reassert(),
            }
            self.act();
        }
    }

    async fn take_event(&mut self, event: Event) {
        match event {
            // The runtime is done with it; the namespace is the network's to remove.
            Event::Released { task } => self.hands.detach(task),
            Event::FoundAll => {
                self.network.sweep(&self.found).await;
                self.node.handle_event(self.clock.now(), Event::FoundAll);
            }
            event => {
                if let Event::Found { task, record, .. } = &event {
                    self.found.insert(task.clone());
                    if !record.as_deref().is_some_and(node::is_record) {
                        tracing::error!(%task, "the task's record task.json cannot be read; what is left of the task is removed, and it starts again if it is still wanted");
                    }
                }
                if let Event::Found { task, .. } | Event::ContainerStarted { task, .. } = &event {
                    self.hands.shipper().watch(task);
                }
                self.node.handle_event(self.clock.now(), event);
            }
        }
    }

    fn take_uplink(&mut self, said: FromUplink) {
        let now = self.clock.now();
        match said {
            FromUplink::Connected { identity } => {
                self.node.identify(identity);
                self.node.handle_connected();
                if let Some(told) = self.told.take() {
                    let _ = told.send(());
                }
            }
            FromUplink::Listening => self.node.handle_telemetry_connected(now),
            FromUplink::Frame(frame) => self.node.handle_frame(now, &frame),
            FromUplink::Reported { task, outcome } => self.node.handle_outcome(now, &task, outcome),
        }
    }

    fn take_order(&mut self, order: Order) {
        match order {
            Order::ImagesInUse(reply) => drop(reply.send(self.node.images_in_use())),
        }
    }

    /// Does everything that the machine wants done now.
    fn act(&mut self) {
        while let Some(command) = self.node.poll_command() {
            self.hands.perform(command);
        }
        while let Some(frame) = self.node.poll_frame() {
            self.uplink.say(frame);
        }
        while let Some(frame) = self.node.poll_telemetry(self.clock.now()) {
            self.uplink.publish(frame);
        }
        while let Some((task, change)) = self.node.poll_report(self.clock.now()) {
            self.uplink.report(task, change);
        }
    }

    fn reassert(&self) {
        let network = self.network.clone();
        tokio::spawn(async move {
            if let Err(error) = network.reassert().await {
                tracing::warn!(%error, "the host's network could not be set right");
            }
        });
    }
}

/// What the control plane says to a report on a task that it does not know.
const TASK_UNKNOWN: &str = "The referenced task was not found.";

/// How the control plane took a report.
fn outcome(answer: Result<wire::ecs::Response, crate::client::CallError>) -> Outcome {
    use crate::client::CallError;
    match answer {
        Ok(_) => Outcome::Accepted,
        // The answer that makes every agent drop an event: the task is not known, and never will be again.
        Err(CallError::Fault(fault)) if fault.code == "InvalidParameterException" && fault.message == TASK_UNKNOWN => {
            Outcome::Unknown
        }
        Err(error) => {
            tracing::warn!(%error, "a report was not taken; it is sent again");
            Outcome::Failed
        }
    }
}
