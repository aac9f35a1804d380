//! Our two tables. In the VPC's namespace `inet gantry`: which packets may be routed between tasks and the host. On the
//! host `ip gantry_<node id>`: masquerade for what leaves the VPC, and no new connection from elsewhere into it.
//! Both are replaced whole in one transaction, so that no packet ever meets half of them.

use super::NftSocket;
use super::encode::{Attributes, Batch, Family};
use super::expression::{Field, Rule, state};
use crate::error::NetworkError;
use node::hands::Cidr;
use std::net::Ipv4Addr;

const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
pub(super) const NEW_RULE: u16 = 6;
const NEW_SET: u16 = 9;
const NEW_ELEMENT: u16 = 12;
const DELETE_ELEMENT: u16 = 14;
pub(super) const CREATE: u16 = crate::netlink::FLAG_CREATE;
const APPEND: u16 = crate::netlink::FLAG_APPEND;

const HOOK_FORWARD: u32 = 2;
const HOOK_POSTROUTING: u32 = 4;
const PRIORITY_FILTER: u32 = 0;
const PRIORITY_SOURCE_NAT: u32 = 100;
const ACCEPT: u32 = 1;
const DROP: u32 = 0;
/// The set key type that `nft` prints as `ipv4_addr`.
const TYPE_IPV4_ADDRESS: u32 = 7;
/// An attribute holds 64 KiB, an element 20 bytes.
const ELEMENTS_PER_MESSAGE: usize = 1000;

const VPC_TABLE: &str = "gantry";
const FORWARD: &str = "forward";
const POSTROUTING: &str = "postrouting";
/// Every task's address: who may reach the outside.
const TASKS: &str = "tasks";
/// Members of the VPC's default security group: they may reach each other.
const DEFAULT_GROUP: &str = "group_default";

/// What the VPC's table must know.
pub(crate) struct VpcRules<'a> {
    /// The link to the host, inside the VPC's namespace.
    pub host_link: &'a str,
    /// The host's address on that link.
    pub host_address: Ipv4Addr,
    /// The addresses of the tasks that are attached.
    pub members: &'a [Ipv4Addr],
}

/// Replaces the VPC's table.
pub(crate) fn vpc_table(socket: &NftSocket, rules: &VpcRules<'_>) -> Result<(), NetworkError> {
    let mut batch = fresh_table(Family::Inet, VPC_TABLE);
    for (id, name) in [(1, TASKS), (2, DEFAULT_GROUP)] {
        batch.message("make a set", NEW_SET, CREATE, Family::Inet, |a| {
            a.text(1, VPC_TABLE).text(2, name).number(3, 0).number(4, TYPE_IPV4_ADDRESS).number(5, 4).number(10, id);
        });
        elements(&mut batch, NEW_ELEMENT, name, rules.members);
    }
    chain(&mut batch, Family::Inet, VPC_TABLE, &Hook::forward(DROP));
    let rule = || Rule::new(Family::Inet);
    for expressions in [
        rule().states(state::ESTABLISHED | state::RELATED).accept(),
        rule().states(state::INVALID).drop(),
        // The host may always reach its tasks; what it only forwards does not carry its address.
        rule().comes_by(rules.host_link).is(Field::Source, rules.host_address).accept(),
        rule().comes_by(rules.host_link).drop(),
        rule().leaves_by(rules.host_link).in_set(Field::Source, TASKS).accept(),
        rule().in_set(Field::Source, DEFAULT_GROUP).in_set(Field::Destination, DEFAULT_GROUP).accept(),
    ] {
        append_rule(&mut batch, Family::Inet, VPC_TABLE, FORWARD, &expressions);
    }
    socket.apply(batch)
}

/// Lets addresses send and be reached as members of the default group.
pub(crate) fn add_members(socket: &NftSocket, addresses: &[Ipv4Addr]) -> Result<(), NetworkError> {
    change_members(socket, NEW_ELEMENT, addresses)
}

/// Takes that right away; fails when an address did not have it.
pub(crate) fn delete_members(socket: &NftSocket, addresses: &[Ipv4Addr]) -> Result<(), NetworkError> {
    change_members(socket, DELETE_ELEMENT, addresses)
}

fn change_members(socket: &NftSocket, kind: u16, addresses: &[Ipv4Addr]) -> Result<(), NetworkError> {
    let mut batch = Batch::new();
    elements(&mut batch, kind, TASKS, addresses);
    elements(&mut batch, kind, DEFAULT_GROUP, addresses);
    socket.apply(batch)
}

/// The name of the host's table.
pub(crate) fn host_table_name(node_id: &str) -> String {
    format!("gantry_{node_id}")
}

/// Replaces the host's table of this node.
pub(crate) fn host_table(socket: &NftSocket, node_id: &str, link: &str, vpc: Cidr) -> Result<(), NetworkError> {
    let table = host_table_name(node_id);
    let mut batch = fresh_table(Family::Ip, &table);
    chain(&mut batch, Family::Ip, &table, &Hook::forward(ACCEPT));
    chain(&mut batch, Family::Ip, &table, &Hook::POSTROUTING_NAT);
    let rule = || Rule::new(Family::Ip);
    let foreign = rule().leaves_by(link).states(state::NEW | state::INVALID).drop();
    append_rule(&mut batch, Family::Ip, &table, FORWARD, &foreign);
    let egress = rule().within(Field::Source, vpc).outside(Field::Destination, vpc).leaves_not_by(link).masquerade();
    append_rule(&mut batch, Family::Ip, &table, POSTROUTING, &egress);
    socket.apply(batch)
}

/// Removes the host's table of this node, if it is there.
pub(crate) fn remove_host_table(socket: &NftSocket, node_id: &str) -> Result<(), NetworkError> {
    let table = host_table_name(node_id);
    let mut batch = Batch::new();
    make_table(&mut batch, Family::Ip, &table);
    drop_table(&mut batch, Family::Ip, &table);
    socket.apply(batch)
}

/// A base chain: its name is that of its hook.
struct Hook {
    name: &'static str,
    kind: &'static str,
    number: u32,
    priority: u32,
    policy: u32,
}

impl Hook {
    const POSTROUTING_NAT: Self = Self {
        name: POSTROUTING,
        kind: "nat",
        number: HOOK_POSTROUTING,
        priority: PRIORITY_SOURCE_NAT,
        policy: ACCEPT,
    };

    /// A filter on what is routed. (Never name a chain `fwd`: `nft` cannot read its own listing back.)
    fn forward(policy: u32) -> Self {
        Self { name: FORWARD, kind: "filter", number: HOOK_FORWARD, priority: PRIORITY_FILTER, policy }
    }
}

/// A batch that begins by emptying the table: made if absent, deleted, made.
fn fresh_table(family: Family, table: &str) -> Batch {
    let mut batch = Batch::new();
    make_table(&mut batch, family, table);
    drop_table(&mut batch, family, table);
    make_table(&mut batch, family, table);
    batch
}

fn make_table(batch: &mut Batch, family: Family, table: &str) {
    batch.message("make the table", NEW_TABLE, CREATE, family, |a| {
        a.text(1, table).number(2, 0);
    });
}

fn drop_table(batch: &mut Batch, family: Family, table: &str) {
    batch.message("delete the table", DELETE_TABLE, 0, family, |a| {
        a.text(1, table);
    });
}

fn chain(batch: &mut Batch, family: Family, table: &str, hook: &Hook) {
    batch.message("make a chain", NEW_CHAIN, CREATE, family, |a| {
        a.text(1, table).text(3, hook.name);
        a.nest(4, |h| {
            h.number(1, hook.number).number(2, hook.priority);
        });
        a.number(5, hook.policy).text(7, hook.kind);
    });
}

fn append_rule(batch: &mut Batch, family: Family, table: &str, chain: &str, expressions: &Attributes) {
    batch.message("add a rule", NEW_RULE, CREATE | APPEND, family, |a| {
        a.text(1, table).text(2, chain).bytes(4 | 0x8000, expressions.as_bytes());
    });
}

fn elements(batch: &mut Batch, kind: u16, set: &str, addresses: &[Ipv4Addr]) {
    let flags = if kind == NEW_ELEMENT { CREATE } else { 0 };
    for some in addresses.chunks(ELEMENTS_PER_MESSAGE) {
        batch.message("change the members of a set", kind, flags, Family::Inet, |a| {
            a.text(1, VPC_TABLE).text(2, set).nest(3, |list| {
                for address in some {
                    list.nest(1, |element| {
                        element.nest(1, |key| {
                            key.bytes(1, &address.octets());
                        });
                    });
                }
            });
        });
    }
}
