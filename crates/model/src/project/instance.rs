//! Container instances.

use crate::instance::Instance;
use crate::port::Protocol;
use crate::state::State;
use std::collections::BTreeSet;
use wire::ecs;

impl State {
    /// The name of an instance's or task's cluster.
    pub fn cluster_name(&self, id: crate::ClusterId) -> &str {
        self.clusters.get(&id).map_or("", |cluster| &cluster.name)
    }

    /// A container instance.
    pub fn project_instance(&self, instance: &Instance, with_tags: bool) -> ecs::ContainerInstance {
        let booked = self.instance_counts(instance.id);
        let free = |all: u32, used: u32| i32::try_from(all).unwrap_or(i32::MAX) - i32::try_from(used).unwrap_or(0);
        ecs::ContainerInstance {
            container_instance_arn: Some(self.scope().instance(self.cluster_name(instance.cluster), instance.id)),
            version: i64::try_from(instance.version).ok(),
            capacity_provider_name: instance.capacity_provider().map(str::to_owned),
            ec2_instance_id: instance.ec2_id.as_deref().map(str::to_owned),
            version_info: Some(ecs::VersionInfo {
                agent_version: text(&instance.agent_version),
                agent_hash: text(&instance.agent_hash),
                docker_version: text(&instance.docker_version),
            }),
            registered_resources: Some(resources(
                [&instance.ports, &instance.ports_udp].map(|ports| ports.iter().copied().collect()),
                free(instance.cpu, 0),
                free(instance.memory, 0),
                gpus(instance, instance.gpus.iter().map(|gpu| &**gpu)),
            )),
            remaining_resources: Some(resources(
                self.reserved_ports(instance),
                free(instance.cpu, booked.cpu),
                free(instance.memory, booked.memory),
                gpus(instance, self.free_gpus(instance)),
            )),
            status: Some(instance.status.as_str().to_owned()),
            agent_connected: Some(instance.connected),
            running_tasks_count: i32::try_from(booked.running).ok(),
            pending_tasks_count: i32::try_from(booked.pending).ok(),
            attributes: Some(attributes(instance)),
            registered_at: super::time(instance.registered_at),
            gpu_devices: (!instance.gpus.is_empty()).then(|| self.gpu_devices(instance)),
            attachments: Some(Vec::new()),
            tags: Some(if with_tags { super::tags(&instance.tags) } else { Vec::new() }),
            ..ecs::ContainerInstance::default()
        }
    }

    /// Each GPU, and whether a container has it.
    fn gpu_devices(&self, instance: &Instance) -> Vec<ecs::GpuDevice> {
        let device = |gpu: &str| {
            let given = self.gpu_holder(instance.id, gpu).is_some();
            ecs::GpuDevice {
                gpu_id: Some(gpu.to_owned()),
                sharing_mode: Some(if given { ecs::GpuSharingMode::Dedicated } else { ecs::GpuSharingMode::Idle }),
                container_count: Some(i32::from(given)),
                ..ecs::GpuDevice::default()
            }
        };
        instance.gpus.iter().map(|gpu| device(gpu)).collect()
    }

    /// The TCP and the UDP ports that no further task can ask for: the host's and those that tasks asked for. As on AWS
    /// they are listed among what remains.
    fn reserved_ports(&self, instance: &Instance) -> [BTreeSet<u16>; 2] {
        let mut sets =
            [&instance.ports, &instance.ports_udp].map(|ports| ports.iter().copied().collect::<BTreeSet<_>>());
        for task in self.live_instance_tasks(instance.id) {
            for port in &task.ports {
                sets[usize::from(port.protocol == Protocol::Udp)].insert(port.port);
            }
        }
        sets
    }
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn attributes(instance: &Instance) -> Vec<ecs::Attribute> {
    let attribute = |attribute: &crate::instance::Attribute| ecs::Attribute {
        name: attribute.name.to_string(),
        value: attribute.value.as_deref().map(str::to_owned),
        ..ecs::Attribute::default()
    };
    instance.attributes.iter().map(attribute).collect()
}

/// Only an instance that has GPUs shows the resource.
fn gpus<'a>(instance: &Instance, shown: impl Iterator<Item = &'a str>) -> Option<Vec<String>> {
    (!instance.gpus.is_empty()).then(|| shown.map(str::to_owned).collect())
}

fn resources([tcp, udp]: [BTreeSet<u16>; 2], cpu: i32, memory: i32, gpus: Option<Vec<String>>) -> Vec<ecs::Resource> {
    let integer = |name: &str, value| ecs::Resource {
        name: Some(name.to_owned()),
        r#type: Some("INTEGER".to_owned()),
        double_value: Some(0.0),
        long_value: Some(0),
        integer_value: Some(value),
        ..ecs::Resource::default()
    };
    let set = |name: &str, members: Vec<String>| ecs::Resource {
        name: Some(name.to_owned()),
        r#type: Some("STRINGSET".to_owned()),
        double_value: Some(0.0),
        long_value: Some(0),
        integer_value: Some(0),
        string_set_value: Some(members),
    };
    let ports = |ports: BTreeSet<u16>| ports.iter().map(u16::to_string).collect();
    let mut all =
        vec![integer("CPU", cpu), integer("MEMORY", memory), set("PORTS", ports(tcp)), set("PORTS_UDP", ports(udp))];
    all.extend(gpus.map(|ids| set("GPU", ids)));
    all
}
