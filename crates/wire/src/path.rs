//! Where in a request a value stands, kept on the stack while reading and written out only when something is wrong with it.

use std::fmt;

use crate::fault::Fault;

/// A place in a request, such as `containerDefinitions[0].memory`.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root,
    Member(&'a str),
    Item(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    /// The request itself.
    pub const fn root() -> Self {
        Self { parent: None, step: Step::Root }
    }

    /// A member of the structure at this path.
    pub const fn member(&'a self, name: &'a str) -> Self {
        self.below(Step::Member(name))
    }

    /// An element of the list at this path.
    pub const fn item(&'a self, index: usize) -> Self {
        self.below(Step::Item(index))
    }

    /// A value of the map at this path.
    pub const fn key(&'a self, key: &'a str) -> Self {
        self.below(Step::Key(key))
    }

    const fn below(&'a self, step: Step<'a>) -> Self {
        Self { parent: Some(self), step }
    }

    /// The fault for a value of the wrong type.
    #[cold]
    pub fn mismatch(&self, text: impl fmt::Display) -> Fault {
        Fault::serialization(format!("{self}: {text}"))
    }

    /// The fault for a value that is not allowed.
    #[cold]
    pub fn invalid(&self, text: impl fmt::Display) -> Fault {
        Fault::invalid_parameter(format!("{self}: {text}"))
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(parent) = self.parent else {
            return out.write_str("the request");
        };
        let first = parent.parent.is_none();
        if !first {
            write!(out, "{parent}")?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Member(name) if first => out.write_str(name),
            Step::Member(name) => write!(out, ".{name}"),
            Step::Item(index) => write!(out, "[{index}]"),
            Step::Key(key) => write!(out, "[{key:?}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_an_expression() {
        let root = Path::root();
        let list = root.member("containerDefinitions");
        let item = list.item(0);
        let map = item.member("dockerLabels");
        assert_eq!(root.to_string(), "the request");
        assert_eq!(item.member("memory").to_string(), "containerDefinitions[0].memory");
        assert_eq!(map.key("a b").to_string(), "containerDefinitions[0].dockerLabels[\"a b\"]");
    }
}
