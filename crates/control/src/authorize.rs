//! The one gate before every handler: who may do what.

use model::{InstanceId, State, TaskId};
use wire::http::Call;
use wire::{Fault, ec2, ecs};

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
    let message = format!("User: node {} is not authorized to perform: {}", caller.access_key, call.name());
    let code = if matches!(call, Call::Ec2(_)) { "UnauthorizedOperation" } else { "AccessDeniedException" };
    Err(Fault::new(code, if code == "UnauthorizedOperation" { 403 } else { 400 }, message))
}

fn node_may(state: &State, caller: &Caller, call: &Call) -> bool {
    let task = |arn: &Option<String>| arn.as_deref().is_none_or(|arn| owns_task(state, caller, arn));
    let instance = |arn: &Option<String>| arn.as_deref().is_none_or(|arn| owns_instance(state, caller, arn));
    match call {
        Call::Ecs(ecs::Request::RegisterContainerInstance(input)) => instance(&input.container_instance_arn),
        Call::Ecs(ecs::Request::DiscoverPollEndpoint(input)) => instance(&input.container_instance),
        Call::Ecs(ecs::Request::SubmitTaskStateChange(input)) => task(&input.task),
        Call::Ecs(ecs::Request::SubmitContainerStateChange(input)) => task(&input.task),
        Call::Ecs(ecs::Request::SubmitAttachmentStateChanges(_)) => true,
        Call::Sts(_) | Call::Ec2(ec2::Request::DescribeVpcs(_)) => true,
        Call::Ecs(_) | Call::Ec2(_) | Call::Gantry(_) => false,
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
    let task = TaskId::parse(link::acs::id_of(arn)).and_then(|id| state.tasks.get(&id));
    let instance = task.and_then(|task| state.instances.get(&task.instance));
    instance.is_none_or(|instance| *instance.owner == *caller.access_key)
}
