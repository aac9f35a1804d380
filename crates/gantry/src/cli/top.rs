//! `gantry top`: what the tasks of this node use of it, now.

use super::node_socket;
use super::shown::table;
use super::target::Target;
use anyhow::Result;
use clap::Args;
use hyper::Method;
use indicatif::HumanBytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use wire::ecs;

/// Show what the tasks of this node use of it
#[derive(Args)]
pub struct Top {
    /// Show it once and end
    #[arg(long)]
    once: bool,
    /// Seconds between two looks
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS")]
    interval: f64,
    #[command(flatten)]
    target: Target,
}

/// What one task used between two looks.
struct Used {
    task: String,
    cpu_percent: f64,
    memory: u64,
    limit: Option<u64>,
    processes: u64,
}

impl Top {
    /// Prints it, again and again without --once.
    pub fn run(self) -> Result<ExitCode> {
        super::block_on(async {
            let client = self.target.client()?;
            let interval = Duration::try_from_secs_f64(self.interval.max(0.1))?;
            let mut before = (self.look().await?, Instant::now());
            loop {
                tokio::time::sleep(if self.once { interval.min(Duration::from_secs(1)) } else { interval }).await;
                let now = (self.look().await?, Instant::now());
                let mut used = between(&before, &now);
                used.sort_by(|a, b| b.cpu_percent.total_cmp(&a.cpu_percent).then(b.memory.cmp(&a.memory)));
                let ids = used.iter().map(|used| used.task.clone()).collect();
                let tasks = self.target.describe(&client, ids).await?;
                self.print(&used, &tasks)?;
                if self.once {
                    return Ok(ExitCode::SUCCESS);
                }
                before = now;
            }
        })
    }

    async fn look(&self) -> Result<BTreeMap<String, Value>> {
        let mut all = BTreeMap::new();
        node_socket::ask(&self.target.data_dir, Method::GET, "/usage".to_owned(), node_socket::empty(), |mut line| {
            let usage = line["usage"].take();
            if let Some(task) = usage["task"].as_str() {
                all.insert(task.to_owned(), usage);
            }
        })
        .await?;
        Ok(all)
    }

    fn print(&self, used: &[Used], tasks: &[ecs::Task]) -> Result<()> {
        let of = |id: &str| tasks.iter().find(|task| link::acs::id_of(task.task_arn.as_deref().unwrap_or("")) == id);
        if self.target.output == super::Output::Json {
            let line = |used: &Used| {
                json!({"task": used.task, "group": of(&used.task).and_then(|task| task.group.clone()),
                    "cpuPercent": used.cpu_percent, "memoryBytes": used.memory, "memoryLimit": used.limit,
                    "processes": used.processes})
            };
            println!("{}", Value::Array(used.iter().map(line).collect()));
            return Ok(());
        }
        let mut table = table(["TASK", "GROUP", "CPU", "MEMORY", "LIMIT", "PROCESSES"]);
        for used in used {
            table.add_row([
                used.task.chars().take(12).collect(),
                of(&used.task).and_then(|task| task.group.clone()).unwrap_or_default(),
                format!("{:.1} %", used.cpu_percent),
                HumanBytes(used.memory).to_string(),
                used.limit.map(|limit| HumanBytes(limit).to_string()).unwrap_or_default(),
                used.processes.to_string(),
            ]);
        }
        let mut out = std::io::stdout().lock();
        if out.is_terminal() && !self.once {
            // Home, and nothing of the last look below.
            write!(out, "\x1b[H\x1b[2J")?;
        }
        writeln!(out, "{table}")?;
        Ok(())
    }
}

/// Percent of one core, and what is held now; tasks that were not there before have used nothing yet.
fn between(before: &(BTreeMap<String, Value>, Instant), now: &(BTreeMap<String, Value>, Instant)) -> Vec<Used> {
    let passed = now.1.duration_since(before.1).as_nanos().max(1) as f64;
    let used = |(task, usage): (&String, &Value)| {
        let number = |usage: &Value, name: &str| usage[name].as_u64().unwrap_or(0);
        let was = before.0.get(task).map_or(number(usage, "cpuNs"), |before| number(before, "cpuNs"));
        Used {
            task: task.clone(),
            cpu_percent: number(usage, "cpuNs").saturating_sub(was) as f64 / passed * 100.0,
            memory: number(usage, "memoryBytes"),
            limit: usage["memoryLimit"].as_u64(),
            processes: number(usage, "processes"),
        }
    };
    now.0.iter().map(used).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_is_of_one_core_over_the_time_between() {
        let look = |cpu: u64| BTreeMap::from([("a".to_owned(), json!({"cpuNs": cpu, "memoryBytes": 5}))]);
        let begun = Instant::now();
        let used = between(&(look(1_000_000), begun), &(look(501_000_000), begun + Duration::from_secs(1)));
        assert_eq!((used[0].cpu_percent, used[0].memory, used[0].limit), (50.0, 5, None));
        let fresh = between(&(BTreeMap::new(), begun), &(look(9), begun + Duration::from_secs(1)));
        assert_eq!(fresh[0].cpu_percent, 0.0);
    }
}
