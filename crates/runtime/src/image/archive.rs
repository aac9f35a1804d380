//! Images from archives: what `docker save` and `skopeo copy … docker-archive:` or `oci-archive:` write. Reads only;
//! everything is verified by digest as if it came from a registry.

use super::blob::digest;
use super::config::{ConfigFile, Descriptor, Index, Manifest, native};
use super::index::{Entry, Tag};
use super::layer::{LayerError, aside, decompress, unpack_layer};
use super::limits::{ARCHIVE_MEMBERS_MAX, BLOB_BYTES_MAX, CONFIG_BYTES_MAX, MANIFEST_BYTES_MAX};
use super::reference::Reference;
use super::{ImageStore, StoreError};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

/// Links from member to member are followed this often.
const LINKS_MAX: usize = 8;
const IMAGES_MAX: usize = 1000;
const NAME: &str = "org.opencontainers.image.ref.name";
const FULL_NAME: &str = "io.containerd.image.name";

/// One image that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedImage {
    /// Its normalised reference; `None` when the archive gives it no name.
    pub reference: Option<String>,
    /// The manifest's digest.
    pub digest: String,
}

/// Why an archive cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be read, or is no tar archive.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// Neither `manifest.json` nor `index.json` is in it.
    #[error("neither a docker archive (manifest.json) nor an OCI archive (index.json)")]
    Unknown,
    /// Something that it refers to.
    #[error("the archive lacks {member}")]
    Missing {
        /// The member.
        member: String,
    },
    /// A document in it.
    #[error("malformed {member} in the archive")]
    Document {
        /// The member.
        member: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Too large or too many.
    #[error("{what} of the archive is over the limit of {most}")]
    TooLarge {
        /// What.
        what: String,
        /// The limit.
        most: u64,
    },
    /// A member's contents and its digest differ.
    #[error("{member} of the archive does not have the digest in its name")]
    Digest {
        /// The member.
        member: String,
    },
    /// Not for this machine, or inconsistent.
    #[error("{reason}")]
    Unfit {
        /// Why.
        reason: String,
    },
    /// See [`LayerError`].
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A line of Docker's `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl ImageStore {
    /// Loads all images of an archive, which may itself be compressed. Blocks on the disk.
    pub fn load<R: Read + Seek>(self: &Arc<Self>, mut archive: R) -> Result<Vec<LoadedImage>, ArchiveError> {
        let mut start = [0u8; 4];
        let length = archive.read(&mut start).map_err(ArchiveError::Read)?;
        archive.rewind().map_err(ArchiveError::Read)?;
        let compressed = matches!(&start[..length], [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd]);
        if !compressed {
            return self.load_plain(archive);
        }
        let path = aside(&self.directory.join("fetch"));
        let result = self.load_compressed(archive, &path);
        let _ = std::fs::remove_file(path);
        result
    }

    /// Members are needed out of order, so the plain form is made first.
    fn load_compressed(
        self: &Arc<Self>,
        archive: impl Read,
        path: &std::path::Path,
    ) -> Result<Vec<LoadedImage>, ArchiveError> {
        let mut plain = File::create_new(path).map_err(ArchiveError::Read)?;
        let mut stream = decompress(archive).map_err(ArchiveError::Read)?.take(BLOB_BYTES_MAX + 1);
        let length = io::copy(&mut stream, &mut plain).map_err(ArchiveError::Read)?;
        if length > BLOB_BYTES_MAX {
            return Err(ArchiveError::TooLarge { what: "the size".into(), most: BLOB_BYTES_MAX });
        }
        self.load_plain(File::open(path).map_err(ArchiveError::Read)?)
    }

    fn load_plain<R: Read + Seek>(self: &Arc<Self>, archive: R) -> Result<Vec<LoadedImage>, ArchiveError> {
        let mut members = Members::read(archive)?;
        if members.has("manifest.json") {
            self.load_docker(&mut members)
        } else if members.has("index.json") {
            self.load_oci(&mut members)
        } else {
            Err(ArchiveError::Unknown)
        }
    }

    fn load_docker<R: Read + Seek>(
        self: &Arc<Self>,
        members: &mut Members<R>,
    ) -> Result<Vec<LoadedImage>, ArchiveError> {
        let images: Vec<DockerImage> = members.document("manifest.json", MANIFEST_BYTES_MAX)?.0;
        check_count(images.len())?;
        let mut loaded = Vec::new();
        for image in images {
            let (file, config): (ConfigFile, Vec<u8>) = members.document(&image.config, CONFIG_BYTES_MAX)?;
            // The format has no manifest: one is made, always the same for the same configuration.
            let layer = |(diff_id, member): (&String, &String)| Descriptor {
                media_type: "application/vnd.oci.image.layer.v1.tar".into(),
                digest: diff_id.clone(),
                size: members.size(member),
                platform: None,
                annotations: None,
            };
            let manifest = Manifest {
                schema_version: 2,
                media_type: Some("application/vnd.oci.image.manifest.v1+json".into()),
                config: Descriptor {
                    media_type: "application/vnd.oci.image.config.v1+json".into(),
                    digest: digest(&config),
                    size: config.len() as u64,
                    platform: None,
                    annotations: None,
                },
                layers: file.rootfs.diff_ids.iter().zip(&image.layers).map(layer).collect(),
            };
            let manifest = serde_json::to_vec(&manifest)
                .map_err(|source| ArchiveError::Document { member: image.config.clone(), source })?;
            let names = image.repo_tags.unwrap_or_default();
            let digest = self.load_image(members, &manifest, &config, &file, &image.layers)?;
            loaded.extend(self.tag_loaded(&digest, &names)?);
        }
        Ok(loaded)
    }

    fn load_oci<R: Read + Seek>(self: &Arc<Self>, members: &mut Members<R>) -> Result<Vec<LoadedImage>, ArchiveError> {
        let index: Index = members.document("index.json", MANIFEST_BYTES_MAX)?.0;
        check_count(index.manifests.len())?;
        let mut loaded = Vec::new();
        for descriptor in &index.manifests {
            let names: Vec<String> = descriptor
                .annotations
                .as_ref()
                .and_then(|all| all.get(FULL_NAME).or_else(|| all.get(NAME)))
                .cloned()
                .into_iter()
                .collect();
            let (mut document, mut bytes): (serde_json::Value, Vec<u8>) =
                members.blob(&descriptor.digest, MANIFEST_BYTES_MAX)?;
            if document.get("manifests").is_some() {
                let member = || descriptor.digest.clone();
                let inner: Index = serde_json::from_value(document)
                    .map_err(|source| ArchiveError::Document { member: member(), source })?;
                let native = native(&inner).ok_or_else(|| ArchiveError::Unfit {
                    reason: "the image has no manifest for this machine".into(),
                })?;
                (document, bytes) = members.blob(&native.digest, MANIFEST_BYTES_MAX)?;
            }
            let manifest: Manifest = serde_json::from_value(document)
                .map_err(|source| ArchiveError::Document { member: descriptor.digest.clone(), source })?;
            let (file, config): (ConfigFile, Vec<u8>) = members.blob(&manifest.config.digest, CONFIG_BYTES_MAX)?;
            let layers: Vec<String> = manifest.layers.iter().map(|layer| blob_member(&layer.digest)).collect();
            let digest = self.load_image(members, &bytes, &config, &file, &layers)?;
            loaded.extend(self.tag_loaded(&digest, &names)?);
        }
        Ok(loaded)
    }

    fn load_image<R: Read + Seek>(
        self: &Arc<Self>,
        members: &mut Members<R>,
        manifest: &[u8],
        config: &[u8],
        file: &ConfigFile,
        layers: &[String],
    ) -> Result<String, ArchiveError> {
        if let Some(reason) = file.unfit(layers.len()) {
            return Err(ArchiveError::Unfit { reason });
        }
        let diff_ids = &file.rootfs.diff_ids;
        let _pin = self.pin(diff_ids.iter().cloned().chain([digest(manifest), digest(config)]));
        let mut bytes = 0;
        for (diff_id, member) in diff_ids.iter().zip(layers) {
            bytes += unpack_layer(&self.layers(), diff_id, members.open(member)?)?;
        }
        let written = |source| StoreError::File { what: "write", path: self.directory.clone(), source };
        let config = self.blobs.write(config).map_err(written)?;
        let digest = self.blobs.write(manifest).map_err(written)?;
        self.enter(&digest, Entry { config, layers: diff_ids.clone(), bytes }, None)?;
        Ok(digest)
    }

    fn tag_loaded(&self, digest: &str, names: &[String]) -> Result<Vec<LoadedImage>, ArchiveError> {
        let mut loaded = Vec::new();
        for name in names {
            let reference = Reference::parse(name).map_err(StoreError::from)?.to_string();
            let tag = Tag { digest: digest.to_owned(), remote: None, loaded: true };
            let mut state = self.state();
            state.index.references.insert(reference.clone(), tag);
            self.save(&state.index)?;
            loaded.push(LoadedImage { reference: Some(reference), digest: digest.to_owned() });
        }
        if loaded.is_empty() {
            loaded.push(LoadedImage { reference: None, digest: digest.to_owned() });
        }
        Ok(loaded)
    }
}

fn check_count(images: usize) -> Result<(), ArchiveError> {
    if images > IMAGES_MAX {
        return Err(ArchiveError::TooLarge { what: "the number of images".into(), most: IMAGES_MAX as u64 });
    }
    Ok(())
}

fn blob_member(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

enum Member {
    File { offset: u64, size: u64 },
    Link(String),
}

/// The archive's table of contents.
struct Members<R> {
    archive: R,
    members: BTreeMap<String, Member>,
}

impl<R: Read + Seek> Members<R> {
    fn read(mut archive: R) -> Result<Self, ArchiveError> {
        let mut members = BTreeMap::new();
        let mut tar = tar::Archive::new(&mut archive);
        for entry in tar.entries_with_seek().map_err(ArchiveError::Read)? {
            let entry = entry.map_err(ArchiveError::Read)?;
            let name = clean(&String::from_utf8_lossy(&entry.path_bytes()));
            let kind = entry.header().entry_type();
            if kind.is_file() {
                let offset = entry.raw_file_position();
                members.insert(name, Member::File { offset, size: entry.size() });
            } else if kind.is_symlink() || kind.is_hard_link() {
                let target = entry.link_name_bytes().unwrap_or_default();
                let target = String::from_utf8_lossy(&target).into_owned();
                let base = if kind.is_symlink() { name.rsplit_once('/').map_or("", |(base, _)| base) } else { "" };
                let target = clean(&format!("{base}/{target}"));
                members.insert(name, Member::Link(target));
            }
            if members.len() > ARCHIVE_MEMBERS_MAX {
                let what = "the number of members".to_owned();
                return Err(ArchiveError::TooLarge { what, most: ARCHIVE_MEMBERS_MAX as u64 });
            }
        }
        Ok(Self { archive, members })
    }

    fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    fn find(&self, name: &str) -> Option<(u64, u64)> {
        let mut name = clean(name);
        for _ in 0..LINKS_MAX {
            match self.members.get(&name)? {
                Member::File { offset, size } => return Some((*offset, *size)),
                Member::Link(target) => name = target.clone(),
            }
        }
        None
    }

    fn size(&self, name: &str) -> u64 {
        self.find(name).map_or(0, |(_, size)| size)
    }

    fn open(&mut self, name: &str) -> Result<impl Read + use<'_, R>, ArchiveError> {
        let (offset, size) = self.find(name).ok_or_else(|| ArchiveError::Missing { member: name.to_owned() })?;
        self.archive.seek(SeekFrom::Start(offset)).map_err(ArchiveError::Read)?;
        Ok((&mut self.archive).take(size))
    }

    fn bytes(&mut self, name: &str, most: u64) -> Result<Vec<u8>, ArchiveError> {
        if self.size(name) > most {
            return Err(ArchiveError::TooLarge { what: name.to_owned(), most });
        }
        let mut bytes = Vec::new();
        self.open(name)?.read_to_end(&mut bytes).map_err(ArchiveError::Read)?;
        Ok(bytes)
    }

    fn document<T: for<'a> Deserialize<'a>>(&mut self, name: &str, most: u64) -> Result<(T, Vec<u8>), ArchiveError> {
        let bytes = self.bytes(name, most)?;
        let document = serde_json::from_slice(&bytes)
            .map_err(|source| ArchiveError::Document { member: name.to_owned(), source })?;
        Ok((document, bytes))
    }

    /// A document named by its digest, verified.
    fn blob<T: for<'a> Deserialize<'a>>(&mut self, wanted: &str, most: u64) -> Result<(T, Vec<u8>), ArchiveError> {
        let member = blob_member(wanted);
        let (document, bytes) = self.document(&member, most)?;
        if digest(&bytes) != wanted {
            return Err(ArchiveError::Digest { member });
        }
        Ok((document, bytes))
    }
}

/// Resolves `.` and `..` by text; members are names, not paths of this host.
fn clean(name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
