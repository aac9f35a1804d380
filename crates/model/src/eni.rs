//! The network interface of a task.

use crate::ids::{EniId, Uuid};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// A task's network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eni {
    /// `eni-…`.
    pub id: EniId,
    /// The attachment that carries it.
    pub attachment: Uuid,
    /// Position of its subnet in the VPC.
    pub subnet: u8,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its link-layer address.
    pub mac: [u8; 6],
    /// Where it stands.
    pub status: EniStatus,
}

/// The ladder of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EniStatus {
    /// Planned.
    Precreated,
    /// The node has it.
    Attached,
    /// Gone; its address is free.
    Deleted,
}

impl EniStatus {
    /// AWS's word for the attachment.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Precreated => "PRECREATED",
            Self::Attached => "ATTACHED",
            Self::Deleted => "DELETED",
        }
    }
}
