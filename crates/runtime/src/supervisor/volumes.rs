//! Volumes: directories of the host, and the task's own, which are made when a container first needs them and go with the
//! task. Where they are seen inside a container is libcontainer's to resolve, within the container's root.

use super::failure::Failure;
use super::rootfs::Rootfs;
use crate::directory::file_name;
use node::hands::{Mount, MountSource};
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where a mount comes from on the host.
pub(super) fn source(volumes: &Path, source: &MountSource) -> PathBuf {
    match source {
        MountSource::Host(path) => PathBuf::from(path),
        MountSource::Task(name) => volumes.join(file_name(name)),
    }
}

/// Makes what is not there. A fresh volume of the task's begins with what the image has in its place, as in Docker.
pub(super) fn make(volumes: &Path, mounts: &[Mount], root: &Rootfs) -> Result<(), Failure> {
    for mount in mounts {
        let path = source(volumes, &mount.source);
        let failed = |error: io::Error| Failure::because(&format!("volume {}", path.display()), &error);
        if !path.is_absolute() || path.components().any(|part| part == std::path::Component::ParentDir) {
            return Err(Failure::create(format!("volume {} is not an absolute path", path.display())));
        }
        match (&mount.source, path.try_exists().map_err(failed)?) {
            (_, true) => {}
            (MountSource::Host(_), false) => fs::create_dir_all(&path).map_err(failed)?,
            (MountSource::Task(_), false) => fresh(volumes, &path, root, &mount.path).map_err(failed)?,
        }
    }
    Ok(())
}

/// Made aside and renamed: a second container that comes meanwhile finds it whole or not at all.
fn fresh(volumes: &Path, path: &Path, root: &Rootfs, seen_at: &str) -> io::Result<()> {
    fs::create_dir_all(volumes)?;
    let aside = volumes.join(format!(".new-{}", std::process::id()));
    let _ = fs::remove_dir_all(&aside);
    fs::create_dir(&aside)?;
    fs::set_permissions(&aside, fs::Permissions::from_mode(0o755))?;
    if let Some(image) = root.directory(seen_at) {
        copy(&image, &aside)?;
    }
    // Never over one that is there: it may be mounted already.
    match rustix::fs::renameat_with(CWD, &aside, CWD, path, RenameFlags::NOREPLACE) {
        Err(Errno::EXIST) => fs::remove_dir_all(&aside),
        result => result.map_err(io::Error::from),
    }
}

/// Directories, files and links with their owners and modes; devices and sockets are no content. Links are copied, never
/// followed.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    own(from, to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            fs::create_dir(&target)?;
            copy(&source, &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source)?, &target)?;
        } else if kind.is_file() {
            fs::copy(&source, &target)?;
            own(&source, &target)?;
        }
    }
    Ok(())
}

fn own(from: &Path, to: &Path) -> io::Result<()> {
    let data = fs::symlink_metadata(from)?;
    std::os::unix::fs::chown(to, Some(data.uid()), Some(data.gid()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(data.mode() & 0o7777))
}
