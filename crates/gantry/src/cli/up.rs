//! `gantry up`: one machine, control plane and node, wired as if they were two.

use super::serving::{self, NodeFlags, ServerFlags};
use crate::agent::{Agent, AgentConfig};
use crate::client::Client;
use crate::server::{Server, signing_key};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::process::ExitCode;
use std::time::Duration;

/// A node that does not become ready in this time has failed.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Run control plane and node on this machine
#[derive(Args)]
pub struct Up {
    #[command(flatten)]
    server: ServerFlags,
    #[command(flatten)]
    node: NodeFlags,
    /// CPU declared for Fargate tasks: this many times the machine's cores
    #[arg(long, default_value_t = 16.0, value_name = "FACTOR")]
    fargate_cpu_overcommit: f64,
    /// Memory declared for Fargate tasks: this many times the machine's memory less a reserve
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    fargate_memory_overcommit: f64,
}

impl Up {
    /// Serves until told to stop.
    pub fn run(self) -> Result<ExitCode> {
        let fargate = serving::factors(self.fargate_cpu_overcommit, self.fargate_memory_overcommit)?;
        if !rustix::process::geteuid().is_root() {
            bail!("running containers needs root: start it with sudo");
        }
        serving::serve(self.server.verbose, async move {
            let config = self.server.config();
            let data_dir = config.data_dir.clone();
            let server = Server::start(config).await?;
            let key = signing_key(&server.node_key);
            let agent = Agent::start(AgentConfig {
                data_dir,
                cluster: "default".to_owned(),
                fargate: Some(fargate),
                attributes: self.node.attributes(),
                capacity_provider: self.node.capacity_provider,
                insecure_registries: self.node.insecure_registry,
                cdi: self.node.cdi_dir,
                client: Client::new(&server.endpoint.url, &server.endpoint.region, key)?,
            })
            .await?;
            wait_ready(agent, &server).await
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn wait_ready(mut agent: Agent, server: &Server) -> Result<()> {
    let ready = tokio::time::timeout(READY_TIMEOUT, &mut agent.ready).await;
    ready.context("the node could not connect to the control plane")?.context("the node ended")?;
    serving::say_ready(&server.endpoint.url)?;
    serving::until_told().await?;
    server.stop();
    Ok(())
}
