//! Taking a node off its host: every task is released, then the network goes, then the directories of the tasks.

use super::run_dir;
use crate::data_dir::DataDir;
use anyhow::{Context, Result};
use node::hands::{Command, Event, TaskKey};
use runtime::cgroup::Cgroups;
use runtime::{Runtime, RuntimeConfig};
use std::collections::BTreeSet;
use tokio::sync::mpsc;

/// Removes everything that carries `node_id`. The node itself must not be running. Task directories stay: the next node
/// on this data directory tells its control plane how those tasks ended.
pub async fn teardown(data_dir: &DataDir, node_id: &str) -> Result<()> {
    let (events, mut told) = mpsc::unbounded_channel();
    let config = RuntimeConfig {
        data_dir: data_dir.root().to_owned(),
        node_id: node_id.to_owned(),
        supervisor_program: "/proc/self/exe".into(),
        supervisor_args: vec!["supervisor".to_owned()],
        insecure_registries: Vec::new(),
        cdi: Vec::new(),
    };
    let runtime = Runtime::open(config, events).await.context("cannot look for tasks")?;
    runtime.recover();
    let mut left: BTreeSet<TaskKey> = BTreeSet::new();
    while let Some(event) = told.recv().await {
        match event {
            Event::Found { task, .. } => drop(left.insert(task)),
            Event::FoundAll => break,
            _ => {}
        }
    }
    for task in &left {
        runtime.perform(Command::Release { task: task.clone() });
    }
    while !left.is_empty() {
        match told.recv().await {
            Some(Event::Released { task }) => drop(left.remove(&task)),
            Some(_) => {}
            None => break,
        }
    }
    drop(runtime);
    let (id, directory) = (node_id.to_owned(), run_dir(node_id));
    let removed = tokio::task::spawn_blocking(move || {
        let network = network::remove_everything(&id, &directory).context("cannot remove the network");
        remove_cgroups(&id).and(network)
    });
    removed.await?
}

/// Tasks are gone with their groups; what is left is the node's own, and supervisors that waited for a task.
fn remove_cgroups(node_id: &str) -> Result<()> {
    let cgroups = Cgroups::discover()?;
    let group = format!("/gantry/{node_id}");
    cgroups.kill(&group).and_then(|()| cgroups.remove(&group)).context("cannot remove the node's cgroups")
}
