//! Which IPv4 ranges are free: for the VPC and for the link between host and VPC. Pure, but for the one look at the
//! host's routes; it never changes anything.

use crate::error::NetworkError;
use crate::route::RouteSocket;
use node::hands::Cidr;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Link-local, clear of 169.254.169.254 (instance metadata) and 169.254.170.2 (task metadata).
const LINK_POOL: (Ipv4Addr, u8) = (Ipv4Addr::new(169, 254, 192, 0), 18);
const LINK_PREFIX: u8 = 30;
/// For containers in bridge mode: clear of the default VPC, and of where Docker begins.
const BRIDGE_POOLS: [(Ipv4Addr, u8); 4] = [
    (Ipv4Addr::new(172, 24, 0, 0), 14),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
];
/// A thousand containers.
const BRIDGE_PREFIX: u8 = 22;

/// What the host already routes or has as an address, default routes aside.
pub fn host_ranges() -> Result<Vec<Cidr>, NetworkError> {
    let socket = RouteSocket::open()?;
    let mut ranges: Vec<Cidr> = socket.routes()?.into_iter().filter(|r| r.main).map(|r| r.to).collect();
    ranges.extend(socket.addresses()?.into_iter().map(|a| network_of(a.address, a.prefix)));
    ranges.retain(|range| range.prefix > 0);
    ranges.sort();
    ranges.dedup();
    Ok(ranges)
}

/// `wanted` if nothing in `used` overlaps it, else the next free /16: of 172.16.0.0/12 after `wanted` and round, then
/// of 10.0.0.0/8, then 192.168.0.0/16.
pub fn free_vpc_cidr(wanted: Cidr, used: &[Cidr]) -> Option<Cidr> {
    let free = |range: Cidr| !used.iter().any(|u| u.overlaps(range));
    let slash_16 = |a: u8, b: u8| Cidr { base: Ipv4Addr::new(a, b, 0, 0), prefix: 16 };
    let [a, b, ..] = wanted.base.octets();
    let start = if a == 172 && (16..32).contains(&b) { b - 16 + 1 } else { 15 };
    let twelve = (0..16).map(|n| slash_16(172, 16 + (start + n) % 16));
    let ten = (0..=255).map(|b| slash_16(10, b));
    let candidates = twelve.chain(ten).chain([slash_16(192, 168)]);
    std::iter::once(wanted).chain(candidates).find(|range| free(*range))
}

/// A /30 for the host link of the node `node_id`: where its hash says, or the next one that is free.
pub(crate) fn free_link_range(node_id: &str, used: &[Cidr]) -> Option<Cidr> {
    free_range(node_id, LINK_POOL, LINK_PREFIX, used)
}

/// A range for the containers in bridge mode of the node `node_id`, from the first pool that has a free one.
pub(crate) fn free_bridge_range(node_id: &str, used: &[Cidr]) -> Option<Cidr> {
    BRIDGE_POOLS.into_iter().find_map(|pool| free_range(node_id, pool, BRIDGE_PREFIX, used))
}

/// A part of the pool: where the hash of `node_id` says, or the next one that is free.
fn free_range(node_id: &str, pool: (Ipv4Addr, u8), prefix: u8, used: &[Cidr]) -> Option<Cidr> {
    let (base, pool_prefix) = pool;
    let count = 1u32 << (prefix - pool_prefix);
    // FNV-1a: two nodes side by side rarely meet, and the same node finds its own range again.
    let hash = node_id.bytes().fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
    (0..count).find_map(|n| {
        let at = hash.wrapping_add(n) % count;
        let range = Cidr { base: Ipv4Addr::from(u32::from(base) + (at << (32 - prefix))), prefix };
        (!used.iter().any(|u| u.overlaps(range))).then_some(range)
    })
}

/// Gives the addresses of a range in turn, so that one that was given back rests for as long as possible.
#[derive(Debug)]
pub(crate) struct Turns {
    last: Option<Ipv4Addr>,
}

impl Turns {
    /// `used`: those that are in use.
    pub fn new(used: impl Iterator<Item = Ipv4Addr>) -> Self {
        Self { last: used.max() }
    }

    /// The next free address; the first of the range is its gateway's, the last is nobody's.
    pub fn next(&mut self, range: Cidr, used: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
        let (base, size) = (u32::from(range.base), !range.mask());
        let before = self.last.filter(|last| range.contains(*last)).map_or(1, |last| u32::from(last) - base);
        let candidates = (1..=size).map(|n| (before + n) % size).filter(|n| *n >= 2);
        let found = candidates.map(|n| Ipv4Addr::from(base + n)).find(|address| !used.contains(address))?;
        self.last = Some(found);
        Some(found)
    }
}

/// The range in which `address` lies.
pub(crate) fn network_of(address: Ipv4Addr, prefix: u8) -> Cidr {
    let mask = Cidr { base: Ipv4Addr::UNSPECIFIED, prefix }.mask();
    Cidr { base: Ipv4Addr::from(u32::from(address) & mask), prefix }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        Cidr::parse(text).unwrap()
    }

    #[test]
    fn the_wanted_range_is_taken_when_free() {
        let used = [cidr("192.168.1.0/24"), cidr("10.0.0.0/8")];
        assert_eq!(free_vpc_cidr(cidr("172.31.0.0/16"), &used), Some(cidr("172.31.0.0/16")));
        assert_eq!(free_vpc_cidr(cidr("100.64.0.0/20"), &used), Some(cidr("100.64.0.0/20")));
    }

    #[test]
    fn a_clash_moves_to_the_next_free_sixteen() {
        let used = [cidr("172.31.5.0/24"), cidr("172.16.0.0/15")];
        assert_eq!(free_vpc_cidr(cidr("172.31.0.0/16"), &used), Some(cidr("172.18.0.0/16")));
        let docker = [cidr("172.17.0.0/16"), cidr("172.18.0.0/16")];
        assert_eq!(free_vpc_cidr(cidr("172.17.0.0/16"), &docker), Some(cidr("172.19.0.0/16")));
        let all_twelve = [cidr("172.16.0.0/12"), cidr("10.0.0.0/16")];
        assert_eq!(free_vpc_cidr(cidr("172.31.0.0/16"), &all_twelve), Some(cidr("10.1.0.0/16")));
    }

    #[test]
    fn nothing_is_found_when_everything_is_used() {
        let used = [cidr("172.16.0.0/12"), cidr("10.0.0.0/8"), cidr("192.168.0.0/16")];
        assert_eq!(free_vpc_cidr(cidr("172.31.0.0/16"), &used), None);
    }

    #[test]
    fn link_ranges_differ_avoid_what_is_used_and_stay_off_metadata() {
        let first = free_link_range("0a1b2c3d", &[]).unwrap();
        assert_eq!(free_link_range("0a1b2c3d", &[]), Some(first));
        let second = free_link_range("0a1b2c3d", &[first]).unwrap();
        assert!(!first.overlaps(second));
        for range in [first, second] {
            assert!(!cidr("169.254.169.0/24").overlaps(range) && !cidr("169.254.170.0/24").overlaps(range));
            assert_eq!(range.prefix, 30);
        }
        assert_eq!(free_link_range("0a1b2c3d", &[cidr("169.254.0.0/16")]), None);
    }

    #[test]
    fn bridge_ranges_avoid_what_is_used_and_what_others_like() {
        let first = free_bridge_range("0a1b2c3d", &[]).unwrap();
        assert!(cidr("172.24.0.0/14").contains(first.base) && first.prefix == 22);
        let second = free_bridge_range("0a1b2c3d", &[first]).unwrap();
        assert!(!first.overlaps(second) && cidr("172.24.0.0/14").contains(second.base));
        let third = free_bridge_range("0a1b2c3d", &[cidr("172.16.0.0/12")]).unwrap();
        assert!(cidr("192.168.0.0/16").contains(third.base));
        let all: Vec<Cidr> = BRIDGE_POOLS.map(|(base, prefix)| Cidr { base, prefix }).to_vec();
        assert_eq!(free_bridge_range("0a1b2c3d", &all), None);
    }

    #[test]
    fn addresses_are_given_in_turn() {
        let range = cidr("10.0.0.0/29");
        let mut turns = Turns::new(std::iter::empty());
        let mut used = BTreeSet::new();
        let mut give = |used: &BTreeSet<Ipv4Addr>| turns.next(range, used).map(|address| address.octets()[3]);
        let given: Vec<_> = (0..6).map(|_| give(&used)).collect();
        assert_eq!(given, [2, 3, 4, 5, 6, 2].map(Some));
        used.extend((2..=6).map(|n| Ipv4Addr::new(10, 0, 0, n)));
        assert_eq!(give(&used), None);
        used.remove(&Ipv4Addr::new(10, 0, 0, 4));
        assert_eq!(give(&used), Some(4));
        let mut adopted = Turns::new([Ipv4Addr::new(10, 0, 0, 3)].into_iter());
        assert_eq!(adopted.next(range, &BTreeSet::new()), Some(Ipv4Addr::new(10, 0, 0, 4)));
    }

    #[test]
    fn network_of_drops_the_host_bits() {
        assert_eq!(network_of(Ipv4Addr::new(172, 31, 21, 7), 20), cidr("172.31.16.0/20"));
        assert_eq!(network_of(Ipv4Addr::new(1, 2, 3, 4), 0), cidr("0.0.0.0/0"));
    }
}
