//! Stopping a server for as long as a dump takes, and starting it again on every way out.
//!
//! Both commands are run by a process of its own (see [`watcher`]), which starts the server when it loses us: because
//! the work ended or failed, because it was dropped after a signal, because lifeboat was killed. So a server that was
//! stopped is started, and no start ever overtakes a stop that is under way.

mod watcher;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use crate::duty::{self, Duty};
use crate::error::{Error, Kind, Result};
use watcher::Watcher;

/// How often the server is asked whether it answers again.
const EVERY: Duration = Duration::from_millis(250);

/// How a server is stopped and started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The command that stops it, and returns when it has: program and arguments.
    pub stop: Vec<String>,
    /// The command that starts it.
    pub start: Vec<String>,
    /// The environment of both.
    pub environment: BTreeMap<String, String>,
    /// How long each may take.
    pub limits: Limits,
}

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For the end of the stop command.
    pub stop: Duration,
    /// For the end of the start command.
    pub start: Duration,
    /// For an answer of the server that was started.
    pub answer: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Limits { stop: minutes(5), start: minutes(5), answer: minutes(10) }
    }
}

/// A server that is stopped. It is started when this is dropped.
#[derive(Debug)]
#[must_use = "the server is started when this is dropped"]
pub struct Stopped {
    service: Service,
    /// `None` once it was handed to the task that waits for the start.
    watcher: Option<Watcher>,
    began: Instant,
    duty: Option<Duty>,
}

impl Service {
    /// Stops the server. When this fails or is dropped, the server is started all the same.
    ///
    /// # Errors
    /// [`Kind::Config`] for a command that is empty or cannot be run; [`Kind::Unreachable`] when it failed or took
    /// longer than its limit.
    pub async fn stop(&self) -> Result<Stopped> {
        for (what, command) in [("options.stop", &self.stop), ("options.start", &self.start)] {
            if command.first().is_none_or(|program| program.is_empty()) {
                return Err(Error::new(Kind::Config, format!("{what} names no program"))
                    .hint(format!("{what} is a list, as in [\"systemctl\", \"stop\", \"neo4j\"]")));
            }
        }
        let watcher = Watcher::start(&self.stop, &self.start, &self.environment)?;
        let mut stopped = Stopped {
            service: self.clone(),
            watcher: Some(watcher),
            began: Instant::now(),
            duty: Some(duty::begin()),
        };
        let Some(watcher) = &mut stopped.watcher else { return Ok(stopped) };
        match tokio::time::timeout(self.limits.stop, watcher.stop()).await {
            Ok(Ok(0)) => Ok(stopped),
            Ok(Ok(status)) => {
                let how = format!("ended with status {status}{}", watcher.said());
                Err(self.failed("stop", &self.stop, &how))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let how = format!("did not end within {} s{}", self.limits.stop.as_secs(), watcher.said());
                Err(self.failed("stop", &self.stop, &how))
            }
        }
    }

    fn failed(&self, what: &str, command: &[String], how: &str) -> Error {
        let program = command.first().map_or("", String::as_str);
        let error =
            Error::new(Kind::Unreachable, format!("the command that {what}s the server ({program}) {how}"));
        match what {
            "start" => error.hint("start the server by hand now, and try options.start as lifeboat's user"),
            _ => error.hint("try options.stop as lifeboat's user; the server was started again, to be sure"),
        }
    }
}

impl Stopped {
    /// Starts the server, and waits until it answers the caller's question. Returns how long it was away: from
    /// before the stop until it answered.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] when the start failed, or no answer came in time.
    pub async fn start<F, Answer>(mut self, answers: F) -> Result<Duration>
    where
        F: Fn() -> Answer,
        Answer: Future<Output = bool>,
    {
        if let Some(watcher) = &mut self.watcher {
            watcher.let_go();
            let outcome = started(&self.service, watcher).await;
            // It runs, or the caller is told that it does not: nothing is left to do, and nobody to be told again.
            self.watcher = None;
            self.duty = None;
            outcome?;
        }
        let limit = self.service.limits.answer;
        let asking = async {
            while !answers().await {
                tokio::time::sleep(EVERY).await;
            }
        };
        match tokio::time::timeout(limit, asking).await {
            Ok(()) => Ok(self.began.elapsed()),
            Err(_) => {
                let what = format!("the server was started, but did not answer within {} s", limit.as_secs());
                Err(Error::new(Kind::Unreachable, what).hint("look into its log (neo4j.log, debug.log)"))
            }
        }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let (Some(mut watcher), Some(duty)) = (self.watcher.take(), self.duty.take()) else { return };
        watcher.let_go();
        let service = self.service.clone();
        // Without a runtime nobody could wait; the watcher does its work without us.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                match started(&service, &mut watcher).await {
                    Ok(()) => drop(duty),
                    Err(error) => duty.failed(error),
                }
            });
        }
    }
}

/// Waits for the end of the start command. A stop that is still under way has its own time before.
async fn started(service: &Service, watcher: &mut Watcher) -> Result<()> {
    let Limits { stop, start, .. } = service.limits;
    let limit = if watcher.is_stopped() { start } else { stop + start };
    match tokio::time::timeout(limit, watcher.ended()).await {
        Ok(Ok(0)) => Ok(()),
        Ok(Ok(status)) => {
            let how = format!("ended with status {status}{}", watcher.said());
            Err(service.failed("start", &service.start, &how))
        }
        Ok(Err(error)) => Err(error),
        Err(_) => {
            let how = format!("did not end within {} s{}", limit.as_secs(), watcher.said());
            Err(service.failed("start", &service.start, &how))
        }
    }
}

#[cfg(test)]
#[path = "service/tests.rs"]
mod tests;
