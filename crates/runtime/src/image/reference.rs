//! Names of images: what a user may write, and the one full form we keep. Pure.

use std::fmt;

/// Where names without a registry come from.
const DEFAULT_REGISTRY: &str = "docker.io";
/// What Docker Hub also calls itself.
const DEFAULT_REGISTRY_ALIAS: &str = "index.docker.io";
/// Where names without a path come from on Docker Hub.
const DEFAULT_PATH: &str = "library";
const DEFAULT_TAG: &str = "latest";
/// The distribution specification's limit.
const REPOSITORY_BYTES_MAX: usize = 255;
const TAG_BYTES_MAX: usize = 128;
const SHA256_HEX_BYTES: usize = 64;

/// A normalised reference: `nginx` is `docker.io/library/nginx:latest`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// The text is no reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid reference format: {text:?}")]
pub struct ReferenceError {
    /// What was given.
    pub text: String,
}

impl Reference {
    /// Parses and normalises. With a digest, a tag is dropped: the digest says it all.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        Self::try_parse(text).ok_or_else(|| ReferenceError { text: text.to_owned() })
    }

    fn try_parse(text: &str) -> Option<Self> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        if let Some(digest) = digest {
            let hex = digest.strip_prefix("sha256:")?;
            is_sha256_hex(hex).then_some(())?;
        }
        let slash = name.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match name[slash..].find(':') {
            Some(colon) => (&name[..slash + colon], Some(&name[slash + colon + 1..])),
            None => (name, None),
        };
        if let Some(tag) = tag {
            is_tag(tag).then_some(())?;
        }
        let (registry, path) = match name.split_once('/') {
            Some((first, rest)) if is_registry(first) => (first, rest),
            _ => (DEFAULT_REGISTRY, name),
        };
        let registry = if registry == DEFAULT_REGISTRY_ALIAS { DEFAULT_REGISTRY } else { registry };
        let repository = if registry == DEFAULT_REGISTRY && !path.contains('/') {
            format!("{DEFAULT_PATH}/{path}")
        } else {
            path.to_owned()
        };
        let proper = repository.len() <= REPOSITORY_BYTES_MAX && repository.split('/').all(is_component);
        proper.then(|| Self {
            registry: registry.to_owned(),
            repository,
            tag: match (tag, digest) {
                (_, Some(_)) => None,
                (tag, None) => Some(tag.unwrap_or(DEFAULT_TAG).to_owned()),
            },
            digest: digest.map(str::to_owned),
        })
    }

    /// Host and port, `docker.io` for Docker Hub.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path within the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `None` when a digest is given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// `sha256:…`, when the reference names one.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The registry without its port.
    pub(super) fn host(&self) -> &str {
        if let Some(rest) = self.registry.strip_prefix('[') {
            return rest.split(']').next().unwrap_or(rest);
        }
        self.registry.split(':').next().unwrap_or(&self.registry)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        match (&self.digest, &self.tag) {
            (Some(digest), _) => write!(f, "@{digest}"),
            (None, tag) => write!(f, ":{}", tag.as_deref().unwrap_or(DEFAULT_TAG)),
        }
    }
}

pub(super) fn is_sha256_hex(text: &str) -> bool {
    text.len() == SHA256_HEX_BYTES && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn is_registry(text: &str) -> bool {
    let looks = text == "localhost" || text.contains(['.', ':']);
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'[');
    looks && first && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= TAG_BYTES_MAX
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// Lower-case words divided by `.`, `_`, `__` or dashes.
fn is_component(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    word(*first)
        && word(*last)
        && bytes.iter().all(|b| word(*b) || b"._-".contains(b))
        && !text.contains("..")
        && !text.contains("___")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, full) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("index.docker.io/library/nginx", "docker.io/library/nginx:latest"),
            ("me/app", "docker.io/me/app:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("127.0.0.1:5000/app:2", "127.0.0.1:5000/app:2"),
            ("registry:5000/team/app", "registry:5000/team/app:latest"),
            ("ghcr.io/a/b/c:x", "ghcr.io/a/b/c:x"),
        ] {
            assert_eq!(Reference::parse(text).map(|r| r.to_string()), Ok(full.to_owned()), "{text}");
        }
        let both = Reference::parse(&format!("nginx:1@{digest}")).expect("digest");
        assert_eq!(both.to_string(), format!("docker.io/library/nginx@{digest}"));
        assert_eq!(Reference::parse(&both.to_string()), Ok(both), "the full form is stable");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "UPPER",
            "a:",
            "a:b:c",
            "/a",
            "a/",
            "a//b",
            "a@sha256:12",
            "a@md5:00",
            "a b",
            "../a",
            "-a",
            "a:.x",
            "https://x.y/z",
            "a..b",
        ] {
            assert!(Reference::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn hosts_lose_their_port() {
        let host = |text: &str| Reference::parse(text).map(|r| r.host().to_owned());
        assert_eq!(host("127.0.0.1:5000/a"), Ok("127.0.0.1".to_owned()));
        assert_eq!(host("[::1]:5000/a"), Ok("::1".to_owned()));
    }
}
