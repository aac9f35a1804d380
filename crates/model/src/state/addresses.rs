//! Addresses of subnets.

use super::State;
use std::net::Ipv4Addr;

impl State {
    /// Interfaces in a subnet.
    pub fn subnet_eni_count(&self, subnet: u8) -> u32 {
        self.index.subnet_enis.get(&subnet).copied().unwrap_or(0)
    }

    /// A free address of a subnet: the one after the highest in use; the lowest gap when the end is reached.
    pub fn free_address(&self, subnet: u8) -> Option<Ipv4Addr> {
        self.free_addresses(subnet).next()
    }

    /// All of them, in that order.
    pub fn free_addresses(&self, subnet: u8) -> impl Iterator<Item = Ipv4Addr> + use<'_> {
        let usable = self.meta().vpc.subnets.get(usize::from(subnet)).map_or(0..0, |subnet| subnet.usable());
        let used = self.index.addresses.range(Ipv4Addr::from(usable.start)..Ipv4Addr::from(usable.end));
        let next = used.clone().next_back().map_or(usable.start, |highest| u32::from(*highest) + 1);
        let mut used = used.map(|address| u32::from(*address)).peekable();
        let gaps = (usable.start..next).filter(move |address| used.next_if_eq(address).is_none());
        (next..usable.end).chain(gaps).map(Ipv4Addr::from)
    }
}
