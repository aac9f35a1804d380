//! How long things take: what tasks of this deployment took before, by family, else in all. What was never measured is
//! said to be, and taken as nothing.

use model::needs::Needs;
use model::task::{Phase, Task};
use model::{FamilyId, InstanceId, Millis, State, TaskId};
use std::collections::{BTreeMap, BTreeSet};

/// Measured times of one kind, under a name and in all.
#[derive(Debug)]
struct Measured<K> {
    named: BTreeMap<K, Vec<Millis>>,
    all: Vec<Millis>,
}

impl<K> Default for Measured<K> {
    fn default() -> Self {
        Self { named: BTreeMap::new(), all: Vec::new() }
    }
}

impl<K: Ord> Measured<K> {
    fn add(&mut self, key: K, time: Millis) {
        self.named.entry(key).or_default().push(time);
        self.all.push(time);
    }

    /// The median and of how many, and whether they are of that name.
    fn median(&mut self, key: &K) -> Option<(Millis, usize, bool)> {
        let (times, own) = match self.named.get_mut(key) {
            Some(times) => (times, true),
            None => (&mut self.all, false),
        };
        times.sort_unstable();
        Some((*times.get(times.len() / 2)?, times.len(), own))
    }
}

/// What was measured.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// From placed to RUNNING, without the pull.
    starts: Measured<FamilyId>,
    /// From wanted STOPPED to STOPPED.
    stops: Measured<FamilyId>,
    pulls: Measured<Box<str>>,
    /// Images that a task has run from on a host: taken as still there.
    present: BTreeSet<(InstanceId, Box<str>)>,
    basis: BTreeSet<String>,
}

impl Pace {
    /// Reads the times of all tasks that are shown.
    pub(super) fn measured(state: &State) -> Self {
        let mut pace = Self::default();
        for task in state.tasks.values() {
            let family = task.definition.family;
            let times = task.times;
            let pull = times.pull_stopped.saturating_sub(times.pull_started);
            if let (1.., 1..) = (task.phases[Phase::Placed as usize], task.phases[Phase::Running as usize]) {
                let whole = task.phases[Phase::Running as usize] - task.phases[Phase::Placed as usize];
                pace.starts.add(family, whole.saturating_sub(pull));
            }
            if let (1.., 1..) = (times.stopping, times.stopped) {
                pace.stops.add(family, times.stopped.saturating_sub(times.stopping));
            }
            let images = images(state, task);
            if times.pull_started != 0 && times.pull_stopped != 0 {
                images.iter().for_each(|image| pace.pulls.add(image.clone(), pull));
            }
            if let (1.., Some(host)) = (times.started, task.instance) {
                pace.present.extend(images.into_iter().map(|image| (host, image)));
            }
        }
        pace
    }

    /// From now to RUNNING on that host.
    pub(super) fn start(&mut self, state: &State, task: &Task, host: InstanceId) -> Millis {
        let family = family(state, task);
        let missing: Vec<Box<str>> =
            images(state, task).into_iter().filter(|image| !self.present.contains(&(host, image.clone()))).collect();
        let mut pull = 0;
        for image in missing {
            match self.pulls.median(&image) {
                Some((time, count, own)) => {
                    pull = pull.max(time);
                    let whose = if own { "that image" } else { "other images" };
                    self.say(format!("a pull of {image} takes {time} ms: the median of {count} pulls of {whose}"));
                }
                None => self.say(format!("no pull of {image} was needed or measured so far: it is left out")),
            }
            self.present.insert((host, image));
        }
        let measured = self.starts.median(&task.definition.family);
        pull + self.known("a start", &family, measured)
    }

    /// From now to STOPPED.
    pub(super) fn stop(&mut self, state: &State, task: &Task) -> Millis {
        let family = family(state, task);
        let measured = self.stops.median(&task.definition.family);
        self.known("a stop", &family, measured)
    }

    fn known(&mut self, what: &str, family: &str, measured: Option<(Millis, usize, bool)>) -> Millis {
        let Some((time, count, own)) = measured else {
            self.say(format!("{what} of {family} was never measured: taken as 0 ms"));
            return 0;
        };
        let whose = if own { "of that family" } else { "of other families" };
        self.say(format!("{what} of {family} takes {time} ms: the median of {count} {whose}"));
        time
    }

    /// Whether its health is told by checks.
    pub(super) fn has_checks(&self, state: &State, task: &Task) -> bool {
        needs(state, task).is_some_and(|needs| needs.containers.iter().any(|container| container.health_check))
    }

    /// From RUNNING to HEALTHY: the first check is made at once, and taken to pass.
    pub(super) fn check(&mut self, state: &State, task: &Task) -> Millis {
        self.say(format!("a task of {} is taken to pass its first check, which is made at once", family(state, task)));
        0
    }

    fn say(&mut self, sentence: String) {
        self.basis.insert(sentence);
    }

    /// What the times rest on.
    pub(super) fn basis(self) -> Vec<String> {
        self.basis.into_iter().collect()
    }
}

fn needs<'a>(state: &'a State, task: &Task) -> Option<&'a Needs> {
    Some(&*state.definitions.get(&task.definition)?.needs)
}

fn images(state: &State, task: &Task) -> Vec<Box<str>> {
    let containers = needs(state, task).map_or(&[][..], |needs| &needs.containers);
    containers.iter().filter_map(|container| container.image.clone()).collect()
}

fn family(state: &State, task: &Task) -> String {
    state.families.get(&task.definition.family).map_or_else(String::new, |family| family.name.to_string())
}

/// A short name for a task that exists: the beginning of its id.
pub(super) fn short(id: TaskId) -> String {
    id.to_string().chars().take(8).collect()
}
