//! Why a container could not be made or started, in ECS's words. Pure.

/// A failure with the error name that ECS shows in front.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", if *.starting { "CannotStartContainerError" } else { "CannotCreateContainerError" })]
pub(crate) struct Failure {
    starting: bool,
    message: String,
}

impl Failure {
    /// The container could not be made.
    pub(crate) fn create(message: impl Into<String>) -> Self {
        Self { starting: false, message: message.into() }
    }

    /// It was made, or would have been, but its program cannot be started.
    pub(crate) fn start(message: impl Into<String>) -> Self {
        Self { starting: true, message: message.into() }
    }

    /// As [`Failure::create`], with all causes of `error`.
    pub(crate) fn because(what: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::create(format!("{what}: {}", chain(error)))
    }
}

/// An error's words and those of its causes.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // Transparent wrappers say the same thing twice.
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}
