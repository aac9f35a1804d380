//! Layers, friendly and hostile, unpacked into scratch directories. Needs root, as devices and owners do.

use super::*;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;
use tar::{Builder, Header};

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("runtime-unpack-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("scratch");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn add(tar: &mut Builder<Vec<u8>>, path: &str, kind: EntryType, link: &str, data: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(data.len() as u64);
    header.set_mode(if kind == EntryType::Directory { 0o750 } else { 0o4755 });
    header.set_uid(12);
    header.set_gid(34);
    header.set_mtime(1_000_000);
    header.set_device_major(1).expect("major");
    header.set_device_minor(3).expect("minor");
    // Written by hand: the library refuses hostile paths.
    let name = &mut header.as_old_mut().name;
    name[..path.len()].copy_from_slice(path.as_bytes());
    let name = &mut header.as_old_mut().linkname;
    name[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    tar.append(&header, data).expect("append");
}

fn layer(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (path, kind, link) in entries {
        let data: &[u8] = if *kind == EntryType::Regular { b"data" } else { b"" };
        add(&mut tar, path, *kind, link, data);
    }
    tar.into_inner().expect("tar")
}

use EntryType::{Block, Char, Directory, Fifo, Link, Regular, Symlink};

#[test]
fn kinds_owners_modes_and_times() {
    let scratch = Scratch::new("kinds");
    let stream = layer(&[
        ("./", Directory, ""),
        ("d/", Directory, ""),
        ("d/f", Regular, ""),
        ("d/hard", Link, "d/f"),
        ("d/soft", Symlink, "../../../etc/passwd"),
        ("null", Char, ""),
        ("pipe", Fifo, ""),
        ("implied/parent/f", Regular, ""),
    ]);
    let done = unpack(stream.as_slice(), &scratch.0).expect("unpack");
    assert_eq!(done, Unpacked { bytes: 8, entries: 8 });
    let data = |path: &str| fs::symlink_metadata(scratch.0.join(path)).expect(path);
    assert_eq!((data("d/f").uid(), data("d/f").gid()), (12, 34));
    assert_eq!(data("d/f").permissions().mode() & 0o7777, 0o4755, "set-uid is kept");
    assert_eq!(data("d").permissions().mode() & 0o7777, 0o750);
    assert_eq!(data("d").mtime(), 1_000_000, "directories get their times last");
    assert_eq!(data("d/f").ino(), data("d/hard").ino());
    assert_eq!(data("d/soft").uid(), 12);
    assert!(data("null").file_type().is_char_device());
    assert_eq!(data("null").rdev(), rustix::fs::makedev(1, 3));
    assert!(data("pipe").file_type().is_fifo());
    assert_eq!(data("implied").permissions().mode() & 0o7777, 0o755);
}

#[test]
fn deletions_become_overlay_marks() {
    let scratch = Scratch::new("whiteout");
    let stream = layer(&[
        ("d/", Directory, ""),
        ("d/.wh.gone", Regular, ""),
        ("o/", Directory, ""),
        ("o/.wh..wh..opq", Regular, ""),
        ("o/.wh..wh.plnk", Regular, ""),
    ]);
    unpack(stream.as_slice(), &scratch.0).expect("unpack");
    let gone = fs::symlink_metadata(scratch.0.join("d/gone")).expect("mark");
    assert!(gone.file_type().is_char_device());
    assert_eq!(gone.rdev(), 0);
    let mut value = [0u8; 8];
    let length = rustix::fs::getxattr(scratch.0.join("o"), "trusted.overlay.opaque", &mut value).expect("xattr");
    assert_eq!(&value[..length], b"y");
    assert_eq!(fs::read_dir(scratch.0.join("o")).expect("o").count(), 0);
}

#[test]
fn later_entries_replace_earlier_ones() {
    let scratch = Scratch::new("replace");
    let stream = layer(&[
        ("a", Regular, ""),
        ("a", Symlink, "b"),
        ("d/", Directory, ""),
        ("d/x", Regular, ""),
        ("d", Regular, ""),
        ("l", Symlink, "nowhere"),
        ("l/", Directory, ""),
        ("l/f", Regular, ""),
    ]);
    unpack(stream.as_slice(), &scratch.0).expect("unpack");
    assert!(scratch.0.join("a").is_symlink());
    assert!(scratch.0.join("d").is_file());
    assert!(scratch.0.join("l/f").is_file() && !scratch.0.join("l").is_symlink());
}

#[test]
fn climbing_and_absolute_paths_are_errors() {
    for path in ["../x", "a/../../x", "/etc/x", "a/..", ".."] {
        let scratch = Scratch::new("climb");
        let error = unpack(layer(&[(path, Regular, "")]).as_slice(), &scratch.0).expect_err(path);
        assert!(matches!(error, UnpackError::Path { .. }), "{path}: {error}");
    }
}

#[test]
fn links_out_of_the_tree_lead_nowhere() {
    let scratch = Scratch::new("links");
    let outside = Scratch::new("outside");
    fs::write(outside.0.join("secret"), "secret").expect("secret");
    let absolute = outside.0.to_str().expect("utf-8").to_owned();
    let through = format!("out/{}", "f");
    let stream = layer(&[("out", Symlink, &absolute), (&through, Regular, "")]);
    // The kernel takes the link as within the layer's root, where its target does not exist.
    let result = unpack(stream.as_slice(), &scratch.0);
    assert!(!outside.0.join("f").exists(), "written outside: {result:?}");
    let climbing = layer(&[("up", Symlink, "../../../../../../tmp"), ("up/f-climb", Regular, "")]);
    let scratch = Scratch::new("links2");
    let result = unpack(climbing.as_slice(), &scratch.0);
    assert!(!std::path::Path::new("/tmp/f-climb").exists(), "written outside: {result:?}");
    let scratch = Scratch::new("links3");
    let hard = layer(&[("h", Link, &absolute[1..])]);
    assert!(unpack(hard.as_slice(), &scratch.0).is_err(), "a hard link to the outside");
    let climbing = layer(&[("h", Link, "../../etc/passwd")]);
    assert!(matches!(unpack(climbing.as_slice(), &scratch.0), Err(UnpackError::Path { .. })));
}

#[test]
fn whiteouts_cannot_climb() {
    for name in [".wh...", ".wh..", ".wh."] {
        let scratch = Scratch::new("whclimb");
        let path = format!("d/{name}");
        let result = unpack(layer(&[("d/", Directory, ""), (&path, Regular, "")]).as_slice(), &scratch.0);
        assert!(result.is_err(), "{name}");
    }
}

#[test]
fn devices_keep_their_numbers_and_junk_is_refused() {
    let scratch = Scratch::new("junk");
    assert!(unpack(layer(&[("disk", Block, "")]).as_slice(), &scratch.0).is_ok());
    let odd = layer(&[("odd", EntryType::new(b'Z'), "")]);
    assert!(matches!(unpack(odd.as_slice(), &scratch.0), Err(UnpackError::Kind { kind: b'Z', .. })));
    let whole = layer(&[("f", Regular, "")]);
    assert!(unpack(&whole[..600], &scratch.0).is_err(), "cut short");
    assert!(unpack([7u8; 2048].as_slice(), &scratch.0).is_err(), "no tar at all");
}

#[test]
fn attributes_are_kept_but_overlays_own() {
    let scratch = Scratch::new("xattr");
    let mut tar = Builder::new(Vec::new());
    tar.append_pax_extensions([
        ("SCHILY.xattr.user.colour", b"red".as_slice()),
        ("SCHILY.xattr.trusted.overlay.redirect", b"/etc".as_slice()),
        ("SCHILY.xattr.user.overlay.opaque", b"y".as_slice()),
    ])
    .expect("pax");
    add(&mut tar, "f", Regular, "", b"x");
    unpack(tar.into_inner().expect("tar").as_slice(), &scratch.0).expect("unpack");
    let path = scratch.0.join("f");
    let mut value = [0u8; 16];
    let length = rustix::fs::getxattr(&path, "user.colour", &mut value).expect("colour");
    assert_eq!(&value[..length], b"red");
    for name in ["trusted.overlay.redirect", "user.overlay.opaque"] {
        assert!(rustix::fs::getxattr(&path, name, &mut value).is_err(), "{name}");
    }
}
