//! The store's table of contents, `images/index.json`: which references stand for which images, and of which layers
//! these consist. Written aside, synced and renamed.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// The whole table.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Index {
    /// By normalised reference.
    pub(super) references: BTreeMap<String, Tag>,
    /// By manifest digest.
    pub(super) images: BTreeMap<String, Entry>,
}

/// What a reference stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tag {
    /// The manifest for this machine.
    pub(super) digest: String,
    /// What the registry names for the reference: the digest of an index, or the same.
    pub(super) remote: Option<String>,
    /// Came from an archive, and is never looked up.
    pub(super) loaded: bool,
}

/// One unpacked image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The configuration's digest.
    pub(super) config: String,
    /// Diff ids, lowest first.
    pub(super) layers: Vec<String>,
    /// Bytes of its files.
    pub(super) bytes: u64,
}

const FILE: &str = "index.json";

impl Index {
    /// An absent file is an empty table; one that cannot be read is an error, not a loss.
    pub(super) fn read(images: &Path) -> io::Result<Self> {
        match fs::read(images.join(FILE)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&self, images: &Path) -> io::Result<()> {
        let aside = images.join(".index.json.new");
        let mut file = File::create(&aside)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_data()?;
        fs::rename(aside, images.join(FILE))
    }
}
