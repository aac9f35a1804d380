//! What agents call: where to connect, and what has become of their tasks.

use crate::Config;
use crate::authorize::{Caller, owns_task};
use crate::desk::Desk;
use crate::named;
use model::TaskId;
use model::change::Change;
use model::ids::Uuid;
use model::task::TaskReport;
use wire::{Fault, ecs};

/// DiscoverPollEndpoint: control and telemetry sessions are on the one endpoint.
pub(crate) fn discover_poll_endpoint(
    desk: &Desk,
    config: &Config,
    input: ecs::DiscoverPollEndpointRequest,
) -> Result<ecs::DiscoverPollEndpointResponse, Fault> {
    named::cluster(&desk.state, input.cluster.as_deref()).map_err(|fault| match fault.code.as_ref() {
        // This operation does not declare it.
        "ClusterNotFoundException" => ecs::fault::client(fault.message),
        _ => fault,
    })?;
    Ok(ecs::DiscoverPollEndpointResponse {
        endpoint: Some(format!("{}/acs", config.endpoint)),
        telemetry_endpoint: Some(format!("{}/tcs", config.endpoint)),
        service_connect_endpoint: None,
    })
}

/// SubmitTaskStateChange. A report on a task that is not known (any more) is dropped by the agent when it is told so.
pub(crate) fn submit_task(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::SubmitTaskStateChangeRequest,
) -> Result<ecs::SubmitTaskStateChangeResponse, Fault> {
    in_cluster(desk, input.cluster.as_deref())?;
    let report = link::report::read(&input);
    take(desk, input.task.as_deref(), report)?;
    Ok(ecs::SubmitTaskStateChangeResponse { acknowledgment: Some("ok".to_owned()) })
}

/// SubmitContainerStateChange, for agents that report containers one by one.
pub(crate) fn submit_container(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::SubmitContainerStateChangeRequest,
) -> Result<ecs::SubmitContainerStateChangeResponse, Fault> {
    in_cluster(desk, input.cluster.as_deref())?;
    let report = link::report::read_container(&input);
    take(desk, input.task.as_deref(), report)?;
    Ok(ecs::SubmitContainerStateChangeResponse { acknowledgment: Some("ok".to_owned()) })
}

/// A task is found by its id; a cluster that is named is one that exists. A deleted one's last tasks still end.
fn in_cluster(desk: &Desk, cluster: Option<&str>) -> Result<(), Fault> {
    cluster.map_or(Ok(()), |name| named::any_cluster(&desk.state, Some(name)).map(|_| ()))
}

fn take(desk: &mut Desk, task: Option<&str>, report: TaskReport) -> Result<(), Fault> {
    let id = task.and_then(|arn| TaskId::parse(link::acs::id_of(arn)));
    let task = id.and_then(|id| desk.state.tasks.get(&id));
    let task = task.ok_or_else(|| Fault::invalid_parameter("The referenced task was not found."))?;
    let (id, at) = (task.id, desk.now);
    // A repetition that says nothing new costs no commit.
    let mut told = task.clone();
    told.take_report(at, &report);
    if told != *task {
        desk.commit(Change::TaskReported { id, at, report: Box::new(report) });
    }
    Ok(())
}

/// SubmitAttachmentStateChanges: the node says that interfaces are up. Attachments that nobody knows are refused.
pub(crate) fn submit_attachments(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::SubmitAttachmentStateChangesRequest,
) -> Result<ecs::SubmitAttachmentStateChangesResponse, Fault> {
    in_cluster(desk, input.cluster.as_deref())?;
    let mut attached = Vec::new();
    for change in &input.attachments {
        let uuid = Uuid::parse_dashed(link::acs::id_of(&change.attachment_arn));
        let task = uuid.and_then(|uuid| desk.state.attachment_task(uuid));
        let missing = || Fault::invalid_parameter(format!("The attachment {} was not found.", change.attachment_arn));
        attached.push(task.ok_or_else(missing)?.id);
    }
    for id in attached {
        let report = Box::new(TaskReport { attached: true, ..TaskReport::default() });
        desk.commit(Change::TaskReported { id, at: desk.now, report });
    }
    Ok(ecs::SubmitAttachmentStateChangesResponse { acknowledgment: Some("ok".to_owned()) })
}

/// A message of an agent's telemetry session: what health checks say. Only tasks of instances that the caller's key
/// registered are listened to, and only what is new costs a commit.
pub(crate) fn take_telemetry(desk: &mut Desk, caller: &Caller, frame: &str) {
    let Some(publication) = link::tcs::PublishHealth::decode(frame) else { return };
    for said in publication.tasks.iter().take(link::tcs::TASKS_MAX) {
        let known = TaskId::parse(link::acs::id_of(&said.task_arn)).and_then(|id| desk.state.tasks.get(&id));
        let Some(task) = known.filter(|_| owns_task(&desk.state, caller, &said.task_arn)) else { continue };
        let (mut told, mut news) = (task.clone(), Vec::new());
        for container in said.containers.iter().take(task.containers.len()) {
            let Some(status) = container.status() else { continue };
            let before = told.clone();
            told.take_health(&container.container_name, status);
            // Names that the task does not have are kept nowhere.
            if told != before {
                news.push((container.container_name.as_str().into(), status));
            }
        }
        if !news.is_empty() {
            desk.commit(Change::TaskHealthReported { id: told.id, health: news });
        }
    }
}
