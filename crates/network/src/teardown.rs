//! The end of a node's network: everything that carries its id, and nothing else. Works without a `Network`, after a
//! crash, and on what is left of an earlier attempt.

use crate::error::NetworkError;
use crate::host::HostLink;
use crate::namespace;
use crate::network::{bridge_file, pins};
use crate::nft::{self, NftSocket};
use crate::ports;
use crate::resolver;
use crate::route::{Changes, RouteSocket};
use crate::tasks::names_in;
use std::io;
use std::path::Path;

/// Removes every namespace, link, route, table, rule and mount of this node id, and ends its resolver. Goes on after a
/// failure and returns the first. Containers should have ended before.
pub fn remove_everything(node_id: &str, run_dir: &Path) -> Result<(), NetworkError> {
    let mut first = Ok(());
    let mut note = |result: Result<(), NetworkError>| {
        if let Err(error) = result {
            tracing::warn!(error = %error.in_full(), "cannot remove a part of the network");
            if first.is_ok() {
                first = Err(error);
            }
        }
    };
    note(resolver::end(run_dir));
    let pins = pins(run_dir);
    for name in names_in(&pins) {
        note(namespace::unpin(&pins.join(name)));
    }
    note(namespace::remove_private_mount(&pins));
    note(remove_files(run_dir));
    note(remove_host_link(node_id));
    note(remove_host_rules(node_id));
    match std::fs::remove_dir(run_dir) {
        // Others keep things there too.
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            note(Err(NetworkError::file("cannot remove", run_dir)(error)));
        }
        _ => {}
    }
    first
}

/// What was kept of ports and of the range behind them.
fn remove_files(run_dir: &Path) -> Result<(), NetworkError> {
    let (ports, bridge) = (ports::directory(run_dir), bridge_file(run_dir));
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    gone(std::fs::remove_dir_all(&ports)).map_err(NetworkError::file("cannot remove", &ports))?;
    gone(std::fs::remove_file(&bridge)).map_err(NetworkError::file("cannot remove", &bridge))
}

/// The link to the VPC; its route goes with it.
fn remove_host_link(node_id: &str) -> Result<(), NetworkError> {
    let route = RouteSocket::open()?;
    let Some(link) = route.link(&HostLink::name_of(node_id))? else { return Ok(()) };
    let mut changes = Changes::default();
    changes.delete_link(link.index);
    route.apply(&changes)
}

fn remove_host_rules(node_id: &str) -> Result<(), NetworkError> {
    let nft = NftSocket::open()?;
    nft::remove_from_foreign_chains(&nft, node_id)?;
    nft::remove_host_table(&nft, node_id)
}
