//! Lists of tasks by what they have in common, in the order of ids. A list by several things at once goes through all
//! their indexes together, from each to the next id that may be in all, so that it costs what the narrowest holds.

use super::State;
use super::keys::{Shelf, starter};
use crate::ids::{ClusterId, FamilyId, InstanceId, ServiceId, TaskId};
use crate::task::{Desired, LaunchType, Task};

const FIRST: TaskId = TaskId([0; 16]);
const ALL: [Shelf; 3] = [Shelf::Wanted, Shelf::Stopping, Shelf::Stopped];
const LIVE: [Shelf; 2] = [Shelf::Wanted, Shelf::Stopping];

/// Which tasks are listed: those of a cluster to which all that is said applies.
#[derive(Clone, Copy, Debug)]
pub struct TaskFilter<'a> {
    /// Their cluster.
    pub cluster: ClusterId,
    /// What is wanted of them.
    pub desired: Option<Desired>,
    /// What they are made from.
    pub family: Option<FamilyId>,
    /// Where they are.
    pub instance: Option<InstanceId>,
    /// Whose they are.
    pub service: Option<ServiceId>,
    /// Who started them, as it is shown.
    pub started_by: Option<&'a str>,
    /// How they were asked for.
    pub launch_type: Option<LaunchType>,
}

impl TaskFilter<'_> {
    /// All tasks of a cluster.
    pub fn of(cluster: ClusterId) -> Self {
        let (family, instance, service) = (None, None, None);
        Self { cluster, desired: None, family, instance, service, started_by: None, launch_type: None }
    }
}

/// One key of one index.
#[derive(Clone, Copy, Debug)]
enum List {
    Cluster(ClusterId, LaunchType),
    Family(ClusterId, FamilyId),
    Starter(ClusterId, u64),
    Instance(InstanceId),
    Service(ServiceId),
}

impl State {
    /// The tasks that pass a filter, by id, after `after`.
    pub fn tasks_where<'a>(&'a self, filter: TaskFilter<'a>, after: Option<TaskId>) -> impl Iterator<Item = &'a Task> {
        let cluster = filter.cluster;
        let kinds =
            |kinds: &[LaunchType]| -> Vec<List> { kinds.iter().map(|kind| List::Cluster(cluster, *kind)).collect() };
        let mut lists: Vec<Vec<List>> = Vec::new();
        lists.extend(filter.service.map(|id| vec![List::Service(id)]));
        lists.extend(filter.instance.map(|id| vec![List::Instance(id)]));
        lists.extend(filter.started_by.map(|by| vec![List::Starter(cluster, starter(by))]));
        lists.extend(filter.family.map(|id| vec![List::Family(cluster, id)]));
        lists.extend(filter.launch_type.map(|kind| kinds(&[kind])));
        if lists.is_empty() {
            lists.push(kinds(&[LaunchType::Ec2, LaunchType::Fargate, LaunchType::External]));
        }
        let shelves: &[Shelf] = match filter.desired {
            None => &ALL,
            Some(Desired::Running) => &[Shelf::Wanted],
            Some(Desired::Stopped) => &[Shelf::Stopping, Shelf::Stopped],
        };
        let mut from = match after {
            None => Some(FIRST),
            Some(id) => following(id),
        };
        let tasks = std::iter::from_fn(move || {
            let found = self.common(&lists, shelves, from?);
            from = found.and_then(following);
            found
        });
        let fits = move |task: &&Task| {
            // Numbers of two texts may be the same. What names an instance or a service of another cluster finds nothing.
            task.cluster == cluster && filter.started_by.is_none_or(|by| task.shown_started_by().as_deref() == Some(by))
        };
        tasks.map(|id| &self.tasks[&id]).filter(fits)
    }

    /// The first id from `from` on that is in all lists.
    fn common(&self, lists: &[Vec<List>], shelves: &[Shelf], from: TaskId) -> Option<TaskId> {
        let mut at = from;
        loop {
            let began = at;
            for list in lists {
                let places = list.iter().flat_map(|list| shelves.iter().map(|shelf| (*list, *shelf)));
                at = places.filter_map(|(list, shelf)| self.next_in(list, shelf, at)).min()?;
            }
            if at == began || lists.len() == 1 {
                return Some(at);
            }
        }
    }

    fn next_in(&self, list: List, shelf: Shelf, from: TaskId) -> Option<TaskId> {
        let index = &self.index;
        match list {
            List::Cluster(cluster, kind) => index.cluster_tasks.next(&(cluster, kind, shelf), from),
            List::Family(cluster, family) => index.family_tasks.next(&(cluster, family, shelf), from),
            List::Starter(cluster, number) => index.starter_tasks.next(&(cluster, number, shelf), from),
            List::Instance(instance) => index.instance_tasks.next(&(instance, shelf), from),
            List::Service(service) => index.service_tasks.next(&(service, shelf), from),
        }
    }

    /// The tasks of a cluster by id, after `after`.
    pub fn cluster_tasks(&self, cluster: ClusterId, after: Option<TaskId>) -> impl Iterator<Item = &Task> {
        self.tasks_where(TaskFilter::of(cluster), after)
    }

    /// The tasks of an instance: those wanted RUNNING, those that stop, those that have stopped.
    pub fn instance_tasks(&self, instance: InstanceId) -> impl Iterator<Item = &Task> {
        ALL.iter().flat_map(move |shelf| self.index.instance_tasks.of(&(instance, *shelf))).map(|id| &self.tasks[id])
    }

    /// Those of them that are not STOPPED.
    pub fn live_instance_tasks(&self, instance: InstanceId) -> impl Iterator<Item = &Task> {
        LIVE.iter().flat_map(move |shelf| self.index.instance_tasks.of(&(instance, *shelf))).map(|id| &self.tasks[id])
    }

    /// The tasks of a service, in the same order.
    pub fn service_tasks(&self, service: ServiceId) -> impl Iterator<Item = &Task> {
        ALL.iter().flat_map(move |shelf| self.index.service_tasks.of(&(service, *shelf))).map(|id| &self.tasks[id])
    }

    /// Those of them that are not STOPPED.
    pub fn live_service_tasks(&self, service: ServiceId) -> impl Iterator<Item = &Task> + Clone {
        LIVE.iter().flat_map(move |shelf| self.index.service_tasks.of(&(service, *shelf))).map(|id| &self.tasks[id])
    }

    /// The same of one deployment.
    pub fn live_deployment_tasks(&self, service: ServiceId, number: u64) -> impl Iterator<Item = &Task> + Clone {
        let of_it = move |task: &&Task| task.service.is_some_and(|member| member.deployment == number);
        self.live_service_tasks(service).filter(of_it)
    }
}

/// The next id.
fn following(id: TaskId) -> Option<TaskId> {
    u128::from_be_bytes(id.0).checked_add(1).map(|next| TaskId(next.to_be_bytes()))
}
