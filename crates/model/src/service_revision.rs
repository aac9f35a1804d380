//! A service revision: what tasks of a service are made from, as it was when somebody wished it. It never changes; only
//! which images its tags stood for is learnt from its first tasks.

use crate::Millis;
use crate::capacity_provider::StrategyItem;
use crate::ids::{RevisionId, ServiceId};
use crate::task::LaunchType;
use serde::{Deserialize, Serialize};

/// A service revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRevision {
    /// Whose.
    pub service: ServiceId,
    /// The 19 digits at the end of its ARN.
    pub number: u64,
    /// The number of the deployment that was made for it; going back to it goes back to that.
    pub deployment: u64,
    /// The task definition.
    pub definition: RevisionId,
    /// Where its tasks run.
    pub launch_type: LaunchType,
    /// Which capacity providers they are asked of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strategy: Vec<StrategyItem>,
    /// Positions of their subnets.
    pub subnets: Vec<u8>,
    /// What else was said of their interfaces.
    #[serde(default)]
    pub interface: InterfaceWishes,
    /// When it was wished.
    pub created_at: Millis,
    /// What the tags of its images stood for when the first task of it was made ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ResolvedImage>,
}

/// An image of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedImage {
    /// The container's name.
    pub container: Box<str>,
    /// `sha256:…`.
    pub digest: Box<str>,
}

/// What is said of interfaces beside their subnets. There is one security group, and tasks reach out through their host
/// with or without a public address: nothing follows from these, but a client that compares what it said with what it is
/// shown must find it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceWishes {
    /// The security group was named.
    pub group: bool,
    /// `assignPublicIp` was ENABLED.
    pub public: bool,
}

impl ServiceRevision {
    /// The digest of a container's image, once it is known.
    pub fn digest(&self, container: &str) -> Option<&str> {
        self.images.iter().find(|image| *image.container == *container).map(|image| &*image.digest)
    }
}

/// An image by its digest: `registry:5000/app:1` is `registry:5000/app@sha256:…`.
pub fn by_digest(image: &str, digest: &str) -> String {
    let slash = image.rfind('/').map_or(0, |at| at + 1);
    let end = image[slash..].find([':', '@']).map_or(image.len(), |at| slash + at);
    format!("{}@{digest}", &image[..end])
}

/// `sha256:` and 64 hex digits.
pub fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_takes_the_place_of_a_tag() {
        for (image, pinned) in [
            ("busybox", "busybox@D"),
            ("busybox:1", "busybox@D"),
            ("localhost:5000/a/b", "localhost:5000/a/b@D"),
            ("localhost:5000/a/b:1.2", "localhost:5000/a/b@D"),
            ("a/b@sha256:x", "a/b@D"),
        ] {
            assert_eq!(by_digest(image, "D"), pinned);
        }
        assert!(is_digest(&format!("sha256:{}", "0a".repeat(32))));
        assert!(!is_digest("sha256:0a") && !is_digest(""));
    }
}
