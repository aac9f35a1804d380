//! `gantry run FILE`: register a task definition and run a task of it.

use super::target::{Target, odd};
use super::{ps, timeline};
use crate::client::Client;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use wire::{FromJson, ToJson, ecs};

/// Register a task definition and run a task of it
#[derive(Args)]
pub struct Run {
    /// Task definition as JSON, what `aws ecs register-task-definition --cli-input-json` takes
    file: PathBuf,
    /// Return as soon as the task is accepted
    #[arg(short, long)]
    detach: bool,
    /// Subnet to be in; may be repeated [default: those of the default VPC]
    #[arg(long)]
    subnet: Vec<String>,
    /// On a container instance of the cluster, or in the serverless pool
    #[arg(long, default_value = "FARGATE")]
    launch_type: String,
    #[command(flatten)]
    target: Target,
}

impl Run {
    /// Runs it; without --detach the exit code is that of the first essential container.
    pub fn run(self) -> Result<ExitCode> {
        let text =
            std::fs::read_to_string(&self.file).with_context(|| format!("cannot read {}", self.file.display()))?;
        let definition = ecs::RegisterTaskDefinitionRequest::from_json_str(&text)
            .with_context(|| format!("{} is no task definition", self.file.display()))?;
        super::block_on(async {
            let client = self.target.client()?;
            let revision = register(&client, definition).await?;
            let task = self.start(&client, &revision).await?;
            let arn = task.task_arn.clone().unwrap_or_default();
            if self.detach {
                match self.target.output {
                    super::Output::Json => println!("{}", task.to_json()),
                    super::Output::Text => println!("{arn}"),
                }
                return Ok(ExitCode::SUCCESS);
            }
            self.follow(&client, arn).await
        })
    }

    async fn start(&self, client: &Client, revision: &str) -> Result<ecs::Task> {
        let launch_type = ecs::LaunchType::from_wire(&self.launch_type)
            .with_context(|| format!("--launch-type takes EC2 or FARGATE, got {:?}", self.launch_type))?;
        let subnets = if self.subnet.is_empty() { default_subnets(client).await? } else { self.subnet.clone() };
        let request = ecs::RunTaskRequest {
            cluster: Some(self.target.cluster.clone()),
            task_definition: revision.to_owned(),
            launch_type: Some(launch_type),
            network_configuration: Some(ecs::NetworkConfiguration {
                awsvpc_configuration: Some(ecs::AwsVpcConfiguration { subnets, ..Default::default() }),
            }),
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
    async fn follow(&self, client: &Client, arn: String) -> Result<ExitCode> {
        let (mut last, mut told) = (String::new(), false);
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
                timeline::print(&timeline::fetch(client, &self.target.cluster, arn.clone()).await?);
            }
            if status == "STOPPED" {
                eprintln!("{}", task.stopped_reason.as_deref().unwrap_or(""));
                let code = task.containers.iter().flatten().find_map(|container| container.exit_code);
                return Ok(code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn register(client: &Client, definition: ecs::RegisterTaskDefinitionRequest) -> Result<String> {
    match client.ecs(definition).await? {
        ecs::Response::RegisterTaskDefinition(answer) => {
            let arn = answer.task_definition.and_then(|definition| definition.task_definition_arn);
            arn.context("the server registered nothing")
        }
        other => Err(odd(&other)),
    }
}

/// The subnets of the default VPC, from EC2's XML.
async fn default_subnets(client: &Client) -> Result<Vec<String>> {
    let xml = client.ec2("DescribeSubnets").await?;
    let parts = xml.split("<subnetId>").skip(1);
    let subnets: Vec<String> = parts.filter_map(|part| Some(part.split_once("</subnetId>")?.0.to_owned())).collect();
    anyhow::ensure!(!subnets.is_empty(), "the server has no subnets");
    Ok(subnets)
}
