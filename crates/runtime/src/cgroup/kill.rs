//! Ends every process of a group and removes the group with all below it. Never waits longer than its named maximum.

use super::{CgroupError, Cgroups, Hierarchy};
use rustix::process::{Pid, Signal};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long dying processes and busy directories are waited for.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// The first pause between two looks; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_micros(100);
const PAUSE_MAX: Duration = Duration::from_millis(5);

impl Cgroups {
    /// Kills all processes of the group and of the groups below it, and waits until they are gone. Blocks.
    pub fn kill(&self, path: &str) -> Result<(), CgroupError> {
        let deadline = Instant::now() + WAIT_MAX;
        let mut pause = PAUSE_MIN;
        while self.kill_once(path) {
            if Instant::now() > deadline {
                return Err(CgroupError::Busy { path: path.to_owned() });
            }
            sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Ok(())
    }

    /// Also the hierarchy that only tracks: a node's own group is there too.
    fn all(&self) -> impl Iterator<Item = &Hierarchy> {
        self.hierarchies.iter().chain(&self.tracking)
    }

    /// One round; whether anything was alive in any hierarchy.
    fn kill_once(&self, path: &str) -> bool {
        let mut alive = false;
        for hierarchy in self.all() {
            let group = hierarchy.group(path);
            let pids = processes(&group);
            if pids.is_empty() {
                continue;
            }
            alive = true;
            if hierarchy.unified && fs::write(group.join("cgroup.kill"), "1").is_ok() {
                continue;
            }
            // A frozen group cannot fork away from the signals; it must thaw to die of them.
            let freezer = hierarchy.has("freezer").then(|| group.join("freezer.state"));
            if let Some(state) = &freezer {
                let _ = fs::write(state, "FROZEN");
            }
            for pid in processes(&group) {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
            if let Some(state) = &freezer {
                let _ = fs::write(state, "THAWED");
            }
        }
        alive
    }

    /// Removes the group if it is empty and the kernel is ready, at once.
    pub fn remove_now(&self, path: &str) -> std::io::Result<()> {
        self.hierarchies.iter().try_for_each(|h| remove_tree(&h.group(path)))
    }

    /// Removes the group and all below it; they must be empty. Blocks for a moment when the kernel is still busy.
    pub fn remove(&self, path: &str) -> Result<(), CgroupError> {
        self.all().try_for_each(|h| remove_in(h, path))
    }
}

fn remove_in(hierarchy: &Hierarchy, path: &str) -> Result<(), CgroupError> {
    let group = hierarchy.group(path);
    let deadline = Instant::now() + WAIT_MAX;
    let mut pause = PAUSE_MIN;
    loop {
        match remove_tree(&group) {
            Ok(()) => return Ok(()),
            Err(source) if Instant::now() > deadline => {
                return Err(CgroupError::File { action: "remove", path: group, source });
            }
            Err(_) => sleep(pause),
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn remove_tree(group: &Path) -> std::io::Result<()> {
    // Nearly always there is nothing below, and one call does it.
    match fs::remove_dir(group) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(_) => {}
    }
    for child in subgroups(group) {
        remove_tree(&child)?;
    }
    match fs::remove_dir(group) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn subgroups(group: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(group) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn processes(group: &Path) -> Vec<Pid> {
    let mut pids: Vec<Pid> = fs::read_to_string(group.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| Pid::from_raw(line.parse().ok()?))
        .collect();
    for child in subgroups(group) {
        pids.extend(processes(&child));
    }
    pids
}
