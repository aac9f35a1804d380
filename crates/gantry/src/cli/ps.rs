//! `gantry ps`: services, and tasks: where they are, since when, why they stopped.

use super::service;
use super::shown::{ago, table};
use super::target::Target;
use super::timeline;
use anyhow::Result;
use clap::Args;
use comfy_table::Table;
use std::collections::BTreeMap;
use std::process::ExitCode;
use wire::{ToJson, ecs};

/// List services and tasks
#[derive(Args)]
pub struct Ps {
    /// Stopped tasks too
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    target: Target,
}

impl Ps {
    /// Prints them.
    pub fn run(self) -> Result<ExitCode> {
        super::block_on(async {
            let client = self.target.client()?;
            let mut arns = self.target.list(&client, ecs::DesiredStatus::Running).await?;
            // A task that is wanted stopped and not there yet is still running somewhere.
            arns.extend(self.target.list(&client, ecs::DesiredStatus::Stopped).await?);
            let mut tasks = self.target.describe(&client, arns).await?;
            tasks.retain(|task| self.all || task.last_status.as_deref() != Some("STOPPED"));
            tasks.sort_by(|a, b| created(a).total_cmp(&created(b)));
            match self.target.output {
                super::Output::Json => {
                    let all: Vec<String> = tasks.iter().map(ToJson::to_json).collect();
                    println!("[{}]", all.join(","));
                }
                super::Output::Text => {
                    let services = service::all(&self.target, &client).await?;
                    if !services.is_empty() {
                        println!("{}\n", service::listed(&services));
                    }
                    let mut waits = BTreeMap::new();
                    for task in tasks.iter().filter(|task| may_wait(task)) {
                        let arn = task.task_arn.clone().unwrap_or_default();
                        let timeline = timeline::fetch(&client, &self.target.cluster, arn.clone()).await?;
                        waits.extend(timeline::waiting(&timeline).map(|why| (arn, why)));
                    }
                    println!("{}", listed(&tasks, &waits));
                }
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn created(task: &ecs::Task) -> f64 {
    task.created_at.map_or(0.0, |at| at.0)
}

/// A task of a capacity provider that no host has yet.
fn may_wait(task: &ecs::Task) -> bool {
    task.last_status.as_deref() == Some("PROVISIONING") && task.attachments.as_deref().unwrap_or_default().is_empty()
}

fn listed(tasks: &[ecs::Task], waits: &BTreeMap<String, String>) -> Table {
    let mut table = table(["TASK", "GROUP", "DEFINITION", "STATUS", "HEALTH", "WHERE", "SINCE", "CONTAINERS", "WHY"]);
    for task in tasks {
        let arn = task.task_arn.as_deref().unwrap_or("");
        let definition = link::acs::id_of(task.task_definition_arn.as_deref().unwrap_or(""));
        table.add_row([
            link::acs::id_of(arn).chars().take(12).collect(),
            task.group.clone().unwrap_or_default(),
            definition.to_owned(),
            status(task),
            task.health_status.map(|health| health.as_str().to_owned()).unwrap_or_default(),
            place(task),
            since(task),
            containers(task),
            task.stopped_reason.clone().or_else(|| waits.get(arn).cloned()).unwrap_or_default(),
        ]);
    }
    table
}

fn status(task: &ecs::Task) -> String {
    let (last, desired) = (task.last_status.as_deref().unwrap_or(""), task.desired_status.as_deref().unwrap_or(""));
    if last == desired || desired == "RUNNING" { last.to_owned() } else { format!("{last} -> {desired}") }
}

/// Its address, or the ports of its host that lead to it.
fn place(task: &ecs::Task) -> String {
    if let Some(address) = address(task) {
        return address;
    }
    let bindings = task.containers.iter().flatten().flat_map(|container| container.network_bindings.iter().flatten());
    let shown = bindings.filter_map(|binding| Some(format!("{}->{}", binding.host_port?, binding.container_port?)));
    shown.collect::<Vec<_>>().join(", ")
}

/// The task's own address.
pub fn address(task: &ecs::Task) -> Option<String> {
    let details = task.attachments.iter().flatten().flat_map(|attachment| attachment.details.iter().flatten());
    details
        .filter(|detail| detail.name.as_deref() == Some("privateIPv4Address"))
        .find_map(|detail| detail.value.clone())
}

fn since(task: &ecs::Task) -> String {
    task.stopped_at.or(task.started_at).or(task.created_at).map(|at| ago(at.millis())).unwrap_or_default()
}

fn containers(task: &ecs::Task) -> String {
    let shown = |container: &ecs::Container| {
        let name = container.name.as_deref().unwrap_or("");
        match (container.exit_code, container.reason.as_deref()) {
            (Some(code), _) => format!("{name} (exit {code})"),
            (None, Some(reason)) => format!("{name} ({reason})"),
            (None, None) => name.to_owned(),
        }
    };
    task.containers.iter().flatten().map(shown).collect::<Vec<_>>().join(", ")
}
