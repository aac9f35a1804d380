//! What the processes of a group have used, as the kernel counts it.

use super::{Cgroups, Hierarchy};
use std::fs;

/// Use of a group and all below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time so far, in nanoseconds.
    pub cpu_ns: u64,
    /// Memory now, in bytes, without what the kernel would give back at once (files that nobody uses).
    pub memory_bytes: u64,
    /// The least limit of the group and the one above it, in bytes; `None`: none.
    pub memory_limit: Option<u64>,
    /// Processes now.
    pub processes: u64,
}

impl Cgroups {
    /// Reads it; `None` when there is no such group.
    pub fn usage(&self, path: &str) -> Option<Usage> {
        if !self.exists(path) {
            return None;
        }
        let above = path.rsplit_once('/').map_or(path, |(above, _)| above);
        let mut usage = Usage::default();
        for hierarchy in &self.hierarchies {
            let number = |file: &str| read(hierarchy, path, file)?.trim().parse::<u64>().ok();
            let line = |file: &str, name: &str| line(&read(hierarchy, path, file)?, name);
            let limit = |file: &str| {
                let limits = [path, above].map(|path| read(hierarchy, path, file)?.trim().parse::<u64>().ok());
                // Version 1 says a number near 2^63 where there is none, version 2 says "max".
                limits.into_iter().flatten().filter(|limit| *limit < 1 << 62).min()
            };
            if hierarchy.unified {
                usage.cpu_ns = line("cpu.stat", "usage_usec").unwrap_or(0) * 1000;
                let files = line("memory.stat", "inactive_file").unwrap_or(0);
                usage.memory_bytes = number("memory.current").unwrap_or(0).saturating_sub(files);
                usage.memory_limit = limit("memory.max");
                usage.processes = number("pids.current").unwrap_or(0);
                continue;
            }
            if hierarchy.has("cpuacct") {
                usage.cpu_ns = number("cpuacct.usage").unwrap_or(0);
            }
            if hierarchy.has("memory") {
                let files = line("memory.stat", "total_inactive_file").unwrap_or(0);
                usage.memory_bytes = number("memory.usage_in_bytes").unwrap_or(0).saturating_sub(files);
                usage.memory_limit = limit("memory.limit_in_bytes");
            }
            if hierarchy.has("pids") {
                usage.processes = number("pids.current").unwrap_or(0);
            }
        }
        Some(usage)
    }
}

fn read(hierarchy: &Hierarchy, path: &str, file: &str) -> Option<String> {
    fs::read_to_string(hierarchy.group(path).join(file)).ok()
}

/// The number after a name at the beginning of a line.
fn line(text: &str, name: &str) -> Option<u64> {
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.and_then(|number| number.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_whole_name() {
        let text = "total_inactive_file 5\ninactive_file 7\nusage_usec 9\n";
        assert_eq!((line(text, "inactive_file"), line(text, "usage_usec")), (Some(7), Some(9)));
        assert_eq!((line(text, "inactive"), line(text, "nothing")), (None, None));
    }
}
