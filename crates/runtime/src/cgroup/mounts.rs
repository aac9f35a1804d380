//! Reads /proc/self/mountinfo for cgroup hierarchies. Text in, list out, but for the version 2 root's own list of
//! controllers.

use super::{Hierarchy, USED};
use std::fs;
use std::path::PathBuf;

/// The hierarchies that matter, version 2 last.
pub(super) fn hierarchies(mountinfo: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mountinfo.lines() {
        let Some(hierarchy) = hierarchy(line) else { continue };
        let known =
            found.iter().any(|have| have.unified == hierarchy.unified && have.controllers == hierarchy.controllers);
        if !known {
            found.push(hierarchy);
        }
    }
    found.sort_by_key(|h| h.unified);
    found
}

fn hierarchy(line: &str) -> Option<Hierarchy> {
    let (left, right) = line.split_once(" - ")?;
    let mount_point = left.split(' ').nth(4)?;
    let mut right = right.split(' ');
    let kind = right.next()?;
    let options = right.nth(1)?;
    let root = PathBuf::from(mount_point);
    let name = root.file_name()?.to_str()?.to_owned();
    match kind {
        "cgroup2" => {
            let controllers = fs::read_to_string(root.join("cgroup.controllers"))
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect();
            Some(Hierarchy { root, name, controllers, unified: true })
        }
        "cgroup" => {
            let mut controllers: Vec<String> =
                options.split(',').filter(|name| USED.contains(name)).map(str::to_owned).collect();
            controllers.sort();
            let used = !controllers.is_empty();
            used.then_some(Hierarchy { root, name, controllers, unified: false })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:27 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,size=1k,mode=755
32 31 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
33 31 0:29 / /sys/fs/cgroup/net_cls rw,relatime - cgroup cgroup rw,net_cls
34 31 0:30 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
35 31 0:31 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 31 0:32 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
37 99 0:31 / /elsewhere/memory rw,relatime - cgroup cgroup rw,memory";

    #[test]
    fn a_hybrid_host_is_read_once_per_hierarchy() {
        let found = hierarchies(HYBRID);
        let names: Vec<&str> = found.iter().map(|h| h.name.as_str()).collect();
        assert_eq!(names, ["cpu,cpuacct", "memory", "systemd", "unified"]);
        assert!(found[0].has("cpu") && found[0].has("cpuacct") && !found[0].has("rw"));
        assert!(found[3].unified);
    }

    #[test]
    fn nonsense_is_skipped() {
        assert!(hierarchies("x\n\n1 2 3 - cgroup\n").is_empty());
    }
}
