//! The resolved configuration, as plain typed values.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::policy::Policy;
use super::secrets::{PasswordFrom, read_secret};
use crate::error::Result;
use crate::secret::Secret;

/// When a checksum goes with a request to the store (the AWS SDKs' `request_checksum_calculation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksums {
    /// With every request that can have one.
    WhenSupported,
    /// Only where the service asks for one; some S3 servers need this.
    WhenRequired,
}

/// Whether the store's conditional writes can be relied on when several writers race.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionalWrites {
    /// Of several writers that race for a key one wins.
    Trusted,
    /// More than one may win: the lease uses one key for each run instead.
    Weak,
}

/// `[store]`: where backups go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// `s3://bucket/prefix`, `file:///path` or `memory:`. Never holds a secret.
    pub url: String,
    /// The server's URL, where it is not AWS. Never holds a secret.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// The bucket goes into the path instead of the host name.
    pub path_style: bool,
    /// When a checksum goes with a request.
    pub checksums: Checksums,
    /// Whether the store's conditional writes can be relied on.
    pub conditional_writes: ConditionalWrites,
    /// Bytes of each part of an upload, 5 MiB to 5 GiB.
    pub part_size: u64,
    /// Parts that are uploaded at once, 1 to 64.
    pub uploads_in_flight: u32,
    /// A PEM file of authorities to trust for the endpoint, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The files of access key id and secret access key, where they do not come the usual way.
    pub(crate) key_files: Option<(PathBuf, PathBuf)>,
}

impl StoreConfig {
    /// Reads access key id and secret access key from their files. `None` when no files are configured and
    /// credentials come the usual way (environment, profile, web identity, instance role).
    ///
    /// Fails with [`Kind::Config`](crate::error::Kind::Config) when a file cannot be read.
    pub fn credentials(&self) -> Result<Option<(Secret, Secret)>> {
        let Some((id, key)) = &self.key_files else {
            return Ok(None);
        };
        let id = read_secret(id, "access key id file of the store")?;
        Ok(Some((id, read_secret(key, "secret access key file of the store")?)))
    }
}

/// `[backup]`: how backups are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupConfig {
    /// The zstd level, 1 to 19.
    pub compression_level: i32,
    /// Compression threads; 0 is one for each core.
    pub threads: u32,
    /// How long one attempt waits for the locks of a dump.
    pub lock_timeout: Duration,
    /// How often the locks are tried, at least once.
    pub lock_attempts: u32,
}

/// A database: its URL without the password, and where the password comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// The URL. Never holds the password.
    pub url: String,
    /// Whose it is, for messages: `source orders`, `staging of source orders`.
    pub(crate) owner: String,
    pub(crate) password_from: PasswordFrom,
}

impl Database {
    /// Gets the password, from the environment, its file or the URL. `None` when none is configured.
    ///
    /// The file is read at this moment, so a rotated secret is seen. Fails with
    /// [`Kind::Config`](crate::error::Kind::Config) when the file or variable is missing or empty.
    pub fn password(&self) -> Result<Option<Secret>> {
        self.password_from.read(&self.owner)
    }
}

/// Where drills of a source restore to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StagingTarget {
    /// A throwaway local server.
    Ephemeral,
    /// A server on which a database is made and dropped.
    Server(Database),
}

/// `[sources.NAME.staging]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staging {
    /// Where to.
    pub target: StagingTarget,
    /// The directory of the engine's tools, this section's or the source's.
    pub tools: Option<PathBuf>,
}

/// `[sources.NAME]`: a database that is backed up.
#[derive(Clone, PartialEq)]
pub struct Source {
    /// The name, `[a-z0-9][a-z0-9_-]{0,62}`: a path segment in the bucket.
    pub name: String,
    /// The engine's name, which the engines check.
    pub engine: String,
    /// The database.
    pub database: Database,
    /// The method's name, which the engine checks; `None`: the engine's own choice.
    pub method: Option<String>,
    /// Free labels that go into the manifest.
    pub labels: BTreeMap<String, String>,
    /// The directory of the engine's tools; `None`: found by the usual search.
    pub tools: Option<PathBuf>,
    /// What the engine reads and checks itself.
    pub options: toml::Table,
    /// Where drills restore to, if anywhere.
    pub staging: Option<Staging>,
    /// The policy, with what the file, the environment and flags say beside it and the source's own checks.
    pub policy: Policy,
}

/// Shows the keys of `options` alone: an engine's option may hold what is not to be logged.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .field("engine", &self.engine)
            .field("database", &self.database)
            .field("method", &self.method)
            .field("labels", &self.labels)
            .field("tools", &self.tools)
            .field("options", &self.options.keys().collect::<Vec<_>>())
            .field("staging", &self.staging)
            .field("policy", &self.policy)
            .finish()
    }
}
