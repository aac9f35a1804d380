//! The emulated machine: Debian's kernel for clouds, fetched and unpacked beside the system, and qemu that boots it. Knows
//! nothing of what runs inside but the lines that tell how it ended.

use crate::command::{output, shown};
use crate::packages::{latest_dependency, unpack};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Before the name of a group and its exit code.
pub const RESULT: &str = "vm-result ";
/// A machine that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(25 * 60);

/// An unpacked kernel.
pub struct Kernel {
    /// As `uname -r` tells it.
    pub release: String,
    /// The directory with `boot/` and `lib/modules/`.
    pub directory: PathBuf,
}

impl Kernel {
    /// Where its modules are.
    pub fn modules(&self) -> PathBuf {
        self.directory.join("lib/modules").join(&self.release)
    }
}

/// Fetches the distribution's newest kernel for clouds, unless it is here.
pub fn kernel(target: &Path) -> Result<Kernel> {
    let directory = target.join("vm-kernel");
    if let Some(release) = release(&directory) {
        return Ok(Kernel { release, directory });
    }
    let package = latest_dependency("linux-image-cloud-amd64", "linux-image-")?;
    unpack(&BTreeSet::from([package]), &directory)?;
    let release = release(&directory).context("the kernel's package has no modules")?;
    // The list of which module needs which is made where a kernel is installed.
    output(Command::new("busybox").args(["depmod", "-b"]).arg(&directory).arg(&release))?;
    Ok(Kernel { release, directory })
}

fn release(directory: &Path) -> Option<String> {
    let mut found = fs::read_dir(directory.join("lib/modules")).ok()?.flatten();
    found.next().map(|entry| entry.file_name().to_string_lossy().into_owned())
}

/// Boots the machine and shows what it prints until it ends; the exit code of each group.
pub fn boot(kernel: &Kernel, first: &Path, disk: &Path) -> Result<BTreeMap<String, i32>> {
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"]);
    qemu.args(["-m", "2048", "-smp", "2", "-nodefaults", "-no-user-config", "-nographic", "-serial", "stdio"]);
    qemu.arg("-kernel").arg(kernel.directory.join(format!("boot/vmlinuz-{}", kernel.release)));
    qemu.arg("-initrd").arg(first);
    qemu.args(["-append", "console=ttyS0 reboot=t panic=-1 quiet random.trust_cpu=on", "-no-reboot"]);
    qemu.arg("-drive").arg(format!("id=root,file={},format=raw,if=none,cache=unsafe", disk.display()));
    qemu.args(["-device", "virtio-blk-pci,drive=root"]);
    eprintln!("$ {}", shown(&qemu));
    let mut process = qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot run qemu")?;
    let printed = process.stdout.take().context("no pipe")?;
    let pid = rustix::process::Pid::from_child(&process);
    let over = Arc::new(AtomicBool::new(false));
    let watched = over.clone();
    std::thread::spawn(move || {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if watched.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        eprintln!("the machine has taken {PATIENCE:?}: it is ended");
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    });
    let mut results = BTreeMap::new();
    for line in BufReader::new(printed).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).trim_end().to_owned();
        eprintln!("vm| {line}");
        let result = line.split_once(RESULT).and_then(|(_, result)| result.rsplit_once(": "));
        if let Some((name, code)) = result {
            results.insert(name.to_owned(), code.parse().context("an exit code is a number")?);
        }
    }
    // Not collected before the watch has been told, so that the number is still the machine's.
    over.store(true, Ordering::Relaxed);
    let status = process.wait()?;
    if !status.success() {
        bail!("qemu ended with {status}");
    }
    Ok(results)
}
