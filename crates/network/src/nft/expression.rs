//! The expressions of a rule: what it compares and what it does. Only those that our rules need.

use super::encode::{Attributes, Family};
use node::hands::Cidr;
use std::net::Ipv4Addr;

const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const REGISTER: u32 = 1;
const VERDICT_REGISTER: u32 = 0;
const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
/// `IPS_DST_NAT`.
const DESTINATION_CHANGED: u32 = 32;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
/// The second quarter of `REGISTER`, by its own name.
const REGISTER_AFTER_ADDRESS: u32 = 9;
const FIB_ADDRESS_TYPE: u32 = 3;
const FIB_OF_DESTINATION: u32 = 2;
/// `RTN_LOCAL`.
const LOCAL: u32 = 2;
const NAT_DESTINATION: u32 = 1;
/// `IFNAMSIZ`.
const NAME_LENGTH: usize = 16;

/// States of a connection, as bits.
pub(crate) mod state {
    pub const INVALID: u32 = 1;
    pub const ESTABLISHED: u32 = 2;
    pub const RELATED: u32 = 4;
    pub const NEW: u32 = 8;
}

/// An address in the IPv4 header.
#[derive(Clone, Copy)]
pub(crate) enum Field {
    Source = 12,
    Destination = 16,
}

/// A rule in the making; each call adds a condition, the last one an action.
pub(crate) struct Rule {
    list: Attributes,
    /// In `inet` tables an address means nothing before the family is known.
    family_checked: bool,
}

impl Rule {
    /// A rule without conditions for a table of `family`.
    pub fn new(family: Family) -> Self {
        Self { list: Attributes::default(), family_checked: family == Family::Ip }
    }

    /// The packet came in by this link.
    pub fn comes_by(self, name: &str) -> Self {
        self.meta(META_IIFNAME).compare(EQUAL, &padded(name))
    }

    /// The packet leaves by this link.
    pub fn leaves_by(self, name: &str) -> Self {
        self.meta(META_OIFNAME).compare(EQUAL, &padded(name))
    }

    /// The packet leaves by any other link.
    pub fn leaves_not_by(self, name: &str) -> Self {
        self.meta(META_OIFNAME).compare(NOT_EQUAL, &padded(name))
    }

    /// The connection is in one of these states.
    pub fn states(self, bits: u32) -> Self {
        // Register contents are in host order, unlike everything else.
        self.add("ct", |a| {
            a.number(1, REGISTER).number(2, CT_STATE);
        })
        .mask(&bits.to_ne_bytes())
        .compare(NOT_EQUAL, &[0; 4])
    }

    /// The connection goes to another address than it asked for.
    pub fn redirected(self) -> Self {
        self.add("ct", |a| {
            a.number(1, REGISTER).number(2, CT_STATUS);
        })
        .mask(&DESTINATION_CHANGED.to_ne_bytes())
        .compare(NOT_EQUAL, &[0; 4])
    }

    /// The destination is an address of this host.
    pub fn goes_to_this_host(self) -> Self {
        self.add("fib", |a| {
            a.number(1, REGISTER).number(2, FIB_ADDRESS_TYPE).number(3, FIB_OF_DESTINATION);
        })
        .compare(EQUAL, &LOCAL.to_ne_bytes())
    }

    /// The packet is of this protocol.
    pub fn protocol(self, number: u8) -> Self {
        self.meta(META_L4PROTO).compare(EQUAL, &[number])
    }

    /// The address is this one.
    pub fn is(self, field: Field, address: Ipv4Addr) -> Self {
        self.load(field).compare(EQUAL, &address.octets())
    }

    /// The address is in the range.
    pub fn within(self, field: Field, range: Cidr) -> Self {
        self.load(field).mask(&range.mask().to_be_bytes()).compare(EQUAL, &range.base.octets())
    }

    /// The address is outside the range.
    pub fn outside(self, field: Field, range: Cidr) -> Self {
        self.load(field).mask(&range.mask().to_be_bytes()).compare(NOT_EQUAL, &range.base.octets())
    }

    /// The address is in the set.
    pub fn in_set(self, field: Field, set: &str) -> Self {
        self.load(field).add("lookup", |a| {
            a.text(1, set).number(2, REGISTER);
        })
    }

    /// Counts what came so far.
    pub fn count(self) -> Self {
        self.add("counter", |a| {
            a.long(1, 0).long(2, 0);
        })
    }

    /// Lets it pass this hook.
    pub fn accept(self) -> Attributes {
        self.verdict(NF_ACCEPT)
    }

    /// Drops it.
    pub fn drop(self) -> Attributes {
        self.verdict(NF_DROP)
    }

    /// Gives it the address of the link by which it leaves.
    pub fn masquerade(self) -> Attributes {
        self.add("masq", |_| {}).list
    }

    /// Sends it on to the address and port that the map has for its destination port, if the map has any.
    pub fn redirect_by_port(self, map: &str) -> Attributes {
        // Source and destination port are the first two fields of TCP and UDP alike.
        self.add("payload", |a| {
            a.number(1, REGISTER).number(2, TRANSPORT_HEADER).number(3, 2).number(4, 2);
        })
        .add("lookup", |a| {
            a.text(1, map).number(2, REGISTER).number(3, REGISTER);
        })
        .add("nat", |a| {
            a.number(1, NAT_DESTINATION).number(2, Family::Ip as u32);
            a.number(3, REGISTER).number(5, REGISTER_AFTER_ADDRESS);
        })
        .list
    }

    fn verdict(self, code: u32) -> Attributes {
        self.add("immediate", |a| {
            a.number(1, VERDICT_REGISTER).nest(2, |data| {
                data.nest(DATA_VERDICT, |verdict| {
                    verdict.number(VERDICT_CODE, code);
                });
            });
        })
        .list
    }

    fn meta(self, key: u32) -> Self {
        self.add("meta", |a| {
            a.number(1, REGISTER).number(2, key);
        })
    }

    fn load(mut self, field: Field) -> Self {
        if !self.family_checked {
            self.family_checked = true;
            self = self.meta(META_NFPROTO).compare(EQUAL, &[Family::Ip as u8]);
        }
        self.add("payload", |a| {
            a.number(1, REGISTER).number(2, NETWORK_HEADER).number(3, field as u32).number(4, 4);
        })
    }

    fn mask(self, bits: &[u8; 4]) -> Self {
        self.add("bitwise", |a| {
            a.number(1, REGISTER).number(2, REGISTER).number(3, 4);
            a.nest(4, |data| {
                data.bytes(DATA_VALUE, bits);
            });
            a.nest(5, |data| {
                data.bytes(DATA_VALUE, &[0; 4]);
            });
        })
    }

    fn compare(self, operator: u32, value: &[u8]) -> Self {
        self.add("cmp", |a| {
            a.number(1, REGISTER).number(2, operator).nest(3, |data| {
                data.bytes(DATA_VALUE, value);
            });
        })
    }

    fn add(mut self, name: &str, fill: impl FnOnce(&mut Attributes)) -> Self {
        self.list.nest(LIST_ELEMENT, |element| {
            element.text(EXPRESSION_NAME, name).nest(EXPRESSION_DATA, fill);
        });
        self
    }
}

fn padded(name: &str) -> [u8; NAME_LENGTH] {
    let mut bytes = [0; NAME_LENGTH];
    let length = name.len().min(NAME_LENGTH - 1);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes_of_a_link_match_and_accept() {
        let rule = Rule::new(Family::Inet).comes_by("host").accept();
        #[rustfmt::skip]
        let expected: Vec<u8> = [
            &[36, 0, 1, 0x80, 9, 0, 1, 0, b'm', b'e', b't', b'a', 0, 0, 0, 0][..], // meta
            &[20, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 1, 8, 0, 2, 0, 0, 0, 0, 6],
            &[56, 0, 1, 0x80, 8, 0, 1, 0, b'c', b'm', b'p', 0], // cmp
            &[44, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 1, 8, 0, 2, 0, 0, 0, 0, 0, 24, 0, 3, 0x80, 20, 0, 1, 0],
            b"host\0\0\0\0\0\0\0\0\0\0\0\0",
            &[48, 0, 1, 0x80, 14, 0, 1, 0, b'i', b'm', b'm', b'e', b'd', b'i', b'a', b't', b'e', 0, 0, 0], // immediate
            &[28, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 0, 16, 0, 2, 0x80, 12, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 1],
        ]
        .concat();
        assert_eq!(rule.as_bytes(), expected);
    }

    #[test]
    fn an_address_checks_the_family_once_and_only_in_inet() {
        let count = |family| {
            let address = Ipv4Addr::new(10, 0, 0, 1);
            let rule = Rule::new(family).is(Field::Source, address).is(Field::Destination, address).accept();
            crate::netlink::attributes(rule.as_bytes()).count()
        };
        assert_eq!((count(Family::Inet), count(Family::Ip)), (7, 5));
    }

    #[test]
    fn a_link_name_is_cut_to_what_the_kernel_holds() {
        assert_eq!(&padded("a-name-that-is-too-long")[14..], b"-\0");
    }
}
