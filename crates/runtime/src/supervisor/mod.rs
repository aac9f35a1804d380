//! The process of one task: it makes the task's containers, keeps their output, records how they end, and outlives the
//! node. It decides nothing: restarts, essential exits and stops are the node's, and wait for it.
//!
//! ```text
//! spare ── Assign ──> serving ── End ──> ending ──> gone
//!   └─ node gone ──> gone
//! ```
//!
//! Single-threaded throughout, as libcontainer demands of a process that clones; no async runtime may be started in it.

mod checks;
mod connection;
mod create;
mod devices;
mod exec;
mod executor;
mod failure;
mod host;
mod maker;
mod notes;
mod prepare;
mod process;
pub(crate) mod protocol;
mod rootfs;
mod seccomp;
mod serve;
mod signal;
mod spec;
mod task;
mod tidy;
mod user;
mod volumes;

pub use protocol::ImageConfig;

pub(crate) use failure::chain;
pub(crate) use seccomp::supported as seccomp_supported;

use std::ffi::OsString;

/// The whole life of a supervisor process, started by a node with a socket as its standard input and the node's id as
/// its only argument. Never returns. Must be called while the process has a single thread.
pub fn supervisor_main(arguments: impl IntoIterator<Item = OsString>) -> ! {
    let mut arguments = arguments.into_iter();
    let node_id = arguments.next().and_then(|text| text.into_string().ok());
    let code = match (node_id.filter(|id| crate::place::is_node_id(id)), arguments.next()) {
        (Some(node_id), None) => match serve::supervise(&node_id) {
            Ok(()) => 0,
            Err(error) => {
                note(format_args!("gantry supervisor: {}", failure::chain(&error)));
                1
            }
        },
        _ => {
            eprintln!("gantry supervisor: this is started by a node, with the node's id");
            2
        }
    };
    std::process::exit(code)
}

/// Why a supervisor cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SupervisorError {
    #[error("cannot {what}")]
    System {
        what: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Cgroup(#[from] crate::cgroup::CgroupError),
    #[error("another supervisor holds {}", path.display())]
    Held { path: std::path::PathBuf },
}

/// Names what failed.
fn system<E: Into<std::io::Error>>(what: &'static str) -> impl FnOnce(E) -> SupervisorError {
    move |error| SupervisorError::System { what, source: error.into() }
}

/// A word for the task's supervisor.log. A full disk does not take it; `eprintln!` would end the supervisor for that, and
/// its containers with it.
fn note(words: std::fmt::Arguments<'_>) {
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{words}\n"));
}
