//! Kills at random moments while tasks and services come, change and go: `up`, `control`, `node` and supervisors, two hundred
//! times, more with GANTRY_CHAOS_KILLS. What was acknowledged must have happened, what was not must have happened once at
//! most, and the host must have nothing but what the tasks that run need. GANTRY_CHAOS_SEED repeats the choices of a run.

use crate::host;
use crate::http::{Answer, exchange};
use crate::tasks::{id, shell};
use crate::world::{Gantry, eventually};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// After the last kill everything is as it should be within this time.
const HEALED: Duration = Duration::from_secs(60);
/// Kills between two looks at everything.
const ROUND: u32 = 20;
/// Standalone tasks at a time, and services.
const TASKS_MAX: usize = 5;
const SERVICES_MAX: usize = 3;
/// Prints numbered lines and ends with 0 when it is told to.
const COUNTING: &str = "trap 'exit 0' TERM; n=0; while :; do echo line $n; n=$((n+1)); sleep 0.1 & wait $!; done";

/// xorshift64*: the same seed, the same choices.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % end
    }

    fn pick<'a, T>(&mut self, among: &'a [T]) -> Option<&'a T> {
        if among.is_empty() { None } else { among.get(self.below(among.len() as u64) as usize) }
    }
}

fn from_environment(name: &str, usual: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} takes a number, got {text:?}")),
        Err(_) => usual,
    }
}

/// What a request asked for.
#[derive(Clone, Debug)]
enum Asked {
    Run { token: String },
    Stop { task: String },
    Create { service: String, count: u64 },
    Update { service: String, count: Option<u64> },
    Delete { service: String },
}

/// A standalone task that was acknowledged.
#[derive(Debug, Default)]
struct Known {
    stop_asked: bool,
}

struct Chaos {
    gantry: Gantry,
    servers: Vec<&'static str>,
    random: Random,
    definitions: Vec<String>,
    network: Value,
    tasks: BTreeMap<String, Known>,
    /// Ids of tasks whose supervisor was killed: they end, unless nothing of them had run.
    bereft: BTreeSet<String>,
    /// Wanted counts; `None`: nobody knows, as the last change was not answered.
    services: BTreeMap<String, Option<u64>>,
    /// Runs that nobody answered, to be asked for again.
    unanswered: Vec<String>,
    names: u32,
}

impl Chaos {
    fn begin(servers: &[&'static str], seed: u64) -> Self {
        let mut gantry = Gantry::new();
        gantry.memory_factor = "16";
        match servers {
            ["up"] => gantry.start("up"),
            _ => gantry.start_apart(),
        }
        gantry.load("busybox");
        let definitions = ["one", "two"].map(|family| gantry.register(family, &[shell("main", COUNTING)])).to_vec();
        let network = crate::world::in_subnets(&gantry.subnets());
        let random = Random(seed | 1);
        let (tasks, services, unanswered) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let bereft = BTreeSet::new();
        let servers = servers.to_vec();
        Self { gantry, servers, random, definitions, network, tasks, bereft, services, unanswered, names: 0 }
    }

    /// Asks for something at random, kills something at random while the answer may be on its way, and starts it again.
    fn strike(&mut self) {
        let asked = self.choose();
        let begun = Instant::now();
        let answer = self.ask(&asked);
        let moment = Duration::from_micros(self.random.below(40_000));
        std::thread::sleep(moment.saturating_sub(begun.elapsed()));
        // Where no supervisor is found a server is killed: a strike that strikes nothing does not count.
        if self.random.below(5) > 0 || !self.kill_supervisor() {
            let verb = *self.random.pick(&self.servers).expect("a server");
            self.gantry.kill(verb);
            if verb != "node" {
                // The answer is there or will never be: what is asked again must not meet it.
                let answer = answer.join().expect("no panic");
                self.gantry.start(verb);
                return self.note(asked, answer);
            }
            self.gantry.start(verb);
        }
        let answer = answer.join().expect("no panic");
        self.note(asked, answer);
    }

    fn choose(&mut self) -> Asked {
        if let Some(token) = self.unanswered.pop() {
            return Asked::Run { token };
        }
        let running: Vec<String> =
            self.tasks.iter().filter(|(_, known)| !known.stop_asked).map(|(task, _)| task.clone()).collect();
        // Whether one exists whose creation was not answered is asked later.
        let known = self.services.iter().filter(|(_, count)| count.is_some());
        let services: Vec<String> = known.map(|(name, _)| name.clone()).collect();
        self.names += 1;
        match self.random.below(10) {
            0..4 if running.len() < TASKS_MAX => Asked::Run { token: format!("token-{}", self.names) },
            4 | 5 if self.services.len() < SERVICES_MAX => {
                Asked::Create { service: format!("service-{}", self.names), count: 1 + self.random.below(3) }
            }
            6 | 7 if !services.is_empty() => {
                let service = self.random.pick(&services).expect("a service").clone();
                let count = (self.random.below(2) == 0).then(|| self.random.below(4));
                Asked::Update { service, count }
            }
            8 if services.len() > 1 => {
                Asked::Delete { service: self.random.pick(&services).expect("a service").clone() }
            }
            _ => match self.random.pick(&running) {
                Some(task) => Asked::Stop { task: task.clone() },
                None => Asked::Run { token: format!("token-{}", self.names) },
            },
        }
    }

    fn ask(&mut self, asked: &Asked) -> JoinHandle<io::Result<Answer>> {
        let definition = self.random.pick(&self.definitions).expect("a definition").clone();
        let (operation, input) = match asked {
            Asked::Run { token } => {
                // Asked again with the same token it must be the same request.
                let input = json!({ "taskDefinition": self.definitions[0], "launchType": "FARGATE", "clientToken": token,
                                    "networkConfiguration": self.network });
                ("RunTask", input)
            }
            Asked::Stop { task } => ("StopTask", json!({ "task": task })),
            Asked::Create { service, count } => {
                let input = json!({ "serviceName": service, "taskDefinition": definition, "desiredCount": count,
                                    "launchType": "FARGATE", "networkConfiguration": self.network });
                ("CreateService", input)
            }
            Asked::Update { service, count: Some(count) } => {
                ("UpdateService", json!({ "service": service, "desiredCount": count }))
            }
            Asked::Update { service, count: None } => (
                "UpdateService",
                json!({ "service": service, "taskDefinition": definition, "forceNewDeployment": true }),
            ),
            Asked::Delete { service } => ("DeleteService", json!({ "service": service, "force": true })),
        };
        let signer = self.gantry.signer.clone();
        std::thread::spawn(move || {
            let (target, body) = (format!("AmazonEC2ContainerServiceV20141113.{operation}"), input.to_string());
            let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
            let headers = signer.sign("ecs", &headers, body.as_bytes());
            exchange(&signer.authority, "POST", "/", &headers, body.as_bytes())
        })
    }

    /// What was acknowledged is remembered, and so is what nobody can know.
    fn note(&mut self, asked: Asked, answer: io::Result<Answer>) {
        let answer = answer.ok();
        if let Some(answer) = answer.as_ref().filter(|answer| answer.status != 200) {
            // A server that is told to end while it serves may say so; anything else was never asked wrongly.
            assert!(answer.status >= 500, "{asked:?}: {}", answer.text());
        }
        let answered = answer.filter(|answer| answer.status == 200).map(|answer| answer.json());
        match (asked, answered) {
            (Asked::Run { .. }, Some(answer)) => {
                assert_eq!(answer["failures"], json!([]), "{answer}");
                let task = answer["tasks"][0]["taskArn"].as_str().expect("an ARN").to_owned();
                self.tasks.entry(task).or_default();
            }
            (Asked::Run { token }, None) => self.unanswered.push(token),
            (Asked::Stop { task }, answer) => {
                let known = self.tasks.get_mut(&task).expect("a known task");
                // One that was not answered may have stopped or not: it is asked for again, to know.
                known.stop_asked |= answer.is_some();
                if answer.is_none() {
                    self.gantry.stop(&task);
                    self.tasks.get_mut(&task).expect("a known task").stop_asked = true;
                }
            }
            (Asked::Create { service, count }, answer) => {
                self.services.insert(service, answer.map(|_| count));
            }
            (Asked::Update { service, count: Some(count) }, answer) => {
                self.services.insert(service, answer.map(|_| count));
            }
            (Asked::Update { .. }, _) => {}
            (Asked::Delete { service }, answer) => {
                if answer.is_none() {
                    // Told again, so that it is known; by then it may be gone.
                    let body = json!({ "service": service, "force": true }).to_string();
                    let again = self.gantry.signer.ecs("DeleteService", body.as_bytes());
                    assert!(again.status == 200 || again.text().contains("ServiceNot"), "{}", again.text());
                }
                self.services.remove(&service);
            }
        }
    }

    /// Whether there was one to kill.
    fn kill_supervisor(&mut self) -> bool {
        let node_id = self.gantry.node_id();
        let here: Vec<String> = std::fs::read_dir(self.gantry.data_dir().join("tasks"))
            .expect("tasks")
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        let Some(task) = self.random.pick(&here) else { return false };
        let supervisors = host::processes_below(&format!("gantry/{node_id}/{task}/supervisor"));
        let mut killed = false;
        for (pid, _) in supervisors {
            let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a pid");
            // It may have ended by itself in the meantime.
            killed |= rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok();
            self.bereft.insert(task.clone());
        }
        killed
    }

    /// Everything that was acknowledged is so, and the host has no more than that.
    fn check(&mut self) {
        let unanswered = std::mem::take(&mut self.unanswered);
        for token in unanswered {
            let asked = Asked::Run { token };
            let answer = self.ask(&asked).join().expect("no panic");
            self.note(asked, answer);
        }
        // What nobody knows is asked.
        let unknown: Vec<String> =
            self.services.iter().filter(|(_, count)| count.is_none()).map(|(name, _)| name.clone()).collect();
        for name in unknown {
            let answer = self.gantry.ecs("DescribeServices", json!({ "services": [name] }));
            match answer["services"][0]["desiredCount"].as_u64() {
                Some(count) => drop(self.services.insert(name, Some(count))),
                None => drop(self.services.remove(&name)),
            }
        }
        let running = eventually("healed deployment", HEALED, || {
            let running = self.look()?;
            self.look_at_host(&running).map(|()| running)
        });
        self.tasks.retain(|task, _| running.contains(&id(task)));
        // With a killed supervisor goes what was in its pipes.
        for task in self.tasks.keys().filter(|task| !self.bereft.contains(&id(task))) {
            // One that has only just started may have printed nothing, or nothing that has arrived.
            eventually("printed lines", HEALED, || self.check_lines(task));
        }
    }

    /// Every line that a task has printed is there; a kill may have repeated some, in a batch.
    fn check_lines(&self, task: &str) -> Result<(), String> {
        let (mut next, mut token) = (0, Value::Null);
        loop {
            let mut input = json!({ "logGroupName": "/gantry/one", "logStreamName": format!("main/{}", id(task)), "startFromHead": true });
            if !token.is_null() {
                input["nextToken"] = token.clone();
            }
            let answer = self.gantry.signer.send("logs", "Logs_20140328.GetLogEvents", input.to_string().as_bytes());
            if answer.status != 200 {
                return Err(answer.text());
            }
            let page = answer.json();
            for event in page["events"].as_array().expect("events") {
                let line = event["message"].as_str().expect("a message");
                let number: u64 = line.strip_prefix("line ").and_then(|number| number.parse().ok()).expect("a number");
                assert!(number <= next, "lines {next} to {number} of {task} are missing");
                next = next.max(number + 1);
            }
            if page["nextForwardToken"] == token {
                break;
            }
            token = page["nextForwardToken"].clone();
        }
        if next > 0 { Ok(()) } else { Err(format!("{task} has printed nothing")) }
    }

    /// The tasks that must run, once everything is as it was asked for.
    fn look(&self) -> Result<BTreeSet<String>, String> {
        let mut running = BTreeSet::new();
        for (task, known) in &self.tasks {
            let seen = self.gantry.describe(task);
            let status = seen["lastStatus"].as_str().unwrap_or_default();
            // One whose supervisor was killed before anything ran is started once more.
            let bereft = self.bereft.contains(&id(task)) && matches!(status, "RUNNING" | "STOPPED");
            let wanted = if known.stop_asked { "STOPPED" } else { "RUNNING" };
            let wanted = if bereft && !known.stop_asked { status } else { wanted };
            let told = || format!("{wanted} is wanted: {seen:#}");
            // A supervisor may have been killed when its task was over.
            if status != wanted {
                assert!(status != "STOPPED" || self.may_end(&seen), "it ended by itself: {seen:#}");
                return Err(told());
            }
            if wanted == "RUNNING" {
                running.insert(id(task));
            }
        }
        let names: Vec<&String> = self.services.keys().collect();
        if !names.is_empty() {
            let answer = self.gantry.ecs("DescribeServices", json!({ "services": names }));
            for service in answer["services"].as_array().expect("services") {
                let name = service["serviceName"].as_str().expect("a name");
                let settled = service["deployments"].as_array().map_or(0, Vec::len) == 1;
                let counts = (&service["runningCount"], &service["pendingCount"]);
                let wanted = json!(self.services[name]);
                if !settled || counts != (&wanted, &json!(0)) || service["desiredCount"] != wanted {
                    return Err(format!("{wanted} tasks are wanted: {service:#}"));
                }
            }
            if answer["services"].as_array().map(Vec::len) != Some(names.len()) {
                return Err(format!("services are missing: {answer:#}"));
            }
        }
        let listed = self.gantry.ecs("ListTasks", json!({}));
        let listed = listed["taskArns"].as_array().expect("ARNs").iter().filter_map(Value::as_str);
        let listed: BTreeSet<String> = listed.map(id).collect();
        let wanted: u64 = self.services.values().flatten().sum::<u64>() + running.len() as u64;
        if listed.len() as u64 != wanted {
            return Err(format!("{wanted} tasks are wanted, these are listed: {listed:?}"));
        }
        Ok(listed)
    }

    /// Whether a task may have ended although nobody asked for it: its supervisor was killed.
    fn may_end(&self, seen: &Value) -> bool {
        seen["stoppedReason"].as_str().is_some_and(|reason| reason.contains("supervisor lost"))
    }

    /// The kernel has one supervisor and one container for each task that runs, and nothing of any other.
    fn look_at_host(&self, running: &BTreeSet<String>) -> Result<(), String> {
        let node_id = self.gantry.node_id();
        for task in running {
            let supervisors = host::processes_below(&format!("gantry/{node_id}/{task}/supervisor")).len();
            let containers = host::containers_below(&format!("gantry/{node_id}/{task}/c")).len();
            if (supervisors, containers) != (1, 1) {
                return Err(format!("task {task} has {supervisors} supervisors and {containers} containers"));
            }
        }
        let mut odd = Vec::new();
        for group in host::groups(&format!("gantry/{node_id}")) {
            odd.extend(foreign(&group, running));
        }
        odd.extend(foreign(&self.gantry.data_dir().join("tasks"), running));
        for directory in ["netns", "sup"] {
            odd.extend(foreign(format!("/run/gantry/{node_id}/{directory}").as_ref(), running));
        }
        if odd.is_empty() { Ok(()) } else { Err(odd.join("\n")) }
    }

    /// Stops everything and sees that nothing is left.
    fn end(mut self) {
        for service in std::mem::take(&mut self.services).into_keys() {
            self.gantry.ecs("DeleteService", json!({ "service": service, "force": true }));
        }
        for task in self.tasks.keys() {
            self.gantry.stop(task);
        }
        for known in self.tasks.values_mut() {
            known.stop_asked = true;
        }
        self.check();
        self.gantry.take_down();
    }
}

/// Names of tasks in a directory that are not wanted there.
pub fn foreign(directory: &std::path::Path, wanted: &BTreeSet<String>) -> Vec<String> {
    let names = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().trim_end_matches(".sock").to_owned());
    let is_task = |name: &String| name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    names
        .filter(is_task)
        .filter(|name| !wanted.contains(name))
        .map(|name| format!("{}/{name}", directory.display()))
        .collect()
}

fn chaos(servers: &[&'static str]) {
    let seed = from_environment("GANTRY_CHAOS_SEED", rustix::process::getpid().as_raw_nonzero().get() as u64);
    let kills = from_environment("GANTRY_CHAOS_KILLS", 200) / 2;
    println!("GANTRY_CHAOS_SEED={seed}, {kills} kills of {servers:?} and supervisors");
    let mut chaos = Chaos::begin(servers, seed);
    for kill in 1..=kills {
        chaos.strike();
        if kill.is_multiple_of(u64::from(ROUND)) || kill == kills {
            chaos.check();
        }
    }
    chaos.end();
}

#[test]
fn a_hundred_kills_of_up_and_supervisors() {
    chaos(&["up"]);
}

#[test]
fn a_hundred_kills_of_control_node_and_supervisors() {
    chaos(&["control", "node"]);
}
