//! A task's directory `<data>/tasks/<key>/`, the only record of a task on its node.
//!
//! Files are written aside and renamed into place, so that a reader sees a whole file or none. Only exit records are
//! synced: a crash of the machine ends every task anyway, but an exit code told once must not be lost to a full cache.

use crate::identity::Identity;
use node::hands::{FoundContainer, TaskKey};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Container names longer than this are shortened in file names, which may have 255 bytes with all affixes.
const NAME_BYTES_MAX: usize = 180;

/// The directory of one task.
#[derive(Clone, Debug)]
pub(crate) struct TaskDirectory {
    path: PathBuf,
}

impl TaskDirectory {
    /// Below `<data>/tasks`; nothing is made.
    pub(crate) fn of(tasks: &Path, task: &TaskKey) -> Self {
        Self { path: tasks.join(task.as_str()) }
    }

    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory, if it is not there.
    pub(crate) fn make(&self) -> io::Result<()> {
        fs::create_dir_all(&self.path)
    }

    pub(crate) fn write_record(&self, record: &str) -> io::Result<()> {
        self.make()?;
        self.replace("task.json", record.as_bytes(), false)
    }

    pub(crate) fn record(&self) -> Option<String> {
        fs::read_to_string(self.path.join("task.json")).ok()
    }

    pub(crate) fn write_reported(&self, status: &str) -> io::Result<()> {
        self.replace("reported", status.as_bytes(), false)
    }

    pub(crate) fn reported(&self) -> Option<String> {
        fs::read_to_string(self.path.join("reported")).ok()
    }

    pub(crate) fn write_identity(&self, identity: &Identity) -> io::Result<()> {
        self.replace("supervisor.json", &serde_json::to_vec(identity)?, false)
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        serde_json::from_slice(&fs::read(self.path.join("supervisor.json")).ok()?).ok()
    }

    /// Keeps how a container ended; on disk when this returns.
    pub(crate) fn write_exit(&self, container: &FoundContainer) -> io::Result<()> {
        let name = format!("exit-{}.json", file_name(&container.name));
        self.replace(&name, &serde_json::to_vec(container)?, true)
    }

    /// All exit records that can be read, by name.
    pub(crate) fn exits(&self) -> Vec<FoundContainer> {
        let Ok(entries) = fs::read_dir(&self.path) else { return Vec::new() };
        let mut exits: Vec<FoundContainer> = entries
            .flatten()
            .filter(|entry| {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                name.starts_with("exit-") && name.ends_with(".json")
            })
            .filter_map(|entry| serde_json::from_slice(&fs::read(entry.path()).ok()?).ok())
            .collect();
        exits.sort_by(|a, b| a.name.cmp(&b.name));
        exits
    }

    /// Whether a supervisor holds the task's lock now.
    pub(crate) fn is_held(&self) -> bool {
        let Ok(lock) = File::open(self.lock_file()) else { return false };
        // The lock taken here goes with the descriptor, at once.
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockShared).is_err()
    }

    /// Held locked by the task's supervisor for as long as it lives.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// What the supervisor has to say to nobody in particular.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("supervisor.log")
    }

    /// Writable layers of the containers, by number.
    pub(crate) fn rootfs(&self) -> PathBuf {
        self.path.join("rootfs")
    }

    /// The task's own volumes, by name.
    pub(crate) fn volumes(&self) -> PathBuf {
        self.path.join("volumes")
    }

    /// The spool of a container's output.
    pub(crate) fn output(&self, container: &str) -> PathBuf {
        self.path.join("output").join(file_name(container))
    }

    fn replace(&self, name: &str, bytes: &[u8], sync: bool) -> io::Result<()> {
        let aside = self.path.join(format!(".{name}.new"));
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        if sync {
            rustix::fs::fdatasync(&file)?;
        }
        drop(file);
        fs::rename(aside, self.path.join(name))
    }
}

/// A container's name as part of a file name: unchanged where that is safe, else shortened and made unique by a hash.
pub(crate) fn file_name(container: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if container.len() <= NAME_BYTES_MAX && !container.is_empty() && container.chars().all(safe) {
        return container.to_owned();
    }
    let start: String = container.chars().filter(|c| safe(*c)).take(NAME_BYTES_MAX).collect();
    // A dot cannot stand in a safe name, so that a shortened one never meets an unchanged one.
    format!("{start}.{}", &hex(&Sha256::digest(container.as_bytes()))[..16])
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Ten digits that are the same for the same container name, as Fargate ends its runtime ids.
pub(crate) fn runtime_id(task: &TaskKey, container: &str) -> String {
    let digest = Sha256::digest(container.as_bytes());
    let number = digest.iter().take(8).fold(0u64, |all, byte| all << 8 | u64::from(*byte));
    format!("{task}-{:010}", number % 10_000_000_000)
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_become_safe_and_stay_apart() {
        assert_eq!(file_name("web-1_x"), "web-1_x");
        let long = "a".repeat(255);
        assert!(file_name(&long).len() < 220);
        assert_ne!(file_name(&long), file_name(&"a".repeat(254)));
        assert!(!file_name("../../etc").contains('/'));
        assert!(!file_name("").is_empty());
    }

    #[test]
    fn runtime_ids_look_like_fargates() {
        let task = TaskKey::new(&"0f".repeat(16)).expect("key");
        let id = runtime_id(&task, "web");
        let (key, number) = id.split_once('-').expect("dash");
        assert_eq!((key.len(), number.len()), (32, 10));
        assert!(number.bytes().all(|b| b.is_ascii_digit()));
        assert_eq!(id, runtime_id(&task, "web"));
        assert_ne!(id, runtime_id(&task, "db"));
    }

    #[test]
    fn exits_survive_and_are_read_back() {
        let path = std::env::temp_dir().join(format!("runtime-directory-{}", std::process::id()));
        let directory = TaskDirectory::at(path.clone());
        directory.make().expect("make");
        let container = FoundContainer {
            name: "w".repeat(255),
            runtime_id: "x".into(),
            image_digest: "sha256:0".into(),
            started_at: Some(1),
            exit: None,
            attempt: 0,
        };
        directory.write_exit(&container).expect("write");
        assert_eq!(directory.exits(), [container]);
        fs::remove_dir_all(path).expect("remove");
    }
}
