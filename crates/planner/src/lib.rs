//! What is to be done: which instance and which address a task gets, or why none; what a service needs next. Pure: state
//! and time in, a plan out.
#![forbid(unsafe_code)]

pub mod capacity;
pub mod service;

use model::instance::{ATTRIBUTE_ENI, Instance, InstanceStatus};
use model::port::{HostPort, Protocol};
use model::reason::{Reason, Unplaceable};
use model::state::State;
use model::task::LaunchType;
use model::{ClusterId, InstanceId, Millis};
use std::net::Ipv4Addr;

/// What a task wants of a place.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Which hosts are in reach: those of the cluster, or the Fargate pool.
    pub launch_type: LaunchType,
    /// CPU units it books.
    pub cpu: u32,
    /// MiB it books.
    pub memory: u32,
    /// Only this instance (StartTask).
    pub instance: Option<InstanceId>,
    /// Only instances of this capacity provider.
    pub provider: Option<&'a str>,
    /// Positions of the subnets it may be in; none: it gets no interface.
    pub subnets: &'a [u8],
    /// Ports of its host that it asks for by number.
    pub ports: &'a [HostPort],
}

/// Where a task goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The instance.
    pub instance: InstanceId,
    /// Position of the subnet of its interface, and an address of it that is free now.
    pub interface: Option<(u8, Ipv4Addr)>,
}

/// The place for `ask`: the fitting instance with the most free memory, the subnet with the fewest interfaces.
pub fn place(state: &State, now: Millis, ask: &Ask<'_>) -> Result<Place, Unplaceable> {
    let in_reach = state.instances.values().filter(|instance| in_reach(instance, ask));
    let mut verdicts = Vec::new();
    let mut best: Option<(u32, &Instance)> = None;
    for instance in in_reach {
        match fits(state, now, ask, instance) {
            Ok(free) if best.is_none_or(|(most, _)| free > most) => best = Some((free, instance)),
            Ok(_) => {}
            Err(reason) => verdicts.push((instance.id, reason)),
        }
    }
    let Some((_, instance)) = best else { return Err(Unplaceable { verdicts }) };
    if ask.subnets.is_empty() {
        return Ok(Place { instance: instance.id, interface: None });
    }
    let mut subnets = ask.subnets.to_vec();
    subnets.sort_by_key(|subnet| state.subnet_eni_count(*subnet));
    let found = subnets.iter().find_map(|subnet| Some((*subnet, state.free_address(*subnet)?)));
    let interface = found.ok_or_else(|| Unplaceable { verdicts: vec![(instance.id, Reason::Addresses)] })?;
    Ok(Place { instance: instance.id, interface: Some(interface) })
}

fn in_reach(instance: &Instance, ask: &Ask<'_>) -> bool {
    let reach = match ask.launch_type {
        LaunchType::Fargate => instance.fargate_capacity().is_some(),
        LaunchType::Ec2 | LaunchType::External => instance.cluster == ask.cluster,
    };
    // The providers of Fargate are the pool itself.
    let pool = ask.launch_type == LaunchType::Fargate;
    let provided = ask.provider.is_none_or(|name| pool || instance.capacity_provider() == Some(name));
    instance.status == InstanceStatus::Active
        && reach
        && provided
        && ask.instance.is_none_or(|only| only == instance.id)
}

/// Free MiB after the task, or the first rule that refuses. One ledger: what is booked there counts whoever booked it;
/// the ceiling is what the host registered, or what it declared for Fargate.
fn fits(state: &State, now: Millis, ask: &Ask<'_>, instance: &Instance) -> Result<u32, Reason> {
    if !instance.reachable(now) {
        return Err(Reason::AgentDisconnected);
    }
    if !ask.subnets.is_empty() && instance.attribute(ATTRIBUTE_ENI).is_none() {
        return Err(Reason::Attribute { name: ATTRIBUTE_ENI.to_owned() });
    }
    let (cpu, memory) = match ask.launch_type {
        LaunchType::Fargate => instance.fargate_capacity().unwrap_or((0, 0)),
        LaunchType::Ec2 | LaunchType::External => (instance.cpu, instance.memory),
    };
    let booked = state.instance_counts(instance.id);
    let (cpu_free, memory_free) = (cpu.saturating_sub(booked.cpu), memory.saturating_sub(booked.memory));
    if ask.cpu > cpu_free {
        return Err(Reason::Cpu { needed: ask.cpu, free: cpu_free });
    }
    let left = memory_free.checked_sub(ask.memory).ok_or(Reason::Memory { needed: ask.memory, free: memory_free })?;
    ask.ports.iter().try_for_each(|port| port_is_free(state, instance, *port))?;
    Ok(left)
}

fn port_is_free(state: &State, instance: &Instance, port: HostPort) -> Result<(), Reason> {
    let reserved = match port.protocol {
        Protocol::Tcp => &instance.ports,
        Protocol::Udp => &instance.ports_udp,
    };
    match state.port_holder(instance.id, port) {
        _ if reserved.contains(&port.port) => Err(Reason::Port { port, holder: None }),
        Some(holder) => Err(Reason::Port { port, holder: Some(holder) }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::change::Change;
    use model::instance::{ATTRIBUTE_FARGATE_CPU, ATTRIBUTE_FARGATE_MEMORY, ATTRIBUTE_POOL, Attribute};
    use model::port::PortMapping;
    use model::state::Meta;
    use model::task::{Container, ContainerStatus, Desired, Stop, StopCode, Task, TaskReport, TaskStatus, Times};
    use model::vpc::Vpc;
    use model::{Cluster, Ids, TaskId};

    fn state(hosts: &[(u32, u32, bool)]) -> State {
        let mut ids = Ids::seeded(1);
        let vpc = Vpc::plan(Ipv4Addr::new(10, 0, 0, 0), 16, "us-east-1", &mut ids);
        let meta = Meta { region: "us-east-1".into(), account: "000000000000".into(), vpc, token_key: [0; 32] };
        let mut state = State::new(meta);
        let cluster = ClusterId(0);
        state.apply(&Change::ClusterCreated(Cluster {
            id: cluster,
            name: "default".into(),
            active: true,
            created_at: 0,
            tags: Vec::new(),
            providers: Vec::new(),
            strategy: Vec::new(),
            version: 1,
        }));
        for (n, (cpu, memory, connected)) in hosts.iter().enumerate() {
            let attribute =
                |name: &str, value: Option<&str>| Attribute { name: name.into(), value: value.map(Into::into) };
            state.apply(&Change::InstanceRegistered(Box::new(Instance {
                id: InstanceId([n as u8; 16]),
                owner: "".into(),
                cluster,
                status: InstanceStatus::Active,
                connected: *connected,
                connection_at: 0,
                cpu: *cpu,
                memory: *memory,
                ports: vec![22],
                ports_udp: Vec::new(),
                attributes: vec![
                    attribute(ATTRIBUTE_ENI, None),
                    attribute(ATTRIBUTE_POOL, Some("fargate")),
                    attribute(ATTRIBUTE_FARGATE_CPU, Some("4096")),
                    attribute(ATTRIBUTE_FARGATE_MEMORY, Some("1024")),
                ],
                tags: Vec::new(),
                agent_version: "".into(),
                agent_hash: "".into(),
                docker_version: "".into(),
                ec2_id: None,
                registered_at: 0,
                version: 1,
            })));
        }
        state
    }

    fn ask(launch_type: LaunchType, cpu: u32, memory: u32) -> Ask<'static> {
        Ask {
            cluster: ClusterId(0),
            launch_type,
            cpu,
            memory,
            instance: None,
            provider: None,
            subnets: &[0, 1],
            ports: &[],
        }
    }

    #[test]
    fn the_most_free_memory_wins() {
        let state = state(&[(1024, 2048, true), (1024, 4096, true)]);
        let place = place(&state, 60_000, &ask(LaunchType::Ec2, 256, 512)).unwrap();
        assert_eq!(place.instance, InstanceId([1; 16]));
        assert_eq!(place.interface, Some((0, Ipv4Addr::new(10, 0, 0, 4))));
    }

    #[test]
    fn fargate_capacity_is_declared_and_ec2_capacity_is_real() {
        let state = state(&[(1024, 2048, true)]);
        assert!(place(&state, 60_000, &ask(LaunchType::Fargate, 4096, 1024)).is_ok());
        let refused = place(&state, 60_000, &ask(LaunchType::Ec2, 2048, 512)).unwrap_err();
        assert_eq!(refused.verdicts, [(InstanceId([0; 16]), Reason::Cpu { needed: 2048, free: 1024 })]);
        let refused = place(&state, 60_000, &ask(LaunchType::Fargate, 256, 1025)).unwrap_err();
        assert_eq!(refused.code(), "RESOURCE:MEMORY");
        assert!(refused.detail().contains("needs 1025 MiB of memory, 1024 MiB are free"), "{}", refused.detail());
    }

    #[test]
    fn an_agent_may_be_away_for_the_grace_period() {
        let state = state(&[(1024, 2048, false)]);
        assert!(place(&state, 29_999, &ask(LaunchType::Ec2, 256, 512)).is_ok());
        let refused = place(&state, 30_000, &ask(LaunchType::Ec2, 256, 512)).unwrap_err();
        assert_eq!(refused.code(), "AGENT");
    }

    /// A task in bridge mode on the first instance, with these ports of it.
    fn bridged(ports: &[HostPort], bound: &[PortMapping]) -> Task {
        Task {
            id: TaskId([7; 16]),
            cluster: ClusterId(0),
            definition: model::RevisionId { family: model::FamilyId(0), revision: 1 },
            instance: Some(InstanceId([0; 16])),
            waiting: None,
            provider: None,
            launch_type: LaunchType::Ec2,
            cpu: 1,
            memory: 1,
            status: TaskStatus::Pending,
            desired: Desired::Running,
            service: None,
            group: None,
            started_by: None,
            overrides: None,
            tags: Vec::new(),
            containers: Box::new([Container {
                name: "main".into(),
                uuid: Ids::seeded(1).uuid(),
                essential: true,
                status: ContainerStatus::Pending,
                runtime_id: None,
                image_digest: None,
                exit_code: None,
                reason: None,
                health: None,
                bindings: bound.into(),
            }]),
            eni: None,
            ports: ports.into(),
            stop: None,
            times: Times::default(),
            phases: [0; 7],
            version: 1,
        }
    }

    #[test]
    fn a_port_of_a_host_is_given_once_for_each_protocol_and_back_when_the_task_is_gone() {
        let mut state = state(&[(1024, 2048, true)]);
        let port = |protocol, port| HostPort { protocol, port };
        let (web, names) = (port(Protocol::Tcp, 8080), port(Protocol::Udp, 53));
        let bound = PortMapping { container: 80, host: 40_000, protocol: Protocol::Tcp };
        let task = bridged(&[web, names], &[bound]);
        let wants = |state: &State, wanted: HostPort| {
            let asked = Ask { subnets: &[], ports: &[wanted], ..ask(LaunchType::Ec2, 1, 1) };
            place(state, 0, &asked).map_err(|refused| (refused.code(), refused.detail()))
        };
        assert_eq!(wants(&state, web), Ok(Place { instance: InstanceId([0; 16]), interface: None }));
        state.apply(&Change::TaskAccepted(Box::new(task.clone())));
        let (code, detail) = wants(&state, web).unwrap_err();
        assert_eq!(code, "RESOURCE:PORTS");
        assert!(detail.contains(&format!("needs the host port 8080/tcp, which task {} has", task.id)), "{detail}");
        assert!(wants(&state, names).is_err() && wants(&state, port(Protocol::Tcp, 40_000)).is_err());
        assert!(wants(&state, port(Protocol::Udp, 8080)).is_ok() && wants(&state, port(Protocol::Tcp, 53)).is_ok());
        let (_, detail) = wants(&state, port(Protocol::Tcp, 22)).unwrap_err();
        assert!(detail.contains("22/tcp, which the host reserves"), "{detail}");
        let stop = Stop { code: StopCode::UserInitiated, reason: "".into() };
        state.apply(&Change::TaskStopWanted { id: task.id, at: 1, stop });
        assert!(wants(&state, web).is_err(), "it has its ports until its node says that it is gone");
        let report = TaskReport { status: Some(ContainerStatus::Stopped), ..TaskReport::default() };
        state.apply(&Change::TaskReported { id: task.id, at: 2, report: Box::new(report) });
        assert!([web, names, port(Protocol::Tcp, 40_000)].into_iter().all(|port| wants(&state, port).is_ok()));
    }

    #[test]
    fn nobody_in_reach_is_said() {
        let refused = place(&state(&[]), 0, &ask(LaunchType::Fargate, 256, 512)).unwrap_err();
        assert_eq!(
            (refused.code(), refused.detail()),
            ("RESOURCE:*", "no container instance offers this capacity".to_owned())
        );
    }
}
