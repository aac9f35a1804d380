//! `gantry env`: what AWS tools need in their environment.

use crate::data_dir::{self, DataDir};
use anyhow::{Context, Result};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Print the environment for AWS tools: eval "$(gantry env)"
#[derive(Args)]
pub struct Env {
    /// The deployment's data directory
    #[arg(long, default_value = data_dir::DEFAULT)]
    data_dir: PathBuf,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: super::Output,
}

impl Env {
    /// Prints export lines.
    pub fn run(self) -> Result<ExitCode> {
        let data_dir = DataDir::new(self.data_dir);
        let endpoint = data_dir.endpoint()?;
        let key = data_dir.key("operator.json")?.context("no operator's key: run `gantry up` first")?;
        let pairs = [
            ("AWS_ENDPOINT_URL", endpoint.url),
            ("AWS_ACCESS_KEY_ID", key.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", key.secret_access_key),
            ("AWS_DEFAULT_REGION", endpoint.region),
        ];
        match self.output {
            super::Output::Text => pairs.iter().for_each(|(name, value)| println!("export {name}={}", quoted(value))),
            super::Output::Json => {
                let object: serde_json::Map<_, _> =
                    pairs.map(|(name, value)| (name.to_owned(), value.into())).into_iter().collect();
                println!("{}", serde_json::Value::Object(object));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A value as a POSIX shell reads it back.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}
