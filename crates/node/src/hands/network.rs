//! The network of a task: what a node wants of it, and what came of that.

pub use model::port::{HostPort, PortMapping, Protocol};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;

/// One network interface of a task, as the control plane allocated it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// `eni-…`.
    pub id: String,
    /// The VPC this interface is in, `vpc-…`.
    pub vpc: String,
    /// The VPC's address range.
    pub vpc_cidr: Cidr,
    /// The link-layer address of the task's eth0.
    pub mac: [u8; 6],
    /// The task's address.
    pub address: Ipv4Addr,
    /// The prefix length of the subnet.
    pub prefix: u8,
    /// The subnet's first address: the task's default gateway.
    pub gateway: Ipv4Addr,
    /// The VPC's resolver (base address + 2).
    pub resolver: Ipv4Addr,
    /// The task's host name, `ip-172-31-0-5.ec2.internal`.
    pub host_name: String,
}

/// An IPv4 range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    /// The first address; host bits are zero.
    pub base: Ipv4Addr,
    /// 0 to 32.
    pub prefix: u8,
}

impl Cidr {
    /// Parses `a.b.c.d/n`; refuses host bits and prefixes over 32.
    pub fn parse(text: &str) -> Option<Self> {
        let (base, prefix) = text.split_once('/')?;
        let (base, prefix): (Ipv4Addr, u8) = (base.parse().ok()?, prefix.parse().ok()?);
        let cidr = Self { base, prefix };
        (prefix <= 32 && cidr.contains_only_network_bits()).then_some(cidr)
    }

    fn contains_only_network_bits(self) -> bool {
        u32::from(self.base) & !self.mask() == 0
    }

    /// The netmask as a number.
    pub fn mask(self) -> u32 {
        if self.prefix == 0 { 0 } else { u32::MAX << (32 - u32::from(self.prefix)) }
    }

    /// Whether the two ranges share an address.
    pub fn overlaps(self, other: Self) -> bool {
        let mask = self.mask() & other.mask();
        u32::from(self.base) & mask == u32::from(other.base) & mask
    }

    /// Whether `address` lies inside.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask() == u32::from(self.base)
    }

    /// The `n`th address of the range, if it has so many.
    pub fn nth(self, n: u32) -> Option<Ipv4Addr> {
        (n <= !self.mask()).then(|| Ipv4Addr::from(u32::from(self.base) + n))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl TryFrom<String> for Cidr {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("not an IPv4 range: {text:?}"))
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> String {
        cidr.to_string()
    }
}

/// The network that a task gets. Lists have an entry for each container, in the order of the task's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// A namespace for the whole task, with this interface.
    Interface(Interface),
    /// A namespace for each container, with an address that only its host knows, behind ports of the host.
    Bridge(Vec<Vec<PortMapping>>),
    /// The host's own network; there is nothing to make, and each port is itself.
    Host(Vec<Vec<PortMapping>>),
    /// A namespace for each of so many containers, with a loopback and nothing else.
    Nothing(usize),
}

/// What a container has of its own in a task without an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerNetwork {
    /// Its address, where it has one.
    pub address: Option<Ipv4Addr>,
    /// Servers for /etc/resolv.conf.
    pub dns: Vec<Ipv4Addr>,
    /// Search domains for /etc/resolv.conf.
    pub dns_search: Vec<String>,
    /// The ports of the host that lead to it, each with its number.
    pub bindings: Vec<PortMapping>,
}

/// The network namespace of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Joined {
    /// The task's.
    #[default]
    Task,
    /// Its own: the one of this number among the task's.
    Own(u8),
    /// The host's, with the host's names for itself and for others.
    Host,
}
