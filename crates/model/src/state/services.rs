//! Services in the state: their rows, what goes with them, and how they and their tasks are found.

use super::shelves::is_listed_alike;
use super::{State, Touched};
use crate::Millis;
use crate::ids::{ClusterId, ServiceId};
use crate::service::{EVENTS_MAX, Event, INACTIVE_SHOWN_MS, Service, ServiceStatus};
use crate::service_deployment::{SERVICE_DEPLOYMENTS_MAX, ServiceDeployment};
use crate::service_revision::{ResolvedImage, ServiceRevision};
use crate::task::{LaunchType, Task};
use std::collections::BTreeSet;

impl State {
    pub(crate) fn put_service(&mut self, service: Service) -> Vec<Touched> {
        let id = service.id;
        if self.services.get(&id).is_none_or(|old| (old.cluster, &old.name) != (service.cluster, &service.name)) {
            self.index.service_names.insert((service.cluster, service.name.clone()), id);
        }
        if service.status == ServiceStatus::Inactive {
            self.index.inactive_services.insert((service.inactive_at + INACTIVE_SHOWN_MS, id));
        }
        if service.daemon && service.status == ServiceStatus::Active {
            self.index.daemons.insert((service.cluster, id));
        } else {
            self.index.daemons.remove(&(service.cluster, id));
        }
        // On Fargate the zone of a task is its subnet's, whatever host comes or goes.
        if service.rebalance && service.status == ServiceStatus::Active && service.launch_type != LaunchType::Fargate {
            self.index.balanced.insert((service.cluster, id));
        } else {
            self.index.balanced.remove(&(service.cluster, id));
        }
        if !self.services.get(&id).is_some_and(|old| is_listed_alike(old, &service)) {
            let old = self.services.remove(&id);
            self.list_service(old.as_ref(), Some(&service));
        }
        self.services.insert(id, service);
        vec![Touched::Service(id)]
    }

    /// The DAEMON services of a cluster that are ACTIVE.
    pub fn daemons(&self, cluster: ClusterId) -> impl Iterator<Item = ServiceId> {
        let keys = self.index.daemons.range((cluster, ServiceId(0))..=(cluster, ServiceId(u32::MAX)));
        keys.map(|(_, id)| *id)
    }

    /// The services of a cluster that look at their zones when an instance has come.
    pub fn balanced(&self, cluster: ClusterId) -> impl Iterator<Item = ServiceId> {
        let keys = self.index.balanced.range((cluster, ServiceId(0))..=(cluster, ServiceId(u32::MAX)));
        keys.map(|(_, id)| *id)
    }

    pub(super) fn forget_service(&mut self, id: ServiceId) -> Vec<Touched> {
        let Some(service) = self.services.remove(&id) else { return Vec::new() };
        self.index.inactive_services.remove(&(service.inactive_at + INACTIVE_SHOWN_MS, id));
        self.list_service(Some(&service), None);
        let name = (service.cluster, service.name);
        if self.index.service_names.get(&name) == Some(&id) {
            self.index.service_names.remove(&name);
        }
        let events: Vec<u64> = self.service_events(id).map(|event| event.number).collect();
        let revisions: Vec<u64> = self.service_revisions(id).map(|revision| revision.number).collect();
        let deployments: Vec<u32> = self.service_deployments(id).map(|deployment| deployment.number).collect();
        events.iter().for_each(|number| drop(self.service_events.remove(&(id, *number))));
        revisions.iter().for_each(|number| self.drop_service_revision(id, *number));
        deployments.iter().for_each(|number| drop(self.service_deployments.remove(&(id, *number))));
        let events = events.into_iter().map(|number| Touched::ServiceEvent(id, number));
        let revisions = revisions.into_iter().map(|number| Touched::ServiceRevision(id, number));
        let deployments = deployments.into_iter().map(|number| Touched::ServiceDeployment(id, number));
        std::iter::once(Touched::Service(id)).chain(events).chain(revisions).chain(deployments).collect()
    }

    pub(crate) fn put_service_event(&mut self, event: Event) -> Vec<Touched> {
        let key = (event.service, event.number);
        self.service_events.insert(key, event);
        vec![Touched::ServiceEvent(key.0, key.1)]
    }

    /// Adds an event; the oldest of many goes.
    pub(super) fn say(&mut self, event: &Event) -> Vec<Touched> {
        let service = event.service;
        let mut touched = self.put_service_event(event.clone());
        let old = event.number.checked_sub(EVENTS_MAX as u64);
        if let Some(old) = old.filter(|old| self.service_events.remove(&(service, *old)).is_some()) {
            touched.push(Touched::ServiceEvent(service, old));
        }
        touched
    }

    pub(crate) fn put_service_revision(&mut self, revision: ServiceRevision) -> Vec<Touched> {
        let (key, definition) = ((revision.service, revision.number), revision.definition);
        if self.service_revisions.insert(key, revision).is_none() {
            self.use_definition(definition);
        }
        vec![Touched::ServiceRevision(key.0, key.1)]
    }

    /// Adds a revision. Task sets come and go without service deployments, which is when those that nothing names any
    /// more go otherwise.
    pub(super) fn add_service_revision(&mut self, revision: &ServiceRevision) -> Vec<Touched> {
        let mut touched = self.put_service_revision(revision.clone());
        if self.services.get(&revision.service).is_some_and(|service| service.external) {
            touched.extend(self.drop_unnamed_revisions(revision.service));
        }
        touched
    }

    fn drop_service_revision(&mut self, service: ServiceId, number: u64) {
        if let Some(old) = self.service_revisions.remove(&(service, number)) {
            self.release_definition(old.definition);
        }
    }

    pub(super) fn resolve_service_revision(
        &mut self,
        service: ServiceId,
        number: u64,
        images: &[ResolvedImage],
    ) -> Vec<Touched> {
        let Some(revision) = self.service_revisions.get_mut(&(service, number)) else { return Vec::new() };
        for image in images {
            if revision.digest(&image.container).is_none() {
                revision.images.push(image.clone());
            }
        }
        vec![Touched::ServiceRevision(service, number)]
    }

    pub(crate) fn put_service_deployment(&mut self, deployment: ServiceDeployment) -> Vec<Touched> {
        let key = (deployment.service, deployment.number);
        self.service_deployments.insert(key, deployment);
        vec![Touched::ServiceDeployment(key.0, key.1)]
    }

    /// Adds a deployment; the oldest of many goes, with the revisions that nothing names any more.
    pub(super) fn begin_service_deployment(&mut self, deployment: &ServiceDeployment) -> Vec<Touched> {
        let service = deployment.service;
        let mut touched = self.put_service_deployment(deployment.clone());
        let old = (deployment.number as usize).checked_sub(SERVICE_DEPLOYMENTS_MAX).map(|number| number as u32);
        if let Some(old) = old.filter(|old| self.service_deployments.remove(&(service, *old)).is_some()) {
            touched.push(Touched::ServiceDeployment(service, old));
            touched.extend(self.drop_unnamed_revisions(service));
        }
        touched
    }

    fn drop_unnamed_revisions(&mut self, service: ServiceId) -> Vec<Touched> {
        let deployments = self.service_deployments(service);
        let kept = deployments.flat_map(|kept| kept.sources.iter().copied().chain([kept.target]));
        let live = self.services.get(&service).into_iter().flat_map(|service| &service.deployments);
        let named: BTreeSet<u64> = kept.chain(live.map(|deployment| deployment.revision)).collect();
        let all = self.service_revisions(service).map(|revision| revision.number);
        let unnamed: Vec<u64> = all.filter(|number| !named.contains(number)).collect();
        unnamed.iter().for_each(|number| self.drop_service_revision(service, *number));
        unnamed.into_iter().map(|number| Touched::ServiceRevision(service, number)).collect()
    }
}

/// Reading.
impl State {
    /// The number of the next new service.
    pub fn next_service(&self) -> ServiceId {
        ServiceId(self.services.last_key_value().map_or(0, |(id, _)| id.0 + 1))
    }

    /// The newest service of that name in a cluster, deleted or not.
    pub fn service_named(&self, cluster: ClusterId, name: &str) -> Option<&Service> {
        self.services.get(self.index.service_names.get(&(cluster, name.into()))?)
    }

    /// The services of a cluster by name.
    pub fn cluster_services(&self, cluster: ClusterId) -> impl Iterator<Item = &Service> {
        let names = self.index.service_names.range((cluster, Box::from(""))..);
        names.take_while(move |((owner, _), _)| *owner == cluster).map(|(_, id)| &self.services[id])
    }

    /// INACTIVE services whose time is up at `now`.
    pub fn expired_services(&self, now: Millis) -> impl Iterator<Item = ServiceId> {
        self.index.inactive_services.iter().take_while(move |(at, _)| *at <= now).map(|(_, id)| *id)
    }

    /// The host of a task has been away for so long that the task counts as nothing.
    pub fn is_lost(&self, task: &Task, now: Millis) -> bool {
        task.instance.and_then(|id| self.instances.get(&id)).is_some_and(|instance| !instance.reachable(now))
    }

    /// What has happened to a service, the newest last.
    pub fn service_events(&self, service: ServiceId) -> impl DoubleEndedIterator<Item = &Event> {
        self.service_events.range((service, 0)..=(service, u64::MAX)).map(|(_, event)| event)
    }

    /// The number of a service's next event.
    pub fn next_service_event(&self, service: ServiceId) -> u64 {
        self.service_events(service).next_back().map_or(1, |event| event.number + 1)
    }

    /// The revisions of a service that are kept.
    pub fn service_revisions(&self, service: ServiceId) -> impl DoubleEndedIterator<Item = &ServiceRevision> {
        self.service_revisions.range((service, 0)..=(service, u64::MAX)).map(|(_, revision)| revision)
    }

    /// The revision that a task of a service is made from.
    pub fn task_revision(&self, task: &Task) -> Option<&ServiceRevision> {
        let membership = task.service?;
        let service = self.services.get(&membership.service)?;
        let made = service.deployments.iter().find(|deployment| deployment.number == membership.deployment)?;
        self.service_revisions.get(&(service.id, made.revision))
    }

    /// The deployments of a service that are kept, the newest last.
    pub fn service_deployments(&self, service: ServiceId) -> impl DoubleEndedIterator<Item = &ServiceDeployment> {
        self.service_deployments.range((service, 0)..=(service, u32::MAX)).map(|(_, deployment)| deployment)
    }

    /// The number of a service's next deployment.
    pub fn next_service_deployment(&self, service: ServiceId) -> u32 {
        self.service_deployments(service).next_back().map_or(1, |deployment| deployment.number + 1)
    }
}
