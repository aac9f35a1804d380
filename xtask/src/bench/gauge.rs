//! A series of measurements, shown as median and p90 with how many there were.

use std::fmt;

/// A series.
#[derive(Clone, Debug, Default)]
pub struct Figures(Vec<f64>);

impl Figures {
    /// One more.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The value below which that share of the series lies.
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
        sorted.get(at).copied().unwrap_or(f64::NAN)
    }
}

/// A series of one.
impl From<f64> for Figures {
    fn from(value: f64) -> Self {
        Self(vec![value])
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "median {:.1}, p90 {:.1} (n = {})", self.quantile(0.5), self.quantile(0.9), self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let mut figures = Figures::default();
        (1..=11).rev().for_each(|value| figures.push(f64::from(value)));
        assert_eq!((figures.quantile(0.5), figures.quantile(0.9)), (6.0, 10.0));
        assert!(Figures::default().quantile(0.5).is_nan());
    }
}
