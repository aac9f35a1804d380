//! The VPC on this node: a network namespace that is a router without a bridge. It holds the rules between tasks, the
//! gateways' and the resolver's addresses, and one link to the host; every task hangs on a link of its own. Made or
//! adopted here; which tasks there are is the business of `tasks`.

use crate::error::NetworkError;
use crate::host::{HOST_LINK_IN_VPC, HostLink};
use crate::namespace::{self, set_parameter, set_parameter_if_known};
use crate::nft::{self, NftSocket};
use crate::range::{free_link_range, host_ranges, network_of};
use crate::route::{Changes, RouteSocket, Target};
use node::hands::Cidr;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

const LOOPBACK: u32 = 1;

/// The VPC's namespace, with sockets inside.
pub(crate) struct Vpc {
    pub namespace: Arc<OwnedFd>,
    pub route: RouteSocket,
    pub nft: NftSocket,
    pub host_link: HostLink,
}

/// What distinguishes this VPC.
pub(crate) struct VpcSettings<'a> {
    pub node_id: &'a str,
    pub pin: &'a Path,
    pub range: Cidr,
    pub resolver: Ipv4Addr,
}

impl Vpc {
    /// Makes the namespace and its link to the host, or adopts what is there and completes it.
    pub fn open(settings: &VpcSettings<'_>) -> Result<Self, NetworkError> {
        let namespace = if namespace::is_pinned(settings.pin) {
            namespace::open(settings.pin)?
        } else {
            let (namespace, ()) = namespace::make(|| Ok(()))?;
            namespace::pin(&namespace, settings.pin)?;
            namespace
        };
        let host = RouteSocket::open()?;
        let host_namespace = namespace::current()?;
        let (route, nft, host_link) = namespace::within(namespace.as_fd(), || {
            let route = RouteSocket::open()?;
            let nft = NftSocket::open()?;
            become_router()?;
            let host_link = join_host(&route, &host, &host_namespace, settings)?;
            // Only now, as the link to the host must answer for nobody.
            set_parameter("ipv4/conf/default/proxy_arp", "1")?;
            set_parameter(&format!("ipv4/conf/{HOST_LINK_IN_VPC}/proxy_arp"), "0")?;
            Ok((route, nft, host_link))
        })?;
        Ok(Self { namespace: Arc::new(namespace), route, nft, host_link })
    }

    /// Replaces the rules; established flows live on.
    pub fn replace_rules(&self, members: &[Ipv4Addr], bridged: &[Ipv4Addr]) -> Result<(), NetworkError> {
        let host_address = self.host_link.host_address();
        let rules = nft::VpcRules { host_link: HOST_LINK_IN_VPC, host_address, members, bridged };
        nft::vpc_table(&self.nft, &rules)
    }

    /// Refuses what goes to an address of the range that nobody has.
    pub fn close_range(&self, range: Cidr) -> Result<(), NetworkError> {
        let mut changes = Changes::default();
        changes.route(range, &Target::Unreachable);
        self.route.apply(&changes)
    }

    /// Answers for a subnet's gateway.
    pub fn answer_for(&self, gateway: Ipv4Addr) -> Result<(), NetworkError> {
        let mut changes = Changes::default();
        changes.address(LOOPBACK, gateway, 32);
        self.route.apply(&changes)
    }
}

/// Parameters that every later link inherits.
fn become_router() -> Result<(), NetworkError> {
    set_parameter("ipv4/ip_forward", "1")?;
    // A task's packets must carry the address that is routed back to its own link.
    set_parameter("ipv4/conf/all/rp_filter", "1")?;
    set_parameter("ipv4/conf/default/rp_filter", "1")?;
    set_parameter_if_known("ipv6/conf/all/disable_ipv6", "1")?;
    set_parameter_if_known("ipv6/conf/default/disable_ipv6", "1")
}

/// The link to the host: found, or made; then its addresses and routes in the VPC's namespace.
fn join_host(
    route: &RouteSocket,
    host: &RouteSocket,
    host_namespace: &OwnedFd,
    settings: &VpcSettings<'_>,
) -> Result<HostLink, NetworkError> {
    let name = HostLink::name_of(settings.node_id);
    let inside = route.link(HOST_LINK_IN_VPC)?;
    let outside = host.link(&name)?;
    let (inside, host_link) = match (inside, outside) {
        (Some(inside), Some(outside)) if inside.peer == Some(outside.index) => {
            let address = host.addresses()?.into_iter().find(|a| a.index == outside.index);
            let range = match address {
                Some(address) => network_of(address.address, address.prefix),
                None => free_range(settings)?,
            };
            (inside.index, HostLink { name, index: outside.index, range })
        }
        (inside, outside) => {
            remove_half(route, inside.map(|l| l.index))?;
            remove_half(host, outside.map(|l| l.index))?;
            refuse_a_taken_range(host, settings.range)?;
            let range = free_range(settings)?;
            let mut changes = Changes::default();
            changes.veth(HOST_LINK_IN_VPC, &name, host_namespace.as_fd());
            route.apply(&changes)?;
            let made = route.link(HOST_LINK_IN_VPC)?;
            let (index, outside) = made.and_then(|l| Some((l.index, l.peer?))).ok_or(NetworkError::Closing)?;
            (index, HostLink { name, index: outside, range })
        }
    };
    let everything = Cidr { base: Ipv4Addr::UNSPECIFIED, prefix: 0 };
    let mut changes = Changes::default();
    changes
        .up(LOOPBACK, None)
        .address(LOOPBACK, settings.resolver, 32)
        .address(inside, host_link.vpc_address(), host_link.range.prefix)
        .up(inside, None)
        .route(everything, &Target::Gateway(inside, host_link.host_address(), None))
        // Else a packet to an address that no task has would circle between the host and here.
        .route(settings.range, &Target::Unreachable);
    route.apply(&changes)?;
    Ok(host_link)
}

fn free_range(settings: &VpcSettings<'_>) -> Result<Cidr, NetworkError> {
    free_link_range(settings.node_id, &host_ranges()?).ok_or(NetworkError::NoLinkRange)
}

/// A link whose other end is not where it should be is of no use.
fn remove_half(socket: &RouteSocket, index: Option<u32>) -> Result<(), NetworkError> {
    let Some(index) = index else { return Ok(()) };
    let mut changes = Changes::default();
    changes.delete_link(index);
    socket.apply(&changes)
}

/// A route elsewhere to our range, or to a part of it, would take our packets. A wider one would not.
fn refuse_a_taken_range(host: &RouteSocket, range: Cidr) -> Result<(), NetworkError> {
    let routes = host.routes()?;
    let taken = routes.iter().find(|r| r.main && r.to.prefix >= range.prefix && range.overlaps(r.to));
    let Some(taken) = taken else { return Ok(()) };
    let links = host.links()?;
    let link = links.into_iter().find(|l| Some(l.index) == taken.link);
    Err(NetworkError::RangeTaken { range, link: link.map_or_else(|| "nowhere".to_owned(), |l| l.name) })
}
