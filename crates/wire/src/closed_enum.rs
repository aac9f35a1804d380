//! What all generated enums have in common: a fixed list of values, each with its name on the wire.

/// An enum whose values are all known.
pub trait ClosedEnum: Copy + 'static {
    /// Every value, in the order of the model.
    const ALL: &'static [Self];
    /// The names of the values, in the same order.
    const NAMES: &'static [&'static str];

    /// The position in `ALL` and `NAMES`.
    fn index(self) -> usize;

    /// The value of that name.
    fn find(name: &str) -> Option<Self> {
        let at = Self::NAMES.iter().position(|known| *known == name)?;
        Self::ALL.get(at).copied()
    }
}

/// The names of all values, for the text of a fault.
pub(crate) fn allowed_values<T: ClosedEnum>() -> String {
    T::NAMES.join(", ")
}
