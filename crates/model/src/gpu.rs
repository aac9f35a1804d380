//! GPUs: how many the containers of a task want, and which of its host's they have.
//!
//! Which they are is chosen where the task gets its place, and it has them until its node says that it is gone.

use crate::ids::{InstanceId, TaskId};
use crate::instance::Instance;
use crate::state::State;
use crate::task::Task;
use serde::{Deserialize, Serialize};
use wire::ecs;

/// GPUs that one host may register: a bound for what is said from outside, far above what a board holds.
pub const GPUS_MAX: usize = 256;
/// Letters of a GPU's id: AWS's agent has UUIDs.
const ID_MAX: usize = 128;

/// The GPUs of a task, by container in the order of its task definition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpus {
    /// How many each wants.
    pub wanted: Box<[u32]>,
    /// Which each has; none while the task waits for a place.
    #[serde(default, skip_serializing_if = "<[Box<[Box<str>]>]>::is_empty")]
    pub given: Box<[Box<[Box<str>]>]>,
}

impl Gpus {
    /// Of what the containers want; `None`: none of them wants any.
    pub fn of(wanted: &[u32]) -> Option<Box<Self>> {
        let any = wanted.iter().any(|count| *count > 0);
        any.then(|| Box::new(Self { wanted: wanted.into(), given: Box::default() }))
    }

    /// How many that is in all.
    pub fn count(&self) -> u32 {
        sum(&self.wanted)
    }

    /// Hands the first free ones out, container by container.
    pub fn give<'a>(&mut self, mut free: impl Iterator<Item = &'a str>) {
        let share = |count: &u32| -> Box<[Box<str>]> { free.by_ref().take(*count as usize).map(Box::from).collect() };
        self.given = self.wanted.iter().map(share).collect();
    }

    /// All that it has.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.given.iter().flatten().map(|id| &**id)
    }
}

/// How many GPUs the containers want in all.
pub fn sum(wanted: &[u32]) -> u32 {
    wanted.iter().fold(0, |sum, count| sum.saturating_add(*count))
}

/// An id that may stand in lists, environments and names of devices: as the Container Device Interface has them, and
/// the colons of parts of a GPU.
pub fn is_valid_id(id: &str) -> bool {
    let inside = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
    let bytes = id.as_bytes();
    let ends = [bytes.first(), bytes.last()].iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric));
    ends && bytes.len() <= ID_MAX && bytes.iter().all(|b| inside(*b))
}

/// How many GPUs `requirements` ask for, or what is wrong with them; `None`: they do not speak of GPUs.
pub fn wanted(requirements: &[ecs::ResourceRequirement]) -> Result<Option<u32>, String> {
    let mut wanted = None;
    for asked in requirements.iter().filter(|asked| asked.r#type == ecs::ResourceType::Gpu) {
        let text = asked.value.as_deref().unwrap_or("");
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let count = text.parse::<u32>().ok().filter(|count| digits && *count > 0);
        let count = count.ok_or_else(|| {
            format!(
                "The value of a resource requirement of type GPU must be a whole number of at least 1, not {text:?}."
            )
        })?;
        if wanted.replace(count).is_some() {
            return Err("There may be one resource requirement of type GPU.".to_owned());
        }
    }
    Ok(wanted)
}

impl Task {
    /// How many GPUs it wants.
    pub fn gpu_count(&self) -> u32 {
        self.gpus.as_ref().map_or(0, |gpus| gpus.count())
    }

    /// The GPUs of the container of that name.
    pub fn gpus_of(&self, container: &str) -> &[Box<str>] {
        let position = self.containers.iter().position(|known| *known.name == *container);
        let given = self.gpus.as_ref().zip(position).and_then(|(gpus, position)| gpus.given.get(position));
        given.map_or(&[], |ids| &**ids)
    }
}

impl State {
    /// The task that has a GPU.
    pub fn gpu_holder(&self, instance: InstanceId, gpu: &str) -> Option<TaskId> {
        self.index.instance_gpus.get(&instance)?.get(gpu).copied()
    }

    /// The GPUs of an instance that nobody has, as it told them.
    pub fn free_gpus<'a>(&'a self, instance: &'a Instance) -> impl Iterator<Item = &'a str> {
        let given = self.index.instance_gpus.get(&instance.id);
        let is_free = move |gpu: &&str| given.is_none_or(|given| !given.contains_key(*gpu));
        instance.gpus.iter().map(|gpu| &**gpu).filter(is_free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_container_gets_its_share_of_the_free_ones() {
        let mut gpus = Gpus::of(&[1, 0, 2]).unwrap();
        assert_eq!((gpus.count(), gpus.ids().count()), (3, 0));
        gpus.give(["a", "b", "c", "d"].into_iter());
        let given: Vec<Vec<&str>> = gpus.given.iter().map(|ids| ids.iter().map(|id| &**id).collect()).collect();
        assert_eq!(given, [vec!["a"], vec![], vec!["b", "c"]]);
        assert_eq!(Gpus::of(&[0, 0]), None);
        let text = serde_json::to_string(&gpus).unwrap();
        assert_eq!(serde_json::from_str::<Gpus>(&text).unwrap(), *gpus);
    }

    #[test]
    fn a_requirement_is_a_whole_number_and_said_once() {
        let asked = |kind, value: Option<&str>| ecs::ResourceRequirement {
            r#type: kind,
            value: value.map(str::to_owned),
            sharing_strategy: None,
        };
        let gpu = |value: &str| wanted(&[asked(ecs::ResourceType::Gpu, Some(value))]);
        assert_eq!((gpu("2"), wanted(&[])), (Ok(Some(2)), Ok(None)));
        for bad in ["0", "-1", "+1", "1.5", "", " 1", "4294967296", "all"] {
            assert!(gpu(bad).unwrap_err().contains("whole number"), "{bad}");
        }
        assert!(wanted(&[asked(ecs::ResourceType::Gpu, None)]).is_err());
        let twice = [asked(ecs::ResourceType::Gpu, Some("1")), asked(ecs::ResourceType::Gpu, Some("1"))];
        assert!(wanted(&twice).unwrap_err().contains("one resource requirement"));
        assert_eq!(wanted(&[asked(ecs::ResourceType::InferenceAccelerator, Some("x"))]), Ok(None));
        assert_eq!(sum(&[u32::MAX, 1]), u32::MAX);
    }

    #[test]
    fn ids_are_names_and_nothing_else() {
        for id in ["0", "GPU-8dcd6a29-1f6d-45f4-b1d2-0a3f0b6c9d11", "0:1", "gpu_1.a"] {
            assert!(is_valid_id(id), "{id}");
        }
        for id in ["", "-1", "a b", "a,b", "../x", "a\n", "0:", "ä", "a=b"] {
            assert!(!is_valid_id(id), "{id}");
        }
        assert!(!is_valid_id(&"a".repeat(129)));
    }
}
