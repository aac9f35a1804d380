//! Health checks of a task's containers: one at a time for each, told when it has ended.

use super::exec::{self, Exec};
use super::process::{fork, fork_into};
use super::protocol::Report;
use super::task::{Container, Task};
use rustix::process::{Pid, PidfdFlags};
use std::time::Duration;

/// What is answered for a check that could not be made.
const NOT_MADE: i32 = 126;

/// A check that is under way.
pub(super) struct Check {
    container: String,
    helper: Pid,
}

impl Task {
    /// Begins a check. A container that does not run is not checked, and its end is told anyway.
    pub(super) fn check(&mut self, name: &str, command: &[String], timeout_ms: u64) {
        let under_way = self.checks.iter().any(|check| check.container == name);
        let Some(container) = self.containers.iter().find(|c| c.name == name && c.runs()).filter(|_| !under_way) else {
            return;
        };
        let helper = self.begin_check(container, command, Duration::from_millis(timeout_ms));
        match helper {
            Ok(helper) => self.checks.push(Check { container: name.to_owned(), helper }),
            Err(error) => {
                super::note(format_args!("cannot check {name}: {error}"));
                self.reports.push(Report::Checked { container: name.to_owned(), code: NOT_MADE });
            }
        }
    }

    fn begin_check(&self, container: &Container, command: &[String], timeout: Duration) -> std::io::Result<Pid> {
        let pid = container.pid.ok_or(std::io::ErrorKind::NotFound)?;
        // It is our child and not reaped, so that the number is certainly still its own.
        let first = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        let cgroups = &self.prepared.cgroups;
        let exec =
            Exec { cgroups, group: &container.group, container: &first, bundle: &container.place, command, timeout };
        match cgroups.birthplace(&container.group) {
            Some(group) => fork_into(&group, || exec::run(&exec)),
            None => fork(|| exec::run(&exec)),
        }
    }

    /// Whether a dead child was a check; it is told.
    pub(super) fn end_check(&mut self, pid: Pid, code: i32) -> bool {
        let Some(at) = self.checks.iter().position(|check| check.helper == pid) else { return false };
        let container = self.checks.swap_remove(at).container;
        self.reports.push(Report::Checked { container, code });
        true
    }
}
