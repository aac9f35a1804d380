//! `gantry ps`: tasks, where they are, since when, why they stopped.

use super::target::Target;
use crate::clock::wall_ms;
use anyhow::Result;
use clap::Args;
use comfy_table::{Table, presets};
use std::process::ExitCode;
use wire::{ToJson, ecs};

/// List tasks
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
                super::Output::Text => println!("{}", table(&tasks)),
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn created(task: &ecs::Task) -> f64 {
    task.created_at.map_or(0.0, |at| at.0)
}

fn table(tasks: &[ecs::Task]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["TASK", "DEFINITION", "STATUS", "ADDRESS", "SINCE", "CONTAINERS", "WHY STOPPED"]);
    for task in tasks {
        let arn = task.task_arn.as_deref().unwrap_or("");
        let definition = link::acs::id_of(task.task_definition_arn.as_deref().unwrap_or(""));
        table.add_row([
            link::acs::id_of(arn).chars().take(12).collect(),
            definition.to_owned(),
            status(task),
            address(task).unwrap_or_default(),
            since(task),
            containers(task),
            task.stopped_reason.clone().unwrap_or_default(),
        ]);
    }
    table
}

fn status(task: &ecs::Task) -> String {
    let (last, desired) = (task.last_status.as_deref().unwrap_or(""), task.desired_status.as_deref().unwrap_or(""));
    if last == desired || desired == "RUNNING" { last.to_owned() } else { format!("{last} -> {desired}") }
}

/// The task's own address.
pub fn address(task: &ecs::Task) -> Option<String> {
    let details = task.attachments.iter().flatten().flat_map(|attachment| attachment.details.iter().flatten());
    details
        .filter(|detail| detail.name.as_deref() == Some("privateIPv4Address"))
        .find_map(|detail| detail.value.clone())
}

fn since(task: &ecs::Task) -> String {
    let at = task.stopped_at.or(task.started_at).or(task.created_at);
    let seconds = at.map_or(0, |at| wall_ms().saturating_sub(at.millis()) / 1000);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
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
