//! Patience with a mongodump that gives nothing: it waits for ever when its server has gone.

use std::time::{Duration, Instant};

use crate::engines::mongodb::connect::Server;
use crate::engines::mongodb::pulse::Pulse;
use crate::error::{Error, Kind, Result};

/// Watches one dump.
#[derive(Debug)]
pub struct Watch<'a> {
    server: &'a Server,
    stall: Duration,
    last_bytes: Instant,
    pulse: Pulse<'a>,
}

impl<'a> Watch<'a> {
    /// Starts now. `stall` is how long no byte may come although the server answers.
    pub fn new(server: &'a Server, stall: Duration) -> Watch<'a> {
        Watch { server, stall, last_bytes: Instant::now(), pulse: Pulse::of(server) }
    }

    /// Bytes came.
    pub fn bytes(&mut self) {
        self.last_bytes = Instant::now();
        self.pulse.heard();
    }

    /// No bytes came for a while.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] when the server does not answer either, or nothing came for too long.
    pub async fn look(&mut self) -> Result<()> {
        self.pulse.beat().await?;
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
