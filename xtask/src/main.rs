//! The project's chores, as subcommands: `cargo xtask <chore>`. This file only reads the command line and hands over; each
//! chore has a file of its own. Nothing here is ever linked into the server.

#![forbid(unsafe_code)]

mod archive;
mod bench;
mod ci;
mod codegen;
mod command;
mod demo;
mod images;
mod packages;
mod processes;
mod sim;
mod test;
mod vm;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The chores of the project.
#[derive(Parser)]
#[command(name = "xtask", about = "Chores of the project")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Measure what SPECIFICATION.md promises, on this machine
    Bench(bench::Arguments),
    /// Write the generated part of the crate `wire` from the API models
    Codegen(codegen::Arguments),
    /// Install what is missing, build, start Gantry, run a web server as a Fargate task and a service
    Demo(demo::Arguments),
    /// Install what tests need and run every test, those on real containers included (root)
    Test(test::Arguments),
    /// Run the tests on real containers on a host with cgroup v2 alone: Debian's kernel in an emulated machine (root)
    Vm(vm::Arguments),
    /// Everything that must hold before a change is taken: format, generated code, lints, tests, demo
    Ci,
    /// Run the production control plane and nodes in simulated worlds
    Sim(sim::Arguments),
}

fn main() -> ExitCode {
    match run(Arguments::parse().chore) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore) -> anyhow::Result<()> {
    match chore {
        Chore::Bench(arguments) => bench::run(&arguments),
        Chore::Codegen(arguments) => codegen::run(&arguments),
        Chore::Demo(arguments) => demo::demo(&arguments),
        Chore::Test(arguments) => test::test(&arguments),
        Chore::Vm(arguments) => vm::vm(&arguments),
        Chore::Ci => ci::ci(),
        Chore::Sim(arguments) => sim::run(&arguments),
    }
}
