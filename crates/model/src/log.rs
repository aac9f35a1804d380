//! Log groups, and what a container definition says of its log. Streams and events are no state: they are kept elsewhere,
//! below the group's id, so that a group made again under an old name never shows old events.

use crate::Millis;
use crate::cluster::Tag;
use crate::ids::{LogGroupId, TaskId};
use crate::state::{State, Touched};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use wire::ecs;

/// A log group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogGroup {
    /// Never used again.
    pub id: LogGroupId,
    /// 1 to 512 letters, digits and `. - _ / #`.
    pub name: Box<str>,
    /// When it was created.
    pub created_at: Millis,
    /// Days after which events go; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// Raised by each change.
    pub version: u64,
}

impl State {
    /// The log group of that name.
    pub fn log_group_named(&self, name: &str) -> Option<&LogGroup> {
        self.log_groups.get(self.index.log_group_names.get(name)?)
    }

    /// Log groups by name, from the first not below `from`.
    pub fn log_groups_from<'a>(&'a self, from: &str) -> impl Iterator<Item = &'a LogGroup> + use<'a> {
        use std::ops::Bound::{Included, Unbounded};
        let names = self.index.log_group_names.range::<str, _>((Included(from), Unbounded));
        names.map(|(_, id)| &self.log_groups[id])
    }

    pub(crate) fn put_log_group(&mut self, group: LogGroup) -> Vec<Touched> {
        let id = group.id;
        self.index.log_group_names.insert(group.name.clone(), id);
        self.log_groups.insert(id, group);
        vec![Touched::LogGroup(id)]
    }

    pub(crate) fn keep_log_group(&mut self, id: LogGroupId, days: Option<u32>) -> Vec<Touched> {
        let Some(group) = self.log_groups.get_mut(&id) else { return Vec::new() };
        group.retention_days = days;
        group.version += 1;
        vec![Touched::LogGroup(id)]
    }

    pub(crate) fn remove_log_group(&mut self, id: LogGroupId) -> Vec<Touched> {
        let Some(group) = self.log_groups.remove(&id) else { return Vec::new() };
        self.index.log_group_names.remove(&group.name);
        vec![Touched::LogGroup(id)]
    }
}

/// Numbers of days that a retention policy may have (PutRetentionPolicy in the API reference).
pub const RETENTION_DAYS: [i32; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// Whether `name` may name a log group.
pub fn is_valid_group(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/#".contains(&byte);
    (1..=512).contains(&name.len()) && name.bytes().all(allowed)
}

/// Whether `text` may be a log stream's name, or a part of it.
pub fn is_valid_stream(text: &str) -> bool {
    (1..=512).contains(&text.chars().count()) && !text.contains([':', '*']) && !text.contains(char::is_control)
}

/// The group of containers that say nothing of their log.
pub fn default_group(family: &str) -> String {
    format!("/gantry/{family}")
}

/// The stream of a container that says nothing of its log.
pub fn default_stream(container: &str, task: &str) -> String {
    format!("{container}/{task}")
}

/// Options of the driver awslogs that act.
const OPTIONS: [&str; 6] =
    ["awslogs-create-group", "awslogs-group", "awslogs-region", "awslogs-stream-prefix", "max-buffer-size", "mode"];
/// Largest buffer that is kept for a container.
const BUFFER_BYTES_MAX: u64 = 1 << 30;

/// Where a container's output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogNeeds {
    /// The group.
    pub group: String,
    /// A group that is not there is created.
    pub create: bool,
    /// The region that the definition names.
    pub region: Option<String>,
    /// What the stream's name begins with; `None`: the stream is named by the runtime's id of the container.
    pub prefix: Option<String>,
    /// The definition says nothing, and the default names hold.
    pub is_default: bool,
}

impl LogNeeds {
    /// What a container of `family` says.
    pub fn of(family: &str, container: &ecs::ContainerDefinition) -> Self {
        let Some(options) = container.log_configuration.as_ref().map(options) else {
            let group = default_group(family);
            return Self { group, create: true, region: None, prefix: None, is_default: true };
        };
        let option = |name: &str| options.get(name).filter(|value| !value.is_empty()).cloned();
        Self {
            group: option("awslogs-group").unwrap_or_default(),
            create: option("awslogs-create-group").is_some_and(|value| value == "true"),
            region: option("awslogs-region"),
            prefix: option("awslogs-stream-prefix"),
            is_default: false,
        }
    }

    /// The stream of a container; `None`: only its node knows the name, which begins with the task's id and a dash.
    pub fn stream(&self, container: &str, task: TaskId) -> Option<String> {
        match (&self.prefix, self.is_default) {
            (_, true) => Some(default_stream(container, &task.to_string())),
            (Some(prefix), false) => Some(format!("{prefix}/{container}/{task}")),
            (None, false) => None,
        }
    }

    /// Whether `stream` is that of the task's container.
    pub fn is_stream(&self, container: &str, task: TaskId, stream: &str) -> bool {
        match self.stream(container, task) {
            Some(known) => known == stream,
            None => stream
                .strip_prefix(&format!("{task}-"))
                .is_some_and(|rest| (1..=20).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_digit())),
        }
    }
}

fn options(log: &ecs::LogConfiguration) -> BTreeMap<String, String> {
    log.options.clone().unwrap_or_default()
}

/// What of a log configuration has no engine, by name.
pub fn unsupported(log: &ecs::LogConfiguration) -> Option<String> {
    if log.log_driver != ecs::LogDriver::Awslogs {
        return Some(format!("logDriver ({})", log.log_driver));
    }
    if log.secret_options.as_ref().is_some_and(|list| !list.is_empty()) {
        return Some("secretOptions".to_owned());
    }
    let options = options(log);
    if let Some(name) = options.keys().find(|name| !OPTIONS.contains(&name.as_str())) {
        return Some(format!("options.{name}"));
    }
    let size = options.get("max-buffer-size").and_then(|text| buffer_bytes(text));
    size.filter(|size| *size > BUFFER_BYTES_MAX).map(|_| "options.max-buffer-size (over 1g)".to_owned())
}

/// What is wrong with the options of the driver awslogs.
pub fn invalid(log: &ecs::LogConfiguration) -> Option<String> {
    if log.log_driver != ecs::LogDriver::Awslogs {
        return None;
    }
    let options = options(log);
    let option = |name: &str| options.get(name).map(String::as_str).unwrap_or_default();
    if let Some(name) = ["awslogs-group", "awslogs-region"].into_iter().find(|name| option(name).is_empty()) {
        return Some(format!("Log driver awslogs requires option {name}."));
    }
    let group = option("awslogs-group");
    if !is_valid_group(group) {
        let wanted = "1 to 512 letters, digits and . - _ / # are allowed";
        return Some(format!("Log driver option 'awslogs-group' is invalid: {group:?}: {wanted}."));
    }
    let prefix = option("awslogs-stream-prefix");
    // The container's name and the task's id follow.
    if !prefix.is_empty() && (!is_valid_stream(prefix) || prefix.chars().count() > 200) {
        let wanted = "up to 200 characters without : and * are allowed";
        return Some(format!("Log driver option 'awslogs-stream-prefix' is invalid: {prefix:?}: {wanted}."));
    }
    let choices = [("awslogs-create-group", ["true", "false"]), ("mode", ["blocking", "non-blocking"])];
    for (name, allowed) in choices {
        if let Some(value) = options.get(name).filter(|value| !allowed.contains(&value.as_str())) {
            return Some(format!("Log driver option '{name}' is {value:?}: use {}.", allowed.join(" or ")));
        }
    }
    let size = options.get("max-buffer-size")?;
    match buffer_bytes(size) {
        Some(_) if option("mode") == "blocking" => {
            Some("Log driver option 'max-buffer-size' is for mode non-blocking only.".to_owned())
        }
        Some(_) => None,
        None => Some(format!("Log driver option 'max-buffer-size' is {size:?}: use a size like 25m.")),
    }
}

/// Bytes from `4194304`, `512k`, `25m`, `1g`.
pub fn buffer_bytes(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let number = lower.strip_suffix('b').unwrap_or(&lower);
    let (digits, shift) = match number.as_bytes().last()? {
        b'k' => (&number[..number.len() - 1], 10),
        b'm' => (&number[..number.len() - 1], 20),
        b'g' => (&number[..number.len() - 1], 30),
        _ => (number, 0),
    };
    let number = digits.parse::<u64>().ok().filter(|number| *number > 0)?;
    number.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(driver: ecs::LogDriver, options: &[(&str, &str)]) -> ecs::LogConfiguration {
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        ecs::LogConfiguration { log_driver: driver, options: Some(options), secret_options: None }
    }

    const PLACE: [(&str, &str); 2] = [("awslogs-group", "g"), ("awslogs-region", "us-east-1")];

    fn with(more: &[(&str, &str)]) -> ecs::LogConfiguration {
        configuration(ecs::LogDriver::Awslogs, &[&PLACE[..], more].concat())
    }

    #[test]
    fn options_are_checked_and_unknown_ones_are_named() {
        assert_eq!((invalid(&with(&[])), unsupported(&with(&[]))), (None, None));
        let good = [("mode", "non-blocking"), ("max-buffer-size", "25m"), ("awslogs-create-group", "true")];
        assert_eq!((invalid(&with(&good)), unsupported(&with(&good))), (None, None));
        for bad in [
            ("awslogs-group", ""),
            ("awslogs-group", "a b"),
            ("awslogs-stream-prefix", "a:b"),
            ("mode", "x"),
            ("max-buffer-size", "many"),
            ("awslogs-create-group", "yes"),
        ] {
            assert!(invalid(&with(&[bad])).is_some_and(|why| why.contains(bad.0)), "{bad:?}");
        }
        assert!(invalid(&with(&[("mode", "blocking"), ("max-buffer-size", "1m")])).is_some());
        let other = unsupported(&with(&[("awslogs-multiline-pattern", "x")]));
        assert_eq!(other.as_deref(), Some("options.awslogs-multiline-pattern"));
        let other = unsupported(&configuration(ecs::LogDriver::Splunk, &[]));
        assert_eq!(other.as_deref(), Some("logDriver (splunk)"));
        assert!(unsupported(&with(&[("max-buffer-size", "2g")])).is_some());
    }

    #[test]
    fn sizes_read_as_docker_reads_them() {
        assert_eq!(buffer_bytes("25m"), Some(25 << 20));
        assert_eq!(buffer_bytes("512KB"), Some(512 << 10));
        assert_eq!(buffer_bytes("10"), Some(10));
        for bad in ["", "m", "0", "-1m", "1.5m", "99999999999999999999g", "é"] {
            assert_eq!(buffer_bytes(bad), None, "{bad}");
        }
    }

    #[test]
    fn streams_are_named_and_known_again() {
        let task = TaskId([7; 16]);
        let container = |log| ecs::ContainerDefinition { log_configuration: log, ..Default::default() };
        let plain = LogNeeds::of("web", &container(None));
        assert_eq!((plain.group.as_str(), plain.create), ("/gantry/web", true));
        assert_eq!(plain.stream("main", task), Some(format!("main/{task}")));
        let named = LogNeeds::of("web", &container(Some(with(&[("awslogs-stream-prefix", "p")]))));
        assert!(named.is_stream("main", task, &format!("p/main/{task}")));
        assert!(!named.is_stream("other", task, &format!("p/main/{task}")));
        let bare = LogNeeds::of("web", &container(Some(with(&[]))));
        assert!(bare.is_stream("main", task, &format!("{task}-0123456789")));
        assert!(!bare.is_stream("main", task, &format!("{task}-x")));
    }
}
