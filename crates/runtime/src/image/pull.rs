//! Pulls an image: resolve the reference, fetch what is missing, unpack it, enter it into the index. A reference that is
//! wanted by several tasks at once is pulled once.

use super::config::{ConfigFile, Index, Manifest, native};
use super::fetch::{Remote, Retried, client};
use super::index::{Entry, Tag};
use super::layer::unpack_layer;
use super::limits::{CONFIG_BYTES_MAX, DOWNLOADS_MAX, LAYERS_MAX};
use super::reference::Reference;
use super::{Image, ImageStore, blob};
use futures_util::StreamExt;
use node::hands::ImageFailure;
use std::fs::{self, File};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

/// How far a pull is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that have arrived.
    pub done: u64,
    /// Bytes that the manifest announces.
    pub total: u64,
}

/// Why an image cannot be had, in the words that ECS uses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}: {message}")]
pub struct PullError {
    /// `CannotPullContainerError`.
    pub error: &'static str,
    /// The registry's or the system's words.
    pub message: String,
}

impl From<PullError> for ImageFailure {
    fn from(error: PullError) -> Self {
        Self { error: error.error.to_owned(), message: error.message }
    }
}

const CANNOT_PULL: &str = "CannotPullContainerError";

fn failed(message: String) -> PullError {
    PullError { error: CANNOT_PULL, message }
}

fn manifest_failed(reference: &Reference, retried: &Retried) -> PullError {
    failed(format!(
        "pull image manifest has been retried {} time(s): failed to resolve ref {reference}: {}",
        retried.retries,
        retried.error.words()
    ))
}

type OnProgress<'a> = &'a (dyn Fn(Progress) + Send + Sync);

impl ImageStore {
    /// The image that `reference` stands for, fetched if need be. `progress` is called once when a fetch begins, then
    /// with every chunk; not at all when the image is here.
    pub async fn pull(self: &Arc<Self>, reference: &str, progress: OnProgress<'_>) -> Result<Image, PullError> {
        let reference = Reference::parse(reference).map_err(|error| failed(error.to_string()))?;
        let name = reference.to_string();
        if let Some(image) = self.settled(&reference) {
            return Ok(image);
        }
        let lock = self.lock_of(&name);
        let (guard, waited) = match lock.clone().try_lock_owned() {
            Ok(guard) => (guard, false),
            Err(_) => (lock.clone().lock_owned().await, true),
        };
        // Whoever held the lock has just asked the registry.
        let here = self.resolve_local(&name).filter(|_| waited);
        let result = match here {
            Some(image) => Ok(image),
            None => self.pull_alone(&reference, progress).await,
        };
        drop(guard);
        let mut pulls = self.pulls.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's, ours: nobody else waits.
        if Arc::strong_count(&lock) == 2 {
            pulls.remove(&name);
        }
        result
    }

    /// What needs no network: a digest that is here, a reference from an archive.
    fn settled(&self, reference: &Reference) -> Option<Image> {
        let name = reference.to_string();
        let loaded = self.state().index.references.get(&name).is_some_and(|tag| tag.loaded);
        if loaded || reference.digest().is_some() { self.resolve_local(&name) } else { None }
    }

    fn lock_of(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut pulls = self.pulls.lock().unwrap_or_else(PoisonError::into_inner);
        pulls.entry(name.to_owned()).or_default().clone()
    }

    fn remote(&self, reference: &Reference) -> Result<Remote, PullError> {
        let registry = reference.registry().to_owned();
        let loopback = reference.host() == "localhost"
            || reference.host().parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let plain = loopback || self.insecure.contains(&registry);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = clients.get(&registry) {
            return Ok(Remote::new(known.clone(), reference));
        }
        let fresh = client(plain).map_err(|error| failed(error.words()))?;
        clients.insert(registry, fresh.clone());
        Ok(Remote::new(fresh, reference))
    }

    async fn pull_alone(self: &Arc<Self>, reference: &Reference, progress: OnProgress<'_>) -> Result<Image, PullError> {
        let name = reference.to_string();
        let remote = self.remote(reference)?;
        if let Some(image) = self.resolve_local(&name) {
            let known = self.state().index.references.get(&name).and_then(|tag| tag.remote.clone());
            match remote.current_digest().await {
                Some(now) if Some(&now) != known.as_ref() => {}
                // Unchanged, or nobody knows: what is here is what there is.
                _ => return Ok(image),
            }
        }
        progress(Progress { done: 0, total: 0 });
        let refused = |retried: &Retried| manifest_failed(reference, retried);
        let (bytes, remote_digest) = remote.manifest(None).await.map_err(|e| refused(&e))?;
        let document: serde_json::Value = parse(&name, "manifest", &bytes)?;
        let bytes = if document.get("manifests").is_some() {
            let index: Index = parse(&name, "index", &bytes)?;
            let native = native(&index).ok_or_else(|| {
                failed(format!("no match for platform in manifest of {name}: {}", super::config::architecture()))
            })?;
            remote.manifest(Some(&native.digest)).await.map_err(|e| refused(&e))?.0
        } else {
            bytes
        };
        let manifest: Manifest = parse(&name, "manifest", &bytes)?;
        let digest = self.pull_image(&name, &remote, &manifest, &bytes, progress).await?;
        let tag = Tag { digest: digest.0.clone(), remote: Some(remote_digest), loaded: false };
        self.enter(&digest.0, digest.1, Some((&name, tag))).map_err(|e| failed(words(&e)))?;
        self.by_digest(&digest.0).ok_or_else(|| failed(format!("{name} vanished while it was pulled")))
    }

    async fn pull_image(
        self: &Arc<Self>,
        name: &str,
        remote: &Remote,
        manifest: &Manifest,
        bytes: &[u8],
        progress: OnProgress<'_>,
    ) -> Result<(String, Entry), PullError> {
        if manifest.layers.len() > LAYERS_MAX {
            return Err(failed(format!("{name} has more than {LAYERS_MAX} layers")));
        }
        let digest = blob::digest(bytes);
        let _pin = self.pin([digest.clone(), manifest.config.digest.clone()]);
        let total = manifest.layers.iter().map(|layer| layer.size).sum();
        let done = AtomicU64::new(0);
        let arrived = |more: u64| {
            let done = done.fetch_add(more, Ordering::Relaxed) + more;
            progress(Progress { done, total });
        };
        let config = self.pull_config(name, remote, &manifest.config.digest).await?;
        let file: ConfigFile = parse(name, "configuration", &config)?;
        if let Some(reason) = file.unfit(manifest.layers.len()) {
            return Err(failed(format!("{name}: {reason}")));
        }
        let diff_ids = file.rootfs.diff_ids.clone();
        let _layers = self.pin(diff_ids.iter().cloned());
        let fetches = manifest
            .layers
            .iter()
            .zip(&diff_ids)
            .map(|(layer, diff_id)| self.pull_layer(name, remote, (&layer.digest, layer.size), diff_id, &arrived));
        let mut bytes_of_files = 0;
        let mut fetches = futures_util::stream::iter(fetches.collect::<Vec<_>>()).buffer_unordered(DOWNLOADS_MAX);
        while let Some(unpacked) = fetches.next().await {
            bytes_of_files += unpacked?;
        }
        drop(fetches);
        let keep = |bytes: &[u8]| self.blobs.write(bytes).map_err(|e| failed(words(&e)));
        let config = keep(&config)?;
        keep(bytes)?;
        Ok((digest, Entry { config, layers: diff_ids, bytes: bytes_of_files }))
    }

    async fn pull_config(&self, name: &str, remote: &Remote, digest: &str) -> Result<Vec<u8>, PullError> {
        if let Some(known) = self.blobs.read(digest) {
            return Ok(known);
        }
        let path = remote
            .blob(digest, CONFIG_BYTES_MAX, &self.directory.join("fetch"), &|_| {})
            .await
            .map_err(|retried| blob_failed(name, &retried))?;
        let bytes = fs::read(&path).map_err(|e| failed(words(&e)))?;
        let _ = fs::remove_file(path);
        Ok(bytes)
    }

    async fn pull_layer(
        &self,
        name: &str,
        remote: &Remote,
        (digest, size): (&str, u64),
        diff_id: &str,
        arrived: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<u64, PullError> {
        if blob::hex_of(diff_id).is_some_and(|hex| self.layers().join(hex).is_dir()) {
            arrived(size);
            return Ok(0);
        }
        let most = if size == 0 { u64::MAX } else { size };
        let path = remote
            .blob(digest, most, &self.directory.join("fetch"), arrived)
            .await
            .map_err(|retried| blob_failed(name, &retried))?;
        let (layers, diff_id) = (self.layers(), diff_id.to_owned());
        let unpacked = tokio::task::spawn_blocking(move || {
            let result = File::open(&path)
                .map_err(|error| words(&error))
                .and_then(|file| unpack_layer(&layers, &diff_id, file).map_err(|error| words(&error)));
            let _ = fs::remove_file(path);
            result
        });
        match unpacked.await {
            Ok(result) => result.map_err(|words| failed(format!("failed to unpack {name}: {words}"))),
            Err(error) => Err(failed(format!("failed to unpack {name}: {error}"))),
        }
    }
}

fn blob_failed(name: &str, retried: &Retried) -> PullError {
    failed(format!("pull of a layer of {name} has been retried {} time(s): {}", retried.retries, retried.error.words()))
}

fn parse<T: for<'a> serde::Deserialize<'a>>(name: &str, what: &str, bytes: &[u8]) -> Result<T, PullError> {
    serde_json::from_slice(bytes).map_err(|error| failed(format!("malformed {what} of {name}: {error}")))
}

fn words(error: &(dyn std::error::Error + 'static)) -> String {
    crate::supervisor::chain(error)
}
