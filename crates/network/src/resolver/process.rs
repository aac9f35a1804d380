//! The resolver as a process: started by the node, found again by the next node, ended with the network. It is ours only
//! if process id, start time and boot agree with its file; only one can hold the lock.

use crate::error::NetworkError;
use node::hands::Cidr;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FlockOperation;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const FILE: &str = "resolver";
const LOCK: &str = "resolver.lock";
const LOG: &str = "resolver.log";
/// Raised when an older resolver must not be adopted.
const VERSION: &str = "1";
const START_MAX: Duration = Duration::from_secs(3);
const END_MAX: Duration = Duration::from_secs(1);

/// How the resolver is started.
pub(crate) struct ResolverSettings {
    pub program: PathBuf,
    pub args: Vec<String>,
    pub run_dir: PathBuf,
    /// The pin of the VPC's namespace.
    pub namespace: PathBuf,
    pub listen: Ipv4Addr,
    pub range: Cidr,
}

/// What the resolver is told on its command line.
pub(super) struct Orders {
    run_dir: PathBuf,
    pub namespace: PathBuf,
    pub listen: Ipv4Addr,
    pub range: Cidr,
}

impl Orders {
    /// Exactly what `Resolver` passes.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let args: Vec<OsString> = args.into_iter().collect();
        let [run_dir, namespace, listen, range] = args.as_slice() else { return None };
        Some(Self {
            run_dir: run_dir.into(),
            namespace: namespace.into(),
            listen: listen.to_str()?.parse().ok()?,
            range: Cidr::parse(range.to_str()?)?,
        })
    }
}

/// The resolver seen from the node.
pub(crate) struct Resolver {
    settings: ResolverSettings,
    /// Ours to reap when it dies before us.
    child: Mutex<Option<Child>>,
}

impl Resolver {
    pub fn new(settings: ResolverSettings) -> Self {
        Self { settings, child: Mutex::new(None) }
    }

    /// Where it answers.
    pub fn address(&self) -> Ipv4Addr {
        self.settings.listen
    }

    /// Finds it running, or starts it and waits until it listens.
    pub fn ensure(&self) -> Result<(), NetworkError> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = child.as_mut() {
            // Reaped here, else it would look alive for ever.
            let _ = running.try_wait();
        }
        let wanted = tag(&self.settings.namespace, self.settings.listen, self.settings.range);
        match running(&self.settings.run_dir) {
            Some(found) if found.tag == wanted => return Ok(()),
            Some(_) => end(&self.settings.run_dir)?,
            None => {}
        }
        *child = Some(self.start()?);
        Ok(())
    }

    fn start(&self) -> Result<Child, NetworkError> {
        let ResolverSettings { program, args, run_dir, namespace, listen, range } = &self.settings;
        let log = run_dir.join(LOG);
        let log = std::fs::File::create(&log).map_err(NetworkError::file("cannot make", &log))?;
        let mut child = Command::new(program)
            .args(args)
            .args([run_dir.as_os_str(), namespace.as_os_str()])
            .args([OsStr::new(&listen.to_string()), OsStr::new(&range.to_string())])
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            // A Ctrl-C at the node's terminal is not for it.
            .process_group(0)
            .spawn()
            .map_err(NetworkError::file("cannot start the resolver", program))?;
        match first_words(&mut child) {
            Ok(words) if words == "ready\n" => Ok(child),
            result => {
                let _ = child.kill();
                let _ = child.wait();
                let message = match result {
                    Ok(words) if words.trim().is_empty() => "it ended without a word".to_owned(),
                    Ok(words) => words.trim().to_owned(),
                    Err(error) => error.to_string(),
                };
                Err(NetworkError::Resolver { message })
            }
        }
    }
}

/// What the child says before it closes its output.
fn first_words(child: &mut Child) -> io::Result<String> {
    let Some(mut output) = child.stdout.take() else { return Ok(String::new()) };
    let deadline = Instant::now() + START_MAX;
    let mut words = String::new();
    let mut buffer = [0; 512];
    loop {
        if !readable(&output, deadline.saturating_duration_since(Instant::now()))? {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer"));
        }
        match output.read(&mut buffer)? {
            0 => return Ok(words),
            length => words.push_str(&String::from_utf8_lossy(&buffer[..length])),
        }
    }
}

fn readable(fd: &impl AsFd, patience: Duration) -> io::Result<bool> {
    let patience = Timespec { tv_sec: patience.as_secs().cast_signed(), tv_nsec: patience.subsec_nanos().into() };
    loop {
        match poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&patience)) {
            Ok(count) => return Ok(count > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A resolver that lives.
struct Running {
    pid: Pid,
    tag: String,
}

/// What makes a resolver the right one: its version, what it serves, and in which namespace (a file of the namespace
/// file system has the namespace's number as its inode).
fn tag(namespace: &Path, listen: Ipv4Addr, range: Cidr) -> String {
    let inode = std::fs::metadata(namespace).map_or(0, |m| m.ino());
    format!("{VERSION} {inode} {listen} {range}")
}

/// The resolver of which the file in `run_dir` speaks, if it is still that process.
fn running(run_dir: &Path) -> Option<Running> {
    let text = std::fs::read_to_string(run_dir.join(FILE)).ok()?;
    let [pid, start, boot, tag] = text.lines().collect::<Vec<_>>()[..] else { return None };
    let number: i32 = pid.parse().ok()?;
    let ours = boot_id()? == boot && start_time(number)?.to_string() == start;
    ours.then_some(Running { pid: Pid::from_raw(number)?, tag: tag.to_owned() })
}

/// Ends the resolver of `run_dir` and removes its files.
pub(crate) fn end(run_dir: &Path) -> Result<(), NetworkError> {
    if let Some(Running { pid, .. }) = running(run_dir) {
        let failed = NetworkError::file("cannot end the resolver of", run_dir);
        match kill(pid) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    for name in [FILE, LOCK, LOG] {
        let path = run_dir.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(NetworkError::file("cannot remove", &path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// It has nothing to save: no grace.
fn kill(pid: Pid) -> rustix::io::Result<()> {
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    pidfd_send_signal(&process, Signal::KILL)?;
    let _ = readable(&process, END_MAX);
    // Only if it is our child is there something to reap.
    let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    Ok(())
}

/// The resolver's own claim to be the one; holds the lock for the life of the process.
pub(super) struct Identity {
    lock: std::fs::File,
}

impl Identity {
    pub fn claim(orders: &Orders) -> io::Result<Self> {
        let lock = std::fs::File::create(orders.run_dir.join(LOCK))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| io::Error::other("another resolver of this node runs"))?;
        Ok(Self { lock })
    }

    /// Writes the file by which the next node finds this process. The lock is kept until the process ends.
    pub fn publish(self, orders: &Orders) -> io::Result<()> {
        let pid = std::process::id().cast_signed();
        let unknown = || io::Error::other("/proc does not tell about this process");
        let start = start_time(pid).ok_or_else(unknown)?;
        let boot = boot_id().ok_or_else(unknown)?;
        let tag = tag(&orders.namespace, orders.listen, orders.range);
        let aside = orders.run_dir.join(format!("{FILE}.new"));
        std::fs::write(&aside, format!("{pid}\n{start}\n{boot}\n{tag}\n"))?;
        std::fs::rename(&aside, orders.run_dir.join(FILE))?;
        std::mem::forget(self.lock);
        Ok(())
    }
}

/// Field 22 of /proc/<pid>/stat, counted after the name, which may contain anything; none for a zombie.
fn start_time(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = text.rsplit_once(')')?;
    let mut fields = after.split_whitespace();
    let alive = fields.next().is_some_and(|state| !matches!(state, "Z" | "X"));
    fields.nth(18).filter(|_| alive)?.parse().ok()
}

fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_exactly_four_words() {
        let words = ["/run/x", "/run/x/netns/vpc-1", "172.31.0.2", "172.31.0.0/16"];
        let orders = Orders::parse(words.map(OsString::from)).unwrap();
        assert_eq!(orders.listen, Ipv4Addr::new(172, 31, 0, 2));
        assert!(Orders::parse(words[..3].iter().map(OsString::from)).is_none());
        assert!(Orders::parse(["a", "b", "c", "d"].map(OsString::from)).is_none());
    }

    #[test]
    fn a_file_of_another_process_or_boot_names_nobody() {
        let directory = std::env::temp_dir().join(format!("resolver-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (pid, boot) = (std::process::id().cast_signed(), boot_id().unwrap());
        let start = start_time(pid).unwrap();
        let write = |text: String| std::fs::write(directory.join(FILE), text).unwrap();
        write(format!("{pid}\n{start}\n{boot}\ntag\n"));
        assert_eq!(running(&directory).map(|r| r.tag), Some("tag".to_owned()));
        write(format!("{pid}\n{}\n{boot}\ntag\n", start + 1));
        assert!(running(&directory).is_none(), "another start time");
        write(format!("{pid}\n{start}\nanother\ntag\n"));
        assert!(running(&directory).is_none(), "another boot");
        write("rubbish".to_owned());
        assert!(running(&directory).is_none());
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
