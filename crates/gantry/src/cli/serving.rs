//! What the verbs that serve have in common: flags, logs, signals.

use crate::agent::FargateFactors;
use crate::data_dir::{self, DataDir};
use crate::server::ServerConfig;
use anyhow::{Context, Result};
use clap::Args;
use model::instance::ATTRIBUTE_ZONE;
use node::hands::Cidr;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

/// Threads that carry connections; deciding and writing have one each.
const WORKERS: usize = 2;

/// Flags of a control plane.
#[derive(Args)]
pub struct ServerFlags {
    /// Where everything is kept
    #[arg(long, default_value = data_dir::DEFAULT)]
    pub data_dir: PathBuf,
    /// Address to serve on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8580", value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// Region of the deployment, fixed at first start
    #[arg(long, default_value = "us-east-1")]
    region: String,
    /// Account of the deployment, 12 digits, fixed at first start
    #[arg(long, default_value = "000000000000")]
    account_id: String,
    /// Address range of the VPC, fixed at first start [default: 172.31.0.0/16, or the next that is free]
    #[arg(long, value_parser = cidr, value_name = "CIDR")]
    vpc_cidr: Option<Cidr>,
    /// Seconds that a service's task must have been RUNNING to count as healthy; ECS waits 40
    #[arg(long, default_value_t = 0.5, value_name = "SECONDS")]
    min_healthy_time: f64,
    /// More on standard error: -v decisions and requests that were refused, -vv everything
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

impl ServerFlags {
    /// The control plane's part of the flags.
    pub fn config(&self) -> ServerConfig {
        ServerConfig {
            data_dir: DataDir::new(&self.data_dir),
            listen: self.listen,
            region: self.region.clone(),
            account: self.account_id.clone(),
            vpc_cidr: self.vpc_cidr,
            min_healthy_ms: (self.min_healthy_time.clamp(0.0, 3600.0) * 1000.0).round() as u64,
        }
    }
}

fn cidr(text: &str) -> Result<Cidr, String> {
    Cidr::parse(text).ok_or_else(|| format!("{text:?} is no range like 172.31.0.0/16"))
}

/// Flags of a node.
#[derive(Args)]
pub struct NodeFlags {
    /// Registry without TLS, HOST:PORT; may be repeated (those on loopback need no flag)
    #[arg(long, value_name = "HOST:PORT")]
    pub insecure_registry: Vec<String>,
    /// Zone that this host stands in, one of the VPC's [default: the first]
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    /// Attribute of this host that placement constraints and strategies may ask for; may be given again
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub attribute: Vec<String>,
    /// Capacity provider that this host belongs to
    #[arg(long, value_name = "NAME")]
    pub capacity_provider: Option<String>,
    /// Directory of files that describe this host's GPUs (Container Device Interface); may be given again, the last wins
    #[arg(long, value_name = "DIR", default_values = ["/etc/cdi", "/var/run/cdi"])]
    pub cdi_dir: Vec<PathBuf>,
}

impl NodeFlags {
    /// What was said of the host, as attributes.
    pub fn attributes(&self) -> Vec<(String, Option<String>)> {
        let zone = self.zone.iter().map(|zone| (ATTRIBUTE_ZONE.to_owned(), Some(zone.clone())));
        let read = |text: &String| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.clone(), None),
        };
        zone.chain(self.attribute.iter().map(read)).collect()
    }
}

/// Fargate factors, checked.
pub fn factors(cpu: f64, memory: f64) -> Result<FargateFactors> {
    let sensible = |factor: f64| factor.is_finite() && (0.0..=1000.0).contains(&factor);
    anyhow::ensure!(sensible(cpu) && sensible(memory), "overcommit factors are numbers from 0 to 1000");
    Ok(FargateFactors { cpu, memory })
}

/// Runs `work` on the threads of a server, with logs on standard error.
pub fn serve(verbose: u8, work: impl Future<Output = Result<()>>) -> Result<()> {
    let level = match verbose {
        0 => tracing::Level::INFO,
        1 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    let own = move |metadata: &tracing::Metadata<'_>| {
        let target = metadata.target();
        // Libraries talk of their own affairs: only their warnings are anybody's business.
        let ours = ["gantry", "runtime", "network", "store"].iter().any(|name| target.starts_with(name));
        *metadata.level() <= if ours { level } else { tracing::Level::WARN }
    };
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(ansi);
    // A log on a full disk takes no line, and no word about that either: saying it would end the thread.
    let lines = lines.log_internal_errors(false);
    let filter = tracing_subscriber::filter::filter_fn(own);
    use tracing_subscriber::Layer;
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    // Pulls verify certificates with ring; a second installation is impossible, as this is the only one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    runtime.block_on(work)
}

/// Says that it serves, on standard output, at once.
pub fn say_ready(url: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "gantry is ready: {url}").and_then(|()| out.flush()).context("cannot say that gantry is ready")
}

/// Waits for SIGTERM or Ctrl-C. Tasks go on.
pub async fn until_told() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
