//! What a host registers: its cores and memory, what it declares for Fargate, and what it can do.

use super::AgentConfig;
use anyhow::{Context, Result};
use model::instance::{
    ATTRIBUTE_CAPACITY_PROVIDER, ATTRIBUTE_ENI, ATTRIBUTE_FARGATE_CPU, ATTRIBUTE_FARGATE_MEMORY, ATTRIBUTE_POOL,
    CAPABILITIES,
};
use std::path::PathBuf;
use wire::ecs;

/// Memory kept for the host itself: a twentieth, and at least this.
const RESERVE_MIB_MIN: u64 = 256;

/// TCP ports of every ECS host that no task can ask for: SSH, the ports of a Docker engine, and the agent's own.
const PORTS_RESERVED: [&str; 6] = ["22", "2375", "2376", "51678", "51679", "51680"];

/// How much of a host is declared for Fargate tasks. A task's own size stays a hard limit either way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FargateFactors {
    /// Times its cores.
    pub cpu: f64,
    /// Times its memory less the reserve.
    pub memory: f64,
}

/// A host's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    cpu: u32,
    memory: u32,
}

impl Size {
    fn of_this_host() -> Result<Self> {
        let cores = std::thread::available_parallelism().context("cannot count the cores")?.get();
        let info = std::fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
        let total = mem_total_kib(&info).context("/proc/meminfo says no MemTotal")? / 1024;
        let memory = total.saturating_sub(RESERVE_MIB_MIN.max(total / 20));
        let clamp = |number: u64| u32::try_from(number).unwrap_or(i32::MAX as u32);
        Ok(Self { cpu: clamp(cores as u64 * 1024), memory: clamp(memory) })
    }
}

fn mem_total_kib(info: &str) -> Option<u64> {
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

/// The request that registers this host.
pub fn registration(config: &AgentConfig, arn: Option<String>) -> Result<ecs::RegisterContainerInstanceRequest> {
    let size = Size::of_this_host()?;
    let resource = |name: &str, value: u32| ecs::Resource {
        name: Some(name.to_owned()),
        r#type: Some("INTEGER".to_owned()),
        integer_value: i32::try_from(value).ok(),
        ..ecs::Resource::default()
    };
    let ports = |name: &str, ports: &[&str]| ecs::Resource {
        name: Some(name.to_owned()),
        r#type: Some("STRINGSET".to_owned()),
        string_set_value: Some(ports.iter().map(|port| (*port).to_owned()).collect()),
        ..ecs::Resource::default()
    };
    Ok(ecs::RegisterContainerInstanceRequest {
        cluster: Some(config.cluster.clone()),
        container_instance_arn: arn,
        total_resources: Some(vec![
            resource("CPU", size.cpu),
            resource("MEMORY", size.memory),
            ports("PORTS", &PORTS_RESERVED),
            ports("PORTS_UDP", &[]),
        ]),
        version_info: Some(ecs::VersionInfo {
            agent_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            agent_hash: None,
            docker_version: Some("gantry".to_owned()),
        }),
        attributes: Some(attributes(size, config.fargate, config.capacity_provider.as_deref(), &config.attributes)),
        platform_devices: platform_devices(&config.cdi),
        ..ecs::RegisterContainerInstanceRequest::default()
    })
}

/// The GPUs that the host has now, as AWS's agent sends them.
fn platform_devices(directories: &[PathBuf]) -> Option<Vec<ecs::PlatformDevice>> {
    let (gpus, problems) = runtime::cdi::gpus(directories);
    for problem in problems {
        tracing::warn!("GPUs of this host: {problem}");
    }
    let device = |id: String| ecs::PlatformDevice { id, r#type: ecs::PlatformDeviceType::Gpu };
    (!gpus.is_empty()).then(|| gpus.into_iter().map(device).collect())
}

fn attributes(
    size: Size,
    fargate: Option<FargateFactors>,
    provider: Option<&str>,
    stated: &[(String, Option<String>)],
) -> Vec<ecs::Attribute> {
    let mut list = vec![
        (ATTRIBUTE_ENI, None),
        ("ecs.os-type", Some("linux".to_owned())),
        ("ecs.os-family", Some("LINUX".to_owned())),
        ("ecs.cpu-architecture", Some(if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }.to_owned())),
    ];
    list.extend(CAPABILITIES.map(|name| (name, None)));
    if let Some(factors) = fargate {
        let times = |size: u32, factor: f64| (f64::from(size) * factor).clamp(0.0, f64::from(u32::MAX)) as u32;
        list.push((ATTRIBUTE_POOL, Some("fargate".to_owned())));
        list.push((ATTRIBUTE_FARGATE_CPU, Some(times(size.cpu, factors.cpu).to_string())));
        list.push((ATTRIBUTE_FARGATE_MEMORY, Some(times(size.memory, factors.memory).to_string())));
    }
    list.extend(stated.iter().map(|(name, value)| (name.as_str(), value.clone())));
    list.extend(provider.map(|name| (ATTRIBUTE_CAPACITY_PROVIDER, Some(name.to_owned()))));
    list.into_iter()
        .map(|(name, value)| ecs::Attribute { name: name.to_owned(), value, ..Default::default() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_the_kernel_writes_it() {
        assert_eq!(mem_total_kib("MemTotal:       24601232 kB\nMemFree: 1 kB\n"), Some(24_601_232));
        assert_eq!(mem_total_kib("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn the_pool_is_declared_with_its_factors() {
        let factors = FargateFactors { cpu: 16.0, memory: 1.5 };
        let list = attributes(
            Size { cpu: 2048, memory: 1000 },
            Some(factors),
            Some("blue"),
            &[("rack".to_owned(), Some("1".to_owned()))],
        );
        assert!(list.iter().any(|a| a.name == "rack" && a.value.as_deref() == Some("1")));
        let value = |name: &str| list.iter().find(|a| a.name == name).and_then(|a| a.value.clone());
        assert_eq!(value(ATTRIBUTE_FARGATE_CPU).as_deref(), Some("32768"));
        assert_eq!(value(ATTRIBUTE_FARGATE_MEMORY).as_deref(), Some("1500"));
        assert_eq!(value(ATTRIBUTE_CAPACITY_PROVIDER).as_deref(), Some("blue"));
        let list = attributes(Size { cpu: 1, memory: 1 }, None, None, &[]);
        assert!(list.iter().all(|a| a.name != ATTRIBUTE_POOL && a.name != ATTRIBUTE_CAPACITY_PROVIDER));
    }
}
