//! What carries tags. One place to read and to write them, whatever carries them.

use crate::cluster::Tag;
use crate::ids::{ClusterId, InstanceId, RevisionId, ServiceId, TaskId};
use crate::state::{State, Touched};
use serde::{Deserialize, Serialize};

/// Something with tags.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Tagged {
    /// A cluster.
    Cluster(ClusterId),
    /// A capacity provider, by name.
    CapacityProvider(Box<str>),
    /// A task definition.
    Definition(RevisionId),
    /// A definition of managed daemons, by family and revision.
    DaemonDefinition(Box<str>, u32),
    /// A container instance.
    Instance(InstanceId),
    /// A service.
    Service(ServiceId),
    /// A task set, by its number within the service.
    TaskSet(ServiceId, u64),
    /// A task.
    Task(TaskId),
}

impl State {
    /// Its tags; `None`: there is no such thing.
    pub fn tags_of(&self, on: &Tagged) -> Option<&[Tag]> {
        let tags = match on {
            Tagged::Cluster(id) => &self.clusters.get(id)?.tags,
            Tagged::CapacityProvider(name) => &self.capacity_providers.get(name)?.tags,
            Tagged::Definition(id) => &self.definitions.get(id)?.tags,
            Tagged::DaemonDefinition(family, revision) => {
                &self.daemon_definitions.get(&(family.clone(), *revision))?.tags
            }
            Tagged::Instance(id) => &self.instances.get(id)?.tags,
            Tagged::Service(id) => &self.services.get(id)?.tags,
            Tagged::TaskSet(id, number) => {
                let sets = &self.services.get(id)?.deployments;
                &sets.iter().find(|set| set.number == *number)?.set.as_ref()?.tags
            }
            Tagged::Task(id) => &self.tasks.get(id)?.tags,
        };
        Some(tags)
    }

    /// Writes them.
    pub(crate) fn put_tags(&mut self, on: &Tagged, tags: &[Tag]) -> Vec<Touched> {
        let place = match on {
            Tagged::Cluster(id) => self.clusters.get_mut(id).map(|cluster| (&mut cluster.tags, Touched::Cluster(*id))),
            Tagged::CapacityProvider(name) => {
                let provider = self.capacity_providers.get_mut(name);
                provider.map(|provider| (&mut provider.tags, Touched::CapacityProvider(name.clone())))
            }
            Tagged::Definition(id) => {
                self.definitions.get_mut(id).map(|definition| (&mut definition.tags, Touched::Definition(*id)))
            }
            Tagged::DaemonDefinition(family, revision) => {
                let known = self.daemon_definitions.get_mut(&(family.clone(), *revision));
                known.map(|known| (&mut known.tags, Touched::DaemonDefinition(family.clone(), *revision)))
            }
            Tagged::Instance(id) => {
                self.instances.get_mut(id).map(|instance| (&mut instance.tags, Touched::Instance(*id)))
            }
            Tagged::Service(id) => self.services.get_mut(id).map(|service| (&mut service.tags, Touched::Service(*id))),
            Tagged::TaskSet(id, number) => self.services.get_mut(id).and_then(|service| {
                let set = service.set_mut(*number)?.0.set.as_mut()?;
                Some((&mut set.tags, Touched::Service(*id)))
            }),
            Tagged::Task(id) => self.tasks.get_mut(id).map(|task| (&mut task.tags, Touched::Task(*id))),
        };
        let Some((place, touched)) = place else { return Vec::new() };
        *place = tags.to_vec();
        vec![touched]
    }
}
