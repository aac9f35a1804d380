//! One control plane with a million tasks, a hundred thousand task-definition revisions and five thousand services, made
//! by the production handlers in memory, without a store and without sockets: what it weighs, what reading it costs and
//! what a copy of it for a plan costs.

use crate::gauge::Figures;
use anyhow::{Context, Result, bail};
use control::{Caller, Config, Connect, Control, Input, Output, Principal};
use model::state::Meta;
use model::task::{ContainerStatus, Task};
use model::vpc::Vpc;
use model::{Ids, Millis, State};
use std::net::Ipv4Addr;
use std::time::Instant;
use wire::ecs;
use wire::http::{Answer, Call};

/// What there is to be of each.
const INSTANCES: usize = 5_250;
const FAMILIES: usize = 2_000;
const REVISIONS: usize = 50;
const SERVICES: usize = 5_000;
const SERVICE_TASKS: usize = 198;
/// Tasks that no service has, in requests of ten.
const ALONE: usize = 10_000;
/// Times that each question is asked.
const ASKED: usize = 200;

/// Runs the measurements.
pub fn measure() -> Result<()> {
    let empty = resident()?;
    let mut plane = Plane::new();
    plane.fill()?;
    let state = plane.control.state();
    println!(
        "one control plane in memory: {} tasks, {} task-definition revisions, {} services, {} instances",
        state.tasks.len(),
        state.definitions.len(),
        state.services.len(),
        state.instances.len()
    );
    println!("  resident: {} MiB (before it was filled {empty} MiB)", resident()?);
    plane.ask_everything()?;
    let mut stages = Figures::default();
    for _ in 0..5 {
        let began = Instant::now();
        let stage = plane.control.stage(plane.now);
        stages.push(began.elapsed().as_secs_f64() * 1e3);
        drop(stage);
    }
    println!("  a copy of the state for a plan: {stages} ms");
    Ok(())
}

/// MiB that this process has in memory.
fn resident() -> Result<usize> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let pages: usize = pages.split(' ').nth(1).context("statm has a second number")?.parse()?;
    Ok(pages * 4 / 1024)
}

struct Plane {
    control: Control,
    now: Millis,
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

impl Plane {
    fn new() -> Self {
        let now = 1_700_000_000_000;
        let mut ids = Ids::seeded(1);
        let vpc = Vpc::plan(Ipv4Addr::new(172, 31, 0, 0), 16, "us-east-1", &mut ids);
        let meta = Meta { region: "us-east-1".into(), account: "000000000000".into(), vpc, token_key: [0; 32] };
        let config = Config { endpoint: "http://127.0.0.1:8580".into(), version: "bench".into(), settle_ms: 500 };
        Self { control: Control::new(now, config, State::new(meta), 0, ids), now }
    }

    /// Asks, and ends the round.
    fn ask(&mut self, request: impl Into<ecs::Request>) -> Result<ecs::Response> {
        let answer = self.say(request)?;
        self.round();
        Ok(answer)
    }

    fn say(&mut self, request: impl Into<ecs::Request>) -> Result<ecs::Response> {
        let caller = Caller { principal: Principal::Operator, access_key: "KEY".to_owned() };
        let call = Call::Ecs(request.into());
        self.control.handle(self.now, Input::Request { ticket: 1, caller, call });
        while let Some((_, output)) = self.control.poll_output() {
            if let Output::Reply { answer, .. } = output {
                return match answer.map_err(|fault| anyhow::anyhow!("{fault}"))? {
                    Answer::Ecs(response) => Ok(response),
                    _ => bail!("another service answered"),
                };
            }
        }
        bail!("there is no answer")
    }

    fn round(&mut self) {
        while self.control.poll_batch().is_some() {}
        while self.control.poll_output().is_some() {}
    }

    fn fill(&mut self) -> Result<()> {
        // Hosts have what the task definitions ask of them, as an agent's have.
        let ecs::Response::RegisterTaskDefinition(first) = self.ask(definition(0))? else { bail!("another answer") };
        let asked = first.task_definition.and_then(|definition| definition.requires_attributes).unwrap_or_default();
        (0..INSTANCES).try_for_each(|number| self.host(number, &asked))?;
        for number in 0..FAMILIES * REVISIONS {
            self.ask(definition(number % FAMILIES))?;
        }
        for number in 0..SERVICES {
            self.ask(ecs::CreateServiceRequest {
                service_name: format!("service-{number}"),
                task_definition: Some(format!("family-{}:{}", number % FAMILIES, 1 + number % REVISIONS)),
                desired_count: Some(SERVICE_TASKS as i32),
                launch_type: Some(ecs::LaunchType::Ec2),
                tags: Some(vec![ecs::Tag { key: text("team"), value: text("payments") }]),
                propagate_tags: Some(ecs::PropagateTags::Service),
                ..Default::default()
            })?;
            let id = self.control.state().services.keys().next_back().copied().context("a service")?;
            let state = self.control.state();
            let tasks: Vec<String> = state.live_service_tasks(id).map(|task| state.task_arn(task)).collect();
            if tasks.len() != SERVICE_TASKS {
                bail!("service-{number} has {} tasks", tasks.len());
            }
            tasks.into_iter().try_for_each(|task| self.runs(task))?;
            self.round();
        }
        for number in 0..ALONE / 10 {
            self.ask(ecs::RunTaskRequest {
                task_definition: format!("family-{}", number % 10),
                count: Some(10),
                started_by: Some(format!("job-{}", number % 100)),
                launch_type: Some(ecs::LaunchType::Ec2),
                ..Default::default()
            })?;
        }
        // All that is healthy has proved it, and deployments are COMPLETED. Not so long that the hosts, which nobody plays,
        // have been away for too long.
        for _ in 0..5 {
            self.now += 2_000;
            self.control.handle_time(self.now);
            self.round();
        }
        Ok(())
    }

    /// A host that has connected, as long as it takes to count.
    fn host(&mut self, number: usize, asked: &[ecs::Attribute]) -> Result<()> {
        let resource = |name: &str, value: i32| ecs::Resource {
            name: text(name),
            r#type: text("INTEGER"),
            integer_value: Some(value),
            ..Default::default()
        };
        let attribute =
            |name: String, value: Option<String>| ecs::Attribute { name, value, ..ecs::Attribute::default() };
        let mut attributes: Vec<_> = (0..40).map(|n| attribute(format!("ecs.capability.number-{n}"), None)).collect();
        attributes.push(attribute("stack".to_owned(), text(if number.is_multiple_of(10) { "dev" } else { "prod" })));
        attributes.extend(asked.iter().cloned());
        let request = ecs::RegisterContainerInstanceRequest {
            total_resources: Some(vec![resource("CPU", 100_000), resource("MEMORY", 400_000)]),
            attributes: Some(attributes),
            ..Default::default()
        };
        let ecs::Response::RegisterContainerInstance(answer) = self.ask(request)? else { bail!("another answer") };
        let instance = answer.container_instance.and_then(|instance| instance.container_instance_arn);
        let container_instance_arn = instance.context("the instance has an ARN")?;
        let caller = Caller { principal: Principal::Node, access_key: "KEY".to_owned() };
        let (session, connect) = (number as u64, Connect { container_instance_arn, ..Connect::default() });
        self.control.handle(self.now, Input::Connect { ticket: 1, session, caller, connect });
        self.round();
        // Nobody is there to acknowledge what it would be told.
        self.control.handle(self.now, Input::Disconnected { session });
        self.round();
        Ok(())
    }

    /// What a node says of a task that runs.
    fn runs(&mut self, task: String) -> Result<()> {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        let container = |name: &str| ecs::ContainerStateChange {
            container_name: text(name),
            status: text("RUNNING"),
            runtime_id: Some("0123456789abcdef".repeat(4)),
            image_digest: Some(digest.clone()),
            ..Default::default()
        };
        self.say(ecs::SubmitTaskStateChangeRequest {
            task: Some(task),
            status: text("RUNNING"),
            containers: Some(vec![container("main"), container("sidecar")]),
            ..Default::default()
        })?;
        Ok(())
    }

    /// Asks each question many times and prints what the answer cost: deciding it and writing it as JSON.
    fn ask_everything(&mut self) -> Result<()> {
        let state = self.control.state();
        let every = |n: usize| state.tasks.len() / n;
        let arns = |tasks: &mut dyn Iterator<Item = &Task>| tasks.map(|task| state.task_arn(task)).collect::<Vec<_>>();
        let hundreds: Vec<Vec<String>> =
            (0..20).map(|n| arns(&mut state.tasks.values().skip(n * 31).step_by(every(100)).take(100))).collect();
        let instances: Vec<String> =
            state.instances.keys().take(100).map(|id| state.scope().instance("default", *id)).collect();
        let waiting = state.tasks.values().filter(|task| task.containers[0].status != ContainerStatus::Running).count();
        println!("  {waiting} tasks have not been RUNNING yet");
        let list = |change: &dyn Fn(&mut ecs::ListTasksRequest)| {
            let mut request = ecs::ListTasksRequest::default();
            change(&mut request);
            request
        };
        self.time("DescribeTasks of 100", 0, |n| {
            let tasks = hundreds[n % hundreds.len()].clone();
            ecs::DescribeTasksRequest { tasks, ..Default::default() }.into()
        })?;
        self.time("ListTasks", 5, |_| list(&|_| {}).into())?;
        self.time("ListTasks by service", 1, |n| {
            list(&|r| r.service_name = Some(format!("service-{}", n * 7))).into()
        })?;
        self.time("ListTasks by family", 3, |n| list(&|r| r.family = Some(format!("family-{}", n * 7))).into())?;
        self.time("ListTasks by startedBy", 0, |n| list(&|r| r.started_by = Some(format!("job-{}", n % 100))).into())?;
        self.time("ListTasks by instance", 1, |n| {
            list(&|r| r.container_instance = Some(instances[n % 100].clone())).into()
        })?;
        self.time("ListTasks, STOPPED (none is)", 0, |_| {
            list(&|r| r.desired_status = Some(ecs::DesiredStatus::Stopped)).into()
        })?;
        self.time("ListTasks by family and instance", 0, |n| {
            let instance = instances[n % 100].clone();
            list(&|r| (r.family, r.container_instance) = (Some(format!("family-{n}")), Some(instance.clone()))).into()
        })?;
        self.time("ListTasks, launch type FARGATE (none is)", 0, |_| {
            list(&|r| r.launch_type = Some(ecs::LaunchType::Fargate)).into()
        })?;
        self.time("ListTaskDefinitions", 5, |_| ecs::ListTaskDefinitionsRequest::default().into())?;
        self.time("ListTaskDefinitions, newest first", 5, |_| {
            ecs::ListTaskDefinitionsRequest { sort: Some(ecs::SortOrder::Desc), ..Default::default() }.into()
        })?;
        self.time("ListTaskDefinitions, INACTIVE (none is)", 0, |_| {
            let status = Some(ecs::TaskDefinitionStatus::Inactive);
            ecs::ListTaskDefinitionsRequest { status, ..Default::default() }.into()
        })?;
        self.time("ListTaskDefinitionFamilies", 5, |_| ecs::ListTaskDefinitionFamiliesRequest::default().into())?;
        self.time("DescribeTaskDefinition", 0, |n| {
            ecs::DescribeTaskDefinitionRequest { task_definition: format!("family-{n}"), ..Default::default() }.into()
        })?;
        self.time("DescribeServices of 10", 0, |n| {
            let services = (0..10).map(|service| format!("service-{}", n * 10 + service)).collect();
            ecs::DescribeServicesRequest { services, ..Default::default() }.into()
        })?;
        self.time("ListServices", 5, |_| ecs::ListServicesRequest::default().into())?;
        self.time("DescribeClusters with all", 0, |_| {
            let include = Some(vec![ecs::ClusterField::Statistics, ecs::ClusterField::Tags]);
            ecs::DescribeClustersRequest { include, ..Default::default() }.into()
        })?;
        self.time("DescribeContainerInstances of 100", 0, |_| {
            let container_instances = instances.clone();
            ecs::DescribeContainerInstancesRequest { container_instances, ..Default::default() }.into()
        })?;
        self.time("ListContainerInstances", 5, |_| ecs::ListContainerInstancesRequest::default().into())
    }

    /// `pages`: how far the pages of a list are turned, beginning anew at each time.
    fn time(&mut self, what: &str, pages: usize, request: impl Fn(usize) -> ecs::Request) -> Result<()> {
        let (mut figures, mut bytes) = (Figures::default(), 0);
        for n in 0..ASKED {
            let mut request = request(n);
            for _ in 0..=pages {
                let began = Instant::now();
                let answer = self.say(request.clone())?;
                let json = answer.to_json();
                figures.push(began.elapsed().as_secs_f64() * 1e3);
                bytes = bytes.max(json.len());
                let Some(token) = token(&answer) else { break };
                turn(&mut request, token);
            }
        }
        let (median, p90) = (figures.quantile(0.5), figures.quantile(0.9));
        println!("  {what}: median {median:.3}, p90 {p90:.3} ms, up to {bytes} bytes");
        self.round();
        Ok(())
    }
}

fn token(answer: &ecs::Response) -> Option<String> {
    match answer {
        ecs::Response::ListTasks(list) => list.next_token.clone(),
        ecs::Response::ListTaskDefinitions(list) => list.next_token.clone(),
        ecs::Response::ListTaskDefinitionFamilies(list) => list.next_token.clone(),
        ecs::Response::ListServices(list) => list.next_token.clone(),
        ecs::Response::ListContainerInstances(list) => list.next_token.clone(),
        _ => None,
    }
}

fn turn(request: &mut ecs::Request, token: String) {
    let place = match request {
        ecs::Request::ListTasks(list) => &mut list.next_token,
        ecs::Request::ListTaskDefinitions(list) => &mut list.next_token,
        ecs::Request::ListTaskDefinitionFamilies(list) => &mut list.next_token,
        ecs::Request::ListServices(list) => &mut list.next_token,
        ecs::Request::ListContainerInstances(list) => &mut list.next_token,
        _ => return,
    };
    *place = Some(token);
}

/// As people write them: two containers with environment, ports and logs.
fn definition(family: usize) -> ecs::RegisterTaskDefinitionRequest {
    let pair = |n: usize| ecs::KeyValuePair {
        name: Some(format!("SETTING_{n}")),
        value: Some(format!("the value of setting {n}")),
    };
    let container = |name: &str| ecs::ContainerDefinition {
        name: text(name),
        image: Some(format!("registry.example.com/team/{name}:1.2.3")),
        cpu: Some(50),
        memory: Some(96),
        memory_reservation: Some(64),
        environment: Some((0..8).map(pair).collect()),
        command: Some(vec!["/app/server".to_owned(), "--config".to_owned(), "/etc/app/config.yaml".to_owned()]),
        port_mappings: Some(vec![ecs::PortMapping { container_port: Some(8080), ..Default::default() }]),
        log_configuration: Some(ecs::LogConfiguration {
            log_driver: ecs::LogDriver::Awslogs,
            options: Some(
                [("awslogs-group", "/ecs/app"), ("awslogs-region", "us-east-1"), ("awslogs-stream-prefix", "app")]
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .into(),
            ),
            ..Default::default()
        }),
        ..Default::default()
    };
    let container_definitions = vec![container("main"), container("sidecar")];
    ecs::RegisterTaskDefinitionRequest {
        family: format!("family-{family}"),
        container_definitions,
        ..Default::default()
    }
}
