//! Linux hands for containers: images, root file systems, cgroups, the supervisor process of each task.
//!
//! Does what `node::hands` lists, but for networks. Never decides: what runs, restarts or stops is the node's word.
//! Everything on the host carries the node's id; nothing without it is touched.

pub mod cgroup;
mod directory;
mod identity;
pub mod output;
mod place;
mod supervisor;

pub use supervisor::{ImageConfig, supervisor_main};
