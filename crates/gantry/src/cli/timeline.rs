//! `gantry timeline`: where the milliseconds of a start went.

use super::shown::ago;
use super::target::Target;
use crate::client::Client;
use anyhow::{Result, bail};
use clap::Args;
use std::process::ExitCode;
use wire::{ToJson, gantry};

/// Show where the milliseconds of a task's start went
#[derive(Args)]
pub struct Timeline {
    /// ARN, id, or the beginning of an id
    task: String,
    #[command(flatten)]
    target: Target,
}

impl Timeline {
    /// Prints it.
    pub fn run(self) -> Result<ExitCode> {
        super::block_on(async {
            let client = self.target.client()?;
            let task = self.target.task(&client, &self.task).await?;
            let timeline = fetch(&client, &self.target.cluster, task).await?;
            match self.target.output {
                super::Output::Json => println!("{}", timeline.to_json()),
                super::Output::Text => print(&timeline),
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Asks for a task's timeline.
pub async fn fetch(client: &Client, cluster: &str, task: String) -> Result<gantry::DescribeTimelineResponse> {
    let request = gantry::DescribeTimelineRequest { cluster: Some(cluster.to_owned()), task };
    match client.gantry(request).await? {
        gantry::Response::DescribeTimeline(answer) => Ok(*answer),
        other => bail!("the server answered {} instead", other.operation()),
    }
}

/// Prints a timeline for people.
pub fn print(timeline: &gantry::DescribeTimelineResponse) {
    print!("{}", text(timeline));
}

/// A timeline for people, a line for each phase.
pub fn text(timeline: &gantry::DescribeTimelineResponse) -> String {
    let mut text = String::new();
    for phase in timeline.phases.as_deref().unwrap_or_default() {
        text += &format!("{:>8} ms  {}\n", phase.since_accepted_ms.unwrap_or(0), phase.name.as_deref().unwrap_or(""));
    }
    text + &waiting(timeline).map(|why| format!("waits for room: {why}\n")).unwrap_or_default()
}

/// Why a task has no place yet, in a line.
pub fn waiting(timeline: &gantry::DescribeTimelineResponse) -> Option<String> {
    let waiting = timeline.waiting.as_ref()?;
    let (reason, detail) = (waiting.reason.as_deref()?, waiting.detail.as_deref().unwrap_or(""));
    let since = waiting.first_seen.map(|at| format!(" (for {})", ago(at.millis()))).unwrap_or_default();
    Some(format!("{reason}: {detail}{since}"))
}
