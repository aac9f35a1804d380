//! Content-addressed files `blobs/sha256/<hex>`, and hashing on the way. A blob under its name is always verified.

use super::reference::is_sha256_hex;
use crate::directory::hex;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The hex digits of `sha256:<hex>`; `None` for other algorithms and malformed digests.
pub(super) fn hex_of(digest: &str) -> Option<&str> {
    digest.strip_prefix("sha256:").filter(|hex| is_sha256_hex(hex))
}

/// `sha256:<hex>` of these bytes.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// Hashes what is read through it.
pub(super) struct HashingReader<R> {
    inner: R,
    hash: Sha256,
}

impl<R> HashingReader<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::new() }
    }

    /// Of all that was read.
    pub(super) fn hex(self) -> String {
        hex(&self.hash.finalize())
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hash.update(&buffer[..length]);
        Ok(length)
    }
}

/// The blobs of one store.
#[derive(Clone, Debug)]
pub(super) struct Blobs {
    directory: PathBuf,
}

impl Blobs {
    pub(super) fn open(images: &Path) -> io::Result<Self> {
        let directory = images.join("blobs/sha256");
        fs::create_dir_all(&directory)?;
        Ok(Self { directory })
    }

    fn path(&self, digest: &str) -> Option<PathBuf> {
        hex_of(digest).map(|hex| self.directory.join(hex))
    }

    pub(super) fn read(&self, digest: &str) -> Option<Vec<u8>> {
        fs::read(self.path(digest)?).ok()
    }

    /// Keeps bytes under their digest, on disk when this returns.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<String> {
        let digest = digest(bytes);
        let path = self.path(&digest).unwrap_or_default();
        if path.exists() {
            return Ok(digest);
        }
        let aside = super::layer::aside(&self.directory);
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(aside, path)?;
        Ok(digest)
    }

    /// Deletes all but these.
    pub(super) fn retain(&self, keep: impl Fn(&str) -> bool) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if is_sha256_hex(&name) && !keep(&format!("sha256:{name}")) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
