//! `gantry history`: what happened to the deployment, change by change.

use super::shown::clock_time;
use super::target::Target;
use anyhow::{Result, bail};
use clap::Args;
use std::process::ExitCode;
use wire::{ToJson, gantry};

/// Show what happened, newest last
#[derive(Args)]
pub struct History {
    /// Only what happened to it: a task's id or its beginning, a service, a cluster, a task definition
    about: Option<String>,
    /// So many changes at most
    #[arg(short = 'n', long, default_value_t = 50)]
    lines: usize,
    #[command(flatten)]
    target: Target,
}

impl History {
    /// Prints it.
    pub fn run(self) -> Result<ExitCode> {
        super::block_on(async {
            let client = self.target.client()?;
            let about = self.about.as_deref().map(|about| link::acs::id_of(about).to_owned());
            let (mut entries, mut before_index) = (Vec::new(), None);
            while entries.len() < self.lines {
                let max_results = i64::try_from((self.lines - entries.len()).min(1000)).ok();
                let request = gantry::ListHistoryRequest { about: about.clone(), before_index, max_results };
                match client.gantry(request).await? {
                    gantry::Response::ListHistory(answer) => {
                        entries.extend(answer.entries.unwrap_or_default());
                        before_index = answer.next_before_index;
                    }
                    other => bail!("the server answered {} instead", other.operation()),
                }
                if before_index.is_none() {
                    break;
                }
            }
            for entry in entries.iter().take(self.lines).rev() {
                match self.target.output {
                    super::Output::Json => println!("{}", entry.to_json()),
                    super::Output::Text => println!("{}", line(entry)),
                }
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn line(entry: &gantry::HistoryEntry) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let at = entry.at.map(|at| clock_time(at.millis())).unwrap_or_default();
    let (kind, subject, detail) = (text(&entry.kind), text(&entry.subject), text(&entry.detail));
    format!("{at}  {:>8}  {kind:<22}  {subject}  {detail}", entry.index.unwrap_or(0)).trim_end().to_owned()
}
