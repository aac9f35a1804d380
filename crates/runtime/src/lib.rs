//! Linux hands for containers: images, root file systems, cgroups, the supervisor process of each task.
//!
//! Does what `node::hands` lists, but for networks. Never decides: what runs, restarts or stops is the node's word.
//! Everything on the host carries the node's id; nothing without it is touched.

mod actor;
pub mod cdi;
pub mod cgroup;
mod directory;
mod hands;
mod identity;
pub mod image;
mod link;
pub mod memory;
pub mod output;
mod pidfd;
mod place;
mod recover;
mod release;
mod spares;
mod supervisor;
pub mod tail;

pub use hands::{Runtime, RuntimeConfig, RuntimeError};
pub use supervisor::{ImageConfig, supervisor_main};
