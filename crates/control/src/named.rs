//! Finding what a request names: every input takes a bare name or id, and the short and the long ARN.

use model::arn::{Arn, ForeignArn, Named};
use model::service::Deployment;
use model::task::Task;
use model::task_definition::TaskDefinition;
use model::{Cluster, Instance, InstanceId, RevisionId, Service, State, TaskId};
use wire::{Fault, ecs};

/// An ECS ARN of this deployment, or bare text. The words are those that AWS answers with.
pub(crate) fn resource<'a>(state: &State, text: &'a str, what: &str) -> Result<Named<'a>, Fault> {
    state.scope().resource(text).map_err(|foreign| {
        let why = match foreign {
            ForeignArn::Malformed => format!("Invalid identifier: {text:?} is no ARN and no name of a {what}."),
            ForeignArn::Service => format!("Invalid service in ARN: {text:?} is not of Amazon ECS."),
            ForeignArn::Region => "Invalid Region in ARN".to_owned(),
            ForeignArn::Account => {
                let theirs = Arn::parse(text).map_or("", |arn| arn.account);
                format!("Identifier is for {theirs}. Your accountId is {}", state.meta().account)
            }
        };
        Fault::invalid_parameter(why)
    })
}

/// A name with slashes that is no ARN.
const SEPARATORS: &str = "Invalid identifier: Unexpected number of separators.";

/// An ARN of something in another cluster, or of another service, than the request asks in.
fn misplaced(kind: &str, theirs: &str, asked: &str) -> Fault {
    Fault::invalid_parameter(format!("Invalid identifier: Identifier is for {kind} {theirs}. Your {kind} is {asked}"))
}

/// The cluster of a request, `default` when none is named; a deleted one is told apart from one that never was.
pub(crate) fn cluster<'a>(state: &'a State, name: Option<&str>) -> Result<&'a Cluster, Fault> {
    let found = any_cluster(state, name)?;
    if !found.active {
        return Err(ecs::fault::cluster_not_found("The referenced cluster was inactive."));
    }
    Ok(found)
}

/// The same, deleted or not.
pub(crate) fn any_cluster<'a>(state: &'a State, name: Option<&str>) -> Result<&'a Cluster, Fault> {
    let text = name.filter(|name| !name.is_empty()).unwrap_or("default");
    let named = resource(state, text, "cluster")?;
    let name = named.of_kind("cluster").ok_or_else(|| Fault::invalid_parameter("Cluster Identifier is invalid"))?;
    state.cluster_named(name).ok_or_else(|| ecs::fault::cluster_not_found("Cluster not found."))
}

/// The id in a task's, instance's or service's name: bare, `kind/<id>` or `kind/<cluster>/<id>`. The cluster in an ARN
/// must be the one asked in.
fn id_in<'a>(state: &State, text: &'a str, kind: &str, cluster: &Cluster) -> Result<&'a str, Fault> {
    let named = resource(state, text, kind)?;
    let Some(path) = named.of_kind(kind) else {
        let kind = match kind {
            "task" => "Task",
            "service" => "Service",
            _ => "Container Instance",
        };
        return Err(Fault::invalid_parameter(format!("{kind} Identifier is invalid")));
    };
    match path.split_once('/') {
        None => Ok(path),
        Some(_) if named == Named::Bare(text) => Err(Fault::invalid_parameter(SEPARATORS)),
        Some((owner, id)) if owner == &*cluster.name => Ok(id),
        Some((owner, _)) => Err(misplaced("cluster", owner, &cluster.name)),
    }
}

/// The task of that name in that cluster; `None`: there is none.
pub(crate) fn task<'a>(state: &'a State, cluster: &Cluster, text: &str) -> Result<Option<&'a Task>, Fault> {
    let id = id_in(state, text, "task", cluster)?;
    if ![32, 36].contains(&id.len()) {
        return Err(Fault::invalid_parameter("taskId length should be one of [32,36]"));
    }
    let id = TaskId::parse(id);
    Ok(id.and_then(|id| state.tasks.get(&id)).filter(|task| task.cluster == cluster.id))
}

/// The container instance of that name in that cluster; `None`: there is none.
pub(crate) fn instance<'a>(state: &'a State, cluster: &Cluster, text: &str) -> Result<Option<&'a Instance>, Fault> {
    let id = InstanceId::parse(id_in(state, text, "container-instance", cluster)?);
    Ok(id.and_then(|id| state.instances.get(&id)).filter(|instance| instance.cluster == cluster.id))
}

/// The service of that name in that cluster, deleted or not; `None`: there is none.
pub(crate) fn service<'a>(state: &'a State, cluster: &Cluster, text: &str) -> Result<Option<&'a Service>, Fault> {
    Ok(state.service_named(cluster.id, id_in(state, text, "service", cluster)?))
}

/// The task set of a service of that name, `ecs-svc/<number>` or an ARN; `None`: there is none.
pub(crate) fn task_set<'a>(
    state: &State,
    cluster: &Cluster,
    service: &'a Service,
    text: &str,
) -> Result<Option<&'a Deployment>, Fault> {
    let named = resource(state, text, "task set")?;
    let id = match named {
        Named::Bare(id) => id,
        Named::Resource(path) => {
            let parts = path.strip_prefix("task-set/").and_then(|path| {
                let (owner, rest) = path.split_once('/')?;
                let (of, id) = rest.split_once('/')?;
                Some((owner, of, id))
            });
            let malformed = || Fault::invalid_parameter("Task Set Identifier is invalid");
            let (owner, of, id) = parts.ok_or_else(malformed)?;
            if owner != &*cluster.name {
                return Err(misplaced("cluster", owner, &cluster.name));
            }
            if of != &*service.name {
                return Err(misplaced("service", of, &service.name));
            }
            id
        }
    };
    let sets = service.deployments.iter().filter(|deployment| deployment.set.is_some());
    Ok(sets.into_iter().find(|set| set.id() == id))
}

/// What a task-definition name says: a family, and perhaps a revision of it.
pub(crate) fn family_and_revision<'a>(state: &State, text: &'a str) -> Result<(&'a str, Option<u32>), Fault> {
    revision_in(state, text, "task-definition/", "task definition")
}

/// The same of a definition of managed daemons.
pub(crate) fn daemon_family_and_revision<'a>(state: &State, text: &'a str) -> Result<(&'a str, Option<u32>), Fault> {
    revision_in(state, text, "daemon-task-definition/", "daemon task definition")
}

fn revision_in<'a>(state: &State, text: &'a str, kind: &str, what: &str) -> Result<(&'a str, Option<u32>), Fault> {
    let named = resource(state, text, what)?;
    let path = match named {
        Named::Bare(path) => path,
        Named::Resource(path) => path
            .strip_prefix(kind)
            .ok_or_else(|| Fault::invalid_parameter(format!("Invalid identifier: not a {what}.")))?,
    };
    match path.rsplit_once(':') {
        None => Ok((path, None)),
        Some((family, number)) => {
            let revision = number.parse().ok().filter(|revision| *revision > 0);
            let invalid = || ecs::fault::client(format!("Invalid revision number. Number: {number}"));
            Ok((family, Some(revision.ok_or_else(invalid)?)))
        }
    }
}

/// The revision of that name; without a number, the latest ACTIVE one of the family. `None`: there is none.
pub(crate) fn task_definition<'a>(state: &'a State, text: &str) -> Result<Option<&'a TaskDefinition>, Fault> {
    let (family, revision) = family_and_revision(state, text)?;
    let Some(family) = state.family_named(family) else { return Ok(None) };
    Ok(match revision {
        Some(revision) => state.definitions.get(&RevisionId { family: family.id, revision }),
        None => state.latest_active(family.id),
    })
}
