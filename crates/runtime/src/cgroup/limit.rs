//! Limits of groups, written for whichever version has the controller. Never reads usage.

use super::{CgroupError, Cgroups, DeviceRule, Hierarchy, devices, write};
use node::hands::{ContainerSpec, TaskLimits};
use std::path::Path;

/// Processes and threads a task may have, whatever it asks for: an eighth of what most kernels give to all (pid_max 32768),
/// so that one that forks without end leaves the host usable.
pub const PIDS_MAX: u32 = 4096;
/// The period of a CPU quota in microseconds, the kernel's default.
const PERIOD_US: u64 = 100_000;
/// Less quota than this is refused by the kernel.
const QUOTA_US_MIN: u64 = 1_000;

/// What one container's group is held to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerLimits {
    /// Hard limit in bytes; swap is not given on top.
    pub memory: Option<u64>,
    /// Soft limit in bytes.
    pub reservation: Option<u64>,
    /// Shares, 1024 for a core's worth.
    pub cpu_shares: Option<u32>,
    /// Every device may be used.
    pub all_devices: bool,
    /// What may be opened besides what every container may.
    pub devices: Vec<DeviceRule>,
}

impl From<&ContainerSpec> for ContainerLimits {
    fn from(spec: &ContainerSpec) -> Self {
        Self {
            memory: spec.memory_bytes,
            reservation: spec.memory_reservation_bytes,
            cpu_shares: spec.cpu_shares,
            all_devices: spec.privileged,
            devices: Vec::new(),
        }
    }
}

impl Cgroups {
    /// Holds a task's group, the parent of its containers' groups, to the task's limits.
    pub fn limit_task(&self, path: &str, limits: &TaskLimits) -> Result<(), CgroupError> {
        for hierarchy in &self.hierarchies {
            let group = hierarchy.group(path);
            if let (Some(bytes), true) = (limits.memory_bytes, hierarchy.has("memory")) {
                memory(hierarchy, &group, bytes)?;
            }
            if let (Some(units), true) = (limits.cpu_units, hierarchy.has("cpu")) {
                quota(hierarchy, &group, units)?;
                shares(hierarchy, &group, units)?;
            }
            if hierarchy.has("pids") {
                write(&group.join("pids.max"), &PIDS_MAX.to_string())?;
            }
        }
        Ok(())
    }

    /// Holds one container's group to its limits, devices included.
    pub fn limit_container(&self, path: &str, limits: &ContainerLimits) -> Result<(), CgroupError> {
        for hierarchy in &self.hierarchies {
            let group = hierarchy.group(path);
            if hierarchy.has("memory") {
                if let Some(bytes) = limits.memory {
                    memory(hierarchy, &group, bytes)?;
                }
                if let Some(bytes) = limits.reservation {
                    let file = if hierarchy.unified { "memory.low" } else { "memory.soft_limit_in_bytes" };
                    write(&group.join(file), &bytes.to_string())?;
                }
            }
            if let (Some(units), true) = (limits.cpu_shares, hierarchy.has("cpu")) {
                shares(hierarchy, &group, units)?;
            }
            if hierarchy.has("devices") && !limits.all_devices {
                devices::allow_v1(&group, &limits.devices)?;
            }
        }
        if self.is_unified() && !limits.all_devices {
            for hierarchy in &self.hierarchies {
                devices::allow_v2(&hierarchy.group(path), &limits.devices)?;
            }
        }
        Ok(())
    }
}

fn memory(hierarchy: &Hierarchy, group: &Path, bytes: u64) -> Result<(), CgroupError> {
    let bytes = bytes.to_string();
    if hierarchy.unified {
        write(&group.join("memory.max"), &bytes)?;
        return write_if_there(&group.join("memory.swap.max"), "0");
    }
    write(&group.join("memory.limit_in_bytes"), &bytes)?;
    write_if_there(&group.join("memory.memsw.limit_in_bytes"), &bytes)
}

/// Swap files are absent where the kernel does not account swap.
fn write_if_there(path: &Path, value: &str) -> Result<(), CgroupError> {
    if path.exists() { write(path, value) } else { Ok(()) }
}

fn quota(hierarchy: &Hierarchy, group: &Path, units: u32) -> Result<(), CgroupError> {
    let quota = (u64::from(units) * PERIOD_US / 1024).max(QUOTA_US_MIN);
    if hierarchy.unified {
        return write(&group.join("cpu.max"), &format!("{quota} {PERIOD_US}"));
    }
    write(&group.join("cpu.cfs_period_us"), &PERIOD_US.to_string())?;
    write(&group.join("cpu.cfs_quota_us"), &quota.to_string())
}

fn shares(hierarchy: &Hierarchy, group: &Path, units: u32) -> Result<(), CgroupError> {
    let shares = units.clamp(2, 262_144);
    if hierarchy.unified {
        return write(&group.join("cpu.weight"), &weight(shares).to_string());
    }
    write(&group.join("cpu.shares"), &shares.to_string())
}

/// Version 2 weights run from 1 to 10000 where shares run from 2 to 262144; the usual linear map.
fn weight(shares: u32) -> u64 {
    1 + (u64::from(shares) - 2) * 9_999 / 262_142
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_span_the_range() {
        assert_eq!(weight(2), 1);
        assert_eq!(weight(1024), 39);
        assert_eq!(weight(262_144), 10_000);
    }
}
