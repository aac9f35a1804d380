//! What the words with which a task failed to start prove.

/// A registry, or the way to it, is in trouble: that may pass.
const PASSING: &[&str] = &[
    "connection refused",
    "timed out",
    "timeout",
    "temporar",
    "too many requests",
    "toomanyrequests",
    "status code 5",
    "status: 5",
    "server error",
    "bad gateway",
    "service unavailable",
    "no such host",
    "dns error",
    "connection reset",
    "error sending request",
];
/// The image is not there, or not for us.
const NO_IMAGE: &[&str] = &[
    "manifest unknown",
    "manifest_unknown",
    "manifestunknown",
    "manifest invalid",
    "not found",
    "name unknown",
    "name_unknown",
    "does not exist",
    "repository name not known",
    "no match for platform",
    "denied",
    "unauthorized",
    "not authorized",
    "authorization failed",
    "authentication",
    "forbidden",
    "invalid reference",
    "invalid image reference",
];
/// What is to run is not in the image.
const NO_COMMAND: &[&str] = &[
    "executable file not found",
    "executable not found",
    "no such file or directory",
    "not executable",
    "exec format error",
    "permission denied",
    "no command specified",
];
/// What a secret is called in errors, and how one is missing.
const SECRET: &[&str] = &["secret", "parameter"];
const NO_SECRET: &[&str] = &[
    "resourcenotfound",
    "not found",
    "can't find",
    "accessdenied",
    "access denied",
    "not authorized",
    "invalid parameter",
];

/// How often a deployment tries again before the failures of an image's registry count against it.
pub const PASSING_TRIES: u32 = 2;

fn says(words: &str, any: &[&str]) -> bool {
    any.iter().any(|word| words.contains(word))
}

/// No other try of the same thing will do better: its image is not there or is denied, a secret is missing, or what it is
/// to run is not in its image. A registry that does not answer, or is in trouble itself, proves nothing.
pub fn is_hopeless(reason: &str) -> bool {
    let words = reason.to_ascii_lowercase();
    if words.starts_with("cannotpull") {
        return says(&words, NO_IMAGE) && !says(&words, PASSING);
    }
    if words.starts_with("cannotstart") || words.starts_with("cannotcreate") {
        return says(&words, NO_COMMAND);
    }
    let secret = words.starts_with("resourceinitializationerror") && says(&words, SECRET);
    secret && says(&words, NO_SECRET) && !says(&words, PASSING)
}

/// An image could not be fetched because its registry refused the connection, answered 5xx, or the like: the next try may
/// well do better.
pub fn is_passing(reason: &str) -> bool {
    let words = reason.to_ascii_lowercase();
    words.starts_with("cannotpull") && says(&words, PASSING)
}

#[cfg(test)]
mod tests {
    use super::{is_hopeless, is_passing};

    #[test]
    fn only_proofs_are_proofs() {
        for proof in [
            "CannotPullContainerError: pull image manifest has been retried 0 time(s): failed to resolve ref \
             docker.io/library/nothing:1: docker.io/library/nothing:1: not found",
            "CannotPullContainerError: Error response from daemon: manifest unknown",
            "CannotPullContainerError: pull access denied for x, repository does not exist",
            "CannotStartContainerError: exec: \"nope\": executable file not found in $PATH",
            "ResourceInitializationError: unable to pull secrets or registry auth: ResourceNotFoundException: Secrets \
             Manager can't find the specified secret.",
        ] {
            assert!(is_hopeless(proof) && !is_passing(proof), "{proof}");
        }
        for passing in [
            "",
            "Essential container in task exited",
            "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref \
             127.0.0.1:5000/x:1: connection refused",
            "CannotPullContainerError: unexpected status code 503 Service Unavailable: not found",
            "CannotPullContainerError: dial tcp: lookup registry: no such host",
            "OutOfMemoryError: Container killed due to memory usage",
            "ResourceInitializationError: supervisor lost: not found",
        ] {
            assert!(!is_hopeless(passing), "{passing}");
            assert_eq!(is_passing(passing), passing.starts_with("CannotPull"), "{passing}");
        }
    }
}
