//! Which IPv4 ranges are free: for the VPC and for the link between host and VPC. Pure, but for the one look at the
//! host's routes; it never changes anything.

use crate::error::NetworkError;
use crate::route::RouteSocket;
use node::hands::Cidr;
use std::net::Ipv4Addr;

/// Link-local, clear of 169.254.169.254 (instance metadata) and 169.254.170.2 (task metadata).
const LINK_POOL: (Ipv4Addr, u8) = (Ipv4Addr::new(169, 254, 192, 0), 18);
const LINK_PREFIX: u8 = 30;

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
    let (base, prefix) = LINK_POOL;
    let count = 1u32 << (LINK_PREFIX - prefix);
    // FNV-1a: two nodes side by side rarely meet, and the same node finds its own range again.
    let hash = node_id.bytes().fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
    (0..count).find_map(|n| {
        let at = hash.wrapping_add(n) % count;
        let range = Cidr { base: Ipv4Addr::from(u32::from(base) + at * 4), prefix: LINK_PREFIX };
        (!used.iter().any(|u| u.overlaps(range))).then_some(range)
    })
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
    fn network_of_drops_the_host_bits() {
        assert_eq!(network_of(Ipv4Addr::new(172, 31, 21, 7), 20), cidr("172.31.16.0/20"));
        assert_eq!(network_of(Ipv4Addr::new(1, 2, 3, 4), 0), cidr("0.0.0.0/0"));
    }
}
