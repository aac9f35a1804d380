//! Who has a namespace: a task, or one container of a task whose containers have one each. The name is that of the pin,
//! the note on the link, and the file of published ports.

use node::hands::TaskKey;
use std::fmt;

/// Containers that a task can have here.
pub(crate) const CONTAINERS_MAX: u8 = 10;

/// The owner of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner {
    pub task: TaskKey,
    /// Which of its containers; `None`: all of them.
    pub container: Option<u8>,
}

impl Owner {
    pub fn task(task: &TaskKey) -> Self {
        Self { task: task.clone(), container: None }
    }

    pub fn container(task: &TaskKey, number: u8) -> Self {
        Self { task: task.clone(), container: Some(number) }
    }

    /// Reads what `Display` writes, and nothing else.
    pub fn parse(name: &str) -> Option<Self> {
        match name.split_once('-') {
            None => TaskKey::new(name).map(|task| Self { task, container: None }),
            Some((task, number)) => {
                let owner = Self { task: TaskKey::new(task)?, container: Some(number.parse().ok()?) };
                (owner.to_string() == name).then_some(owner)
            }
        }
    }

    /// Everybody that a task can be.
    pub fn all_of(task: &TaskKey) -> impl Iterator<Item = Self> + '_ {
        (0..CONTAINERS_MAX).map(Some).chain([None]).map(|container| Self { task: task.clone(), container })
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.container {
            None => write!(f, "{}", self.task),
            Some(number) => write!(f, "{}-{number}", self.task),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let task = TaskKey::new(&"0a".repeat(16)).unwrap();
        for owner in [Owner::task(&task), Owner::container(&task, 0), Owner::container(&task, 9)] {
            assert_eq!(Owner::parse(&owner.to_string()), Some(owner));
        }
        for name in
            ["", "vpc-0123456789abcdef0", "x-1", &format!("{task}-"), &format!("{task}-01"), &format!("{task}-256")]
        {
            assert_eq!(Owner::parse(name), None, "{name}");
        }
    }
}
