//! How many tasks a second are placed: the production planner on a state in memory, on one thread, with the change of
//! the state and without.

use model::change::Change;
use model::group::Group;
use model::instance::{ATTRIBUTE_ZONE, Attribute, Instance, InstanceStatus};
use model::needs::Needs;
use model::placement::{Constraint, Placement, Resource, Strategy};
use model::query::Expression;
use model::state::{Meta, State};
use model::task::{Desired, LaunchType, Task, TaskStatus, Times};
use model::vpc::Vpc;
use model::{Cluster, ClusterId, FamilyId, Ids, InstanceId, RevisionId};
use planner::{Ask, places};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// CPU units and MiB of a task, of an instance.
const TASK: (u32, u32) = (100, 128);
const HOST: (u32, u32) = (48 * 1024, 192 * 1024);

/// A cluster of instances in three zones; nine of ten are of the stack prod. They have as many attributes as a stock agent
/// registers.
fn fleet(instances: usize, ids: &mut Ids) -> State {
    let vpc = Vpc::plan(Ipv4Addr::new(10, 0, 0, 0), 16, "us-east-1", ids);
    let (region, account) = ("us-east-1".into(), "000000000000".into());
    let mut state = State::new(Meta { region, account, vpc, token_key: [0; 32] });
    let cluster = Cluster {
        id: ClusterId(0),
        name: "default".into(),
        active: true,
        created_at: 0,
        tags: Vec::new(),
        providers: Vec::new(),
        strategy: Vec::new(),
        execute_command: None,
        version: 1,
    };
    state.apply(&Change::ClusterCreated(cluster));
    for n in 0..instances {
        let attribute = |name: &str, value: &str| Attribute { name: name.into(), value: Some(value.into()) };
        let mut attributes: Vec<Attribute> =
            (0..50).map(|n| attribute(&format!("ecs.capability.number-{n}"), "")).collect();
        attributes.push(attribute(ATTRIBUTE_ZONE, ["us-east-1a", "us-east-1b", "us-east-1c"][n % 3]));
        attributes.push(attribute("stack", if n % 10 == 0 { "dev" } else { "prod" }));
        state.apply(&Change::InstanceRegistered(Box::new(Instance {
            id: ids.instance(),
            owner: "".into(),
            cluster: ClusterId(0),
            status: InstanceStatus::Active,
            connected: true,
            connection_at: 0,
            cpu: HOST.0,
            memory: HOST.1,
            ports: vec![22, 2375, 2376, 51_678, 51_679],
            ports_udp: Vec::new(),
            gpus: Vec::new(),
            attributes,
            tags: Vec::new(),
            agent_version: "1.0.0".into(),
            agent_hash: "".into(),
            docker_version: "".into(),
            ec2_id: None,
            registered_at: 0,
            version: 1,
        })));
    }
    state
}

fn placement() -> Placement {
    let expression = Expression::parse("attribute:stack == prod").expect("an expression");
    let strategy = vec![Strategy::zones(), Strategy::Binpack(Resource::Memory)];
    Placement { constraints: vec![Constraint::MemberOf(expression)], strategy }
}

fn task(ids: &mut Ids, group: &str, instance: InstanceId) -> Task {
    Task {
        id: ids.task(),
        cluster: ClusterId(0),
        definition: RevisionId { family: FamilyId(0), revision: 1 },
        instance: Some(instance),
        waiting: None,
        provider: None,
        placement: None,
        protected_until: 0,
        execute_command: false,
        launch_type: LaunchType::Ec2,
        cpu: TASK.0,
        memory: TASK.1,
        status: TaskStatus::Pending,
        desired: Desired::Running,
        service: None,
        group: Some(group.into()),
        started_by: None,
        overrides: None,
        tags: Vec::new(),
        containers: Box::default(),
        eni: None,
        ports: Box::default(),
        gpus: None,
        stop: None,
        times: Times::default(),
        phases: [0; 7],
        version: 1,
    }
}

/// Places `tasks` in asks of `each`, every ask a group of its own, and applies them. How long placing and applying took.
fn run(instances: usize, tasks: usize, each: usize) -> (Duration, Duration) {
    let mut ids = Ids::seeded(7);
    let mut state = fleet(instances, &mut ids);
    let (needs, placement) = (Needs::default(), placement());
    let (mut placing, mut applying) = (Duration::ZERO, Duration::ZERO);
    for n in 0..tasks / each {
        let name = format!("group-{n}");
        let ask = Ask {
            cluster: ClusterId(0),
            launch_type: LaunchType::Ec2,
            cpu: TASK.0,
            memory: TASK.1,
            gpus: 0,
            instance: None,
            provider: None,
            subnets: &[],
            needs: &needs,
            placement: &placement,
            group: Group::Named(name.as_str().into()),
            seed: 0,
        };
        let began = Instant::now();
        let places: Vec<InstanceId> = places(&state, 0, &ask, each).into_iter().map(|place| place.instance).collect();
        placing += began.elapsed();
        assert_eq!(places.len(), each, "the fleet is too small");
        let began = Instant::now();
        for instance in places {
            let task = Box::new(task(&mut ids, &name, instance));
            state.apply(&Change::TaskAccepted(task));
        }
        applying += began.elapsed();
    }
    (placing, applying)
}

/// Runs the measurements.
pub fn measure() {
    println!("spread over zones, then binpack memory, memberOf(attribute:stack == prod), one thread:");
    let figures = [
        (5_000, 200_000, 5_000),
        (5_000, 100_000, 1_000),
        (5_000, 5_000, 10),
        (5_000, 1_000, 1),
        (10_000, 1_000_000, 5_000),
    ];
    for (instances, tasks, each) in figures {
        let (placing, applying) = run(instances, tasks, each);
        let rate = |time: Duration| tasks as f64 / time.as_secs_f64();
        println!(
            "  {tasks} tasks onto {instances} instances, {each} to an ask: placed in {:.2} s ({:.0}/s); with the state altered {:.2} s ({:.0}/s)",
            placing.as_secs_f64(),
            rate(placing),
            (placing + applying).as_secs_f64(),
            rate(placing + applying)
        );
    }
}
