//! What can go wrong with packets, in one small list. It formats; it never decides.

use node::hands::{Cidr, HostPort};
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// Why the network of a node or a task could not be made, changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The kernel refused a netlink request.
    #[error("{action}")]
    Netlink {
        /// What was asked.
        action: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A file, mount or namespace operation failed.
    #[error("{action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The VPC's range is routed elsewhere on this host.
    #[error("the range {range} is already routed to {link} on this host; choose another with --vpc-cidr")]
    RangeTaken {
        /// The VPC's range.
        range: Cidr,
        /// The link that has the range now.
        link: String,
    },
    /// Every link-local range that we might use between host and VPC is in use.
    #[error("no free range is left in 169.254.192.0/18 for the link between the host and its VPC")]
    NoLinkRange,
    /// The interface is not one of this VPC.
    #[error("{address} is not an address of the VPC {vpc} ({range}) that this node serves")]
    ForeignInterface {
        /// The task's address.
        address: Ipv4Addr,
        /// The VPC that was named.
        vpc: String,
        /// The range that is served here.
        range: Cidr,
    },
    /// The task already has another interface.
    #[error("the task already has the address {has} and cannot be given {wanted}")]
    OtherInterface {
        /// What it has.
        has: Ipv4Addr,
        /// What was asked.
        wanted: Ipv4Addr,
    },
    /// A name that cannot be one.
    #[error("{name:?} is not {what}")]
    BadName {
        /// The name.
        name: String,
        /// What it should have been.
        what: &'static str,
    },
    /// The task's namespace is there, but its link to the VPC has gone.
    #[error("the network link of the task {task} has gone")]
    LinkLost {
        /// The task.
        task: String,
    },
    /// The VPC's resolver did not come up.
    #[error("the resolver of the VPC did not start: {message}")]
    Resolver {
        /// Its own words.
        message: String,
    },
    /// Every range that containers in bridge mode might have is routed on this host.
    #[error("no private range is left on this host for containers in bridge mode")]
    NoBridgeRange,
    /// Every address of the range has a container.
    #[error("all addresses of {range}, the range of containers in bridge mode, are in use")]
    BridgeFull {
        /// The range.
        range: Cidr,
    },
    /// A task has more containers than can have a network each.
    #[error("the task has {count} containers, and at most {max} can have a network of their own")]
    TooManyContainers {
        /// How many.
        count: usize,
        /// And how many could.
        max: u8,
    },
    /// Another task has the port.
    #[error("the host port {port} is already published by another task on this host")]
    PortPublished {
        /// Which.
        port: HostPort,
    },
    /// Some program listens on the port.
    #[error("the host port {port} is in use by another program on this host")]
    PortInUse {
        /// Which.
        port: HostPort,
    },
    /// All ports of the range are taken.
    #[error("no free host port is left in net.ipv4.ip_local_port_range, {first} to {last}")]
    NoPort {
        /// The first of the range.
        first: u16,
        /// The last.
        last: u16,
    },
    /// The work was abandoned because the process is ending.
    #[error("the network is closing")]
    Closing,
}

impl NetworkError {
    /// The error with its causes, on one line.
    pub fn in_full(&self) -> String {
        in_full(self)
    }

    /// For `map_err`: a file operation on `path`.
    pub(crate) fn file<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |error| Self::File { action, path, source: error.into() }
    }

    /// For `map_err`: a netlink request.
    pub(crate) fn netlink(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Netlink { action, source }
    }
}

/// Any error with its causes, on one line.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |e| e.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
