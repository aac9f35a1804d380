//! `gantry node`: a node alone. It finds its control plane in its own data directory (both halves on one machine), or is
//! told where that is and which key to sign with.

use super::serving::{self, NodeFlags};
use crate::agent::{Agent, AgentConfig};
use crate::client::Client;
use crate::data_dir::{self, DataDir, EndpointFile, KeyFile};
use crate::server::signing_key;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// Run a node alone
#[derive(Args)]
pub struct NodeVerb {
    /// Where everything is kept
    #[arg(long, default_value = data_dir::DEFAULT)]
    data_dir: PathBuf,
    /// The control plane, http://HOST:PORT [default: the one of the data directory]
    #[arg(long, value_name = "URL", requires = "key_file")]
    endpoint: Option<String>,
    /// A copy of the control plane's node.json
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Region of the control plane
    #[arg(long, default_value = "us-east-1")]
    region: String,
    /// Cluster to join
    #[arg(long, default_value = "default")]
    cluster: String,
    /// Pool to be part of
    #[arg(long)]
    pool: Option<Pool>,
    #[command(flatten)]
    node: NodeFlags,
    /// CPU declared for Fargate tasks: this many times the machine's cores
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    fargate_cpu_overcommit: f64,
    /// Memory declared for Fargate tasks: this many times the machine's memory less a reserve
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    fargate_memory_overcommit: f64,
    /// More on standard error: -v decisions, -vv everything
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// A capacity pool.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Pool {
    /// Hosts of Fargate tasks.
    Fargate,
}

impl NodeVerb {
    /// Serves until told to stop.
    pub fn run(self) -> Result<ExitCode> {
        let factors = serving::factors(self.fargate_cpu_overcommit, self.fargate_memory_overcommit)?;
        if !rustix::process::geteuid().is_root() {
            bail!("running containers needs root: start it with sudo");
        }
        let data_dir = DataDir::new(&self.data_dir);
        let (endpoint, key) = self.control_plane(&data_dir)?;
        serving::serve(self.verbose, async move {
            let mut agent = Agent::start(AgentConfig {
                data_dir,
                cluster: self.cluster,
                fargate: self.pool.map(|Pool::Fargate| factors),
                attributes: self.node.attributes(),
                capacity_provider: self.node.capacity_provider,
                insecure_registries: self.node.insecure_registry,
                cdi: self.node.cdi_dir,
                client: Client::new(&endpoint.url, &endpoint.region, signing_key(&key))?,
            })
            .await?;
            let url = endpoint.url.clone();
            tokio::select! {
                ready = &mut agent.ready => {
                    ready.context("the node ended")?;
                    println!("gantry node is ready: {url}");
                    serving::until_told().await
                }
                told = serving::until_told() => told,
            }
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn control_plane(&self, data_dir: &DataDir) -> Result<(EndpointFile, KeyFile)> {
        let missing =
            "no node key here: start `gantry control` on this data directory first, or say --endpoint and --key-file";
        match (&self.endpoint, &self.key_file) {
            (Some(url), Some(file)) => {
                let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
                let key = serde_json::from_str(&text).with_context(|| format!("{} holds no key", file.display()))?;
                Ok((EndpointFile { url: url.clone(), region: self.region.clone() }, key))
            }
            (None, Some(_)) => bail!("--key-file goes with --endpoint"),
            _ => Ok((data_dir.endpoint()?, data_dir.key("node.json")?.context(missing)?)),
        }
    }
}
