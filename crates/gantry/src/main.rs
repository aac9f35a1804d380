//! Gantry: an Elastic Container Service on your own machines. The real world around the pure crates: the command line,
//! HTTP and websockets, threads, the clock, entropy and signals.
#![deny(unsafe_code)]

mod agent;
mod cli;
mod client;
mod clock;
mod data_dir;
mod endpoint;
mod heap;
mod server;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Two hidden programs live in this one. They must stay single-threaded, so that they branch off before anything else.
    let mut arguments = std::env::args_os().skip(1);
    let rest = |arguments: std::iter::Skip<std::env::ArgsOs>| arguments.collect::<Vec<_>>();
    match arguments.next().as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("supervisor") => agent::hidden::supervisor(rest(arguments)),
        Some("resolver") => agent::hidden::resolver(rest(arguments)),
        _ => {
            runtime::memory::few_arenas();
            heap::give_back_in_background();
            cli::main()
        }
    }
}
