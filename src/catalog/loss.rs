//! A flag that something a run relies on (its lease, its mark on a backup) was lost, to wait for.

use tokio::sync::watch;

use crate::error::{Error, Kind};

/// The side that finds out.
#[derive(Debug)]
pub(super) struct LossSender {
    kind: Kind,
    sender: watch::Sender<Option<String>>,
}

/// The side that relies on it; cheap to clone.
#[derive(Debug, Clone)]
pub struct Loss {
    kind: Kind,
    receiver: watch::Receiver<Option<String>>,
}

/// A flag that is not yet raised; `kind` is the kind of the error it will give.
pub(super) fn channel(kind: Kind) -> (LossSender, Loss) {
    let (sender, receiver) = watch::channel(None);
    (LossSender { kind, sender }, Loss { kind, receiver })
}

impl LossSender {
    /// Raises the flag; the first reason stays.
    pub(super) fn raise(&self, reason: String) {
        self.sender.send_if_modified(|state| {
            let first = state.is_none();
            state.get_or_insert(reason);
            first
        });
    }

    /// The error, if the flag is raised.
    pub(super) fn error(&self) -> Option<Error> {
        self.sender.borrow().as_ref().map(|reason| lost(self.kind, reason))
    }
}

impl Loss {
    /// The error, if it is lost already.
    pub fn error(&self) -> Option<Error> {
        self.receiver.borrow().as_ref().map(|reason| lost(self.kind, reason))
    }

    /// Waits until it is lost, for ever if it never is: one arm of a `select`.
    pub async fn wait(&mut self) -> Error {
        loop {
            if let Some(error) = self.error() {
                return error;
            }
            if self.receiver.changed().await.is_err() {
                // Released in good order: it can no longer be lost.
                std::future::pending::<()>().await;
            }
        }
    }
}

fn lost(kind: Kind, reason: &str) -> Error {
    Error::new(kind, reason).hint("run the command again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_stays_and_wakes_every_waiter() {
        let (sender, mut loss) = channel(Kind::Leased);
        let mut second = loss.clone();
        assert!(loss.error().is_none());
        let waiter = tokio::spawn(async move { second.wait().await });
        sender.raise("first".into());
        sender.raise("second".into());
        assert_eq!(waiter.await.unwrap().message(), "first");
        assert_eq!(loss.wait().await.kind(), Kind::Leased);
        assert_eq!(sender.error().unwrap().message(), "first");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_released_is_never_lost() {
        let (sender, mut loss) = channel(Kind::Leased);
        drop(sender);
        let waited = tokio::time::timeout(std::time::Duration::from_secs(3600), loss.wait()).await;
        assert!(waited.is_err());
    }
}
