//! Scripts: a text of commands, played in a world where nothing goes wrong by itself and everything takes the same time
//! always. The transcript holds each command and all that came of it.
//!
//! ```text
//! hosts 2                  two hosts, their nodes and the control plane are started and connected
//! define web steady job    a task definition with one container of each image
//! run web [token T]        RunTask on Fargate
//! stop task-1              StopTask
//! serve shop web 3 [guarded]   CreateService `shop` of three tasks of `web` on Fargate [with a breaker that rolls back]
//! update shop api          UpdateService: from now on of `api`
//! service shop             DescribeServices
//! pause shop web [continue]    UpdateService: of `web`, paused before it starts tasks; a minute later it goes back [or on]
//! continue shop [back]     ContinueServiceDeployment of the hook that waits
//! tool web steady          a task definition for container instances, without an interface
//! provider spare           CreateCapacityProvider, PutClusterCapacityProviders
//! run tool of spare        RunTask with a strategy of that provider
//! daemon watch tool        CreateService of a DAEMON
//! add host [spare]         one more host [of that provider] is started
//! add host in us-east-1b   one more host in that zone is started
//! balance shop tool 4      CreateService on container instances, with its zones evened out
//! external shop 3          CreateService of three tasks with the EXTERNAL deployment controller
//! set shop web 50 %        CreateTaskSet of `web` on Fargate, with that share
//! scale set-1 100 %        UpdateTaskSet
//! prefer set-1             UpdateServicePrimaryTaskSet
//! delete set-1 [by force]  DeleteTaskSet
//! sets shop                DescribeTaskSets
//! activate host 0          UpdateContainerInstancesState
//! drain host 0 | give up host 0    UpdateContainerInstancesState, DeregisterContainerInstance by force
//! describe task-1          DescribeTasks
//! until TEXT               goes on until a line of the trace holds TEXT
//! wait 30                  goes on for so many seconds
//! crash control [keeping N]    … of the batches on their way N are on disk
//! crash node 0 | reboot host 0 | cut node 0 | join node 0 | start control | start node 0
//! ```

use crate::agenda::Event;
use crate::agent::Agent;
use crate::faults::operator;
use crate::fleet::PROVIDERS;
use crate::sets::number_text;
use crate::weather::Weather;
use crate::wires::Asker;
use crate::world::World;
use crate::zones::ZONES;
use wire::ecs;

/// CPU units and MiB of a host.
const SIZE: (u32, u32) = (2048, 4096);
const CLUSTER: &str = "default";
/// Longest virtual time of one command.
const PATIENCE_MS: u64 = 300_000;

/// A script that cannot be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// Counted from one.
    pub line: usize,
    /// Why.
    pub message: String,
}

impl std::fmt::Display for ScriptError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ScriptError {}

/// Plays a script and gives its transcript.
pub fn play(script: &str) -> Result<String, ScriptError> {
    let mut world = None;
    let mut transcript = String::new();
    for (before, line) in script.lines().enumerate() {
        let wrong = |message: String| ScriptError { line: before + 1, message };
        if line.trim().is_empty() || line.starts_with('#') {
            transcript.push_str(&format!("{line}\n"));
            continue;
        }
        transcript.push_str(&format!("> {line}\n"));
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["hosts", count] = words.as_slice() {
            world = Some(open(number(count).map_err(wrong)? as usize));
        }
        let world = world.as_mut().ok_or_else(|| wrong("a script begins with `hosts`".to_owned()))?;
        command(world, line, &words).map_err(wrong)?;
        for line in world.trace.take() {
            transcript.push_str(&format!("{line}\n"));
        }
        if let Some(broken) = &world.broken {
            return Err(wrong(format!("broken: {}: {}\n{transcript}", broken.invariant, broken.detail)));
        }
    }
    Ok(transcript)
}

fn open(hosts: usize) -> World {
    let mut world = World::new(0, Weather::still(), &vec![SIZE; hosts], true);
    world.plane_start();
    for agent in 0..hosts {
        world.agenda.plan(world.now + 10, Event::NodeStart { agent });
    }
    world
}

fn command(world: &mut World, line: &str, words: &[&str]) -> Result<(), String> {
    match words {
        ["hosts", _] => until(world, "is connected")?,
        ["define", family, images @ ..] => ask(world, definition(family, images)),
        ["run", family] => ask(world, run(world, family, None)),
        ["run", family, "of", provider] => ask(
            world,
            ecs::RunTaskRequest {
                task_definition: (*family).to_owned(),
                capacity_provider_strategy: Some(vec![strategy_item(provider)]),
                ..Default::default()
            },
        ),
        ["tool", family, images @ ..] => ask(world, tool(family, images)),
        ["provider", name] => {
            let (create, put) = provider(name);
            ask(world, create);
            ask(world, put);
        }
        ["daemon", name, family] => ask(world, daemon(name, family)),
        ["add", "host", "in", zone] => add_host_in(world, zone)?,
        ["balance", name, family, count] => ask(world, balanced(name, family, number(count)? as i32)),
        ["external", name, count] => ask(world, external(name, number(count)? as i32)),
        ["set", name, family, percent, "%"] => {
            let set = task_set(world, name, family, number(percent)?);
            ask(world, set);
        }
        [verb @ ("scale" | "prefer" | "delete"), set, rest @ ..] if set.starts_with("set-") => {
            let change = set_change(world, verb, set, rest)?;
            ask(world, change);
        }
        ["sets", name] => {
            let (cluster, service) = (CLUSTER.to_owned(), (*name).to_owned());
            ask(world, ecs::DescribeTaskSetsRequest { cluster, service, ..Default::default() });
            until(world, "operator hears")?;
        }
        ["add", "host", provider @ ..] => add_host(world, provider.first())?,
        ["run", family, "token", token] => ask(world, run(world, family, Some(token))),
        ["stop", name] => {
            let task = arn(world, name)?;
            ask(world, ecs::StopTaskRequest { task, ..Default::default() });
        }
        ["describe", name] => {
            let tasks = vec![arn(world, name)?];
            ask(world, ecs::DescribeTasksRequest { tasks, ..Default::default() });
            until(world, "operator hears")?;
        }
        ["serve", name, family, count, guard @ ..] => {
            let count = number(count)? as i32;
            ask(world, service(world, name, family, count, !guard.is_empty()));
        }
        ["update", name, family] => ask(
            world,
            ecs::UpdateServiceRequest {
                service: (*name).to_owned(),
                task_definition: Some((*family).to_owned()),
                ..Default::default()
            },
        ),
        ["pause", name, family, then @ ..] => ask(world, paused(name, family, !then.is_empty())),
        ["continue", name, back @ ..] => {
            let answer = continuation(world, name, !back.is_empty())?;
            ask(world, answer);
        }
        ["service", name] => {
            ask(world, ecs::DescribeServicesRequest { services: vec![(*name).to_owned()], ..Default::default() });
            until(world, "operator hears")?;
        }
        ["give", "up", "host", agent] => {
            let container_instance = host(world, agent)?;
            let force = Some(true);
            ask(world, ecs::DeregisterContainerInstanceRequest { container_instance, force, ..Default::default() });
        }
        [verb @ ("drain" | "activate"), "host", agent] => {
            let container_instances = vec![host(world, agent)?];
            let drains = *verb == "drain";
            let status =
                if drains { ecs::ContainerInstanceStatus::Draining } else { ecs::ContainerInstanceStatus::Active };
            ask(world, ecs::UpdateContainerInstancesStateRequest { container_instances, status, ..Default::default() });
        }
        ["until", ..] => until(world, line.trim_start_matches("until").trim())?,
        ["wait", seconds] => {
            let until = world.now + number(seconds)? * 1000;
            world.run_until(until);
        }
        ["crash", "control"] => world.plane_crash(Some(0)),
        ["crash", "control", "keeping", count] => {
            let count = number(count)?;
            world.plane_crash(Some(count));
        }
        ["start", "control"] => world.plane_start(),
        [verb, "node" | "host", agent] => {
            let agent = number(agent)? as usize;
            if agent >= world.agents.len() {
                return Err(format!("there is no node {agent}"));
            }
            of_node(world, verb, agent)?;
        }
        _ => return Err(format!("no such command: {line}")),
    }
    Ok(())
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

fn of_node(world: &mut World, verb: &str, agent: usize) -> Result<(), String> {
    match verb {
        "crash" => world.agent_crash(agent),
        "start" => world.agent_start(agent),
        "reboot" => {
            world.agent_crash(agent);
            world.agents[agent].host.reboot();
        }
        "cut" => drop(world.cut_off_now(agent)),
        "join" => {
            let partition = world.wires.partitioned.get(&agent).copied();
            world.reunite(agent, partition.ok_or("it is not cut off")?);
        }
        _ => return Err(format!("no such command: {verb}")),
    }
    Ok(())
}

/// Goes on until a line holds `text`.
fn until(world: &mut World, text: &str) -> Result<(), String> {
    let end = world.now + PATIENCE_MS;
    while !world.trace.tells(text) {
        let next = world.agenda.next_at().filter(|at| *at <= end);
        if next.is_none() || world.broken.is_some() {
            return Err(format!("nothing said {text:?}"));
        }
        world.step();
    }
    Ok(())
}

fn ask(world: &mut World, request: impl Into<ecs::Request>) {
    let request = request.into();
    world.note(format!("operator asks {}", request.operation()));
    world.call(Asker::Operator, operator(), &request);
}

fn definition(family: &str, images: &[&str]) -> ecs::RegisterTaskDefinitionRequest {
    let container = |(number, image): (usize, &&str)| ecs::ContainerDefinition {
        name: Some(format!("c{number}")),
        image: Some((*image).to_owned()),
        essential: Some(number == 0),
        stop_timeout: Some(10),
        ..Default::default()
    };
    ecs::RegisterTaskDefinitionRequest {
        family: family.to_owned(),
        network_mode: Some(ecs::NetworkMode::Awsvpc),
        cpu: Some("256".to_owned()),
        memory: Some("512".to_owned()),
        requires_compatibilities: Some(vec![ecs::Compatibility::Fargate]),
        container_definitions: images.iter().enumerate().map(container).collect(),
        ..Default::default()
    }
}

fn run(world: &World, family: &str, token: Option<&str>) -> ecs::RunTaskRequest {
    let subnets = vec![world.disk.history.meta().vpc.subnets[0].id.to_string()];
    let awsvpc = ecs::AwsVpcConfiguration { subnets, ..Default::default() };
    ecs::RunTaskRequest {
        task_definition: family.to_owned(),
        launch_type: Some(ecs::LaunchType::Fargate),
        client_token: token.map(str::to_owned),
        network_configuration: Some(ecs::NetworkConfiguration { awsvpc_configuration: Some(awsvpc) }),
        ..Default::default()
    }
}

fn service(world: &World, name: &str, family: &str, count: i32, guarded: bool) -> ecs::CreateServiceRequest {
    let network_configuration = run(world, family, None).network_configuration;
    let breaker = ecs::DeploymentCircuitBreaker { enable: true, rollback: true, ..Default::default() };
    ecs::CreateServiceRequest {
        service_name: name.to_owned(),
        task_definition: Some(family.to_owned()),
        desired_count: Some(count),
        launch_type: Some(ecs::LaunchType::Fargate),
        network_configuration,
        deployment_configuration: guarded
            .then(|| ecs::DeploymentConfiguration { deployment_circuit_breaker: Some(breaker), ..Default::default() }),
        ..Default::default()
    }
}

/// One more host, of the instances of a capacity provider that it belongs to or of none.
fn add_host(world: &mut World, provider: Option<&&str>) -> Result<(), String> {
    let known = |name: &&str| PROVIDERS.iter().find(|known| *known == name).copied();
    let provider = match provider {
        Some(name) => Some(known(name).ok_or_else(|| format!("one of {}", PROVIDERS.join(", ")))?),
        None => None,
    };
    push_host(world, |host| host.provider = provider);
    Ok(())
}

fn add_host_in(world: &mut World, zone: &str) -> Result<(), String> {
    let known = ZONES.iter().find(|known| **known == zone).copied();
    let zone = known.ok_or_else(|| format!("one of {}", ZONES.join(", ")))?;
    push_host(world, |host| host.zone = zone);
    Ok(())
}

fn push_host(world: &mut World, alter: impl FnOnce(&mut Agent)) {
    let agent = world.agents.len();
    let mut host = Agent::new(agent, SIZE);
    alter(&mut host);
    world.agents.push(host);
    world.agenda.plan(world.now + 10, Event::NodeStart { agent });
}

fn balanced(name: &str, family: &str, count: i32) -> ecs::CreateServiceRequest {
    ecs::CreateServiceRequest {
        service_name: name.to_owned(),
        task_definition: Some(family.to_owned()),
        desired_count: Some(count),
        launch_type: Some(ecs::LaunchType::Ec2),
        availability_zone_rebalancing: Some(ecs::AvailabilityZoneRebalancing::Enabled),
        ..Default::default()
    }
}

fn external(name: &str, count: i32) -> ecs::CreateServiceRequest {
    ecs::CreateServiceRequest {
        service_name: name.to_owned(),
        desired_count: Some(count),
        deployment_controller: Some(ecs::DeploymentController { r#type: ecs::DeploymentControllerType::External }),
        ..Default::default()
    }
}

fn percent(share: u64) -> ecs::Scale {
    ecs::Scale { value: Some(share as f64), unit: Some(ecs::ScaleUnit::Percent) }
}

fn task_set(world: &World, service: &str, family: &str, share: u64) -> ecs::CreateTaskSetRequest {
    ecs::CreateTaskSetRequest {
        cluster: CLUSTER.to_owned(),
        service: service.to_owned(),
        task_definition: family.to_owned(),
        launch_type: Some(ecs::LaunchType::Fargate),
        network_configuration: run(world, family, None).network_configuration,
        scale: Some(percent(share)),
        ..Default::default()
    }
}

/// What is done with a task set that is named by its short name.
fn set_change(world: &World, verb: &str, set: &str, rest: &[&str]) -> Result<ecs::Request, String> {
    let state = &world.disk.history;
    let sets = state.services.values().flat_map(|service| service.deployments.iter().map(move |set| (service, set)));
    let named = |number: u64| world.trace.name(&number_text(number)) == set;
    let found = sets.into_iter().find(|(_, known)| named(known.number));
    let (service, known) = found.ok_or_else(|| format!("there is no {set}"))?;
    let (cluster, service, task_set) = (CLUSTER.to_owned(), service.name.to_string(), known.id());
    Ok(match (verb, rest) {
        ("scale", [share, "%"]) => {
            ecs::UpdateTaskSetRequest { cluster, service, task_set, scale: percent(number(share)?) }.into()
        }
        ("prefer", []) => {
            ecs::UpdateServicePrimaryTaskSetRequest { cluster, service, primary_task_set: task_set }.into()
        }
        ("delete", []) => ecs::DeleteTaskSetRequest { cluster, service, task_set, force: None }.into(),
        ("delete", ["by", "force"]) => {
            ecs::DeleteTaskSetRequest { cluster, service, task_set, force: Some(true) }.into()
        }
        _ => return Err(format!("no such command: {verb} {set}")),
    })
}

fn tool(family: &str, images: &[&str]) -> ecs::RegisterTaskDefinitionRequest {
    ecs::RegisterTaskDefinitionRequest {
        network_mode: None,
        requires_compatibilities: None,
        ..definition(family, images)
    }
}

fn strategy_item(provider: &str) -> ecs::CapacityProviderStrategyItem {
    let capacity_provider = provider.to_owned();
    ecs::CapacityProviderStrategyItem { capacity_provider, weight: Some(1), base: None }
}

fn provider(name: &str) -> (ecs::CreateCapacityProviderRequest, ecs::PutClusterCapacityProvidersRequest) {
    let group =
        ecs::AutoScalingGroupProvider { auto_scaling_group_arn: format!("group-of-{name}"), ..Default::default() };
    let create = ecs::CreateCapacityProviderRequest {
        name: name.to_owned(),
        auto_scaling_group_provider: Some(group),
        ..Default::default()
    };
    let put = ecs::PutClusterCapacityProvidersRequest {
        cluster: "default".to_owned(),
        capacity_providers: vec![name.to_owned()],
        default_capacity_provider_strategy: Vec::new(),
    };
    (create, put)
}

fn daemon(name: &str, family: &str) -> ecs::CreateServiceRequest {
    ecs::CreateServiceRequest {
        service_name: name.to_owned(),
        task_definition: Some(family.to_owned()),
        scheduling_strategy: Some(ecs::SchedulingStrategy::Daemon),
        launch_type: Some(ecs::LaunchType::Ec2),
        ..Default::default()
    }
}

fn paused(name: &str, family: &str, goes_on: bool) -> ecs::UpdateServiceRequest {
    use ecs::DeploymentLifecycleHookAction::{Continue, Rollback};
    let hook = ecs::DeploymentLifecycleHook {
        target_type: Some(ecs::DeploymentLifecycleHookTargetType::Pause),
        lifecycle_stages: Some(vec![ecs::DeploymentLifecycleHookStage::PreScaleUp]),
        timeout_configuration: Some(ecs::DeploymentLifecycleHookTimeoutConfiguration {
            action: Some(if goes_on { Continue } else { Rollback }),
            timeout_in_minutes: Some(1),
        }),
        ..Default::default()
    };
    ecs::UpdateServiceRequest {
        service: name.to_owned(),
        task_definition: Some(family.to_owned()),
        deployment_configuration: Some(ecs::DeploymentConfiguration {
            lifecycle_hooks: Some(vec![hook]),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The answer to the hook at which the newest deployment of a service waits.
fn continuation(world: &World, name: &str, back: bool) -> Result<ecs::ContinueServiceDeploymentRequest, String> {
    let state = &world.disk.history;
    let service = state.services.values().find(|service| *service.name == *name);
    let service = service.ok_or_else(|| format!("there is no service {name}"))?;
    let newest = state.service_deployments(service.id).next_back().ok_or("it has no deployment")?;
    let hook = newest.awaited_hook().ok_or("no hook waits")?;
    let cluster = state.cluster_name(service.cluster);
    use ecs::DeploymentLifecycleHookAction::{Continue, Rollback};
    Ok(ecs::ContinueServiceDeploymentRequest {
        service_deployment_arn: state.scope().service_deployment(cluster, &service.name, &newest.id),
        hook_id: hook.id.to_string(),
        action: Some(if back { Rollback } else { Continue }),
    })
}

/// The ARN of a host's instance.
fn host(world: &World, agent: &str) -> Result<String, String> {
    let agent = world.agents.get(number(agent)? as usize);
    agent.and_then(|agent| agent.host.arn.clone()).ok_or_else(|| "there is no such host".to_owned())
}

/// The ARN of a task by its short name.
fn arn(world: &World, name: &str) -> Result<String, String> {
    let tasks = world.disk.history.tasks.values();
    let mut arns = tasks.map(|task| world.disk.history.task_arn(task));
    arns.find(|arn| world.trace.name(arn) == name).ok_or_else(|| format!("there is no {name}"))
}
