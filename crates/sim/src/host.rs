//! What a host truly holds: directories, interfaces, supervisors, processes. It outlives the node's process; a reboot
//! leaves the directories. Checkers read it; no production code sees it.

use model::Millis;
use node::hands::{Event, Exit, FoundContainer, HostPort, Interface, PortMapping, TaskKey};
use std::collections::{BTreeMap, BTreeSet};

/// A host.
#[derive(Debug, Default)]
pub(crate) struct Host {
    /// Counts reboots.
    pub boot: u32,
    /// How many milliseconds its wall clock is ahead of the world's time.
    pub ahead: i64,
    /// What registering answered; kept in the node's data directory.
    pub arn: Option<String>,
    /// One for each task.
    pub directories: BTreeMap<TaskKey, Directory>,
    /// Images that are unpacked.
    pub images: BTreeSet<String>,
}

/// A task's directory and everything else a task has on the host.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    pub record: Option<String>,
    /// The record cannot be read any more.
    pub corrupt: bool,
    pub reported: Option<String>,
    pub interface: Option<Interface>,
    /// Ports of the host that lead to its containers, in their order.
    pub ports: Vec<Vec<PortMapping>>,
    pub supervised: bool,
    /// Counts supervisors.
    pub supervisor: u32,
    pub containers: BTreeMap<String, Contained>,
}

/// A container.
#[derive(Debug)]
pub(crate) struct Contained {
    /// Tells this order from one before.
    pub serial: u64,
    /// Which supervisor has it; another one does not know it.
    pub supervisor: u32,
    pub image: String,
    /// How often it was started before.
    pub attempt: u32,
    pub created: bool,
    pub started_at: Option<Millis>,
    /// When it was last started and ended, in the world's time.
    pub began: Millis,
    pub ended: Millis,
    /// Its process is there.
    pub running: bool,
    pub exit: Option<Exit>,
}

impl Contained {
    pub fn runtime_id(&self) -> String {
        format!("runtime-{}", self.serial)
    }
}

/// How a container of an image behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// Runs until it is told to end.
    Steady,
    /// Runs until it is killed.
    Deaf,
    /// Ends by itself.
    Brief { code: i32, out_of_memory: bool },
    /// Ends by itself after so long that its policy has it started again.
    Phoenix,
    /// Cannot be started.
    Broken,
    /// Never answers the order to start.
    Stuck,
}

/// What workload and scripts can run; `missing` cannot be pulled.
pub(crate) const IMAGES: [&str; 9] =
    ["steady", "deaf", "job", "crash", "hungry", "phoenix", "broken", "stuck", "missing"];

/// The behaviour of an image's containers.
pub(crate) fn nature(image: &str) -> Nature {
    match image.split([':', '@']).next().unwrap_or(image) {
        "deaf" => Nature::Deaf,
        "job" => Nature::Brief { code: 0, out_of_memory: false },
        "crash" => Nature::Brief { code: 3, out_of_memory: false },
        "hungry" => Nature::Brief { code: 137, out_of_memory: true },
        "phoenix" => Nature::Phoenix,
        "broken" => Nature::Broken,
        "stuck" => Nature::Stuck,
        _ => Nature::Steady,
    }
}

impl Host {
    /// An image is there by its name, or by its digest under whatever name.
    pub fn has_image(&self, image: &str) -> bool {
        self.images.contains(image)
            || (image.contains('@') && self.images.iter().any(|known| digest(known) == digest(image)))
    }

    /// What the hands tell of a directory when the node starts.
    pub fn found(&self, task: &TaskKey) -> Option<Event> {
        let directory = self.directories.get(task)?;
        // A supervisor tells what it has; without one only what was written down is known.
        let has = |contained: &Contained| contained.created && contained.supervisor == directory.supervisor;
        let told = |contained: &Contained| contained.exit.is_some() || (directory.supervised && has(contained));
        let containers = directory.containers.iter().filter(|(_, contained)| told(contained));
        let found = |(name, contained): (&String, &Contained)| FoundContainer {
            name: name.clone(),
            runtime_id: contained.runtime_id(),
            image_digest: digest(&contained.image),
            started_at: contained.started_at,
            exit: contained.exit.clone(),
            attempt: contained.attempt,
        };
        Some(Event::Found {
            task: task.clone(),
            record: directory.record.clone().filter(|_| !directory.corrupt),
            supervised: directory.supervised,
            containers: containers.map(found).collect(),
            reported: directory.reported.clone(),
        })
    }

    /// All ports that lead to containers, repeated if one were given twice.
    pub fn bound_ports(&self) -> Vec<HostPort> {
        self.directories.values().flat_map(Directory::host_ports).collect()
    }

    /// The power was off: no process, no namespace, the same files.
    pub fn reboot(&mut self) {
        self.boot += 1;
        for directory in self.directories.values_mut() {
            directory.interface = None;
            directory.ports.clear();
            directory.lose_supervisor();
            directory.containers.values_mut().for_each(|contained| contained.running = false);
        }
    }
}

impl Directory {
    /// A process of it is there.
    pub fn is_alive(&self) -> bool {
        self.supervised || self.containers.values().any(|contained| contained.running)
    }

    /// Ports of the host that lead to its containers.
    pub fn host_ports(&self) -> impl Iterator<Item = HostPort> + '_ {
        self.ports.iter().flatten().filter_map(|mapping| mapping.host_port())
    }

    /// The supervisor dies: what runs goes on, what it was about to make is never made.
    pub fn lose_supervisor(&mut self) {
        self.supervised = false;
        self.containers.retain(|_, contained| contained.created);
    }

    /// What `Release` does, whole or only its first half.
    pub fn release(&mut self, whole: bool) {
        self.lose_supervisor();
        self.containers.values_mut().for_each(|contained| contained.running = false);
        if whole {
            self.interface = None;
            self.ports.clear();
        }
    }
}

/// The digest of an image's manifest.
pub(crate) fn digest(image: &str) -> String {
    if let Some((_, digest)) = image.split_once('@') {
        return digest.to_owned();
    }
    format!("sha256:{:064x}", crate::trace::fnv(7, image.as_bytes()))
}
