//! `gantry completion`: what a shell needs to complete our command line.

use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::process::ExitCode;

/// Print the completion script of a shell: source <(gantry completion bash)
#[derive(Args)]
pub struct Completion {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completion {
    /// Prints it.
    pub fn run(self) -> Result<ExitCode> {
        clap_complete::generate(self.shell, &mut super::Cli::command(), "gantry", &mut std::io::stdout());
        Ok(ExitCode::SUCCESS)
    }
}
