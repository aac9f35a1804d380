//! Accept rules in other people's forward chains. An accept in a chain of ours never overrides a drop in theirs, so
//! where Docker (or a firewall) drops what is forwarded, two rules of ours must stand in their chain: at the top of
//! DOCKER-USER when it exists, else of `ip filter` FORWARD when that drops by policy. Rules carry our name and node id
//! as their comment; only such rules are ever removed.

use super::NftSocket;
use super::encode::{Attributes, Batch, Family, dump};
use super::expression::Rule;
use super::tables::{CREATE, NEW_RULE};
use crate::error::NetworkError;
use crate::netlink::attributes;

const GET_CHAIN: u16 = 4;
const GET_RULE: u16 = 7;
const DELETE_RULE: u16 = 8;
const HOOK_FORWARD: u32 = 2;
const DROP: u32 = 0;
/// `NFTNL_UDATA_RULE_COMMENT`.
const COMMENT: u8 = 0;
const FILTER: &str = "filter";
const DOCKER_USER: &str = "DOCKER-USER";

/// What was found on the host.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Foreign {
    /// The chain that carries our accept rules, when one had to.
    pub accepted_in: Option<String>,
    /// Forward chains that drop by policy and that we leave alone, `family table chain`.
    pub dropping: Vec<String>,
    /// The legacy iptables has a filter table here, which nf_tables cannot see.
    pub legacy: bool,
}

struct Chain {
    family: Family,
    table: String,
    name: String,
    drops_forwarded: bool,
}

/// Puts our rules where they are needed and are not yet; tells what it saw.
pub(crate) fn accept_in_foreign_chains(socket: &NftSocket, node_id: &str, link: &str) -> Result<Foreign, NetworkError> {
    let chains = chains(socket)?;
    let of_filter = |name: &str| chains.iter().find(|c| c.family == Family::Ip && c.table == FILTER && c.name == name);
    let chosen = of_filter(DOCKER_USER).or_else(|| of_filter("FORWARD").filter(|c| c.drops_forwarded));
    if let Some(chain) = chosen
        && !are_present(&rules(socket, &chain.name)?, node_id)
    {
        insert(socket, node_id, link, &chain.name)?;
    }
    let dropping = chains
        .iter()
        .filter(|c| c.drops_forwarded && !(c.family == Family::Ip && c.table == FILTER))
        .map(|c| format!("{} {} {}", if c.family == Family::Ip { "ip" } else { "inet" }, c.table, c.name))
        .collect();
    let legacy = std::fs::read_to_string("/proc/net/ip_tables_names").is_ok_and(|names| names.contains(FILTER));
    Ok(Foreign { accepted_in: chosen.map(|c| c.name.clone()), dropping, legacy })
}

/// Removes every rule that carries this node's name from `ip filter`.
pub(crate) fn remove_from_foreign_chains(socket: &NftSocket, node_id: &str) -> Result<(), NetworkError> {
    let mut batch = Batch::new();
    for chain in [DOCKER_USER, "FORWARD"] {
        delete_ours(&mut batch, chain, &rules(socket, chain)?, node_id);
    }
    socket.apply(batch)
}

/// Inserts both rules at the top, in place of what is left of older ones.
fn insert(socket: &NftSocket, node_id: &str, link: &str, chain: &str) -> Result<(), NetworkError> {
    let mut batch = Batch::new();
    delete_ours(&mut batch, chain, &rules(socket, chain)?, node_id);
    let rule = || Rule::new(Family::Ip);
    // Nothing but what `iptables` itself writes: it refuses to read a chain with a `ct` expression, and Docker with it.
    // That no new connection comes in is the business of our own table.
    let answers = rule().leaves_by(link).count().accept();
    let egress = rule().comes_by(link).count().accept();
    for expressions in [answers, egress] {
        batch.message("insert a rule before Docker's", NEW_RULE, CREATE, Family::Ip, |a| {
            a.text(1, FILTER).text(2, chain).bytes(4 | 0x8000, expressions.as_bytes());
            a.bytes(7, &comment(node_id));
        });
    }
    socket.apply(batch)
}

fn delete_ours(batch: &mut Batch, chain: &str, rules: &[ForeignRule], node_id: &str) {
    for rule in rules.iter().filter(|rule| rule.is_of(node_id)) {
        batch.message("delete our rule", DELETE_RULE, 0, Family::Ip, |a: &mut Attributes| {
            a.text(1, FILTER).text(2, chain).long(3, rule.handle);
        });
    }
}

struct ForeignRule {
    handle: u64,
    user_data: Vec<u8>,
}

impl ForeignRule {
    fn is_of(&self, node_id: &str) -> bool {
        self.user_data == comment(node_id)
    }
}

/// Whether both our rules are there. Where they stand is not looked at: a rule that the user put above them is meant.
fn are_present(rules: &[ForeignRule], node_id: &str) -> bool {
    rules.iter().filter(|r| r.is_of(node_id)).count() == 2
}

const NAME: &str = "gantry ";

/// A rule comment as `nft` and `iptables` keep it: type, length, text with its closing zero.
fn comment(node_id: &str) -> Vec<u8> {
    let text = format!("{NAME}{node_id}\0");
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    [&[COMMENT, length], text.as_bytes()].concat()
}

fn rules(socket: &NftSocket, chain: &str) -> Result<Vec<ForeignRule>, NetworkError> {
    let mut rules = Vec::new();
    let request = dump(GET_RULE, Family::Ip, |a| {
        a.text(1, FILTER).text(2, chain);
    });
    socket.list(&request, |body| {
        let mut rule = ForeignRule { handle: 0, user_data: Vec::new() };
        for (kind, value) in attributes(body) {
            match kind {
                3 => rule.handle = value.try_into().map_or(0, u64::from_be_bytes),
                7 => rule.user_data = value.to_vec(),
                _ => {}
            }
        }
        rules.push(rule);
    })?;
    Ok(rules)
}

fn chains(socket: &NftSocket) -> Result<Vec<Chain>, NetworkError> {
    let mut found = Vec::new();
    for family in [Family::Ip, Family::Inet] {
        let request = dump(GET_CHAIN, family, |_| {});
        socket.list(&request, |body| found.push(chain_of(family, body)))?;
    }
    Ok(found)
}

fn chain_of(family: Family, body: &[u8]) -> Chain {
    let number = |value: &[u8]| value.try_into().map_or(u32::MAX, u32::from_be_bytes);
    let text = |value: &[u8]| String::from_utf8_lossy(value.strip_suffix(b"\0").unwrap_or(value)).into_owned();
    let mut chain = Chain { family, table: String::new(), name: String::new(), drops_forwarded: false };
    let (mut hook, mut policy) = (None, None);
    for (kind, value) in attributes(body) {
        match kind {
            1 => chain.table = text(value),
            3 => chain.name = text(value),
            4 => hook = attributes(value).find(|(kind, _)| *kind == 1).map(|(_, value)| number(value)),
            5 => policy = Some(number(value)),
            _ => {}
        }
    }
    chain.drops_forwarded = hook == Some(HOOK_FORWARD) && policy == Some(DROP);
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(comment: Vec<u8>) -> ForeignRule {
        ForeignRule { handle: 1, user_data: comment }
    }

    #[test]
    fn our_rules_are_known_by_their_comment() {
        let (ours, other) = (|| rule(comment("0a1b2c3d")), || rule(comment("ffffffff")));
        assert!(are_present(&[other(), ours(), rule(vec![]), ours()], "0a1b2c3d"));
        assert!(!are_present(&[ours(), other()], "0a1b2c3d"));
        assert!(!are_present(&[], "0a1b2c3d"));
    }

    #[test]
    fn golden_bytes_of_a_comment() {
        assert_eq!(comment("0a1b2c3d"), b"\x00\x10gantry 0a1b2c3d\0");
    }

    #[test]
    fn a_dropping_forward_chain_is_recognised() {
        let mut body = Attributes::default();
        body.text(1, "filter").text(3, "FORWARD");
        body.nest(4, |hook| {
            hook.number(1, HOOK_FORWARD).number(2, 0);
        });
        body.number(5, DROP);
        let chain = chain_of(Family::Ip, body.as_bytes());
        assert_eq!((chain.table.as_str(), chain.name.as_str(), chain.drops_forwarded), ("filter", "FORWARD", true));
        let mut plain = Attributes::default();
        plain.text(1, "filter").text(3, "DOCKER-USER");
        assert!(!chain_of(Family::Ip, plain.as_bytes()).drops_forwarded);
    }
}
