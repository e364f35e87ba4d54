//! Being told to stop: work ends at once, and what must be cleaned up still is.

use std::future::Future;

use tokio::sync::watch;

use crate::error::{Error, Kind, Result};

/// Tells that a signal came. Clones hear the same.
#[derive(Debug, Clone)]
pub struct Cancel(watch::Receiver<Option<i32>>);

/// The other end of [`Cancel`]: whoever receives signals.
#[derive(Debug)]
pub struct Canceller(watch::Sender<Option<i32>>);

/// Makes a pair.
pub fn pair() -> (Canceller, Cancel) {
    let (sender, receiver) = watch::channel(None);
    (Canceller(sender), Cancel(receiver))
}

impl Canceller {
    /// Says that this signal came. The first one stays.
    pub fn cancel(&self, signal: i32) {
        self.0.send_if_modified(|state| state.is_none().then(|| *state = Some(signal)).is_some());
    }
}

impl Default for Cancel {
    fn default() -> Self {
        Cancel::never()
    }
}

impl Cancel {
    /// One that never fires.
    pub fn never() -> Self {
        pair().1
    }

    /// The signal, if one came.
    pub fn signal(&self) -> Option<i32> {
        *self.0.borrow()
    }

    /// Waits for a signal; for ever if none can come.
    pub async fn cancelled(&self) -> i32 {
        let mut receiver = self.0.clone();
        loop {
            if let Some(signal) = *receiver.borrow_and_update() {
                return signal;
            }
            if receiver.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Runs the work until it ends or a signal comes; the work is dropped then. What has to be
    /// cleaned up is up to the caller, after this.
    ///
    /// # Errors
    /// [`Kind::Interrupted`] when a signal came; else those of the work.
    pub async fn guard<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            signal = self.cancelled() => Err(interrupted(signal)),
            outcome = work => outcome,
        }
    }
}

fn interrupted(signal: i32) -> Error {
    let name = match signal {
        2 => "interrupted (SIGINT)".to_owned(),
        15 => "told to stop (SIGTERM)".to_owned(),
        other => format!("stopped by signal {other}"),
    };
    Error::new(Kind::Interrupted(signal), name)
        .hint("what was begun has been undone; backups made before are untouched")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_ends_when_a_signal_comes() {
        let (canceller, cancel) = pair();
        canceller.cancel(15);
        canceller.cancel(2);
        let error = cancel.guard(std::future::pending::<Result<()>>()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Interrupted(15));
    }

    #[tokio::test]
    async fn a_token_without_a_canceller_never_fires() {
        let work = async { Ok(7) };
        assert_eq!(Cancel::never().guard(work).await.unwrap(), 7);
    }
}
