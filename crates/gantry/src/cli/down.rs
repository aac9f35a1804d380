//! `gantry down`: every task of this node stops, and everything that carries the node's id leaves the host.
//!
//! A server that runs is asked to stop the tasks, so that its state tells how they ended; then the processes are ended,
//! and what is left is removed whoever left it.

use super::target::operator;
use crate::agent::{run_dir, teardown};
use crate::client::Client;
use crate::data_dir::{self, DataDir};
use anyhow::{Context, Result, bail};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use wire::ecs;

/// Tasks that do not end in this time are killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(35);
/// A process that does not end in this time after SIGTERM is told to the user.
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Stop every task of this node and remove everything it made on the host
#[derive(Args)]
pub struct Down {
    /// The deployment's data directory
    #[arg(long, default_value = data_dir::DEFAULT)]
    data_dir: PathBuf,
    /// Delete the data directory too: state, images, keys
    #[arg(long)]
    purge: bool,
}

impl Down {
    /// Takes it down.
    pub fn run(self) -> Result<ExitCode> {
        if !rustix::process::geteuid().is_root() {
            bail!("removing what root made needs root: run it with sudo");
        }
        let data_dir = DataDir::new(&self.data_dir);
        if !data_dir.root().exists() {
            println!("nothing is there: {}", data_dir.root().display());
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(node_id) = data_dir.text("node-id")? {
            if data_dir.lock("node").is_err() {
                stop_tasks(&data_dir);
            }
            end_process(&data_dir, "node")?;
            end_process(&data_dir, "control")?;
            let _lock = data_dir.lock("node")?;
            super::block_on(teardown(&data_dir, &node_id))?;
            let _ = std::fs::remove_dir_all(run_dir(&node_id));
        } else {
            end_process(&data_dir, "control")?;
        }
        if self.purge {
            let path = data_dir.root();
            std::fs::remove_dir_all(path).with_context(|| format!("cannot delete {}", path.display()))?;
        }
        println!("gantry is down: {}", data_dir.root().display());
        Ok(ExitCode::SUCCESS)
    }
}

/// Asks the server to stop every task, and waits until they have ended. One that does not answer is passed over: what it
/// does not stop is killed. What a service starts in their place is not waited for: there would be no end of it.
fn stop_tasks(data_dir: &DataDir) {
    let stopped = super::block_on(async {
        let client = operator(data_dir)?;
        let until = Instant::now() + STOP_TIMEOUT;
        let before = alive(&client, true).await?;
        while Instant::now() < until && !alive(&client, false).await?.is_disjoint(&before) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    });
    if let Err(error) = stopped {
        eprintln!("gantry: the server does not stop the tasks, they are killed: {error:#}");
    }
}

/// The tasks of every cluster that are not STOPPED; with `stop` each is ordered to.
async fn alive(client: &Client, stop: bool) -> Result<BTreeSet<String>> {
    let ecs::Response::ListClusters(clusters) = client.ecs(ecs::ListClustersRequest::default()).await? else {
        bail!("the server answered oddly")
    };
    let mut left = BTreeSet::new();
    for cluster in clusters.cluster_arns.unwrap_or_default() {
        for desired in [ecs::DesiredStatus::Running, ecs::DesiredStatus::Stopped] {
            left.extend(alive_in(client, &cluster, desired, stop).await?);
        }
    }
    Ok(left)
}

async fn alive_in(client: &Client, cluster: &str, desired: ecs::DesiredStatus, stop: bool) -> Result<Vec<String>> {
    let (mut left, mut next_token) = (Vec::new(), None);
    loop {
        let cluster = Some(cluster.to_owned());
        let request = ecs::ListTasksRequest {
            cluster: cluster.clone(),
            desired_status: Some(desired),
            next_token,
            ..Default::default()
        };
        let ecs::Response::ListTasks(listed) = client.ecs(request).await? else { bail!("the server answered oddly") };
        let tasks = listed.task_arns.unwrap_or_default();
        if desired == ecs::DesiredStatus::Running {
            for task in tasks.iter().filter(|_| stop) {
                let (task, reason) = (task.clone(), Some("gantry down".to_owned()));
                client.ecs(ecs::StopTaskRequest { cluster: cluster.clone(), task, reason }).await?;
            }
            left.extend(tasks);
        } else if !tasks.is_empty() {
            let request = ecs::DescribeTasksRequest { cluster, tasks, ..Default::default() };
            let ecs::Response::DescribeTasks(shown) = client.ecs(request).await? else {
                bail!("the server answered oddly")
            };
            let alive = |task: &ecs::Task| task.last_status.as_deref() != Some("STOPPED");
            left.extend(shown.tasks.unwrap_or_default().into_iter().filter(alive).filter_map(|task| task.task_arn));
        }
        next_token = listed.next_token;
        if next_token.is_none() {
            return Ok(left);
        }
    }
}

/// Ends the process that holds a half's lock. The lock, not the file, says whether there is one.
fn end_process(data_dir: &DataDir, half: &str) -> Result<()> {
    let held = || data_dir.lock(half).is_err();
    if !held() {
        return Ok(());
    }
    let pid = data_dir.text(&format!("{half}.lock"))?.and_then(|text| text.parse().ok()).and_then(Pid::from_raw);
    let pid = pid.with_context(|| format!("{half}.lock names no process"))?;
    kill_process(pid, Signal::TERM).with_context(|| format!("cannot end process {}", pid.as_raw_nonzero()))?;
    let until = Instant::now() + EXIT_TIMEOUT;
    while held() {
        if Instant::now() > until {
            bail!("process {} does not end; kill it and try again", pid.as_raw_nonzero());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
