//! Speaks to registries: manifests and blobs by digest, with retries. What arrives is verified; where it goes is the
//! caller's.

use super::blob::{digest, hex_of};
use super::limits::{BLOB_BYTES_MAX, MANIFEST_BYTES_MAX};
use super::reference::Reference;
use crate::directory::hex;
use futures_util::StreamExt;
use oci_client::client::{BlobResponse, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference as RemoteReference};
use sha2::{Digest, Sha256};
use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Pauses before a second and a third try.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(600)];
/// The answer to "does the tag still stand for this?" is waited for no longer.
pub(super) const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A registry that sends nothing for this long is given up.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const ACCEPTED: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// What a registry, or the way to it, refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Registry(#[from] OciDistributionError),
    #[error("cannot reach registries: {0}")]
    Client(String),
    #[error("{what} has digest {found}, expected {expected}")]
    Digest { what: &'static str, expected: String, found: String },
    #[error("{what} is larger than {most} bytes")]
    TooLarge { what: &'static str, most: u64 },
    #[error("cannot keep what was fetched")]
    File(#[from] io::Error),
}

impl FetchError {
    /// Refused connections, lost ones and 5xx may pass; the rest will not.
    fn may_pass(&self) -> bool {
        match self {
            Self::Registry(OciDistributionError::RequestError(error)) => !error.is_builder(),
            Self::Registry(OciDistributionError::ServerError { code, .. }) => *code >= 500,
            Self::Registry(OciDistributionError::IoError(_)) | Self::Digest { .. } => true,
            _ => false,
        }
    }

    /// The error and its causes in one line: HTTP errors hide "connection refused" in theirs.
    pub(super) fn words(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let words = error.to_string();
            if !text.contains(&words) {
                text.push_str(": ");
                text.push_str(&words);
            }
            cause = error.source();
        }
        text.replace('\n', " ")
    }
}

/// A failure after so many retries.
#[derive(Debug)]
pub(super) struct Retried {
    pub(super) retries: usize,
    pub(super) error: FetchError,
}

/// One repository of one registry.
pub(super) struct Remote {
    client: Client,
    reference: RemoteReference,
}

/// A client for a registry; `plain` without TLS.
pub(super) fn client(plain: bool) -> Result<Client, FetchError> {
    // The provider of cryptography is chosen once per process; another's choice is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = ClientConfig {
        protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
        connect_timeout: Some(CONNECT_TIMEOUT),
        read_timeout: Some(READ_TIMEOUT),
        user_agent: concat!("gantry/", env!("CARGO_PKG_VERSION")),
        platform_resolver: None,
        ..ClientConfig::default()
    };
    Client::try_from(config).map_err(|error| FetchError::Client(crate::supervisor::chain(&error)))
}

impl Remote {
    pub(super) fn new(client: Client, reference: &Reference) -> Self {
        let (registry, repository) = (reference.registry().to_owned(), reference.repository().to_owned());
        let reference = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => RemoteReference::with_digest(registry, repository, digest.to_owned()),
            (None, tag) => RemoteReference::with_tag(registry, repository, tag.unwrap_or("latest").to_owned()),
        };
        Self { client, reference }
    }

    /// What the reference stands for now; one try, bounded in time.
    pub(super) async fn current_digest(&self) -> Option<String> {
        let asked = self.client.fetch_manifest_digest(&self.reference, &RegistryAuth::Anonymous);
        match tokio::time::timeout(CHECK_TIMEOUT, asked).await {
            Ok(Ok(digest)) => Some(digest),
            Ok(Err(_)) | Err(_) => None,
        }
    }

    /// A manifest or index: the one of the reference, or one named by its digest.
    pub(super) async fn manifest(&self, wanted: Option<&str>) -> Result<(Vec<u8>, String), Retried> {
        let reference = match wanted {
            Some(digest) => RemoteReference::with_digest(
                self.reference.registry().to_owned(),
                self.reference.repository().to_owned(),
                digest.to_owned(),
            ),
            None => self.reference.clone(),
        };
        let expected = wanted.or(self.reference.digest()).map(str::to_owned);
        let fetch = || async {
            let (bytes, _) = self.client.pull_manifest_raw(&reference, &RegistryAuth::Anonymous, &ACCEPTED).await?;
            if bytes.len() as u64 > MANIFEST_BYTES_MAX {
                return Err(FetchError::TooLarge { what: "manifest", most: MANIFEST_BYTES_MAX });
            }
            let found = digest(&bytes);
            match &expected {
                Some(expected) if *expected != found => {
                    Err(FetchError::Digest { what: "manifest", expected: expected.clone(), found })
                }
                _ => Ok((bytes.to_vec(), found)),
            }
        };
        retried(fetch).await
    }

    /// Fetches a blob into a file below `directory`, going on where a broken transfer ended. `arrived` hears of every
    /// chunk.
    pub(super) async fn blob(
        &self,
        wanted: &str,
        most: u64,
        directory: &Path,
        arrived: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<PathBuf, Retried> {
        let path = super::layer::aside(directory);
        let result = retried(|| self.transfer(wanted, most.min(BLOB_BYTES_MAX), &path, arrived)).await;
        if result.is_err() {
            let _ = std::fs::remove_file(&path);
        }
        result.map(|()| path)
    }

    async fn transfer(
        &self,
        wanted: &str,
        most: u64,
        path: &Path,
        arrived: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), FetchError> {
        let mut file = File::options().create(true).append(true).read(true).open(path)?;
        let (mut hash, mut length) = hash_so_far(&mut file)?;
        let descriptor = oci_client::manifest::OciDescriptor {
            digest: wanted.to_owned(),
            ..oci_client::manifest::OciDescriptor::default()
        };
        self.client.store_auth_if_needed(self.reference.resolve_registry(), &RegistryAuth::Anonymous).await;
        let mut stream = if length == 0 {
            self.client.pull_blob_stream(&self.reference, &descriptor).await?
        } else {
            match self.client.pull_blob_stream_partial(&self.reference, &descriptor, length, None).await? {
                BlobResponse::Partial(stream) => stream,
                BlobResponse::Full(stream) => {
                    // The registry does not resume: from the start.
                    file.set_len(0)?;
                    (hash, length) = (Sha256::new(), 0);
                    stream
                }
            }
        };
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(OciDistributionError::IoError)?;
            length += chunk.len() as u64;
            if length > most {
                return Err(FetchError::TooLarge { what: "blob", most });
            }
            file.write_all(&chunk)?;
            hash.update(&chunk);
            arrived(chunk.len() as u64);
        }
        let found = hex(&hash.finalize());
        if hex_of(wanted) != Some(found.as_str()) {
            // Nothing of it can be trusted to go on from.
            file.set_len(0)?;
            let found = format!("sha256:{found}");
            return Err(FetchError::Digest { what: "blob", expected: wanted.to_owned(), found });
        }
        Ok(())
    }
}

fn hash_so_far(file: &mut File) -> io::Result<(Sha256, u64)> {
    let mut hash = Sha256::new();
    let mut length = 0;
    let mut buffer = vec![0u8; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((hash, length)),
            read => {
                hash.update(&buffer[..read]);
                length += read as u64;
            }
        }
    }
}

async fn retried<T, F: Future<Output = Result<T, FetchError>>>(mut act: impl FnMut() -> F) -> Result<T, Retried> {
    let mut retries = 0;
    loop {
        match act().await {
            Ok(value) => return Ok(value),
            Err(error) => match RETRY_PAUSES.get(retries) {
                Some(pause) if error.may_pass() => {
                    tokio::time::sleep(*pause).await;
                    retries += 1;
                }
                _ => return Err(Retried { retries, error }),
            },
        }
    }
}
