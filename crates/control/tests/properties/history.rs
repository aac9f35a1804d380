//! One random history: a control plane, the hosts and agents that are played to it, and what was done.

use crate::checks::{Checks, View, healthy, rests};
use crate::draws::{FAMILIES, definition};
use control::{Caller, Config, Connect, Control, Input, Output, Principal};
use link::tcs::{ContainerHealth, PublishHealth, TaskHealth};
use model::state::Meta;
use model::task::Desired;
use model::vpc::Vpc;
use model::{Ids, Millis, State, Task, TaskStatus};
use std::net::Ipv4Addr;
use wire::ecs;
use wire::http::Call;

/// How long a task without checks has to run.
pub const SETTLE_MS: Millis = 500;
/// Rounds of the rest in which time passes slowly, then quickly: 200 s in all.
const REST_ROUNDS: u64 = 45;

pub struct History {
    pub control: Control,
    pub now: Millis,
    /// What was done, one line each.
    pub log: Vec<String>,
    pub broken: Option<String>,
    pub checks: Checks,
    chance: Ids,
    hosts: Vec<Host>,
    sessions: u64,
}

struct Host {
    arn: String,
    session: Option<u64>,
}

fn operator() -> Caller {
    Caller { principal: Principal::Operator, access_key: "OPERATOR".into() }
}

fn node() -> Caller {
    Caller { principal: Principal::Node, access_key: "NODE".into() }
}

impl History {
    /// A control plane with one to four hosts, two revisions of each family and a service or two.
    pub fn begin(seed: u64) -> Self {
        let mut ids = Ids::seeded(seed);
        let vpc = Vpc::plan(Ipv4Addr::new(172, 31, 0, 0), 24, "us-east-1", &mut ids);
        let meta = Meta { region: "us-east-1".into(), account: "000000000000".into(), vpc, token_key: [1; 32] };
        let config = Config { endpoint: "http://127.0.0.1:1".into(), version: "0".into(), settle_ms: SETTLE_MS };
        let control = Control::new(1_000_000, config, State::new(meta), 0, ids);
        let mut history = Self {
            control,
            now: 1_000_000,
            log: Vec::new(),
            broken: None,
            checks: Checks::default(),
            chance: Ids::seeded(seed ^ 0x5eed),
            hosts: Vec::new(),
            sessions: 0,
        };
        for family in FAMILIES {
            history.ask(definition(family));
            history.ask(definition(family));
        }
        for _ in 0..1 + history.below(4) {
            history.new_host();
        }
        for _ in 0..2 {
            let creation = history.draw_creation();
            history.ask(creation);
        }
        history
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.chance.bits() % end.max(1)
    }

    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }

    pub fn subnets(&self) -> Vec<String> {
        self.control.state().meta().vpc.subnets.iter().map(|subnet| subnet.id.to_string()).collect()
    }

    pub fn subnet(&self) -> String {
        self.control.state().meta().vpc.subnets[0].id.to_string()
    }

    /// Something happens.
    pub fn step(&mut self) {
        if self.broken.is_some() {
            return;
        }
        match self.below(50) {
            0..8 => self.some_task_moves(),
            8..12 => (0..6).for_each(|_| self.some_task_moves()),
            12..18 => {
                self.help();
                self.pass(600);
            }
            18..21 => self.some_health(),
            21..27 => {
                let ms = *self.pick(&[1, 100, 500, 1_000, 3_000, 31_000, 60_000]);
                self.pass(ms);
            }
            27..29 => {
                let request = self.draw_creation();
                self.ask(request);
            }
            29..34 => {
                let request = self.draw_update();
                self.ask(request);
            }
            34 => {
                let request = self.draw_deletion();
                self.ask(request);
            }
            35 => {
                let request = self.draw_run();
                self.ask(request);
            }
            36 => self.stop_some_task(),
            37 => self.hosts_come_and_go(),
            38 => self.disconnect_some(),
            39 => self.new_host(),
            40 | 41 => {
                if let Some(request) = self.draw_protection() {
                    self.ask(request);
                }
            }
            42 | 43 => {
                if let Some(request) = self.draw_answer() {
                    self.ask(request);
                }
            }
            44..46 => self.drain_some(),
            _ => {
                let request = self.draw_set();
                self.ask(request);
            }
        }
    }

    /// Everything helps until nothing changes any more, or must say why not.
    pub fn come_to_rest(&mut self) {
        self.log.push("rest".to_owned());
        for host in 0..self.hosts.len() {
            self.connect(host);
        }
        for round in 0..REST_ROUNDS {
            if self.broken.is_some() {
                return;
            }
            self.help();
            self.pass(match round {
                0..20 => 250,
                20..30 => 5_000,
                _ => 10_000,
            });
            if rests(self.control.state(), self.now).is_none() {
                return;
            }
        }
        let excuse = self.checks.excuse(self.control.state(), self.now);
        self.broken = self.broken.take().or(excuse);
    }

    /// Sends a request, and ends the round.
    pub fn ask(&mut self, request: impl Into<ecs::Request>) {
        self.say(operator(), request.into());
    }

    fn say(&mut self, caller: Caller, request: ecs::Request) {
        if self.broken.is_some() {
            return;
        }
        let line = format!("{} {}", request.operation(), request.to_json());
        self.log.push(format!("{:>9} {}", self.now, line.chars().take(300).collect::<String>()));
        self.now += 1;
        self.round(Some(Input::Request { ticket: 7, caller, call: Call::Ecs(request) }));
    }

    fn pass(&mut self, ms: Millis) {
        self.log.push(format!("{:>9} {ms} ms pass", self.now));
        self.now += ms;
        self.control.handle_time(self.now);
        self.round(None);
    }

    fn round(&mut self, input: Option<Input>) {
        if let Some(input) = input {
            self.control.handle(self.now, input);
        }
        let before = View::of(self.control.state(), self.now);
        self.control.poll_batch();
        let after = View::of(self.control.state(), self.now);
        let mut problem = self.checks.round(&before, &after, &self.control, self.now);
        while let Some((_, output)) = self.control.poll_output() {
            if let Output::Reply { answer, .. } = output {
                match *answer {
                    Err(fault) if fault.is_server_side() => problem = problem.or(Some(fault.to_string())),
                    Err(fault) => self.log.push(format!("          refused: {}", fault.message)),
                    Ok(_) => {}
                }
            }
        }
        self.broken = self.broken.take().or(problem);
    }

    fn new_host(&mut self) {
        if self.hosts.len() >= 6 {
            return;
        }
        let (cpu, memory) = *self.pick(&[(1024, 8192), (4096, 3072), (16_384, 32_768)]);
        let integer = |name: &str, value: i32| ecs::Resource {
            name: Some(name.to_owned()),
            r#type: Some("INTEGER".to_owned()),
            integer_value: Some(value),
            ..Default::default()
        };
        let attribute = |name: &str, value: Option<&str>| ecs::Attribute {
            name: name.to_owned(),
            value: value.map(str::to_owned),
            ..Default::default()
        };
        let rack = *self.pick(&["a", "b"]);
        let zone = *self.pick(&["us-east-1a", "us-east-1a", "us-east-1b", "us-east-1c"]);
        let known: Vec<_> = self.control.state().instances.keys().copied().collect();
        let request = ecs::RegisterContainerInstanceRequest {
            attributes: Some(
                [attribute("gantry.eni", None), attribute("gantry.pool", Some("fargate"))]
                    .into_iter()
                    .chain(model::instance::CAPABILITIES.map(|name| attribute(name, None)))
                    .chain([attribute("rack", Some(rack)), attribute("ecs.availability-zone", Some(zone))])
                    .collect(),
            ),
            total_resources: Some(vec![integer("CPU", cpu), integer("MEMORY", memory)]),
            ..Default::default()
        };
        self.say(node(), request.into());
        let state = self.control.state();
        let Some(id) = state.instances.keys().find(|id| !known.contains(id)) else { return };
        let arn = state.scope().instance("default", *id);
        self.hosts.push(Host { arn, session: None });
        self.connect(self.hosts.len() - 1);
    }

    fn connect(&mut self, host: usize) {
        if self.hosts[host].session.is_some() || self.broken.is_some() {
            return;
        }
        self.sessions += 1;
        self.hosts[host].session = Some(self.sessions);
        let connect = Connect { container_instance_arn: self.hosts[host].arn.clone(), ..Connect::default() };
        self.log.push(format!("{:>9} host {host} connects", self.now));
        self.round(Some(Input::Connect { ticket: 1, session: self.sessions, caller: node(), connect }));
    }

    fn disconnect_some(&mut self) {
        let host = self.below(self.hosts.len() as u64) as usize;
        match self.hosts.get_mut(host).map(|host| host.session.take()) {
            Some(Some(session)) => {
                self.log.push(format!("{:>9} host {host} is gone", self.now));
                self.round(Some(Input::Disconnected { session }));
            }
            Some(None) => self.connect(host),
            None => {}
        }
    }

    /// A host is to lose its tasks, or takes some again.
    fn drain_some(&mut self) {
        let host = self.below(self.hosts.len() as u64) as usize;
        let Some(host) = self.hosts.get(host) else { return };
        let container_instances = vec![host.arn.clone()];
        let active = self.one_in(3);
        let status = if active { ecs::ContainerInstanceStatus::Active } else { ecs::ContainerInstanceStatus::Draining };
        self.ask(ecs::UpdateContainerInstancesStateRequest { container_instances, status, ..Default::default() });
    }

    /// The operator gives a host up, whatever runs there.
    fn hosts_come_and_go(&mut self) {
        if self.hosts.len() < 2 {
            return self.new_host();
        }
        let host = self.below(self.hosts.len() as u64) as usize;
        let container_instance = self.hosts.swap_remove(host).arn;
        let force = Some(true);
        self.ask(ecs::DeregisterContainerInstanceRequest { container_instance, force, ..Default::default() });
    }

    fn tasks(&self, of: impl Fn(&Task) -> bool) -> Vec<Task> {
        self.control.state().tasks.values().filter(|task| of(task)).cloned().collect()
    }

    fn stop_some_task(&mut self) {
        let tasks = self.tasks(|task| task.desired == Desired::Running);
        if !tasks.is_empty() {
            let task = self.pick(&tasks);
            let task = self.control.state().task_arn(task);
            self.ask(ecs::StopTaskRequest { task, ..Default::default() });
        }
    }

    /// One task goes on, or ends by itself.
    fn some_task_moves(&mut self) {
        let tasks = self.tasks(|task| task.status != TaskStatus::Stopped);
        if tasks.is_empty() {
            return;
        }
        let task = self.pick(&tasks).clone();
        let dies = self.one_in(5);
        self.report(&task, dies);
    }

    fn report(&mut self, task: &Task, dies: bool) {
        let status = match task.desired {
            Desired::Running if !dies && task.status < TaskStatus::Running => "RUNNING",
            Desired::Running if !dies => return,
            Desired::Running | Desired::Stopped => "STOPPED",
        };
        let exit = ecs::ContainerStateChange {
            container_name: Some("main".to_owned()),
            status: Some(status.to_owned()),
            exit_code: (dies && status == "STOPPED").then_some(3),
            ..Default::default()
        };
        let request = ecs::SubmitTaskStateChangeRequest {
            task: Some(self.control.state().task_arn(task)),
            status: Some(status.to_owned()),
            containers: Some(vec![exit]),
            ..Default::default()
        };
        self.say(node(), request.into());
    }

    fn some_health(&mut self) {
        let tasks = self.tasks(|task| task.containers.iter().any(|container| container.health.is_some()));
        if !tasks.is_empty() {
            let task = self.pick(&tasks).clone();
            let status = if self.one_in(2) { "UNHEALTHY" } else { "HEALTHY" };
            self.tell_health(&task, status);
        }
    }

    fn tell_health(&mut self, task: &Task, status: &str) {
        let container =
            ContainerHealth { container_name: "main".into(), health_status: status.into(), status_since: 1.0 };
        let task_arn = self.control.state().task_arn(task);
        self.log.push(format!("{:>9} {status} {task_arn}", self.now));
        let task = TaskHealth { task_arn, containers: vec![container], ..Default::default() };
        let frame = PublishHealth { tasks: vec![task], ..Default::default() }.encode();
        self.now += 1;
        self.round(Some(Input::Telemetry { caller: node(), frame }));
    }

    /// Every agent does what it is told, and everything works.
    fn help(&mut self) {
        for task in self.tasks(|task| task.status != TaskStatus::Stopped) {
            self.report(&task, false);
        }
        let running = |task: &Task| task.desired == Desired::Running && task.status == TaskStatus::Running;
        for task in self.tasks(running) {
            if task.containers.iter().any(|container| container.health.is_some()) && !healthy(&task, self.now) {
                self.tell_health(&task, "HEALTHY");
            }
        }
    }
}
