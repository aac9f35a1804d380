//! What the words with which a task failed to start prove.

/// No other try of the same thing will do better: its image is not there or is denied, a secret is missing, or what it is
/// to run is not in its image. A registry that does not answer, or is in trouble itself, proves nothing.
pub fn is_hopeless(reason: &str) -> bool {
    let words = reason.to_ascii_lowercase();
    let says = |any: &[&str]| any.iter().any(|word| words.contains(word));
    let passing = [
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
    if words.starts_with("cannotpull") {
        let missing = [
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
        return says(&missing) && !says(&passing);
    }
    if words.starts_with("cannotstart") || words.starts_with("cannotcreate") {
        let command = [
            "executable file not found",
            "executable not found",
            "no such file or directory",
            "not executable",
            "exec format error",
            "permission denied",
            "no command specified",
        ];
        return says(&command);
    }
    if words.starts_with("resourceinitializationerror") {
        let about = ["secret", "parameter"];
        let missing = [
            "resourcenotfound",
            "not found",
            "can't find",
            "accessdenied",
            "access denied",
            "not authorized",
            "invalid parameter",
        ];
        return says(&about) && says(&missing) && !says(&passing);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::is_hopeless;

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
            assert!(is_hopeless(proof), "{proof}");
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
        }
    }
}
