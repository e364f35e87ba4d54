//! How a command ends: well, with an error (of a source), or with some of several sources failed.

use crate::cli::ui::Ui;
use crate::error::{Error, Kind, Result};

/// What a command's `run` returns.
pub type Outcome<T = ()> = std::result::Result<T, Failure>;

/// An error on its way to the person who called, with the source it is about.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong.
    pub error: Error,
    /// The source's name, if it is about one.
    pub source: Option<String>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure { error, source: None }
    }
}

/// Says which source a result is about.
pub trait About<T> {
    /// Adds the source's name to a failure.
    fn about(self, source: &str) -> Outcome<T>;
}

impl<T> About<T> for Result<T> {
    fn about(self, source: &str) -> Outcome<T> {
        self.map_err(|error| Failure { error, source: Some(source.to_owned()) })
    }
}

/// Work on several sources, of which one that fails does not stop the others.
#[derive(Debug)]
pub struct Several {
    ui: Ui,
    total: usize,
    failed: Vec<Failure>,
}

impl Several {
    /// Work on `total` sources.
    pub fn new(ui: &Ui, total: usize) -> Self {
        Several { ui: ui.clone(), total, failed: Vec::new() }
    }

    /// Takes the outcome of one source. Its error is shown at once, unless it is the only source: then
    /// [`Several::finish`] returns it.
    ///
    /// # Errors
    /// [`Kind::Interrupted`] at once: the sources that are left must not begin.
    pub fn add<T>(&mut self, source: &str, outcome: Result<T>) -> Outcome<Option<T>> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(error) if matches!(error.kind(), Kind::Interrupted(_)) => Err(error).about(source),
            Err(error) => {
                let failure = Failure { error, source: Some(source.to_owned()) };
                if self.total > 1 {
                    self.ui.failure(&failure);
                }
                self.failed.push(failure);
                Ok(None)
            }
        }
    }

    /// The outcome of all.
    ///
    /// # Errors
    /// The error itself when there was one source; [`Kind::Partial`] when some failed; when all did,
    /// their kind if it is the same, else [`Kind::Failed`].
    pub fn finish(mut self) -> Outcome {
        let Some(first) = self.failed.first() else { return Ok(()) };
        if self.total <= 1 {
            return Err(self.failed.remove(0));
        }
        let kind = match first.error.kind() {
            _ if self.failed.len() < self.total => Kind::Partial,
            kind if self.failed.iter().all(|other| other.error.kind() == kind) => kind,
            _ => Kind::Failed,
        };
        let names: Vec<&str> = self.failed.iter().filter_map(|failure| failure.source.as_deref()).collect();
        let message = match self.failed.len() == self.total {
            true => format!("all {} sources failed: {}", self.total, names.join(", ")),
            false => format!("{} of {} sources failed: {}", names.len(), self.total, names.join(", ")),
        };
        Err(Error::new(kind, message).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(results: Vec<Result<()>>) -> Outcome {
        let mut several = Several::new(&Ui::silent(), results.len());
        for (number, result) in results.into_iter().enumerate() {
            several.add(&format!("s{number}"), result)?;
        }
        several.finish()
    }

    fn fails(kind: Kind) -> Result<()> {
        Err(Error::new(kind, "it broke"))
    }

    fn kind(results: Vec<Result<()>>) -> Kind {
        outcome(results).unwrap_err().error.kind()
    }

    #[test]
    fn the_kind_tells_how_many_failed_and_how() {
        assert!(outcome(vec![Ok(()), Ok(())]).is_ok());
        assert_eq!(kind(vec![fails(Kind::Store)]), Kind::Store);
        assert_eq!(kind(vec![fails(Kind::Store), Ok(())]), Kind::Partial);
        assert_eq!(kind(vec![fails(Kind::Store), fails(Kind::Store)]), Kind::Store);
        assert_eq!(kind(vec![fails(Kind::Store), fails(Kind::Leased)]), Kind::Failed);
        let failure = outcome(vec![fails(Kind::Store), Ok(()), fails(Kind::Store)]).unwrap_err();
        assert_eq!(failure.error.message(), "2 of 3 sources failed: s0, s2");
    }

    #[test]
    fn one_source_keeps_its_error_and_name() {
        let failure = outcome(vec![fails(Kind::Damaged)]).unwrap_err();
        assert_eq!((failure.error.message(), failure.source.as_deref()), ("it broke", Some("s0")));
    }

    #[test]
    fn a_signal_ends_the_round() {
        let mut several = Several::new(&Ui::silent(), 3);
        let failure = several.add("a", fails(Kind::Interrupted(15))).unwrap_err();
        assert_eq!(failure.error.kind(), Kind::Interrupted(15));
    }
}
