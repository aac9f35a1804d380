//! Service deployments and revisions: how one begins, what is shown of them, and how one is stopped or told to go on.

use super::{check_names, missing};
use crate::authorize::Caller;
use crate::desk::Desk;
use crate::named;
use crate::page::Page;
use model::change::Change;
use model::deployment_configuration::HookAction;
use model::service::{Deployment, Rollout, Service};
use model::service_deployment::{HookStatus, Stage};
use model::{RevisionId, ServiceDeployment, ServiceDeploymentStatus, ServiceId, ServiceRevision, State};
use wire::{Fault, ecs};

/// Names in one Describe.
const DESCRIBE_MAX: usize = 20;
/// Revisions that one deployment is said to replace, the newest.
const SOURCES_MAX: usize = 10;

/// What a deployment that begins adds beside the service itself.
pub(crate) struct History {
    revision: ServiceRevision,
    deployment: ServiceDeployment,
}

/// Makes a deployment of what `service` is now the PRIMARY one. To be committed after the service.
pub(crate) fn begin(desk: &mut Desk, service: &mut Service, definition: RevisionId) -> History {
    let now = desk.now;
    let number = desk.state.next_service_deployment(service.id);
    let revision = revision(desk, service, definition);
    let mut sources: Vec<u64> =
        service.deployments.iter().map(|older| older.revision).filter(|n| *n != 0).take(SOURCES_MAX).collect();
    sources.dedup();
    let deployment = ServiceDeployment {
        service: service.id,
        number,
        id: text(desk),
        target: revision.number,
        // To find what there is takes a step of its own only when there is something.
        stage: if sources.is_empty() { Stage::PreScaleUp } else { Stage::ReconcileService },
        sources,
        status: ServiceDeploymentStatus::Pending,
        reason: None,
        created_at: now,
        started_at: 0,
        finished_at: 0,
        stopped_at: 0,
        updated_at: now,
        bounds: (service.minimum_healthy, service.maximum),
        configuration: service.configuration.clone(),
        hooks: Vec::new(),
        triggered: false,
        failures: 0,
        rollback: None,
    };
    let wish = Deployment::new(revision.deployment, definition, revision.number, number, now);
    service.deploy(wish);
    History { revision, deployment }
}

/// What tasks of a new deployment of `service` are made from.
pub(crate) fn revision(desk: &mut Desk, service: &Service, definition: RevisionId) -> ServiceRevision {
    ServiceRevision {
        service: service.id,
        number: digits(desk),
        deployment: digits(desk),
        definition,
        launch_type: service.launch_type,
        strategy: service.strategy.clone(),
        subnets: service.subnets.clone(),
        interface: service.interface,
        created_at: desk.now,
        images: Vec::new(),
    }
}

impl History {
    /// Puts it beside the service. A deployment that was on its way is stopped, as another one has come.
    pub fn commit(self, desk: &mut Desk) {
        supersede(desk, self.deployment.service, "A newer service deployment was started.");
        desk.commit(Change::ServiceRevisionCreated(Box::new(self.revision)));
        desk.commit(Change::ServiceDeploymentCreated(Box::new(self.deployment)));
    }
}

/// Stops the newest deployment of a service if it is on its way. One that had come true, and was only in doubt, had come
/// true.
pub(crate) fn supersede(desk: &mut Desk, service: ServiceId, why: &str) {
    use ServiceDeploymentStatus::{RollbackSuccessful, Stopped, Successful};
    let newest = desk.state.service_deployments(service).next_back();
    let Some(mut deployment) = newest.filter(|newest| !newest.status.is_over()).cloned() else { return };
    let wishes = desk.state.services.get(&service).map_or(&[][..], |service| &service.deployments);
    let came_true = wishes.iter().any(|wish| wish.history == deployment.number && wish.completed_at != 0);
    match came_true {
        true if deployment.rollback.is_some() => deployment.finish(RollbackSuccessful, None, desk.now),
        true => deployment.finish(Successful, None, desk.now),
        false => deployment.finish(Stopped, Some(why), desk.now),
    }
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

/// The service and the rest of the path that an ARN of that kind names: `kind/<cluster>/<service>/<rest>`.
fn within<'a, 'n>(state: &'a State, arn: &'n str, kind: &str) -> Result<Option<(&'a Service, &'n str)>, Fault> {
    let named = named::resource(state, arn, kind)?;
    let malformed = || Fault::invalid_parameter(format!("Invalid identifier: {arn:?} is not the ARN of a {kind}."));
    let path = named.of_kind(kind).ok_or_else(malformed)?;
    let mut parts = path.splitn(3, '/');
    let (Some(cluster), Some(service), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(malformed());
    };
    let cluster = state.cluster_named(cluster);
    let service = cluster.and_then(|cluster| state.service_named(cluster.id, service));
    Ok(service.map(|service| (service, rest)))
}

fn find<'a>(state: &'a State, arn: &str) -> Result<Option<(&'a Service, &'a ServiceDeployment)>, Fault> {
    let Some((service, id)) = within(state, arn, "service-deployment")? else { return Ok(None) };
    let found = state.service_deployments(service.id).find(|deployment| *deployment.id == *id);
    Ok(found.map(|deployment| (service, deployment)))
}

/// DescribeServiceDeployments.
pub(crate) fn describe(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DescribeServiceDeploymentsRequest,
) -> Result<ecs::DescribeServiceDeploymentsResponse, Fault> {
    check_names(&input.service_deployment_arns, "serviceDeploymentArns", DESCRIBE_MAX)?;
    let (mut deployments, mut failures) = (Vec::new(), Vec::new());
    for arn in &input.service_deployment_arns {
        match find(&desk.state, arn)? {
            Some((service, deployment)) => {
                deployments.push(desk.state.project_service_deployment(service, deployment, desk.health()));
            }
            None => failures.push(missing(arn.clone())),
        }
    }
    Ok(ecs::DescribeServiceDeploymentsResponse { service_deployments: Some(deployments), failures: Some(failures) })
}

/// DescribeServiceRevisions.
pub(crate) fn describe_revisions(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DescribeServiceRevisionsRequest,
) -> Result<ecs::DescribeServiceRevisionsResponse, Fault> {
    check_names(&input.service_revision_arns, "serviceRevisionArns", DESCRIBE_MAX)?;
    let state = &desk.state;
    let (mut revisions, mut failures) = (Vec::new(), Vec::new());
    for arn in &input.service_revision_arns {
        let found = within(state, arn, "service-revision")?.and_then(|(service, number)| {
            let number = number.parse().ok()?;
            Some((service, state.service_revisions.get(&(service.id, number))?))
        });
        match found {
            Some((service, revision)) => revisions.push(state.project_service_revision(service, revision)),
            None => failures.push(missing(arn.clone())),
        }
    }
    Ok(ecs::DescribeServiceRevisionsResponse { service_revisions: Some(revisions), failures: Some(failures) })
}

/// ListServiceDeployments: the newest first.
pub(crate) fn list(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::ListServiceDeploymentsRequest,
) -> Result<ecs::ListServiceDeploymentsResponse, Fault> {
    let state = &desk.state;
    let cluster = named::cluster(state, input.cluster.as_deref())?;
    let service = named::service(state, cluster, &input.service)?;
    let service = service.ok_or_else(|| ecs::fault::service_not_found("Service not found."))?;
    let created = input.created_at.unwrap_or_default();
    let (after, before) = (created.after.map(|at| at.millis()), created.before.map(|at| at.millis()));
    let scope = format!("ListServiceDeployments|{}|{:?}|{after:?}|{before:?}", service.id.0, input.status);
    let page = Page::read(&state.meta().token_key, scope, (20, 100), input.max_results, input.next_token.as_deref())?;
    let wanted = input.status.unwrap_or_default();
    let fitting = state.service_deployments(service.id).rev().filter(|deployment| {
        (wanted.is_empty() || wanted.iter().any(|status| status.as_str() == deployment.status.as_str()))
            && after.is_none_or(|after| deployment.created_at > after)
            && before.is_none_or(|before| deployment.created_at < before)
    });
    let last: Option<u32> = page.after().and_then(|after| after.parse().ok());
    let rest = fitting.filter(|deployment| last.is_none_or(|last| deployment.number < last));
    let (found, next_token) = page.take(rest, |deployment| deployment.number.to_string());
    let brief = |deployment: &ServiceDeployment| state.project_service_deployment_brief(service, deployment);
    let deployments = found.into_iter().map(brief).collect();
    Ok(ecs::ListServiceDeploymentsResponse { service_deployments: Some(deployments), next_token })
}

fn wanted(state: &State, arn: &str) -> Result<(Service, ServiceDeployment), Fault> {
    let found = find(state, arn)?;
    let (service, deployment) =
        found.ok_or_else(|| ecs::fault::service_deployment_not_found("The service deployment was not found."))?;
    Ok((service.clone(), deployment.clone()))
}

/// StopServiceDeployment. ROLLBACK goes back to the last revision that came true, at once; ABORT leaves what there is as it
/// is. One that had come true already is what there is: the service goes on keeping its count with it.
pub(crate) fn stop(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::StopServiceDeploymentRequest,
) -> Result<ecs::StopServiceDeploymentResponse, Fault> {
    let arn = input.service_deployment_arn;
    let (mut service, mut deployment) = wanted(&desk.state, &arn)?;
    use ServiceDeploymentStatus::{RollbackSuccessful, Successful};
    let back = input.stop_type != Some(ecs::StopServiceDeploymentStopType::Abort);
    let conflict = |why: &str| {
        let message = format!("The service deployment {why}: its status is {}.", deployment.status.as_str());
        ecs::fault::conflict(message, vec![arn.clone()])
    };
    if deployment.status.is_over() {
        return Err(conflict("is over"));
    }
    if back && deployment.status.is_rollback() {
        return Err(conflict("is being rolled back already"));
    }
    if back {
        deployment.status = ServiceDeploymentStatus::RollbackRequested;
        deployment.reason = Some("The service deployment was stopped with stopType ROLLBACK.".into());
        deployment.updated_at = desk.now;
    } else {
        let why = "The service deployment was stopped with stopType ABORT.";
        let primary = service.deployments.first_mut().filter(|known| known.history == deployment.number);
        match primary {
            // It is what serves: it had come true, and was taken up again because a task of it ended early.
            Some(primary) if primary.completed_at != 0 => {
                let rolled_back = deployment.rollback.is_some();
                let end = if rolled_back { RollbackSuccessful } else { Successful };
                deployment.finish(end, None, desk.now);
                primary.keep(desk.now);
            }
            primary => {
                deployment.finish(ServiceDeploymentStatus::Stopped, Some(why), desk.now);
                if let Some(primary) = primary {
                    (primary.rollout, primary.updated_at) = (Rollout::Failed, desk.now);
                    primary.trouble = Some(why.into());
                }
            }
        }
        service.steady = false;
        service.version += 1;
        desk.commit(Change::ServiceUpdated(Box::new(service)));
    }
    let service = deployment.service;
    desk.commit(Change::ServiceDeploymentUpdated(Box::new(deployment)));
    let name = desk.state.services[&service].name.clone();
    desk.say(service, format!("(service {name}) the service deployment was stopped by a request."));
    Ok(ecs::StopServiceDeploymentResponse { service_deployment_arn: Some(arn) })
}

/// ContinueServiceDeployment: what a hook of type PAUSE waits for.
pub(crate) fn go_on(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::ContinueServiceDeploymentRequest,
) -> Result<ecs::ContinueServiceDeploymentResponse, Fault> {
    let arn = input.service_deployment_arn;
    let (_, mut deployment) = wanted(&desk.state, &arn)?;
    let hook = deployment.hooks.iter_mut().find(|hook| *hook.id == *input.hook_id);
    let hook = hook.ok_or_else(|| Fault::invalid_parameter("The service deployment has no hook of that hookId."))?;
    if hook.status != HookStatus::AwaitingAction {
        return Err(Fault::invalid_parameter("The hook awaits no action any more."));
    }
    let action = match input.action {
        Some(ecs::DeploymentLifecycleHookAction::Rollback) => HookAction::Rollback,
        Some(ecs::DeploymentLifecycleHookAction::Continue) | None => HookAction::Continue,
    };
    match action {
        HookAction::Continue => hook.status = HookStatus::Succeeded,
        HookAction::Rollback => {
            hook.status = HookStatus::Failed;
            deployment.status = ServiceDeploymentStatus::RollbackRequested;
            deployment.reason = Some("A lifecycle hook was answered with ROLLBACK.".into());
        }
    }
    deployment.updated_at = desk.now;
    desk.commit(Change::ServiceDeploymentUpdated(Box::new(deployment)));
    Ok(ecs::ContinueServiceDeploymentResponse { service_deployment_arn: Some(arn) })
}
