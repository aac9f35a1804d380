//! Which rows have tags that are shown, and which tags there are: what the Resource Groups Tagging API asks. A task without
//! tags, as most are, costs one look.

use super::{State, Touched};
use crate::cluster::Tag;
use crate::iam::IamRow;
use crate::parameter::ParameterRow;
use crate::secret::SecretRow;
use crate::service::ServiceStatus;
use crate::task::TaskStatus;
use crate::task_set::TaskSetStatus;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

/// Tags by row and by text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TagIndex {
    rows: BTreeMap<Touched, Vec<Arc<Tag>>>,
    /// How many resources have it.
    known: BTreeMap<Arc<Tag>, u32>,
}

impl TagIndex {
    fn take(&mut self, tag: &Tag) -> Arc<Tag> {
        if let Some((known, _)) = self.known.get_key_value(tag) {
            let known = known.clone();
            *self.known.entry(known.clone()).or_default() += 1;
            return known;
        }
        let new = Arc::new(tag.clone());
        self.known.insert(new.clone(), 1);
        new
    }

    fn leave(&mut self, tag: &Tag) {
        if let Some(count) = self.known.get_mut(tag) {
            *count -= 1;
            if *count == 0 {
                self.known.remove(tag);
            }
        }
    }
}

impl State {
    /// Shows what has tags in a row and is not over: a service may have task sets that have some too, by their numbers.
    pub fn each_tagged<'a>(&'a self, row: &Touched, mut see: impl FnMut(Option<u64>, &'a [Tag])) {
        let mut one = |tags: Option<&'a [Tag]>| {
            if let Some(tags) = tags.filter(|tags| !tags.is_empty()) {
                see(None, tags);
            }
        };
        match row {
            Touched::Cluster(id) => one(self.clusters.get(id).filter(|known| known.active).map(|known| &*known.tags)),
            Touched::CapacityProvider(name) => {
                one(self.capacity_providers.get(name).filter(|known| known.active).map(|known| &*known.tags));
            }
            Touched::Definition(id) => {
                one(self.definitions.get(id).filter(|known| known.active).map(|known| &*known.tags));
            }
            Touched::DaemonDefinition(family, revision) => {
                let known = self.daemon_definitions.get(&(family.clone(), *revision));
                one(known.filter(|known| known.deleted_at.is_none()).map(|known| &*known.tags));
            }
            Touched::Instance(id) => {
                one(self.instances.get(id).filter(|known| known.is_registered()).map(|known| &*known.tags));
            }
            Touched::Service(id) => {
                let known = self.services.get(id).filter(|known| known.status != ServiceStatus::Inactive);
                one(known.map(|known| &*known.tags));
                let sets = known.into_iter().flat_map(|known| &known.deployments);
                for deployment in sets.filter(|deployment| !deployment.is_set(TaskSetStatus::Draining)) {
                    if let Some(set) = deployment.set.as_ref().filter(|set| !set.tags.is_empty()) {
                        see(Some(deployment.number), &set.tags);
                    }
                }
            }
            Touched::Task(id) => {
                one(self.tasks.get(id).filter(|known| known.status != TaskStatus::Stopped).map(|known| &*known.tags));
            }
            Touched::Iam(IamRow::Role(name)) => one(self.iam.role(name).map(|known| &*known.tags)),
            Touched::Iam(IamRow::Policy(name)) => one(self.iam.policy(name).map(|known| &*known.tags)),
            Touched::Iam(IamRow::InstanceProfile(name)) => one(self.iam.profile(name).map(|known| &*known.tags)),
            Touched::Parameter(ParameterRow::Parameter(name)) => {
                one(self.parameters.get(name).map(|known| &*known.tags));
            }
            Touched::Secret(SecretRow::Secret(name)) => {
                one(self.secrets.get(name).filter(|known| known.deleted.is_none()).map(|known| &*known.tags));
            }
            _ => {}
        }
    }

    /// The ARN of what [`State::each_tagged`] shows.
    pub fn arn_of_tagged(&self, row: &Touched, set: Option<u64>) -> Option<String> {
        let scope = self.scope();
        let cluster = |id| self.clusters.get(&id).map_or("", |cluster| &*cluster.name);
        Some(match row {
            Touched::Cluster(id) => scope.cluster(cluster(*id)),
            Touched::CapacityProvider(name) => scope.capacity_provider(name),
            Touched::Definition(id) => scope.task_definition(&self.families.get(&id.family)?.name, id.revision),
            Touched::DaemonDefinition(family, revision) => scope.daemon_definition(family, *revision),
            Touched::Instance(id) => scope.instance(cluster(self.instances.get(id)?.cluster), *id),
            Touched::Service(id) => {
                let known = self.services.get(id)?;
                match set {
                    None => scope.service(cluster(known.cluster), &known.name),
                    Some(number) => scope.task_set(cluster(known.cluster), &known.name, number),
                }
            }
            Touched::Task(id) => scope.task(cluster(self.tasks.get(id)?.cluster), *id),
            Touched::Iam(IamRow::Role(name)) => {
                let known = self.iam.role(name)?;
                scope.iam("role", &known.path, &known.name)
            }
            Touched::Iam(IamRow::Policy(name)) => {
                let known = self.iam.policy(name)?;
                scope.iam("policy", &known.path, &known.name)
            }
            Touched::Iam(IamRow::InstanceProfile(name)) => {
                let known = self.iam.profile(name)?;
                scope.iam("instance-profile", &known.path, &known.name)
            }
            Touched::Parameter(ParameterRow::Parameter(name)) => scope.parameter(name),
            Touched::Secret(SecretRow::Secret(name)) => scope.secret(name, &self.secrets.get(name)?.suffix),
            _ => return None,
        })
    }

    /// The rows with tags that are shown, from `from` on.
    pub fn tagged_from(&self, from: Option<&Touched>) -> impl Iterator<Item = &Touched> {
        let from = from.map_or(Unbounded, Included);
        self.index.tags.rows.range((from, Unbounded)).map(|(row, _)| row)
    }

    /// The keys of all tags that are shown, after `after`.
    pub fn tag_keys_after(&self, after: Option<&str>) -> impl Iterator<Item = &str> {
        // No text stands between another and the same with a zero behind it.
        let behind = |key: &str| Tag { key: format!("{key}\0").into(), value: "".into() };
        let first = after.map_or(Tag { key: "".into(), value: "".into() }, behind);
        let next = move |from: Tag| self.index.tags.known.range(from..).next().map(|(tag, _)| &*tag.key);
        std::iter::successors(next(first), move |key| next(behind(key)))
    }

    /// The values of a key, after `after`.
    pub fn tag_values_after<'a>(&'a self, key: &'a str, after: Option<&str>) -> impl Iterator<Item = &'a str> {
        let at = |value: &str| Tag { key: key.into(), value: value.into() };
        let from = after.map_or_else(|| Included(at("")), |value| Excluded(at(value)));
        let known = self.index.tags.known.range((from, Unbounded)).map(|(tag, _)| tag);
        known.take_while(move |tag| *tag.key == *key).map(|tag| &*tag.value)
    }

    /// Lists a row under the tags it has now.
    pub(super) fn retag(&mut self, row: &Touched) {
        let mut new: Vec<&Tag> = Vec::new();
        self.each_tagged(row, |_, tags| new.extend(tags));
        let old = self.index.tags.rows.get(row);
        if old.map_or(new.is_empty(), |old| old.iter().map(|tag| &**tag).eq(new.iter().copied())) {
            return;
        }
        let new: Vec<Tag> = new.into_iter().cloned().collect();
        let index = &mut self.index.tags;
        // Taken before the old are left: what stays is not made again.
        let taken: Vec<Arc<Tag>> = new.iter().map(|tag| index.take(tag)).collect();
        for tag in index.rows.remove(row).unwrap_or_default() {
            index.leave(&tag);
        }
        if !taken.is_empty() {
            index.rows.insert(row.clone(), taken);
        }
    }

    /// Lists all rows, which have been loaded.
    pub(crate) fn retag_all(&mut self) {
        for row in self.all_rows() {
            self.retag(&row);
        }
    }
}
