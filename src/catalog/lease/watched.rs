//! Waiting for somebody else's lease without comparing clocks.

use std::collections::HashMap;
use std::time::Duration;

use super::LeaseOptions;
use crate::clock::{Clock, Mono};
use crate::error::{Error, Kind, Result};
use crate::stores::Version;

/// What a look at somebody else's key has told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// Not yet known.
    Unknown,
    /// It changed since it was first seen: its holder lives.
    Alive,
    /// It stayed the same for a whole time to live: its holder is dead.
    Dead,
}

/// Keys of others, as they were first seen.
#[derive(Debug, Default)]
pub(super) struct Watched(HashMap<String, (Version, Mono)>);

impl Watched {
    /// Takes note of a look that was begun at `asked` and answered at `answered`. The time that
    /// counts runs from the first answer to the last question: in between, the version was the same.
    pub(super) fn look(
        &mut self,
        key: &str,
        version: &Version,
        asked: Mono,
        answered: Mono,
        ttl: Duration,
    ) -> Sight {
        match self.0.get(key) {
            None => {
                self.0.insert(key.to_owned(), (version.clone(), answered));
                Sight::Unknown
            }
            Some((first, _)) if first != version => Sight::Alive,
            Some((_, since)) if asked.since(*since) >= ttl => Sight::Dead,
            Some(_) => Sight::Unknown,
        }
    }

    /// Forgets a key that is gone.
    pub(super) fn forget(&mut self, key: &str) {
        self.0.remove(key);
    }
}

/// The patience of one acquisition.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) clock: Clock,
    pub(super) ttl: Duration,
    poll: Duration,
    deadline: Option<Mono>,
}

impl Waiter {
    pub(super) fn new(clock: Clock, options: &LeaseOptions) -> Waiter {
        let deadline = options.wait.map(|wait| clock.now() + wait);
        Waiter { clock, ttl: options.ttl, poll: options.poll.min(options.ttl / 2), deadline }
    }

    /// Waits for one poll interval. Fails with [`Kind::Leased`] when the patience is at its end.
    pub(super) async fn pause(&self, source: &str, holder: &str) -> Result<()> {
        let now = self.clock.now();
        let left = self.deadline.map(|deadline| deadline.since(now));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(leased(source, holder));
        }
        self.clock.sleep(left.map_or(self.poll, |left| left.min(self.poll))).await;
        Ok(())
    }
}

/// The error of a lease that somebody else holds.
pub(super) fn leased(source: &str, holder: &str) -> Error {
    Error::new(Kind::Leased, format!("the lease of {source} is held by {holder}")).hint(
        "wait for that run to end; if it is gone, the lease runs out by itself and a later run takes over",
    )
}
