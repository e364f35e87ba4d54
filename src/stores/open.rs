//! From a URL to a store.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use super::SharedStore;
use super::file::FileStore;
use super::memory::MemoryStore;
use super::s3::S3Store;
use crate::error::{Error, Kind, Result};
use crate::secret::Secret;

/// Everything there is to say about a store, as plain values.
#[derive(Debug, Clone)]
pub struct StoreSpec {
    /// `s3://bucket/prefix`, `file:///directory`, `memory:` or `memory:name`.
    pub url: String,
    /// The S3 server; `None`: Amazon.
    pub endpoint: Option<String>,
    /// The region; `None`: environment, profile, and for an endpoint `us-east-1`.
    pub region: Option<String>,
    /// The bucket in the path instead of the host name; `None`: exactly when there is an endpoint.
    pub path_style: Option<bool>,
    /// Whether the server takes checksums.
    pub checksums: Checksums,
    /// The profile of the AWS configuration files.
    pub profile: Option<String>,
    /// Keys from the configuration; `None`: the usual chain of the AWS SDK.
    pub credentials: Option<Credentials>,
    /// A PEM file of authorities to trust beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// Bytes of the largest part that will be sent, which time limits are sized for.
    pub part_bytes: u64,
    /// Time limits and tries.
    pub patience: Patience,
}

/// Keys of an S3 account.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The access key id.
    pub access_key: String,
    /// The secret access key.
    pub secret_key: Secret,
    /// The token of a temporary session.
    pub session_token: Option<Secret>,
}

/// Whether checksums go with what is sent, named after the setting of the AWS SDKs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checksums {
    /// CRC64NVME on everything; checked when read back whole.
    #[default]
    WhenSupported,
    /// None, for servers that refuse them; signatures cover the bytes instead.
    WhenRequired,
}

/// How long to wait for a store, and how often to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the answer, once the body is sent.
    pub answer: Duration,
    /// Without a byte going either way.
    pub stall: Duration,
    /// The slowest rate to go on with, in bytes a second.
    pub min_rate: u64,
    /// Tries of one request, the first included.
    pub attempts: u32,
    /// Before the second try; doubles with each.
    pub first_wait: Duration,
    /// Between two tries, at most.
    pub longest_wait: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(60),
            stall: Duration::from_secs(30),
            min_rate: 16 * 1024,
            attempts: 6,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(20),
        }
    }
}

impl StoreSpec {
    /// A store of which only the URL is known; all else is the default.
    pub fn new(url: impl Into<String>) -> Self {
        StoreSpec {
            url: url.into(),
            endpoint: None,
            region: None,
            path_style: None,
            checksums: Checksums::default(),
            profile: None,
            credentials: None,
            ca_file: None,
            part_bytes: 16 * 1024 * 1024,
            patience: Patience::default(),
        }
    }
}

/// The kinds of store there are: the start of the URL, and what it looks like in full.
const SCHEMES: [(&str, Scheme, &str); 3] = [
    ("s3://", Scheme::S3, "s3://bucket/prefix"),
    ("file://", Scheme::File, "file:///directory"),
    ("memory:", Scheme::Memory, "memory:"),
];

#[derive(Clone, Copy)]
enum Scheme {
    S3,
    File,
    Memory,
}

/// Stores in memory that have a name live as long as the process, so that each `open` finds the same.
static NAMED: LazyLock<Mutex<HashMap<String, SharedStore>>> = LazyLock::new(Mutex::default);

/// Opens the store of a URL. Sends nothing to it yet.
///
/// # Errors
/// [`Kind::Config`] when the URL or a setting does not make sense.
pub async fn open(spec: &StoreSpec) -> Result<SharedStore> {
    let Some((start, scheme, _)) = SCHEMES.iter().find(|(start, ..)| spec.url.starts_with(start)) else {
        let known: Vec<&str> = SCHEMES.iter().map(|(.., example)| *example).collect();
        return Err(Error::new(Kind::Config, format!("{:?} is not the url of a store", spec.url))
            .hint(format!("write it like one of {}", known.join(", "))));
    };
    let rest = &spec.url[start.len()..];
    Ok(match scheme {
        Scheme::S3 => Arc::new(S3Store::connect(spec).await?),
        Scheme::File => Arc::new(FileStore::new(rest.trim_end_matches('/'))?),
        Scheme::Memory => memory(rest),
    })
}

fn memory(name: &str) -> SharedStore {
    if name.is_empty() {
        return Arc::new(MemoryStore::new());
    }
    // A panic while the lock is held leaves whole entries behind.
    let mut named = NAMED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    named.entry(name.to_owned()).or_insert_with(|| Arc::new(MemoryStore::new().named(name))).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(url: &str) -> Error {
        open(&StoreSpec::new(url)).await.unwrap_err()
    }

    #[tokio::test]
    async fn what_is_no_url_of_a_store_is_a_configuration_error() {
        for url in ["", "gs://bucket", "/var/backups", "file://relative", "s3://", "s3://b/../c"] {
            let error = refused(url).await;
            assert_eq!(error.kind(), Kind::Config, "{url}: {error}");
            assert!(error.hint_text().is_some(), "{url}");
        }
        let hint = refused("gs://bucket").await;
        assert_eq!(
            hint.hint_text(),
            Some("write it like one of s3://bucket/prefix, file:///directory, memory:")
        );
    }

    #[tokio::test]
    async fn a_named_memory_store_is_found_again_and_others_are_not() {
        let one = open(&StoreSpec::new("memory:open-test")).await.unwrap();
        one.put("a", bytes::Bytes::new()).await.unwrap();
        let again = open(&StoreSpec::new("memory:open-test")).await.unwrap();
        assert!(again.head("a").await.unwrap().is_some());
        let other = open(&StoreSpec::new("memory:")).await.unwrap();
        assert!(other.head("a").await.unwrap().is_none());
    }
}
