//! Real containers on real Linux, as root: the whole way from a command to an event. Each test has a node of its own,
//! with its own data directory, cgroups and namespaces, and takes all of it away again.

mod archives;
mod images;
mod inside;
mod life;
mod limits;
mod registry;
mod restart;
mod timing;
mod world;
