//! Secrets of Secrets Manager. Values are sealed; each version is a row of its own.

use crate::Millis;
use crate::cluster::Tag;
use crate::row::Row;
use crate::sealed::Sealed;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The stage of the version that is meant when none is named.
pub const CURRENT: &str = "AWSCURRENT";
/// The stage of the version that was current before.
pub const PREVIOUS: &str = "AWSPREVIOUS";
/// Versions without a stage that are kept of a secret (Secrets Manager keeps about 100 in all).
const OLD_MAX: usize = 98;

/// A secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Its name.
    pub name: Box<str>,
    /// The six characters at the end of its ARN.
    pub suffix: Box<str>,
    /// What people wrote of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Box<str>>,
    /// When it was created.
    pub created_at: Millis,
    /// When it or its value was changed.
    pub changed_at: Millis,
    /// When its deletion was asked for, and when it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<(Millis, Millis)>,
    /// Versions by stage.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stages: BTreeMap<Box<str>, Box<str>>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

/// A version of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretVersion {
    /// Whose.
    pub name: Box<str>,
    /// The token of the request that made it.
    pub id: Box<str>,
    /// The value.
    pub value: Sealed,
    /// The value is bytes, not text.
    #[serde(default)]
    pub binary: bool,
    /// When it was made.
    pub created_at: Millis,
}

/// Something happened to a secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum SecretChange {
    /// It was created or changed: what it is now, without its versions.
    Put(Box<Secret>),
    /// A version was made; it gets stages with what follows.
    VersionPut(Box<SecretVersion>),
    /// It is gone, with its versions.
    Deleted(Box<str>),
}

/// Which row of these was touched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SecretRow {
    /// A secret.
    Secret(Box<str>),
    /// A version of one.
    Version(Box<str>, Box<str>),
}

/// The kinds of their rows.
pub(crate) const SECRET: &str = "secret";
pub(crate) const SECRET_VERSION: &str = "secret-version";

/// All secrets.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    all: BTreeMap<Box<str>, Secret>,
    versions: BTreeMap<(Box<str>, Box<str>), SecretVersion>,
    /// When those whose deletion was asked for go.
    deletions: BTreeSet<(Millis, Box<str>)>,
}

impl Secret {
    /// The stages of a version.
    pub fn stages_of(&self, id: &str) -> Vec<String> {
        let stages = self.stages.iter().filter(|(_, version)| ***version == *id);
        stages.map(|(stage, _)| stage.to_string()).collect()
    }

    /// Gives a stage to a version; the version that loses AWSCURRENT is AWSPREVIOUS from now on.
    pub fn stage(&mut self, stage: &str, id: &str) {
        let before = self.stages.insert(stage.into(), id.into());
        if let Some(before) = before.filter(|before| stage == CURRENT && **before != *id) {
            self.stages.insert(PREVIOUS.into(), before);
        }
    }
}

impl Secrets {
    /// The secret of that name, to be deleted or not.
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.all.get(name)
    }

    /// A version of one.
    pub fn version(&self, name: &str, id: &str) -> Option<&SecretVersion> {
        self.versions.get(&(name.into(), id.into()))
    }

    /// All versions of one.
    pub fn versions<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a SecretVersion> + use<'a> {
        let from = self.versions.range((Box::from(name), Box::from(""))..);
        from.take_while(move |((owner, _), _)| **owner == *name).map(|(_, version)| version)
    }

    /// All secrets, by name.
    pub fn all(&self) -> impl ExactSizeIterator<Item = &Secret> {
        self.all.values()
    }

    /// Secrets that are to be gone at `now`.
    pub fn expired(&self, now: Millis) -> impl Iterator<Item = Box<str>> {
        self.deletions.iter().take_while(move |(at, _)| *at <= now).map(|(_, name)| name.clone())
    }

    /// When the next one goes.
    pub fn next_expiry(&self) -> Option<Millis> {
        self.deletions.first().map(|(at, _)| *at)
    }

    pub(crate) fn apply(&mut self, change: &SecretChange) -> Vec<SecretRow> {
        match change {
            SecretChange::Put(secret) => {
                let name = secret.name.clone();
                self.put((**secret).clone());
                let gone = self.trim(&name);
                gone.into_iter().chain([SecretRow::Secret(name)]).collect()
            }
            SecretChange::VersionPut(version) => {
                self.put_version((**version).clone());
                vec![SecretRow::Version(version.name.clone(), version.id.clone())]
            }
            SecretChange::Deleted(name) => {
                let ids: Vec<Box<str>> = self.versions(name).map(|version| version.id.clone()).collect();
                if let Some((_, at)) = self.all.remove(name).and_then(|old| old.deleted) {
                    self.deletions.remove(&(at, name.clone()));
                }
                let gone = ids.into_iter().map(|id| self.forget(name, id));
                gone.chain([SecretRow::Secret(name.clone())]).collect()
            }
        }
    }

    pub(crate) fn put(&mut self, secret: Secret) {
        let name = secret.name.clone();
        if let Some((_, at)) = self.all.get(&name).and_then(|old| old.deleted) {
            self.deletions.remove(&(at, name.clone()));
        }
        self.deletions.extend(secret.deleted.map(|(_, at)| (at, name.clone())));
        self.all.insert(name, secret);
    }

    pub(crate) fn put_version(&mut self, version: SecretVersion) {
        self.versions.insert((version.name.clone(), version.id.clone()), version);
    }

    /// Drops the oldest of too many versions without a stage.
    fn trim(&mut self, name: &str) -> Vec<SecretRow> {
        let Some(secret) = self.all.get(name) else { return Vec::new() };
        let staged: BTreeSet<&str> = secret.stages.values().map(|id| &**id).collect();
        let old = self.versions(name).filter(|version| !staged.contains(&*version.id));
        let mut old: Vec<(Millis, Box<str>)> = old.map(|version| (version.created_at, version.id.clone())).collect();
        old.sort_unstable();
        let over = old.len().saturating_sub(OLD_MAX);
        old.into_iter().take(over).map(|(_, id)| self.forget(name, id)).collect()
    }

    fn forget(&mut self, name: &str, id: Box<str>) -> SecretRow {
        self.versions.remove(&(name.into(), id.clone()));
        SecretRow::Version(name.into(), id)
    }

    pub(crate) fn row(&self, row: &SecretRow) -> Row {
        match row {
            SecretRow::Secret(name) => Row::of(SECRET, name.as_bytes(), self.all.get(name)),
            SecretRow::Version(name, id) => {
                let key = [name.as_bytes(), b"\0", id.as_bytes()].concat();
                Row::of(SECRET_VERSION, &key, self.version(name, id))
            }
        }
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = SecretRow> {
        let versions = self.versions.keys().cloned().map(|(name, id)| SecretRow::Version(name, id));
        self.all.keys().cloned().map(SecretRow::Secret).chain(versions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &str) -> Secret {
        Secret {
            name: name.into(),
            suffix: "aBcDeF".into(),
            description: None,
            created_at: 1,
            changed_at: 1,
            deleted: None,
            stages: BTreeMap::new(),
            tags: Vec::new(),
        }
    }

    #[test]
    fn stages_move_and_what_has_none_goes_in_time() {
        let mut all = Secrets::default();
        let mut one = secret("a");
        for number in 0..120u64 {
            let id: Box<str> = format!("v{number:03}").into();
            let value = Sealed::new(&[0; 16], &[0; 30]);
            let version = SecretVersion { name: "a".into(), id: id.clone(), value, binary: false, created_at: number };
            all.apply(&SecretChange::VersionPut(Box::new(version)));
            one.stage(CURRENT, &id);
            all.apply(&SecretChange::Put(Box::new(one.clone())));
        }
        assert_eq!(all.versions("a").count(), OLD_MAX + 2);
        assert_eq!((one.stages_of("v119"), one.stages_of("v118")), (vec![CURRENT.into()], vec![PREVIOUS.into()]));
        assert!(all.version("a", "v019").is_none() && all.version("a", "v020").is_some());
    }

    #[test]
    fn deletions_are_due_until_they_are_taken_back() {
        let mut all = Secrets::default();
        let mut one = secret("a");
        one.deleted = Some((5, 10));
        all.apply(&SecretChange::Put(Box::new(one.clone())));
        assert_eq!((all.next_expiry(), all.expired(9).count(), all.expired(10).count()), (Some(10), 0, 1));
        one.deleted = None;
        all.apply(&SecretChange::Put(Box::new(one)));
        assert_eq!(all.next_expiry(), None);
    }
}
