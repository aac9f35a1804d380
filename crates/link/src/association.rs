//! What a container gets of its host for itself, as the agent reads it.

use serde::{Deserialize, Serialize};

/// Something of the host that a container gets for itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Association {
    /// The id of the GPU.
    pub name: String,
    /// `gpu`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The container's name, alone.
    pub containers: Vec<String>,
}

/// The kind of association that is a GPU.
pub const GPU: &str = "gpu";
