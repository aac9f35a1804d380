//! Linux hands for packets: a router namespace per VPC, a namespace per task, the rules between them, the VPC's
//! resolver, and for containers in bridge mode the ports of the host. Everything on the host carries the node id and
//! survives this process; nothing here decides which task has which address in the VPC.

mod conntrack;
mod error;
mod host;
mod namespace;
mod netlink;
mod network;
mod nft;
mod owner;
mod pool;
mod ports;
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
