//! The agent as a machine.
#![forbid(unsafe_code)]

pub mod hands;
