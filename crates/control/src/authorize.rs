//! The one gate before every handler: who may do what.

use crate::handlers::log_group::LogQuestion;
use model::ids::Uuid;
use model::{InstanceId, State, TaskId};
use wire::http::Call;
use wire::{Fault, ec2, ecs, logs};

/// Who signed a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What they are.
    pub principal: Principal,
    /// The id of the key they signed with.
    pub access_key: String,
}

/// What a caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal {
    /// The operator: may do everything.
    Operator,
    /// A node: may do what agents do, for instances that its key registered and for their tasks.
    Node,
}

/// Refuses what `caller` may not do.
pub(crate) fn authorize(state: &State, caller: &Caller, call: &Call) -> Result<(), Fault> {
    if caller.principal == Principal::Operator || node_may(state, caller, call) {
        return Ok(());
    }
    let message = refusal(caller, call.name());
    let code = if matches!(call, Call::Ec2(_)) { "UnauthorizedOperation" } else { "AccessDeniedException" };
    Err(Fault::new(code, if code == "UnauthorizedOperation" { 403 } else { 400 }, message))
}

fn refusal(caller: &Caller, action: &str) -> String {
    format!("User: node {} is not authorized to perform: {action}", caller.access_key)
}

/// The same for streams and events of a log group: a node's key writes to the streams of its own tasks, and reads none.
/// A node learns that a group is not there only of one that its task writes to.
pub(crate) fn authorize_logs(
    state: &State,
    caller: &Caller,
    question: &LogQuestion,
    group: Option<&str>,
) -> Result<(), Fault> {
    use logs::Operation::{CreateLogStream, PutLogEvents};
    let writes = matches!(question.operation, CreateLogStream | PutLogEvents);
    let own = || {
        let stream = question.stream.as_deref().unwrap_or_default();
        writes_to(state, caller, group.unwrap_or(&question.group), stream)
    };
    if caller.principal == Principal::Operator || (writes && own()) {
        return Ok(());
    }
    Err(Fault::new("AccessDeniedException", 400, refusal(caller, question.operation.full_name())))
}

/// Whether the stream is that of a container of a task that runs or ran on a host of the caller's. Its name ends with the
/// task's id, or begins with it.
fn writes_to(state: &State, caller: &Caller, group: &str, stream: &str) -> bool {
    let named = stream.rsplit('/').next().and_then(|last| last.get(..32)).and_then(TaskId::parse);
    let Some(task) = named.and_then(|id| state.tasks.get(&id)) else { return false };
    let owned = task
        .instance
        .and_then(|id| state.instances.get(&id))
        .is_some_and(|instance| *instance.owner == *caller.access_key);
    let needs = state.definitions.get(&task.definition).map(|definition| definition.needs.clone());
    let goes_there = |needs: &model::Needs| {
        let mut containers = needs.containers.iter();
        containers.any(|c| c.log.group == group && c.log.is_stream(&c.name, task.id, stream))
    };
    owned && needs.is_some_and(|needs| goes_there(&needs))
}

fn node_may(state: &State, caller: &Caller, call: &Call) -> bool {
    let task = |arn: &Option<String>| arn.as_deref().is_none_or(|arn| owns_task(state, caller, arn));
    let instance = |arn: &Option<String>| arn.as_deref().is_none_or(|arn| owns_instance(state, caller, arn));
    match call {
        Call::Ecs(ecs::Request::RegisterContainerInstance(input)) => instance(&input.container_instance_arn),
        Call::Ecs(ecs::Request::DiscoverPollEndpoint(input)) => instance(&input.container_instance),
        Call::Ecs(ecs::Request::SubmitTaskStateChange(input)) => task(&input.task),
        Call::Ecs(ecs::Request::SubmitContainerStateChange(input)) => task(&input.task),
        Call::Ecs(ecs::Request::SubmitAttachmentStateChanges(input)) => {
            let own = |change: &ecs::AttachmentStateChange| owns_attachment(state, caller, &change.attachment_arn);
            input.attachments.iter().all(own)
        }
        // An agent that hears that its host is about to be taken away drains it.
        Call::Ecs(ecs::Request::UpdateContainerInstancesState(input)) => {
            let own = |arn: &String| owns_instance(state, caller, arn);
            input.status == ecs::ContainerInstanceStatus::Draining && input.container_instances.iter().all(own)
        }
        Call::Sts(_) | Call::Ec2(ec2::Request::DescribeVpcs(_)) => true,
        Call::Ecs(_) | Call::Ec2(_) | Call::Logs(_) | Call::Gantry(_) => false,
        Call::Iam(_) | Call::Ssm(_) | Call::SecretsManager(_) | Call::Tagging(_) => false,
    }
}

/// Whether the instance was registered with the caller's key. One that does not exist is left to the handler, whose
/// answer tells an agent what to do.
pub(crate) fn owns_instance(state: &State, caller: &Caller, arn: &str) -> bool {
    let id = InstanceId::parse(link::acs::id_of(arn));
    let instance = id.and_then(|id| state.instances.get(&id));
    caller.principal == Principal::Operator || instance.is_none_or(|instance| *instance.owner == *caller.access_key)
}

/// Whether the task is on an instance that was registered with the caller's key.
pub(crate) fn owns_task(state: &State, caller: &Caller, arn: &str) -> bool {
    if caller.principal == Principal::Operator {
        return true;
    }
    let Some(task) = TaskId::parse(link::acs::id_of(arn)).and_then(|id| state.tasks.get(&id)) else { return true };
    let instance = task.instance.and_then(|id| state.instances.get(&id));
    // A task without a place is nobody's yet.
    instance.is_some_and(|instance| *instance.owner == *caller.access_key)
}

/// Whether the interface is that of a task on such an instance. One that nobody knows is left to the handler.
fn owns_attachment(state: &State, caller: &Caller, arn: &str) -> bool {
    let task = Uuid::parse_dashed(link::acs::id_of(arn)).and_then(|uuid| state.attachment_task(uuid));
    task.is_none_or(|task| owns_task(state, caller, &task.id.to_string()))
}
