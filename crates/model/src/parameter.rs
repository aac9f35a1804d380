//! Parameters of Systems Manager. Values are sealed, those of every type; each version is a row of its own, so that a new one
//! writes only itself.

use crate::Millis;
use crate::cluster::Tag;
use crate::row::Row;
use crate::sealed::Sealed;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Versions of a parameter that are kept (Systems Manager user guide, parameter versions).
pub const VERSIONS_MAX: usize = 100;

/// What a parameter's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParameterKind {
    /// Text.
    String,
    /// Texts with commas between them.
    StringList,
    /// Text that is shown sealed unless it is asked for opened.
    SecureString,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name.
    pub name: Box<str>,
    /// The number of its newest version.
    pub version: u64,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

/// A version of a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterVersion {
    /// Whose.
    pub name: Box<str>,
    /// 1, 2, 3 …
    pub number: u64,
    /// What it is.
    pub kind: ParameterKind,
    /// The value.
    pub value: Sealed,
    /// More than 4 KiB were allowed.
    #[serde(default)]
    pub advanced: bool,
    /// What people wrote of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Box<str>>,
    /// When it was put.
    pub at: Millis,
}

/// Something happened to a parameter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ParameterChange {
    /// A version was put; the oldest of many goes.
    Put(Box<ParameterVersion>),
    /// It was deleted with all of its versions.
    Deleted(Box<str>),
    /// What its tags are now.
    Tagged(Box<str>, Vec<Tag>),
}

/// Which row of these was touched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ParameterRow {
    /// A parameter.
    Parameter(Box<str>),
    /// A version of one.
    Version(Box<str>, u64),
}

/// The kinds of their rows.
pub(crate) const PARAMETER: &str = "parameter";
pub(crate) const PARAMETER_VERSION: &str = "parameter-version";

/// All parameters.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    all: BTreeMap<Box<str>, Parameter>,
    versions: BTreeMap<(Box<str>, u64), ParameterVersion>,
}

impl Parameters {
    /// The parameter of that name.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.all.get(name)
    }

    /// A version of one.
    pub fn version(&self, name: &str, number: u64) -> Option<&ParameterVersion> {
        self.versions.get(&(name.into(), number))
    }

    /// The newest version of one.
    pub fn newest(&self, name: &str) -> Option<&ParameterVersion> {
        self.version(name, self.get(name)?.version)
    }

    /// All versions of one that are kept, the oldest first.
    pub fn versions<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a ParameterVersion> + use<'a> {
        let range = self.versions.range((Box::from(name), 0)..=(Box::from(name), u64::MAX));
        range.map(|(_, version)| version)
    }

    /// Parameters by name, from the first not below `from`.
    pub fn from<'a>(&'a self, from: &str) -> impl Iterator<Item = &'a Parameter> + use<'a> {
        self.all.range(Box::from(from)..).map(|(_, parameter)| parameter)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn apply(&mut self, change: &ParameterChange) -> Vec<ParameterRow> {
        match change {
            ParameterChange::Put(version) => self.put(version),
            ParameterChange::Deleted(name) => {
                let numbers: Vec<u64> = self.versions(name).map(|version| version.number).collect();
                self.all.remove(name);
                let gone = numbers.into_iter().map(|number| self.forget(name, number));
                gone.chain([ParameterRow::Parameter(name.clone())]).collect()
            }
            ParameterChange::Tagged(name, tags) => match self.all.get_mut(name) {
                Some(parameter) => {
                    parameter.tags.clone_from(tags);
                    vec![ParameterRow::Parameter(name.clone())]
                }
                None => Vec::new(),
            },
        }
    }

    fn put(&mut self, version: &ParameterVersion) -> Vec<ParameterRow> {
        let name = version.name.clone();
        let made = Parameter { name: name.clone(), version: 0, tags: Vec::new() };
        self.all.entry(name.clone()).or_insert(made).version = version.number;
        self.versions.insert((name.clone(), version.number), version.clone());
        let over = self.versions(&name).count().saturating_sub(VERSIONS_MAX);
        let old: Vec<u64> = self.versions(&name).take(over).map(|version| version.number).collect();
        let gone = old.into_iter().map(|number| self.forget(&name, number)).collect::<Vec<_>>();
        let here = [ParameterRow::Version(name.clone(), version.number), ParameterRow::Parameter(name.clone())];
        gone.into_iter().chain(here).collect()
    }

    fn forget(&mut self, name: &str, number: u64) -> ParameterRow {
        self.versions.remove(&(name.into(), number));
        ParameterRow::Version(name.into(), number)
    }

    pub(crate) fn load(&mut self, parameter: Parameter) {
        self.all.insert(parameter.name.clone(), parameter);
    }

    pub(crate) fn load_version(&mut self, version: ParameterVersion) {
        self.versions.insert((version.name.clone(), version.number), version);
    }

    pub(crate) fn row(&self, row: &ParameterRow) -> Row {
        match row {
            ParameterRow::Parameter(name) => Row::of(PARAMETER, name.as_bytes(), self.all.get(name)),
            ParameterRow::Version(name, number) => {
                let key = [name.as_bytes(), b"\0", &number.to_be_bytes()].concat();
                Row::of(PARAMETER_VERSION, &key, self.version(name, *number))
            }
        }
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = ParameterRow> {
        let versions = self.versions.keys().cloned().map(|(name, number)| ParameterRow::Version(name, number));
        self.all.keys().cloned().map(ParameterRow::Parameter).chain(versions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(name: &str, number: u64) -> ParameterChange {
        ParameterChange::Put(Box::new(ParameterVersion {
            name: name.into(),
            number,
            kind: ParameterKind::String,
            value: Sealed::new(&[0; 16], &[0; 30]),
            advanced: false,
            description: None,
            at: number,
        }))
    }

    #[test]
    fn the_oldest_of_many_versions_goes_and_all_go_with_their_parameter() {
        let mut all = Parameters::default();
        for number in 1..=VERSIONS_MAX as u64 + 2 {
            all.apply(&version("/a", number));
        }
        all.apply(&version("/a0", 1));
        assert_eq!((all.versions("/a").count(), all.newest("/a").map(|v| v.number)), (VERSIONS_MAX, Some(102)));
        assert!(all.version("/a", 2).is_none() && all.version("/a", 3).is_some());
        assert_eq!(all.apply(&ParameterChange::Deleted("/a".into())).len(), VERSIONS_MAX + 1);
        assert!(all.get("/a").is_none() && all.versions("/a").next().is_none() && all.newest("/a0").is_some());
    }
}
