//! Patience with a mongodump that gives nothing: it waits for ever when its server has gone.

use std::time::{Duration, Instant};

use crate::engines::mongodb::connect::Server;
use crate::error::{Error, Kind, Result};

/// How often the server is asked while no bytes come.
pub const EVERY: Duration = Duration::from_secs(5);

/// How long one question may take.
const PING: Duration = Duration::from_secs(15);

/// Questions without an answer, one after the other, after which the server counts as gone.
const UNANSWERED: u32 = 2;

/// Watches one dump.
#[derive(Debug)]
pub struct Watch<'a> {
    server: &'a Server,
    stall: Duration,
    last_bytes: Instant,
    unanswered: u32,
}

impl<'a> Watch<'a> {
    /// Starts now. `stall` is how long no byte may come although the server answers.
    pub fn new(server: &'a Server, stall: Duration) -> Watch<'a> {
        Watch { server, stall, last_bytes: Instant::now(), unanswered: 0 }
    }

    /// Bytes came.
    pub fn bytes(&mut self) {
        self.last_bytes = Instant::now();
        self.unanswered = 0;
    }

    /// No bytes came for a while.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] when the server does not answer either, or nothing came for too long.
    pub async fn look(&mut self) -> Result<()> {
        match tokio::time::timeout(PING, self.server.ping()).await {
            Ok(Ok(())) => self.unanswered = 0,
            Ok(Err(error)) if self.unanswered + 1 >= UNANSWERED => {
                return Err(error.while_doing("the server went away while it was dumped"));
            }
            Ok(Err(_)) => self.unanswered += 1,
            Err(_) if self.unanswered + 1 >= UNANSWERED => {
                return Err(Error::new(
                    Kind::Unreachable,
                    format!("{} does not answer any more; it was being dumped", self.server.shown),
                )
                .hint("look into the server's log, and take the backup again"));
            }
            Err(_) => self.unanswered += 1,
        }
        let silent = self.last_bytes.elapsed();
        if silent >= self.stall {
            return Err(Error::new(
                Kind::Unreachable,
                format!(
                    "mongodump has given nothing for {} s, although {} answers",
                    silent.as_secs(),
                    self.server.shown
                ),
            )
            .hint("look for what the server waits for (db.currentOp()); options.stall_timeout_seconds is the patience"));
        }
        Ok(())
    }
}
