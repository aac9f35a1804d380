//! Many tasks, and tasks that end: a hundred at once, stops that are obeyed, containers killed from outside, a rolling update.

use super::client::Client;
use super::gauge::Figures;
use super::wait;
use crate::processes::first_process;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

/// A shell that ends when it is told to.
const OBEYS: &str = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done";
/// What takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What tasks are made of, registered once.
pub struct Crowd<'a> {
    client: &'a Client,
    network: Value,
}

impl<'a> Crowd<'a> {
    /// Registers it.
    pub fn new(client: &'a Client) -> Result<Self> {
        let container = json!({"name": "main", "image": "busybox", "command": ["sh", "-c", OBEYS], "stopTimeout": 5});
        let definition = json!({"family": "crowd", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
            "cpu": "256", "memory": "512", "containerDefinitions": [container]});
        client.ecs("RegisterTaskDefinition", &definition)?;
        client.ecs("RegisterTaskDefinition", &definition)?;
        let network = json!({"awsvpcConfiguration": {"subnets": client.subnets()?}});
        Ok(Self { client, network })
    }

    fn run(&self, count: usize) -> Result<Vec<String>> {
        let input = json!({"taskDefinition": "crowd", "launchType": "FARGATE", "count": count,
            "networkConfiguration": self.network});
        let answer = self.client.ecs("RunTask", &input)?;
        let tasks = answer["tasks"].as_array().context("no tasks")?.iter();
        let tasks: Vec<String> = tasks.filter_map(|task| task["taskArn"].as_str().map(str::to_owned)).collect();
        if tasks.len() != count {
            bail!("{count} tasks were wanted: {}", answer["failures"]);
        }
        Ok(tasks)
    }

    /// Waits until every task of `tasks` is so.
    fn all(&self, tasks: &[String], status: &str) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.client.ecs("DescribeTasks", &json!({"tasks": tasks}))?;
            let there = answer["tasks"].as_array().context("no tasks")?.iter();
            let count = there.filter(|task| task["lastStatus"] == status).count();
            if count == tasks.len() {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("{count} of {} tasks are {status} after {PATIENCE:?}", tasks.len());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A hundred tasks at once: RunTask takes ten at a time.
    pub fn hundred(&self) -> Result<()> {
        let began = Instant::now();
        let mut tasks = Vec::new();
        for _ in 0..10 {
            tasks.extend(self.run(10)?);
        }
        self.all(&tasks, "RUNNING")?;
        let running = began.elapsed();
        let began = Instant::now();
        for task in &tasks {
            self.client.ecs("StopTask", &json!({"task": task}))?;
        }
        self.all(&tasks, "STOPPED")?;
        println!(
            "100 tasks at once: all RUNNING after {:.2} s; told to stop: all STOPPED after {:.2} s",
            running.as_secs_f64(),
            began.elapsed().as_secs_f64()
        );
        Ok(())
    }

    /// A task that obeys SIGTERM.
    pub fn stops(&self, count: usize) -> Result<()> {
        let mut figures = Figures::default();
        for _ in 0..count {
            let task = self.run(1)?.remove(0);
            wait(self.client, &task, "RUNNING")?;
            listening(&task)?;
            let began = Instant::now();
            self.client.ecs("StopTask", &json!({"task": task}))?;
            wait(self.client, &task, "STOPPED")?;
            figures.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        println!("StopTask (SIGTERM, obeyed) to STOPPED as a client sees it: {figures} ms");
        Ok(())
    }

    /// A service whose container is killed from outside, then one that is rolled.
    pub fn service(&self, kills: usize) -> Result<()> {
        let mut input = json!({"serviceName": "bench", "taskDefinition": "crowd:1", "desiredCount": 1,
            "launchType": "FARGATE", "networkConfiguration": self.network});
        self.client.ecs("CreateService", &input)?;
        let mut figures = Figures::default();
        let mut task = self.only("")?;
        for _ in 0..kills {
            // A task that dies within 40 s of RUNNING counts as a failed start, and patience grows with them.
            self.client.ecs("UpdateService", &json!({"service": "bench", "forceNewDeployment": true}))?;
            self.stable()?;
            task = self.only("")?;
            let pid = first_process(&task)?;
            let began = Instant::now();
            let pid = rustix::process::Pid::from_raw(pid).context("no process")?;
            rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
            task = self.only(&task)?;
            figures.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        println!("a service's container killed from outside, to RUNNING again as a client sees it: {figures} ms");
        let _ = task;
        self.client.ecs("UpdateService", &json!({"service": "bench", "desiredCount": 10}))?;
        self.stable()?;
        input = json!({"service": "bench", "taskDefinition": "crowd:2"});
        let began = Instant::now();
        self.client.ecs("UpdateService", &input)?;
        self.stable()?;
        println!(
            "a rolling update of 10 tasks, minimumHealthyPercent 100, maximumPercent 200: {:.2} s",
            began.elapsed().as_secs_f64()
        );
        self.client.ecs("DeleteService", &json!({"service": "bench", "force": true}))?;
        Ok(())
    }

    /// Waits until a task of the service is RUNNING that is not `before`.
    fn only(&self, before: &str) -> Result<String> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let listed = self.client.ecs("ListTasks", &json!({"serviceName": "bench"}))?;
            for task in listed["taskArns"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                let answer = self.client.ecs("DescribeTasks", &json!({"tasks": [task]}))?;
                if task != before && answer["tasks"][0]["lastStatus"] == "RUNNING" {
                    return Ok(task.to_owned());
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        bail!("the service has no other task after {PATIENCE:?}")
    }

    /// As AWS's waiter judges it.
    fn stable(&self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.client.ecs("DescribeServices", &json!({"services": ["bench"]}))?;
            let service = &answer["services"][0];
            let one = service["deployments"].as_array().is_some_and(|deployments| deployments.len() == 1);
            if one && service["runningCount"] == service["desiredCount"] {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("the service is not stable after {PATIENCE:?}: {service}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Waits until the shell has set its trap: number 1 of its namespace hears nothing before.
fn listening(task: &str) -> Result<()> {
    const SIGTERM_BIT: u64 = 1 << 14;
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let status = fs::read_to_string(format!("/proc/{}/status", first_process(task)?))?;
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        if caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & SIGTERM_BIT != 0)
        {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    bail!("the shell of {task} sets no trap")
}
