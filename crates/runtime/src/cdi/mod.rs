//! The GPUs of this host, as the files of the Container Device Interface describe them: their names, and what is done to
//! a container that gets some. The files are read anew each time, as a new driver writes them anew.

mod spec;
#[cfg(test)]
mod tests;

pub(crate) use spec::{DeviceNode, Edits};

use spec::Spec;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What is read of such files here.
const KIND: &str = "nvidia.com/gpu";
/// The name under which all devices of a file can be had; no device of its own.
const ALL: &str = "all";
/// A file of eight GPUs has some 50 KiB.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Files of one directory.
const FILES_MAX: usize = 256;
/// GPUs of one host.
const DEVICES_MAX: usize = 256;
/// How names begin that are the same on every start, as AWS's agent has them.
const LASTING: [&str; 2] = ["GPU-", "MIG-"];

/// What stands in the directories, and what is wrong there.
#[derive(Debug, Default)]
struct Found {
    devices: Vec<Known>,
    problems: Vec<String>,
}

/// A device by one of its names.
#[derive(Debug)]
struct Known {
    name: String,
    edits: Edits,
    /// What its file does for all devices.
    common: Rc<(PathBuf, Edits)>,
    /// Which directory, the last wins.
    rank: usize,
}

/// The GPUs of this host by name, in the order of the files, and what is wrong with those files.
pub fn gpus(directories: &[PathBuf]) -> (Vec<String>, Vec<String>) {
    let Found { devices, mut problems } = load(directories);
    let mut chosen: Vec<&Known> = Vec::new();
    for device in &devices {
        // A driver's tool names each GPU twice, by its number and by its UUID.
        let same = |known: &&mut &Known| known.edits == device.edits && !known.edits.device_nodes.is_empty();
        match chosen.iter_mut().find(same) {
            Some(known) if is_lasting(&device.name) && !is_lasting(&known.name) => *known = device,
            Some(_) => {}
            None => chosen.push(device),
        }
    }
    if chosen.len() > DEVICES_MAX {
        problems.push(format!("there are {} GPUs; {DEVICES_MAX} of them are used", chosen.len()));
    }
    (chosen.into_iter().take(DEVICES_MAX).map(|device| device.name.clone()).collect(), problems)
}

fn is_lasting(name: &str) -> bool {
    LASTING.iter().any(|prefix| name.starts_with(prefix))
}

/// What is done to a container that gets these GPUs.
pub(crate) fn edits(directories: &[PathBuf], names: &[String]) -> Result<Edits, String> {
    let mut edits = Edits::default();
    if names.is_empty() {
        return Ok(edits);
    }
    let found = load(directories);
    let mut files = BTreeSet::new();
    for name in names {
        let Some(device) = found.devices.iter().find(|device| device.name == *name) else {
            let places: Vec<String> = directories.iter().map(|path| path.display().to_string()).collect();
            let why = found.problems.first().map(|why| format!(" ({why})")).unwrap_or_default();
            return Err(format!("no file in {} describes the GPU {name}{why}", places.join(" or ")));
        };
        if files.insert(device.common.0.clone()) {
            edits.add(&device.common.1);
        }
        edits.add(&device.edits);
    }
    Ok(edits)
}

fn load(directories: &[PathBuf]) -> Found {
    let mut found = Found::default();
    for (rank, directory) in directories.iter().enumerate() {
        for path in files(directory, &mut found.problems) {
            let yaml = path.extension().is_some_and(|extension| extension != "json");
            let text = text(&path).map_err(|error| error.to_string());
            match text.and_then(|text| spec::read(&text, yaml)) {
                Ok(spec) if spec.kind == KIND => found.take(rank, &path, spec),
                // Another vendor's, or another kind of device.
                Ok(_) => {}
                Err(why) => found.problems.push(format!("{}: {why}", path.display())),
            }
        }
    }
    found
}

impl Found {
    fn take(&mut self, rank: usize, path: &Path, spec: Spec) {
        if let Err(why) = spec.container_edits.check() {
            self.problems.push(format!("{}: {why}; its devices are not used", path.display()));
            return;
        }
        let common = Rc::new((path.to_owned(), spec.container_edits));
        let mut seen = BTreeMap::new();
        for device in spec.devices {
            let name = device.name;
            let odd = match device.container_edits.check() {
                _ if name == ALL => continue,
                _ if !is_name(&name) => Some("it is no name of a device".to_owned()),
                _ if seen.insert(name.clone(), ()).is_some() => Some("the file has it twice".to_owned()),
                Ok(()) => None,
                Err(why) => Some(why),
            };
            if let Some(why) = odd {
                self.problems.push(format!("{}: the device {name:?} is not used: {why}", path.display()));
                continue;
            }
            let known = Known { name, edits: device.container_edits, common: common.clone(), rank };
            match self.devices.iter_mut().find(|other| other.name == known.name) {
                Some(other) if other.rank < rank => *other = known,
                Some(other) => {
                    let (one, two) = (other.common.0.display(), path.display());
                    self.problems
                        .push(format!("{one} and {two} both have the device {:?}; the first is used", other.name));
                }
                None => self.devices.push(known),
            }
        }
    }
}

/// The files of a directory in the order of their names. A directory that is not there has none.
fn files(directory: &Path, problems: &mut Vec<String>) -> Vec<PathBuf> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            problems.push(format!("{}: {error}", directory.display()));
            return Vec::new();
        }
    };
    let specification = |path: &PathBuf| {
        path.extension().is_some_and(|extension| ["json", "yaml", "yml"].iter().any(|e| extension == *e))
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(specification).collect();
    paths.sort();
    if paths.len() > FILES_MAX {
        problems.push(format!("{}: of {} files the first {FILES_MAX} are read", directory.display(), paths.len()));
        paths.truncate(FILES_MAX);
    }
    paths
}

/// The text of a regular file of sensible size; nothing else is waited for.
fn text(path: &Path) -> io::Result<String> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let data = file.metadata()?;
    if !data.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    if data.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Letters, digits, and between them dashes, underscores, dots and colons: what the control plane takes for a name too, so
/// that one odd device does not keep a host from being registered.
fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let ends = [bytes.first(), bytes.last()].iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric));
    let inside = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:".contains(b);
    ends && bytes.len() <= 128 && bytes.iter().all(inside)
}

impl spec::Hook {
    /// As the container's specification has it; never without a time after which it is killed.
    pub(crate) fn document(&self) -> serde_json::Value {
        let timeout = self.timeout.unwrap_or(spec::HOOK_SECONDS);
        let mut hook = serde_json::json!({ "path": self.path, "env": self.env, "timeout": timeout });
        if !self.args.is_empty() {
            hook["args"] = serde_json::json!(self.args);
        }
        hook
    }
}
