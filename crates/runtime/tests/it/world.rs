//! A node's hands for one test: runtime, events, network namespaces, clean-up, and looks at what is on the host.

use crate::archives;
use node::hands::{Command, ContainerSpec, Event, Exit, TaskKey, TaskLimits};
use runtime::output::{self, Stream};
use runtime::{Runtime, RuntimeConfig};
use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const PATIENCE: Duration = Duration::from_secs(30);
static NODES: AtomicU32 = AtomicU32::new(0);

/// A limit of time, longer on a machine that is emulated or shared and says so.
pub fn patient(limit: Duration) -> Duration {
    let slowness = std::env::var("GANTRY_TEST_SLOWNESS").ok().and_then(|times| times.parse().ok());
    limit * slowness.unwrap_or(1)
}

pub struct World {
    pub node_id: String,
    pub data: PathBuf,
    pub image: String,
    runtime: Option<Runtime>,
    events: UnboundedReceiver<Event>,
    seen: VecDeque<Event>,
    tasks: Vec<TaskKey>,
    next: u32,
    executor: Option<tokio::runtime::Runtime>,
}

impl World {
    /// An id that no other test uses.
    pub fn new_id() -> String {
        let number = NODES.fetch_add(1, Ordering::Relaxed);
        format!("{:04x}{number:04x}", std::process::id() & 0xffff)
    }

    /// A fresh node that has the busybox image.
    pub fn new() -> Self {
        let node_id = Self::new_id();
        let _ = fs::remove_dir_all(data_of(&node_id));
        Self::of(&node_id)
    }

    /// The node with this id, fresh or not.
    pub fn of(node_id: &str) -> Self {
        let node_id = node_id.to_owned();
        let data = data_of(&node_id);
        fs::create_dir_all(&data).expect("data directory");
        let executor =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("tokio");
        let (_, events) = unbounded_channel();
        let mut world = Self {
            node_id,
            data,
            image: String::new(),
            runtime: None,
            events,
            seen: VecDeque::new(),
            tasks: Vec::new(),
            next: 0,
            executor: Some(executor),
        };
        world.open();
        let archive = std::io::Cursor::new(archives::docker("busybox:test"));
        world.image = world.runtime().images().load(archive).expect("load")[0].digest.clone();
        world
    }

    /// Starts the runtime, as a node's start does.
    pub fn open(&mut self) {
        let (sender, events) = unbounded_channel();
        let config = RuntimeConfig {
            data_dir: self.data.clone(),
            node_id: self.node_id.clone(),
            supervisor_program: env!("CARGO_BIN_EXE_gantry-supervisor").into(),
            supervisor_args: Vec::new(),
            insecure_registries: Vec::new(),
            cdi: Vec::new(),
        };
        self.events = events;
        self.seen.clear();
        self.runtime = Some(self.executor().block_on(Runtime::open(config, sender)).expect("open"));
    }

    /// Drops the runtime, as a node's end does.
    pub fn close(&mut self) {
        self.runtime = None;
    }

    pub fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("an open runtime")
    }

    fn executor(&self) -> &tokio::runtime::Runtime {
        self.executor.as_ref().expect("an executor")
    }

    pub fn perform(&self, command: Command) {
        self.runtime().perform(command);
    }

    /// The first event, seen or to come, that `pick` wants.
    pub fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        if let Some(at) = self.seen.iter().position(|event| pick(event).is_some()) {
            let event = self.seen.remove(at).expect("position");
            return pick(&event).expect("picked twice");
        }
        let deadline = Instant::now() + patient(PATIENCE);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let next = async { tokio::time::timeout(left, self.events.recv()).await };
            match self.executor.as_ref().expect("an executor").block_on(next) {
                Ok(Some(event)) => match pick(&event) {
                    Some(value) => return value,
                    None => self.seen.push_back(event),
                },
                _ => panic!("no {what}; seen: {:#?}", self.seen),
            }
        }
    }

    /// How many events that nobody waited for are like this.
    pub fn seen(&self, like: impl Fn(&Event) -> bool) -> usize {
        self.seen.iter().filter(|event| like(event)).count()
    }

    /// A task with a namespace and a supervisor.
    pub fn task(&mut self, limits: TaskLimits) -> TaskKey {
        let task = self.key();
        self.network(&task);
        self.perform(Command::Record { task: task.clone(), record: format!("record of {task}") });
        self.wait("Recorded", |event| match event {
            Event::Recorded { task: of, error: None } if *of == task => Some(()),
            _ => None,
        });
        self.supervise(&task, limits);
        task
    }

    /// A task of the same node in another process.
    pub fn adopt(&mut self, task: &TaskKey) {
        self.tasks.push(task.clone());
    }

    pub fn key(&mut self) -> TaskKey {
        self.next += 1;
        let task = TaskKey::new(&format!("{}{:024x}", self.node_id, self.next)).expect("key");
        self.tasks.push(task.clone());
        task
    }

    pub fn supervise(&mut self, task: &TaskKey, limits: TaskLimits) {
        self.perform(Command::Supervise { task: task.clone(), limits });
        self.wait("Supervised", |event| match event {
            Event::Supervised { task: of } if of == task => Some(()),
            Event::SupervisorLost { task: of, message } if of == task => panic!("lost: {message}"),
            _ => None,
        });
    }

    /// Stands in for the network's hands: an empty namespace, pinned where containers look for it.
    pub fn network(&self, task: &TaskKey) {
        let path = self.namespace(task);
        fs::create_dir_all(path.parent().expect("parent")).expect("netns directory");
        fs::write(&path, "").expect("mount point");
        std::thread::spawn(move || {
            // SAFETY: a namespace of this short thread's own.
            #[allow(unsafe_code)]
            unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.expect("unshare");
            rustix::mount::mount_bind("/proc/thread-self/ns/net", &path).expect("bind");
        })
        .join()
        .expect("namespace");
    }

    fn namespace(&self, task: &TaskKey) -> PathBuf {
        PathBuf::from(format!("/run/gantry/{}/netns/{task}", self.node_id))
    }

    pub fn spec(&self, command: &[&str]) -> ContainerSpec {
        ContainerSpec {
            name: "main".into(),
            image_digest: self.image.clone(),
            command: Some(command.iter().map(|text| (*text).to_owned()).collect()),
            host_name: Some("box".into()),
            dns: vec!["172.31.0.2".parse().expect("address")],
            ..ContainerSpec::default()
        }
    }

    pub fn start(&self, task: &TaskKey, spec: ContainerSpec) {
        self.perform(Command::StartContainer { task: task.clone(), spec: Box::new(spec) });
    }

    pub fn started(&mut self, task: &TaskKey, name: &str) {
        self.wait("ContainerStarted", |event| match event {
            Event::ContainerStarted { task: of, container, .. } if of == task && container == name => Some(()),
            Event::ContainerFailed { task: of, container, exit } if of == task && container == name => {
                panic!("failed: {exit:?}")
            }
            _ => None,
        });
    }

    pub fn exited(&mut self, task: &TaskKey, name: &str) -> Exit {
        self.wait("ContainerExited", |event| match event {
            Event::ContainerExited { task: of, container, exit } if of == task && container == name => {
                Some(exit.clone())
            }
            Event::ContainerFailed { task: of, container, exit } if of == task && container == name => {
                panic!("failed: {exit:?}")
            }
            _ => None,
        })
    }

    pub fn failed(&mut self, task: &TaskKey, name: &str) -> Exit {
        self.wait("ContainerFailed", |event| match event {
            Event::ContainerFailed { task: of, container, exit } if of == task && container == name => {
                Some(exit.clone())
            }
            _ => None,
        })
    }

    /// Runs one container of a new task to its end; what it printed, and how it ended.
    pub fn run(&mut self, spec: ContainerSpec) -> (String, Exit) {
        let task = self.task(TaskLimits::default());
        self.start(&task, spec);
        let exit = self.exited(&task, "main");
        let text = self.printed(&task, "main");
        self.release(&task);
        (text, exit)
    }

    pub fn sh(&mut self, script: &str) -> (String, Exit) {
        let spec = self.spec(&["sh", "-c", script]);
        self.run(spec)
    }

    pub fn printed(&self, task: &TaskKey, name: &str) -> String {
        let mut text = String::new();
        for record in output::read(&self.runtime().output_path(task, name)).expect("spool") {
            assert_ne!(record.stream, Stream::Dropped);
            text.push_str(&String::from_utf8_lossy(&record.bytes));
            if record.full {
                text.push('\n');
            }
        }
        text
    }

    pub fn release(&mut self, task: &TaskKey) {
        self.perform(Command::Release { task: task.clone() });
        self.wait("Released", |event| match event {
            Event::Released { task: of } if of == task => Some(()),
            _ => None,
        });
    }

    /// Where the host has this task's groups, in every hierarchy.
    pub fn groups(&self, task: &str) -> Vec<PathBuf> {
        groups(&format!("gantry/{}/{task}", self.node_id))
    }

    /// All processes in the task's groups.
    pub fn processes(&self, task: &TaskKey) -> Vec<i32> {
        fn collect(group: &Path, pids: &mut Vec<i32>) {
            let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
            for entry in fs::read_dir(group).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    collect(&entry.path(), pids);
                }
            }
        }
        let mut pids = Vec::new();
        for group in self.groups(task.as_str()) {
            collect(&group, &mut pids);
        }
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Groups of supervisors that wait for a task.
    pub fn waiting(&self) -> Vec<PathBuf> {
        let entries = groups(&format!("gantry/{}", self.node_id)).into_iter().filter_map(|g| fs::read_dir(g).ok());
        entries
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                name.strip_prefix('s').is_some_and(|pid| pid.parse::<u32>().is_ok())
            })
            .collect()
    }

    /// Whether any supervisor of this node is alive; those of tasks are gone when this is asked.
    fn spares_alive(&self) -> bool {
        fs::read_dir("/proc").expect("proc").flatten().any(|entry| {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            line.contains("gantry-supervisor") && line.contains(&self.node_id)
        })
    }

    pub fn supervisor_pid(&self, task: &TaskKey) -> i32 {
        let path = self.data.join(format!("tasks/{task}/supervisor.json"));
        let identity: serde_json::Value =
            serde_json::from_slice(&fs::read(path).expect("supervisor.json")).expect("json");
        identity["pid"].as_i64().expect("pid") as i32
    }

    /// Nothing of the task is on the host but its directory.
    pub fn assert_nothing_left(&self, task: &TaskKey) {
        assert_eq!(self.groups(task.as_str()), Vec::<PathBuf>::new(), "cgroups");
        assert!(!Path::new(&format!("/run/gantry/{}/sup/{task}.sock", self.node_id)).exists(), "socket");
        let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
        let ours = mounts.lines().filter(|line| line.contains(task.as_str()) && !line.contains("/netns/"));
        assert_eq!(ours.count(), 0, "mounts");
    }
}

fn data_of(node_id: &str) -> PathBuf {
    std::env::temp_dir().join(format!("gantry-runtime-{node_id}"))
}

fn groups(path: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (point, kind) = (fields.nth(1)?, fields.next()?);
            kind.starts_with("cgroup").then(|| Path::new(point).join(path))
        })
        .filter(|group| group.is_dir())
        .collect()
}

impl Drop for World {
    fn drop(&mut self) {
        if self.runtime.is_none() && !std::thread::panicking() {
            self.open();
        }
        if self.runtime.is_some() {
            for task in self.tasks.clone() {
                self.perform(Command::Release { task });
            }
            let mut left = self.tasks.len();
            while left > 0 {
                let next = async { tokio::time::timeout(patient(Duration::from_secs(10)), self.events.recv()).await };
                match self.executor.as_ref().expect("an executor").block_on(next) {
                    Ok(Some(Event::Released { .. })) => left -= 1,
                    Ok(Some(_)) => {}
                    _ => break,
                }
            }
        }
        self.runtime = None;
        for task in &self.tasks {
            let _ = rustix::mount::unmount(self.namespace(task), rustix::mount::UnmountFlags::DETACH);
        }
        if let Some(executor) = self.executor.take() {
            executor.shutdown_timeout(Duration::from_secs(5));
        }
        // Spares end when their socket closes; their groups can go a moment later.
        for _ in 0..500 {
            if self.spares_alive() {
                std::thread::sleep(Duration::from_millis(10));
                continue;
            }
            let left = groups(&format!("gantry/{}", self.node_id));
            for group in &left {
                // Spares take their own groups away; the one they end in stays.
                let _ = fs::remove_dir(group.join("spare"));
                let _ = fs::remove_dir(group);
            }
            if left.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = fs::remove_dir_all(format!("/run/gantry/{}", self.node_id));
        let _ = fs::remove_dir_all(&self.data);
        let left = groups(&format!("gantry/{}", self.node_id));
        if !std::thread::panicking() {
            assert_eq!(left, Vec::<PathBuf>::new(), "cgroups of the node");
        }
    }
}
