//! A container's root file system: image layers and a writable layer joined by overlayfs, and the few files that Docker
//! writes for every container. Mounts only inside the supervisor's private mount namespace; every path inside the image
//! is resolved within its root.

use super::failure::Failure;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// /etc/passwd and /etc/group are read to this size, no further.
const ACCOUNT_BYTES_MAX: u64 = 4 << 20;
/// What overlayfs takes (`OVL_MAX_STACK`), less the writable one.
const LAYERS_MAX: usize = 499;
/// Symbolic links and lookups stay below the root.
const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// A mounted root file system.
pub(crate) struct Rootfs {
    path: PathBuf,
    root: OwnedFd,
}

/// Where the pieces of a root file system are.
pub(crate) struct Pieces<'a> {
    /// Lowest first.
    pub(crate) layers: &'a [PathBuf],
    /// The writable layer and overlayfs's own directory are made in here, on disk.
    pub(crate) writable: &'a Path,
    /// An empty directory in the private tmpfs for short names of the layers: the mount options must fit one page.
    pub(crate) links: &'a Path,
    /// The mount point, also in the private tmpfs.
    pub(crate) target: &'a Path,
}

impl Rootfs {
    /// Mounts it.
    pub(crate) fn mount(pieces: &Pieces<'_>) -> Result<Self, Failure> {
        let because = |error: &std::io::Error| Failure::because("root file system", error);
        if pieces.layers.len() > LAYERS_MAX {
            return Err(Failure::create(format!("the image has more than {LAYERS_MAX} layers")));
        }
        // Of a container that is started again: overlayfs does not take up what it may have left there unsynced.
        let _ = fs::remove_dir_all(pieces.writable.join("work"));
        for directory in [pieces.writable.join("upper"), pieces.writable.join("work")] {
            fs::create_dir_all(directory).map_err(|e| because(&e))?;
        }
        for directory in [pieces.links, pieces.target] {
            fs::create_dir_all(directory).map_err(|e| because(&e))?;
        }
        let mut lower = Vec::new();
        let mut seen = BTreeSet::new();
        for (number, layer) in pieces.layers.iter().rev().enumerate() {
            // Overlayfs refuses a directory twice; the upper one of two equal layers hides the lower one altogether.
            if !seen.insert(layer) {
                continue;
            }
            let name = number.to_string();
            std::os::unix::fs::symlink(layer, pieces.links.join(&name)).map_err(|e| because(&e))?;
            lower.push(name);
        }
        if lower.is_empty() {
            fs::create_dir(pieces.links.join("none")).map_err(|e| because(&e))?;
            lower.push("none".to_owned());
        }
        std::os::unix::fs::symlink(pieces.writable, pieces.links.join("w")).map_err(|e| because(&e))?;
        overlay(pieces.links, pieces.target, &lower.join(":")).map_err(|e| because(&e.into()))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(pieces.target, flags, Mode::empty()).map_err(|e| because(&e.into()))?;
        Ok(Self { path: pieces.target.to_owned(), root })
    }

    /// Takes the mount away at once; what is still open stays usable.
    pub(crate) fn unmount(target: &Path) {
        // Nothing to say when it is gone already.
        let _ = rustix::mount::unmount(target, UnmountFlags::DETACH);
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// /etc/passwd and /etc/group; empty when there are none.
    pub(crate) fn accounts(&self) -> (String, String) {
        (self.read("etc/passwd"), self.read("etc/group"))
    }

    fn read(&self, path: &str) -> String {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let Ok(fd) = rustix::fs::openat2(&self.root, path, flags, Mode::empty(), INSIDE) else {
            return String::new();
        };
        let regular =
            rustix::fs::fstat(&fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        let mut bytes = Vec::new();
        if regular {
            // An unreadable file is as good as none.
            let _ = File::from(fd).take(ACCOUNT_BYTES_MAX).read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Replaces /etc/`name`, whatever it was, a link included.
    pub(crate) fn write_etc(&self, name: &str, text: &str) -> Result<(), Failure> {
        let failed = |error: Errno| Failure::because(&format!("/etc/{name}"), &std::io::Error::from(error));
        let etc = self.make_directory("etc").map_err(failed)?;
        match rustix::fs::unlinkat(&etc, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(failed(error)),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&etc, name, flags, Mode::from_raw_mode(0o644)).map_err(failed)?;
        File::from(file).write_all(text.as_bytes()).map_err(|error| Failure::because(&format!("/etc/{name}"), &error))
    }

    /// A directory of the image, if it has one there: a path to it that cannot lead out of the root.
    pub(crate) fn directory(&self, path: &str) -> Option<PathBuf> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat2(&self.root, path, flags, Mode::empty(), INSIDE).ok()?;
        fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()
    }

    /// Makes a directory and those above it, as Docker does for a working directory that the image lacks.
    pub(crate) fn make_directory(&self, path: &str) -> rustix::io::Result<OwnedFd> {
        let mut at = rustix::io::fcntl_dupfd_cloexec(&self.root, 3)?;
        let mut so_far = String::new();
        for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
            so_far.push('/');
            so_far.push_str(part);
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let open = || rustix::fs::openat2(&self.root, &so_far, flags, Mode::empty(), INSIDE);
            at = match open() {
                Err(Errno::NOENT) => {
                    rustix::fs::mkdirat(&at, part, Mode::from_raw_mode(0o755))?;
                    open()?
                }
                result => result?,
            };
        }
        Ok(at)
    }
}

/// Overlayfs with short relative names, so that any number of layers fits; `volatile` as nothing of a task outlives the
/// machine, where the kernel knows that option.
fn overlay(links: &Path, target: &Path, lower: &str) -> rustix::io::Result<()> {
    let back = rustix::fs::open(".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    rustix::process::chdir(links)?;
    let mut result = Err(Errno::INVAL);
    for more in [",volatile", ""] {
        let options = format!("lowerdir={lower},upperdir=w/upper,workdir=w/work{more}");
        let options = CString::new(options).map_err(|_| Errno::INVAL)?;
        result = rustix::mount::mount("overlay", target, "overlay", MountFlags::empty(), Some(options.as_c_str()));
        if result != Err(Errno::INVAL) {
            break;
        }
    }
    rustix::process::fchdir(back)?;
    result
}

/// /etc/resolv.conf for these servers.
pub(crate) fn resolv_conf(servers: &[std::net::Ipv4Addr], search: &[String]) -> String {
    let mut text = String::new();
    if !search.is_empty() {
        text.push_str(&format!("search {}\n", search.join(" ")));
    }
    for server in servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    text
}

/// /etc/hosts: the loopback names, the container's own and the task's further lines.
pub(crate) fn hosts(lines: &[(String, String)]) -> String {
    let mut text = String::from("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    for (name, address) in lines {
        text.push_str(&format!("{address}\t{name}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_files() {
        let servers = ["172.31.0.2".parse().expect("address")];
        assert_eq!(resolv_conf(&servers, &["ec2.internal".into()]), "search ec2.internal\nnameserver 172.31.0.2\n");
        let text = hosts(&[("ip-172-31-0-5.ec2.internal".into(), "172.31.0.5".into())]);
        assert!(text.ends_with("172.31.0.5\tip-172-31-0-5.ec2.internal\n"));
    }
}
