//! SIGINT and SIGTERM: the first asks the run to stop and clean up, the second ends the process. Only a duty (a
//! database that has to be started again) is waited for even then, until a third.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cancel::Canceller;
use crate::error::{Explain as _, Kind, Result};

/// Listens for both signals.
#[derive(Debug)]
pub struct Signals {
    int: Signal,
    term: Signal,
}

impl Signals {
    /// Begins to listen; from here on the signals no longer end the process by themselves.
    ///
    /// # Errors
    /// [`Kind::Failed`] when the system refuses.
    pub fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).explain(Kind::Failed, || "cannot listen for signals".to_owned());
        Ok(Signals { int: listen(SignalKind::interrupt())?, term: listen(SignalKind::terminate())? })
    }

    /// Tells the first signal to `canceller`, and returns with the number of the second.
    pub async fn second(&mut self, canceller: Canceller) -> i32 {
        canceller.cancel(self.next().await);
        self.next().await
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> i32 {
        tokio::select! {
            Some(()) = self.int.recv() => SignalKind::interrupt().as_raw_value(),
            Some(()) = self.term.recv() => SignalKind::terminate().as_raw_value(),
            else => std::future::pending().await,
        }
    }
}
