//! The deployment that a client's verb talks to, and names on its command line.

use crate::client::Client;
use crate::data_dir::{self, DataDir};
use crate::server::signing_key;
use anyhow::{Context, Result, anyhow};
use clap::Args;
use std::path::PathBuf;
use wire::ecs;

/// Flags of a client's verb.
#[derive(Args)]
pub struct Target {
    /// The deployment's data directory
    #[arg(long, default_value = data_dir::DEFAULT)]
    pub data_dir: PathBuf,
    /// Cluster
    #[arg(long, default_value = "default")]
    pub cluster: String,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub output: super::Output,
}

impl Target {
    /// A client with the operator's key.
    pub fn client(&self) -> Result<Client> {
        operator(&DataDir::new(&self.data_dir))
    }

    /// Describes tasks by ARN or id, a hundred at a time; those that are gone are left out.
    pub async fn describe(&self, client: &Client, tasks: Vec<String>) -> Result<Vec<ecs::Task>> {
        let mut all = Vec::new();
        for tasks in tasks.chunks(100) {
            let request = ecs::DescribeTasksRequest {
                cluster: Some(self.cluster.clone()),
                tasks: tasks.to_vec(),
                ..Default::default()
            };
            match client.ecs(request).await? {
                ecs::Response::DescribeTasks(answer) => all.extend(answer.tasks.unwrap_or_default()),
                other => return Err(odd(&other)),
            }
        }
        Ok(all)
    }

    /// ARNs of the cluster's tasks that are wanted so.
    pub async fn list(&self, client: &Client, desired: ecs::DesiredStatus) -> Result<Vec<String>> {
        let (mut all, mut next_token) = (Vec::new(), None);
        loop {
            let request = ecs::ListTasksRequest {
                cluster: Some(self.cluster.clone()),
                desired_status: Some(desired),
                next_token,
                ..Default::default()
            };
            match client.ecs(request).await? {
                ecs::Response::ListTasks(answer) => {
                    all.extend(answer.task_arns.unwrap_or_default());
                    next_token = answer.next_token;
                }
                other => return Err(odd(&other)),
            }
            if next_token.is_none() {
                return Ok(all);
            }
        }
    }

    /// The task that `text` names: an ARN, an id, or the beginning of an id that only one task has.
    pub async fn task(&self, client: &Client, text: &str) -> Result<String> {
        if text.starts_with("arn:") || text.len() == 32 {
            return Ok(text.to_owned());
        }
        let mut all = self.list(client, ecs::DesiredStatus::Running).await?;
        all.extend(self.list(client, ecs::DesiredStatus::Stopped).await?);
        all.retain(|arn| link::acs::id_of(arn).starts_with(text));
        match all.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(anyhow!("no task of cluster {} has an id that begins with {text:?}", self.cluster)),
            many => Err(anyhow!("{} tasks have ids that begin with {text:?}: say more of it", many.len())),
        }
    }
}

/// A client of the deployment in a data directory, with the operator's key.
pub fn operator(data_dir: &DataDir) -> Result<Client> {
    let endpoint = data_dir.endpoint()?;
    let key = data_dir.key("operator.json")?.context("no operator's key: run `gantry up` first")?;
    Client::new(&endpoint.url, &endpoint.region, signing_key(&key))
}

/// An answer to another question than was asked.
pub fn odd(answer: &ecs::Response) -> anyhow::Error {
    anyhow!("the server answered {} instead", answer.operation())
}
