//! Time: milliseconds since the epoch that never go back. The wall clock at start, then the boot-time clock (which goes on
//! through suspend); never below a floor that the store remembers.

use rustix::time::{ClockId, clock_gettime};
use std::time::{SystemTime, UNIX_EPOCH};

/// A clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin_ms: u64,
    booted_ms: u64,
}

impl Clock {
    /// A clock that begins now, and not before `floor_ms`.
    pub fn start(floor_ms: u64) -> Self {
        let wall = wall_ms();
        if wall < floor_ms {
            tracing::warn!(
                behind_ms = floor_ms - wall,
                "the wall clock is behind the store; time goes on from the store's"
            );
        }
        Self { origin_ms: wall.max(floor_ms), booted_ms: booted_ms() }
    }

    /// The time.
    pub fn now(&self) -> u64 {
        self.origin_ms + booted_ms().saturating_sub(self.booted_ms)
    }
}

fn booted_ms() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}

/// The wall clock, as signatures use it.
pub fn wall_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
