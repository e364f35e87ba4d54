//! A source's own settings: `[sources.NAME.options]`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::error::{Error, Kind, Result};

/// The settings as they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// How often an export is tried until nothing is committed meanwhile; 3 by default.
    pub attempts: Option<u32>,
    /// Connections that read at once; as many as there are threads, and 4 at most, by default.
    pub readers: Option<usize>,
    /// Seconds that an attempt after the first waits at most for writers to pause; 30 by default.
    pub quiet_wait_seconds: Option<u64>,
    /// Whether an export lists the users (their passwords cannot be read).
    pub users: bool,
    /// For `dump`: the command that stops the server, as a list of words.
    pub stop: Vec<String>,
    /// For `dump`: the command that starts it again.
    pub start: Vec<String>,
    /// Seconds that each of the two may take, and the server to answer again; 300 by default.
    pub service_timeout_seconds: Option<u64>,
    /// For `dump` and `backup`: seconds that `neo4j-admin` may give nothing; 600 by default.
    pub stall_timeout_seconds: Option<u64>,
    /// For `dump` and `backup`: Neo4j's home on this machine (`NEO4J_HOME`).
    pub home: Option<PathBuf>,
    /// For `dump` and `backup`: the directory of its `neo4j.conf` (`NEO4J_CONF`); `conf` in the home by default.
    pub conf: Option<PathBuf>,
    /// For `dump` and `backup`: how the server that a backup is restored to is stopped and started.
    pub target: Commands,
    /// For `dump`: leave out the database `system` (users and roles).
    pub without_system: bool,
    /// For `backup`: the server's backup address (`host:6362`); the URL's host by default.
    pub backup_from: Option<String>,
    /// For `backup`: a directory that is kept; differential backups are added to the chain in it.
    pub backup_directory: Option<PathBuf>,
}

/// How another server is stopped and started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Commands {
    /// The command that stops it, as a list of words; empty: it is stopped already.
    pub stop: Vec<String>,
    /// The command that starts it.
    pub start: Vec<String>,
}

const ATTEMPTS: u32 = 3;
const QUIET_WAIT: Duration = Duration::from_secs(30);
const SERVICE_TIMEOUT: Duration = Duration::from_secs(300);
const STALL: Duration = Duration::from_secs(600);

impl Options {
    /// Looks whether the values make sense.
    ///
    /// # Errors
    /// [`Kind::Config`] naming the value that does not.
    pub fn check(&self, method: &str) -> Result<()> {
        let wrong = |message: &str, hint: &str| Err(Error::new(Kind::Config, message).hint(hint));
        if self.attempts == Some(0) {
            return wrong("options.attempts: an export needs at least 1 attempt", "leave it out for 3");
        }
        if self.stall_timeout_seconds == Some(0) {
            return wrong(
                "options.stall_timeout_seconds is 0: no dump would ever succeed",
                "leave it out for 600",
            );
        }
        if self.stall_timeout_seconds.is_some() && method == "export" {
            return wrong(
                "options.stall_timeout_seconds is for the methods dump and backup",
                "leave it out: an export has a limit of its own",
            );
        }
        if self.readers.is_some_and(|readers| readers == 0 || readers > 64) {
            return wrong(
                "options.readers: there can be 1 to 64",
                "leave it out for one a thread, and 4 at most",
            );
        }
        if self.stop.is_empty() != self.start.is_empty() {
            return wrong(
                "options.stop and options.start go together: what is stopped has to be started again",
                "give both, as in stop = [\"systemctl\", \"stop\", \"neo4j\"]",
            );
        }
        if self.target.stop.is_empty() != self.target.start.is_empty() {
            return wrong(
                "options.target.stop and options.target.start go together: what is stopped has to be started again",
                "give both, or leave both out and stop the server yourself",
            );
        }
        for (name, command) in [("stop", &self.stop), ("start", &self.start)] {
            if command.first().is_some_and(String::is_empty) {
                return wrong(
                    &format!("options.{name}: the command has no program"),
                    "give its words, as in stop = [\"systemctl\", \"stop\", \"neo4j\"]",
                );
            }
        }
        let offline = !self.stop.is_empty() || self.without_system;
        if offline && method != "dump" {
            return wrong(
                "options.stop, start and without_system are for the method dump",
                "set method = \"dump\" in the source, or leave them out",
            );
        }
        let files = self.home.is_some() || self.conf.is_some() || !self.target.stop.is_empty();
        if files && method == "export" {
            return wrong(
                "options.home, conf and target are for the methods dump and backup",
                "set method = \"dump\" in the source, or leave them out",
            );
        }
        let enterprise = self.backup_from.is_some() || self.backup_directory.is_some();
        if enterprise && method != "backup" {
            return wrong(
                "options.backup_from and backup_directory are for the method backup",
                "set method = \"backup\" in the source (Neo4j Enterprise), or leave them out",
            );
        }
        Ok(())
    }

    /// How often an export is tried.
    pub fn attempts(&self) -> u32 {
        self.attempts.unwrap_or(ATTEMPTS).max(1)
    }

    /// How long an attempt waits for writers to pause.
    pub fn quiet_wait(&self) -> Duration {
        self.quiet_wait_seconds.map_or(QUIET_WAIT, Duration::from_secs)
    }

    /// How long `neo4j-admin` may give nothing.
    pub fn stall(&self) -> Duration {
        self.stall_timeout_seconds.map_or(STALL, Duration::from_secs)
    }

    /// How long the server may take to stop, to start and to answer.
    pub fn service_timeout(&self) -> Duration {
        self.service_timeout_seconds.map_or(SERVICE_TIMEOUT, Duration::from_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Options {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn values_that_make_no_sense_are_named() {
        for (text, method, part) in [
            (r#"{"attempts": 0}"#, "export", "options.attempts"),
            (r#"{"stall_timeout_seconds": 0}"#, "dump", "options.stall_timeout_seconds is 0"),
            (r#"{"stall_timeout_seconds": 9}"#, "export", "for the methods dump and backup"),
            (r#"{"stop": ["x"]}"#, "dump", "options.stop and options.start go together"),
            (r#"{"stop": [""], "start": ["x"]}"#, "dump", "options.stop: the command has no program"),
            (r#"{"stop": ["x"], "start": ["x"]}"#, "export", "for the method dump"),
            (r#"{"backup_from": "h:6362"}"#, "export", "for the method backup"),
        ] {
            let error = options(text).check(method).unwrap_err();
            assert!(error.message().contains(part), "{error:?}");
            assert_eq!(error.kind(), Kind::Config);
        }
        assert!(options(r#"{"stop": ["x"], "start": ["y"]}"#).check("dump").is_ok());
        assert!(serde_json::from_str::<Options>(r#"{"atempts": 1}"#).is_err());
    }
}
