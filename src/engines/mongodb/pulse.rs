//! Whether a server is still there: neither the driver nor the tools give up on one that has fallen silent.

use std::time::Duration;

use super::connect::Server;
use crate::error::{Error, Kind, Result};

/// How often the server is asked while something is waited for.
pub const EVERY: Duration = Duration::from_secs(5);

/// Questions without an answer, one after the other, after which the server counts as gone.
const UNANSWERED: u32 = 2;

/// Asks one server now and then.
#[derive(Debug)]
pub struct Pulse<'a> {
    server: &'a Server,
    unanswered: u32,
}

impl<'a> Pulse<'a> {
    /// Begins; nothing is asked yet.
    pub fn of(server: &'a Server) -> Pulse<'a> {
        Pulse { server, unanswered: 0 }
    }

    /// The server was heard of.
    pub fn heard(&mut self) {
        self.unanswered = 0;
    }

    /// Asks once.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] when this question was not answered, and the one before neither.
    pub async fn beat(&mut self) -> Result<()> {
        let error = match tokio::time::timeout(self.server.patience, self.server.ping()).await {
            Ok(Ok(())) => {
                self.unanswered = 0;
                return Ok(());
            }
            Ok(Err(error)) => error.while_doing("the server went away under way"),
            Err(_) => {
                Error::new(Kind::Unreachable, format!("{} does not answer any more", self.server.shown))
                    .hint("look into the server's log and at the network between, and try again")
            }
        };
        self.unanswered += 1;
        if self.unanswered < UNANSWERED { Ok(()) } else { Err(error) }
    }
}

impl Server {
    /// Waits for work that this server does, however long, as long as the server answers.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] when it does not any more.
    pub async fn while_alive<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        let mut pulse = Pulse::of(self);
        let mut work = std::pin::pin!(work);
        loop {
            let beat = async {
                tokio::time::sleep(EVERY).await;
                pulse.beat().await
            };
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                beat = beat => beat?,
            }
        }
    }
}
