//! The data directory: who may use it, the keys, and where the server is. Files are written aside and renamed, mode 0600.

use anyhow::{Context, Result, anyhow, bail};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where Gantry keeps everything.
pub const DEFAULT: &str = "/var/lib/gantry";

/// Tries for the lock of a process that is gone, and the pause between them: a second in all.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A data directory.
#[derive(Clone, Debug)]
pub struct DataDir {
    root: PathBuf,
}

/// An access key as a file keeps it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyFile {
    /// `GK…`.
    pub access_key_id: String,
    /// 40 characters.
    pub secret_access_key: String,
}

/// Where a server can be reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointFile {
    /// `http://127.0.0.1:8580`.
    pub url: String,
    /// `us-east-1`.
    pub region: String,
}

/// Held while a process uses one half of the directory.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl DataDir {
    /// The directory at `root`; nothing is touched yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Makes the directory, mode 0700, and proves that it can be written.
    pub fn create(&self) -> Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        let told = || format!("cannot use the data directory {}: choose another with --data-dir", self.root.display());
        builder.create(&self.root).with_context(told)?;
        let probe = self.root.join(".probe");
        write_private(&probe, b"probe").with_context(told)?;
        fs::remove_file(&probe).with_context(told)
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file or directory in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Takes the lock of one half (`control` or `node`); says who has it when it is taken.
    pub fn lock(&self, half: &str) -> Result<Lock> {
        let path = self.path(&format!("{half}.lock"));
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        let mut tries = 0;
        while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            file.seek(SeekFrom::Start(0))?;
            file.read_to_string(&mut holder)?;
            let holder = holder.trim();
            // Of one that was killed, a child that was just being made may have the lock until it is a program of its own.
            let lives = holder.is_empty() || Path::new("/proc").join(holder).exists();
            if lives || tries == LOCK_TRIES {
                bail!("{} is in use by another gantry {half} (process {holder})", self.root.display());
            }
            tries += 1;
            std::thread::sleep(LOCK_PAUSE);
        }
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        write!(file, "{}", std::process::id())?;
        Ok(Lock { _file: file })
    }

    /// The key in `name`; `None`: there is no such file.
    pub fn key(&self, name: &str) -> Result<Option<KeyFile>> {
        read_json(&self.path(name))
    }

    /// The key in `name`, made when there is none.
    pub fn key_or_new(&self, name: &str) -> Result<KeyFile> {
        if let Some(key) = self.key(name)? {
            return Ok(key);
        }
        let key = KeyFile { access_key_id: format!("GK{}", random_text(18)?), secret_access_key: random_text(40)? };
        self.write_key(name, &key)?;
        Ok(key)
    }

    /// Keeps a key.
    pub fn write_key(&self, name: &str, key: &KeyFile) -> Result<()> {
        write_private(&self.path(name), &serde_json::to_vec_pretty(key)?)
    }

    /// Where the server is.
    pub fn endpoint(&self) -> Result<EndpointFile> {
        let missing = || anyhow!("no server was ever started on {}: run `gantry up` first", self.root.display());
        read_json(&self.path("endpoint"))?.ok_or_else(missing)
    }

    /// Tells where the server is.
    pub fn write_endpoint(&self, endpoint: &EndpointFile) -> Result<()> {
        write_private(&self.path("endpoint"), &serde_json::to_vec_pretty(endpoint)?)
    }

    /// The text in `name`, trimmed; `None`: there is no such file.
    pub fn text(&self, name: &str) -> Result<Option<String>> {
        match fs::read_to_string(self.path(name)) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", self.path(name).display())),
        }
    }

    /// Keeps a text.
    pub fn write_text(&self, name: &str, text: &str) -> Result<()> {
        write_private(&self.path(name), text.as_bytes())
    }

    /// The node's id: 8 hex digits, made once.
    pub fn node_id(&self) -> Result<String> {
        let valid = |id: &String| id.len() == 8 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        match self.text("node-id")? {
            Some(id) if valid(&id) => Ok(id),
            Some(id) => bail!("{} holds {id:?}, which is no node id", self.path("node-id").display()),
            None => {
                let id: String = random::<4>()?.iter().map(|byte| format!("{byte:02x}")).collect();
                self.write_text("node-id", &id)?;
                Ok(id)
            }
        }
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => {
            Ok(Some(serde_json::from_slice(&bytes).with_context(|| format!("cannot read {}", path.display()))?))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let aside = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Bytes of the operating system's entropy.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no entropy: {error}"))?;
    Ok(bytes)
}

/// Random letters and digits: 62 symbols, bytes that would favour some of them thrown away.
fn random_text(length: usize) -> Result<String> {
    const SYMBOLS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let fair = random::<64>()?.into_iter().filter(|byte| *byte < 248);
        text.extend(fair.take(length - text.len()).map(|byte| char::from(SYMBOLS[usize::from(byte % 62)])));
    }
    Ok(text)
}
