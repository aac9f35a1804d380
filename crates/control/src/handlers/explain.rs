//! gantry:Explain: why a task or a service is where and what it is. For what waits, the planner is asked again, and what
//! every instance says is told rule by rule.

use crate::authorize::Caller;
use crate::desk::Desk;
use crate::handlers::run::Order;
use crate::named;
use crate::reconcile;
use model::placement::Placement;
use model::reason::{Reason, Unplaceable, Verdict};
use model::service::{Deployment, Service, ServiceStatus};
use model::task::{Task, TaskStatus};
use model::{Cluster, InstanceId, State, TaskId};
use planner::Ask;
use planner::capacity::Spread;
use wire::{Fault, gantry};

/// gantry:Explain.
pub(crate) fn explain(
    desk: &mut Desk,
    _: &Caller,
    input: gantry::ExplainRequest,
) -> Result<gantry::ExplainResponse, Fault> {
    let desk = &*desk;
    let cluster = named::any_cluster(&desk.state, input.cluster.as_deref())?;
    let subject = input.subject.trim();
    let missing = |what: &str| gantry::fault::resource_not_found(format!("The {what} {subject:?} was not found."));
    if subject.contains(":task/") || TaskId::parse(subject).is_some() {
        let task = named::task(&desk.state, cluster, subject)?.ok_or_else(|| missing("task"))?;
        return Ok(of_task(desk, cluster, task));
    }
    if subject.starts_with("ecs-svc/") {
        let has = |service: &&Service| service.deployments.iter().any(|deployment| deployment.id() == subject);
        let service = desk.state.cluster_services(cluster.id).find(has).ok_or_else(|| missing("deployment"))?;
        return Ok(of_service(desk, cluster, service, Some(subject)));
    }
    let service = named::service(&desk.state, cluster, subject)?.ok_or_else(|| missing("service"))?;
    Ok(of_service(desk, cluster, service, None))
}

fn of_task(desk: &Desk, cluster: &Cluster, task: &Task) -> gantry::ExplainResponse {
    let state = &desk.state;
    let placement = placement(state, task);
    let mut facts = vec![fact("desiredStatus", task.desired.as_str()), fact("group", &state.task_group(task))];
    if let Some(stop) = &task.stop {
        facts.extend([fact("stopCode", stop.code.as_str()), fact("stoppedReason", &stop.reason)]);
    }
    for container in &task.containers {
        let mut said = vec![container.status.as_str().to_owned()];
        said.extend(container.exit_code.map(|code| format!("exit code {code}")));
        said.extend(container.reason.as_deref().map(str::to_owned));
        facts.push(fact(&format!("container {}", container.name), &said.join(", ")));
    }
    facts.extend(placement_facts(&placement));
    let ended = task.status == TaskStatus::Stopped;
    let verdicts = if ended { Vec::new() } else { verdicts(desk, task, &placement) };
    let others = verdicts.iter().filter(|verdict| Some(verdict.instance) != task.instance);
    let takes = others.filter(|verdict| verdict.reasons.is_empty()).count();
    let summary = match (task.instance, &task.stop) {
        (_, Some(stop)) if ended => format!("stopped with {}: {}", stop.code.as_str(), stop.reason),
        (_, Some(stop)) => format!("is stopping, {}: {}", stop.code.as_str(), stop.reason),
        (None, None) if takes == 0 => format!("waits for room: {}", unplaceable(&verdicts).summary()),
        (None, None) => format!("waits for room, and {takes} instances would take it now"),
        (Some(on), None) => {
            let by = match placement.strategy.as_slice() {
                [] => "the default order".to_owned(),
                chain => chain.iter().map(ToString::to_string).collect::<Vec<_>>().join(", then "),
            };
            let zone = state.task_zone(task).unwrap_or("no zone");
            format!("is on instance {on} in {zone}, chosen by {by}; {takes} other instances would take one like it now")
        }
    };
    gantry::ExplainResponse {
        subject: Some(state.task_arn(task)),
        status: Some(task.status.as_str().to_owned()),
        summary: Some(summary),
        facts: Some(facts),
        verdicts: Some(verdicts.iter().map(|verdict| shown(state, cluster, verdict, task.instance)).collect()),
    }
}

/// What a task was placed by.
fn placement(state: &State, task: &Task) -> Placement {
    let own = task.placement.as_deref().or(task.waiting.as_ref().map(|waiting| &waiting.placement));
    let service = task.service.and_then(|membership| state.services.get(&membership.service));
    own.or(service.map(|service| &service.placement)).cloned().unwrap_or_default()
}

fn placement_facts(placement: &Placement) -> Vec<gantry::Fact> {
    let strategy = placement.strategy.iter().map(|strategy| fact("strategy", &strategy.to_string()));
    let distinct = placement.is_distinct().then(|| fact("constraint", "distinctInstance"));
    let members = placement.expressions().map(|text| fact("constraint", &format!("memberOf({text})")));
    strategy.chain(distinct).chain(members).collect()
}

fn verdicts(desk: &Desk, task: &Task, placement: &Placement) -> Vec<Verdict> {
    let Some(definition) = desk.state.definitions.get(&task.definition) else { return Vec::new() };
    let own: Vec<u8> = task.eni.iter().map(|eni| eni.subnet).collect();
    let subnets = task.waiting.as_ref().map_or(&own[..], |waiting| &waiting.subnets);
    planner::verdicts(&desk.state, desk.now, &Ask::again(task, subnets, &definition.needs, placement))
}

fn unplaceable(verdicts: &[Verdict]) -> Unplaceable {
    Unplaceable { verdicts: verdicts.to_vec() }
}

fn of_service(desk: &Desk, cluster: &Cluster, service: &Service, only: Option<&str>) -> gantry::ExplainResponse {
    let state = &desk.state;
    let mut facts = Vec::new();
    for (n, deployment) in service.deployments.iter().enumerate() {
        if only.is_none_or(|only| deployment.id() == only) {
            let kind = if deployment.set.is_some() { "taskSet" } else { "deployment" };
            facts.push(fact(&format!("{kind} {}", deployment.id()), &says(desk, service, deployment, n == 0)));
        }
    }
    facts.extend(placement_facts(&service.placement));
    let live = state.service_counts(service, None, desk.health());
    let primary = subject(service, only);
    let own = primary.map(|primary| state.service_counts(service, Some(primary.number), desk.health()));
    let (running, pending) = own.unwrap_or_default();
    let active = primary.filter(|_| service.status == ServiceStatus::Active);
    let wanted = active.and_then(|primary| reconcile::order(desk, service, primary.number));
    let verdicts = wanted.map_or_else(Vec::new, |(mut order, strategy)| {
        order.provider = Spread::new(&strategy, std::iter::empty()).next().map(Box::from);
        of_order(desk, &order)
    });
    let room = verdicts.iter().any(|verdict| verdict.reasons.is_empty());
    let trouble = primary.and_then(|primary| primary.trouble.as_deref());
    let desired = primary.filter(|_| service.external).map_or(service.desired, |set| set.computed(service.desired));
    let missing = desired.saturating_sub(running + pending);
    let steady = primary.and_then(|set| set.set.as_ref()).map_or(service.steady, |set| set.steady);
    let summary = match (service.status, primary) {
        (ServiceStatus::Draining | ServiceStatus::Inactive, _) => {
            format!("is {}: {} of its tasks are left", service.status.as_str(), live.0 + live.1)
        }
        (ServiceStatus::Active, None) if service.external => "has no task set".to_owned(),
        (ServiceStatus::Active, None) => {
            "is an older deployment: its tasks go as the newer one's become healthy".to_owned()
        }
        (ServiceStatus::Active, Some(_)) if steady => {
            format!("is steady: {running} of {desired} tasks are healthy")
        }
        (ServiceStatus::Active, Some(_)) if missing > 0 && !room => {
            format!("waits for room for {missing} of {desired} tasks: {}", unplaceable(&verdicts).summary())
        }
        (ServiceStatus::Active, Some(_)) => {
            let why = trouble.map(|trouble| format!("; {trouble}")).unwrap_or_default();
            format!("is on its way: {running} of {desired} tasks are healthy, {pending} are starting{why}")
        }
    };
    gantry::ExplainResponse {
        subject: Some(only.map_or_else(|| state.service_arn(service), str::to_owned)),
        status: Some(service.status.as_str().to_owned()),
        summary: Some(summary),
        facts: Some(facts),
        verdicts: Some(verdicts.iter().map(|verdict| shown(state, cluster, verdict, None)).collect()),
    }
}

/// The deployment of which there is something to say: the PRIMARY one; of task sets the one that was asked for, or the
/// first that is not steady.
fn subject<'a>(service: &'a Service, only: Option<&str>) -> Option<&'a Deployment> {
    let mut asked = service.deployments.iter().filter(|known| only.is_none_or(|only| known.id() == only));
    if !service.external {
        let primary = service.primary();
        return asked.find(|known| primary == Some(known));
    }
    let unsteady = |known: &&Deployment| known.set.as_ref().is_some_and(|set| !set.steady);
    asked.clone().find(unsteady).or_else(|| service.primary().filter(|_| only.is_none())).or_else(|| asked.next())
}

/// What a deployment is, has, and waits for.
fn says(desk: &Desk, service: &Service, deployment: &Deployment, primary: bool) -> String {
    let (running, pending) = desk.state.service_counts(service, Some(deployment.number), desk.health());
    let (status, wanted) = match (&deployment.set, primary) {
        (Some(set), _) => (set.status.as_str(), deployment.computed(service.desired)),
        (None, true) => ("PRIMARY", service.desired),
        (None, false) => ("ACTIVE", 0),
    };
    let mut said = vec![status.to_owned()];
    said.push(format!("{running} healthy, {pending} starting, {wanted} wanted"));
    if deployment.failed > 0 {
        said.push(format!("{} starts failed", deployment.failed));
    }
    if deployment.retry_at > desk.now {
        said.push(format!("next try in {} ms", deployment.retry_at - desk.now));
    }
    said.extend(deployment.trouble.as_deref().map(|trouble| format!("waits: {trouble}")));
    said.join("; ")
}

fn of_order(desk: &Desk, order: &Order) -> Vec<Verdict> {
    let Some(definition) = desk.state.definitions.get(&order.definition) else { return Vec::new() };
    planner::verdicts(&desk.state, desk.now, &order.ask(&definition.needs, None, 0))
}

fn fact(name: &str, value: &str) -> gantry::Fact {
    gantry::Fact { name: Some(name.to_owned()), value: Some(value.to_owned()) }
}

fn shown(state: &State, cluster: &Cluster, verdict: &Verdict, here: Option<InstanceId>) -> gantry::Verdict {
    let reason = |reason: &Reason| gantry::Refusal {
        rule: Some(reason.rule().to_owned()),
        code: Some(reason.code().to_owned()),
        message: Some(reason.sentence()),
    };
    let is_here = here == Some(verdict.instance);
    let reasons = verdict.reasons.iter().filter(|_| !is_here).map(reason).collect();
    gantry::Verdict {
        container_instance_arn: Some(state.scope().instance(&cluster.name, verdict.instance)),
        takes: Some(verdict.reasons.is_empty()),
        here: Some(is_here),
        reasons: Some(reasons),
    }
}
