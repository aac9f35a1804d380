//! Unpacks one image layer into a fresh directory, in the form that overlayfs wants its lower directories.
//!
//! Nothing is written outside of that directory, whatever the layer says: every path is resolved by the kernel with the
//! directory as its root. Deletions become overlayfs's own marks. Sizes and counts are bounded.

use super::limits::{ENTRIES_MAX, LAYER_BYTES_MAX, PATH_BYTES_MAX};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use tar::{Archive, Entry, EntryType};

const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);
/// Marks of deletion in a layer.
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const WHITEOUT_META: &[u8] = b".wh..wh.";
/// Extended attributes in a layer's extended headers.
const XATTR: &[u8] = b"SCHILY.xattr.";

/// Why a layer cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The stream is no tar archive, or is cut short.
    #[error("malformed layer")]
    Malformed(#[source] io::Error),
    /// A path that is absolute, climbs or is too long.
    #[error("refused path {path:?} in a layer")]
    Path {
        /// As the layer has it.
        path: String,
    },
    /// An entry of a kind that layers do not have.
    #[error("refused entry {path:?} of kind {kind:#x} in a layer")]
    Kind {
        /// The entry.
        path: String,
        /// The byte in its header.
        kind: u8,
    },
    /// Too many entries or bytes.
    #[error("a layer has more than {most} {what}")]
    TooLarge {
        /// Bytes or entries.
        what: &'static str,
        /// How many are allowed.
        most: u64,
    },
    /// The file system said no.
    #[error("cannot write {path:?} of a layer")]
    Write {
        /// The entry.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unpacked {
    /// Bytes of file contents.
    pub(super) bytes: u64,
    pub(super) entries: u64,
}

/// Unpacks a tar stream into the directory `target`, which must be empty.
pub(super) fn unpack(stream: impl Read, target: &Path) -> Result<Unpacked, UnpackError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(target, flags, Mode::empty())
        .map_err(|e| UnpackError::Write { path: target.display().to_string(), source: e.into() })?;
    let mut unpacker = Unpacker { root, done: Unpacked::default(), parent: None, times: Vec::new() };
    let mut archive = Archive::new(stream);
    for entry in archive.entries().map_err(UnpackError::Malformed)? {
        unpacker.entry(entry.map_err(UnpackError::Malformed)?)?;
    }
    unpacker.set_directory_times();
    Ok(unpacker.done)
}

struct Unpacker {
    root: OwnedFd,
    done: Unpacked,
    /// The directory of the last entry: the next one is mostly in the same.
    parent: Option<(Vec<u8>, OwnedFd)>,
    /// Directories get their times last, as their entries change them.
    times: Vec<(Vec<u8>, i64)>,
}

/// Where an entry goes.
struct Place {
    path: Vec<u8>,
    parent: Vec<u8>,
    name: Vec<u8>,
}

impl Unpacker {
    fn entry<R: Read>(&mut self, mut entry: Entry<'_, R>) -> Result<(), UnpackError> {
        self.done.entries += 1;
        if self.done.entries > ENTRIES_MAX {
            return Err(UnpackError::TooLarge { what: "entries", most: ENTRIES_MAX });
        }
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader) {
            return Ok(());
        }
        let Some(place) = place(&entry.path_bytes())? else {
            return self.root_entry(&entry);
        };
        let written = self.write(&mut entry, kind, &place);
        written.map_err(|error| match error {
            Fault::Unpack(error) => error,
            Fault::Io(source) => UnpackError::Write { path: lossy(&place.path), source },
        })
    }

    fn write<R: Read>(&mut self, entry: &mut Entry<'_, R>, kind: EntryType, place: &Place) -> Result<(), Fault> {
        let parent = self.directory(&place.parent)?;
        if place.name.starts_with(WHITEOUT) {
            return Ok(whiteout(&parent, &place.name)?);
        }
        let name = place.name.as_slice();
        match kind {
            EntryType::Directory => {
                self.parent = None;
                let directory = make_directory(&parent, name)?;
                apply(&directory, entry)?;
                self.times.push((place.path.clone(), mtime(entry)));
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                make_room(&parent, name)?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let mut file = File::from(rustix::fs::openat(&parent, name, flags, Mode::RUSR)?);
                let room = LAYER_BYTES_MAX - self.done.bytes;
                let copied = io::copy(&mut entry.by_ref().take(room + 1), &mut file)?;
                if copied > room {
                    return Err(UnpackError::TooLarge { what: "bytes", most: LAYER_BYTES_MAX }.into());
                }
                self.done.bytes += copied;
                apply(&file, entry)?;
                rustix::fs::futimens(&file, &times(mtime(entry)))?;
            }
            EntryType::Link => {
                let target = link_target(entry, &place.path)?;
                let from = self.directory(&target.parent)?;
                make_room(&parent, name)?;
                rustix::fs::linkat(&from, target.name.as_slice(), &parent, name, AtFlags::empty())?;
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                make_room(&parent, name)?;
                rustix::fs::symlinkat(target.as_slice(), &parent, name)?;
                finish_node(&parent, name, entry, None)?;
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                make_room(&parent, name)?;
                make_node(&parent, name, entry, kind)?;
            }
            other => {
                let path = lossy(&place.path);
                return Err(UnpackError::Kind { path, kind: other.as_byte() }.into());
            }
        }
        Ok(())
    }

    /// The entry for the layer's root itself carries the root directory's owner and mode.
    fn root_entry<R: Read>(&self, entry: &Entry<'_, R>) -> Result<(), UnpackError> {
        if entry.header().entry_type() != EntryType::Directory {
            return Err(UnpackError::Path { path: lossy(&entry.path_bytes()) });
        }
        let mode = Mode::from_raw_mode(entry.header().mode().unwrap_or(0o755) & 0o7777);
        rustix::fs::fchmod(&self.root, mode).map_err(|e| UnpackError::Write { path: "/".into(), source: e.into() })
    }

    /// Opens a directory below the root, making what is missing.
    fn directory(&mut self, path: &[u8]) -> io::Result<OwnedFd> {
        if let Some((known, fd)) = &self.parent
            && known == path
        {
            return fd.try_clone();
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |path: &[u8]| rustix::fs::openat2(&self.root, path, flags, Mode::empty(), INSIDE);
        let fd = match open(if path.is_empty() { b"." } else { path }) {
            Err(Errno::NOENT) => {
                let (above, name) = split(path);
                let above = self.directory(above)?;
                rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o755))?;
                rustix::fs::openat(&above, name, flags | OFlags::NOFOLLOW, Mode::empty())?
            }
            result => result?,
        };
        self.parent = Some((path.to_vec(), fd.try_clone()?));
        Ok(fd)
    }

    fn set_directory_times(&self) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        for (path, mtime) in self.times.iter().rev() {
            // A later entry may have replaced the directory; its time is then nobody's.
            if let Ok(fd) = rustix::fs::openat2(&self.root, path.as_slice(), flags, Mode::empty(), INSIDE) {
                let _ = rustix::fs::futimens(&fd, &times(*mtime));
            }
        }
    }
}

enum Fault {
    Unpack(UnpackError),
    Io(io::Error),
}

impl From<UnpackError> for Fault {
    fn from(error: UnpackError) -> Self {
        Self::Unpack(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Errno> for Fault {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// Cleans a path; `None` for the root itself.
fn place(raw: &[u8]) -> Result<Option<Place>, UnpackError> {
    let refused = || UnpackError::Path { path: lossy(raw) };
    if raw.first() == Some(&b'/') || raw.len() > PATH_BYTES_MAX || raw.contains(&0) {
        return Err(refused());
    }
    let mut path = Vec::with_capacity(raw.len());
    for part in raw.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(refused()),
            part => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(part);
            }
        }
    }
    if path.is_empty() {
        return Ok(None);
    }
    let (parent, name) = split(&path);
    let (parent, name) = (parent.to_vec(), name.to_vec());
    Ok(Some(Place { path, parent, name }))
}

/// Hard links name another entry of the layer, from its root. Docker writes them without a leading slash; some tools
/// with.
fn link_target<R: Read>(entry: &Entry<'_, R>, path: &[u8]) -> Result<Place, UnpackError> {
    let raw = entry.link_name_bytes().unwrap_or_default();
    let raw = raw.strip_prefix(b"/").unwrap_or(&raw);
    place(raw)?.ok_or_else(|| UnpackError::Path { path: lossy(path) })
}

fn whiteout(parent: &OwnedFd, name: &[u8]) -> io::Result<()> {
    if name == OPAQUE {
        rustix::fs::fsetxattr(parent, "trusted.overlay.opaque", b"y", XattrFlags::empty())?;
        return Ok(());
    }
    if name.starts_with(WHITEOUT_META) {
        // Bookkeeping of another union file system.
        return Ok(());
    }
    let hidden = &name[WHITEOUT.len()..];
    if hidden.is_empty() || hidden == b"." || hidden == b".." {
        return Err(io::Error::from(Errno::INVAL));
    }
    make_room(parent, hidden)?;
    rustix::fs::mknodat(parent, hidden, FileType::CharacterDevice, Mode::empty(), 0)?;
    Ok(())
}

/// A later entry replaces an earlier one of the same name.
fn make_room(parent: &OwnedFd, name: &[u8]) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => remove_tree(parent.as_fd(), name),
        Err(error) => Err(error.into()),
    }
}

fn remove_tree(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    for entry in rustix::fs::Dir::read_from(&directory)? {
        let entry = entry?;
        let child = entry.file_name().to_bytes();
        if child == b"." || child == b".." {
            continue;
        }
        match rustix::fs::unlinkat(&directory, child, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => remove_tree(directory.as_fd(), child)?,
            result => result?,
        }
    }
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?;
    Ok(())
}

fn make_directory(parent: &OwnedFd, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
        Ok(()) => {}
        Err(Errno::EXIST) => match rustix::fs::openat(parent, name, flags, Mode::empty()) {
            Ok(fd) => return Ok(fd),
            Err(_) => {
                make_room(parent, name)?;
                rustix::fs::mkdirat(parent, name, Mode::RWXU)?;
            }
        },
        Err(error) => return Err(error.into()),
    }
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

fn owner<R: Read>(entry: &Entry<'_, R>) -> (Option<Uid>, Option<Gid>) {
    let id = |id: io::Result<u64>| id.ok().and_then(|id| u32::try_from(id).ok()).unwrap_or(0);
    (Some(Uid::from_raw(id(entry.header().uid()))), Some(Gid::from_raw(id(entry.header().gid()))))
}

fn mode<R: Read>(entry: &Entry<'_, R>) -> Mode {
    Mode::from_raw_mode(entry.header().mode().unwrap_or(0o644) & 0o7777)
}

fn mtime<R: Read>(entry: &Entry<'_, R>) -> i64 {
    entry.header().mtime().ok().and_then(|time| i64::try_from(time).ok()).unwrap_or(0)
}

fn times(seconds: i64) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

/// Owner before mode, as changing the owner clears set-uid; attributes last, as both clear capabilities.
fn apply<R: Read>(fd: impl AsFd, entry: &mut Entry<'_, R>) -> Result<(), Fault> {
    let (uid, gid) = owner(entry);
    rustix::fs::fchown(&fd, uid, gid)?;
    rustix::fs::fchmod(&fd, mode(entry))?;
    let attributes: Vec<(String, Vec<u8>)> = match entry.pax_extensions().map_err(UnpackError::Malformed)? {
        None => return Ok(()),
        Some(extensions) => extensions
            .flatten()
            .filter_map(|extension| {
                let name = extension.key_bytes().strip_prefix(XATTR)?;
                let name = std::str::from_utf8(name).ok()?.to_owned();
                // Overlayfs's own marks would let a layer redirect lookups into other layers.
                let taken = name.starts_with("user.") || name == "security.capability";
                (taken && !name.starts_with("user.overlay.")).then(|| (name, extension.value_bytes().to_vec()))
            })
            .collect(),
    };
    for (name, value) in attributes {
        match rustix::fs::fsetxattr(&fd, name.as_str(), &value, XattrFlags::empty()) {
            // A file system without them loses them, as with Docker.
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn make_node<R: Read>(parent: &OwnedFd, name: &[u8], entry: &Entry<'_, R>, kind: EntryType) -> Result<(), Fault> {
    let number = |number: io::Result<Option<u32>>| number.ok().flatten().unwrap_or(0);
    let header = entry.header();
    let device = rustix::fs::makedev(number(header.device_major()), number(header.device_minor()));
    let (file_type, device) = match kind {
        EntryType::Char => (FileType::CharacterDevice, device),
        EntryType::Block => (FileType::BlockDevice, device),
        _ => (FileType::Fifo, 0),
    };
    rustix::fs::mknodat(parent, name, file_type, Mode::RUSR, device)?;
    finish_node(parent, name, entry, Some(mode(entry)))
}

fn finish_node<R: Read>(parent: &OwnedFd, name: &[u8], entry: &Entry<'_, R>, mode: Option<Mode>) -> Result<(), Fault> {
    let (uid, gid) = owner(entry);
    rustix::fs::chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    if let Some(mode) = mode {
        rustix::fs::chmodat(parent, name, mode, AtFlags::empty())?;
    }
    rustix::fs::utimensat(parent, name, &times(mtime(entry)), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;
