//! The images of a node: fetched from registries or loaded from archives, verified, unpacked, found again.
//!
//! ```text
//! <data>/images/index.json          which reference is which image
//!               blobs/sha256/<hex>  manifests and configurations
//!               layers/<hex>/       unpacked layers by diff id, overlayfs form
//!               fetch/              layers on their way in
//! ```
//!
//! Never mounts and never runs anything; a directory below `layers` is whole and verified, or not there.

mod archive;
mod blob;
mod config;
mod fetch;
mod index;
mod layer;
mod limits;
mod pull;
mod reference;
mod unpack;

pub use archive::{ArchiveError, LoadedImage};
pub use layer::LayerError;
pub use pull::{Progress, PullError};
pub use reference::{Reference, ReferenceError};
pub use unpack::UnpackError;

use crate::supervisor::ImageConfig;
use blob::{Blobs, hex_of};
use config::ConfigFile;
use index::{Entry, Index, Tag};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An image ready to be a container's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The manifest's digest, `sha256:…`.
    pub digest: String,
    /// What the image says of its containers.
    pub config: ImageConfig,
    /// Unpacked layers, lowest first.
    pub layers: Vec<PathBuf>,
    /// Bytes of its files.
    pub bytes: u64,
}

/// A line of `gantry images`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageLine {
    /// The normalised reference; `None` for an image that lost its last one while in use.
    pub reference: Option<String>,
    /// The manifest's digest.
    pub digest: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// It came from an archive.
    pub loaded: bool,
}

/// The store itself could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file of the store.
    #[error("cannot {what} the image store at {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The store's directory.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The text is no reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// No such image here.
    #[error("no image {reference}")]
    Unknown {
        /// What was asked for.
        reference: String,
    },
}

/// All images of one node. One process may hold a directory at a time; the node's data directory is locked for that.
pub struct ImageStore {
    directory: PathBuf,
    blobs: Blobs,
    /// Registries that are spoken to without TLS, besides those on loopback.
    insecure: BTreeSet<String>,
    state: Mutex<State>,
    /// One lock per reference being pulled: who comes second waits and finds the image there.
    pulls: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    clients: Mutex<BTreeMap<String, oci_client::Client>>,
}

struct State {
    index: Index,
    /// Layers and blobs of images that are on their way into the index, with how many want them.
    pinned: BTreeMap<String, usize>,
}

impl ImageStore {
    /// Opens or makes the store in `directory`, and removes what an interrupted pull left.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let file = |what| move |source| StoreError::File { what, path: directory.to_owned(), source };
        let layers = directory.join("layers");
        for directory in [&layers, &directory.join("fetch")] {
            fs::create_dir_all(directory).map_err(file("make"))?;
        }
        // A set-uid program of an image is nothing for the host's users.
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).map_err(file("protect"))?;
        for entry in fs::read_dir(&layers).map_err(file("read"))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with('.') {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        for entry in fs::read_dir(directory.join("fetch")).map_err(file("read"))?.flatten() {
            let _ = fs::remove_file(entry.path());
        }
        let index = Index::read(directory).map_err(file("read"))?;
        Ok(Self {
            directory: directory.to_owned(),
            blobs: Blobs::open(directory).map_err(file("make"))?,
            insecure: BTreeSet::new(),
            state: Mutex::new(State { index, pinned: BTreeMap::new() }),
            pulls: Mutex::default(),
            clients: Mutex::default(),
        })
    }

    /// Names registries (`host:port`) that have no TLS.
    pub fn with_insecure(mut self, registries: impl IntoIterator<Item = String>) -> Self {
        self.insecure.extend(registries);
        self
    }

    /// The image that `reference` stands for here, without asking anybody.
    pub fn resolve_local(&self, reference: &str) -> Option<Image> {
        let reference = Reference::parse(reference).ok()?;
        let state = self.state();
        let digest = match state.index.references.get(&reference.to_string()) {
            Some(tag) => tag.digest.clone(),
            None => reference.digest()?.to_owned(),
        };
        self.image(&state.index, &digest)
    }

    /// An image by its manifest digest.
    pub fn by_digest(&self, digest: &str) -> Option<Image> {
        self.image(&self.state().index, digest)
    }

    /// All references, then images without one.
    pub fn list(&self) -> Vec<ImageLine> {
        let state = self.state();
        let bytes = |digest: &str| state.index.images.get(digest).map_or(0, |entry| entry.bytes);
        let named = state.index.references.iter().map(|(reference, tag)| ImageLine {
            reference: Some(reference.clone()),
            digest: tag.digest.clone(),
            bytes: bytes(&tag.digest),
            loaded: tag.loaded,
        });
        let known: BTreeSet<&String> = state.index.references.values().map(|tag| &tag.digest).collect();
        let unnamed = state.index.images.iter().filter(|(digest, _)| !known.contains(digest)).map(|(digest, entry)| {
            ImageLine { reference: None, digest: digest.clone(), bytes: entry.bytes, loaded: false }
        });
        named.chain(unnamed).collect()
    }

    /// Forgets a reference, and deletes what no other reference and no digest `in_use` needs. Blocks on the disk.
    pub fn remove(&self, reference: &str, in_use: &BTreeSet<String>) -> Result<(), StoreError> {
        let name = Reference::parse(reference)?.to_string();
        if self.state().index.references.remove(&name).is_none() {
            return Err(StoreError::Unknown { reference: name });
        }
        self.clean(in_use)
    }

    /// Deletes what no reference and no digest `in_use` needs. Blocks on the disk.
    pub fn clean(&self, in_use: &BTreeSet<String>) -> Result<(), StoreError> {
        let mut state = self.state();
        let tagged: BTreeSet<String> = state.index.references.values().map(|tag| tag.digest.clone()).collect();
        state.index.images.retain(|digest, _| tagged.contains(digest) || in_use.contains(digest));
        self.save(&state.index)?;
        let mut keep: BTreeSet<String> = state.pinned.keys().cloned().collect();
        for (digest, entry) in &state.index.images {
            keep.extend([digest.clone(), entry.config.clone()]);
            keep.extend(entry.layers.iter().cloned());
        }
        self.blobs.retain(|digest| keep.contains(digest));
        let layers = self.layers();
        let Ok(entries) = fs::read_dir(&layers) else { return Ok(()) };
        let mut gone = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') && !keep.contains(&format!("sha256:{name}")) {
                // Renamed under the lock, deleted after it: half a layer is never found under its name.
                let aside = layer::aside(&layers);
                if fs::rename(entry.path(), &aside).is_ok() {
                    gone.push(aside);
                }
            }
        }
        drop(state);
        for directory in gone {
            let _ = fs::remove_dir_all(directory);
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn layers(&self) -> PathBuf {
        self.directory.join("layers")
    }

    fn save(&self, index: &Index) -> Result<(), StoreError> {
        index.write(&self.directory).map_err(|source| StoreError::File {
            what: "write",
            path: self.directory.clone(),
            source,
        })
    }

    fn image(&self, index: &Index, digest: &str) -> Option<Image> {
        let entry = index.images.get(digest)?;
        let config: ConfigFile = serde_json::from_slice(&self.blobs.read(&entry.config)?).ok()?;
        let layers: Vec<PathBuf> = entry.layers.iter().filter_map(|id| Some(self.layers().join(hex_of(id)?))).collect();
        // A layer that somebody deleted makes the image unknown, so that it is fetched again.
        layers.iter().all(|layer| layer.is_dir()).then(|| Image {
            digest: digest.to_owned(),
            config: config.settings(),
            layers,
            bytes: entry.bytes,
        })
    }

    /// Puts a complete image into the index.
    fn enter(&self, digest: &str, entry: Entry, tag: Option<(&str, Tag)>) -> Result<(), StoreError> {
        let mut state = self.state();
        // What was unpacked before counts as much as what came now.
        let known = state.index.images.get(digest).map_or(0, |known| known.bytes);
        let entry = Entry { bytes: entry.bytes.max(known), ..entry };
        state.index.images.insert(digest.to_owned(), entry);
        if let Some((reference, tag)) = tag {
            state.index.references.insert(reference.to_owned(), tag);
        }
        self.save(&state.index)
    }

    /// Keeps these digests from being cleaned away until the pin is dropped.
    fn pin(self: &Arc<Self>, digests: impl IntoIterator<Item = String>) -> Pin {
        let digests: Vec<String> = digests.into_iter().collect();
        let mut state = self.state();
        for digest in &digests {
            *state.pinned.entry(digest.clone()).or_default() += 1;
        }
        Pin { store: self.clone(), digests }
    }
}

struct Pin {
    store: Arc<ImageStore>,
    digests: Vec<String>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut state = self.store.state();
        for digest in &self.digests {
            if let Some(count) = state.pinned.get_mut(digest) {
                *count -= 1;
                if *count == 0 {
                    state.pinned.remove(digest);
                }
            }
        }
    }
}
