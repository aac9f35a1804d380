//! What one event costs in a large deployment: the production control plane in memory, without a store and without
//! sockets, with agents that are played. An event: a task of a service ends, is replaced, and the replacement runs.

use crate::gauge::Figures;
use anyhow::{Context, Result, bail};
use control::{Caller, Config, Connect, Control, Input, Output, Principal};
use link::acs::{Ack, ToAgent, ToControl, id_of};
use model::change::Change;
use model::state::Meta;
use model::task::{Membership, Task};
use model::vpc::Vpc;
use model::{Ids, InstanceId, Millis, ServiceId, State, TaskId, TaskStatus};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Instant;
use wire::ecs;
use wire::http::{Answer, Call};

/// Tasks of one service, and of one instance when the deployment is full.
const SERVICE_TASKS: usize = 10;
const INSTANCE_TASKS: usize = 200;
/// Events that are measured at each size.
const EVENTS: usize = 2_000;
/// Instances that are lost, one after the other.
const LOST: usize = 20;

/// Runs the measurements.
pub fn measure() -> Result<()> {
    let template = Template::make()?;
    println!("a task of a service ends, is replaced and runs; the control plane alone, agents played:");
    let mut medians = Vec::new();
    for tasks in [1_000, 10_000, 100_000] {
        let mut plane = template.copy(tasks, true)?;
        let figures = plane.events(EVENTS)?;
        println!("  {tasks} running tasks in services of ten: {figures} µs");
        medians.push(figures.quantile(0.5));
    }
    let (least, most) = medians.iter().fold((f64::MAX, 0.0_f64), |(least, most), at| (least.min(*at), most.max(*at)));
    println!("  the slowest size is {:.1} times the fastest", most / least);
    let mut plane = template.copy(1_000_000, false)?;
    let (mut decided, mut written) = (Figures::default(), Figures::default());
    for _ in 0..LOST {
        let [first, second] = plane.lose_an_instance()?;
        decided.push(first);
        written.push(second);
    }
    let instances = plane.instances.len() + LOST;
    println!("one of {instances} instances with 1,000,000 tasks is lost:");
    println!("  until all its {INSTANCE_TASKS} tasks are replaced in the state: {decided} ms");
    println!("  and the frames for the agents and the rows for the store are made: {written} ms");
    Ok(())
}

/// One service, one task and one instance, as the control plane itself has made them.
struct Template {
    state: State,
}

/// A control plane and the agents that are played to it.
struct Plane {
    control: Control,
    now: Millis,
    instances: BTreeMap<InstanceId, u64>,
    services: Vec<ServiceId>,
    next: usize,
}

fn node() -> Caller {
    Caller { principal: Principal::Node, access_key: "NODE".to_owned() }
}

fn control(state: State, now: Millis) -> Control {
    let config = Config { endpoint: "http://127.0.0.1:8580".into(), version: "bench".into(), settle_ms: 500 };
    Control::new(now, config, state, 0, Ids::seeded(now))
}

/// When the template is made; copies begin an hour later.
const START: Millis = 1_700_000_000_000;
/// When copies begin: nothing of the template is fresh any more.
const BEGIN: Millis = START + 3_600_000;

impl Template {
    fn make() -> Result<Self> {
        let mut ids = Ids::seeded(1);
        let vpc = Vpc::plan(Ipv4Addr::new(172, 31, 0, 0), 16, "us-east-1", &mut ids);
        let meta = Meta { region: "us-east-1".into(), account: "000000000000".into(), vpc, token_key: [0; 32] };
        let (instances, services) = (BTreeMap::new(), Vec::new());
        let mut plane = Plane { control: control(State::new(meta), START), now: START, instances, services, next: 0 };
        let resource = |name: &str, value: i32| ecs::Resource {
            name: Some(name.to_owned()),
            r#type: Some("INTEGER".to_owned()),
            integer_value: Some(value),
            ..Default::default()
        };
        plane.ask(ecs::RegisterContainerInstanceRequest {
            total_resources: Some(vec![resource("CPU", 100_000), resource("MEMORY", 400_000)]),
            ..Default::default()
        })?;
        plane.connect_all()?;
        plane.ask(ecs::RegisterTaskDefinitionRequest {
            family: "bench".to_owned(),
            container_definitions: vec![ecs::ContainerDefinition {
                name: Some("main".to_owned()),
                image: Some("busybox".to_owned()),
                cpu: Some(100),
                memory: Some(128),
                ..Default::default()
            }],
            ..Default::default()
        })?;
        plane.ask(ecs::CreateServiceRequest {
            service_name: "bench".to_owned(),
            task_definition: Some("bench".to_owned()),
            desired_count: Some(SERVICE_TASKS as i32),
            launch_type: Some(ecs::LaunchType::Ec2),
            ..Default::default()
        })?;
        plane.all_run()?;
        for _ in 0..10 {
            plane.pass(10_000)?;
        }
        let state = State::new(plane.control.state().meta().clone());
        Ok(Self { state: copy_base(plane.control.state(), state) })
    }

    /// A deployment of so many tasks; `told`: the agents have acknowledged what runs with them.
    fn copy(&self, tasks: usize, told: bool) -> Result<Plane> {
        let from = &self.state;
        let mut ids = Ids::seeded(tasks as u64);
        let mut state = copy_nouns(from, State::new(from.meta().clone()));
        let host = from.instances.values().next().context("the template has an instance")?;
        let service = from.services.values().next().context("the template has a service")?;
        let task = from.tasks.values().next().context("the template has a task")?;
        let mut instances = BTreeMap::new();
        // One in twenty more than are needed, so that what is lost fits elsewhere.
        for number in 0..(tasks / INSTANCE_TASKS).max(1) * 21 / 20 + 1 {
            let mut host = host.clone();
            host.id = ids.instance();
            (host.connected, host.connection_at) = (false, BEGIN);
            instances.insert(host.id, number as u64);
            state.apply(&Change::InstanceRegistered(Box::new(host)));
        }
        let places: Vec<InstanceId> = instances.keys().copied().collect();
        let mut services = Vec::new();
        for number in 0..tasks / SERVICE_TASKS {
            let id = ServiceId(number as u32);
            services.push(id);
            let mut copy = service.clone();
            (copy.id, copy.name) = (id, format!("bench-{number}").into());
            state.apply(&Change::ServiceCreated(Box::new(copy)));
            for revision in from.service_revisions.values() {
                let copy = model::ServiceRevision { service: id, ..revision.clone() };
                state.apply(&Change::ServiceRevisionCreated(Box::new(copy)));
            }
            for deployment in from.service_deployments.values() {
                let copy = model::ServiceDeployment { service: id, ..deployment.clone() };
                state.apply(&Change::ServiceDeploymentCreated(Box::new(copy)));
            }
            for member in 0..SERVICE_TASKS {
                let place = places[(number * SERVICE_TASKS + member) % places.len()];
                state.apply(&Change::TaskAccepted(Box::new(task_of(task, ids.task(), id, place))));
            }
        }
        let now = BEGIN;
        let mut plane = Plane { control: control(state, now), now, instances, services, next: 0 };
        plane.round(!told)?;
        plane.connect(!told)?;
        plane.round(!told)?;
        Ok(plane)
    }
}

/// Clusters and definitions.
fn copy_nouns(from: &State, mut state: State) -> State {
    for cluster in from.clusters.values() {
        state.apply(&Change::ClusterCreated(cluster.clone()));
    }
    for definition in from.definitions.values() {
        let definition = Box::new(definition.clone());
        state.apply(&Change::TaskDefinitionRegistered { family: "bench".into(), definition });
    }
    state
}

/// And one of everything else.
fn copy_base(from: &State, state: State) -> State {
    let mut state = copy_nouns(from, state);
    from.instances.values().for_each(|host| drop(state.apply(&Change::InstanceRegistered(Box::new(host.clone())))));
    for service in from.services.values() {
        state.apply(&Change::ServiceCreated(Box::new(service.clone())));
    }
    for revision in from.service_revisions.values() {
        state.apply(&Change::ServiceRevisionCreated(Box::new(revision.clone())));
    }
    for deployment in from.service_deployments.values() {
        state.apply(&Change::ServiceDeploymentCreated(Box::new(deployment.clone())));
    }
    from.tasks.values().for_each(|task| drop(state.apply(&Change::TaskAccepted(Box::new(task.clone())))));
    state
}

fn task_of(template: &Task, id: TaskId, service: ServiceId, instance: InstanceId) -> Task {
    let membership = template.service.map(|member| Membership { service, ..member });
    Task { id, service: membership, instance: Some(instance), ..template.clone() }
}

impl Plane {
    fn ask(&mut self, request: impl Into<ecs::Request>) -> Result<()> {
        self.say(Caller { principal: Principal::Operator, access_key: "NODE".to_owned() }, request)
    }

    fn say(&mut self, caller: Caller, request: impl Into<ecs::Request>) -> Result<()> {
        let call = Call::Ecs(request.into());
        self.control.handle(self.now, Input::Request { ticket: 1, caller, call });
        self.round(false)
    }

    fn pass(&mut self, ms: Millis) -> Result<()> {
        self.now += ms;
        if self.control.next_wake().is_some_and(|at| at <= self.now) {
            self.control.handle_time(self.now);
            self.round(false)?;
        }
        Ok(())
    }

    /// Ends rounds until nothing more comes of them; payloads are acknowledged unless agents are `deaf`.
    fn round(&mut self, deaf: bool) -> Result<()> {
        loop {
            let batch = self.control.poll_batch();
            let mut heard = false;
            while let Some((_, output)) = self.control.poll_output() {
                match output {
                    Output::Reply { answer, .. } => drop::<Answer>((*answer).map_err(|f| anyhow::anyhow!("{f}"))?),
                    Output::Frame { session, frame } if !deaf => heard |= self.acknowledge(session, &frame),
                    Output::Connected { answer: Err(refusal), .. } => bail!("refused: {}", refusal.message),
                    _ => {}
                }
            }
            if batch.is_none() && !heard {
                return Ok(());
            }
        }
    }

    fn acknowledge(&mut self, session: u64, frame: &str) -> bool {
        let message_id = match ToAgent::decode(frame) {
            Some(ToAgent::PayloadMessage(payload)) => payload.message_id,
            Some(ToAgent::TaskManifestMessage(manifest)) => manifest.message_id,
            _ => return false,
        };
        let ack = ToControl::AckRequest(Ack { message_id, ..Default::default() }).encode();
        self.control.handle(self.now, Input::Frame { session, frame: ack });
        true
    }

    fn connect_all(&mut self) -> Result<()> {
        let known = self.control.state().instances.keys().enumerate();
        self.instances = known.map(|(number, id)| (*id, number as u64)).collect();
        self.connect(false)
    }

    fn connect(&mut self, deaf: bool) -> Result<()> {
        for (id, session) in self.instances.clone() {
            let container_instance_arn = self.control.state().scope().instance("default", id);
            let connect = Connect { container_instance_arn, ..Connect::default() };
            self.control.handle(self.now, Input::Connect { ticket: 1, session, caller: node(), connect });
            self.round(deaf)?;
        }
        Ok(())
    }

    fn all_run(&mut self) -> Result<()> {
        let state = self.control.state();
        let starting = state.tasks.values().filter(|task| task.status < TaskStatus::Running);
        let starting: Vec<String> = starting.map(|task| state.task_arn(task)).collect();
        starting.into_iter().try_for_each(|task| self.report(task, "RUNNING"))
    }

    fn report(&mut self, task: String, status: &str) -> Result<()> {
        let container = ecs::ContainerStateChange {
            container_name: Some("main".to_owned()),
            status: Some(status.to_owned()),
            exit_code: (status == "STOPPED").then_some(1),
            ..Default::default()
        };
        let request = ecs::SubmitTaskStateChangeRequest {
            task: Some(task),
            status: Some(status.to_owned()),
            containers: Some(vec![container]),
            ..Default::default()
        };
        self.say(node(), request)
    }

    /// Microseconds of so many events, each of another service.
    fn events(&mut self, count: usize) -> Result<Figures> {
        let mut figures = Figures::default();
        for _ in 0..count {
            let service = self.services[self.next % self.services.len()];
            self.next += 1;
            let state = self.control.state();
            let running = state.live_service_tasks(service).filter(|task| task.status == TaskStatus::Running);
            // The oldest: one that ends soon after its start is replaced with patience.
            let running = running.min_by_key(|task| task.times.started);
            let task = state.task_arn(running.context("a service has a running task")?);
            // So long that nothing fails in a row.
            let began = Instant::now();
            self.pass(50)?;
            self.report(task, "STOPPED")?;
            let fresh = self.control.state().live_service_tasks(service).find(|t| t.status < TaskStatus::Running);
            let fresh = self.control.state().task_arn(fresh.context("the task is replaced at once")?);
            self.report(fresh, "RUNNING")?;
            figures.push(began.elapsed().as_secs_f64() * 1e6);
        }
        Ok(figures)
    }

    /// Milliseconds from hearing that an instance is lost to knowing where all its tasks go, and to having it all written
    /// out for the agents and for the store.
    fn lose_an_instance(&mut self) -> Result<[f64; 2]> {
        let id = *self.instances.keys().next().context("an instance")?;
        self.instances.remove(&id);
        let container_instance = self.control.state().scope().instance("default", id);
        let before = self.control.state().tasks.len();
        let on_it = self.control.state().instance_tasks(id).count();
        let request =
            ecs::DeregisterContainerInstanceRequest { container_instance, force: Some(true), ..Default::default() };
        let call = Call::Ecs(request.into());
        let began = Instant::now();
        let caller = Caller { principal: Principal::Operator, access_key: "OPERATOR".to_owned() };
        self.control.handle(self.now, Input::Request { ticket: 1, caller, call });
        self.control.decide();
        let decided = began.elapsed();
        let batch = self.control.poll_batch();
        let written = began.elapsed();
        let replaced = self.control.state().tasks.len() - before;
        if batch.is_none() || replaced != on_it {
            bail!("{replaced} of {on_it} tasks of {} are replaced", id_of(&id.to_string()));
        }
        while self.control.poll_output().is_some() {}
        Ok([decided, written].map(|took| took.as_secs_f64() * 1e3))
    }
}
