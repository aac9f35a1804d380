//! What control plane and node say to each other: the public ECS agent protocol as codec, and the control plane's side of
//! a session as a machine. No sockets, no clock: frames are text, time is an argument.
#![forbid(unsafe_code)]

pub mod acs;
pub mod association;
pub mod encode;
pub mod report;
pub mod session;
pub mod tcs;
mod volume;
