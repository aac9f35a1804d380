//! What a verb makes tasks of: a file with a task definition, which is registered, or one that the server has; and what
//! goes with its network mode.

use super::target::odd;
use crate::client::Client;
use anyhow::{Context, Result};
use clap::Args;
use std::path::Path;
use wire::{FromJson, ecs};

/// Flags of verbs that start tasks.
#[derive(Args)]
pub struct Where {
    /// Subnet to be in, for network mode awsvpc; may be repeated [default: those of the default VPC]
    #[arg(long)]
    pub subnet: Vec<String>,
    /// EC2, EXTERNAL or FARGATE [default: FARGATE with network mode awsvpc, else EC2]
    #[arg(long)]
    pub launch_type: Option<String>,
}

/// A revision, with what the command line must know of it.
pub struct Definition {
    /// Its ARN.
    pub arn: String,
    /// The whole.
    pub inner: ecs::TaskDefinition,
}

impl Definition {
    /// Registers the file at `text`; text that names no file is a family, `family:revision` or an ARN.
    pub async fn of(client: &Client, text: &str) -> Result<Self> {
        let path = Path::new(text);
        let inner = if path.exists() || text.contains('/') && !text.starts_with("arn:") || text.ends_with(".json") {
            register(client, path).await?
        } else {
            let request = ecs::DescribeTaskDefinitionRequest { task_definition: text.to_owned(), ..Default::default() };
            match client.ecs(request).await? {
                ecs::Response::DescribeTaskDefinition(answer) => answer.task_definition.unwrap_or_default(),
                other => return Err(odd(&other)),
            }
        };
        let arn = inner.task_definition_arn.clone().context("the server gave no task definition")?;
        Ok(Self { arn, inner })
    }

    /// The names of containers whose end is the task's.
    pub fn essential(&self) -> impl Iterator<Item = &str> {
        let containers = self.inner.container_definitions.iter().flatten();
        containers.filter(|container| container.essential != Some(false)).filter_map(|c| c.name.as_deref())
    }

    /// How tasks of it are launched: as asked, else as its network mode allows.
    pub fn launch_type(&self, place: &Where) -> Result<ecs::LaunchType> {
        let usual = if self.has_interface() { "FARGATE" } else { "EC2" };
        let asked = place.launch_type.as_deref().unwrap_or(usual);
        ecs::LaunchType::from_wire(asked)
            .with_context(|| format!("--launch-type takes EC2, EXTERNAL or FARGATE, got {asked:?}"))
    }

    /// The network that tasks of it need; `None` where they have no interface of their own.
    pub async fn network(&self, client: &Client, place: &Where) -> Result<Option<ecs::NetworkConfiguration>> {
        if !self.has_interface() {
            return Ok(None);
        }
        let subnets = if place.subnet.is_empty() { default_subnets(client).await? } else { place.subnet.clone() };
        let awsvpc = ecs::AwsVpcConfiguration { subnets, ..Default::default() };
        Ok(Some(ecs::NetworkConfiguration { awsvpc_configuration: Some(awsvpc) }))
    }

    fn has_interface(&self) -> bool {
        self.inner.network_mode == Some(ecs::NetworkMode::Awsvpc)
    }
}

async fn register(client: &Client, path: &Path) -> Result<ecs::TaskDefinition> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let definition = ecs::RegisterTaskDefinitionRequest::from_json_str(&text)
        .with_context(|| format!("{} is no task definition", path.display()))?;
    match client.ecs(definition).await? {
        ecs::Response::RegisterTaskDefinition(answer) => {
            answer.task_definition.context("the server registered nothing")
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
