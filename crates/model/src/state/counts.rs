//! Sums over tasks.

use crate::task::{Task, TaskStatus};

/// Sums over the tasks of a cluster or instance that are not STOPPED.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tasks before RUNNING.
    pub pending: u32,
    /// Tasks from RUNNING on.
    pub running: u32,
    /// CPU units they book.
    pub cpu: u32,
    /// MiB they book.
    pub memory: u32,
}

impl Counts {
    pub(super) fn add(&mut self, task: &Task) {
        if task.status == TaskStatus::Stopped {
            return;
        }
        *self.side(task) += 1;
        self.cpu += task.cpu;
        self.memory += task.memory;
    }

    pub(super) fn subtract(&mut self, task: &Task) {
        if task.status == TaskStatus::Stopped {
            return;
        }
        *self.side(task) -= 1;
        self.cpu -= task.cpu;
        self.memory -= task.memory;
    }

    fn side(&mut self, task: &Task) -> &mut u32 {
        if task.status.is_running() { &mut self.running } else { &mut self.pending }
    }
}
