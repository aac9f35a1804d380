//! The default VPC: one range, three zones with a subnet each, one security group. Made once, at first start.

use crate::ids::Ids;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// Addresses at the start of every subnet that nobody gets (AWS reserves the first four and the last).
const RESERVED_FIRST: u32 = 4;

/// The VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    /// `vpc-` and 17 hex digits.
    pub id: Box<str>,
    /// First address; host bits are zero.
    pub base: Ipv4Addr,
    /// Prefix length, 16 to 24.
    pub prefix: u8,
    /// One for each zone.
    pub subnets: Vec<Subnet>,
    /// The group every interface is in unless another is named.
    pub default_security_group: Box<str>,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// `subnet-` and 17 hex digits.
    pub id: Box<str>,
    /// `us-east-1a`.
    pub zone: Box<str>,
    /// First address.
    pub base: Ipv4Addr,
    /// Prefix length.
    pub prefix: u8,
}

impl Vpc {
    /// Divides `base/prefix` in sixteen parts, as AWS's default VPC is, and makes subnets of the first three.
    pub fn plan(base: Ipv4Addr, prefix: u8, region: &str, ids: &mut Ids) -> Self {
        let size = 1u32 << (32 - (prefix + 4));
        let zones = ["a", "b", "c"];
        let subnets = zones.iter().zip(0u32..).map(|(zone, n)| Subnet {
            id: name("subnet", ids),
            zone: format!("{region}{zone}").into(),
            base: Ipv4Addr::from(u32::from(base) + n * size),
            prefix: prefix + 4,
        });
        Self { subnets: subnets.collect(), id: name("vpc", ids), base, prefix, default_security_group: name("sg", ids) }
    }

    /// The VPC's resolver: base address + 2.
    pub fn resolver(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) + 2)
    }

    /// The subnet of that id and its position.
    pub fn subnet(&self, id: &str) -> Option<(u8, &Subnet)> {
        (0u8..).zip(&self.subnets).find(|(_, subnet)| &*subnet.id == id)
    }

    /// `a.b.c.d/n`.
    pub fn cidr(&self) -> String {
        format!("{}/{}", self.base, self.prefix)
    }
}

impl Subnet {
    /// The gateway: the first address.
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) + 1)
    }

    /// Addresses that interfaces may have.
    pub fn usable(&self) -> std::ops::Range<u32> {
        let base = u32::from(self.base);
        base + RESERVED_FIRST..base + (1 << (32 - self.prefix)) - 1
    }

    /// `a.b.c.d/n`.
    pub fn cidr(&self) -> String {
        format!("{}/{}", self.base, self.prefix)
    }
}

fn name(kind: &str, ids: &mut Ids) -> Box<str> {
    format!("{kind}-0{:016x}", ids.bits()).into()
}

/// AWS's private DNS name of an address: `ip-172-31-0-5.ec2.internal` in us-east-1, else with the region.
pub fn private_dns_name(address: Ipv4Addr, region: &str) -> String {
    let [a, b, c, d] = address.octets();
    let domain = private_dns_domain(region);
    format!("ip-{a}-{b}-{c}-{d}.{domain}")
}

/// `ec2.internal` in us-east-1, `<region>.compute.internal` elsewhere (VPC user guide, DNS attributes).
pub fn private_dns_domain(region: &str) -> String {
    if region == "us-east-1" { "ec2.internal".to_owned() } else { format!("{region}.compute.internal") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_are_those_of_the_default_vpc() {
        let vpc = Vpc::plan(Ipv4Addr::new(172, 31, 0, 0), 16, "us-east-1", &mut Ids::seeded(1));
        let ranges: Vec<_> = vpc.subnets.iter().map(Subnet::cidr).collect();
        assert_eq!(ranges, ["172.31.0.0/20", "172.31.16.0/20", "172.31.32.0/20"]);
        assert_eq!(vpc.resolver(), Ipv4Addr::new(172, 31, 0, 2));
        let usable = vpc.subnets[0].usable();
        assert_eq!(Ipv4Addr::from(usable.start), Ipv4Addr::new(172, 31, 0, 4));
        assert_eq!(Ipv4Addr::from(usable.end - 1), Ipv4Addr::new(172, 31, 15, 254));
    }
}
