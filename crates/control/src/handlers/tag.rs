//! Tags of everything that has an ARN and may carry them.

use super::tags as read_tags;
use crate::authorize::Caller;
use crate::desk::Desk;
use crate::named;
use model::capacity_provider::is_fargate;
use model::change::Change;
use model::cluster::Tag;
use model::service::ServiceStatus;
use model::state::Touched;
use model::tagged::Tagged;
use model::task_set::TaskSetStatus;
use model::{Cluster, InstanceId, State, TaskId, TaskStatus};
use wire::{Fault, ecs};

/// Tags that one resource may have; those of AWS do not count (developer guide, tag restrictions).
const TAGS_MAX: usize = 50;

/// TagResource: adds tags and overwrites the values of known keys.
pub(crate) fn tag(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::TagResourceRequest,
) -> Result<ecs::TagResourceResponse, Fault> {
    let found = find(&desk.state, &input.resource_arn, ecs::fault::resource_not_found)?;
    found.alterable()?;
    let mut all = desk.state.tags_of(&found.on).unwrap_or_default().to_vec();
    let before = all.clone();
    for tag in read_tags(Some(input.tags))? {
        match all.iter_mut().find(|known| known.key == tag.key) {
            Some(known) => known.value = tag.value,
            None => all.push(tag),
        }
    }
    if all.iter().filter(|tag| !is_reserved(&tag.key)).count() > TAGS_MAX {
        let message = format!("A resource may have at most {TAGS_MAX} tags. Remove some and try again.");
        return Err(ecs::fault::limit_exceeded(message));
    }
    put(desk, found.on, &before, all);
    Ok(ecs::TagResourceResponse::default())
}

/// UntagResource: keys that are not there change nothing.
pub(crate) fn untag(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::UntagResourceRequest,
) -> Result<ecs::UntagResourceResponse, Fault> {
    let found = find(&desk.state, &input.resource_arn, ecs::fault::resource_not_found)?;
    found.alterable()?;
    if let Some(key) = input.tag_keys.iter().find(|key| is_reserved(key)) {
        let message = format!("Tag key {key:?} uses the reserved prefix aws: and cannot be removed.");
        return Err(Fault::invalid_parameter(message));
    }
    let before = desk.state.tags_of(&found.on).unwrap_or_default().to_vec();
    let kept = |tag: &&Tag| !input.tag_keys.iter().any(|key| **key == *tag.key);
    let all = before.iter().filter(kept).cloned().collect();
    put(desk, found.on, &before, all);
    Ok(ecs::UntagResourceResponse::default())
}

/// ListTagsForResource: of what is gone and still shown, too; but not of a deleted cluster, as on AWS.
pub(crate) fn list(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::ListTagsForResourceRequest,
) -> Result<ecs::ListTagsForResourceResponse, Fault> {
    // This operation does not declare ResourceNotFoundException.
    let found = find(&desk.state, &input.resource_arn, Fault::invalid_parameter)?;
    if matches!(found.on, Tagged::Cluster(_)) {
        found.alterable()?;
    }
    let tags = desk.state.tags_of(&found.on).unwrap_or_default();
    Ok(ecs::ListTagsForResourceResponse { tags: Some(model::project::tags(tags)) })
}

fn put(desk: &mut Desk, on: Tagged, before: &[Tag], tags: Vec<Tag>) {
    if *before != *tags {
        desk.commit(Change::TagsPut { on, tags });
    }
}

fn is_reserved(key: &str) -> bool {
    key.to_ascii_lowercase().starts_with("aws:")
}

/// What an ARN names.
struct Found {
    on: Tagged,
    /// What to say of it when it is over: its tags stay as they are.
    over: Option<&'static str>,
}

impl Found {
    fn alterable(&self) -> Result<(), Fault> {
        self.over.map_or(Ok(()), |message| Err(Fault::invalid_parameter(message)))
    }
}

/// The row of what an ARN names.
pub(super) fn row(state: &State, arn: &str) -> Option<Touched> {
    Some(match find(state, arn, ecs::fault::resource_not_found).ok()?.on {
        Tagged::Cluster(id) => Touched::Cluster(id),
        Tagged::CapacityProvider(name) => Touched::CapacityProvider(name),
        Tagged::Definition(id) => Touched::Definition(id),
        Tagged::DaemonDefinition(family, revision) => Touched::DaemonDefinition(family, revision),
        Tagged::Instance(id) => Touched::Instance(id),
        Tagged::Service(id) | Tagged::TaskSet(id, _) => Touched::Service(id),
        Tagged::Task(id) => Touched::Task(id),
    })
}

fn find(state: &State, arn: &str, missing: fn(String) -> Fault) -> Result<Found, Fault> {
    let invalid =
        || Fault::invalid_parameter(format!("Invalid identifier: {arn:?} is no ARN of a resource with tags."));
    if !arn.starts_with("arn:") {
        return Err(invalid());
    }
    let model::arn::Named::Resource(path) = named::resource(state, arn, "resource")? else { return Err(invalid()) };
    let mut parts = path.split('/');
    let (kind, parts) = (parts.next().unwrap_or(""), parts.collect::<Vec<_>>());
    let lost =
        |what: &str| missing(format!("The specified {what} could not be found. Specify a valid ARN and try again."));
    let short = || Fault::invalid_parameter("Long arn format must be used for tagging operations");
    let over = |is_over: bool, message| is_over.then_some(message);
    let cluster = |name: &str| -> Result<&Cluster, Fault> {
        state.cluster_named(name).ok_or_else(|| ecs::fault::cluster_not_found("Cluster not found."))
    };
    match (kind, parts.as_slice()) {
        ("cluster", [name]) => {
            let known = cluster(name)?;
            let message = "The specified cluster is inactive. Specify an active cluster and try again.";
            Ok(Found { on: Tagged::Cluster(known.id), over: over(!known.active, message) })
        }
        ("capacity-provider", [name]) if is_fargate(name) => {
            Err(Fault::invalid_parameter("The capacity providers FARGATE and FARGATE_SPOT cannot have tags."))
        }
        ("capacity-provider", [name]) => {
            let known = state.capacity_providers.get(*name).ok_or_else(|| lost("capacity provider"))?;
            let message =
                "The specified capacity provider is inactive. Specify an active capacity provider and try again.";
            Ok(Found { on: Tagged::CapacityProvider(known.name.clone()), over: over(!known.active, message) })
        }
        ("task-definition", [name]) => {
            let revision = named::family_and_revision(state, name)?.1.is_some();
            let known = named::task_definition(state, name)?.filter(|_| revision);
            let known = known.ok_or_else(|| lost("task definition"))?;
            let message = "The specified task definition is inactive. Specify an active task definition and try again.";
            Ok(Found { on: Tagged::Definition(known.id), over: over(!known.active, message) })
        }
        ("daemon-task-definition", [name]) => {
            let (family, revision) = named::daemon_family_and_revision(state, arn)?;
            let known = state.daemon_revisions(family).find(|known| Some(known.revision) == revision);
            let known = known.ok_or_else(|| lost(&format!("daemon task definition {name}")))?;
            let message = "The specified daemon task definition is deleted. Specify an active one and try again.";
            let on = Tagged::DaemonDefinition(known.family.clone(), known.revision);
            Ok(Found { on, over: over(known.deleted_at.is_some(), message) })
        }
        ("container-instance", [owner, id]) => {
            let owner = cluster(owner)?.id;
            let known = InstanceId::parse(id).and_then(|id| state.instances.get(&id));
            let known = known.filter(|known| known.cluster == owner).ok_or_else(|| lost("container instance"))?;
            let gone = known.status == model::instance::InstanceStatus::Inactive;
            let message =
                "The specified container instance is inactive. Specify an active container instance and try again.";
            Ok(Found { on: Tagged::Instance(known.id), over: over(gone, message) })
        }
        ("service", [owner, name]) => {
            let known = state.service_named(cluster(owner)?.id, name).ok_or_else(|| lost("service"))?;
            let message = "The specified service is inactive. Specify an active service and try again.";
            let gone = known.status == ServiceStatus::Inactive;
            Ok(Found { on: Tagged::Service(known.id), over: over(gone, message) })
        }
        ("task-set", [owner, name, "ecs-svc", number]) => {
            let service = state.service_named(cluster(owner)?.id, name);
            let known = service.and_then(|service| {
                let sets = service.deployments.iter().filter(|deployment| deployment.set.is_some());
                sets.into_iter().find(|set| number.parse() == Ok(set.number)).map(|set| (service.id, set))
            });
            let (owner, known) = known.ok_or_else(|| lost("task set"))?;
            let message = "The specified task set is draining. Specify an active task set and try again.";
            let gone = known.is_set(TaskSetStatus::Draining);
            Ok(Found { on: Tagged::TaskSet(owner, known.number), over: over(gone, message) })
        }
        ("task", [owner, id]) => {
            let owner = cluster(owner)?.id;
            let known = TaskId::parse(id).and_then(|id| state.tasks.get(&id));
            let known = known.filter(|known| known.cluster == owner).ok_or_else(|| lost("task"))?;
            let message = "The specified task is stopped. Specify a running task and try again.";
            Ok(Found { on: Tagged::Task(known.id), over: over(known.status == TaskStatus::Stopped, message) })
        }
        ("container-instance" | "service" | "task", [_]) => Err(short()),
        _ => Err(invalid()),
    }
}
