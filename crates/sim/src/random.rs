//! Chance, one stream for each purpose: a draw more in one place moves nothing in the others. Never reads entropy.

use model::Ids;

/// A stream of draws.
#[derive(Clone, Debug)]
pub(crate) struct Stream(Ids);

impl Stream {
    /// The stream of `purpose` under `seed`.
    pub fn new(seed: u64, purpose: &str) -> Self {
        Self(Ids::seeded(crate::trace::fnv(seed ^ 0xcbf2_9ce4_8422_2325, purpose.as_bytes())))
    }

    /// 0 to `end` - 1.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.bits() % end.max(1)
    }

    /// `first` to `last`, both included.
    pub fn between(&mut self, (first, last): (u64, u64)) -> u64 {
        first + self.below(last.saturating_sub(first) + 1)
    }

    /// True so many times in a thousand.
    pub fn per_mille(&mut self, times: u64) -> bool {
        self.below(1000) < times
    }

    /// Any of `choices`, which are not empty.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }

    /// Any item of an iterator that is not empty.
    pub fn pick_from<T>(&mut self, choices: impl Iterator<Item = T>) -> Option<T> {
        let mut all: Vec<T> = choices.collect();
        (!all.is_empty()).then(|| all.swap_remove(self.below(all.len() as u64) as usize))
    }

    /// 64 bits, to seed something else.
    pub fn bits(&mut self) -> u64 {
        self.0.bits()
    }
}
