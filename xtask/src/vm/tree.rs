//! The machine's two file systems: a first one in memory, which finds the disk, and the disk, with Debian's programs as they
//! are here, the tests, and the script that is its first process.

use super::machine::Kernel;
use crate::command::{output, run};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the disk has beside a small Debian.
pub struct Contents {
    /// Files, at the paths that they have here.
    pub files: Vec<PathBuf>,
    /// What is run, for the shell.
    pub script: String,
}

/// Programs that the tests and Gantry use, with the libraries they link.
const PROGRAMS: [&str; 8] = ["ip", "mount", "nft", "nsenter", "sha256sum", "tar", "umount", "unshare"];
/// Modules that find the disk; the others are loaded from it, by name.
const DISK: [&str; 2] = ["virtio_pci", "virtio_blk"];
const MODULES: [&str; 15] = [
    "overlay",
    "veth",
    "nf_conntrack_netlink",
    "nf_tables",
    "nft_chain_nat",
    "nft_ct",
    "nft_masq",
    "nft_nat",
    "nft_redir",
    "nft_reject_inet",
    "nft_fib_inet",
    "nft_limit",
    "nft_log",
    "br_netfilter",
    "bridge",
];
/// More than it ever holds; the file is sparse.
const DISK_BYTES: &str = "4G";

const FIRST: &str = "\
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
for module in MODULES; do /bin/busybox modprobe $module; done
/bin/busybox mount -t ext4 /dev/vda /disk || { echo 'no disk'; /bin/busybox reboot -f; }
exec /bin/busybox switch_root /disk /init
";

const INIT: &str = "\
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /run
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
mount -t cgroup2 cgroup /sys/fs/cgroup
hostname vm
ip link set lo up
for module in MODULES; do modprobe $module || echo \"no module $module\"; done
cd /root
sh /script
sync
reboot -f
";

/// The first file system, as the kernel unpacks it.
pub fn first(root: &Path, kernel: &Kernel) -> Result<PathBuf> {
    let tree = root.join("first");
    for directory in ["bin", "proc", "dev", "disk"] {
        fs::create_dir_all(tree.join(directory))?;
    }
    fs::copy(busybox()?, tree.join("bin/busybox"))?;
    symlink("busybox", tree.join("bin/sh"))?;
    modules(&tree, kernel, &DISK)?;
    script(&tree.join("init"), &FIRST.replace("MODULES", &DISK.join(" ")))?;
    let archive = root.join("first.cpio");
    let mut names = String::new();
    listed(&tree, &tree, &mut names)?;
    let mut cpio = Command::new("busybox");
    cpio.args(["cpio", "-o", "-H", "newc"]).current_dir(&tree);
    cpio.stdin(Stdio::piped()).stdout(File::create(&archive)?).stderr(Stdio::null());
    let mut process = cpio.spawn().context("cannot run busybox cpio")?;
    process.stdin.take().context("no pipe")?.write_all(names.as_bytes())?;
    if !process.wait()?.success() {
        bail!("busybox cannot pack {}", tree.display());
    }
    Ok(archive)
}

fn listed(root: &Path, directory: &Path, names: &mut String) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        *names += &format!("{}\n", path.strip_prefix(root)?.display());
        if entry.file_type()?.is_dir() {
            listed(root, &path, names)?;
        }
    }
    Ok(())
}

/// The disk.
pub fn disk(root: &Path, kernel: &Kernel, contents: &Contents) -> Result<PathBuf> {
    let tree = root.join("disk");
    for directory in
        ["bin", "dev", "etc", "proc", "root", "run", "sbin", "sys", "tmp", "usr/bin", "usr/sbin", "var/tmp"]
    {
        fs::create_dir_all(tree.join(directory))?;
    }
    for directory in ["tmp", "var/tmp"] {
        fs::set_permissions(tree.join(directory), fs::Permissions::from_mode(0o1777))?;
    }
    let busybox = busybox()?;
    fs::copy(&busybox, tree.join("bin/busybox"))?;
    for applet in output(Command::new(&busybox).arg("--list"))?.lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", tree.join("bin").join(applet))?;
    }
    let mut files: BTreeSet<PathBuf> = contents.files.iter().cloned().collect();
    files.insert("/etc/ssl/certs/ca-certificates.crt".into());
    for name in PROGRAMS {
        files.insert(program(name)?);
    }
    for file in files.clone() {
        files.extend(linked(&file)?);
    }
    for file in &files {
        let copy = tree.join(file.strip_prefix("/")?);
        fs::create_dir_all(copy.parent().context("a file is in a directory")?)?;
        let _ = fs::remove_file(&copy);
        fs::copy(file, &copy).with_context(|| format!("cannot copy {}", file.display()))?;
    }
    fs::write(tree.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")?;
    fs::write(tree.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n")?;
    fs::write(tree.join("etc/hosts"), "127.0.0.1 localhost vm\n")?;
    fs::write(tree.join("etc/resolv.conf"), "nameserver 127.0.0.53\n")?;
    modules(&tree, kernel, &MODULES)?;
    script(&tree.join("init"), &INIT.replace("MODULES", &MODULES.join(" ")))?;
    fs::write(tree.join("script"), &contents.script)?;
    let disk = root.join("disk.ext4");
    run(Command::new("mke2fs").args(["-q", "-t", "ext4", "-d"]).arg(&tree).arg(&disk).arg(DISK_BYTES))?;
    fs::remove_dir_all(&tree)?;
    Ok(disk)
}

/// Modules with all that they need, at their places.
fn modules(tree: &Path, kernel: &Kernel, wanted: &[&str]) -> Result<()> {
    let directory = kernel.modules();
    let needs = fs::read_to_string(directory.join("modules.dep"))?;
    let copy = tree.join("lib/modules").join(&kernel.release);
    fs::create_dir_all(&copy)?;
    fs::write(copy.join("modules.dep"), &needs)?;
    let file =
        |path: &str| path.rsplit('/').next().unwrap_or_default().split('.').next().unwrap_or_default().to_owned();
    for name in wanted {
        let line = needs.lines().find(|line| line.split(':').next().is_some_and(|path| file(path) == *name));
        // What has no file is part of the kernel.
        for path in line.unwrap_or_default().split([':', ' ']).filter(|path| !path.is_empty()) {
            let to = copy.join(path);
            fs::create_dir_all(to.parent().context("a module is in a directory")?)?;
            fs::copy(directory.join(path), &to).with_context(|| format!("no module {path}"))?;
        }
    }
    Ok(())
}

fn busybox() -> Result<PathBuf> {
    program("busybox")
}

fn program(name: &str) -> Result<PathBuf> {
    let directories = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].map(Path::new);
    let found = directories.iter().map(|directory| directory.join(name)).find(|path| path.exists());
    found.with_context(|| format!("there is no program {name}"))
}

/// The libraries that a program links, by their paths here; none for what is no program or links none.
fn linked(file: &Path) -> Result<Vec<PathBuf>> {
    let told = Command::new("ldd").arg(file).output().context("cannot run ldd")?;
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    Ok(text
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(|word| word.trim_end_matches(':').into())
        .collect())
}

fn script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}
