//! Service deployments and revisions: how one begins, and what is asked of them.

use crate::desk::Desk;
use model::change::Change;
use model::service::{Deployment, Rollout, Service};
use model::{RevisionId, ServiceDeployment, ServiceDeploymentStatus, ServiceId, ServiceRevision};

/// What a deployment that begins adds beside the service itself.
pub(crate) struct History {
    revision: ServiceRevision,
    deployment: ServiceDeployment,
}

/// Makes a deployment of what `service` is now the PRIMARY one. To be committed after the service.
pub(crate) fn begin(desk: &mut Desk, service: &mut Service, definition: RevisionId) -> History {
    let now = desk.now;
    let number = desk.state.next_service_deployment(service.id);
    let revision = ServiceRevision {
        service: service.id,
        number: digits(desk),
        definition,
        launch_type: service.launch_type,
        strategy: service.strategy.clone(),
        subnets: service.subnets.clone(),
        created_at: now,
    };
    let mut sources: Vec<u64> = service.deployments.iter().map(|older| older.revision).filter(|n| *n != 0).collect();
    sources.dedup();
    let deployment = ServiceDeployment {
        service: service.id,
        number,
        id: text(desk),
        target: revision.number,
        sources,
        status: ServiceDeploymentStatus::Pending,
        reason: None,
        created_at: now,
        started_at: 0,
        finished_at: 0,
        stopped_at: 0,
        updated_at: now,
    };
    let wish = Deployment {
        number: digits(desk),
        definition,
        revision: revision.number,
        history: number,
        created_at: now,
        updated_at: now,
        rollout: Rollout::InProgress,
        failures: 0,
        failed: 0,
        retry_at: 0,
        trouble: None,
    };
    service.deploy(wish);
    History { revision, deployment }
}

impl History {
    /// Puts it beside the service. A deployment that was on its way is stopped, as another one has come.
    pub fn commit(self, desk: &mut Desk) {
        supersede(desk, self.deployment.service, "A newer service deployment was started.");
        desk.commit(Change::ServiceRevisionCreated(Box::new(self.revision)));
        desk.commit(Change::ServiceDeploymentCreated(Box::new(self.deployment)));
    }
}

/// Stops the newest deployment of a service if it is on its way.
pub(crate) fn supersede(desk: &mut Desk, service: ServiceId, why: &str) {
    let newest = desk.state.service_deployments(service).next_back();
    let Some(mut deployment) = newest.filter(|newest| !newest.status.is_over()).cloned() else { return };
    deployment.finish(ServiceDeploymentStatus::Stopped, Some(why), desk.now);
    desk.commit(Change::ServiceDeploymentUpdated(Box::new(deployment)));
}

/// 19 digits, the first not zero.
fn digits(desk: &mut Desk) -> u64 {
    const FIRST: u64 = 1_000_000_000_000_000_000;
    FIRST + desk.ids.bits() % (8 * FIRST)
}

/// 21 letters, digits, hyphens and underscores.
fn text(desk: &mut Desk) -> Box<str> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bits = [desk.ids.bits(), desk.ids.bits(), desk.ids.bits()].map(|bits| (0..7).map(move |n| bits >> (9 * n)));
    let letters = bits.iter_mut().flatten().map(|bits| char::from(ALPHABET[(bits & 63) as usize]));
    letters.collect::<String>().into()
}
