//! Which capacity provider the next task is asked of: the base first, then by weight. The ratio is kept over all tasks
//! that count, not over the last few.

use model::capacity_provider::StrategyItem;

/// A strategy, and how many tasks each of its providers has.
#[derive(Clone, Debug)]
pub struct Spread<'a> {
    items: &'a [StrategyItem],
    counts: Vec<u32>,
}

impl<'a> Spread<'a> {
    /// `held`: the providers of the tasks that there are already.
    pub fn new<'t>(items: &'a [StrategyItem], held: impl Iterator<Item = &'t str>) -> Self {
        let mut counts = vec![0; items.len()];
        for provider in held {
            if let Some(position) = items.iter().position(|item| *item.provider == *provider) {
                counts[position] += 1;
            }
        }
        Self { items, counts }
    }

    /// The one that one more task would load least, for its weight.
    fn lightest(&self) -> Option<usize> {
        let weighted = (0..self.items.len()).filter(|position| self.items[*position].weight > 0);
        let load = |position: usize| u64::from(self.counts[position].saturating_sub(self.items[position].base)) + 1;
        let weight = |position: usize| u64::from(self.items[position].weight);
        // a / b < c / d without division.
        weighted.min_by(|a, b| (load(*a) * weight(*b)).cmp(&(load(*b) * weight(*a))))
    }
}

/// The providers of the tasks to come, one after the other; none: there is no strategy.
impl<'a> Iterator for Spread<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let below_base = |position: &usize| self.counts[*position] < self.items[*position].base;
        let position = (0..self.items.len()).find(below_base).or_else(|| self.lightest())?;
        self.counts[position] += 1;
        Some(&self.items[position].provider)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(provider: &str, weight: u32, base: u32) -> StrategyItem {
        StrategyItem { provider: provider.into(), weight, base }
    }

    fn counted(items: &[StrategyItem], held: &[&str], tasks: usize) -> Vec<usize> {
        let mut spread = Spread::new(items, held.iter().copied());
        let mut all = held.to_vec();
        all.extend((0..tasks).map(|_| spread.next().unwrap()));
        items.iter().map(|item| all.iter().filter(|name| ***name == *item.provider).count()).collect()
    }

    #[test]
    fn the_base_comes_first_and_then_the_weights() {
        let items = [item("a", 1, 2), item("b", 4, 0)];
        assert_eq!(counted(&items, &[], 1), [1, 0]);
        assert_eq!(counted(&items, &[], 2), [2, 0]);
        assert_eq!(counted(&items, &[], 7), [3, 4]);
        assert_eq!(counted(&items, &[], 12), [4, 8]);
    }

    #[test]
    fn the_ratio_is_kept_over_what_is_there() {
        let items = [item("a", 1, 0), item("b", 1, 0)];
        assert_eq!(counted(&items, &["a", "a", "a"], 3), [3, 3]);
        assert_eq!(counted(&items, &["a", "b", "a"], 3), [3, 3]);
    }

    #[test]
    fn a_provider_without_weight_gets_its_base_only() {
        let items = [item("a", 0, 1), item("b", 1, 0)];
        assert_eq!(counted(&items, &[], 5), [1, 4]);
        assert_eq!(Spread::new(&[], std::iter::empty()).next(), None);
    }
}
