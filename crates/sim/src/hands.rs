//! The fake hands of a node: they take orders, need time, sometimes fail, and are interrupted by the node's death. What
//! they do they do to the `Host`; they never decide.

use crate::agenda::{Event as Later, Step};
use crate::host::{Contained, Nature, digest, nature};
use crate::world::World;
use model::Millis;
use node::hands::{Attachment, Command, ContainerNetwork, Event, Exit, ImageFailure, PortMapping, TaskKey};

/// An order that is being carried out.
#[derive(Debug)]
pub(crate) struct Job {
    pub command: Command,
    pub due: Millis,
    pub failure: Option<String>,
}

/// Where the fake hosts begin to look for a free port.
const DYNAMIC_PORT_FIRST: u16 = 32_768;

/// How a container ends that is started again.
const REBORN: i32 = 7;
/// Failing: how the order's subject puts it.
const NO_SPACE: &str = "no space left on device";

impl World {
    /// Takes an order of a node.
    pub fn order(&mut self, agent: usize, command: Command) {
        let (task, life) = (command.task().clone(), self.agents[agent].life);
        self.check_order(agent, &command);
        self.note(format!("node-{agent} orders {}", self.put(&command)));
        let mut due = self.now + self.duration(agent, &command);
        if matches!(command, Command::Release { .. }) {
            self.cancel(agent, &task);
        }
        // The orders that end something come after what was ordered before them.
        if matches!(command, Command::Release { .. } | Command::Forget { .. } | Command::NoteReported { .. }) {
            let note = matches!(command, Command::NoteReported { .. });
            let jobs = self.agents[agent].jobs.values().filter(|job| *job.command.task() == task);
            let before = jobs.filter(|job| !note || matches!(job.command, Command::NoteReported { .. }));
            due = before.map(|job| job.due + 1).chain([due]).max().unwrap_or(due);
        }
        let may_fail = matches!(
            command,
            Command::Record { .. }
                | Command::AttachNetwork { .. }
                | Command::PrepareImage { .. }
                | Command::Supervise { .. }
        );
        let fails = may_fail && self.chance.hands.per_mille(self.weather.failing_orders);
        if let Command::PrepareImage { container, image, .. } = &command
            && !self.agents[agent].host.has_image(image)
        {
            let event = Event::ImagePulling { task, container: container.clone() };
            self.tell(agent, event);
        }
        let job = self.next_serial();
        let failure = fails.then(|| NO_SPACE.to_owned());
        self.agents[agent].jobs.insert(job, Job { command, due, failure });
        self.agenda.plan(due, Later::JobDone { agent, life, job });
    }

    fn duration(&mut self, agent: usize, command: &Command) -> Millis {
        let range = match command {
            Command::Record { .. } => self.weather.record_ms,
            Command::PrepareImage { image, .. } if !self.agents[agent].host.has_image(image) => self.weather.pull_ms,
            Command::PrepareImage { .. } => (0, 1),
            _ => self.weather.order_ms,
        };
        self.chance.hands.between(range)
    }

    /// `Release` ends whatever is being done for the task; some of it happens nevertheless.
    fn cancel(&mut self, agent: usize, task: &TaskKey) {
        let jobs = self.agents[agent].jobs.iter();
        let jobs: Vec<u64> = jobs.filter(|(_, job)| job.command.task() == task).map(|(id, _)| *id).collect();
        for job in jobs {
            let keeps = matches!(self.agents[agent].jobs[&job].command, Command::NoteReported { .. });
            if !keeps && let Some(job) = self.agents[agent].jobs.remove(&job) {
                self.interrupt(agent, &job.command);
            }
        }
    }

    /// An order is done.
    pub fn job_done(&mut self, agent: usize, life: u32, job: u64) {
        if self.agents[agent].life != life {
            return;
        }
        let Some(Job { command, failure, .. }) = self.agents[agent].jobs.remove(&job) else { return };
        let event = match failure {
            Some(problem) => {
                if self.chance.hands.per_mille(500) {
                    self.tear(agent, &command);
                }
                failed(&command, self.now, problem)
            }
            None => self.carry_out(agent, &command),
        };
        if let Some(event) = event {
            self.tell(agent, event);
        }
        self.check_hosts();
    }

    /// Does it and says what the node is told.
    fn carry_out(&mut self, agent: usize, command: &Command) -> Option<Event> {
        let task = command.task().clone();
        if let Command::PrepareImage { container, image, .. } = command {
            return Some(self.prepare_image(agent, task, container, image));
        }
        if let Command::StartContainer { spec, .. } = command {
            self.supervisor_starts(agent, &task, (&spec.name, spec.attempt), &spec.image_digest);
            return None;
        }
        if let Command::CheckHealth { container, .. } = command {
            return self.supervisor_checks(agent, task, container);
        }
        if let Command::StopContainer { container, force, .. } = command {
            self.supervisor_signals(agent, &task, container, *force);
            return None;
        }
        let directories = &mut self.agents[agent].host.directories;
        match command {
            Command::Record { record, .. } => {
                let directory = directories.entry(task.clone()).or_default();
                (directory.record, directory.corrupt) = (Some(record.clone()), false);
                let line = format!("host-{agent} has the record of {}", self.trace.name(task.as_str()));
                self.note(line);
                Some(Event::Recorded { task, error: None })
            }
            Command::AttachNetwork { attachment, .. } => self.attach(agent, task, attachment),
            Command::Supervise { .. } => {
                let directory = directories.get_mut(&task)?;
                directory.supervisor += u32::from(!directory.supervised);
                directory.supervised = true;
                Some(Event::Supervised { task })
            }
            Command::Release { .. } => {
                if let Some(directory) = directories.get_mut(&task) {
                    directory.release(true);
                }
                Some(Event::Released { task })
            }
            Command::NoteReported { status, .. } => {
                directories.get_mut(&task)?.reported = Some(status.clone());
                None
            }
            Command::Forget { .. } => {
                directories.remove(&task);
                Some(Event::Forgotten { task })
            }
            Command::PrepareImage { .. }
            | Command::StartContainer { .. }
            | Command::CheckHealth { .. }
            | Command::StopContainer { .. } => None,
        }
    }

    /// What is bound stays bound until the release, and is told again when it is asked for again.
    fn attach(&mut self, agent: usize, task: TaskKey, attachment: &Attachment) -> Option<Event> {
        let host = &mut self.agents[agent].host;
        let taken = host.bound_ports();
        let directory = host.directories.get_mut(&task)?;
        let containers = match attachment {
            Attachment::Interface(interface) => {
                directory.interface = Some(interface.clone());
                return Some(Event::NetworkReady { task, containers: Vec::new() });
            }
            Attachment::Nothing(count) => vec![Vec::new(); *count],
            Attachment::Bridge(_) | Attachment::Host(_) if !directory.ports.is_empty() => directory.ports.clone(),
            Attachment::Bridge(ports) | Attachment::Host(ports) => {
                let mut free = (DYNAMIC_PORT_FIRST..).filter(|port| !taken.iter().any(|taken| taken.port == *port));
                let mut bound = ports.clone();
                for mapping in bound.iter_mut().flatten().filter(|mapping| mapping.host == 0) {
                    mapping.host = free.next()?;
                }
                directory.ports.clone_from(&bound);
                bound
            }
        };
        let network = |bindings| ContainerNetwork { bindings, ..ContainerNetwork::default() };
        Some(Event::NetworkReady { task, containers: containers.into_iter().map(network).collect() })
    }

    fn prepare_image(&mut self, agent: usize, task: TaskKey, container: &str, image: &str) -> Event {
        let container = container.to_owned();
        if image.starts_with("missing") {
            let message = format!("pull image manifest has been retried 1 time(s): {image}: not found");
            let failure = ImageFailure { error: "CannotPullContainerError".to_owned(), message };
            return Event::ImageFailed { task, container, failure };
        }
        self.agents[agent].host.images.insert(image.to_owned());
        Event::ImageReady { task, container, digest: digest(image) }
    }

    /// The order to start has reached the supervisor, which goes on whatever becomes of the node.
    fn supervisor_starts(&mut self, agent: usize, task: &TaskKey, container: (&str, u32), image_digest: &str) {
        let (name, attempt) = container;
        let image = self.agents[agent].host.images.iter().find(|image| digest(image) == image_digest).cloned();
        let serial = self.next_serial();
        let (boot, wall) = (self.agents[agent].host.boot, self.host_now(agent));
        let Some(directory) = self.agents[agent].host.directories.get_mut(task) else { return };
        if !directory.supervised {
            return;
        }
        let supervisor = directory.supervisor;
        let twice = directory.containers.get(name).is_some_and(|c| c.running && c.supervisor != supervisor);
        let known = directory.containers.get(name).filter(|contained| contained.supervisor == supervisor);
        let known = known.filter(|known| known.exit.is_none() || known.attempt >= attempt);
        if let Some(known) = known {
            let repeated = Self::repeat(wall, task, name, known);
            if known.created && known.started_at.is_none() && known.exit.is_none() {
                let serial = known.serial;
                self.plan_step(agent, boot, task, name, serial, Step::Start);
            }
            return repeated.into_iter().for_each(|event| self.tell(agent, event));
        }
        let Some(image) = image else {
            return self.fail("a container is started from an image that is there", format!("{task} {name}"));
        };
        if twice {
            return self.fail("no container runs twice", format!("{task} {name} on host-{agent}"));
        }
        let stuck = nature(&image) == Nature::Stuck;
        let new = Contained {
            serial,
            supervisor,
            image,
            attempt,
            created: false,
            started_at: None,
            began: 0,
            ended: 0,
            running: false,
            exit: None,
        };
        directory.containers.insert(name.to_owned(), new);
        if !stuck {
            self.plan_step(agent, boot, task, name, serial, Step::Create);
        }
    }

    /// A check passes or fails as the weather has it; what does not run is not checked.
    fn supervisor_checks(&mut self, agent: usize, task: TaskKey, container: &str) -> Option<Event> {
        let directory = self.agents[agent].host.directories.get(&task).filter(|directory| directory.supervised)?;
        directory.containers.get(container).filter(|contained| contained.running)?;
        let code = i32::from(self.chance.hands.per_mille(self.weather.failing_checks));
        Some(Event::HealthChecked { task, container: container.to_owned(), code })
    }

    /// What the node hears when it orders a start again.
    fn repeat(now: Millis, task: &TaskKey, name: &str, known: &Contained) -> Vec<Event> {
        let (task, container) = (task.clone(), name.to_owned());
        let mut told = Vec::new();
        if known.created {
            let runtime_id = known.runtime_id();
            let (task, container) = (task.clone(), container.clone());
            told.push(Event::ContainerCreated { task, container, runtime_id, at: now });
        }
        if let Some(at) = known.started_at {
            told.push(Event::ContainerStarted { task: task.clone(), container: container.clone(), at });
        }
        if let Some(exit) = &known.exit {
            told.push(Event::ContainerExited { task, container, exit: exit.clone() });
        }
        told
    }

    fn plan_step(&mut self, agent: usize, boot: u32, task: &TaskKey, container: &str, serial: u64, step: Step) {
        let takes = match step {
            Step::Exit { code: REBORN, .. } => self.chance.hands.between((60_000, 90_000)),
            Step::Exit { .. } => self.chance.hands.between((50, 20_000)),
            Step::Signal { code: 137 } => 1,
            Step::Create | Step::Start | Step::Signal { .. } => self.chance.hands.between(self.weather.order_ms),
        };
        let (task, container) = (task.clone(), container.to_owned());
        self.agenda.plan(self.now + takes, Later::Supervised { agent, boot, task, container, serial, step });
    }

    /// The supervisor, or the kernel, goes on with a container.
    pub fn supervised(&mut self, at: (usize, u32), task: &TaskKey, container: &str, serial: u64, step: Step) {
        let (agent, boot) = at;
        let wall = self.host_now(agent);
        let host = &mut self.agents[agent].host;
        if host.boot != boot {
            return;
        }
        let Some(directory) = host.directories.get_mut(task) else { return };
        let supervised = directory.supervised;
        let Some(contained) = directory.containers.get_mut(container).filter(|c| c.serial == serial) else { return };
        let kind = nature(&contained.image);
        let (key, name) = (task.clone(), container.to_owned());
        match step {
            Step::Create if supervised && !contained.created => {
                contained.created = true;
                let runtime_id = contained.runtime_id();
                self.tell(agent, Event::ContainerCreated { task: key, container: name, runtime_id, at: wall });
                self.plan_step(agent, boot, task, container, serial, Step::Start);
            }
            Step::Start if supervised && contained.started_at.is_none() && contained.exit.is_none() => {
                if kind == Nature::Broken {
                    let reason = "CannotStartContainerError: exec: no such file".to_owned();
                    let exit = Exit { code: None, out_of_memory: false, reason: Some(reason), at: wall };
                    contained.exit = Some(exit.clone());
                    return self.tell(agent, Event::ContainerFailed { task: key, container: name, exit });
                }
                (contained.started_at, contained.began) = (Some(wall), self.now);
                contained.running = true;
                self.note(format!("host-{agent} runs {} {container}", self.trace.name(task.as_str())));
                self.check_start(agent, task, container);
                self.tell(agent, Event::ContainerStarted { task: key, container: name, at: wall });
                let exit = match kind {
                    Nature::Brief { code, out_of_memory } => Some(Step::Exit { code, out_of_memory }),
                    Nature::Phoenix => Some(Step::Exit { code: REBORN, out_of_memory: false }),
                    _ => None,
                };
                if let Some(exit) = exit {
                    self.plan_step(agent, boot, task, container, serial, exit);
                }
            }
            Step::Exit { code, out_of_memory } if contained.running => {
                self.container_ends(agent, task, container, code, out_of_memory);
            }
            Step::Signal { code } if contained.running => self.container_ends(agent, task, container, code, false),
            _ => {}
        }
        self.check_hosts();
    }

    /// The supervisor writes it down before it tells; without one nobody does.
    fn container_ends(&mut self, agent: usize, task: &TaskKey, container: &str, code: i32, out_of_memory: bool) {
        let wall = self.host_now(agent);
        let Some(directory) = self.agents[agent].host.directories.get_mut(task) else { return };
        let supervisor = directory.supervisor;
        let Some(contained) = directory.containers.get_mut(container) else { return };
        (contained.running, contained.ended) = (false, self.now);
        if directory.supervised && contained.supervisor == supervisor {
            let exit = Exit { code: Some(code), out_of_memory, reason: None, at: wall };
            contained.exit = Some(exit.clone());
            self.tell(agent, Event::ContainerExited { task: task.clone(), container: container.to_owned(), exit });
        }
        self.note(format!("host-{agent} ends {} {container} with {code}", self.trace.name(task.as_str())));
    }

    fn supervisor_signals(&mut self, agent: usize, task: &TaskKey, container: &str, force: bool) {
        let boot = self.agents[agent].host.boot;
        let Some(directory) = self.agents[agent].host.directories.get(task) else { return };
        let Some(contained) =
            directory.containers.get(container).filter(|c| c.running && c.supervisor == directory.supervisor)
        else {
            return;
        };
        let serial = contained.serial;
        let deaf = nature(&contained.image) == Nature::Deaf;
        match (force, deaf) {
            (false, true) => {}
            (false, false) => self.plan_step(agent, boot, task, container, serial, Step::Signal { code: 143 }),
            (true, _) => self.plan_step(agent, boot, task, container, serial, Step::Signal { code: 137 }),
        }
    }

    /// The node has died, or `Release` came: of an order that is half done, all, half or nothing has happened.
    pub fn interrupt(&mut self, agent: usize, command: &Command) {
        let whole = match self.chance.hands.below(3) {
            0 => return,
            1 => false,
            _ => true,
        };
        let task = command.task().clone();
        match command {
            Command::Release { .. } => {
                if let Some(directory) = self.agents[agent].host.directories.get_mut(&task) {
                    directory.release(whole);
                }
            }
            Command::StartContainer { spec, .. } if !whole => {
                // Made, and its start forgotten: the node has to order it again.
                let serial = self.next_serial();
                let image = self.agents[agent].host.images.iter().find(|i| digest(i) == spec.image_digest).cloned();
                let directory = self.agents[agent].host.directories.get_mut(&task);
                if let (Some(directory), Some(image)) = (directory.filter(|d| d.supervised), image) {
                    let supervisor = directory.supervisor;
                    let new = Contained {
                        serial,
                        supervisor,
                        image,
                        attempt: spec.attempt,
                        created: true,
                        started_at: None,
                        began: 0,
                        ended: 0,
                        running: false,
                        exit: None,
                    };
                    directory.containers.entry(spec.name.clone()).or_insert(new);
                }
            }
            _ if whole => drop(self.carry_out(agent, command)),
            _ => self.tear(agent, command),
        }
    }

    /// A record of which only a part was written. One that was there before stays: a new one takes its place when it is
    /// whole.
    fn tear(&mut self, agent: usize, command: &Command) {
        let Command::Record { task, .. } = command else { return };
        let directory = self.agents[agent].host.directories.entry(task.clone()).or_default();
        if directory.record.is_none() && !directory.corrupt {
            directory.corrupt = true;
            let line = format!("host-{agent} has a torn record of {}", self.trace.name(task.as_str()));
            self.note(line);
        }
    }

    /// Tells the node something of a task it knows, a moment later and in order.
    pub fn tell(&mut self, agent: usize, event: Event) {
        let known = event.task().is_none_or(|task| self.agents[agent].told.contains(task));
        if known && self.agents[agent].node.is_some() {
            let life = self.agents[agent].life;
            self.agenda.plan(self.now + 1, Later::HostSays { agent, life, event });
        }
    }

    fn put(&self, command: &Command) -> String {
        let task = self.trace.name(command.task().as_str());
        match command {
            Command::Record { .. } => format!("Record {task}"),
            Command::AttachNetwork { attachment, .. } => match attachment {
                Attachment::Interface(interface) => format!("AttachNetwork {task} {}", interface.address),
                Attachment::Bridge(ports) => format!("AttachNetwork {task} bridge {}", put_ports(ports)),
                Attachment::Host(ports) => format!("AttachNetwork {task} host {}", put_ports(ports)),
                Attachment::Nothing(_) => format!("AttachNetwork {task} none"),
            },
            Command::PrepareImage { container, image, .. } => format!("PrepareImage {task} {container} {image}"),
            Command::Supervise { .. } => format!("Supervise {task}"),
            Command::StartContainer { spec, .. } => format!("StartContainer {task} {}", spec.name),
            Command::StopContainer { container, force, .. } => {
                format!("StopContainer {task} {container}{}", if *force { " by force" } else { "" })
            }
            Command::CheckHealth { container, .. } => format!("CheckHealth {task} {container}"),
            Command::Release { .. } => format!("Release {task}"),
            Command::NoteReported { status, .. } => format!("NoteReported {task} {status}"),
            Command::Forget { .. } => format!("Forget {task}"),
        }
    }
}

fn put_ports(ports: &[Vec<PortMapping>]) -> String {
    let one = |mapping: &PortMapping| format!("{}:{}/{}", mapping.host, mapping.container, mapping.protocol.as_str());
    let all: Vec<String> = ports.iter().flatten().map(one).collect();
    format!("[{}]", all.join(" "))
}

fn failed(command: &Command, now: Millis, problem: String) -> Option<Event> {
    let task = command.task().clone();
    Some(match command {
        Command::Record { .. } => Event::Recorded { task, error: Some(problem) },
        Command::AttachNetwork { .. } => Event::NetworkFailed { task, message: problem },
        Command::PrepareImage { container, .. } => {
            let failure = ImageFailure { error: "CannotPullContainerError".to_owned(), message: problem };
            Event::ImageFailed { task, container: container.clone(), failure }
        }
        Command::Supervise { .. } => Event::SupervisorLost { task, message: format!("{problem} at {now}") },
        _ => return None,
    })
}
