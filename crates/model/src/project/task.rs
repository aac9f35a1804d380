//! Tasks.

use super::network::mac;
use crate::needs::ContainerNeeds;
use crate::port::{PortMapping, Protocol};
use crate::state::State;
use crate::task::{Container, Eni, HealthStatus, LaunchType, Task};
use crate::vpc::private_dns_name;
use wire::{FromJson, ecs};

impl State {
    /// The ARN of a task.
    pub fn task_arn(&self, task: &Task) -> String {
        self.scope().task(self.cluster_name(task.cluster), task.id)
    }

    /// A task's group: its service, as asked, or its family.
    pub fn task_group(&self, task: &Task) -> String {
        if let Some(service) = task.service.and_then(|membership| self.services.get(&membership.service)) {
            return format!("service:{}", service.name);
        }
        let family = || self.families.get(&task.definition.family).map_or("", |family| &family.name);
        task.group.as_deref().map_or_else(|| format!("family:{}", family()), str::to_owned)
    }

    /// The zone of a task: its subnet's, or its host's.
    pub fn task_zone(&self, task: &Task) -> Option<&str> {
        match &task.eni {
            Some(eni) => Some(&self.meta().vpc.subnets.get(usize::from(eni.subnet))?.zone),
            None => self.instances.get(&task.instance?)?.attribute("ecs.availability-zone"),
        }
    }

    /// A task. Fargate tasks show no container instance, as on AWS.
    pub fn project_task(&self, task: &Task, with_tags: bool) -> ecs::Task {
        let scope = self.scope();
        let cluster = self.cluster_name(task.cluster);
        let fargate = task.launch_type == LaunchType::Fargate;
        let definition = self.definitions.get(&task.definition);
        let defined = definition.map_or(&[][..], |definition| &definition.needs.containers);
        let arn = scope.task(cluster, task.id);
        let overrides = task.overrides.as_deref().and_then(|text| ecs::TaskOverride::from_json_str(text).ok());
        ecs::Task {
            attachments: Some(task.eni.iter().map(|eni| self.attachment(eni)).collect()),
            attributes: Some(vec![architecture()]),
            availability_zone: self.task_zone(task).map(str::to_owned),
            cluster_arn: Some(scope.cluster(cluster)),
            connectivity: (task.times.connectivity != 0).then_some(ecs::Connectivity::Connected),
            connectivity_at: super::time(task.times.connectivity),
            capacity_provider_name: task.provider.as_deref().map(str::to_owned),
            container_instance_arn: task
                .instance
                .filter(|_| !fargate)
                .map(|instance| scope.instance(cluster, instance)),
            containers: Some(task.containers.iter().map(|c| self.container(task, &arn, c, defined)).collect()),
            cpu: Some(task.cpu.to_string()),
            memory: Some(task.memory.to_string()),
            created_at: super::time(task.times.created),
            desired_status: Some(task.desired.as_str().to_owned()),
            enable_execute_command: Some(task.execute_command),
            execution_stopped_at: super::time(task.times.execution_stopped),
            group: Some(self.task_group(task)),
            health_status: Some(health(task.health())),
            inference_accelerators: Some(Vec::new()),
            last_status: Some(task.status.as_str().to_owned()),
            launch_type: Some(launch_type(task.launch_type)),
            overrides: Some(shown_overrides(overrides, task)),
            platform_version: fargate.then(|| "1.4.0".to_owned()),
            platform_family: fargate.then(|| "Linux".to_owned()),
            pull_started_at: super::time(task.times.pull_started),
            pull_stopped_at: super::time(task.times.pull_stopped),
            started_at: super::time(task.times.started),
            started_by: task.shown_started_by(),
            stop_code: task.stop.as_ref().and_then(|stop| ecs::TaskStopCode::from_wire(stop.code.as_str())),
            stopped_at: super::time(task.times.stopped),
            stopped_reason: task.stop.as_ref().map(|stop| stop.reason.to_string()),
            stopping_at: super::time(task.times.stopping),
            tags: Some(if with_tags { super::tags(&task.tags) } else { Vec::new() }),
            task_arn: Some(arn),
            task_definition_arn: Some(self.task_definition_arn(task.definition)),
            version: i64::try_from(task.version).ok(),
            ..ecs::Task::default()
        }
    }

    fn container(&self, task: &Task, arn: &str, container: &Container, defined: &[ContainerNeeds]) -> ecs::Container {
        let cluster = self.cluster_name(task.cluster);
        let defined = defined.iter().find(|defined| *defined.name == *container.name);
        let interface = |eni: &Eni| ecs::NetworkInterface {
            attachment_id: Some(eni.attachment.dashed()),
            private_ipv4_address: Some(eni.address.to_string()),
            ..ecs::NetworkInterface::default()
        };
        ecs::Container {
            container_arn: Some(self.scope().container(cluster, task.id, &container.uuid.dashed())),
            task_arn: Some(arn.to_owned()),
            name: Some(container.name.to_string()),
            image: defined.and_then(|defined| defined.image.as_deref()).map(str::to_owned),
            image_digest: container.image_digest.as_deref().map(str::to_owned),
            runtime_id: container.runtime_id.as_deref().map(str::to_owned),
            last_status: Some(container.status.as_str().to_owned()),
            exit_code: container.exit_code,
            reason: container.reason.as_deref().map(str::to_owned),
            network_interfaces: Some(task.eni.iter().map(interface).collect()),
            network_bindings: Some(container.bindings.iter().map(network_binding).collect()),
            gpu_ids: Some(task.gpus_of(&container.name).iter().map(|gpu| gpu.to_string()).collect())
                .filter(|ids: &Vec<String>| !ids.is_empty()),
            health_status: Some(health(container.health.unwrap_or(HealthStatus::Unknown))),
            cpu: Some(defined.and_then(|defined| defined.cpu).unwrap_or(0).to_string()),
            memory: defined.and_then(|defined| defined.memory).map(|memory| memory.to_string()),
            memory_reservation: defined.and_then(|defined| defined.memory_reservation).map(|memory| memory.to_string()),
            ..ecs::Container::default()
        }
    }

    fn attachment(&self, eni: &Eni) -> ecs::Attachment {
        let meta = self.meta();
        let subnet = meta.vpc.subnets.get(usize::from(eni.subnet)).map_or("", |subnet| &subnet.id);
        ecs::Attachment {
            id: Some(eni.attachment.dashed()),
            r#type: Some("ElasticNetworkInterface".to_owned()),
            status: Some(eni.status.as_str().to_owned()),
            details: Some(vec![
                super::pair("subnetId", subnet),
                super::pair("networkInterfaceId", eni.id.to_string()),
                super::pair("macAddress", mac(eni.mac)),
                super::pair("privateDnsName", private_dns_name(eni.address, &meta.region)),
                super::pair("privateIPv4Address", eni.address.to_string()),
            ]),
        }
    }
}

/// Published on every address of the host.
fn network_binding(mapping: &PortMapping) -> ecs::NetworkBinding {
    ecs::NetworkBinding {
        bind_ip: Some("0.0.0.0".to_owned()),
        container_port: Some(i32::from(mapping.container)),
        host_port: Some(i32::from(mapping.host)),
        protocol: Some(match mapping.protocol {
            Protocol::Tcp => ecs::TransportProtocol::Tcp,
            Protocol::Udp => ecs::TransportProtocol::Udp,
        }),
        ..ecs::NetworkBinding::default()
    }
}

fn health(health: HealthStatus) -> ecs::HealthStatus {
    match health {
        HealthStatus::Unknown => ecs::HealthStatus::Unknown,
        HealthStatus::Healthy => ecs::HealthStatus::Healthy,
        HealthStatus::Unhealthy => ecs::HealthStatus::Unhealthy,
    }
}

fn architecture() -> ecs::Attribute {
    let value = Some("x86_64".to_owned());
    ecs::Attribute { name: "ecs.cpu-architecture".to_owned(), value, ..ecs::Attribute::default() }
}

fn launch_type(launch_type: LaunchType) -> ecs::LaunchType {
    match launch_type {
        LaunchType::Ec2 => ecs::LaunchType::Ec2,
        LaunchType::Fargate => ecs::LaunchType::Fargate,
        LaunchType::External => ecs::LaunchType::External,
    }
}

/// AWS shows an entry for every container, overridden or not.
fn shown_overrides(overrides: Option<ecs::TaskOverride>, task: &Task) -> ecs::TaskOverride {
    let mut shown = overrides.unwrap_or_default();
    let containers = shown.container_overrides.get_or_insert_with(Vec::new);
    for container in &task.containers {
        if !containers.iter().any(|over| over.name.as_deref() == Some(&*container.name)) {
            containers.push(ecs::ContainerOverride { name: Some(container.name.to_string()), ..Default::default() });
        }
    }
    shown.inference_accelerator_overrides.get_or_insert_with(Vec::new);
    shown
}
