//! The project's chores, as subcommands: `cargo xtask <chore>`. This file only reads the command line and hands over; each
//! chore has a file of its own. Nothing here is ever linked into the server.

#![forbid(unsafe_code)]

mod codegen;

use clap::{Parser, Subcommand};

/// The chores of the project.
#[derive(Parser)]
#[command(name = "xtask", about = "Chores of the project")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Write the generated part of the crate `wire` from the API models
    Codegen(codegen::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().chore {
        Chore::Codegen(arguments) => codegen::run(&arguments),
    }
}
