//! Container instances.

use super::{check_names, missing, tags};
use crate::authorize::Caller;
use crate::desk::Desk;
use crate::named;
use crate::page::Page;
use model::change::Change;
use model::gpu::{GPUS_MAX, is_valid_id};
use model::instance::{ATTRIBUTE_ZONE, Attribute, Instance, InstanceStatus};
use model::query::{Expression, InstanceFacts};
use model::{Cluster, InstanceId, State, TaskId};
use wire::{Fault, ecs};

/// Instances that one DescribeContainerInstances names.
const DESCRIBE_MAX: usize = 100;
/// Instances that one UpdateContainerInstancesState names.
const UPDATE_MAX: usize = 10;
/// Attributes of one instance: the agent's own are about a hundred.
const ATTRIBUTES_MAX: usize = 256;

/// RegisterContainerInstance. Registering again with the ARN keeps it; the answer repeats every attribute that was sent,
/// as agents compare them and give up when one is missing.
pub(crate) fn register(
    desk: &mut Desk,
    caller: &Caller,
    input: ecs::RegisterContainerInstanceRequest,
) -> Result<ecs::RegisterContainerInstanceResponse, Fault> {
    let cluster = named::any_cluster(&desk.state, input.cluster.as_deref())?;
    if !cluster.active {
        // Of this operation AWS says it with another code than of all others.
        return Err(ecs::fault::client("The referenced cluster was inactive."));
    }
    let again = match input.container_instance_arn.as_deref().filter(|arn| !arn.is_empty()) {
        None => None,
        Some(arn) => Some(known(&desk.state, cluster, arn)?.clone()),
    };
    // An agent that says no tags leaves those that were put here.
    let sent = tags(input.tags)?;
    let kept = again.as_ref().filter(|_| sent.is_empty()).map(|again| again.tags.clone());
    let tags = kept.unwrap_or(sent);
    let resources = Resources::read(input.total_resources.as_deref().unwrap_or_default())?;
    let gpus = gpus(input.platform_devices.as_deref().unwrap_or_default(), resources.gpus)?;
    let kept = again.as_ref().map_or(&[][..], |again| &again.attributes);
    let zones: Vec<&str> = desk.state.meta().vpc.subnets.iter().map(|subnet| &*subnet.zone).collect();
    let said = input.attributes.iter().flatten().filter(|attribute| attribute.name == ATTRIBUTE_ZONE);
    if let Some(zone) = said.filter_map(|a| a.value.as_deref()).find(|zone| !zones.contains(zone)) {
        let message = format!("The zone {zone:?} does not exist here; there are {}.", zones.join(", "));
        return Err(Fault::invalid_parameter(message));
    }
    let identity = Identity::read(input.instance_identity_document.as_deref());
    let sent = identity.with(input.attributes.unwrap_or_default());
    let attributes = attributes(&desk.state, sent, kept)?;
    let version = input.version_info.unwrap_or_default();
    let text = |text: Option<String>| text.unwrap_or_default().into();
    let (cluster, now) = (cluster.id, desk.now);
    let instance = Instance {
        id: again.as_ref().map_or_else(|| desk.ids.instance(), |again| again.id),
        owner: caller.access_key.as_str().into(),
        cluster,
        status: again.as_ref().map_or(InstanceStatus::Active, |again| again.status),
        connected: again.as_ref().is_some_and(|again| again.connected),
        // Zero: an instance whose agent never connected takes no tasks. An agent that did not hear the answer registers
        // once more under another name, and nobody would ever run what was placed on the first.
        connection_at: again.as_ref().map_or(0, |again| again.connection_at),
        cpu: resources.cpu,
        memory: resources.memory,
        ports: resources.ports,
        ports_udp: resources.ports_udp,
        gpus,
        attributes,
        tags,
        agent_version: text(version.agent_version),
        agent_hash: text(version.agent_hash),
        docker_version: text(version.docker_version),
        ec2_id: identity.id,
        registered_at: again.as_ref().map_or(now, |again| again.registered_at),
        version: again.as_ref().map_or(1, |again| again.version + 1),
    };
    let id = instance.id;
    if again.is_none_or(|again| Instance { version: again.version, ..instance.clone() } != again) {
        desk.commit(Change::InstanceRegistered(Box::new(instance)));
    }
    let container_instance = Some(desk.state.project_instance(&desk.state.instances[&id], true));
    Ok(ecs::RegisterContainerInstanceResponse { container_instance })
}

fn known<'a>(state: &'a State, cluster: &Cluster, name: &str) -> Result<&'a Instance, Fault> {
    let found = named::instance(state, cluster, name)?.filter(|instance| instance.is_registered());
    found.ok_or_else(|| ecs::fault::client("The referenced container instance was not found."))
}

/// What the identity document of an EC2 instance says; other hosts have none.
#[derive(Default)]
struct Identity {
    id: Option<Box<str>>,
    attributes: Vec<ecs::Attribute>,
}

impl Identity {
    fn read(document: Option<&str>) -> Self {
        const LENGTH_MAX: usize = 16 * 1024;
        let document = document.filter(|text| text.len() <= LENGTH_MAX);
        let Some(read) = document.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok()) else {
            return Self::default();
        };
        let text = |name: &str| read[name].as_str().filter(|text| !text.is_empty() && text.len() <= 128);
        let named =
            [("ecs.ami-id", "imageId"), ("ecs.instance-type", "instanceType"), (ATTRIBUTE_ZONE, "availabilityZone")];
        let attribute = |(name, member): (&str, &str)| {
            let value = Some(text(member)?.to_owned());
            Some(ecs::Attribute { name: name.to_owned(), value, ..ecs::Attribute::default() })
        };
        Self { id: text("instanceId").map(Into::into), attributes: named.into_iter().filter_map(attribute).collect() }
    }

    /// Its attributes before those that were sent, which win.
    fn with(&self, sent: Vec<ecs::Attribute>) -> Vec<ecs::Attribute> {
        let own = self.attributes.iter().filter(|own| sent.iter().all(|sent| sent.name != own.name));
        own.cloned().chain(sent.iter().cloned()).collect()
    }
}

/// What an agent registers of its host.
#[derive(Default)]
struct Resources {
    cpu: u32,
    memory: u32,
    ports: Vec<u16>,
    ports_udp: Vec<u16>,
    gpus: Vec<String>,
}

impl Resources {
    fn read(list: &[ecs::Resource]) -> Result<Self, Fault> {
        let mut read = Self::default();
        for resource in list {
            let name = resource.name.as_deref().unwrap_or("");
            let bad = || Fault::invalid_parameter(format!("Resource {name:?} has no valid value."));
            let number = || resource.integer_value.and_then(|value| u32::try_from(value).ok()).ok_or_else(bad);
            let ports = || {
                let set = resource.string_set_value.as_deref().unwrap_or_default();
                set.iter().map(|port| port.parse().map_err(|_| bad())).collect::<Result<Vec<u16>, Fault>>()
            };
            match name {
                "CPU" => read.cpu = number()?,
                "MEMORY" => read.memory = number()?,
                "PORTS" => read.ports = ports()?,
                "PORTS_UDP" => read.ports_udp = ports()?,
                "GPU" => read.gpus = resource.string_set_value.clone().unwrap_or_default(),
                // Other kinds are the agent's to send and nobody's to book yet.
                _ => {}
            }
        }
        if read.cpu == 0 || read.memory == 0 {
            return Err(Fault::invalid_parameter("totalResources must say CPU and MEMORY."));
        }
        Ok(read)
    }
}

/// The GPUs of a host: AWS's agent sends them as platform devices, and they are shown as a resource.
fn gpus(devices: &[ecs::PlatformDevice], resources: Vec<String>) -> Result<Vec<Box<str>>, Fault> {
    let devices = devices.iter().filter(|device| device.r#type == ecs::PlatformDeviceType::Gpu);
    let mut ids: Vec<Box<str>> = Vec::new();
    for id in devices.map(|device| device.id.as_str()).chain(resources.iter().map(String::as_str)) {
        if !is_valid_id(id) {
            return Err(Fault::invalid_parameter(format!("{id:?} is no id of a GPU.")));
        }
        if ids.iter().all(|known| **known != *id) {
            ids.push(id.into());
        }
        if ids.len() > GPUS_MAX {
            return Err(Fault::invalid_parameter(format!("An instance may have at most {GPUS_MAX} GPUs.")));
        }
    }
    Ok(ids)
}

/// What an agent sends; what only the control plane knows; and custom ones that an instance has from before, as agents
/// send theirs at the first registration only.
fn attributes(state: &State, wire: Vec<ecs::Attribute>, kept: &[Attribute]) -> Result<Vec<Attribute>, Fault> {
    if wire.len() > ATTRIBUTES_MAX {
        return Err(Fault::invalid_parameter(format!("An instance may have at most {ATTRIBUTES_MAX} attributes.")));
    }
    let vpc = &state.meta().vpc;
    // A host may say in which of the zones it stands; the first is that of all others.
    let is_zone = |value: &str| vpc.subnets.iter().any(|subnet| &*subnet.zone == value);
    let mut zones = wire.iter().filter(|attribute| attribute.name == ATTRIBUTE_ZONE).filter_map(|a| a.value.clone());
    let zone = zones.next_back().filter(|zone| is_zone(zone));
    let zone = zone.as_deref().or(vpc.subnets.first().map(|subnet| &*subnet.zone)).unwrap_or("").to_owned();
    let subnet = vpc.subnets.iter().find(|subnet| *subnet.zone == *zone).map_or("", |subnet| &subnet.id);
    let cidr = vpc.cidr();
    let own =
        [(ATTRIBUTE_ZONE, &*zone), ("ecs.vpc-id", &*vpc.id), ("ecs.subnet-id", subnet), ("gantry.vpc-cidr", &*cidr)];
    let sent = wire.into_iter().map(|a| Attribute { name: a.name.into(), value: a.value.map(Into::into) });
    let mut all: Vec<Attribute> = sent.filter(|sent| own.iter().all(|(name, _)| **name != *sent.name)).collect();
    all.extend(own.map(|(name, value)| Attribute { name: name.into(), value: Some(value.into()) }));
    let custom = kept.iter().filter(|kept| kept.is_custom());
    let fresh: Vec<Attribute> = custom.filter(|kept| all.iter().all(|a| a.name != kept.name)).cloned().collect();
    all.extend(fresh);
    Ok(all)
}

/// DescribeContainerInstances.
pub(crate) fn describe(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DescribeContainerInstancesRequest,
) -> Result<ecs::DescribeContainerInstancesResponse, Fault> {
    check_names(&input.container_instances, "Container instances", DESCRIBE_MAX)?;
    let state = &desk.state;
    let cluster = named::any_cluster(state, input.cluster.as_deref())?;
    let with_tags = input.include.unwrap_or_default().contains(&ecs::ContainerInstanceField::Tags);
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in &input.container_instances {
        match named::instance(state, cluster, name)? {
            Some(instance) => found.push(state.project_instance(instance, with_tags)),
            None if name.starts_with("arn:") => failures.push(missing(name.clone())),
            None => {
                let prefix = state.scope().cluster(&cluster.name).replace(":cluster/", ":container-instance/");
                failures.push(missing(format!("{prefix}/{name}")));
            }
        }
    }
    Ok(ecs::DescribeContainerInstancesResponse { container_instances: Some(found), failures: Some(failures) })
}

/// UpdateContainerInstancesState: a host is drained, or takes tasks again.
pub(crate) fn update_state(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::UpdateContainerInstancesStateRequest,
) -> Result<ecs::UpdateContainerInstancesStateResponse, Fault> {
    check_names(&input.container_instances, "Container instances", UPDATE_MAX)?;
    let cluster = named::cluster(&desk.state, input.cluster.as_deref())?.clone();
    let status = match input.status {
        ecs::ContainerInstanceStatus::Active => InstanceStatus::Active,
        ecs::ContainerInstanceStatus::Draining => InstanceStatus::Draining,
        other => {
            let message = format!("Container instance status can be set to ACTIVE or DRAINING, not {other}.");
            return Err(Fault::invalid_parameter(message));
        }
    };
    let (mut updated, mut failures) = (Vec::new(), Vec::new());
    for name in &input.container_instances {
        let Some(instance) = named::instance(&desk.state, &cluster, name)? else {
            failures.push(missing(name.clone()));
            continue;
        };
        let (id, known) = (instance.id, instance.status);
        if known == InstanceStatus::Inactive {
            let arn = Some(desk.state.scope().instance(&cluster.name, id));
            failures.push(ecs::Failure { arn, reason: Some("INACTIVE".to_owned()), ..ecs::Failure::default() });
            continue;
        }
        if known != status {
            desk.commit(Change::InstanceStatus { id, status });
        }
        updated.push(id);
    }
    let shown = updated.iter().map(|id| desk.state.project_instance(&desk.state.instances[id], true)).collect();
    Ok(ecs::UpdateContainerInstancesStateResponse { container_instances: Some(shown), failures: Some(failures) })
}

/// UpdateContainerAgent: hosts are updated with the package that brought Gantry, so that there is never an update to be had
/// from here.
pub(crate) fn update_agent(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::UpdateContainerAgentRequest,
) -> Result<ecs::UpdateContainerAgentResponse, Fault> {
    let cluster = named::cluster(&desk.state, input.cluster.as_deref())?;
    let instance = known(&desk.state, cluster, &input.container_instance)?;
    if instance.agent_version.is_empty() {
        let message = "The container instance has never said which version its agent has.";
        return Err(ecs::fault::missing_version(message));
    }
    let message = "There is no update available for your container agent.";
    Err(ecs::fault::no_update_available(message))
}

/// Reads an expression of the cluster query language.
pub(crate) fn expression(text: &str) -> Result<Expression, Fault> {
    Expression::parse(text).map_err(|mistake| Fault::invalid_parameter(format!("Invalid expression: {mistake}.")))
}

/// ListContainerInstances: those that are registered, or of one status.
pub(crate) fn list(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::ListContainerInstancesRequest,
) -> Result<ecs::ListContainerInstancesResponse, Fault> {
    let state = &desk.state;
    let cluster = named::cluster(state, input.cluster.as_deref())?;
    let filter = input.filter.filter(|filter| !filter.trim().is_empty());
    let scope = format!("ListContainerInstances|{}|{:?}|{filter:?}", cluster.name, input.status);
    let filter = filter.as_deref().map(expression).transpose()?;
    let chosen =
        |instance: &&Instance| filter.as_ref().is_none_or(|filter| filter.holds(&InstanceFacts::new(state, instance)));
    let page = Page::read(&state.meta().token_key, scope, (100, 100), input.max_results, input.next_token.as_deref())?;
    let status = match input.status {
        None => None,
        Some(ecs::ContainerInstanceStatus::Active) => Some(InstanceStatus::Active),
        Some(ecs::ContainerInstanceStatus::Draining) => Some(InstanceStatus::Draining),
        // No instance here is ever between two of these.
        Some(_) => {
            return Ok(ecs::ListContainerInstancesResponse {
                container_instance_arns: Some(Vec::new()),
                next_token: None,
            });
        }
    };
    let after = page.after().and_then(InstanceId::parse);
    let rest = state.instances_where(cluster.id, status, after).filter(chosen);
    let (instances, next_token) = page.take(rest, |instance| instance.id.to_string());
    let arns = instances.into_iter().map(|instance| state.scope().instance(&cluster.name, instance.id)).collect();
    Ok(ecs::ListContainerInstancesResponse { container_instance_arns: Some(arns), next_token })
}

/// DeregisterContainerInstance: refused while it runs tasks unless forced. Forced, its tasks are lost to the control
/// plane, as on AWS; here they end as STOPPED with that reason.
pub(crate) fn deregister(
    desk: &mut Desk,
    _: &Caller,
    input: ecs::DeregisterContainerInstanceRequest,
) -> Result<ecs::DeregisterContainerInstanceResponse, Fault> {
    let cluster = named::cluster(&desk.state, input.cluster.as_deref())?;
    let id = known(&desk.state, cluster, &input.container_instance)?.id;
    let tasks: Vec<TaskId> = desk.state.live_instance_tasks(id).map(|task| task.id).collect();
    if !tasks.is_empty() && input.force != Some(true) {
        return Err(Fault::invalid_parameter("Found running tasks on the instance."));
    }
    let reason = "The container instance was deregistered.";
    // First, so that it is in no list by room while its tasks end.
    desk.commit(Change::InstanceDeregistered(id));
    for task in tasks {
        desk.commit(Change::TaskHostLost { id: task, at: desk.now, reason: reason.into() });
    }
    let container_instance = Some(desk.state.project_instance(&desk.state.instances[&id], true));
    Ok(ecs::DeregisterContainerInstanceResponse { container_instance })
}
