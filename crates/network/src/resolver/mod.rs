//! The VPC's resolver: a small process of its own that answers at the VPC's base address + 2. It knows the names that
//! are made of addresses, and forwards everything else to the host's own name servers. It listens in the VPC's
//! namespace and asks in the host's, where a name server on 127.0.0.53 can be reached. It outlives the node, keeps no
//! cache and decides nothing.

mod names;
mod process;
mod serve;
mod stream;
mod upstream;

pub use serve::resolver_main;

pub(crate) use process::{Resolver, ResolverSettings, end};
pub(crate) use upstream::search_domains;
