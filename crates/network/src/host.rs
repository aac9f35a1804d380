//! The host's side of a VPC: one link with an address and a route, forwarding where it is off, masquerade, and accept
//! rules where a firewall drops what is forwarded. It changes nothing that does not carry the node id, but for the
//! forwarding switches of links, which stay on as Docker leaves them.

use crate::error::NetworkError;
use crate::namespace::set_parameter_if_known;
use crate::nft::{self, Foreign, NftSocket, Published};
use crate::route::{Changes, RouteSocket, Target};
use node::hands::Cidr;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Mutex;

/// The name of the link's end inside the VPC's namespace.
pub(crate) const HOST_LINK_IN_VPC: &str = "host";

/// The veth pair between host and VPC.
#[derive(Clone, Debug)]
pub(crate) struct HostLink {
    /// On the host, with the node id in it.
    pub name: String,
    /// On the host.
    pub index: u32,
    /// The link-local /30 of both ends.
    pub range: Cidr,
}

impl HostLink {
    /// `gan-<node id>`: 12 characters of the 15 that the kernel allows.
    pub fn name_of(node_id: &str) -> String {
        format!("gan-{node_id}")
    }

    pub fn host_address(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.range.base) + 1)
    }

    pub fn vpc_address(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.range.base) + 2)
    }
}

/// The host's side, with sockets in the host's namespace.
pub(crate) struct Host {
    node_id: String,
    range: Cidr,
    bridge: Option<Cidr>,
    link: HostLink,
    sockets: Mutex<(RouteSocket, NftSocket)>,
    /// What was said already, so that it is said once.
    said: Mutex<BTreeSet<String>>,
}

impl Host {
    /// Must be called in the host's namespace.
    pub fn new(node_id: &str, range: Cidr, bridge: Option<Cidr>, link: HostLink) -> Result<Self, NetworkError> {
        let sockets = Mutex::new((RouteSocket::open()?, NftSocket::open()?));
        Ok(Self { node_id: node_id.to_owned(), range, bridge, link, sockets, said: Mutex::default() })
    }

    /// Makes everything as it must be; repeats harmlessly what is so already.
    pub fn assert(&self, published: &[Published]) -> Result<(), NetworkError> {
        let (route, nft) = &*self.sockets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut changes = Changes::default();
        let gateway = Target::Gateway(self.link.index, self.link.vpc_address(), Some(self.link.host_address()));
        changes
            .address(self.link.index, self.link.host_address(), self.link.range.prefix)
            .up(self.link.index, None)
            .route(self.range, &gateway);
        if let Some(bridge) = self.bridge {
            changes.route(bridge, &gateway);
        }
        route.apply(&changes)?;
        // The VPC is IPv4: no link-local address and no router solicitations on its link.
        set_parameter_if_known(&format!("ipv6/conf/{}/disable_ipv6", self.link.name), "1")?;
        // For what the host sends to a published port of its loopback; the rules keep others from using it.
        set_parameter_if_known(&format!("ipv4/conf/{}/route_localnet", self.link.name), "1")?;
        self.forward(route)?;
        let (node_id, link) = (self.node_id.as_str(), self.link.name.as_str());
        nft::host_table(nft, &nft::HostRules { node_id, link, vpc: self.range, bridge: self.bridge, published })?;
        let foreign = nft::accept_in_foreign_chains(nft, &self.node_id, &self.link.name)?;
        self.tell(&foreign);
        Ok(())
    }

    /// Lets ports of the host lead to containers.
    pub fn publish(&self, ports: &[Published]) -> Result<(), NetworkError> {
        let (_, nft) = &*self.sockets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        nft::publish(nft, &self.node_id, ports)
    }

    /// The reverse.
    pub fn withdraw(&self, ports: &[Published]) -> Result<(), NetworkError> {
        let (_, nft) = &*self.sockets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        nft::withdraw(nft, &self.node_id, ports)
    }

    /// Forwarding is a matter of the link by which a packet comes in: ours for egress, those with routes for answers.
    fn forward(&self, route: &RouteSocket) -> Result<(), NetworkError> {
        let routes = route.routes()?;
        let routed: BTreeSet<u32> = routes.iter().filter(|r| r.main).filter_map(|r| r.link).collect();
        for link in route.links()? {
            if link.index == self.link.index || routed.contains(&link.index) {
                self.forward_from(&link.name)?;
            }
        }
        Ok(())
    }

    fn forward_from(&self, link: &str) -> Result<(), NetworkError> {
        let path = PathBuf::from(format!("/proc/sys/net/ipv4/conf/{link}/forwarding"));
        let is_on = std::fs::read_to_string(&path).map_err(NetworkError::file("cannot read", &path))?;
        if is_on.trim() != "0" {
            return Ok(());
        }
        std::fs::write(&path, "1").map_err(NetworkError::file("cannot switch on", &path))?;
        if link != self.link.name {
            tracing::info!(link, "switched on IPv4 forwarding of what comes in by this link");
        }
        Ok(())
    }

    fn tell(&self, foreign: &Foreign) {
        if let Some(chain) = &foreign.accepted_in {
            self.once(format!("the chain {chain} of ip filter accepts what the VPC sends, by two rules of ours"));
        }
        for chain in &foreign.dropping {
            self.once(format!(
                "the chain {chain} drops forwarded packets by policy: unless it accepts those of {}, tasks cannot reach \
                 the outside",
                self.link.name
            ));
        }
        if foreign.legacy {
            self.once(
                "this host uses the legacy iptables, which cannot be helped from here: unless its FORWARD chain accepts \
                 the VPC's packets, tasks cannot reach the outside"
                    .to_owned(),
            );
        }
    }

    fn once(&self, message: String) {
        let mut said = self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if said.insert(message.clone()) {
            tracing::info!("{message}");
        }
    }
}
