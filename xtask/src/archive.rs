//! A directory packed as a container image, in the form that `docker save` writes: one layer, owned by root, without times,
//! so that the same directory gives the same image. Packs; makes no directory.

use anyhow::{Context, Result, bail};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tar::{Builder, EntryType, Header};

/// What an image says of itself.
pub struct Image<'a> {
    /// `nginx:latest`.
    pub reference: &'a str,
    /// What runs when nobody says anything else.
    pub command: &'a [&'a str],
    /// What asks it to end; `None`: SIGTERM.
    pub stop_signal: Option<&'a str>,
    /// Debian's word for the processor, which is the image format's too.
    pub architecture: &'a str,
}

/// Packs `directory` as the image into the file `archive`, which appears when it is whole.
pub fn pack(directory: &Path, image: &Image<'_>, archive: &Path) -> Result<()> {
    let mut layer = Builder::new(Vec::new());
    append(&mut layer, directory, Path::new(""))?;
    let layer = layer.into_inner()?;
    let config = json!({
        "architecture": image.architecture,
        "os": "linux",
        "config": {
            "Cmd": image.command,
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "StopSignal": image.stop_signal,
        },
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
        "history": [],
    });
    let manifest = json!([{ "Config": "config.json", "RepoTags": [image.reference], "Layers": ["layer.tar"] }]);
    let mut whole = Builder::new(Vec::new());
    for (name, bytes) in [
        ("layer.tar", layer),
        ("config.json", config.to_string().into_bytes()),
        ("manifest.json", manifest.to_string().into_bytes()),
    ] {
        let mut header = header(EntryType::Regular, 0o644);
        header.set_size(bytes.len() as u64);
        whole.append_data(&mut header, name, bytes.as_slice())?;
    }
    let aside = archive.with_extension("new");
    let written = fs::File::create(&aside).and_then(|mut file| file.write_all(&whole.into_inner()?));
    let told = || format!("cannot write {}", archive.display());
    written.with_context(told)?;
    fs::rename(&aside, archive).with_context(told)
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header
}

/// Appends what is in `root/inside`, in the order of names.
fn append(tar: &mut Builder<Vec<u8>>, root: &Path, inside: &Path) -> Result<()> {
    let mut entries = fs::read_dir(root.join(inside))?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = inside.join(entry.file_name());
        let metadata = entry.metadata()?;
        let mode = metadata.permissions().mode() & 0o7777;
        if metadata.is_symlink() {
            tar.append_link(&mut header(EntryType::Symlink, 0o777), &name, fs::read_link(entry.path())?)?;
        } else if metadata.is_dir() {
            tar.append_data(&mut header(EntryType::Directory, mode), &name, std::io::empty())?;
            append(tar, root, &name)?;
        } else if metadata.is_file() {
            let bytes = fs::read(entry.path()).with_context(|| format!("cannot read {}", entry.path().display()))?;
            let mut header = header(EntryType::Regular, mode);
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, &name, bytes.as_slice())?;
        } else {
            bail!("{} is neither file, directory nor link", entry.path().display());
        }
    }
    Ok(())
}
