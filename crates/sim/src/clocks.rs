//! Clocks. A host's wall clock may be wrong and may be set at any time. A process reads it once, when it starts, and goes
//! on with a clock that never goes back and runs a little fast or slow, as the production clock does; so it sees that the
//! wall clock was set when it starts again.

use crate::world::World;
use model::Millis;

/// A clock that was right, or wrong by a known span, at some moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// How much it was ahead of the world's time then.
    ahead: i64,
    since: Millis,
    /// How much faster than the world's time it runs, in millionths.
    drift: i64,
}

impl Clock {
    /// One that shows `shows` at `now`.
    pub fn showing(shows: Millis, now: Millis, drift: i64) -> Self {
        Self { ahead: shows as i64 - now as i64, since: now, drift }
    }

    /// What it shows.
    pub fn at(&self, now: Millis) -> Millis {
        let gone = now.saturating_sub(self.since) as i64;
        now.saturating_add_signed(self.ahead + gone * self.drift / 1_000_000)
    }

    /// When it will show `shows`, or later.
    pub fn when(&self, shows: Millis) -> Millis {
        let behind = self.at(self.since);
        let left = shows.saturating_sub(behind) as i64;
        let mut now = self.since.saturating_add_signed(left * 1_000_000 / (1_000_000 + self.drift) - 1).max(self.since);
        while self.at(now) < shows {
            now += 1;
        }
        now
    }
}

impl World {
    /// The time as a host's wall clock has it.
    pub fn host_now(&self, agent: usize) -> Millis {
        self.now.saturating_add_signed(self.agents[agent].host.ahead)
    }

    /// The time as a node's process has it.
    pub fn node_now(&self, agent: usize) -> Millis {
        self.agents[agent].clock.at(self.now)
    }

    /// The time as the control plane's process has it.
    pub fn plane_now(&self) -> Millis {
        self.plane.clock.at(self.now)
    }

    fn draw_drift(&mut self) -> i64 {
        let most = self.weather.drift;
        *self.chance.faults.pick(&[-most, 0, most])
    }

    /// A node's process reads the wall clock.
    pub fn set_node_clock(&mut self, agent: usize) {
        let drift = self.draw_drift();
        self.agents[agent].clock = Clock::showing(self.host_now(agent), self.now, drift);
    }

    /// The control plane's process reads the wall clock; its time is never before that of the store.
    pub fn set_plane_clock(&mut self) {
        let drift = self.draw_drift();
        let shows = self.now.saturating_add_signed(self.plane.ahead).max(self.disk.last_at);
        self.plane.clock = Clock::showing(shows, self.now, drift);
    }

    /// Somebody sets a wall clock, rightly or wrongly.
    pub fn wall_is_set(&mut self) {
        let wrong = self.chance.faults.below(2 * self.weather.skew_ms + 1) as i64 - self.weather.skew_ms as i64;
        let ahead = if self.chance.faults.per_mille(300) { 0 } else { wrong };
        match self.chance.faults.below(self.agents.len() as u64 + 1) as usize {
            0 => {
                self.plane.ahead = ahead;
                self.note(format!("the wall clock of the control plane is {ahead} ms ahead"));
            }
            number => {
                let agent = number - 1;
                self.agents[agent].host.ahead = ahead;
                self.note(format!("the wall clock of host-{agent} is {ahead} ms ahead"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_a_time_when_it_says_so() {
        for (ahead, drift) in [(0, 0), (90_000, 200), (-90_000, -200), (17, 999)] {
            let clock = Clock { ahead, since: 1_000_000, drift };
            for shows in [950_000, 1_000_000, 1_090_001, 9_123_456] {
                let when = clock.when(shows);
                assert!(clock.at(when) >= shows, "{clock:?} at {when}");
                assert!(when == clock.since || clock.at(when - 1) < shows, "{clock:?} before {when}");
            }
        }
    }
}
