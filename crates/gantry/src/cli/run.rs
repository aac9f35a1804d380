//! `gantry run FILE`: register a task definition and run a task of it.

use super::definition::{Definition, Where};
use super::logs::Follower;
use super::target::Target;
use super::{ps, timeline};
use crate::client::Client;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::process::ExitCode;
use std::time::Duration;
use wire::{ToJson, ecs};

/// Register a task definition and run a task of it
#[derive(Args)]
pub struct Run {
    /// Task definition as JSON, what `aws ecs register-task-definition --cli-input-json` takes
    file: String,
    /// Return as soon as the task is accepted
    #[arg(short, long)]
    detach: bool,
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    target: Target,
}

impl Run {
    /// Runs it; without --detach the exit code is that of the first essential container.
    pub fn run(self) -> Result<ExitCode> {
        super::block_on(async {
            let client = self.target.client()?;
            let definition = Definition::of(&client, &self.file).await?;
            let task = self.start(&client, &definition).await?;
            let arn = task.task_arn.clone().unwrap_or_default();
            if self.detach {
                match self.target.output {
                    super::Output::Json => println!("{}", task.to_json()),
                    super::Output::Text => println!("{arn}"),
                }
                return Ok(ExitCode::SUCCESS);
            }
            self.follow(&client, arn, &definition).await
        })
    }

    async fn start(&self, client: &Client, definition: &Definition) -> Result<ecs::Task> {
        let request = ecs::RunTaskRequest {
            cluster: Some(self.target.cluster.clone()),
            task_definition: definition.arn.clone(),
            launch_type: Some(definition.launch_type(&self.place)?),
            network_configuration: definition.network(client, &self.place).await?,
            started_by: Some("gantry run".to_owned()),
            ..Default::default()
        };
        let ecs::Response::RunTask(answer) = client.ecs(request).await? else { bail!("the server answered oddly") };
        if let Some(failure) = answer.failures.unwrap_or_default().pop() {
            let text = |text: Option<String>| text.unwrap_or_default();
            bail!("the task cannot be placed: {} ({})", text(failure.reason), text(failure.detail));
        }
        answer.tasks.unwrap_or_default().pop().context("the server started no task")
    }

    /// Tells what becomes of the task until it is STOPPED.
    async fn follow(&self, client: &Client, arn: String, definition: &Definition) -> Result<ExitCode> {
        let (mut last, mut told, mut output) = (String::new(), false, Follower::default());
        loop {
            let Some(task) = self.target.describe(client, vec![arn.clone()]).await?.pop() else {
                bail!("task {arn} is gone")
            };
            let status = task.last_status.clone().unwrap_or_default();
            if status != last {
                eprintln!("{} {status} {}", link::acs::id_of(&arn), ps::address(&task).unwrap_or_default());
                last.clone_from(&status);
            }
            if task.started_at.is_some() && !told {
                told = true;
                eprint!("{}", timeline::text(&timeline::fetch(client, &self.target.cluster, arn.clone()).await?));
            }
            output.print(client, &task, &definition.inner).await?;
            if status == "STOPPED" {
                // The last lines may still be on their way from the node.
                let mut quiet = 0;
                while quiet < 5 {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    quiet = if output.print(client, &task, &definition.inner).await? { 0 } else { quiet + 1 };
                }
                eprintln!("{}", task.stopped_reason.as_deref().unwrap_or(""));
                let containers = task.containers.as_deref().unwrap_or_default();
                let named = |name: &str| containers.iter().find(|container| container.name.as_deref() == Some(name));
                let code = definition.essential().filter_map(named).find_map(|container| container.exit_code);
                return Ok(code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
