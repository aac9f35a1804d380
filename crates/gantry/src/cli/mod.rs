//! The command line: one file for each verb.

mod backup;
mod completion;
mod control;
mod definition;
mod down;
mod env;
mod explain;
mod history;
mod image;
mod logs;
mod node;
mod node_socket;
mod plan;
mod ps;
mod run;
mod service;
mod serving;
mod shown;
mod stop;
mod target;
mod timeline;
mod top;
mod up;

use clap::{Parser, Subcommand, ValueEnum};
use std::process::ExitCode;

/// An Elastic Container Service on your own machines.
#[derive(Parser)]
#[command(name = "gantry", version, about, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run control plane and node on this machine
    Up(up::Up),
    /// Run the control plane alone
    Control(control::ControlVerb),
    /// Run a node alone
    Node(node::NodeVerb),
    /// Stop every task of this node and remove everything it made on the host
    Down(down::Down),
    /// Print the environment for AWS tools: eval "$(gantry env)"
    Env(env::Env),
    /// Images of this node
    #[command(subcommand)]
    Image(image::Image),
    /// Register a task definition and run a task of it
    Run(run::Run),
    /// Services: tasks that are kept at a number
    #[command(subcommand)]
    Service(service::ServiceVerb),
    /// List services and tasks
    Ps(ps::Ps),
    /// Show what a task's containers, or those of a service's tasks, have printed
    Logs(logs::LogsVerb),
    /// Stop a task
    Stop(stop::StopVerb),
    /// Show where the milliseconds of a task's start went
    Timeline(timeline::Timeline),
    /// Explain why a task, a service or a deployment is where it is, or what it waits for
    Explain(explain::Explain),
    /// Show what a call would bring about, without making it
    Plan(plan::Plan),
    /// Show what the tasks of this node use of it
    Top(top::Top),
    /// Show what happened to the deployment
    History(history::History),
    /// Write the control plane's state and keys to a file
    Backup(backup::Backup),
    /// Put a backup in the place of the control plane's state and keys
    Restore(backup::Restore),
    /// Print the completion script of a shell
    Completion(completion::Completion),
}

/// How a verb prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Text,
    /// For scripts.
    Json,
}

/// Runs the verb; a failure is one line on standard error with its causes.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.verb {
        Verb::Up(verb) => verb.run(),
        Verb::Control(verb) => verb.run(),
        Verb::Node(verb) => verb.run(),
        Verb::Down(verb) => verb.run(),
        Verb::Env(verb) => verb.run(),
        Verb::Image(verb) => verb.run(),
        Verb::Run(verb) => verb.run(),
        Verb::Ps(verb) => verb.run(),
        Verb::Logs(verb) => verb.run(),
        Verb::Stop(verb) => verb.run(),
        Verb::Timeline(verb) => verb.run(),
        Verb::Explain(verb) => verb.run(),
        Verb::Plan(verb) => verb.run(),
        Verb::Service(verb) => verb.run(),
        Verb::Top(verb) => verb.run(),
        Verb::History(verb) => verb.run(),
        Verb::Backup(verb) => verb.run(),
        Verb::Restore(verb) => verb.run(),
        Verb::Completion(verb) => verb.run(),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("gantry: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a client's verb.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
