//! What clients ask: valid requests about what is there, and invalid ones whose refusal is known beforehand. Makes
//! requests and nothing else.

use crate::faults::operator;
use crate::host::IMAGES;
use crate::random::Stream;
use crate::world::World;
use control::Caller;
use wire::ecs;

/// A request, and what is known of its answer.
pub(crate) struct Ask {
    pub caller: Caller,
    pub request: ecs::Request,
    /// The codes of the only faults it may get; empty: it may succeed, or fail as its operation declares.
    pub refused: &'static [&'static str],
}

pub(crate) const FAMILIES: [&str; 5] = ["web", "api", "batch", "cache", "tiny"];
/// What services are mostly made of: it works, and is small.
pub(crate) const SOUND: &str = "shop";
const CLUSTERS: [&str; 4] = ["default", "default", "blue", "green"];
const PARAMETER: &[&str] = &["InvalidParameterException"];
const CLIENT: &[&str] = &["ClientException"];
const EITHER: &[&str] = &["ClientException", "InvalidParameterException"];

pub(crate) fn ask(request: impl Into<ecs::Request>) -> Ask {
    Ask { caller: operator(), request: request.into(), refused: &[] }
}

pub(crate) fn refused(request: impl Into<ecs::Request>, refused: &'static [&'static str]) -> Ask {
    Ask { refused, ..ask(request) }
}

fn draw_container(chance: &mut Stream, number: u64) -> ecs::ContainerDefinition {
    let steady = chance.per_mille(500);
    let image = if steady { IMAGES[0] } else { *chance.pick(&IMAGES) };
    let policy = ecs::ContainerRestartPolicy {
        enabled: true,
        ignored_exit_codes: Some(vec![0]),
        restart_attempt_period: Some(60),
    };
    ecs::ContainerDefinition {
        name: Some(format!("c{number}")),
        image: Some(image.to_owned()),
        restart_policy: (image == "phoenix" || chance.per_mille(100)).then_some(policy),
        essential: Some(number == 0 || chance.per_mille(500)),
        stop_timeout: chance.per_mille(800).then(|| chance.between((2, 20)) as i32),
        start_timeout: Some(chance.between((5, 60)) as i32),
        health_check: chance.per_mille(300).then(|| draw_health_check(chance)),
        ..Default::default()
    }
}

/// A few ports that tasks must quarrel about, and some that any host has.
fn draw_ports(chance: &mut Stream, bridge: bool, containers: &mut [ecs::ContainerDefinition]) {
    for (number, container) in (0..).zip(containers) {
        let static_port = 8000 + 10 * number + chance.below(3) as i32;
        let any = ecs::PortMapping { container_port: Some(80), ..Default::default() };
        let named = ecs::PortMapping { container_port: Some(static_port), host_port: Some(static_port), ..any.clone() };
        let udp = ecs::PortMapping { protocol: Some(ecs::TransportProtocol::Udp), ..named.clone() };
        container.port_mappings = Some(match chance.below(4) {
            0 => Vec::new(),
            1 if bridge => vec![any],
            2 => vec![named, udp],
            _ => vec![named],
        });
    }
}

fn draw_health_check(chance: &mut Stream) -> ecs::HealthCheck {
    ecs::HealthCheck {
        command: vec!["CMD-SHELL".to_owned(), "true".to_owned()],
        interval: Some(chance.between((5, 15)) as i32),
        retries: Some(chance.between((1, 3)) as i32),
        start_period: Some(chance.between((0, 20)) as i32),
        timeout: None,
    }
}

/// Lets some containers wait for the one before them, in a way that registering allows.
fn draw_dependencies(chance: &mut Stream, containers: &mut [ecs::ContainerDefinition]) {
    for at in 1..containers.len() {
        let on = &containers[at - 1];
        let mut conditions = vec![ecs::ContainerCondition::Start];
        if on.health_check.is_some() {
            conditions.push(ecs::ContainerCondition::Healthy);
        }
        if on.essential == Some(false) {
            conditions.extend([ecs::ContainerCondition::Complete, ecs::ContainerCondition::Success]);
        }
        let condition = *chance.pick(&conditions);
        let container_name = on.name.clone().unwrap_or_default();
        if chance.per_mille(400) {
            containers[at].depends_on = Some(vec![ecs::ContainerDependency { condition, container_name }]);
        }
    }
}

impl World {
    /// The next request of a client.
    pub fn draw_ask(&mut self) -> Ask {
        match self.chance.clients.below(100) {
            0..10 => ask(self.draw_definition()),
            10..12 => self.draw_deregistration(),
            12..38 => ask(self.draw_run()),
            38..42 => self.draw_start(),
            42..58 => self.draw_stop(),
            58..74 => self.draw_describe(),
            74..80 => self.draw_cluster(),
            80..83 => self.draw_instances(),
            83..86 => self.draw_operation().unwrap_or_else(|| self.draw_invalid()),
            86..91 => ask(ecs::DescribeTaskDefinitionRequest {
                task_definition: (*self.chance.clients.pick(&FAMILIES)).to_owned(),
                ..Default::default()
            }),
            _ => self.draw_invalid(),
        }
    }

    /// A list of tasks from its first page.
    pub fn draw_list(&mut self) -> ecs::ListTasksRequest {
        ecs::ListTasksRequest {
            cluster: Some((*self.chance.clients.pick(&CLUSTERS[..2])).to_owned()),
            max_results: Some(self.chance.clients.between((1, 9)) as i32),
            ..Default::default()
        }
    }

    fn draw_definition(&mut self) -> ecs::RegisterTaskDefinitionRequest {
        let chance = &mut self.chance.clients;
        let mode = match chance.below(10) {
            0 | 1 => None,
            2 => Some(ecs::NetworkMode::Host),
            _ => Some(ecs::NetworkMode::Awsvpc),
        };
        let own = mode == Some(ecs::NetworkMode::Awsvpc);
        let containers = 0..chance.between((1, 3));
        let mut container_definitions: Vec<_> = containers.map(|n| draw_container(chance, n)).collect();
        if !own {
            draw_ports(chance, mode.is_none(), &mut container_definitions);
        }
        draw_dependencies(chance, &mut container_definitions);
        let (cpu, memory) = *chance.pick(&[("256", "512"), ("256", "1024"), ("512", "1024"), ("1024", "2048")]);
        ecs::RegisterTaskDefinitionRequest {
            family: (*chance.pick(&FAMILIES)).to_owned(),
            network_mode: mode,
            cpu: Some(cpu.to_owned()),
            memory: Some(memory.to_owned()),
            requires_compatibilities: (own && chance.per_mille(700)).then(|| vec![ecs::Compatibility::Fargate]),
            container_definitions,
            ..Default::default()
        }
    }

    fn draw_deregistration(&mut self) -> Ask {
        let all = self.disk.history.definitions.values().map(|definition| definition.id);
        let Some(id) = self.chance.clients.pick_from(all) else { return self.draw_invalid() };
        let task_definition = self.disk.history.task_definition_arn(id);
        ask(ecs::DeregisterTaskDefinitionRequest { task_definition })
    }

    pub fn network(&mut self) -> ecs::NetworkConfiguration {
        let all = &self.disk.history.meta().vpc.subnets;
        let some = self.chance.clients.between((1, all.len() as u64)) as usize;
        let subnets = all[..some].iter().map(|subnet| subnet.id.to_string()).collect();
        let awsvpc = ecs::AwsVpcConfiguration { subnets, ..Default::default() };
        ecs::NetworkConfiguration { awsvpc_configuration: Some(awsvpc) }
    }

    /// What the newest revision of a family takes, as far as is known; now and then what it does not.
    pub fn network_for(&mut self, family: &str) -> Option<ecs::NetworkConfiguration> {
        let state = &self.disk.history;
        let known = state.family_named(family).and_then(|family| state.revisions(family.id).next_back());
        let own = known.is_none_or(|definition| definition.needs.network_mode == "awsvpc");
        let network = self.network();
        (own != self.chance.clients.per_mille(50)).then_some(network)
    }

    fn draw_run(&mut self) -> ecs::RunTaskRequest {
        let family = (*self.chance.clients.pick(&FAMILIES)).to_owned();
        let network_configuration = self.network_for(&family);
        let token = self.next_serial();
        let chance = &mut self.chance.clients;
        let too_big = chance.per_mille(30).then(|| ecs::TaskOverride {
            cpu: Some("16384".to_owned()),
            memory: Some("122880".to_owned()),
            ..Default::default()
        });
        ecs::RunTaskRequest {
            task_definition: family,
            cluster: Some((*chance.pick(&CLUSTERS)).to_owned()),
            count: Some(*chance.pick(&[1, 1, 1, 2, 3, 10])),
            launch_type: Some(*chance.pick(&[
                ecs::LaunchType::Fargate,
                ecs::LaunchType::Fargate,
                ecs::LaunchType::Ec2,
            ])),
            client_token: chance.per_mille(500).then(|| format!("token-{token}")),
            started_by: chance.per_mille(200).then(|| "workload".to_owned()),
            placement_strategy: too_big.is_none().then(|| crate::operations::draw_strategy(chance)).flatten(),
            overrides: too_big,
            network_configuration,
            ..Default::default()
        }
    }

    fn any_instance(&mut self) -> Option<String> {
        let state = &self.disk.history;
        let all = state.instances.values();
        let arns = all.map(|instance| state.scope().instance(state.cluster_name(instance.cluster), instance.id));
        self.chance.clients.pick_from(arns)
    }

    fn draw_start(&mut self) -> Ask {
        let family = (*self.chance.clients.pick(&FAMILIES)).to_owned();
        let network_configuration = self.network_for(&family);
        let Some(instance) = self.any_instance() else { return self.draw_invalid() };
        ask(ecs::StartTaskRequest {
            task_definition: family,
            container_instances: vec![instance],
            network_configuration,
            ..Default::default()
        })
    }

    /// Any task, by its whole ARN, and the name of its cluster.
    fn any_task(&mut self) -> Option<(String, String)> {
        let state = &self.disk.history;
        let names = |task: &model::Task| (state.task_arn(task), state.cluster_name(task.cluster).to_owned());
        self.chance.clients.pick_from(state.tasks.values().map(names))
    }

    fn draw_stop(&mut self) -> Ask {
        let Some((arn, cluster)) = self.any_task() else { return self.draw_invalid() };
        let bare = self.chance.clients.per_mille(500);
        let task = if bare { link::acs::id_of(&arn).to_owned() } else { arn };
        ask(ecs::StopTaskRequest { task, cluster: Some(cluster), reason: Some("enough".to_owned()) })
    }

    fn draw_describe(&mut self) -> Ask {
        let Some((_, cluster)) = self.any_task() else { return self.draw_invalid() };
        let state = &self.disk.history;
        let of_cluster = state.tasks.values().filter(|task| state.cluster_name(task.cluster) == cluster);
        let tasks: Vec<String> = of_cluster.map(|task| state.task_arn(task)).take(100).collect();
        ask(ecs::DescribeTasksRequest { tasks, cluster: Some(cluster), ..Default::default() })
    }

    fn draw_cluster(&mut self) -> Ask {
        let name = (*self.chance.clients.pick(&["blue", "green"])).to_owned();
        match self.chance.clients.below(5) {
            0 | 1 => ask(ecs::CreateClusterRequest { cluster_name: Some(name), ..Default::default() }),
            2 => ask(ecs::DeleteClusterRequest { cluster: name }),
            3 => ask(ecs::ListClustersRequest { max_results: Some(1), ..Default::default() }),
            _ => ask(ecs::DescribeClustersRequest { clusters: Some(vec![name]), ..Default::default() }),
        }
    }

    fn draw_instances(&mut self) -> Ask {
        let instance = self.any_instance();
        match instance.filter(|_| self.chance.clients.per_mille(500)) {
            Some(arn) => {
                ask(ecs::DescribeContainerInstancesRequest { container_instances: vec![arn], ..Default::default() })
            }
            None => ask(ecs::ListContainerInstancesRequest { max_results: Some(2), ..Default::default() }),
        }
    }

    fn draw_invalid(&mut self) -> Ask {
        let mut definition = self.draw_definition();
        let run = ecs::RunTaskRequest { client_token: None, overrides: None, ..self.draw_run() };
        let in_default = || Some("default".to_owned());
        let describe = |tasks: Vec<String>| ecs::DescribeTasksRequest { tasks, ..Default::default() };
        match self.chance.clients.below(16) {
            0 => {
                definition.family = "not a name!".to_owned();
                refused(definition, CLIENT)
            }
            1 => {
                definition.container_definitions.clear();
                refused(definition, CLIENT)
            }
            2 => {
                definition.network_mode = Some(ecs::NetworkMode::Awsvpc);
                definition.requires_compatibilities = Some(vec![ecs::Compatibility::Fargate]);
                definition.cpu = Some("257".to_owned());
                refused(definition, CLIENT)
            }
            3 => refused(ecs::RunTaskRequest { count: Some(0), cluster: in_default(), ..run }, PARAMETER),
            4 => refused(ecs::RunTaskRequest { count: Some(11), cluster: in_default(), ..run }, PARAMETER),
            5 => {
                let task_definition = "nowhere".to_owned();
                refused(ecs::RunTaskRequest { task_definition, cluster: in_default(), ..run }, EITHER)
            }
            6 => {
                // No task can be in no subnet, whatever its network mode.
                let nowhere = ecs::AwsVpcConfiguration::default();
                let network_configuration = Some(ecs::NetworkConfiguration { awsvpc_configuration: Some(nowhere) });
                refused(ecs::RunTaskRequest { network_configuration, cluster: in_default(), ..run }, UNNETWORKED)
            }
            7 => refused(ecs::RunTaskRequest { cluster: Some("nowhere".to_owned()), ..run }, NO_CLUSTER),
            8 => refused(ecs::StopTaskRequest { task: "0".repeat(32), ..Default::default() }, PARAMETER),
            9 => refused(describe(Vec::new()), PARAMETER),
            10 => refused(describe(vec!["arn:aws:ecs:eu-west-1:000000000000:task/default/x".to_owned()]), PARAMETER),
            11 => refused(ecs::ListTasksRequest { max_results: Some(101), ..Default::default() }, PARAMETER),
            12 => {
                refused(ecs::ListTasksRequest { next_token: Some("beef".repeat(12)), ..Default::default() }, PARAMETER)
            }
            13 => refused(
                ecs::CreateClusterRequest { cluster_name: Some("no/slashes".to_owned()), ..Default::default() },
                PARAMETER,
            ),
            14 => {
                let client_token = Some("t".repeat(65));
                refused(ecs::RunTaskRequest { client_token, cluster: in_default(), ..run }, PARAMETER)
            }
            _ => Ask { caller: self.agents[0].caller(), refused: &["AccessDeniedException"], ..ask(run) },
        }
    }
}

const NO_CLUSTER: &[&str] = &["ClusterNotFoundException"];
/// With an impossible network configuration: no definition, one without an engine, or the refusal itself.
const UNNETWORKED: &[&str] = &["ClientException", "InvalidParameterException", "UnsupportedFeatureException"];
