//! Tasks that exist: describe, list, stop.

use super::{check_names, missing};
use crate::authorize::Caller;
use crate::desk::Desk;
use crate::named;
use crate::page::Page;
use model::change::Change;
use model::state::TaskFilter;
use model::task::{Desired, LaunchType, Stop, StopCode, TaskStatus};
use model::{InstanceId, State, TaskId};
use wire::{Fault, ecs};

/// Tasks that one DescribeTasks names.
const DESCRIBE_MAX: usize = 100;
/// Longest `reason` of StopTask that is kept.
const REASON_MAX: usize = 1024;

/// DescribeTasks.
pub(crate) fn describe(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DescribeTasksRequest,
) -> Result<ecs::DescribeTasksResponse, Fault> {
    check_names(&input.tasks, "Tasks", DESCRIBE_MAX)?;
    let state = &desk.state;
    let cluster = named::any_cluster(state, input.cluster.as_deref())?;
    let with_tags = input.include.unwrap_or_default().contains(&ecs::TaskField::Tags);
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for name in &input.tasks {
        match named::task(state, cluster, name)? {
            Some(task) => tasks.push(state.project_task(task, with_tags)),
            None if name.starts_with("arn:") => failures.push(missing(name.clone())),
            None => failures.push(missing(format!(
                "{}/{name}",
                state.scope().cluster(&cluster.name).replace(":cluster/", ":task/")
            ))),
        }
    }
    Ok(ecs::DescribeTasksResponse { tasks: Some(tasks), failures: Some(failures) })
}

/// StopTask. A task that is stopping or stopped already is answered as it is.
pub(crate) fn stop(desk: &mut Desk, _: &Caller, input: ecs::StopTaskRequest) -> Result<ecs::StopTaskResponse, Fault> {
    let cluster = named::any_cluster(&desk.state, input.cluster.as_deref())?;
    let missing = || Fault::invalid_parameter("The referenced task was not found.");
    let task = named::task(&desk.state, cluster, &input.task)?.ok_or_else(missing)?;
    let (id, desired) = (task.id, task.desired);
    let reason = input.reason.filter(|reason| !reason.is_empty()).unwrap_or_else(|| "Task stopped by user".to_owned());
    if reason.len() > REASON_MAX {
        return Err(Fault::invalid_parameter(format!("The reason may have at most {REASON_MAX} bytes.")));
    }
    if desired == Desired::Running {
        let stop = Stop { code: StopCode::UserInitiated, reason: reason.into() };
        desk.commit(Change::TaskStopWanted { id, at: desk.now, stop });
    }
    Ok(ecs::StopTaskResponse { task: Some(desk.state.project_task(&desk.state.tasks[&id], true)) })
}

/// ExecuteCommand: no agent here answers for containers yet, so that no session can be opened.
pub(crate) fn execute_command(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::ExecuteCommandRequest,
) -> Result<ecs::ExecuteCommandResponse, Fault> {
    let cluster = named::cluster(&desk.state, input.cluster.as_deref())?;
    let missing = || Fault::invalid_parameter("The referenced task was not found.");
    let task = named::task(&desk.state, cluster, &input.task)?.ok_or_else(missing)?;
    let known = |name: &str| task.containers.iter().any(|container| *container.name == *name);
    let message = match input.container.as_deref() {
        Some(name) if !known(name) => format!("The task has no container {name:?}."),
        None if task.containers.len() > 1 => "The task has several containers: name one.".to_owned(),
        _ if !input.interactive => "Interactive is the only mode supported currently.".to_owned(),
        _ if task.status != TaskStatus::Running => "The task is not RUNNING.".to_owned(),
        _ if !task.execute_command => "The execute command failed because execute command was not enabled when the \
             task was run or the execute command agent isn't running. Run a new task with execute command enabled."
            .to_owned(),
        _ => {
            let message =
                "The execute command failed: sessions are not supported yet, no agent of the task is connected.";
            return Err(ecs::fault::target_not_connected(message));
        }
    };
    Err(Fault::invalid_parameter(message))
}

/// ListTasks: without `desiredStatus` those wanted RUNNING; PENDING is never a wish, so that it lists nothing (API
/// reference).
pub(crate) fn list(desk: &mut Desk, _: &Caller, input: ecs::ListTasksRequest) -> Result<ecs::ListTasksResponse, Fault> {
    let state = &desk.state;
    let cluster = named::cluster(state, input.cluster.as_deref())?;
    let service = match input.service_name.as_deref() {
        None => None,
        Some(name) => {
            let missing = || ecs::fault::service_not_found("Service not found.");
            Some(named::service(state, cluster, name)?.ok_or_else(missing)?.id)
        }
    };
    if input.daemon_name.is_some() {
        return Err(Fault::invalid_parameter("The referenced daemon was not found."));
    }
    let scope = format!(
        "ListTasks|{}|{:?}|{service:?}|{:?}|{:?}|{:?}|{:?}",
        cluster.name, input.container_instance, input.family, input.started_by, input.desired_status, input.launch_type
    );
    let page = Page::read(&state.meta().token_key, scope, (100, 100), input.max_results, input.next_token.as_deref())?;
    let nothing = || ecs::ListTasksResponse { task_arns: Some(Vec::new()), next_token: None };
    let desired = match input.desired_status {
        None | Some(ecs::DesiredStatus::Running) => Desired::Running,
        Some(ecs::DesiredStatus::Stopped) => Desired::Stopped,
        Some(ecs::DesiredStatus::Pending) => return Ok(nothing()),
    };
    let family = input.family.as_deref().map(|name| state.family_named(name).map(|family| family.id));
    let launch_type = input.launch_type.map(launch_type);
    let (Some(family), Some(launch_type)) = (flat(family), flat(launch_type)) else { return Ok(nothing()) };
    let instance = match input.container_instance.as_deref() {
        None => None,
        Some(name) => Some(instance(state, cluster, name)?),
    };
    let (desired, started_by) = (Some(desired), input.started_by.as_deref());
    let filter = TaskFilter { cluster: cluster.id, desired, family, instance, service, started_by, launch_type };
    let after = page.after().and_then(TaskId::parse);
    let tasks = state.tasks_where(filter, after);
    // Fargate tasks show no instance, so that no instance lists them.
    let fitting = tasks.filter(|task| instance.is_none() || task.launch_type != LaunchType::Fargate);
    let (tasks, next_token) = page.take(fitting, |task| task.id.to_string());
    let arns = tasks.into_iter().map(|task| state.task_arn(task)).collect();
    Ok(ecs::ListTasksResponse { task_arns: Some(arns), next_token })
}

/// `None`: a filter that nothing can pass. `Some(None)`: no filter.
fn flat<T>(filter: Option<Option<T>>) -> Option<Option<T>> {
    match filter {
        None => Some(None),
        Some(None) => None,
        Some(value) => Some(value),
    }
}

fn instance(state: &State, cluster: &model::Cluster, name: &str) -> Result<InstanceId, Fault> {
    let missing = || Fault::invalid_parameter("The referenced container instance was not found.");
    named::instance(state, cluster, name)?.map(|instance| instance.id).ok_or_else(missing)
}

/// Our launch type for AWS's; `None`: one that no task here can have.
pub(crate) fn launch_type(wire: ecs::LaunchType) -> Option<LaunchType> {
    match wire {
        ecs::LaunchType::Ec2 => Some(LaunchType::Ec2),
        ecs::LaunchType::Fargate => Some(LaunchType::Fargate),
        ecs::LaunchType::External => Some(LaunchType::External),
        ecs::LaunchType::ManagedInstances => None,
    }
}
