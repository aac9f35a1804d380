use super::*;
use model::change::Change;
use model::instance::{ATTRIBUTE_ENI, InstanceStatus};
use model::instance::{ATTRIBUTE_FARGATE_CPU, ATTRIBUTE_FARGATE_MEMORY, ATTRIBUTE_POOL, Attribute};
use model::port::PortMapping;
use model::port::{HostPort, Protocol};
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
        execute_command: None,
        version: 1,
    }));
    for (n, (cpu, memory, connected)) in hosts.iter().enumerate() {
        let attribute = |name: &str, value: Option<&str>| Attribute { name: name.into(), value: value.map(Into::into) };
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
            gpus: Vec::new(),
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
        gpus: 0,
        instance: None,
        provider: None,
        subnets: &[0, 1],
        needs: Box::leak(Box::default()),
        placement: Box::leak(Box::default()),
        group: Group::Named("".into()),
        seed: 0,
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
    let reasons = vec![Reason::Cpu { needed: 2048, free: 1024 }];
    assert_eq!(refused.verdicts, [Verdict { instance: InstanceId([0; 16]), reasons }]);
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
        placement: None,
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
        gpus: None,
        protected_until: 0,
        execute_command: false,
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
        let needs = Needs { ports: [wanted].into(), ..Needs::default() };
        let asked = Ask { subnets: &[], needs: &needs, ..ask(LaunchType::Ec2, 1, 1) };
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

/// A fleet of all sizes in three zones and four racks.
fn fleet(count: u8) -> State {
    let mut state = state(&[]);
    for n in 0..count {
        let attribute = |name: &str, value: String| Attribute { name: name.into(), value: Some(value.into()) };
        let (cpu, memory) = (1000 + u32::from(n % 7) * 300, 1000 + u32::from(n % 5) * 400);
        let mut host = self::state(&[(cpu, memory, true)]).instances.remove(&InstanceId([0; 16])).unwrap();
        host.id = InstanceId([n; 16]);
        host.attributes
            .push(attribute("ecs.availability-zone", format!("us-east-1{}", ["a", "b", "c"][usize::from(n % 3)])));
        host.attributes.push(attribute("rack", format!("{}", n / 2 % 4)));
        state.apply(&Change::InstanceRegistered(Box::new(host)));
    }
    state
}

#[test]
fn tasks_placed_together_go_where_they_would_go_one_by_one() {
    use model::placement::{Constraint, Field, Placement, Resource, Strategy};
    use model::query::Expression;
    let spread = |name: &str| Strategy::Spread(Field::Attribute(name.into()));
    let instance = || Strategy::Spread(Field::Instance { host: false });
    let (cpu, memory) = (Strategy::Binpack(Resource::Cpu), Strategy::Binpack(Resource::Memory));
    let chains = [
        vec![],
        vec![memory.clone()],
        vec![instance()],
        vec![Strategy::zones(), memory.clone()],
        vec![Strategy::zones(), instance()],
        vec![Strategy::zones(), instance(), memory.clone()],
        vec![instance(), memory.clone()],
        vec![Strategy::zones(), spread("rack"), instance(), cpu.clone()],
        vec![instance(), cpu, spread("rack")],
        vec![spread("nowhere"), instance(), memory],
    ];
    let none = Vec::new();
    let chosen = vec![Constraint::MemberOf(Expression::parse("attribute:rack in [1, 3]").unwrap())];
    let alone = vec![Constraint::MemberOf(Expression::parse("pendingTasksCount < 3").unwrap())];
    for (chain, constraints) in chains.iter().flat_map(|chain| [(chain, &none), (chain, &chosen), (chain, &alone)]) {
        let mut state = fleet(40);
        let placement = Placement { constraints: constraints.clone(), strategy: chain.clone() };
        let group = Group::Named("web".into());
        let asked = Ask { subnets: &[], placement: &placement, group, ..ask(LaunchType::Ec2, 130, 90) };
        let together: Vec<InstanceId> = {
            let before = fleet(40);
            Placer::new(&before, 0, &asked).map(|place| place.instance).collect()
        };
        let mut one_by_one = Vec::new();
        while let Ok(place) = place(&state, 0, &asked) {
            let few: Vec<Place> = Placer::new(&state, 0, &asked).take(4).collect();
            assert_eq!(places(&state, 0, &asked, 4), few, "{placement:?}");
            one_by_one.push(place.instance);
            let (id, group) = (TaskId((one_by_one.len() as u128).to_be_bytes()), Some("web".into()));
            let task = Task { id, group, instance: Some(place.instance), cpu: 130, memory: 90, ..bridged(&[], &[]) };
            state.apply(&Change::TaskAccepted(Box::new(task)));
        }
        assert!(together.len() > 20, "{chain:?}: {}", together.len());
        let first = together.iter().zip(&one_by_one).position(|(a, b)| a != b);
        assert_eq!((first, together.len()), (None, one_by_one.len()), "{placement:?}");
    }
}

#[test]
fn interfaces_are_spread_over_the_zones_of_their_subnets() {
    let state = state(&[(1024, 2048, true)]);
    let asked = Ask { subnets: &[2, 0, 1], ..ask(LaunchType::Fargate, 10, 10) };
    let subnets: Vec<u8> = Placer::new(&state, 0, &asked).take(6).filter_map(|p| p.interface).map(|(n, _)| n).collect();
    assert_eq!(subnets, [0, 1, 2, 0, 1, 2]);
    let addresses: Vec<Ipv4Addr> = Placer::new(&state, 0, &Ask { subnets: &[1], ..asked })
        .take(3)
        .filter_map(|p| p.interface)
        .map(|(_, a)| a)
        .collect();
    assert_eq!(addresses, [4, 5, 6].map(|n| Ipv4Addr::new(10, 0, 16, n)));
}

#[test]
fn tasks_with_gpus_go_where_they_would_go_one_by_one() {
    use model::gpu::Gpus;
    use model::placement::{Field, Placement, Resource, Strategy};
    let instance = || Strategy::Spread(Field::Instance { host: false });
    let chains =
        [vec![], vec![Strategy::Binpack(Resource::Memory)], vec![instance()], vec![Strategy::zones(), instance()]];
    for chain in chains {
        let mut state = fleet(30);
        let mut all = 0;
        for n in 0..30u8 {
            let mut host = state.instances.get(&InstanceId([n; 16])).unwrap().clone();
            host.gpus = (0..n % 4).map(|gpu| format!("GPU-{n}-{gpu}").into()).collect();
            all += host.gpus.len() / 2;
            state.apply(&Change::InstanceRegistered(Box::new(host)));
        }
        let placement = Placement { constraints: Vec::new(), strategy: chain };
        let group = Group::Named("web".into());
        let asked = Ask { subnets: &[], gpus: 2, placement: &placement, group, ..ask(LaunchType::Ec2, 10, 10) };
        let before = state.clone();
        let together: Vec<InstanceId> = Placer::new(&before, 0, &asked).map(|place| place.instance).collect();
        let mut one_by_one = Vec::new();
        while let Ok(place) = place(&state, 0, &asked) {
            let few: Vec<Place> = Placer::new(&state, 0, &asked).take(4).collect();
            assert_eq!(places(&state, 0, &asked, 4), few, "{placement:?}");
            one_by_one.push(place.instance);
            let mut gpus = Gpus::of(&[1, 1]).unwrap();
            gpus.give(state.free_gpus(&state.instances[&place.instance]));
            assert_eq!(gpus.ids().count(), 2);
            let id = TaskId((one_by_one.len() as u128).to_be_bytes());
            let (instance, group) = (Some(place.instance), Some("web".into()));
            let task = Task { id, group, instance, cpu: 10, memory: 10, gpus: Some(gpus), ..bridged(&[], &[]) };
            state.apply(&Change::TaskAccepted(Box::new(task)));
            assert_eq!(model::audit::audit(&state).iter().filter(|v| v.invariant.contains("GPU")).count(), 0);
        }
        assert_eq!((&together, together.len()), (&one_by_one, all), "{placement:?}");
        let why = why(&state, 0, &asked);
        assert_eq!(why.code(), "RESOURCE:GPU");
        assert!(why.summary().starts_with("needs 2 GPUs; of 30 instances the best of them, "), "{}", why.summary());
        // All are free again when their tasks are gone.
        for n in 1..=one_by_one.len() {
            state.apply(&Change::TaskForgotten(TaskId((n as u128).to_be_bytes())));
        }
        assert_eq!(Placer::new(&state, 0, &asked).count(), all);
    }
}
