//! `gantry logs`: what a task's containers, or those of all tasks of a service, have printed, in the order of time.

use super::target::{Target, odd};
use crate::client::{CallError, Client};
use crate::clock::wall_ms;
use anyhow::{Context, Result, bail};
use clap::Args;
use model::TaskId;
use model::log::LogNeeds;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use wire::logs::OutputLogEvent;
use wire::{ecs, logs};

/// Between looks for more.
const PAUSE: Duration = Duration::from_millis(200);
/// Between looks for tasks that have come or ended.
const LOOK: Duration = Duration::from_secs(1);
/// Events of one page.
const PAGE: i32 = 1_000;

/// Show what a task's containers, or those of a service's tasks, have printed
#[derive(Args)]
pub struct LogsVerb {
    /// ARN, id, or the beginning of an id
    #[arg(required_unless_present = "service", conflicts_with = "service")]
    task: Option<String>,
    /// All tasks of this service
    #[arg(long)]
    service: Option<String>,
    /// Go on with what is printed from now on
    #[arg(short, long)]
    follow: bool,
    /// Only what is not older: 90s, 10m, 2h, 3d
    #[arg(long, value_parser = age, value_name = "AGE")]
    since: Option<u64>,
    /// Only the last lines
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    lines: Option<u16>,
    #[command(flatten)]
    target: Target,
}

/// Milliseconds from `10m`.
fn age(text: &str) -> Result<u64, String> {
    let (digits, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()));
    let ms = match unit {
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    let known = digits.parse::<u64>().ok().filter(|_| ms > 0).and_then(|number| number.checked_mul(ms));
    known.ok_or_else(|| format!("{text:?} is no age like 90s, 10m, 2h or 3d"))
}

/// A container's stream, and how far it was read.
struct Source {
    task: String,
    container: String,
    group: String,
    stream: String,
    token: Option<String>,
    waiting: VecDeque<OutputLogEvent>,
}

impl LogsVerb {
    /// Prints them.
    pub fn run(self) -> Result<ExitCode> {
        super::block_on(async {
            let client = self.target.client()?;
            let since = self.since.map_or(0, |age| wall_ms().saturating_sub(age)) as i64;
            let mut sources = Vec::new();
            let mut living = self.find(&client, &mut sources).await?;
            match self.lines {
                Some(lines) => self.last(&client, &mut sources, since, i32::from(lines)).await?,
                None => self.all(&client, &mut sources, since).await?,
            }
            let mut looked = Instant::now();
            if !self.follow {
                return Ok(ExitCode::SUCCESS);
            }
            loop {
                let more = self.more(&client, &mut sources, since).await?;
                if looked.elapsed() >= LOOK {
                    // One look after the end, for what was still on its way.
                    if !living && !more && self.service.is_none() {
                        return Ok(ExitCode::SUCCESS);
                    }
                    living = self.find(&client, &mut sources).await?;
                    looked = Instant::now();
                }
                tokio::time::sleep(PAUSE.max(Duration::from_millis(5 * sources.len() as u64))).await;
            }
        })
    }

    /// Adds the streams of tasks that are not known yet; whether any task lives.
    async fn find(&self, client: &Client, sources: &mut Vec<Source>) -> Result<bool> {
        let arns = match (&self.task, &self.service) {
            (Some(task), _) => vec![self.target.task(client, task).await?],
            (None, Some(service)) => self.of_service(client, service).await?,
            (None, None) => bail!("name a task or --service"),
        };
        let tasks = self.target.describe(client, arns).await?;
        if let (Some(task), true) = (&self.task, tasks.is_empty()) {
            bail!("there is no task {task} in cluster {} (any more)", self.target.cluster);
        }
        let known: BTreeSet<String> = sources.iter().map(|source| source.task.clone()).collect();
        let mut definitions = BTreeMap::new();
        for task in &tasks {
            let id = link::acs::id_of(task.task_arn.as_deref().unwrap_or_default());
            if !known.contains(id) {
                let name = task.task_definition_arn.clone().unwrap_or_default();
                if !definitions.contains_key(&name) {
                    definitions.insert(name.clone(), definition(client, &name).await?);
                }
                streams(id, task, &definitions[&name], sources);
            }
        }
        Ok(tasks.iter().any(|task| task.last_status.as_deref() != Some("STOPPED")))
    }

    async fn of_service(&self, client: &Client, service: &str) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for desired in [ecs::DesiredStatus::Running, ecs::DesiredStatus::Stopped] {
            let mut next_token = None;
            loop {
                let request = ecs::ListTasksRequest {
                    cluster: Some(self.target.cluster.clone()),
                    service_name: Some(service.to_owned()),
                    desired_status: Some(desired),
                    next_token,
                    ..Default::default()
                };
                let answer = match client.ecs(request).await? {
                    ecs::Response::ListTasks(answer) => answer,
                    other => return Err(odd(&other)),
                };
                all.extend(answer.task_arns.unwrap_or_default());
                next_token = answer.next_token;
                if next_token.is_none() {
                    break;
                }
            }
        }
        Ok(all)
    }

    /// Everything, merged as it is read.
    async fn all(&self, client: &Client, sources: &mut [Source], since: i64) -> Result<()> {
        let mut ended = vec![false; sources.len()];
        loop {
            for (source, ended) in sources.iter_mut().zip(&mut ended) {
                if source.waiting.is_empty() && !*ended {
                    *ended = !source.read(client, since).await?;
                }
            }
            let heads = sources.iter().enumerate();
            let oldest = heads.filter_map(|(at, source)| Some((source.waiting.front()?.timestamp, at))).min();
            let Some((_, at)) = oldest else { return Ok(()) };
            if let Some(event) = sources[at].waiting.pop_front()
                && !self.print(sources, at, &event)?
            {
                return Ok(());
            }
        }
    }

    /// The last lines of all together.
    async fn last(&self, client: &Client, sources: &mut [Source], since: i64, lines: i32) -> Result<()> {
        for source in sources.iter_mut() {
            source.read_page(client, since, lines, false).await?;
        }
        self.drain(sources, Some(lines as usize)).map(drop)
    }

    /// What has come since; whether there was something.
    async fn more(&self, client: &Client, sources: &mut [Source], since: i64) -> Result<bool> {
        for source in sources.iter_mut() {
            source.read(client, since).await?;
        }
        self.drain(sources, None)
    }

    /// Prints what was read, in the order of time.
    fn drain(&self, sources: &mut [Source], last: Option<usize>) -> Result<bool> {
        let waiting = sources.iter_mut().enumerate();
        let mut events: Vec<(usize, OutputLogEvent)> = waiting
            .flat_map(|(at, source)| std::mem::take(&mut source.waiting).into_iter().map(move |event| (at, event)))
            .collect();
        events.sort_by_key(|(_, event)| event.timestamp);
        let skipped = last.map_or(0, |last| events.len().saturating_sub(last));
        for (at, event) in &events[skipped..] {
            if !self.print(sources, *at, event)? {
                std::process::exit(0);
            }
        }
        Ok(!events.is_empty())
    }

    /// False: nobody reads any more.
    fn print(&self, sources: &[Source], at: usize, event: &OutputLogEvent) -> Result<bool> {
        let source = &sources[at];
        let message = event.message.as_deref().unwrap_or_default();
        let line = match (self.target.output, &self.service) {
            (super::Output::Json, _) => serde_json::json!({
                "timestamp": event.timestamp, "task": source.task, "container": source.container, "message": message,
            })
            .to_string(),
            (_, Some(_)) => format!("{}/{} {message}", source.task.get(..8).unwrap_or_default(), source.container),
            (_, None) if sources.len() > 1 => format!("{} {message}", source.container),
            (_, None) => message.to_owned(),
        };
        match writeln!(std::io::stdout(), "{line}") {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
            result => result.map(|()| true).context("cannot print"),
        }
    }
}

/// The output of one task from its beginning, as it comes.
#[derive(Default)]
pub struct Follower {
    sources: Vec<Source>,
}

impl Follower {
    /// Prints what has come since the last call; whether there was something.
    pub async fn print(&mut self, client: &Client, task: &ecs::Task, definition: &ecs::TaskDefinition) -> Result<bool> {
        let mut found = Vec::new();
        streams(link::acs::id_of(task.task_arn.as_deref().unwrap_or_default()), task, definition, &mut found);
        // A stream that the runtime names is known only once its container is made.
        for source in found {
            if !self.sources.iter().any(|known| known.container == source.container) {
                self.sources.push(source);
            }
        }
        let (many, mut some) = (self.sources.len() > 1, false);
        for source in &mut self.sources {
            while source.read(client, 0).await? {
                some = true;
                for event in std::mem::take(&mut source.waiting) {
                    let message = event.message.unwrap_or_default();
                    let line = if many { format!("{} {message}", source.container) } else { message };
                    writeln!(std::io::stdout(), "{line}").context("cannot print")?;
                }
            }
        }
        Ok(some)
    }
}

impl Source {
    /// The next page; whether there was something.
    async fn read(&mut self, client: &Client, since: i64) -> Result<bool> {
        self.read_page(client, since, PAGE, true).await
    }

    async fn read_page(&mut self, client: &Client, since: i64, limit: i32, head: bool) -> Result<bool> {
        let request = logs::GetLogEventsRequest {
            log_group_name: Some(self.group.clone()),
            log_stream_name: self.stream.clone(),
            start_time: Some(since),
            next_token: self.token.clone(),
            limit: Some(limit),
            start_from_head: Some(head),
            ..Default::default()
        };
        match client.logs(request).await {
            Ok(logs::Response::GetLogEvents(page)) => {
                let events = page.events.unwrap_or_default();
                self.token = page.next_forward_token;
                let some = !events.is_empty();
                self.waiting.extend(events);
                Ok(some)
            }
            Ok(other) => bail!("the server answered {} instead", other.operation()),
            // Nothing was printed yet.
            Err(CallError::Fault(fault)) if fault.code == "ResourceNotFoundException" => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

async fn definition(client: &Client, name: &str) -> Result<ecs::TaskDefinition> {
    let request = ecs::DescribeTaskDefinitionRequest { task_definition: name.to_owned(), ..Default::default() };
    match client.ecs(request).await? {
        ecs::Response::DescribeTaskDefinition(answer) => Ok(answer.task_definition.unwrap_or_default()),
        other => Err(odd(&other)),
    }
}

/// The streams of a task. One that the runtime names is known once its container is made.
fn streams(id: &str, task: &ecs::Task, definition: &ecs::TaskDefinition, sources: &mut Vec<Source>) {
    let Some(task_id) = TaskId::parse(id) else { return };
    let family = definition.family.as_deref().unwrap_or_default();
    for container in definition.container_definitions.iter().flatten() {
        let needs = LogNeeds::of(family, container);
        let name = container.name.clone().unwrap_or_default();
        let runtime_id = || {
            let made = task.containers.iter().flatten().find(|made| made.name.as_deref() == Some(&name));
            made.and_then(|made| made.runtime_id.clone())
        };
        let Some(stream) = needs.stream(&name, task_id).or_else(runtime_id) else { continue };
        let (task, group) = (id.to_owned(), needs.group);
        sources.push(Source { task, container: name, group, stream, token: None, waiting: VecDeque::new() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read() {
        assert_eq!((age("90s"), age("10m"), age("2h")), (Ok(90_000), Ok(600_000), Ok(7_200_000)));
        assert_eq!((age("5"), age("1d")), (Ok(5_000), Ok(86_400_000)));
        for bad in ["", "m", "1y", "-1m", "1.5h", "99999999999999999999d", "é"] {
            assert!(age(bad).is_err(), "{bad}");
        }
    }
}
