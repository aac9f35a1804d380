//! Finding what a request names: every input takes a bare name or id, and the short and the long ARN.

use model::arn::{ForeignArn, Named};
use model::service::Deployment;
use model::task::Task;
use model::task_definition::TaskDefinition;
use model::{Cluster, Instance, InstanceId, RevisionId, Service, State, TaskId};
use wire::{Fault, ecs};

/// An ECS ARN of this deployment, or bare text.
pub(crate) fn resource<'a>(state: &State, text: &'a str, what: &str) -> Result<Named<'a>, Fault> {
    let meta = state.meta();
    state.scope().resource(text).map_err(|foreign| {
        let why = match foreign {
            ForeignArn::Malformed | ForeignArn::Service => format!("Invalid identifier: {what} identifier mismatch."),
            ForeignArn::Region => format!("Region in ARN {text:?} should be {:?}.", meta.region),
            ForeignArn::Account => format!("Account in ARN {text:?} should be {:?}.", meta.account),
        };
        Fault::invalid_parameter(why)
    })
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
    let name =
        named.of_kind("cluster").ok_or_else(|| Fault::invalid_parameter("Invalid identifier: not a cluster."))?;
    state.cluster_named(name).ok_or_else(|| ecs::fault::cluster_not_found("Cluster not found."))
}

/// The id in a task's or instance's name: bare, `kind/<id>` or `kind/<cluster>/<id>`. The cluster in an ARN must be the
/// one asked in.
fn id_in<'a>(state: &State, text: &'a str, kind: &str, cluster: &Cluster) -> Result<Option<&'a str>, Fault> {
    let named = resource(state, text, kind)?;
    let Some(path) = named.of_kind(kind) else {
        return Err(Fault::invalid_parameter(format!("Invalid identifier: not a {kind}.")));
    };
    Ok(match path.split_once('/') {
        None => Some(path),
        Some((owner, id)) => (owner == &*cluster.name).then_some(id),
    })
}

/// The task of that name in that cluster; `None`: there is none.
pub(crate) fn task<'a>(state: &'a State, cluster: &Cluster, text: &str) -> Result<Option<&'a Task>, Fault> {
    let id = id_in(state, text, "task", cluster)?.and_then(TaskId::parse);
    Ok(id.and_then(|id| state.tasks.get(&id)).filter(|task| task.cluster == cluster.id))
}

/// The container instance of that name in that cluster; `None`: there is none.
pub(crate) fn instance<'a>(state: &'a State, cluster: &Cluster, text: &str) -> Result<Option<&'a Instance>, Fault> {
    let id = id_in(state, text, "container-instance", cluster)?.and_then(InstanceId::parse);
    Ok(id.and_then(|id| state.instances.get(&id)).filter(|instance| instance.cluster == cluster.id))
}

/// The service of that name in that cluster, deleted or not; `None`: there is none.
pub(crate) fn service<'a>(state: &'a State, cluster: &Cluster, text: &str) -> Result<Option<&'a Service>, Fault> {
    let name = id_in(state, text, "service", cluster)?;
    Ok(name.and_then(|name| state.service_named(cluster.id, name)))
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
        Named::Bare(id) => Some(id),
        Named::Resource(path) => {
            let path = path.strip_prefix("task-set/");
            let path = path.ok_or_else(|| Fault::invalid_parameter("Invalid identifier: not a task set."))?;
            let inside = path.strip_prefix(&*cluster.name).and_then(|rest| rest.strip_prefix('/'));
            inside.and_then(|rest| rest.strip_prefix(&*service.name)).and_then(|rest| rest.strip_prefix('/'))
        }
    };
    let sets = service.deployments.iter().filter(|deployment| deployment.set.is_some());
    Ok(id.and_then(|id| sets.into_iter().find(|set| set.id() == id)))
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
