//! A specification of the Container Device Interface as it is written, and what of it can be put into effect. Text in, a
//! specification or a reason out; never touches the host.

use serde::{Deserialize, Serialize};
use std::path::{Component, Path};

/// Seconds that a hook may take when its specification does not say.
pub(super) const HOOK_SECONDS: i64 = 30;
/// And at most.
const HOOK_SECONDS_MAX: i64 = 600;
/// The stages of a container's making at which its hooks run.
const HOOKS: [&str; 4] = ["prestart", "createRuntime", "createContainer", "startContainer"];

/// A file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Spec {
    pub(super) cdi_version: String,
    pub(super) kind: String,
    #[serde(default, rename = "annotations")]
    _annotations: Option<serde_json::Value>,
    #[serde(default)]
    pub(super) devices: Vec<Device>,
    #[serde(default)]
    pub(super) container_edits: Edits,
}

/// A device that can be asked for by its name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Device {
    pub(super) name: String,
    #[serde(default, rename = "annotations")]
    _annotations: Option<serde_json::Value>,
    #[serde(default)]
    pub(super) container_edits: Edits,
}

/// What is done to a container that gets a device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Edits {
    /// `NAME=value`.
    pub(crate) env: Vec<String>,
    pub(crate) device_nodes: Vec<DeviceNode>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) hooks: Vec<Hook>,
    #[serde(alias = "additionalGIDs")]
    pub(crate) additional_gids: Vec<u32>,
    /// These two have no engine: a device that has them is refused.
    #[serde(skip_serializing)]
    pub(crate) net_devices: Option<serde_json::Value>,
    #[serde(skip_serializing)]
    pub(crate) intel_rdt: Option<serde_json::Value>,
}

/// A device node in the container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct DeviceNode {
    pub(crate) path: String,
    /// Where it is on the host; `None`: at the same path.
    pub(crate) host_path: Option<String>,
    /// `c`, `b`, `u` or `p`; `None`: as on the host, like its numbers.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) major: Option<i64>,
    pub(crate) minor: Option<i64>,
    pub(crate) file_mode: Option<u32>,
    /// Of `r`, `w` and `m`; `None`: all.
    pub(crate) permissions: Option<String>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
}

/// A mount in the container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Mount {
    pub(crate) host_path: String,
    pub(crate) container_path: String,
    pub(crate) options: Vec<String>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
}

/// A program that is run while the container is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Hook {
    pub(crate) hook_name: String,
    pub(crate) path: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    /// Seconds.
    pub(crate) timeout: Option<i64>,
}

/// Reads a file's text.
pub(super) fn read(text: &str, yaml: bool) -> Result<Spec, String> {
    // What is wrong stands in the first line; more would show what stands around it.
    let first = |error: String| error.lines().next().unwrap_or_default().to_owned();
    let spec: Spec = match yaml {
        true => serde_saphyr::from_str(text).map_err(|error| first(error.to_string()))?,
        false => serde_json::from_str(text).map_err(|error| first(error.to_string()))?,
    };
    let version = spec.cdi_version.strip_prefix('v').unwrap_or(&spec.cdi_version);
    match version.split('.').next() {
        Some("0" | "1") => Ok(spec),
        _ => Err(format!("version {:?} of the interface is not known here", spec.cdi_version)),
    }
}

impl Edits {
    /// What of it cannot be put into effect.
    pub(super) fn check(&self) -> Result<(), String> {
        for (used, member) in [(self.net_devices.is_some(), "netDevices"), (self.intel_rdt.is_some(), "intelRdt")] {
            if used {
                return Err(format!("{member} is not supported by this node"));
            }
        }
        self.env.iter().try_for_each(|variable| match variable.split_once('=') {
            Some((name, _)) if !name.is_empty() && !variable.contains('\0') => Ok(()),
            _ => Err(format!("{variable:?} is no environment variable")),
        })?;
        self.device_nodes.iter().try_for_each(DeviceNode::check)?;
        self.mounts.iter().try_for_each(Mount::check)?;
        self.hooks.iter().try_for_each(Hook::check)
    }

    /// Adds what another device, or all of a file, wants besides.
    pub(super) fn add(&mut self, other: &Self) {
        self.env.extend(other.env.iter().cloned());
        for node in &other.device_nodes {
            self.device_nodes.retain(|known| known.path != node.path);
            self.device_nodes.push(node.clone());
        }
        self.mounts.extend(other.mounts.iter().cloned());
        self.hooks.extend(other.hooks.iter().cloned());
        let fresh = other.additional_gids.iter().filter(|gid| !self.additional_gids.contains(gid));
        let fresh: Vec<u32> = fresh.copied().collect();
        self.additional_gids.extend(fresh);
    }
}

impl DeviceNode {
    fn check(&self) -> Result<(), String> {
        let Self { path, .. } = self;
        if !is_plain(path) || !path.starts_with("/dev/") {
            return Err(format!("the device node {path:?} is not below /dev"));
        }
        if self.host_path.as_deref().is_some_and(|path| !is_plain(path)) {
            return Err(format!("the device node {path} has no absolute path on the host"));
        }
        if self.kind.as_deref().is_some_and(|kind| !["", "b", "c", "u", "p"].contains(&kind)) {
            return Err(format!("the device node {path} is of no known type"));
        }
        if self.permissions.as_deref().is_some_and(|text| !text.bytes().all(|b| b"rwm".contains(&b))) {
            return Err(format!("the permissions of the device node {path} are not of r, w and m"));
        }
        if [self.major, self.minor].into_iter().flatten().any(|number| u32::try_from(number).is_err()) {
            return Err(format!("the device node {path} has no valid number"));
        }
        Ok(())
    }
}

impl Mount {
    fn check(&self) -> Result<(), String> {
        if !is_plain(&self.container_path) {
            return Err(format!("the mount path {:?} is not absolute", self.container_path));
        }
        if !is_plain(&self.host_path) {
            return Err(format!("the source {:?} of a mount is not absolute", self.host_path));
        }
        match self.kind.as_deref() {
            None | Some("" | "none" | "bind") => Ok(()),
            Some(other) => Err(format!("a mount of type {other:?} is not supported by this node")),
        }
    }
}

impl Hook {
    fn check(&self) -> Result<(), String> {
        let Self { hook_name, path, .. } = self;
        if !HOOKS.contains(&hook_name.as_str()) {
            return Err(format!("the hook {hook_name:?} ({path}) is not supported by this node"));
        }
        if !is_plain(path) {
            return Err(format!("the hook {path:?} is not an absolute path"));
        }
        match self.timeout {
            Some(seconds) if !(1..=HOOK_SECONDS_MAX).contains(&seconds) => {
                Err(format!("the hook {path} may take from 1 to {HOOK_SECONDS_MAX} seconds, not {seconds}"))
            }
            _ => Ok(()),
        }
    }
}

/// Absolute, without a way up and without a NUL byte.
fn is_plain(path: &str) -> bool {
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    path.starts_with('/') && !path.contains('\0') && Path::new(path).components().all(plain)
}
