//! A `gantry up` of the bench's own, on a data directory and port of its own; taken down when dropped.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// The server.
pub struct Server {
    gantry: PathBuf,
    directory: PathBuf,
    child: Option<Child>,
    /// From the start of the process to its ready line.
    pub ready_ms: f64,
}

/// What it occupies.
pub struct Memory {
    /// Resident in the server process, MiB.
    pub server_mib: f64,
    /// Server and helpers, shared pages counted once, MiB.
    pub all_mib: f64,
    /// Resolver and supervisors in waiting.
    pub helpers: usize,
}

impl Server {
    /// Starts on an empty data directory.
    pub fn start(gantry: &Path) -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("gantry-bench-{}", std::process::id()));
        let _ = Command::new(gantry).args(["down", "--purge", "--data-dir"]).arg(&directory).output();
        let mut server = Self { gantry: gantry.to_owned(), directory, child: None, ready_ms: 0.0 };
        server.spawn()?;
        Ok(server)
    }

    /// Ends the process and starts it again on the same directory.
    pub fn restart(mut self, gantry: &Path) -> Result<Self> {
        self.end()?;
        self.gantry = gantry.to_owned();
        self.spawn()?;
        Ok(self)
    }

    fn log(&self) -> PathBuf {
        self.directory.with_extension("log")
    }

    fn spawn(&mut self) -> Result<()> {
        let log = File::create(self.log())?;
        let began = Instant::now();
        let mut child = Command::new(&self.gantry)
            .args(["up", "--fargate-memory-overcommit", super::MEMORY_FACTOR, "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.gantry.display()))?;
        let mut line = String::new();
        let out = child.stdout.take().context("no standard output")?;
        BufReader::new(out).read_line(&mut line)?;
        self.child = Some(child);
        if !line.starts_with("gantry is ready: ") {
            bail!("gantry did not become ready: {line} {}", fs::read_to_string(self.log())?);
        }
        self.ready_ms = began.elapsed().as_secs_f64() * 1000.0;
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
            child.wait()?;
        }
        Ok(())
    }

    fn client(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.gantry);
        command.args(arguments).arg("--data-dir").arg(&self.directory);
        crate::command::output(&mut command)
    }

    /// Loads an image archive.
    pub fn load(&self, archive: &Path) -> Result<()> {
        let archive = archive.to_str().context("the archive's path is no text")?;
        self.client(&["image", "load", archive]).map(|_| ())
    }

    /// What clients need.
    pub fn environment(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.client(&["env", "--output", "json"])?)?)
    }

    /// Milliseconds from a request read to RUNNING durable, as the server logged them.
    pub fn starts(&self) -> Result<Vec<f64>> {
        let log = fs::read_to_string(self.log())?;
        let lines = log.lines().filter(|line| line.contains("gantry::start"));
        Ok(lines.filter_map(|line| line.rsplit_once("ms=")?.1.trim().parse().ok()).collect())
    }

    fn pid(&self) -> Result<u32> {
        Ok(self.child.as_ref().context("the server is not running")?.id())
    }

    /// CPU time of the server process so far.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid()?))?;
        let fields: Vec<&str> = stat.rsplit_once(')').context("an odd stat file")?.1.split_whitespace().collect();
        let ticks: u64 =
            fields.get(11..13).context("an odd stat file")?.iter().filter_map(|f| f.parse::<u64>().ok()).sum();
        Ok(ticks as f64 / 100.0)
    }

    /// Memory of the server and of what it keeps running: its resolver and supervisors.
    pub fn memory(&self) -> Result<Memory> {
        let node_id = fs::read_to_string(self.directory.join("node-id"))?;
        let pid = self.pid()?;
        let mut memory =
            Memory { server_mib: kib(pid, "Rss")? / 1024.0, all_mib: kib(pid, "Pss")? / 1024.0, helpers: 0 };
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(other) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if other != pid && String::from_utf8_lossy(&command).contains(node_id.trim()) {
                memory.all_mib += kib(other, "Pss").unwrap_or(0.0) / 1024.0;
                memory.helpers += 1;
            }
        }
        Ok(memory)
    }
}

fn kib(pid: u32, what: &str) -> Result<f64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line =
        rollup.lines().find(|line| line.starts_with(&format!("{what}:"))).context("no such line in smaps_rollup")?;
    let number = line.split_whitespace().nth(1).context("an odd smaps_rollup")?;
    Ok(number.parse()?)
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.client(&["down", "--purge"]) {
            eprintln!("bench: {error:#}");
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
        let _ = fs::remove_file(self.log());
    }
}
