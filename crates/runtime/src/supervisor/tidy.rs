//! What can be put in order while nobody waits: what an ended container leaves behind, so that it can be made again on
//! the same writable layer, and the supervisor's own group.

use super::failure::chain;
use super::rootfs::Rootfs;
use super::task::{Container, Task};
use crate::place::supervisor_group;
use std::fs;

impl Task {
    /// Takes everything of an ended container away but its writable layer, its output and the record of its end. What
    /// cannot be taken away now goes with the task: the next one has other names.
    pub(super) fn clear(&self, ended: &Container) {
        let place = &ended.place;
        Rootfs::unmount(&place.join("root"));
        for view in fs::read_dir(place.join("cgroup")).into_iter().flatten().flatten() {
            Rootfs::unmount(&view.path());
            let _ = fs::remove_file(view.path()).or_else(|_| fs::remove_dir(view.path()));
        }
        // Nothing is removed through a mount that should still be there.
        let _ = fs::remove_file(place.join("config.json"));
        for directory in [place.join("root"), place.join("cgroup")] {
            let _ = fs::remove_dir(directory);
        }
        let tools = self.prepared.tools();
        for left in [place.join("l"), tools.state.join(&ended.id), tools.decoys.join(&ended.id)] {
            let _ = fs::remove_dir_all(left);
        }
        let _ = fs::remove_dir(place);
        let _ = self.prepared.cgroups.remove_now(&ended.group);
    }

    /// Version 2 has us in the group of our time as a spare, as moving may wait for the kernel: to be called when nobody
    /// waits for us.
    pub(super) fn settle(&mut self) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let cgroups = &self.prepared.cgroups;
        match cgroups.enter(&supervisor_group(&self.group), std::process::id()) {
            Ok(()) => drop(cgroups.remove_now(&self.prepared.group)),
            Err(error) => super::note(format_args!("{}", chain(&error))),
        }
    }
}
