//! `gantry control`: the control plane alone.

use super::serving::{self, ServerFlags};
use crate::server::Server;
use anyhow::Result;
use clap::Args;
use std::process::ExitCode;

/// Run the control plane alone
#[derive(Args)]
pub struct ControlVerb {
    #[command(flatten)]
    server: ServerFlags,
}

impl ControlVerb {
    /// Serves until told to stop.
    pub fn run(self) -> Result<ExitCode> {
        serving::serve(self.server.verbose, async move {
            let server = Server::start(self.server.config()).await?;
            serving::say_ready(&server.endpoint.url)?;
            serving::until_told().await?;
            server.stop();
            Ok(())
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
