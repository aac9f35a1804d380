//! `gantry backup` and `gantry restore`: the control plane's state and keys in one file. Logs and images are not in it.

use super::target::operator;
use crate::client::CallError;
use crate::data_dir::{self, DataDir};
use crate::server::{BACKUP, STATE, Store, VALUES_KEY};
use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use wire::gantry;

/// Keys that go with the state; the last opens values, and a deployment that was never started by this version has none.
const KEYS: [&str; 3] = ["operator.json", "node.json", VALUES_KEY];
/// How many of them every deployment has.
const KEYS_MIN: usize = 2;
/// A key is not longer.
const KEY_BYTES_MAX: u64 = 4096;

/// Write the control plane's state and keys to a file
#[derive(Args)]
pub struct Backup {
    /// Where to; must not exist
    file: PathBuf,
    /// The deployment's data directory
    #[arg(long, default_value = data_dir::DEFAULT)]
    data_dir: PathBuf,
}

impl Backup {
    /// Writes it, whether or not the server runs.
    pub fn run(self) -> Result<ExitCode> {
        let data_dir = DataDir::new(&self.data_dir);
        if !data_dir.path(STATE).exists() {
            bail!("{} has no deployment", self.data_dir.display());
        }
        let copy = super::block_on(state_copy(&data_dir))?;
        let written = self.write(&data_dir, &copy);
        let _ = fs::remove_file(&copy);
        written?;
        println!("{} holds the state and the keys of {}", self.file.display(), self.data_dir.display());
        Ok(ExitCode::SUCCESS)
    }

    fn write(&self, data_dir: &DataDir, copy: &Path) -> Result<()> {
        let told = || format!("cannot write {}", self.file.display());
        // It has keys in it: private from the first moment.
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(&self.file).with_context(told)?;
        let mut archive = tar::Builder::new(file);
        archive.mode(tar::HeaderMode::Deterministic);
        archive.append_path_with_name(copy, STATE).with_context(told)?;
        for (at, key) in KEYS.into_iter().enumerate() {
            if at >= KEYS_MIN && !data_dir.path(key).exists() {
                continue;
            }
            archive.append_path_with_name(data_dir.path(key), key).with_context(|| format!("cannot copy {key}"))?;
        }
        let file = archive.into_inner().with_context(told)?;
        file.sync_all().with_context(told)
    }
}

/// A whole copy of the store: by the server, or by us when no server has it.
async fn state_copy(data_dir: &DataDir) -> Result<PathBuf> {
    if let Ok(_alone) = data_dir.lock("control") {
        let copy = data_dir.path(BACKUP);
        let _ = fs::remove_file(&copy);
        Store::open(&data_dir.path(STATE), || Err(anyhow!("the store is empty")))?.backup(&copy)?;
        return Ok(copy);
    }
    match operator(data_dir)?.gantry(gantry::CreateBackupRequest {}).await {
        Ok(gantry::Response::CreateBackup(answer)) => Ok(answer.path.context("the server wrote no backup")?.into()),
        Ok(other) => bail!("the server answered {} instead", other.operation()),
        Err(CallError::Fault(fault)) => bail!("{fault}"),
        Err(error) => Err(error.into()),
    }
}

/// Put a backup in the place of the control plane's state and keys
#[derive(Args)]
pub struct Restore {
    /// What `gantry backup` wrote
    file: PathBuf,
    /// Move a state that is there aside
    #[arg(long)]
    replace: bool,
    /// The deployment's data directory
    #[arg(long, default_value = data_dir::DEFAULT)]
    data_dir: PathBuf,
}

impl Restore {
    /// Restores it while no server runs. Everything is unpacked and checked before anything is replaced.
    pub fn run(self) -> Result<ExitCode> {
        let data_dir = DataDir::new(&self.data_dir);
        data_dir.create()?;
        let _lock = data_dir.lock("control").context("stop the server first")?;
        let state = data_dir.path(STATE);
        if state.exists() && !self.replace {
            bail!("{} has a deployment already: --replace moves its state aside", self.data_dir.display());
        }
        let fresh = data_dir.path("restore.db");
        let keys = self.unpack(&fresh).with_context(|| format!("cannot restore {}", self.file.display()))?;
        if state.exists() {
            let aside = data_dir.path(&format!("{STATE}.before-{}", crate::clock::wall_ms()));
            fs::rename(&state, &aside).with_context(|| format!("cannot move {} aside", state.display()))?;
            // Its log goes along: it may hold the last of it, and must never be taken for one of the new.
            let log = data_dir.path(&format!("{STATE}-wal"));
            if log.exists() {
                fs::rename(&log, format!("{}-wal", aside.display())).context("cannot move its log aside")?;
            }
            println!("what was there is now {}", aside.display());
        }
        for (name, key) in keys {
            data_dir.write_key(name, &key)?;
        }
        fs::rename(&fresh, &state).with_context(|| format!("cannot write {}", state.display()))?;
        println!("{} is restored", self.data_dir.display());
        Ok(ExitCode::SUCCESS)
    }

    /// Unpacks the state to `fresh` and proves that it can be read; the keys.
    fn unpack(&self, fresh: &Path) -> Result<Vec<(&'static str, data_dir::KeyFile)>> {
        let (mut keys, mut has_state) = (Vec::new(), false);
        let mut archive = tar::Archive::new(File::open(&self.file)?);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let name = entry.path()?.to_string_lossy().into_owned();
            if name == STATE {
                let _ = fs::remove_file(fresh);
                let mut options = File::options();
                let mut file = options.write(true).create_new(true).mode(0o600).open(fresh)?;
                std::io::copy(&mut entry, &mut file)?;
                file.sync_all()?;
                has_state = true;
            } else if let Some(known) = KEYS.into_iter().find(|known| *known == name) {
                let mut text = String::new();
                entry.take(KEY_BYTES_MAX).read_to_string(&mut text)?;
                keys.push((known, serde_json::from_str(&text).with_context(|| format!("{known} is no key"))?));
            } else {
                bail!("it holds {name:?}, which no backup has");
            }
        }
        let has = |key: &&str| keys.iter().any(|(known, _)| known == key);
        if !has_state || !KEYS[..KEYS_MIN].iter().all(has) {
            bail!("it is no backup, or a part of one");
        }
        Store::open(fresh, || Err(anyhow!("its state is empty")))?.load()?;
        for suffix in ["-wal", "-shm", ".lock"] {
            let _ = fs::remove_file(format!("{}{suffix}", fresh.display()));
        }
        Ok(keys)
    }
}
