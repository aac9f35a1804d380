//! Random requests: services with odd bounds, definitions of several kinds, whatever is there stopped or changed.

use crate::history::History;
use wire::ecs;

/// Families; each revision of one is like the other. The second has a check of its health, the third quarrels about a
/// port, the last is for the hosts of the cluster and not for the Fargate pool.
pub const FAMILIES: [&str; 4] = ["plain", "checked", "ported", "own"];
/// minimumHealthyPercent and maximumPercent.
const BOUNDS: [(i32, i32); 8] =
    [(0, 100), (100, 200), (100, 150), (50, 150), (50, 100), (100, 101), (0, 200), (33, 134)];
const NAMES: [&str; 2] = ["front", "back"];

pub fn definition(family: &str) -> ecs::RegisterTaskDefinitionRequest {
    let awsvpc = matches!(family, "plain" | "checked");
    let port = ecs::PortMapping { container_port: Some(80), host_port: Some(8080), ..Default::default() };
    let check = ecs::HealthCheck { command: vec!["CMD".to_owned(), "true".to_owned()], ..Default::default() };
    let main = ecs::ContainerDefinition {
        name: Some("main".to_owned()),
        image: Some("steady".to_owned()),
        essential: Some(true),
        health_check: (family == "checked").then_some(check),
        port_mappings: (family == "ported").then(|| vec![port]),
        ..Default::default()
    };
    let side = ecs::ContainerDefinition {
        name: Some("side".to_owned()),
        image: Some("steady".to_owned()),
        essential: Some(false),
        ..Default::default()
    };
    let (cpu, memory) = if family == "plain" { ("256", "512") } else { ("512", "1024") };
    ecs::RegisterTaskDefinitionRequest {
        family: family.to_owned(),
        network_mode: awsvpc.then_some(ecs::NetworkMode::Awsvpc),
        cpu: Some(cpu.to_owned()),
        memory: Some(memory.to_owned()),
        container_definitions: vec![main, side],
        ..Default::default()
    }
}

impl History {
    fn network(&self, family: &str) -> Option<ecs::NetworkConfiguration> {
        let awsvpc = ecs::AwsVpcConfiguration { subnets: vec![self.subnet()], ..Default::default() };
        matches!(family, "plain" | "checked")
            .then_some(ecs::NetworkConfiguration { awsvpc_configuration: Some(awsvpc) })
    }

    fn launch_type(&mut self, family: &str) -> ecs::LaunchType {
        let fargate = matches!(family, "plain" | "checked") && self.one_in(2);
        if fargate { ecs::LaunchType::Fargate } else { ecs::LaunchType::Ec2 }
    }

    fn bounds(&mut self) -> ecs::DeploymentConfiguration {
        let (minimum, maximum) = *self.pick(&BOUNDS);
        ecs::DeploymentConfiguration {
            minimum_healthy_percent: Some(minimum),
            maximum_percent: Some(maximum),
            ..Default::default()
        }
    }

    /// Mostly small, so that hosts are full and not hopeless.
    fn count(&mut self) -> i32 {
        let most = *self.pick(&[3, 5, 5, 13]);
        self.below(most) as i32
    }

    pub fn draw_creation(&mut self) -> ecs::CreateServiceRequest {
        let family = *self.pick(&FAMILIES);
        ecs::CreateServiceRequest {
            service_name: (*self.pick(&NAMES)).to_owned(),
            task_definition: Some(family.to_owned()),
            desired_count: Some(self.count()),
            launch_type: Some(self.launch_type(family)),
            network_configuration: self.network(family),
            deployment_configuration: Some(self.bounds()),
            health_check_grace_period_seconds: self.one_in(3).then_some(5),
            ..Default::default()
        }
    }

    pub fn draw_update(&mut self) -> ecs::UpdateServiceRequest {
        let family = *self.pick(&FAMILIES);
        let revision = 1 + self.below(2);
        ecs::UpdateServiceRequest {
            service: (*self.pick(&NAMES)).to_owned(),
            desired_count: self.one_in(2).then(|| self.count()),
            // A family of another network mode is refused, which must leave no trace either.
            task_definition: self.one_in(2).then(|| format!("{family}:{revision}")),
            force_new_deployment: self.one_in(3).then_some(true),
            deployment_configuration: self.one_in(3).then(|| self.bounds()),
            ..Default::default()
        }
    }

    pub fn draw_deletion(&mut self) -> ecs::DeleteServiceRequest {
        let service = (*self.pick(&NAMES)).to_owned();
        ecs::DeleteServiceRequest { service, force: Some(true), ..Default::default() }
    }

    pub fn draw_run(&mut self) -> ecs::RunTaskRequest {
        let family = *self.pick(&FAMILIES);
        ecs::RunTaskRequest {
            task_definition: family.to_owned(),
            count: Some(1 + self.below(3) as i32),
            launch_type: Some(self.launch_type(family)),
            network_configuration: self.network(family),
            ..Default::default()
        }
    }
}
