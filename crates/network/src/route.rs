//! Links, addresses, routes and neighbours of one network namespace: batches of changes in one system call, and the
//! three listings that adoption needs. It never waits and never decides what should exist.

use crate::error::NetworkError;
use crate::netlink::{
    FLAG_ACK, FLAG_CREATE, FLAG_DUMP, FLAG_EXCL, FLAG_REPLACE, FLAG_REQUEST, HEADER, Netlink, Refusal,
};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload, Parseable};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, State,
};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use node::hands::Cidr;
use rustix::io::Errno;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

const PROTOCOL: isize = 0;

/// A link as the kernel lists it.
#[derive(Debug)]
pub(crate) struct Link {
    pub index: u32,
    pub name: String,
    pub alias: Option<String>,
    /// For a veth: the index of its other end, in that one's namespace.
    pub peer: Option<u32>,
    /// Both ends are up, and the kernel has taken note: what is sent earlier is lost.
    pub carries: bool,
}

/// An IPv4 address as the kernel lists it.
#[derive(Debug)]
pub(crate) struct Address {
    pub index: u32,
    pub address: Ipv4Addr,
    pub prefix: u8,
}

/// An IPv4 route as the kernel lists it.
#[derive(Debug)]
pub(crate) struct Route {
    pub to: Cidr,
    pub link: Option<u32>,
    /// In the main table, and not one of the kernel's own local or broadcast routes.
    pub main: bool,
}

/// Where a route leads.
pub(crate) enum Target {
    /// Out of the link, directly.
    Link(u32),
    /// To a gateway behind the link, with a preferred source address if any.
    Gateway(u32, Ipv4Addr, Option<Ipv4Addr>),
    /// Refused with ICMP unreachable, after all other routes.
    Unreachable,
}

/// Changes to send together. Each may name refusals that are as good as success.
#[derive(Default)]
pub(crate) struct Changes {
    bytes: Vec<u8>,
    /// Per message: what it does (for the error), and tolerated refusals.
    notes: Vec<(String, &'static [Errno])>,
}

impl Changes {
    /// A veth pair: `name` here, brought up, and `peer_name` in the namespace `peer_netns`. (The kernel configures the
    /// peer first, when it cannot be brought up yet.)
    pub fn veth(&mut self, name: &str, peer_name: &str, peer_netns: BorrowedFd<'_>) -> &mut Self {
        let mut peer = LinkMessage::default();
        peer.attributes =
            vec![LinkAttribute::IfName(peer_name.to_owned()), LinkAttribute::NetNsFd(peer_netns.as_raw_fd())];
        let mut link = LinkMessage::default();
        link.header.flags = LinkFlags::Up;
        link.header.change_mask = LinkFlags::Up;
        link.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
            ]),
        ];
        let note = format!("cannot make the link {name} to {peer_name}");
        self.push(note, RouteNetlinkMessage::NewLink(link), FLAG_CREATE | FLAG_EXCL, &[])
    }

    /// Brings a link up, with another link-layer address if given.
    pub fn up(&mut self, index: u32, mac: Option<[u8; 6]>) -> &mut Self {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.header.flags = LinkFlags::Up;
        link.header.change_mask = LinkFlags::Up;
        link.attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
        self.push(format!("cannot bring link {index} up"), RouteNetlinkMessage::SetLink(link), 0, &[])
    }

    /// Writes a note on the link that outlives this process.
    pub fn alias(&mut self, index: u32, alias: &str) -> &mut Self {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.attributes.push(LinkAttribute::IfAlias(alias.to_owned()));
        self.push(format!("cannot name link {index}"), RouteNetlinkMessage::SetLink(link), 0, &[])
    }

    /// Deletes a link. Slow (it waits for every reader in the kernel): never on the stop path of a task.
    pub fn delete_link(&mut self, index: u32) -> &mut Self {
        let mut link = LinkMessage::default();
        link.header.index = index;
        let note = format!("cannot delete link {index}");
        self.push(note, RouteNetlinkMessage::DelLink(link), 0, &[Errno::NODEV])
    }

    /// Gives a link an address.
    pub fn address(&mut self, index: u32, address: Ipv4Addr, prefix: u8) -> &mut Self {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.prefix_len = prefix;
        message.header.index = index;
        message.attributes =
            vec![AddressAttribute::Local(IpAddr::V4(address)), AddressAttribute::Address(IpAddr::V4(address))];
        let note = format!("cannot give link {index} the address {address}/{prefix}");
        self.push(note, RouteNetlinkMessage::NewAddress(message), FLAG_CREATE | FLAG_EXCL, &[Errno::EXIST])
    }

    /// Adds a route, or replaces the one to the same range.
    pub fn route(&mut self, to: Cidr, target: &Target) -> &mut Self {
        let note = format!("cannot add the route to {to}");
        let message = RouteNetlinkMessage::NewRoute(route_message(to, target));
        self.push(note, message, FLAG_CREATE | FLAG_REPLACE, &[])
    }

    /// Removes the route to `to` through the link, if it is there.
    pub fn delete_route(&mut self, to: Cidr, link: u32) -> &mut Self {
        let note = format!("cannot delete the route to {to}");
        let message = RouteNetlinkMessage::DelRoute(route_message(to, &Target::Link(link)));
        self.push(note, message, 0, &[Errno::SRCH, Errno::NODEV])
    }

    /// Fixes the link-layer address behind `address`, so that nobody has to ask for it.
    pub fn neighbour(&mut self, index: u32, address: Ipv4Addr, mac: [u8; 6]) -> &mut Self {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.ifindex = index;
        message.header.state = NeighbourState::Permanent;
        message.header.kind = RouteType::Unicast;
        message.attributes = vec![
            NeighbourAttribute::Destination(NeighbourAddress::Inet(address)),
            NeighbourAttribute::LinkLayerAddress(mac.to_vec()),
        ];
        let note = format!("cannot fix the neighbour {address}");
        self.push(note, RouteNetlinkMessage::NewNeighbour(message), FLAG_CREATE | FLAG_REPLACE, &[])
    }

    fn push(&mut self, note: String, message: RouteNetlinkMessage, flags: u16, fine: &'static [Errno]) -> &mut Self {
        self.notes.push((note, fine));
        let sequence = u32::try_from(self.notes.len()).unwrap_or(u32::MAX);
        append(&mut self.bytes, message, FLAG_REQUEST | FLAG_ACK | flags, sequence);
        self
    }
}

fn append(bytes: &mut Vec<u8>, message: RouteNetlinkMessage, flags: u16, sequence: u32) {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = flags;
    message.header.sequence_number = sequence;
    message.finalize();
    let start = bytes.len();
    bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
    message.serialize(&mut bytes[start..]);
}

fn route_message(to: Cidr, target: &Target) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.destination_prefix_length = to.prefix;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.kind = RouteType::Unicast;
    if to.prefix > 0 {
        message.attributes.push(RouteAttribute::Destination(RouteAddress::Inet(to.base)));
    }
    match target {
        Target::Link(link) => {
            message.header.scope = RouteScope::Link;
            message.attributes.push(RouteAttribute::Oif(*link));
        }
        Target::Gateway(link, gateway, source) => {
            message.attributes.push(RouteAttribute::Oif(*link));
            message.attributes.push(RouteAttribute::Gateway(RouteAddress::Inet(*gateway)));
            message.attributes.extend(source.map(|s| RouteAttribute::PrefSource(RouteAddress::Inet(s))));
        }
        Target::Unreachable => {
            message.header.kind = RouteType::Unreachable;
            message.attributes.push(RouteAttribute::Priority(u32::MAX));
        }
    }
    message
}

/// A route socket of the namespace in which it was opened.
pub(crate) struct RouteSocket(Netlink);

impl RouteSocket {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> Result<Self, NetworkError> {
        Netlink::open(PROTOCOL).map(Self).map_err(NetworkError::netlink("cannot open a netlink route socket"))
    }

    /// Applies all changes in one call; the first refusal that is not tolerated is the error.
    pub fn apply(&self, changes: &Changes) -> Result<(), NetworkError> {
        let Ok(last @ 1..) = u32::try_from(changes.notes.len()) else { return Ok(()) };
        let refusals = self
            .0
            .transact(&changes.bytes, last)
            .map_err(NetworkError::netlink("cannot talk to the kernel about links"))?;
        for Refusal { sequence, error } in refusals {
            let note = sequence.checked_sub(1).and_then(|at| changes.notes.get(at as usize));
            let Some((note, fine)) = note else { continue };
            if !fine.iter().any(|e| error.raw_os_error() == Some(e.raw_os_error())) {
                return Err(NetworkError::Netlink { action: note.clone(), source: error });
            }
        }
        Ok(())
    }

    /// All links.
    pub fn links(&self) -> Result<Vec<Link>, NetworkError> {
        let mut links = Vec::new();
        self.list(RouteNetlinkMessage::GetLink(LinkMessage::default()), "links", |body| {
            if let Ok(message) = LinkMessage::parse(body) {
                links.push(link_of(message));
            }
        })?;
        Ok(links)
    }

    /// The link of this name, if there is one.
    pub fn link(&self, name: &str) -> Result<Option<Link>, NetworkError> {
        Ok(self.links()?.into_iter().find(|link| link.name == name))
    }

    /// The link with this index, if there is one. Unlike `link` it costs the same among a thousand links.
    pub fn link_at(&self, index: u32) -> Result<Option<Link>, NetworkError> {
        let mut request = LinkMessage::default();
        request.header.index = index;
        let mut found = None;
        self.ask(RouteNetlinkMessage::GetLink(request), FLAG_ACK, "a link", |body| {
            found = LinkMessage::parse(body).ok().map(link_of);
        })?;
        Ok(found)
    }

    /// All IPv4 addresses.
    pub fn addresses(&self) -> Result<Vec<Address>, NetworkError> {
        let mut request = AddressMessage::default();
        request.header.family = AddressFamily::Inet;
        let mut addresses = Vec::new();
        self.list(RouteNetlinkMessage::GetAddress(request), "addresses", |body| {
            let Ok(message) = AddressMessage::parse(body) else { return };
            let local = message.attributes.iter().find_map(|a| match a {
                AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
                _ => None,
            });
            let (index, prefix) = (message.header.index, message.header.prefix_len);
            addresses.extend(local.map(|address| Address { index, address, prefix }));
        })?;
        Ok(addresses)
    }

    /// All IPv4 routes.
    pub fn routes(&self) -> Result<Vec<Route>, NetworkError> {
        let mut request = RouteMessage::default();
        request.header.address_family = AddressFamily::Inet;
        let mut routes = Vec::new();
        self.list(RouteNetlinkMessage::GetRoute(request), "routes", |body| {
            if let Ok(message) = RouteMessage::parse(body) {
                routes.push(route_of(&message));
            }
        })?;
        Ok(routes)
    }

    fn list(&self, request: RouteNetlinkMessage, what: &str, each: impl FnMut(&[u8])) -> Result<(), NetworkError> {
        self.ask(request, FLAG_DUMP, what, each)
    }

    fn ask(
        &self,
        request: RouteNetlinkMessage,
        flag: u16,
        what: &str,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), NetworkError> {
        let wanted = NetlinkPayload::InnerMessage(request.clone()).message_type() - 2;
        let mut bytes = Vec::with_capacity(HEADER * 4);
        append(&mut bytes, request, FLAG_REQUEST | flag, 1);
        let each = |kind, body: &[u8]| {
            if kind == wanted {
                each(body);
            }
        };
        self.0.dump(&bytes, each).map_err(NetworkError::netlink(format!("cannot list {what}")))
    }
}

fn link_of(message: LinkMessage) -> Link {
    let mut link = Link { index: message.header.index, name: String::new(), alias: None, peer: None, carries: false };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
            LinkAttribute::Link(peer) => link.peer = Some(peer),
            LinkAttribute::OperState(state) => link.carries = state == State::Up,
            _ => {}
        }
    }
    link
}

fn route_of(message: &RouteMessage) -> Route {
    let header = &message.header;
    let own = matches!(header.kind, RouteType::Unicast | RouteType::Unreachable | RouteType::BlackHole);
    let mut route = Route {
        to: Cidr { base: Ipv4Addr::UNSPECIFIED, prefix: header.destination_prefix_length },
        link: None,
        main: own && header.table == RouteHeader::RT_TABLE_MAIN,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => route.to.base = *address,
            RouteAttribute::Oif(link) => route.link = Some(*link),
            _ => {}
        }
    }
    route
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_carries_each_message_with_its_own_number_and_asks_for_every_answer() {
        let mut changes = Changes::default();
        let task = Cidr { base: Ipv4Addr::new(172, 31, 0, 5), prefix: 32 };
        changes.up(7, Some([2, 0, 0, 0, 0, 9])).route(task, &Target::Link(7)).delete_route(task, 7);
        let cut: Vec<_> = crate::netlink::messages(&changes.bytes).map(|m| (m.kind, m.sequence)).collect();
        assert_eq!(cut, [(19, 1), (24, 2), (25, 3)]);
        assert_eq!(changes.notes.len(), 3);
    }

    #[test]
    fn golden_bytes_of_a_task_route() {
        let mut changes = Changes::default();
        let task = Cidr { base: Ipv4Addr::new(172, 31, 0, 5), prefix: 32 };
        changes.route(task, &Target::Link(7));
        let expected: [u8; 44] = [
            44, 0, 0, 0, 24, 0, 0x05, 0x05, 1, 0, 0, 0, 0, 0, 0,
            0, // nlmsghdr: NEWROUTE, request ack replace create
            2, 32, 0, 0, 254, 4, 253, 1, 0, 0, 0, 0, // rtmsg: inet /32, main, static, scope link, unicast
            8, 0, 1, 0, 172, 31, 0, 5, // RTA_DST
            8, 0, 4, 0, 7, 0, 0, 0, // RTA_OIF
        ];
        assert_eq!(changes.bytes, expected);
    }
}
