//! The one error type that crosses rooms: a kind, what happened to which object, the cause, the next step.
//!
//! A layer may have its own typed errors (the archive reader has); where they leave the room they
//! become an [`Error`], whose [`Kind`] alone fixes the exit code of the process.

use std::error::Error as StdError;
use std::fmt;

/// The result of anything that can fail with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a caller can act on it. Fixes the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Anything that has no better kind.
    Failed,
    /// The command line does not make sense.
    Usage,
    /// The configuration or a policy is missing, unreadable or wrong.
    Config,
    /// A source or target server cannot be reached, or refuses.
    Unreachable,
    /// The store cannot be reached, refuses, or is full.
    Store,
    /// A backup or restored data is not what it should be.
    Damaged,
    /// An objective (RTO, RPO, freshness) was missed.
    Objective,
    /// Some sources succeeded and some failed.
    Partial,
    /// Another run holds the lease.
    Leased,
    /// The process was told to stop by this signal (2 or 15).
    Interrupted(i32),
}

impl Kind {
    /// The exit code of the process, as documented in the README and in `--help`.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Config => 3,
            Kind::Unreachable => 4,
            Kind::Store => 5,
            Kind::Damaged => 6,
            Kind::Objective => 7,
            Kind::Partial => 8,
            Kind::Leased => 9,
            Kind::Interrupted(signal) => 128u8.wrapping_add(signal as u8),
        }
    }

    /// The word used for `kind` in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Failed => "failed",
            Kind::Usage => "usage",
            Kind::Config => "config",
            Kind::Unreachable => "unreachable",
            Kind::Store => "store",
            Kind::Damaged => "damaged",
            Kind::Objective => "objective",
            Kind::Partial => "partial",
            Kind::Leased => "leased",
            Kind::Interrupted(_) => "interrupted",
        }
    }
}

/// What happened to which object, why, and what to do next.
///
/// Messages are lower-case without a full stop. They never hold a secret.
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
    cause: Option<Box<dyn StdError + Send + Sync + 'static>>,
}

impl Error {
    /// Makes an error of a kind with its one-line message.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), hint: None, cause: None }
    }

    /// Adds the cause, shown after the message.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync + 'static>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds the next step, one sentence; the first hint given stays.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// Wraps this error in a message of what was being done, keeping kind and hint.
    #[must_use]
    pub fn while_doing(self, message: impl Into<String>) -> Self {
        let (kind, hint) = (self.kind, self.hint.clone());
        Error { kind, message: message.into(), hint, cause: Some(Box::new(self)) }
    }

    /// The kind, which fixes the exit code.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The first line alone, without causes.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The next step, if one is known.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Message and all causes, joined by `: `, without repeating a cause that the line above already ends with.
    pub fn chain(&self) -> String {
        let mut line = self.message.clone();
        let mut next = self.source();
        while let Some(cause) = next {
            let text = match cause.downcast_ref::<Error>() {
                Some(inner) => inner.message.clone(),
                None => cause.to_string(),
            };
            if !text.is_empty() && !line.ends_with(&text) {
                line.push_str(": ");
                line.push_str(&text);
            }
            next = cause.source();
        }
        line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.chain())?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}

/// Turns any error into an [`Error`] with a kind and a message of what was being done.
pub trait Explain<T> {
    /// Fails with `kind` and the message; the original error becomes the cause.
    fn explain(self, kind: Kind, message: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync + 'static>>> Explain<T> for std::result::Result<T, E> {
    fn explain(self, kind: Kind, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| Error::new(kind, message()).because(cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_names_every_cause_once() {
        let io = std::io::Error::other("connection reset");
        let error = Error::new(Kind::Store, "put data/x failed").because(io).hint("try again");
        let outer = error.while_doing("backup of orders failed");
        assert_eq!(outer.chain(), "backup of orders failed: put data/x failed: connection reset");
        assert_eq!(outer.kind().exit_code(), 5);
        assert_eq!(outer.hint_text(), Some("try again"));
    }

    #[test]
    fn signals_exit_with_128_plus_their_number() {
        assert_eq!(Kind::Interrupted(2).exit_code(), 130);
        assert_eq!(Kind::Interrupted(15).exit_code(), 143);
    }
}
