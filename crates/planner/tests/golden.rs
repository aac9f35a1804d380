//! Golden cases: a fleet and a wish in, the places or the reasons out. Each file of `cases` reads as documentation; its
//! lines after `---` are what the planner says, and `GOLDEN=write cargo test -p planner --test golden` writes them anew.

#![allow(clippy::disallowed_methods, reason = "a test reads its cases")]

use model::change::Change;
use model::gpu::Gpus;
use model::group::Group;
use model::instance::{ATTRIBUTE_ZONE, Attribute, Instance, InstanceStatus};
use model::needs::Needs;
use model::placement::Placement;
use model::port::{HostPort, Protocol};
use model::state::{Meta, State};
use model::task::{Desired, LaunchType, Task, TaskStatus, Times};
use model::vpc::Vpc;
use model::{Cluster, ClusterId, FamilyId, Ids, InstanceId, RevisionId, TaskId};
use planner::{Ask, Placer};
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use wire::ecs;

/// `name=value` words of a line; bare words have the value "".
struct Words<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Self {
        Self(text.split_whitespace().map(|word| word.split_once('=').unwrap_or((word, ""))).collect())
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| *known == name).map(|(_, value)| *value)
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    fn number(&self, name: &str, default: u32) -> u32 {
        self.get(name).map_or(default, |text| text.parse().expect("a number"))
    }
}

fn state() -> State {
    let mut ids = Ids::seeded(1);
    let vpc = Vpc::plan(Ipv4Addr::new(10, 0, 0, 0), 16, "us-east-1", &mut ids);
    let (region, account) = ("us-east-1".into(), "000000000000".into());
    let mut state = State::new(Meta { region, account, vpc, token_key: [0; 32] });
    let (name, tags) = ("default".into(), Vec::new());
    let cluster = Cluster {
        id: ClusterId(0),
        name,
        active: true,
        created_at: 0,
        tags,
        providers: Vec::new(),
        strategy: Vec::new(),
        execute_command: None,
        version: 1,
    };
    state.apply(&Change::ClusterCreated(cluster));
    state
}

/// An instance is called by the first letter of its id's digits: a is a0a0…
fn id(name: &str) -> InstanceId {
    InstanceId::parse(&name.repeat(32)).expect("one hex digit")
}

fn instance(name: &str, words: &Words<'_>) -> Instance {
    let zone = words.get("zone").unwrap_or("us-east-1a");
    let mut attributes = vec![Attribute { name: ATTRIBUTE_ZONE.into(), value: Some(zone.into()) }];
    for text in words.all("attribute") {
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        attributes.push(Attribute { name: name.into(), value: Some(value.into()) });
    }
    Instance {
        id: id(name),
        owner: "".into(),
        cluster: ClusterId(0),
        status: if words.get("draining").is_some() { InstanceStatus::Draining } else { InstanceStatus::Active },
        connected: words.get("away").is_none(),
        connection_at: 0,
        cpu: words.number("cpu", 4096),
        memory: words.number("memory", 8192),
        ports: vec![22],
        ports_udp: Vec::new(),
        gpus: (0..words.number("gpus", 0)).map(|n| format!("{name}{n}").into()).collect(),
        attributes,
        tags: Vec::new(),
        agent_version: "1.2.3".into(),
        agent_hash: "".into(),
        docker_version: "".into(),
        ec2_id: None,
        registered_at: 0,
        version: 1,
    }
}

fn task(n: u8, on: InstanceId, words: &Words<'_>) -> Task {
    Task {
        id: TaskId([n; 16]),
        cluster: ClusterId(0),
        definition: RevisionId { family: FamilyId(0), revision: 1 },
        instance: Some(on),
        waiting: None,
        provider: None,
        placement: None,
        launch_type: LaunchType::Ec2,
        cpu: words.number("cpu", 100),
        memory: words.number("memory", 100),
        status: TaskStatus::Running,
        desired: if words.get("stopping").is_some() { Desired::Stopped } else { Desired::Running },
        service: None,
        group: Some(words.get("group").unwrap_or("web").into()),
        started_by: None,
        overrides: None,
        tags: Vec::new(),
        containers: Box::default(),
        eni: None,
        ports: ports(words),
        gpus: None,
        protected_until: 0,
        execute_command: false,
        stop: None,
        times: Times::default(),
        phases: [0; 7],
        version: 1,
    }
}

fn ports(words: &Words<'_>) -> Box<[HostPort]> {
    let port = |text: &str| HostPort { protocol: Protocol::Tcp, port: text.parse().expect("a port") };
    words.all("port").map(port).collect()
}

fn strategy(text: &str) -> ecs::PlacementStrategy {
    let (kind, field) = text.split_once('(').unwrap_or((text, ""));
    let field = Some(field.trim_end_matches(')').to_owned()).filter(|field| !field.is_empty());
    ecs::PlacementStrategy { r#type: ecs::PlacementStrategyType::from_wire(kind), field }
}

/// What the planner says to the wish `words`; `expressions` are the lines that begin with `member-of`.
fn answer(state: &State, words: &Words<'_>, expressions: &[&str]) -> String {
    let mut constraints: Vec<ecs::PlacementConstraint> = expressions
        .iter()
        .map(|text| ecs::PlacementConstraint {
            r#type: Some(ecs::PlacementConstraintType::MemberOf),
            expression: Some((*text).to_owned()),
        })
        .collect();
    if words.get("distinct").is_some() {
        let kind = Some(ecs::PlacementConstraintType::DistinctInstance);
        constraints.push(ecs::PlacementConstraint { r#type: kind, expression: None });
    }
    let wishes: Vec<ecs::PlacementStrategy> = words.all("by").map(strategy).collect();
    let constraints = Placement::read_constraints(&constraints).expect("constraints");
    let placement = Placement { constraints, strategy: Placement::read_strategy(&wishes).expect("strategies") };
    let attributes = words.all("needs").map(|name| Attribute { name: name.into(), value: None }).collect();
    let needs = Needs { ports: ports(words), attributes, ..Needs::default() };
    let ask = Ask {
        cluster: ClusterId(0),
        launch_type: LaunchType::Ec2,
        cpu: words.number("cpu", 100),
        memory: words.number("memory", 100),
        gpus: words.number("gpus", 0),
        instance: words.get("on").map(id),
        provider: None,
        subnets: &[],
        needs: &needs,
        placement: &placement,
        group: Group::Named(words.get("group").unwrap_or("web").into()),
        seed: u64::from(words.number("seed", 1)),
    };
    let count = words.number("count", 1) as usize;
    let places: Vec<_> = Placer::new(state, 60_000, &ask).take(count).collect();
    let names: Vec<String> = places.iter().map(|place| place.instance.to_string()[..1].to_owned()).collect();
    let mut said = String::new();
    writeln!(said, "places: {}", names.join(" ")).expect("text");
    if places.is_empty() {
        let why = planner::why(state, 60_000, &ask);
        let short = |text: String| {
            let full = (b'a'..=b'f').map(|letter| (letter as char).to_string());
            full.fold(text, |text, letter| text.replace(&letter.repeat(32), &letter))
        };
        writeln!(said, "code: {}", why.code()).expect("text");
        writeln!(said, "summary: {}", short(why.summary())).expect("text");
        for verdict in &why.verdicts {
            writeln!(said, "{}: {}", short(verdict.instance.to_string()), short(verdict.sentence())).expect("text");
        }
    }
    said
}

fn run(case: &str) -> String {
    let (mut state, mut said, mut tasks, mut expressions) = (state(), String::new(), 0, Vec::new());
    for line in case.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (name, words) = (rest.split(' ').next().unwrap_or_default(), Words::of(rest));
        match verb {
            "instance" => drop(state.apply(&Change::InstanceRegistered(Box::new(instance(name, &words))))),
            "task" => {
                tasks += 1;
                let mut task = task(tasks, id(name), &words);
                task.gpus = Gpus::of(&[words.number("gpus", 0)]);
                let free = task.gpus.iter_mut().zip(state.instances.get(&id(name)));
                free.for_each(|(gpus, instance)| gpus.give(state.free_gpus(instance)));
                state.apply(&Change::TaskAccepted(Box::new(task)));
            }
            "member-of" => expressions.push(rest),
            "place" => said += &answer(&state, &words, &std::mem::take(&mut expressions)),
            other => panic!("no verb {other:?}"),
        }
    }
    said
}

#[test]
fn cases_say_what_they_said() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let write = std::env::var_os("GOLDEN").is_some();
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("cases").map(|file| file.expect("a file").path()).collect();
    files.sort();
    assert!(files.len() >= 8, "cases are missing");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("text");
        let (case, expected) = text.split_once("---\n").expect("a line ---");
        let said = run(case);
        if write {
            std::fs::write(&file, format!("{case}---\n{said}")).expect("written");
        } else {
            assert_eq!(said, expected, "{}", file.display());
        }
    }
}
