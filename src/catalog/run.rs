//! Who is at work: one run of one command, as it signs leases, marks and uses.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::id::unique_name;

/// One run of one command. The id is unique; everything else is for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The run's id, in the form of a backup id.
    #[serde(rename = "run")]
    pub id: String,
    /// The host (in a cluster, the pod).
    pub host: String,
    /// The process id on that host.
    pub pid: u32,
    /// The command (`backup`, `prune`), without arguments.
    pub command: String,
}

impl Run {
    /// A new run, begun at `now`.
    pub fn new(now: DateTime<Utc>, host: &str, pid: u32, command: &str) -> Run {
        Run { id: unique_name(now), host: host.to_owned(), pid, command: command.to_owned() }
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` (run {}, process {} on {})", self.command, self.id, self.pid, self.host)
    }
}
