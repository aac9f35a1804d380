//! Groups of tasks, as strategies and `task:group` see them: a service's tasks, those of a named group, those of a family.
//! Only tasks that are wanted RUNNING count: one that stops makes place for the next, as on AWS.

use crate::ids::{ClusterId, FamilyId, InstanceId, ServiceId};
use crate::state::State;
use crate::task::Task;

/// A group of tasks of one cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Those of a service, `service:<name>`.
    Service(ServiceId),
    /// Those that were given no group, `family:<family>`.
    Family(FamilyId),
    /// Those of a request that named one.
    Named(Box<str>),
}

impl Group {
    /// The group of a task.
    pub fn of(task: &Task) -> Self {
        match (task.service, &task.group) {
            (Some(membership), _) => Self::Service(membership.service),
            (None, Some(name)) => Self::Named(name.clone()),
            (None, None) => Self::Family(task.definition.family),
        }
    }
}

impl State {
    /// Instances with tasks of a group, and how many.
    pub fn group_instances(&self, cluster: ClusterId, group: &Group) -> impl Iterator<Item = (InstanceId, u32)> {
        let (first, last) = (InstanceId([0; 16]), InstanceId([0xff; 16]));
        let range = (cluster, group.clone(), first)..=(cluster, group.clone(), last);
        self.index.group_instances.range(range).map(|((.., instance), count)| (*instance, *count))
    }

    /// Tasks of a group on an instance.
    pub fn group_count(&self, cluster: ClusterId, group: Group, instance: InstanceId) -> u32 {
        self.index.group_instances.get(&(cluster, group, instance)).copied().unwrap_or(0)
    }

    /// Tasks of a group with an interface in a subnet.
    pub fn group_subnet_count(&self, cluster: ClusterId, group: Group, subnet: u8) -> u32 {
        self.index.group_subnets.get(&(cluster, group, subnet)).copied().unwrap_or(0)
    }

    /// The name of a group.
    pub fn group_name(&self, group: &Group) -> String {
        match group {
            Group::Service(id) => format!("service:{}", self.services.get(id).map_or("", |service| &service.name)),
            Group::Family(id) => format!("family:{}", self.families.get(id).map_or("", |family| &family.name)),
            Group::Named(name) => name.to_string(),
        }
    }

    /// Whether a task of the group of that name is on an instance. A request may name the group of a family too.
    pub fn has_group(&self, cluster: ClusterId, instance: InstanceId, name: &str) -> bool {
        let service = name.strip_prefix("service:").and_then(|name| self.service_named(cluster, name));
        let family = name.strip_prefix("family:").and_then(|name| self.family_named(name));
        let groups = [
            service.map(|service| Group::Service(service.id)),
            family.map(|family| Group::Family(family.id)),
            Some(Group::Named(name.into())),
        ];
        groups.into_iter().flatten().any(|group| self.group_count(cluster, group, instance) > 0)
    }
}
