//! Control groups of version 1, version 2 and both at once: making, entering, limiting, reading, killing, removing.
//!
//! A group is named by one path, the same in every hierarchy. Plain file IO; never decides who belongs where, and never
//! touches a group whose path the caller did not name.

mod devices;
mod kill;
mod limit;
mod mounts;
mod usage;

pub use devices::DeviceRule;
pub use limit::{ContainerLimits, PIDS_MAX};
pub use usage::Usage;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where a cgroup operation failed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// No cgroup file system is mounted.
    #[error("no cgroup hierarchy is mounted")]
    None,
    /// The list of mounts cannot be read.
    #[error("cannot read the list of mounts")]
    Mounts(#[source] io::Error),
    /// A file or directory of a group.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Processes would not die.
    #[error("processes remain in {path}")]
    Busy {
        /// The group.
        path: String,
    },
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    root: PathBuf,
    /// The directory's name below /sys/fs/cgroup: `memory`, `cpu,cpuacct`, `unified`.
    name: String,
    /// Controllers of a version 1 hierarchy, or of the version 2 root.
    controllers: Vec<String>,
    unified: bool,
}

impl Hierarchy {
    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|have| have == controller)
    }

    /// Where the group `path` (`/gantry/…`) lives.
    fn group(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

/// All hierarchies of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroups {
    /// Those in which tasks have groups.
    hierarchies: Vec<Hierarchy>,
    /// The version 2 hierarchy of a hybrid host: no limits, but systemd ends a service by it.
    tracking: Option<Hierarchy>,
}

/// Version 1 hierarchies without these hold nothing for us; processes stay where they are in them.
const USED: [&str; 8] = ["cpu", "cpuacct", "memory", "pids", "devices", "freezer", "blkio", "name=systemd"];

/// Version 2 controllers that our groups pass down.
const PASSED_DOWN: [&str; 4] = ["cpu", "memory", "pids", "io"];

impl Cgroups {
    /// Reads what is mounted.
    pub fn discover() -> Result<Self, CgroupError> {
        let text = fs::read_to_string("/proc/self/mountinfo").map_err(CgroupError::Mounts)?;
        let mut hierarchies = mounts::hierarchies(&text);
        if hierarchies.is_empty() {
            return Err(CgroupError::None);
        }
        let limits = |h: &Hierarchy| ["cpu", "memory", "pids"].iter().any(|name| h.has(name));
        let hybrid = hierarchies.len() > 1;
        let tracking = hierarchies.pop_if(|last| hybrid && last.unified && !limits(last));
        Ok(Self { hierarchies, tracking })
    }

    /// The same hierarchies, seen below `to` instead of `from`.
    pub fn seen_below(&self, from: &Path, to: &Path) -> Self {
        let moved = |hierarchy: &Hierarchy| {
            let root = match hierarchy.root.strip_prefix(from) {
                Ok(rest) if rest.as_os_str().is_empty() => to.to_owned(),
                Ok(rest) => to.join(rest),
                Err(_) => hierarchy.root.clone(),
            };
            Hierarchy { root, ..hierarchy.clone() }
        };
        Self { hierarchies: self.hierarchies.iter().map(moved).collect(), tracking: self.tracking.as_ref().map(moved) }
    }

    /// Only version 2, as on most hosts of today.
    pub fn is_unified(&self) -> bool {
        self.hierarchies.iter().all(|h| h.unified)
    }

    /// Makes the group, and the groups above it, in every hierarchy. It may exist.
    pub fn create(&self, path: &str) -> Result<(), CgroupError> {
        self.hierarchies.iter().try_for_each(|h| create_in(h, path))
    }

    /// Moves a process (0: the caller) into the group, in every hierarchy.
    pub fn enter(&self, path: &str, pid: u32) -> Result<(), CgroupError> {
        let pid = pid.to_string();
        self.hierarchies.iter().try_for_each(|h| write(&h.group(path).join("cgroup.procs"), &pid))
    }

    /// Whether the calling process is in the group, in every hierarchy.
    pub fn is_in(&self, path: &str) -> bool {
        let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own: Vec<(&str, &str)> = text
            .lines()
            .filter_map(|line| {
                let mut fields = line.splitn(3, ':').skip(1);
                Some((fields.next()?, fields.next()?))
            })
            .collect();
        self.hierarchies.iter().all(|hierarchy| {
            own.iter().any(|(controllers, own)| {
                let same = match hierarchy.controllers.first() {
                    Some(name) if !hierarchy.unified => controllers.split(',').any(|c| c == name),
                    _ => controllers.is_empty(),
                };
                same && *own == path
            })
        })
    }

    /// Whether [`Cgroups::rename`] takes the processes along everywhere.
    pub fn can_rename(&self) -> bool {
        self.hierarchies.iter().all(|h| !h.unified)
    }

    /// Makes and enters the group in the hierarchy that only tracks, if there is one: out of the reach of whoever ends
    /// the service that started us.
    pub fn enter_tracking(&self, path: &str) -> Result<(), CgroupError> {
        let Some(tracking) = &self.tracking else { return Ok(()) };
        create_in(tracking, path)?;
        write(&tracking.group(path).join("cgroup.procs"), &std::process::id().to_string())
    }

    /// Gives a group another name, with all that is below and in it. Version 2 cannot: there the new group is made, and
    /// the old one stays with what is in it.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), CgroupError> {
        for hierarchy in &self.hierarchies {
            if hierarchy.unified {
                create_in(hierarchy, to)?;
                continue;
            }
            let from = hierarchy.group(from);
            fs::rename(&from, hierarchy.group(to)).map_err(|source| CgroupError::File {
                action: "rename",
                path: from,
                source,
            })?;
        }
        Ok(())
    }

    /// The group's directory, for processes to be born in it; only where there is a single, version 2 hierarchy.
    pub fn birthplace(&self, path: &str) -> Option<fs::File> {
        match self.hierarchies.as_slice() {
            [only] if only.unified => fs::File::open(only.group(path)).ok(),
            _ => None,
        }
    }

    /// Names and directories of the group for a container's read-only /sys/fs/cgroup on version 1 hosts.
    pub fn views(&self, path: &str) -> Vec<(String, PathBuf)> {
        self.hierarchies.iter().map(|h| (h.name.clone(), h.group(path))).collect()
    }

    /// Whether the group exists in any hierarchy.
    pub fn exists(&self, path: &str) -> bool {
        self.hierarchies.iter().any(|h| h.group(path).is_dir())
    }

    /// Names of the groups directly below `path`, in any hierarchy.
    pub fn children(&self, path: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .hierarchies
            .iter()
            .filter_map(|h| fs::read_dir(h.group(path)).ok())
            .flatten()
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// How often the kernel killed a process of this group for memory.
    pub fn oom_kills(&self, path: &str) -> u64 {
        let Some(hierarchy) = self.hierarchies.iter().find(|h| h.has("memory")) else { return 0 };
        let file = if hierarchy.unified { "memory.events" } else { "memory.oom_control" };
        let text = fs::read_to_string(hierarchy.group(path).join(file)).unwrap_or_default();
        counter(&text, "oom_kill").unwrap_or(0)
    }
}

fn counter(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

fn create_in(hierarchy: &Hierarchy, path: &str) -> Result<(), CgroupError> {
    let full = hierarchy.group(path);
    match fs::create_dir(&full) {
        Ok(()) => pass_controllers_down(hierarchy, path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.trim_matches('/').contains('/') => {
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            create_in(hierarchy, parent)?;
            match fs::create_dir(&full) {
                Ok(()) => pass_controllers_down(hierarchy, path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                Err(source) => Err(CgroupError::File { action: "make", path: full, source }),
            }
        }
        Err(source) => Err(CgroupError::File { action: "make", path: full, source }),
    }
}

/// Version 2 shows a controller's files in a group only when its parent passes the controller down.
fn pass_controllers_down(hierarchy: &Hierarchy, path: &str) -> Result<(), CgroupError> {
    if !hierarchy.unified {
        return Ok(());
    }
    let wanted: Vec<String> =
        PASSED_DOWN.iter().filter(|name| hierarchy.has(name)).map(|name| format!("+{name}")).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let parent = hierarchy.group(path.rsplit_once('/').map_or("", |(parent, _)| parent));
    write(&parent.join("cgroup.subtree_control"), &wanted.join(" "))
}

fn write(path: &Path, value: &str) -> Result<(), CgroupError> {
    fs::write(path, value).map_err(|source| CgroupError::File { action: "write", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_whole_name() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(counter(text, "oom_kill"), Some(3));
        assert_eq!(counter("oom 7\noom_kill 1\noom_group_kill 0", "oom_kill"), Some(1));
        assert_eq!(counter("", "oom_kill"), None);
    }

    #[test]
    fn a_moved_view_keeps_the_groups() {
        let hierarchy = Hierarchy {
            root: PathBuf::from("/sys/fs/cgroup/memory"),
            name: "memory".into(),
            controllers: vec!["memory".into()],
            unified: false,
        };
        let here = Cgroups { hierarchies: vec![hierarchy], tracking: None };
        let there = here.seen_below(Path::new("/sys/fs/cgroup"), Path::new("/run/x/cg"));
        assert_eq!(there.views("/gantry/a")[0].1, Path::new("/run/x/cg/memory/gantry/a"));
    }
}
