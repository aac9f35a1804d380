//! Puts what the specification of a device asks for into effect: nodes, mounts, variables, groups and hooks in the
//! container's document, and the numbers that its group may open.

use super::failure::Failure;
use crate::cdi::{DeviceNode, Edits};
use crate::cgroup::DeviceRule;
use rustix::fs::{CWD, FileType};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Edits with all that only the host could tell.
#[derive(Debug, Default)]
pub(crate) struct Devices<'a> {
    edits: Option<&'a Edits>,
    nodes: Vec<Node>,
}

/// A device node with its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    path: String,
    kind: char,
    major: u32,
    minor: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    access: String,
}

/// Looks the nodes up on the host, and whether there is what is to be mounted.
pub(super) fn resolve(edits: &Edits) -> Result<Devices<'_>, Failure> {
    if let Some(missing) = edits.mounts.iter().find(|mount| !Path::new(&mount.host_path).exists()) {
        return Err(Failure::create(format!("{} of the host, which a GPU needs, is not there", missing.host_path)));
    }
    let nodes = edits.device_nodes.iter().map(node).collect::<Result<Vec<Node>, Failure>>()?;
    Ok(Devices { edits: Some(edits), nodes })
}

fn node(wanted: &DeviceNode) -> Result<Node, Failure> {
    let path = wanted.host_path.as_deref().filter(|path| !path.is_empty()).unwrap_or(&wanted.path);
    let number = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
    let said = wanted.kind.as_deref().and_then(|kind| kind.chars().next());
    // A node without numbers, or with zeros for them, is the host's.
    let numbers = number(wanted.major).zip(number(wanted.minor)).filter(|numbers| *numbers != (0, 0));
    let (kind, major, minor, mode) = match (said, numbers) {
        (Some(kind), Some((major, minor))) => (kind, major, minor, 0o666),
        (said, _) => {
            let failed =
                |error: rustix::io::Errno| Failure::because(&format!("device {path}"), &std::io::Error::from(error));
            let stat = rustix::fs::statat(CWD, path, rustix::fs::AtFlags::empty()).map_err(failed)?;
            let kind = match FileType::from_raw_mode(stat.st_mode) {
                FileType::CharacterDevice => 'c',
                FileType::BlockDevice => 'b',
                _ => return Err(Failure::create(format!("device {path}: it is no device"))),
            };
            if said.is_some_and(|said| said != kind && !(said == 'u' && kind == 'c')) {
                return Err(Failure::create(format!(
                    "device {path}: it is not of the type that its specification says"
                )));
            }
            (kind, rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev), stat.st_mode & 0o777)
        }
    };
    let access = wanted.permissions.as_deref().filter(|text| !text.is_empty()).unwrap_or("rwm").to_owned();
    let (uid, gid) = (wanted.uid.unwrap_or(0), wanted.gid.unwrap_or(0));
    let mode = wanted.file_mode.filter(|mode| *mode != 0).unwrap_or(mode) & 0o777;
    Ok(Node { path: wanted.path.clone(), kind, major, minor, mode, uid, gid, access })
}

impl Devices<'_> {
    /// What the container's group may open besides.
    pub(super) fn rules(&self) -> Vec<DeviceRule> {
        // A pipe is no device.
        let nodes = self.nodes.iter().filter(|node| node.kind != 'p');
        nodes
            .map(|node| DeviceRule {
                block: node.kind == 'b',
                major: node.major,
                minor: node.minor,
                read: node.access.contains('r'),
                write: node.access.contains('w'),
            })
            .collect()
    }

    /// Variables, each `NAME=value`.
    pub(super) fn variables(&self) -> impl Iterator<Item = &String> {
        self.edits.iter().flat_map(|edits| &edits.env)
    }

    /// Groups that the container's user is in besides.
    pub(super) fn groups(&self) -> &[u32] {
        self.edits.map_or(&[], |edits| &edits.additional_gids)
    }

    /// Mounts, for the end of the list: nothing of the task's may hide them.
    pub(super) fn mounts(&self) -> impl Iterator<Item = Value> {
        self.edits.iter().flat_map(|edits| &edits.mounts).map(|mount| {
            let mut options = mount.options.clone();
            if !options.iter().any(|option| ["bind", "rbind"].contains(&option.as_str())) {
                options.push("rbind".to_owned());
            }
            json!({
                "destination": mount.container_path, "type": "bind", "source": mount.host_path, "options": options,
            })
        })
    }

    /// Nodes; libcontainer adds those that every container has.
    pub(super) fn nodes(&self) -> Vec<Value> {
        let node = |node: &Node| {
            json!({
                "path": node.path, "type": node.kind.to_string(), "major": node.major, "minor": node.minor,
                "fileMode": node.mode, "uid": node.uid, "gid": node.gid,
            })
        };
        self.nodes.iter().map(node).collect()
    }

    /// Hooks by their stage; `None`: there are none.
    pub(super) fn hooks(&self) -> Option<Value> {
        let mut stages: Map<String, Value> = Map::new();
        for hook in self.edits.iter().flat_map(|edits| &edits.hooks) {
            let stage = stages.entry(hook.hook_name.clone()).or_insert_with(|| json!([]));
            stage.as_array_mut().into_iter().for_each(|list| list.push(hook.document()));
        }
        (!stages.is_empty()).then_some(Value::Object(stages))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(path: &str) -> DeviceNode {
        DeviceNode { path: path.to_owned(), ..DeviceNode::default() }
    }

    #[test]
    fn a_node_without_numbers_is_the_hosts() {
        let full =
            DeviceNode { host_path: Some("/dev/full".into()), permissions: Some("r".into()), ..wanted("/dev/gpu0") };
        let edits = Edits { device_nodes: vec![full], ..Edits::default() };
        let devices = resolve(&edits).unwrap();
        let rule = DeviceRule { block: false, major: 1, minor: 7, read: true, write: false };
        assert_eq!(devices.rules(), [rule]);
        let shown = &devices.nodes()[0];
        assert_eq!((&shown["path"], &shown["type"], &shown["minor"]), (&json!("/dev/gpu0"), &json!("c"), &json!(7)));
    }

    #[test]
    fn a_node_that_says_its_numbers_need_not_be_there() {
        let said = DeviceNode {
            kind: Some("c".into()),
            major: Some(195),
            minor: Some(0),
            file_mode: Some(0o640),
            gid: Some(44),
            ..wanted("/dev/nvidia0")
        };
        let edits = Edits { device_nodes: vec![said], ..Edits::default() };
        let shown = resolve(&edits).unwrap().nodes();
        assert_eq!(
            (&shown[0]["major"], &shown[0]["fileMode"], &shown[0]["gid"]),
            (&json!(195), &json!(0o640), &json!(44))
        );
    }

    #[test]
    fn what_is_not_on_the_host_is_named() {
        let said = |edits: &Edits| resolve(edits).unwrap_err().to_string();
        let edits = Edits { device_nodes: vec![wanted("/dev/no-such-gpu")], ..Edits::default() };
        assert!(said(&edits).contains("device /dev/no-such-gpu: No such file"), "{}", said(&edits));
        let directory = DeviceNode { host_path: Some("/dev".into()), ..wanted("/dev/x") };
        let edits = Edits { device_nodes: vec![directory], ..Edits::default() };
        assert!(said(&edits).contains("it is no device"), "{}", said(&edits));
    }

    #[test]
    fn without_a_device_nothing_is_added() {
        let none = Devices::default();
        assert!(none.rules().is_empty() && none.nodes().is_empty() && none.hooks().is_none());
        assert_eq!((none.mounts().count(), none.variables().count(), none.groups().len()), (0, 0, 0));
    }
}
