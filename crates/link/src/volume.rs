//! Volumes in the agent's Task message.

use serde::{Deserialize, Serialize};

/// Something to mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// `host`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it is; the object is always there.
    pub host: HostVolume,
}

/// See `Volume::host`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostVolume {
    /// Empty: a fresh directory of the task's.
    pub source_path: String,
}

/// See `Container::mount_points`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MountPoint {
    /// A volume's name.
    pub source_volume: String,
    /// Where it is seen.
    pub container_path: String,
    /// It cannot be written to.
    pub read_only: bool,
}

/// See `Container::volumes_from`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeFrom {
    /// The other container.
    pub source_container: String,
    /// They cannot be written to from here.
    pub read_only: bool,
}
