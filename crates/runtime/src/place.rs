//! Where things of a node stand on its host. Everything carries the node's id, so that two nodes side by side never
//! touch each other's. Names only; nothing is made here.

use node::hands::{Joined, TaskKey};
use std::path::PathBuf;

/// Whether `text` can be a node's id: eight lower-case hex digits.
pub(crate) fn is_node_id(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Before the process number in the name of a spare supervisor's group; no task's key begins with it.
const WAITING: &str = "s";

/// Whether a group of this name (the last part) is a spare supervisor's.
pub(crate) fn is_waiting(name: &str) -> bool {
    name.strip_prefix(WAITING).is_some_and(|pid| pid.parse::<u32>().is_ok())
}

/// Names for one node.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    node_id: String,
}

impl Place {
    /// `node_id` has been checked by [`is_node_id`].
    pub(crate) fn new(node_id: &str) -> Self {
        Self { node_id: node_id.to_owned() }
    }

    /// `/run/gantry/<node id>`.
    pub(crate) fn run(&self) -> PathBuf {
        PathBuf::from("/run/gantry").join(&self.node_id)
    }

    /// An empty directory on which every supervisor mounts a tmpfs of its own, in its own mount namespace.
    pub(crate) fn private(&self) -> PathBuf {
        self.run().join("private")
    }

    /// The sockets of all supervisors.
    pub(crate) fn sockets(&self) -> PathBuf {
        self.run().join("sup")
    }

    /// Where a task's supervisor listens; well below the 108 bytes that such a path may have.
    pub(crate) fn socket(&self, task: &TaskKey) -> PathBuf {
        self.sockets().join(format!("{task}.sock"))
    }

    /// The namespace that a container joins: one that the network's hands pin, or the one in which its supervisor is.
    pub(crate) fn network(&self, task: &TaskKey, joined: Joined) -> PathBuf {
        let pins = self.run().join("netns");
        match joined {
            Joined::Task => pins.join(task.as_str()),
            Joined::Own(number) => pins.join(format!("{task}-{number}")),
            Joined::Host => "/proc/self/ns/net".into(),
        }
    }

    /// The cgroup of everything of this node's tasks.
    pub(crate) fn cgroup(&self) -> String {
        format!("/gantry/{}", self.node_id)
    }

    /// Where supervisors without a task go to end.
    pub(crate) fn spare_cgroup(&self) -> String {
        format!("{}/spare", self.cgroup())
    }

    /// Where the supervisor with this process number waits for a task. In version 1 it becomes the task's group.
    pub(crate) fn waiting_cgroup(&self, pid: u32) -> String {
        format!("{}/{WAITING}{pid}", self.cgroup())
    }

    /// A task's cgroup: the supervisor's and the containers' below it.
    pub(crate) fn task_cgroup(&self, task: &TaskKey) -> String {
        format!("{}/{task}", self.cgroup())
    }
}

/// The supervisor's own group in a task's: outside of the task's limits.
pub(crate) fn supervisor_group(task_group: &str) -> String {
    format!("{task_group}/supervisor")
}

/// The group that has the task's limits, the parent of its containers'.
pub(crate) fn containers_group(task_group: &str) -> String {
    format!("{task_group}/c")
}

/// One container's group.
pub(crate) fn container_group(task_group: &str, number: usize) -> String {
    format!("{}/{number}", containers_group(task_group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_paths_are_short_enough() {
        let task = TaskKey::new(&"a".repeat(32)).expect("key");
        let path = Place::new("0123abcd").socket(&task);
        assert!(path.as_os_str().len() < 100);
    }

    #[test]
    fn node_ids() {
        assert!(is_node_id("0123abcd"));
        assert!(!is_node_id("0123ABCD") && !is_node_id("../../..") && !is_node_id(""));
    }
}
