//! RunTask and StartTask: check, place, accept. Tasks that cannot be placed are failures of an answer that succeeds, as
//! on AWS; everything else about a request is right or it is refused whole.

use super::{digest, tags};
use crate::authorize::Caller;
use crate::check::capacity::{Reach, reach};
use crate::check::run as check;
use crate::desk::Desk;
use crate::named;
use crate::waiting;
use model::change::{Change, ClientToken};
use model::cluster::Tag;
use model::gpu::Gpus;
use model::group::Group;
use model::needs::Needs;
use model::placement::{Placement, Strategy};
use model::reason::Unplaceable;
use model::task::{
    Container, ContainerStatus, Desired, Eni, EniStatus, HealthStatus, LaunchType, Membership, Phase, Task, TaskStatus,
    Times,
};
use model::waiting::{WAITING_MAX, Waiting};
use model::{ClusterId, EniId, InstanceId, RevisionId, TaskId};
use planner::capacity::Spread;
use planner::{Ask, Place};
use std::net::Ipv4Addr;
use wire::{Fault, ToJson, ecs};

/// Tasks that one RunTask starts.
const COUNT_MAX: i32 = 10;
/// Instances that one StartTask names.
const INSTANCES_MAX: usize = 10;

/// What is the same for every task of a request, or of a service's deployment.
pub(crate) struct Order {
    pub cluster: ClusterId,
    pub definition: RevisionId,
    pub launch_type: LaunchType,
    /// The capacity provider that the tasks are asked of.
    pub provider: Option<Box<str>>,
    pub subnets: Vec<u8>,
    pub placement: Placement,
    pub overrides: check::Sizes,
    pub overrides_text: Option<Box<str>>,
    pub service: Option<Membership>,
    pub group: Option<Box<str>>,
    pub started_by: Option<Box<str>>,
    pub tags: Vec<Tag>,
    pub execute_command: bool,
}

/// RunTask.
pub(crate) fn run_task(
    desk: &mut Desk,
    _: &Caller,
    mut input: ecs::RunTaskRequest,
) -> Result<ecs::RunTaskResponse, Fault> {
    let cluster = named::cluster(&desk.state, input.cluster.as_deref())?.id;
    let token = input.client_token.take().filter(|token| !token.is_empty());
    let digest = digest(&input);
    if let Some(token) = &token
        && let Some(answer) = repeated(desk, cluster, token, digest)?
    {
        return Ok(answer);
    }
    check::unsupported_of_run(&input)?;
    let count = input.count.unwrap_or(1);
    if !(1..=COUNT_MAX).contains(&count) {
        return Err(Fault::invalid_parameter(format!("Count should be between 1 and {COUNT_MAX}, got {count}.")));
    }
    let strategy = input.capacity_provider_strategy.take();
    let known = &desk.state.clusters[&cluster];
    let Reach { launch_type, strategy } = reach(&desk.state, known, input.launch_type, strategy.as_deref())?;
    check::platform(input.platform_version.as_deref(), launch_type)?;
    let (constraints, by) = (input.placement_constraints.take(), input.placement_strategy.take());
    let placement = check::placement(constraints.as_deref(), by.as_deref(), launch_type)?;
    let mut order = order(desk, cluster, launch_type, Asked::run(input, placement))?;
    let provided = !strategy.is_empty();
    if launch_type == LaunchType::Ec2 && !provided && desk.state.registered_from(cluster, None).next().is_none() {
        return Err(Fault::invalid_parameter("No Container Instances were found in your cluster."));
    }
    // What waits is older than what is asked for now.
    waiting::retry(desk);
    let shares = shares(&mut Spread::new(&strategy, std::iter::empty()), count as usize);
    let (tasks, unplaced) = place_many(desk, &mut order, shares);
    let failures = unplaced.iter().flat_map(|(why, missing)| vec![failure(desk, &order, why); *missing]).collect();
    if let Some(token) = token.filter(|_| !tasks.is_empty()) {
        let token = ClientToken { cluster, token: token.into(), digest, tasks: tasks.clone(), at: desk.now };
        desk.commit(Change::ClientTokenUsed(Box::new(token)));
    }
    Ok(ecs::RunTaskResponse { tasks: Some(shown(desk, &tasks)), failures: Some(failures) })
}

/// StartTask: the same on named instances, past the choice of one.
pub(crate) fn start_task(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::StartTaskRequest,
) -> Result<ecs::StartTaskResponse, Fault> {
    let cluster = named::cluster(&desk.state, input.cluster.as_deref())?;
    super::check_names(&input.container_instances, "Container instances", INSTANCES_MAX)?;
    check::unsupported_of_start(&input)?;
    let mut instances = Vec::new();
    let mut failures = Vec::new();
    for name in &input.container_instances {
        match named::instance(&desk.state, cluster, name)?.filter(|instance| instance.is_registered()) {
            Some(instance) => instances.push(instance.id),
            None => failures.push(super::missing(name.clone())),
        }
    }
    let cluster = cluster.id;
    let order = order(desk, cluster, LaunchType::Ec2, Asked::start(input, Placement::default()))?;
    waiting::retry(desk);
    let mut tasks = Vec::new();
    for instance in instances {
        match place_on(desk, &order, instance) {
            Ok(task) => tasks.push(task),
            Err(why) => failures.push(failure(desk, &order, &why)),
        }
    }
    Ok(ecs::StartTaskResponse { tasks: Some(shown(desk, &tasks)), failures: Some(failures) })
}

/// The members that both operations have.
struct Asked {
    task_definition: String,
    placement: Placement,
    network: Option<ecs::NetworkConfiguration>,
    overrides: Option<ecs::TaskOverride>,
    group: Option<String>,
    started_by: Option<String>,
    tags: Option<Vec<ecs::Tag>>,
    propagate: Option<ecs::PropagateTags>,
    managed_tags: bool,
    execute_command: bool,
}

macro_rules! asked_from {
    ($($name:ident($request:ty)),*) => {$(
        impl Asked {
            fn $name(input: $request, placement: Placement) -> Self {
                Self {
                    task_definition: input.task_definition,
                    placement,
                    network: input.network_configuration,
                    overrides: input.overrides,
                    group: input.group,
                    started_by: input.started_by,
                    tags: input.tags,
                    propagate: input.propagate_tags,
                    managed_tags: input.enable_ecs_managed_tags == Some(true),
                    execute_command: input.enable_execute_command == Some(true),
                }
            }
        }
    )*};
}

asked_from!(run(ecs::RunTaskRequest), start(ecs::StartTaskRequest));

fn order(desk: &Desk, cluster: ClusterId, launch_type: LaunchType, asked: Asked) -> Result<Order, Fault> {
    let state = &desk.state;
    let definition = named::task_definition(state, &asked.task_definition)?;
    let definition = definition.ok_or_else(|| ecs::fault::client("TaskDefinition not found."))?;
    if !definition.active {
        return Err(ecs::fault::client("TaskDefinition is inactive"));
    }
    check::can_act(definition, launch_type)?;
    check::logs(state, definition, launch_type)?;
    let overrides = check::overrides(definition, launch_type, asked.overrides.as_ref())?;
    let subnets = check::subnets(&state.meta().vpc, definition, asked.network.as_ref())?;
    check::labels(asked.group.as_deref(), asked.started_by.as_deref())?;
    let mut tags = tags(asked.tags)?;
    match asked.propagate {
        Some(ecs::PropagateTags::TaskDefinition) => tags.extend(definition.tags.iter().cloned()),
        Some(ecs::PropagateTags::Service) => {
            return Err(Fault::invalid_parameter("propagateTags SERVICE is for tasks of services."));
        }
        Some(ecs::PropagateTags::None) | None => {}
    }
    if asked.managed_tags {
        let name = state.cluster_name(cluster);
        tags.push(Tag { key: "aws:ecs:clusterName".into(), value: name.into() });
    }
    Ok(Order {
        cluster,
        definition: definition.id,
        launch_type,
        provider: None,
        subnets,
        placement: asked.placement,
        overrides,
        overrides_text: asked.overrides.map(|overrides| overrides.to_json().into()),
        service: None,
        group: asked.group.map(Into::into),
        started_by: asked.started_by.map(Into::into),
        tags,
        execute_command: asked.execute_command,
    })
}

/// How many tasks are asked of which capacity provider.
pub(crate) type Shares = Vec<(Option<Box<str>>, usize)>;

/// Shares `count` tasks out among the providers of a strategy.
pub(crate) fn shares(spread: &mut Spread<'_>, count: usize) -> Shares {
    let mut shares = Shares::new();
    for _ in 0..count {
        let provider: Option<Box<str>> = spread.next().map(Box::from);
        match shares.iter_mut().find(|(known, _)| *known == provider) {
            Some((_, share)) => *share += 1,
            None => shares.push((provider, 1)),
        }
    }
    shares
}

impl Order {
    /// What the planner is asked.
    pub fn ask<'a>(&'a self, needs: &'a Needs, instance: Option<InstanceId>, seed: u64) -> Ask<'a> {
        let family = || Group::Family(self.definition.family);
        let named = || self.group.clone().map_or_else(family, Group::Named);
        Ask {
            cluster: self.cluster,
            launch_type: self.launch_type,
            cpu: self.overrides.cpu,
            memory: self.overrides.memory,
            gpus: model::gpu::sum(&self.overrides.gpus),
            instance,
            provider: self.provider.as_deref(),
            subnets: &self.subnets,
            needs,
            placement: &self.placement,
            group: self.service.map_or_else(named, |membership| Group::Service(membership.service)),
            seed,
        }
    }

    /// What random places are drawn from; nothing is drawn for others.
    fn seed(&self, desk: &mut Desk) -> u64 {
        if self.placement.strategy.contains(&Strategy::Random) { desk.ids.bits() } else { 0 }
    }

    /// A task of an EC2 capacity provider waits for room. On AWS only with managed scaling; but a host may be added here at
    /// any time, by hand too.
    fn waits(&self, desk: &Desk) -> bool {
        let provided = self.launch_type == LaunchType::Ec2 && self.provider.is_some();
        provided && desk.state.waiting_tasks(self.cluster).count() < WAITING_MAX
    }
}

/// Places and accepts tasks, or accepts them to wait for a place. Why there are fewer, and how many, if there are.
pub(crate) fn place_many(
    desk: &mut Desk,
    order: &mut Order,
    shares: Shares,
) -> (Vec<TaskId>, Vec<(Unplaceable, usize)>) {
    let needs = desk.state.definitions[&order.definition].needs.clone();
    let seed = order.seed(desk);
    let (mut tasks, mut unplaced) = (Vec::new(), Vec::new());
    for (provider, share) in shares {
        order.provider = provider;
        let order = &*order;
        let ask = order.ask(&needs, None, seed);
        let places = planner::places(&desk.state, desk.now, &ask, share);
        let mut missing = share - places.len();
        tasks.extend(places.into_iter().map(|place| accept(desk, order, Ok(place))));
        if missing == 0 {
            continue;
        }
        let why = planner::why(&desk.state, desk.now, &ask);
        while missing > 0 && order.waits(desk) {
            tasks.push(accept(desk, order, Err(&why)));
            missing -= 1;
        }
        if missing > 0 {
            unplaced.push((why, missing));
        }
    }
    (tasks, unplaced)
}

/// Places and accepts a task on an instance.
pub(crate) fn place_on(desk: &mut Desk, order: &Order, instance: InstanceId) -> Result<TaskId, Unplaceable> {
    let needs = desk.state.definitions[&order.definition].needs.clone();
    let place = planner::place(&desk.state, desk.now, &order.ask(&needs, Some(instance), 0))?;
    Ok(accept(desk, order, Ok(place)))
}

fn accept(desk: &mut Desk, order: &Order, place: Result<Place, &Unplaceable>) -> TaskId {
    let needs = desk.state.definitions[&order.definition].needs.clone();
    for container in &needs.containers {
        // A group that is not there and is not to be made is told to the node with the task, which then fails to start.
        let _ = super::log_group::ensure(desk, &container.log);
    }
    let now = desk.now;
    let containers = needs.containers.iter().map(|container| Container {
        name: container.name.as_str().into(),
        uuid: desk.ids.uuid(),
        essential: container.essential,
        status: ContainerStatus::Pending,
        runtime_id: None,
        image_digest: None,
        exit_code: None,
        reason: None,
        bindings: Box::default(),
        health: container.health_check.then_some(HealthStatus::Unknown),
    });
    let containers = containers.collect();
    let waiting =
        place.as_ref().err().map(|why| Waiting::new(now, &order.subnets, &order.placement, why.code(), &why.detail()));
    let place = place.ok();
    let interface = place.and_then(|place| place.interface);
    let eni = interface.map(|(subnet, address)| eni(desk, subnet, address));
    let mut phases = [0; Phase::ALL.len()];
    phases[Phase::Accepted as usize] = now;
    phases[Phase::Placed as usize] = if place.is_some() { now } else { 0 };
    let task = Task {
        id: desk.ids.task(),
        cluster: order.cluster,
        definition: order.definition,
        instance: place.map(|place| place.instance),
        waiting: waiting.map(Box::new),
        provider: order.provider.clone(),
        // That of a service is the service's, and waiting tasks keep theirs with what they wait for.
        placement: (order.service.is_none() && !order.placement.is_empty()).then(|| Box::new(order.placement.clone())),
        launch_type: order.launch_type,
        cpu: order.overrides.cpu,
        memory: order.overrides.memory,
        // What there is to provision is a place or an interface.
        status: if place.is_none() || eni.is_some() { TaskStatus::Provisioning } else { TaskStatus::Pending },
        desired: Desired::Running,
        service: order.service,
        group: order.group.clone(),
        started_by: order.started_by.clone(),
        overrides: order.overrides_text.clone(),
        tags: order.tags.clone(),
        containers,
        eni,
        ports: needs.ports.clone(),
        gpus: gpus(desk, &order.overrides.gpus, place),
        protected_until: 0,
        execute_command: order.execute_command,
        stop: None,
        times: Times { created: now, ..Times::default() },
        phases,
        version: 1,
    };
    let id = task.id;
    desk.commit(Change::TaskAccepted(Box::new(task)));
    id
}

/// The GPUs of a task: its place has as many that nobody has.
fn gpus(desk: &Desk, wanted: &[u32], place: Option<Place>) -> Option<Box<Gpus>> {
    let gpus = Gpus::of(wanted)?;
    Some(place.map_or(gpus.clone(), |place| give(desk, gpus, place.instance)))
}

/// Chooses which GPUs of an instance a task gets.
pub(crate) fn give(desk: &Desk, mut gpus: Box<Gpus>, instance: InstanceId) -> Box<Gpus> {
    if let Some(instance) = desk.state.instances.get(&instance) {
        gpus.give(desk.state.free_gpus(instance));
    }
    gpus
}

pub(crate) fn eni(desk: &mut Desk, subnet: u8, address: Ipv4Addr) -> Eni {
    let [_, _, b, c, d, e] = [0, 0, 0, 0, 0, 0u8].map(|_: u8| (desk.ids.bits() >> 56) as u8);
    Eni {
        id: EniId(desk.ids.bits()),
        attachment: desk.ids.uuid(),
        subnet,
        address,
        // Locally administered, unicast.
        mac: [0x02, 0x67, b, c, d, e],
        status: EniStatus::Precreated,
    }
}

fn failure(desk: &Desk, order: &Order, why: &Unplaceable) -> ecs::Failure {
    let arn = why.nearest().map(|verdict| verdict.instance);
    let arn = arn.map(|id| desk.state.scope().instance(desk.state.cluster_name(order.cluster), id));
    // Fargate hosts are not shown; the reason is, with the numbers, in `detail`.
    let arn = arn.filter(|_| order.launch_type != LaunchType::Fargate);
    ecs::Failure { arn, reason: Some(why.code().to_owned()), detail: Some(why.detail()) }
}

fn shown(desk: &Desk, tasks: &[TaskId]) -> Vec<ecs::Task> {
    tasks.iter().filter_map(|id| desk.state.tasks.get(id)).map(|task| desk.state.project_task(task, true)).collect()
}

/// The answer of an earlier request with the same token; a token for other parameters is refused with what it made.
fn repeated(
    desk: &Desk,
    cluster: ClusterId,
    token: &str,
    digest: [u8; 16],
) -> Result<Option<ecs::RunTaskResponse>, Fault> {
    if token.len() > 64 || !token.bytes().all(|byte| (33..=126).contains(&byte)) {
        return Err(Fault::invalid_parameter("clientToken may have up to 64 characters, ASCII 33 to 126."));
    }
    let Some(used) = desk.state.client_token(cluster, token) else { return Ok(None) };
    if used.digest != digest {
        let known = used.tasks.iter().filter_map(|id| desk.state.tasks.get(id));
        let arns = known.map(|task| desk.state.task_arn(task)).collect();
        return Err(ecs::fault::conflict("The clientToken was used for a request with other parameters.", arns));
    }
    Ok(Some(ecs::RunTaskResponse { tasks: Some(shown(desk, &used.tasks)), failures: Some(Vec::new()) }))
}
