//! Roles, policies and instance profiles of Identity and Access Management.
//!
//! Nothing enforces a policy: every caller is the operator or a node, whose rights are fixed. Roles are recorded so that they
//! can be referenced, and read as they were written.

mod document;
mod managed;

pub use document::{Fits, check};
pub use managed::{ManagedPolicy, managed};

use crate::Millis;
use crate::cluster::Tag;
use crate::row::Row;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Unique without regard to case.
    pub name: Box<str>,
    /// Begins and ends with `/`.
    pub path: Box<str>,
    /// `AROA…`.
    pub id: Box<str>,
    /// When it was created.
    pub created_at: Millis,
    /// Who may assume it: a policy document, as it was written.
    pub trust: Box<str>,
    /// What people wrote of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Box<str>>,
    /// How long a session with it may last, in seconds.
    pub session_seconds: u32,
    /// Policy documents of its own, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inline: BTreeMap<Box<str>, Box<str>>,
    /// ARNs of policies that are attached.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub attached: BTreeSet<Box<str>>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

/// A version of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// 1, 2, 3 …
    pub number: u32,
    /// The document, as it was written.
    pub document: Box<str>,
    /// When it was created.
    pub created_at: Millis,
}

/// A policy that somebody made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Unique without regard to case.
    pub name: Box<str>,
    /// Begins and ends with `/`.
    pub path: Box<str>,
    /// `ANPA…`.
    pub id: Box<str>,
    /// When it was created.
    pub created_at: Millis,
    /// When a version came, went or became the default.
    pub updated_at: Millis,
    /// What people wrote of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Box<str>>,
    /// In order of their numbers; never empty.
    pub versions: Vec<PolicyVersion>,
    /// The number of the default version.
    pub default: u32,
    /// The number of the next version: none is used again.
    pub next: u32,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

/// An instance profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceProfile {
    /// Unique without regard to case.
    pub name: Box<str>,
    /// Begins and ends with `/`.
    pub path: Box<str>,
    /// `AIPA…`.
    pub id: Box<str>,
    /// When it was created.
    pub created_at: Millis,
    /// Its role's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Box<str>>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

/// Something happened to one of these.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum IamChange {
    /// A role was created or changed: what it is now.
    RolePut(Role),
    /// A role was deleted.
    RoleDeleted(Box<str>),
    /// A policy was created or changed: what it is now.
    PolicyPut(Policy),
    /// A policy was deleted.
    PolicyDeleted(Box<str>),
    /// An instance profile was created or changed: what it is now.
    InstanceProfilePut(InstanceProfile),
    /// An instance profile was deleted.
    InstanceProfileDeleted(Box<str>),
}

/// Which row of these was touched; names as keys have them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum IamRow {
    /// A role.
    Role(Box<str>),
    /// A policy.
    Policy(Box<str>),
    /// An instance profile.
    InstanceProfile(Box<str>),
}

/// The kinds of their rows.
pub(crate) const ROLE: &str = "role";
pub(crate) const POLICY: &str = "policy";
pub(crate) const INSTANCE_PROFILE: &str = "instance-profile";

/// All of them. Names are told apart without regard to case, so keys are in lower case.
#[derive(Clone, Debug, Default)]
pub struct Iam {
    roles: BTreeMap<Box<str>, Role>,
    policies: BTreeMap<Box<str>, Policy>,
    profiles: BTreeMap<Box<str>, InstanceProfile>,
    /// Which roles a policy is attached to, by its ARN.
    attachments: BTreeSet<(Box<str>, Box<str>)>,
    /// Which profiles have a role.
    role_profiles: BTreeSet<(Box<str>, Box<str>)>,
}

/// The key of a name.
fn key(name: &str) -> Box<str> {
    name.to_ascii_lowercase().into()
}

impl Iam {
    /// The role of that name.
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.get(&key(name))
    }

    /// The policy of that name.
    pub fn policy(&self, name: &str) -> Option<&Policy> {
        self.policies.get(&key(name))
    }

    /// The instance profile of that name.
    pub fn profile(&self, name: &str) -> Option<&InstanceProfile> {
        self.profiles.get(&key(name))
    }

    /// All roles, by name.
    pub fn roles(&self) -> impl ExactSizeIterator<Item = &Role> {
        self.roles.values()
    }

    /// All policies that somebody made, by name.
    pub fn policies(&self) -> impl ExactSizeIterator<Item = &Policy> {
        self.policies.values()
    }

    /// All instance profiles, by name.
    pub fn profiles(&self) -> impl ExactSizeIterator<Item = &InstanceProfile> {
        self.profiles.values()
    }

    /// Roles that a policy is attached to.
    pub fn attached_roles<'a>(&'a self, arn: &'a str) -> impl Iterator<Item = &'a Role> {
        let from = self.attachments.range((Box::from(arn), Box::from(""))..);
        from.take_while(move |(policy, _)| **policy == *arn).map(|(_, role)| &self.roles[role])
    }

    /// Instance profiles that have a role.
    pub fn profiles_of<'a>(&'a self, role: &str) -> impl Iterator<Item = &'a InstanceProfile> + use<'a> {
        let role = key(role);
        let from = self.role_profiles.range((role.clone(), Box::from(""))..);
        from.take_while(move |(owner, _)| *owner == role).map(|(_, profile)| &self.profiles[profile])
    }

    pub(crate) fn apply(&mut self, change: &IamChange) -> IamRow {
        match change {
            IamChange::RolePut(role) => self.put_role(role.clone()),
            IamChange::RoleDeleted(name) => self.remove_role(name),
            IamChange::PolicyPut(policy) => {
                self.policies.insert(key(&policy.name), policy.clone());
                IamRow::Policy(key(&policy.name))
            }
            IamChange::PolicyDeleted(name) => {
                self.policies.remove(&key(name));
                IamRow::Policy(key(name))
            }
            IamChange::InstanceProfilePut(profile) => self.put_profile(profile.clone()),
            IamChange::InstanceProfileDeleted(name) => self.remove_profile(name),
        }
    }

    fn put_role(&mut self, role: Role) -> IamRow {
        let key = key(&role.name);
        self.remove_role(&key);
        self.attachments.extend(role.attached.iter().map(|arn| (arn.clone(), key.clone())));
        self.roles.insert(key.clone(), role);
        IamRow::Role(key)
    }

    fn remove_role(&mut self, name: &str) -> IamRow {
        let key = key(name);
        if let Some(old) = self.roles.remove(&key) {
            for arn in old.attached {
                self.attachments.remove(&(arn, key.clone()));
            }
        }
        IamRow::Role(key)
    }

    fn put_profile(&mut self, profile: InstanceProfile) -> IamRow {
        let name = key(&profile.name);
        self.remove_profile(&name);
        self.role_profiles.extend(profile.role.as_deref().map(|role| (key(role), name.clone())));
        self.profiles.insert(name.clone(), profile);
        IamRow::InstanceProfile(name)
    }

    fn remove_profile(&mut self, name: &str) -> IamRow {
        let name = key(name);
        if let Some(role) = self.profiles.remove(&name).and_then(|old| old.role) {
            self.role_profiles.remove(&(key(&role), name.clone()));
        }
        IamRow::InstanceProfile(name)
    }

    pub(crate) fn load_role(&mut self, role: Role) {
        self.put_role(role);
    }

    pub(crate) fn load_policy(&mut self, policy: Policy) {
        self.policies.insert(key(&policy.name), policy);
    }

    pub(crate) fn load_profile(&mut self, profile: InstanceProfile) {
        self.put_profile(profile);
    }

    pub(crate) fn row(&self, row: &IamRow) -> Row {
        match row {
            IamRow::Role(name) => Row::of(ROLE, name.as_bytes(), self.roles.get(name)),
            IamRow::Policy(name) => Row::of(POLICY, name.as_bytes(), self.policies.get(name)),
            IamRow::InstanceProfile(name) => Row::of(INSTANCE_PROFILE, name.as_bytes(), self.profiles.get(name)),
        }
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = IamRow> {
        let roles = self.roles.keys().cloned().map(IamRow::Role);
        let policies = self.policies.keys().cloned().map(IamRow::Policy);
        roles.chain(policies).chain(self.profiles.keys().cloned().map(IamRow::InstanceProfile))
    }
}

/// A fresh id as IAM makes them: four letters that say of what, then seventeen of thirty-two symbols.
pub fn id(kind: &str, bytes: [u8; 16]) -> Box<str> {
    const SYMBOLS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits = u128::from_be_bytes(bytes);
    let symbol = |at: u32| char::from(SYMBOLS[(bits >> (5 * at)) as usize & 31]);
    kind.chars().chain((0..17).map(symbol)).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str, attached: &[&str]) -> Role {
        Role {
            name: name.into(),
            path: "/".into(),
            id: id("AROA", [7; 16]),
            created_at: 1,
            trust: "{}".into(),
            description: None,
            session_seconds: 3600,
            inline: BTreeMap::new(),
            attached: attached.iter().map(|arn| Box::from(*arn)).collect(),
            tags: Vec::new(),
        }
    }

    #[test]
    fn attachments_follow_their_roles_and_names_ignore_case() {
        let mut iam = Iam::default();
        iam.apply(&IamChange::RolePut(role("Web", &["a", "b"])));
        iam.apply(&IamChange::RolePut(role("job", &["a"])));
        let names =
            |iam: &Iam, arn: &str| iam.attached_roles(arn).map(|role| role.name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(&iam, "a"), ["job", "Web"]);
        iam.apply(&IamChange::RolePut(role("Web", &["b"])));
        assert_eq!((names(&iam, "a"), names(&iam, "b")), (vec!["job".to_owned()], vec!["Web".to_owned()]));
        iam.apply(&IamChange::RoleDeleted("JOB".into()));
        assert!(names(&iam, "a").is_empty() && iam.role("job").is_none() && iam.role("web").is_some());
    }

    #[test]
    fn ids_have_twenty_one_symbols() {
        let one = id("AROA", [1; 16]);
        assert!(one.len() == 21 && one.starts_with("AROA") && one != id("AROA", [2; 16]));
    }
}
