//! Frames as one line for people. Reading only.

use crate::trace::Trace;
use crate::wires::Reply;
use link::acs::{TaskIdentifier, ToAgent, ToControl};
use node::hands::Event;
use wire::ecs;

/// A frame of the control plane.
pub(crate) fn to_agent(trace: &Trace, frame: &str) -> String {
    match ToAgent::decode(frame) {
        Some(ToAgent::PayloadMessage(payload)) => {
            let tasks = payload.tasks.iter().map(|task| format!("{} {}", trace.name(&task.arn), task.desired_status));
            let tasks: Vec<String> = tasks.collect();
            format!("PayloadMessage {}: {}", number(&payload.message_id), tasks.join(", "))
        }
        Some(ToAgent::TaskManifestMessage(manifest)) => {
            format!("TaskManifestMessage {}: {}", number(&manifest.message_id), tasks(trace, &manifest.tasks))
        }
        Some(ToAgent::TaskStopVerificationAck(ack)) => {
            format!("TaskStopVerificationAck {}: {}", number(&ack.message_id), tasks(trace, &ack.stop_tasks))
        }
        Some(ToAgent::HeartbeatMessage(heartbeat)) => format!("HeartbeatMessage {}", number(&heartbeat.message_id)),
        None => format!("nothing that it can read: {frame}"),
    }
}

/// A frame of a node.
pub(crate) fn to_control(trace: &Trace, frame: &str) -> String {
    match ToControl::decode(frame) {
        Some(ToControl::AckRequest(ack)) => format!("AckRequest {}", number(&ack.message_id)),
        Some(ToControl::HeartbeatAckRequest(ack)) => format!("HeartbeatAckRequest {}", number(&ack.message_id)),
        Some(ToControl::TaskStopVerificationMessage(question)) => {
            let candidates = tasks(trace, &question.stop_candidates);
            format!("TaskStopVerificationMessage {}: {candidates}", number(&question.message_id))
        }
        None => format!("nothing that can be read: {frame}"),
    }
}

/// `payload-<instance>-7` without the instance.
fn number(message_id: &str) -> String {
    let kind = message_id.split('-').next().unwrap_or("");
    let number = message_id.rsplit('-').next().unwrap_or("");
    format!("{kind}-{number}")
}

fn tasks(trace: &Trace, tasks: &[TaskIdentifier]) -> String {
    let tasks: Vec<&str> = tasks.iter().map(|task| trace.name(&task.task_arn)).collect();
    if tasks.is_empty() { "no task".to_owned() } else { tasks.join(", ") }
}

/// What a host tells its node.
pub(crate) fn event(trace: &Trace, event: &Event) -> String {
    let Some(task) = event.task() else { return "FoundAll".to_owned() };
    let task = trace.name(task.as_str());
    match event {
        Event::Found { supervised, containers, reported, .. } => {
            let ended = containers.iter().filter(|container| container.exit.is_some()).count();
            let supervisor = if *supervised { "supervised" } else { "not supervised" };
            let reported = reported.as_deref().unwrap_or("nothing");
            format!("Found {task}: {supervisor}, {} containers, {ended} ended, reported {reported}", containers.len())
        }
        Event::FoundAll => "FoundAll".to_owned(),
        Event::Recorded { error: None, .. } => format!("Recorded {task}"),
        Event::Recorded { error: Some(error), .. } => format!("Recorded {task} not: {error}"),
        Event::NetworkReady { .. } => format!("NetworkReady {task}"),
        Event::NetworkFailed { .. } => format!("NetworkFailed {task}"),
        Event::ImagePulling { container, .. } => format!("ImagePulling {task} {container}"),
        Event::ImageReady { container, .. } => format!("ImageReady {task} {container}"),
        Event::ImageFailed { container, failure, .. } => format!("ImageFailed {task} {container}: {}", failure.error),
        Event::Supervised { .. } => format!("Supervised {task}"),
        Event::SupervisorLost { .. } => format!("SupervisorLost {task}"),
        Event::ContainerCreated { container, .. } => format!("ContainerCreated {task} {container}"),
        Event::ContainerStarted { container, .. } => format!("ContainerStarted {task} {container}"),
        Event::ContainerFailed { container, .. } => format!("ContainerFailed {task} {container}"),
        Event::ContainerExited { container, exit, .. } => {
            let memory = if exit.out_of_memory { ", out of memory" } else { "" };
            format!("ContainerExited {task} {container} with {}{memory}", exit.code.unwrap_or(-1))
        }
        Event::HealthChecked { container, code, .. } => format!("HealthChecked {task} {container} with {code}"),
        Event::Released { .. } => format!("Released {task}"),
        Event::Forgotten { .. } => format!("Forgotten {task}"),
    }
}

/// What came of a request.
pub(crate) fn reply(trace: &Trace, reply: &Reply) -> String {
    let Reply::Answer(answer) = reply else { return "nothing".to_owned() };
    match &**answer {
        Err(fault) => fault.to_string(),
        Ok(ecs::Response::RunTask(response)) => {
            let failures = response.failures.as_deref().unwrap_or_default();
            let failures = failures.iter().map(|failure| failure.detail.clone().unwrap_or_default());
            let tasks = response.tasks.as_deref().unwrap_or_default().iter().map(|task| shown(trace, task));
            tasks.chain(failures).collect::<Vec<_>>().join("; ")
        }
        Ok(ecs::Response::DescribeTasks(response)) => {
            let tasks = response.tasks.as_deref().unwrap_or_default().iter().map(|task| shown(trace, task));
            let failures = response.failures.as_deref().unwrap_or_default();
            let failures = failures.iter().map(|failure| failure.reason.clone().unwrap_or_default());
            tasks.chain(failures).collect::<Vec<_>>().join("; ")
        }
        Ok(ecs::Response::StopTask(response)) => {
            response.task.as_ref().map_or_else(String::new, |task| shown(trace, task))
        }
        Ok(ecs::Response::RegisterTaskDefinition(response)) => {
            let arn =
                response.task_definition.as_ref().and_then(|definition| definition.task_definition_arn.as_deref());
            trace.name(arn.unwrap_or("")).to_owned()
        }
        Ok(ecs::Response::DescribeServices(response)) => {
            let services = response.services.as_deref().unwrap_or_default().iter().map(shown_service);
            services.collect::<Vec<_>>().join("; ")
        }
        Ok(ecs::Response::DescribeTaskSets(response)) => {
            let sets = response.task_sets.as_deref().unwrap_or_default().iter().map(|set| shown_set(trace, set));
            sets.collect::<Vec<_>>().join("; ")
        }
        Ok(ecs::Response::CreateTaskSet(response)) => {
            response.task_set.as_ref().map_or_else(String::new, |set| shown_set(trace, set))
        }
        Ok(ecs::Response::UpdateTaskSet(response)) => {
            response.task_set.as_ref().map_or_else(String::new, |set| shown_set(trace, set))
        }
        Ok(ecs::Response::DeleteTaskSet(response)) => {
            response.task_set.as_ref().map_or_else(String::new, |set| shown_set(trace, set))
        }
        Ok(response) => format!("yes to {}", response.operation()),
    }
}

/// A service as a client sees it.
fn shown_service(service: &ecs::Service) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let deployments = service.deployments.as_deref().unwrap_or_default().iter().map(|deployment| {
        let family = text(&deployment.task_definition);
        let family = link::acs::id_of(&family);
        let state = deployment.rollout_state.map_or("", |state| state.as_str());
        let (running, failed) = (deployment.running_count.unwrap_or(0), deployment.failed_tasks.unwrap_or(0));
        format!("{} {family} {state}, {running} running, {failed} failed", text(&deployment.status))
    });
    let (running, desired) = (service.running_count.unwrap_or(0), service.desired_count.unwrap_or(0));
    let deployments: Vec<String> = deployments.collect();
    format!("{} runs {running} of {desired}: {}", text(&service.service_name), deployments.join("; "))
}

/// A task set as a client sees it.
fn shown_set(trace: &Trace, set: &ecs::TaskSet) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let share = set.scale.as_ref().and_then(|scale| scale.value).unwrap_or(0.0);
    let stability = set.stability_status.map_or("", |status| status.as_str());
    let (running, computed) = (set.running_count.unwrap_or(0), set.computed_desired_count.unwrap_or(0));
    let family = text(&set.task_definition);
    format!(
        "{} of {} is {} with {share} %: {running} of {computed} run, {stability}",
        trace.name(set.id.as_deref().unwrap_or("")),
        link::acs::id_of(&family),
        text(&set.status),
    )
}

/// A task as a client sees it.
fn shown(trace: &Trace, task: &ecs::Task) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let name = trace.name(task.task_arn.as_deref().unwrap_or("")).to_owned();
    let why = match (&task.stop_code, &task.stopped_reason) {
        (Some(code), Some(reason)) => format!(", {}: {reason}", code.as_str()),
        _ => String::new(),
    };
    let containers = task.containers.as_deref().unwrap_or_default().iter().map(|container| {
        let code = container.exit_code.map(|code| format!(" with {code}")).unwrap_or_default();
        format!("{} {}{code}", text(&container.name), text(&container.last_status))
    });
    let containers: Vec<String> = containers.collect();
    format!(
        "{name} is {}, wanted {}{why} ({})",
        text(&task.last_status),
        text(&task.desired_status),
        containers.join(", ")
    )
}
