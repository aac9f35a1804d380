//! How slow and how faulty everything is. Each seed has its own weather, so that rare faults meet in some runs and are
//! absent in others; the healing phase is always calm. Data only.

use crate::random::Stream;
use model::Millis;

/// How long a task without checks has to run before it counts as healthy.
pub(crate) const SETTLE_MS: Millis = 500;

/// A range of milliseconds, both ends included.
pub(crate) type Range = (u64, u64);

/// The weather of a phase. Gaps are mean times between faults of a kind; zero: none.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    /// One way over the network.
    pub latency_ms: Range,
    /// Messages in a thousand that take `late_ms` instead.
    pub late: u64,
    /// See `late`.
    pub late_ms: Range,
    /// Requests in a thousand that never arrive.
    pub lost_requests: u64,
    /// Answers in a thousand that never arrive.
    pub lost_answers: u64,
    /// Reports in a thousand that arrive twice.
    pub doubled_reports: u64,
    /// A commit.
    pub commit_ms: Range,
    /// Commits in a thousand that take up to four seconds.
    pub slow_commits: u64,
    /// Commits in a thousand that fail and leave nothing.
    pub refused_commits: u64,
    /// Commits in a thousand that fail and yet are on disk.
    pub doubtful_commits: u64,
    /// Batches on their way to disk at a time.
    pub pipeline: usize,
    /// Rounds in a thousand in which the control plane dies.
    pub deaths_in_round: u64,
    /// Writing a record.
    pub record_ms: Range,
    /// Orders in a thousand that the host cannot carry out.
    pub failing_orders: u64,
    /// Health checks in a thousand that fail.
    pub failing_checks: u64,
    /// A cold image pull.
    pub pull_ms: Range,
    /// Any other order.
    pub order_ms: Range,
    /// Control plane crashes.
    pub plane_crash_gap_ms: Millis,
    /// Node crashes.
    pub node_crash_gap_ms: Millis,
    /// Host reboots.
    pub reboot_gap_ms: Millis,
    /// Partitions of one node.
    pub partition_gap_ms: Millis,
    /// Broken sessions.
    pub break_gap_ms: Millis,
    /// Supervisor deaths.
    pub supervisor_gap_ms: Millis,
    /// Records that become unreadable.
    pub corruption_gap_ms: Millis,
    /// Forced deregistrations.
    pub deregister_gap_ms: Millis,
    /// Wall clocks that are set.
    pub clock_gap_ms: Millis,
    /// How wrong a wall clock may be.
    pub skew_ms: Millis,
    /// How much too fast or slow processes' clocks run, in millionths.
    pub drift: i64,
}

impl Weather {
    /// Nothing fails and everything is quick.
    pub fn calm() -> Self {
        Self {
            latency_ms: (1, 3),
            late: 0,
            late_ms: (0, 0),
            lost_requests: 0,
            lost_answers: 0,
            doubled_reports: 0,
            commit_ms: (1, 3),
            slow_commits: 0,
            refused_commits: 0,
            doubtful_commits: 0,
            pipeline: 2,
            deaths_in_round: 0,
            record_ms: (1, 3),
            failing_orders: 0,
            failing_checks: 0,
            pull_ms: (200, 4000),
            order_ms: (1, 20),
            plane_crash_gap_ms: 0,
            node_crash_gap_ms: 0,
            reboot_gap_ms: 0,
            partition_gap_ms: 0,
            break_gap_ms: 0,
            supervisor_gap_ms: 0,
            corruption_gap_ms: 0,
            deregister_gap_ms: 0,
            clock_gap_ms: 0,
            skew_ms: 0,
            drift: 0,
        }
    }

    /// The same for everyone, to the millisecond: what scripts run in.
    pub fn still() -> Self {
        Self {
            latency_ms: (5, 5),
            commit_ms: (2, 2),
            record_ms: (1, 1),
            pull_ms: (900, 900),
            order_ms: (10, 10),
            ..Self::calm()
        }
    }

    /// The weather of a fault phase. Every kind of trouble is there or not, and light or heavy.
    pub fn draw(chance: &mut Stream) -> Self {
        let mut rate = |choices: &[u64]| *chance.pick(choices);
        Self {
            late: rate(&[0, 0, 5, 40]),
            late_ms: (500, rate(&[2_000, 12_000, 30_000])),
            lost_requests: rate(&[0, 0, 10, 80]),
            lost_answers: rate(&[0, 0, 10, 80]),
            doubled_reports: rate(&[0, 0, 100, 500]),
            commit_ms: (1, rate(&[3, 20, 300])),
            slow_commits: rate(&[0, 0, 20]),
            refused_commits: rate(&[0, 0, 5, 30]),
            doubtful_commits: rate(&[0, 0, 5, 20]),
            pipeline: rate(&[1, 1, 2, 4]) as usize,
            deaths_in_round: rate(&[0, 0, 0, 4]),
            record_ms: (1, rate(&[3, 50, 9_000])),
            failing_orders: rate(&[0, 0, 10, 50]),
            failing_checks: rate(&[0, 200, 900]),
            pull_ms: (100, rate(&[1_000, 8_000, 30_000])),
            order_ms: (1, rate(&[20, 100, 3_000])),
            latency_ms: (1, rate(&[3, 30, 400])),
            plane_crash_gap_ms: rate(&[0, 0, 20_000, 90_000]),
            node_crash_gap_ms: rate(&[0, 5_000, 20_000, 90_000]),
            reboot_gap_ms: rate(&[0, 0, 40_000, 120_000]),
            partition_gap_ms: rate(&[0, 0, 15_000, 60_000]),
            break_gap_ms: rate(&[0, 5_000, 20_000]),
            supervisor_gap_ms: rate(&[0, 0, 15_000, 60_000]),
            corruption_gap_ms: rate(&[0, 0, 0, 60_000]),
            deregister_gap_ms: rate(&[0, 0, 60_000, 200_000]),
            clock_gap_ms: rate(&[0, 5_000, 30_000]),
            skew_ms: rate(&[0, 2_000, 100_000, 4_000_000]),
            drift: rate(&[0, 200]) as i64,
        }
    }
}
