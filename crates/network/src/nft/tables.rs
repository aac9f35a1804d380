//! Our two tables. In the VPC's namespace `inet gantry`: which packets may be routed between tasks and the host. On the
//! host `ip gantry_<node id>`: masquerade for what leaves, published ports, and no other new connection from elsewhere.
//! Both are replaced whole in one transaction, so that no packet ever meets half of them.

use super::NftSocket;
use super::encode::{Attributes, Batch, Family};
use super::expression::{Field, Rule, state};
use crate::error::NetworkError;
use node::hands::{Cidr, HostPort, Protocol};
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

const HOOK_PREROUTING: u32 = 0;
const HOOK_INPUT: u32 = 1;
const HOOK_FORWARD: u32 = 2;
const HOOK_OUTPUT: u32 = 3;
const HOOK_POSTROUTING: u32 = 4;
const PRIORITY_FILTER: u32 = 0;
const PRIORITY_SOURCE_NAT: u32 = 100;
const PRIORITY_DESTINATION_NAT: u32 = (-100_i32).cast_unsigned();
const ACCEPT: u32 = 1;
const DROP: u32 = 0;
/// The set key type that `nft` prints as `ipv4_addr`.
const TYPE_IPV4_ADDRESS: u32 = 7;
/// `inet_service`.
const TYPE_PORT: u32 = 13;
/// Types joined: six bits for each.
const TYPE_ADDRESS_AND_PORT: u32 = TYPE_IPV4_ADDRESS << 6 | TYPE_PORT;
/// `NFT_SET_MAP`.
const MAP: u32 = 8;
const LOOPBACK: Cidr = Cidr { base: Ipv4Addr::new(127, 0, 0, 0), prefix: 8 };
/// An attribute holds 64 KiB, an element 20 bytes.
const ELEMENTS_PER_MESSAGE: usize = 1000;

const VPC_TABLE: &str = "gantry";
const FORWARD: &str = "forward";
const POSTROUTING: &str = "postrouting";
const PREROUTING: &str = "prerouting";
const INPUT: &str = "input";
const OUTPUT: &str = "output";
/// Every task's address: who may reach the outside.
const TASKS: &str = "tasks";
/// Members of the VPC's default security group: they may reach each other.
const DEFAULT_GROUP: &str = "group_default";
/// Containers in bridge mode: they may reach each other, as on a bridge.
const BRIDGE: &str = "bridged";

/// What the VPC's table must know.
pub(crate) struct VpcRules<'a> {
    /// The link to the host, inside the VPC's namespace.
    pub host_link: &'a str,
    /// The host's address on that link.
    pub host_address: Ipv4Addr,
    /// The addresses of the tasks that are attached.
    pub members: &'a [Ipv4Addr],
    /// The addresses of containers in bridge mode.
    pub bridged: &'a [Ipv4Addr],
}

/// Who an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// A task with an interface.
    Default,
    /// A container in bridge mode.
    Bridge,
}

impl Group {
    fn set(self) -> &'static str {
        match self {
            Self::Default => DEFAULT_GROUP,
            Self::Bridge => BRIDGE,
        }
    }
}

/// A port of the host and where it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Published {
    /// On all addresses of the host.
    pub port: HostPort,
    /// The container.
    pub address: Ipv4Addr,
    /// Its port.
    pub to: u16,
}

/// What the host's table must know.
pub(crate) struct HostRules<'a> {
    pub node_id: &'a str,
    /// The link to the VPC.
    pub link: &'a str,
    pub vpc: Cidr,
    /// The range of containers in bridge mode.
    pub bridge: Option<Cidr>,
    pub published: &'a [Published],
}

/// Replaces the VPC's table.
pub(crate) fn vpc_table(socket: &NftSocket, rules: &VpcRules<'_>) -> Result<(), NetworkError> {
    let mut batch = fresh_table(Family::Inet, VPC_TABLE);
    let everybody: Vec<Ipv4Addr> = rules.members.iter().chain(rules.bridged).copied().collect();
    let sets = [(TASKS, everybody.as_slice()), (DEFAULT_GROUP, rules.members), (BRIDGE, rules.bridged)];
    for (id, (name, members)) in (1..).zip(sets) {
        batch.message("make a set", NEW_SET, CREATE, Family::Inet, |a| {
            a.text(1, VPC_TABLE).text(2, name).number(3, 0).number(4, TYPE_IPV4_ADDRESS).number(5, 4).number(10, id);
        });
        elements(&mut batch, NEW_ELEMENT, name, members);
    }
    chain(&mut batch, Family::Inet, VPC_TABLE, &Hook::forward(DROP));
    let rule = || Rule::new(Family::Inet);
    for expressions in [
        rule().states(state::ESTABLISHED | state::RELATED).accept(),
        rule().states(state::INVALID).drop(),
        // The host may always reach its tasks; what it only forwards does not carry its address.
        rule().comes_by(rules.host_link).is(Field::Source, rules.host_address).accept(),
        // What the host forwards to a container is for a port that is published; it lets nothing else through.
        rule().comes_by(rules.host_link).in_set(Field::Destination, BRIDGE).accept(),
        rule().comes_by(rules.host_link).drop(),
        rule().leaves_by(rules.host_link).in_set(Field::Source, TASKS).accept(),
        rule().in_set(Field::Source, DEFAULT_GROUP).in_set(Field::Destination, DEFAULT_GROUP).accept(),
        rule().in_set(Field::Source, BRIDGE).in_set(Field::Destination, BRIDGE).accept(),
    ] {
        append_rule(&mut batch, Family::Inet, VPC_TABLE, FORWARD, &expressions);
    }
    socket.apply(batch)
}

/// Lets addresses send and be reached as members of the group.
pub(crate) fn add_members(socket: &NftSocket, group: Group, addresses: &[Ipv4Addr]) -> Result<(), NetworkError> {
    change_members(socket, NEW_ELEMENT, group, addresses)
}

/// Takes that right away; fails when an address did not have it.
pub(crate) fn delete_members(socket: &NftSocket, group: Group, addresses: &[Ipv4Addr]) -> Result<(), NetworkError> {
    change_members(socket, DELETE_ELEMENT, group, addresses)
}

fn change_members(socket: &NftSocket, kind: u16, group: Group, addresses: &[Ipv4Addr]) -> Result<(), NetworkError> {
    let mut batch = Batch::new();
    elements(&mut batch, kind, TASKS, addresses);
    elements(&mut batch, kind, group.set(), addresses);
    socket.apply(batch)
}

/// The name of the host's table.
pub(crate) fn host_table_name(node_id: &str) -> String {
    format!("gantry_{node_id}")
}

/// Replaces the host's table of this node.
pub(crate) fn host_table(socket: &NftSocket, rules: &HostRules<'_>) -> Result<(), NetworkError> {
    let table = host_table_name(rules.node_id);
    let mut batch = fresh_table(Family::Ip, &table);
    for hook in [
        Hook::PREROUTING_NAT,
        Hook::OUTPUT_NAT,
        Hook { name: INPUT, number: HOOK_INPUT, ..Hook::forward(ACCEPT) },
        Hook::forward(ACCEPT),
        Hook::POSTROUTING_NAT,
    ] {
        chain(&mut batch, Family::Ip, &table, &hook);
    }
    for (id, protocol) in [(1, Protocol::Tcp), (2, Protocol::Udp)] {
        batch.message("make a map", NEW_SET, CREATE, Family::Ip, |a| {
            a.text(1, &table).text(2, map_of(protocol)).number(3, MAP);
            a.number(4, TYPE_PORT).number(5, 2).number(6, TYPE_ADDRESS_AND_PORT).number(7, 8).number(10, id);
        });
    }
    published_elements(&mut batch, NEW_ELEMENT, &table, rules.published);
    let rule = || Rule::new(Family::Ip);
    let mut append = |chain, expressions| append_rule(&mut batch, Family::Ip, &table, chain, &expressions);
    for chain in [PREROUTING, OUTPUT] {
        for (number, protocol) in [(6, Protocol::Tcp), (17, Protocol::Udp)] {
            append(chain, rule().goes_to_this_host().protocol(number).redirect_by_port(map_of(protocol)));
        }
    }
    // The link routes loopback addresses, for what the host sends to a published port of its own loopback. Nobody behind
    // it may use that to reach what listens there.
    let fresh = state::NEW | state::INVALID;
    append(INPUT, rule().comes_by(rules.link).within(Field::Destination, LOOPBACK).states(fresh).drop());
    append(FORWARD, rule().leaves_by(rules.link).redirected().accept());
    append(FORWARD, rule().leaves_by(rules.link).states(fresh).drop());
    let link = rules.link;
    for range in [Some(rules.vpc), rules.bridge].into_iter().flatten() {
        let from_here = || rule().within(Field::Source, range);
        append(POSTROUTING, from_here().outside(Field::Destination, range).leaves_not_by(link).masquerade());
        // By way of a published port, back to where it came from: the answer must take the same way.
        append(POSTROUTING, from_here().leaves_by(link).masquerade());
    }
    append(POSTROUTING, rule().within(Field::Source, LOOPBACK).leaves_by(link).masquerade());
    socket.apply(batch)
}

/// Not the protocol's bare name, which `nft` could not read back.
fn map_of(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "published_tcp",
        Protocol::Udp => "published_udp",
    }
}

/// Publishes ports.
pub(crate) fn publish(socket: &NftSocket, node_id: &str, ports: &[Published]) -> Result<(), NetworkError> {
    change_published(socket, NEW_ELEMENT, node_id, ports)
}

/// Takes them back; fails when one was not published.
pub(crate) fn withdraw(socket: &NftSocket, node_id: &str, ports: &[Published]) -> Result<(), NetworkError> {
    change_published(socket, DELETE_ELEMENT, node_id, ports)
}

fn change_published(socket: &NftSocket, kind: u16, node_id: &str, ports: &[Published]) -> Result<(), NetworkError> {
    let mut batch = Batch::new();
    published_elements(&mut batch, kind, &host_table_name(node_id), ports);
    socket.apply(batch)
}

fn published_elements(batch: &mut Batch, kind: u16, table: &str, ports: &[Published]) {
    let flags = if kind == NEW_ELEMENT { CREATE } else { 0 };
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let some: Vec<&Published> = ports.iter().filter(|published| published.port.protocol == protocol).collect();
        for some in some.chunks(ELEMENTS_PER_MESSAGE) {
            batch.message("change the published ports", kind, flags, Family::Ip, |a| {
                a.text(1, table).text(2, map_of(protocol)).nest(3, |list| {
                    some.iter().for_each(|published| published_element(list, published));
                });
            });
        }
    }
}

fn published_element(list: &mut Attributes, published: &Published) {
    let ([a, b, c, d], [high, low]) = (published.address.octets(), published.to.to_be_bytes());
    list.nest(1, |element| {
        element.nest(1, |key| {
            key.bytes(1, &published.port.port.to_be_bytes());
        });
        element.nest(2, |data| {
            // Each part fills four bytes.
            data.bytes(1, &[a, b, c, d, high, low, 0, 0]);
        });
    });
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
    const PREROUTING_NAT: Self = Self {
        name: PREROUTING,
        kind: "nat",
        number: HOOK_PREROUTING,
        priority: PRIORITY_DESTINATION_NAT,
        policy: ACCEPT,
    };
    const OUTPUT_NAT: Self = Self { name: OUTPUT, number: HOOK_OUTPUT, ..Self::PREROUTING_NAT };
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
