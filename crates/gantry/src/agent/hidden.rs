//! The two programs that live in this one: a task's supervisor and a VPC's resolver. Single-threaded; started before any
//! runtime, and never by a person.

use std::ffi::OsString;
use std::process::ExitCode;

/// The process that holds a task's containers.
pub fn supervisor(arguments: Vec<OsString>) -> ExitCode {
    runtime::supervisor_main(arguments)
}

/// The process that answers names in a VPC.
pub fn resolver(arguments: Vec<OsString>) -> ExitCode {
    network::resolver_main(arguments)
}
