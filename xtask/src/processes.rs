//! Processes of containers, as the host sees them.

use anyhow::{Result, bail};
use std::fs;

/// The first process of a task's container.
pub fn first_process(task: &str) -> Result<i32> {
    let id = task.rsplit('/').next().unwrap_or(task);
    for entry in fs::read_dir("/proc")?.flatten() {
        let read = |name: &str| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let numbers = read("status").lines().find_map(|line| line.strip_prefix("NSpid:").map(str::to_owned));
        let first = numbers.is_some_and(|numbers| numbers.split_whitespace().count() > 1 && numbers.ends_with("\t1"));
        if first && read("cgroup").contains(id) {
            return Ok(pid);
        }
    }
    bail!("task {id} has no process")
}
