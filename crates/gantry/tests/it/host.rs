//! What the host has of a node or of one of its tasks: mounts, links, cgroups, processes, tables, sockets. Looks; changes
//! nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Everything on this host that carries the node's id.
pub fn of_node(node_id: &str) -> Vec<String> {
    let mut found = carrying(node_id);
    let links = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let links = links.map(|entry| entry.file_name().to_string_lossy().into_owned());
    found.extend(links.filter(|link| link.contains(node_id)).map(|link| format!("link {link}")));
    let run = PathBuf::from(format!("/run/gantry/{node_id}"));
    found.extend(run.exists().then(|| format!("directory {}", run.display())));
    found.extend(groups(&format!("gantry/{node_id}")).iter().map(|group| format!("cgroup {}", group.display())));
    let rules = Command::new("nft").args(["list", "ruleset"]).output().expect("nft");
    let rules = String::from_utf8_lossy(&rules.stdout).into_owned();
    found.extend(rules.lines().filter(|line| line.contains(node_id)).map(|line| format!("rule {}", line.trim())));
    found
}

/// Everything on this host that belongs to one task, but for what `data_dir` keeps of it.
pub fn of_task(node_id: &str, task: &str) -> Vec<String> {
    let mut found = carrying(task);
    found.extend(groups(&format!("gantry/{node_id}/{task}")).iter().map(|group| format!("cgroup {}", group.display())));
    for directory in ["netns", "ports", "sup"].map(|name| PathBuf::from(format!("/run/gantry/{node_id}/{name}"))) {
        let files = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
        let theirs = files.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(task)));
        found.extend(theirs.map(|path| format!("file {}", path.display())));
    }
    found
}

/// Mounts and processes with `text` in what identifies them.
fn carrying(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    found.extend(mounts.lines().filter(|line| line.contains(text)).map(|line| format!("mount {line}")));
    for pid in processes() {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        // A command line of a client may name the task, too: only groups and programs of ours count.
        let command = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let group = String::from_utf8_lossy(&read("cgroup")).into_owned();
        let ours = command.contains("supervisor") || command.contains("resolver");
        if group.lines().any(|line| line.contains("/gantry/") && line.contains(text))
            || (ours && command.contains(text))
        {
            found.push(format!("process {pid} {command}"));
        }
    }
    found
}

fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// A cgroup in every hierarchy that has it.
pub fn groups(path: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    let points = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (point, kind) = (fields.nth(1)?, fields.next()?);
        kind.starts_with("cgroup").then(|| Path::new(point).join(path))
    });
    points.filter(|group| group.is_dir()).collect()
}

/// The containers in a cgroup and in those below it: the first process of each, with the moment each was started: a number that is used again is
/// another process.
pub fn containers_below(path: &str) -> BTreeSet<(u32, u64)> {
    let firsts = pids_below(path).into_iter().filter(|pid| is_first(*pid));
    firsts.filter_map(|pid| Some((pid, start_time(pid)?))).collect()
}

/// Whether a process is number 1 of a namespace of its own.
fn is_first(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.is_some_and(|numbers| numbers.split_whitespace().last() == Some("1"))
}

/// Whether a process has a handler for SIGTERM: one that is number 1 of its namespace is not touched by it before.
pub fn listens(pid: u32) -> bool {
    const SIGTERM_BIT: u64 = 1 << (15 - 1);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & SIGTERM_BIT != 0)
}

/// The processes in a cgroup and in those below it.
pub fn processes_below(path: &str) -> BTreeSet<(u32, u64)> {
    pids_below(path).into_iter().filter_map(|pid| Some((pid, start_time(pid)?))).collect()
}

fn pids_below(path: &str) -> BTreeSet<u32> {
    let mut pids = BTreeSet::new();
    for group in groups(path) {
        collect(&group, &mut pids);
    }
    pids
}

fn collect(group: &Path, pids: &mut BTreeSet<u32>) {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            collect(&entry.path(), pids);
        }
    }
}

fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

/// What a file of a cgroup says, in whichever hierarchy has it.
pub fn group_file(path: &str, names: &[&str]) -> Option<String> {
    let files = groups(path).into_iter().flat_map(|group| names.iter().map(move |name| group.join(name)));
    files.into_iter().find_map(|file| fs::read_to_string(file).ok()).map(|text| text.trim().to_owned())
}

/// The links in a network namespace that is pinned at `path`.
pub fn links_in(path: &Path) -> Vec<String> {
    let namespace = format!("--net={}", path.display());
    let listed = Command::new("nsenter").arg(namespace).args(["ip", "-o", "link"]).output().expect("nsenter");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    text.lines().filter_map(|line| line.split(": ").nth(1)).map(str::to_owned).collect()
}
