//! nf_tables by netlink: our own small encoder, our tables, and the few rules we must put into other people's chains.
//! No program is run for it, and nothing of anybody else is ever changed but by a rule that carries our name.

mod encode;
mod expression;
mod foreign;
mod socket;
mod tables;

pub(crate) use foreign::{Foreign, accept_in_foreign_chains, remove_from_foreign_chains};
pub(crate) use socket::NftSocket;
pub(crate) use tables::{
    Group, HostRules, Published, VpcRules, add_members, delete_members, host_table, publish, remove_host_table,
    vpc_table, withdraw,
};
