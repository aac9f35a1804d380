//! `gantry stop`: stop a task.

use super::target::{Target, odd};
use anyhow::{Result, bail};
use clap::Args;
use std::process::ExitCode;
use std::time::Duration;
use wire::{ToJson, ecs};

/// Stop a task
#[derive(Args)]
pub struct StopVerb {
    /// ARN, id, or the beginning of an id
    task: String,
    /// Why, in your words
    #[arg(long)]
    reason: Option<String>,
    /// Do not wait until it is STOPPED
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    target: Target,
}

impl StopVerb {
    /// Stops it and waits.
    pub fn run(self) -> Result<ExitCode> {
        super::block_on(async {
            let client = self.target.client()?;
            let task = self.target.task(&client, &self.task).await?;
            let cluster = Some(self.target.cluster.clone());
            let request = ecs::StopTaskRequest { cluster, task, reason: self.reason.clone() };
            let mut stopped = match client.ecs(request).await? {
                ecs::Response::StopTask(answer) => answer.task.unwrap_or_default(),
                other => return Err(odd(&other)),
            };
            while !self.detach && stopped.last_status.as_deref() != Some("STOPPED") {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let arn = stopped.task_arn.clone().unwrap_or_default();
                match self.target.describe(&client, vec![arn]).await?.pop() {
                    Some(task) => stopped = task,
                    None => bail!("the task is gone"),
                }
            }
            match self.target.output {
                super::Output::Json => println!("{}", stopped.to_json()),
                super::Output::Text => println!(
                    "{} {}",
                    link::acs::id_of(stopped.task_arn.as_deref().unwrap_or("")),
                    stopped.last_status.as_deref().unwrap_or("")
                ),
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}
