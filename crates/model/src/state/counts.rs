//! Sums over tasks.

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
    /// `running`: it has been RUNNING.
    pub(super) fn add(&mut self, (running, cpu, memory): (bool, u32, u32)) {
        *self.side(running) += 1;
        self.cpu += cpu;
        self.memory += memory;
    }

    pub(super) fn subtract(&mut self, (running, cpu, memory): (bool, u32, u32)) {
        *self.side(running) -= 1;
        self.cpu -= cpu;
        self.memory -= memory;
    }

    /// Whether nothing is left.
    pub(super) fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    fn side(&mut self, running: bool) -> &mut u32 {
        if running { &mut self.running } else { &mut self.pending }
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |one, other| Self {
            pending: one.pending + other.pending,
            running: one.running + other.running,
            cpu: one.cpu.saturating_add(other.cpu),
            memory: one.memory.saturating_add(other.memory),
        })
    }
}
