//! `cargo xtask bench`: measures what SPECIFICATION.md promises, on this machine, and prints what it measured. Nothing is
//! remembered from one run to the next and no figure stands in the program.

mod api;
mod client;
mod crowd;
mod gauge;
mod logs;
mod peer;
mod server;

use crate::{command, images, packages};
use anyhow::{Context, Result, bail};
use client::Client;
use gauge::Figures;
use serde_json::{Value, json};
use server::Server;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The command line of `bench`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Tasks whose start is measured
    #[arg(long, default_value_t = 100)]
    tasks: usize,
    /// Starts of the server that are measured
    #[arg(long, default_value_t = 10)]
    starts: usize,
    /// Seconds over which the idle server is watched
    #[arg(long, default_value_t = 20)]
    idle: u64,
    /// A built gantry to measure [default: the release build, built first]
    #[arg(long)]
    gantry: Option<PathBuf>,
    /// Only this group; the others need root and real containers
    #[arg(long)]
    only: Option<Group>,
}

/// A group that can be run alone.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Group {
    /// Requests per second over many connections.
    Api,
    /// The cost of one event in large deployments, in memory.
    Scale,
    /// How many tasks a second are placed, without a server.
    Place,
    /// What a million tasks weigh and what reading them costs, in memory.
    Size,
}

impl Group {
    /// The measurement of the program `plane` that this is, when it needs no server.
    fn of_plane(self) -> Option<&'static str> {
        match self {
            Self::Api => None,
            Self::Scale => Some("scale"),
            Self::Place => Some("place"),
            Self::Size => Some("size"),
        }
    }
}

/// Measures the control plane alone, in a process of its own: on the server's heap, where others have left nothing.
fn plane(measurement: &str) -> Result<()> {
    command::run(&mut command::cargo(&[
        "bench",
        "--quiet",
        "--package",
        "gantry",
        "--bench",
        "plane",
        "--",
        measurement,
    ]))
}

/// What the server under test declares for Fargate tasks, in times of the machine's memory.
const MEMORY_FACTOR: &str = "8";

/// Runs the chore.
pub fn run(arguments: &Arguments) -> Result<()> {
    if let Some(measurement) = arguments.only.and_then(Group::of_plane) {
        packages::ensure(packages::TO_BUILD)?;
        println!("on: {}", machine()?);
        return plane(measurement);
    }
    if !command::is_root() {
        bail!("measuring real containers needs root");
    }
    packages::ensure(packages::TO_TEST)?;
    let gantry = match &arguments.gantry {
        Some(path) => path.clone(),
        None => build()?,
    };
    let image = images::busybox(&command::target()?)?;
    println!("on: {}", machine()?);
    if matches!(arguments.only, Some(Group::Api)) {
        let server = Server::start(&gantry)?;
        server.load(&image)?;
        let client = Client::new(&server)?;
        starts(&server, &client, 1)?;
        return api::measure(&server, &client, &api::one_task(&client)?);
    }
    ready(&gantry, arguments.starts)?;
    let server = Server::start(&gantry)?;
    server.load(&image)?;
    idle(&server, Duration::from_secs(arguments.idle), "after start")?;
    let client = Client::new(&server)?;
    let running = starts(&server, &client, arguments.tasks)?;
    idle(&server, Duration::from_secs(arguments.idle), "after the tasks")?;
    let crowd = crowd::Crowd::new(&client)?;
    crowd.stops(arguments.tasks.min(20))?;
    crowd.service(arguments.tasks.min(10))?;
    println!("for 100 tasks of 512 MiB, Fargate memory is declared {MEMORY_FACTOR} times over");
    crowd.hundred()?;
    logs::measure(&client)?;
    idle(&server, Duration::from_secs(arguments.idle), "after the log lines")?;
    api::measure(&server, &client, &api::one_task(&client)?)?;
    drop(server);
    plane("scale")?;
    plane("place")?;
    peer::docker(&image, arguments.tasks.min(20), &running)
}

fn build() -> Result<PathBuf> {
    command::run(&mut command::cargo(&["build", "--release", "--package", "gantry"]))?;
    Ok(command::target()?.join("release/gantry"))
}

fn machine() -> Result<String> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let cores = std::thread::available_parallelism()?;
    let cgroups =
        if std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { "v2" } else { "v1 or hybrid" };
    Ok(format!("{cores} cores, Linux {}, cgroup {cgroups}", kernel.trim()))
}

/// From the start of the process to the line that says ready, on a data directory that has been used.
fn ready(gantry: &std::path::Path, starts: usize) -> Result<()> {
    let mut figures = Figures::default();
    let mut server = Server::start(gantry)?;
    println!("first start, empty data directory: ready after {:.0} ms", server.ready_ms);
    for _ in 0..starts {
        server = server.restart(gantry)?;
        figures.push(server.ready_ms);
    }
    println!("start to ready: {figures} ms");
    Ok(())
}

fn idle(server: &Server, time: Duration, when: &str) -> Result<()> {
    // What is done in quiet moments is done by then.
    std::thread::sleep(Duration::from_secs(8));
    let before = server.cpu_seconds()?;
    std::thread::sleep(time);
    let percent = (server.cpu_seconds()? - before) / time.as_secs_f64() * 100.0;
    let memory = server.memory()?;
    println!(
        "idle {when}: {:.1} MiB resident in the server; {:.1} MiB proportional with its {} helper processes; {percent:.2} % of one core over {} s",
        memory.server_mib,
        memory.all_mib,
        memory.helpers,
        time.as_secs()
    );
    Ok(())
}

/// RunTask to RUNNING, one task after the other, each stopped before the next. Answers what it took in the server.
fn starts(server: &Server, client: &Client, tasks: usize) -> Result<Figures> {
    let container = json!({"name": "main", "image": "busybox", "command": ["sleep", "1000"], "stopTimeout": 0});
    let definition = json!({"family": "bench", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
        "cpu": "256", "memory": "512", "containerDefinitions": [container]});
    client.ecs("RegisterTaskDefinition", &definition)?;
    let subnets = client.subnets()?;
    let (mut seen, mut stops, mut commits) = (Figures::default(), Figures::default(), Figures::default());
    let mut phases: Vec<(String, Figures)> = Vec::new();
    for n in 0..tasks + 5 {
        let before = client.commit_index()?;
        let began = Instant::now();
        let network = json!({"awsvpcConfiguration": {"subnets": subnets}});
        let run = json!({"taskDefinition": "bench", "launchType": "FARGATE", "networkConfiguration": network});
        let answer = client.ecs("RunTask", &run)?;
        let task = answer["tasks"][0]["taskArn"].as_str().with_context(|| format!("no task: {answer}"))?.to_owned();
        wait(client, &task, "RUNNING")?;
        let running = began.elapsed();
        let after = client.commit_index()?;
        let timeline = client.call("gantry", "Gantry_20261101.DescribeTimeline", &json!({"task": task}))?;
        let began = Instant::now();
        client.ecs("StopTask", &json!({"task": task}))?;
        wait(client, &task, "STOPPED")?;
        // The first few warm caches and pools.
        if n < 5 {
            continue;
        }
        seen.push(running.as_secs_f64() * 1000.0);
        stops.push(began.elapsed().as_secs_f64() * 1000.0);
        commits.push((after - before) as f64);
        note_phases(&mut phases, &timeline);
        std::thread::sleep(Duration::from_millis(30));
    }
    let durable = server.starts()?;
    let mut in_server = Figures::default();
    durable.into_iter().skip(5).for_each(|ms| in_server.push(ms));
    println!("RunTask to RUNNING, warm image, awsvpc, one container:");
    println!("  in the server, request read to commit durable: {in_server} ms");
    println!("  as a client sees it, polling every 2 ms:        {seen} ms");
    println!("  commits on the way: {commits}");
    for (name, figures) in &phases {
        println!("  {name:<15} {figures} ms after accepted");
    }
    println!("StopTask (SIGKILL) to STOPPED as a client sees it: {stops} ms");
    Ok(in_server)
}

fn note_phases(phases: &mut Vec<(String, Figures)>, timeline: &Value) {
    for phase in timeline["phases"].as_array().into_iter().flatten() {
        let (Some(name), Some(ms)) = (phase["name"].as_str(), phase["sinceAcceptedMs"].as_f64()) else { continue };
        match phases.iter_mut().find(|(known, _)| known == name) {
            Some((_, figures)) => figures.push(ms),
            None => phases.push((name.to_owned(), Figures::from(ms))),
        }
    }
}

fn wait(client: &Client, task: &str, status: &str) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = client.ecs("DescribeTasks", &json!({"tasks": [task]}))?;
        let shown = &answer["tasks"][0];
        match shown["lastStatus"].as_str() {
            Some(last) if last == status => return Ok(()),
            Some("STOPPED") => bail!("the task stopped: {}", shown["stoppedReason"]),
            _ if Instant::now() > until => bail!("the task did not become {status} in 30 s: {shown}"),
            _ => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}
