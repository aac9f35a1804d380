//! The rules of a batch of events, which are those of PutLogEvents.

use crate::{Error, Millis};

/// Events of one batch.
pub const EVENTS_MAX: usize = 10_000;
/// Bytes of one batch: the texts, and what each event counts besides.
pub const BATCH_BYTES_MAX: usize = 1_048_576;
/// What an event counts besides its text.
pub const EVENT_OVERHEAD_BYTES: usize = 26;
const HOUR_MS: Millis = 3_600_000;
/// From the first event of a batch to its last.
const SPAN_MS: Millis = 24 * HOUR_MS;
/// An event may be ahead of the time so much.
const NEW_MS: Millis = 2 * HOUR_MS;
/// And behind it so much.
const OLD_MS: Millis = 14 * 24 * HOUR_MS;

/// Events that were not taken, by their places in the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    /// This one and all after it are too far ahead.
    pub too_new_from: Option<usize>,
    /// All before this one are too old.
    pub too_old_before: Option<usize>,
    /// All before this one are older than the group keeps events.
    pub expired_before: Option<usize>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Events that are durable now.
    pub count: usize,
    /// The others.
    pub rejected: Rejected,
}

/// Which events of a batch are taken.
pub(crate) fn check(
    now: Millis,
    retention_ms: Option<Millis>,
    events: &[(Millis, String)],
) -> Result<(std::ops::Range<usize>, Rejected), Error> {
    let refused = |message: String| Err(Error::Invalid(message));
    if events.is_empty() || events.len() > EVENTS_MAX {
        return refused(format!("A batch has 1 to {EVENTS_MAX} log events, got {}.", events.len()));
    }
    let bytes: usize = events.iter().map(|(_, message)| message.len() + EVENT_OVERHEAD_BYTES).sum();
    if bytes > BATCH_BYTES_MAX {
        return refused(format!(
            "Upload too large: {bytes} bytes exceed the limit of {BATCH_BYTES_MAX} ({EVENT_OVERHEAD_BYTES} for each event)."
        ));
    }
    if events.iter().any(|(_, message)| message.is_empty()) {
        return refused("Log event message must not be empty.".to_owned());
    }
    if !events.is_sorted_by_key(|(at, _)| *at) {
        return refused("Log events in a single PutLogEvents request must be in chronological order.".to_owned());
    }
    if events[events.len() - 1].0 - events[0].0 > SPAN_MS {
        return refused(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.".to_owned(),
        );
    }
    let before = |limit: Millis| events.partition_point(|(at, _)| *at < limit);
    let (old, new) = (before(now.saturating_sub(OLD_MS)), before(now.saturating_add(NEW_MS + 1)));
    let expired = before(retention_ms.map_or(0, |kept| now.saturating_sub(kept)));
    let rejected = Rejected {
        too_new_from: (new < events.len()).then_some(new),
        too_old_before: (old > 0).then_some(old),
        expired_before: (expired > 0).then_some(expired),
    };
    let first = old.max(expired).min(new);
    Ok((first..new, rejected))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 100 * 24 * HOUR_MS;

    fn batch(times: &[Millis]) -> Vec<(Millis, String)> {
        times.iter().map(|at| (*at, "x".to_owned())).collect()
    }

    #[test]
    fn what_is_too_old_or_too_new_is_left_out_and_told() {
        let (taken, rejected) = check(NOW, None, &batch(&[NOW, NOW + NEW_MS, NOW + NEW_MS + 1])).unwrap();
        assert_eq!((taken, rejected.too_new_from), (0..2, Some(2)));
        let (taken, rejected) = check(NOW, None, &batch(&[NOW - OLD_MS - 1, NOW - OLD_MS])).unwrap();
        assert_eq!((taken, rejected.too_old_before, rejected.expired_before), (1..2, Some(1), None));
        let (taken, rejected) = check(NOW, Some(HOUR_MS), &batch(&[NOW - HOUR_MS - 1, NOW])).unwrap();
        assert_eq!((taken, rejected.expired_before), (1..2, Some(1)));
        let (taken, _) = check(NOW, None, &batch(&[1])).unwrap();
        assert!(taken.is_empty());
    }

    #[test]
    fn a_batch_that_cannot_be_right_is_refused_whole() {
        assert!(check(NOW, None, &[]).is_err());
        assert!(check(NOW, None, &batch(&[NOW, NOW - 1])).is_err());
        assert!(check(NOW, None, &batch(&[NOW - SPAN_MS - 1, NOW])).is_err());
        assert!(check(NOW, None, &[(NOW, String::new())]).is_err());
        assert!(check(NOW, None, &vec![(NOW, "x".to_owned()); EVENTS_MAX + 1]).is_err());
        let exact = BATCH_BYTES_MAX - EVENT_OVERHEAD_BYTES;
        assert!(check(NOW, None, &[(NOW, "x".repeat(exact))]).is_ok());
        assert!(check(NOW, None, &[(NOW, "x".repeat(exact + 1))]).is_err());
    }
}
