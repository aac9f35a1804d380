//! Linux hands for packets: a router namespace per VPC, a namespace per task, the rules between them, the VPC's
//! resolver. Everything on the host carries the node id and survives this process; nothing here decides which task has
//! which address.

mod error;
mod host;
mod namespace;
mod netlink;
mod network;
mod nft;
mod pool;
mod range;
mod resolver;
mod route;
mod tasks;
mod teardown;
mod vpc;

pub use error::NetworkError;
pub use network::{Network, NetworkConfig};
pub use range::{free_vpc_cidr, host_ranges};
pub use resolver::resolver_main;
pub use teardown::remove_everything;
