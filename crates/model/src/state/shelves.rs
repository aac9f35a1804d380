//! Services and container instances as they are listed: by what they are filtered by, so that a page passes by none that it
//! does not show, wherever it begins.

use super::State;
use crate::ids::{ClusterId, InstanceId};
use crate::instance::{Instance, InstanceStatus};
use crate::service::{Service, ServiceStatus};
use crate::task::LaunchType;
use std::ops::Bound::{Excluded, Included, Unbounded};

/// Which services are listed together: DAEMON or not, and the launch type that is shown, if one is.
pub(crate) type ServiceShelf = (bool, Option<LaunchType>);

const SHOWN: [Option<LaunchType>; 4] =
    [None, Some(LaunchType::Ec2), Some(LaunchType::Fargate), Some(LaunchType::External)];

/// Where a service is listed; an INACTIVE one is not.
fn shelf(service: &Service) -> Option<(ClusterId, ServiceShelf)> {
    let made = !service.external || service.primary().is_some();
    let shown = (made && service.strategy.is_empty()).then_some(service.launch_type);
    (service.status != ServiceStatus::Inactive).then_some((service.cluster, (service.daemon, shown)))
}

/// Whether two states of a service are listed in the same place.
pub(super) fn is_listed_alike(old: &Service, new: &Service) -> bool {
    shelf(old) == shelf(new) && old.name == new.name
}

impl State {
    /// Lists a service where `new` belongs and takes it from where `old` was.
    pub(super) fn list_service(&mut self, old: Option<&Service>, new: Option<&Service>) {
        let named = |service: &Service| Some((shelf(service)?, service.name.clone()));
        if let Some((shelf, name)) = old.and_then(named)
            && let Some(names) = self.index.listed_services.get_mut(&shelf)
        {
            names.remove(&name);
            if names.is_empty() {
                self.index.listed_services.remove(&shelf);
            }
        }
        if let Some((shelf, name)) = new.and_then(named) {
            self.index.listed_services.entry(shelf).or_default().insert(name);
        }
    }

    /// The same of an instance.
    pub(super) fn list_instance(&mut self, old: Option<(ClusterId, InstanceStatus)>, id: InstanceId) {
        let now = self.instances.get(&id).map(|instance| (instance.cluster, instance.status));
        if old == now {
            return;
        }
        let listed = &mut self.index.listed_instances;
        if let Some((cluster, status)) = old {
            listed.remove(&(cluster, status, id));
        }
        if let Some((cluster, status)) = now {
            listed.insert((cluster, status, id));
        }
    }

    /// The services of a cluster that are not INACTIVE, by name, after `after`. `daemon`: DAEMON ones or the others.
    /// `shown`: those that show that launch type.
    pub fn services_where<'a>(
        &'a self,
        cluster: ClusterId,
        daemon: Option<bool>,
        shown: Option<LaunchType>,
        after: Option<&str>,
    ) -> impl Iterator<Item = &'a Service> + use<'a> {
        let kinds = [false, true].into_iter().flat_map(|daemon| SHOWN.map(|shown| (daemon, shown)));
        let fits =
            |kind: &ServiceShelf| daemon.is_none_or(|wanted| kind.0 == wanted) && (shown.is_none() || kind.1 == shown);
        let shelves = kinds.filter(fits).filter_map(|kind| self.index.listed_services.get(&(cluster, kind)));
        let from = after.map_or(Unbounded, Excluded);
        let mut lists: Vec<_> = shelves.map(|names| names.range::<str, _>((from, Unbounded)).peekable()).collect();
        std::iter::from_fn(move || {
            let next = lists.iter_mut().filter_map(|list| list.peek().copied()).min()?;
            for list in &mut lists {
                list.next_if(|name| *name == next);
            }
            self.service_named(cluster, next)
        })
    }

    /// The registered instances of a cluster by id, after `after`, or those of one status.
    pub fn instances_where(
        &self,
        cluster: ClusterId,
        status: Option<InstanceStatus>,
        after: Option<InstanceId>,
    ) -> impl Iterator<Item = &Instance> {
        self.instances_from(cluster, status, after.map_or(Unbounded, Excluded))
    }

    /// The registered instances of a cluster by id, from `first` on.
    pub fn registered_from(&self, cluster: ClusterId, first: Option<InstanceId>) -> impl Iterator<Item = &Instance> {
        self.instances_from(cluster, None, first.map_or(Unbounded, Included))
    }

    fn instances_from(
        &self,
        cluster: ClusterId,
        status: Option<InstanceStatus>,
        from: std::ops::Bound<InstanceId>,
    ) -> impl Iterator<Item = &Instance> {
        let wanted = [InstanceStatus::Active, InstanceStatus::Draining];
        let wanted = wanted.into_iter().filter(move |kind| status.is_none_or(|status| status == *kind));
        let lists = wanted.map(|kind| {
            let key = |id| (cluster, kind, id);
            let first = match from {
                Included(id) => Included(key(id)),
                Excluded(id) => Excluded(key(id)),
                Unbounded => Included(key(InstanceId([0; 16]))),
            };
            self.index.listed_instances.range((first, Included(key(InstanceId([0xff; 16]))))).peekable()
        });
        let mut lists: Vec<_> = lists.collect();
        std::iter::from_fn(move || {
            let next = lists.iter_mut().filter_map(|list| list.peek().map(|(.., id)| *id)).min()?;
            for list in &mut lists {
                list.next_if(|(.., id)| *id == next);
            }
            self.instances.get(&next)
        })
    }
}
