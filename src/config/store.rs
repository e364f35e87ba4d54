//! `[store]` and `[backup]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::layers::{Entry, Reader};
use super::model::{BackupConfig, Checksums, ConditionalWrites, StoreConfig};
use super::secrets::world_readable;
use crate::error::{Error, Kind, Result};
use crate::retention::short_duration;

/// The part size where none is set. 10,000 parts of it (the limit of S3) make a volume of 78 GiB.
const PART_SIZE: u64 = 8 << 20;
/// The least part size of S3 (its user guide, "Multipart upload limits").
const LEAST_PART: u64 = 5 << 20;
/// The greatest part size of S3.
const GREATEST_PART: u64 = 5 << 30;

/// Reads `[store]`. `file` is the configuration file, for messages.
pub(crate) fn read_store(
    reader: &mut Reader<'_>,
    file: Option<&Path>,
    warnings: &mut Vec<String>,
) -> Result<StoreConfig> {
    let Some((url, entry)) = reader.hidden_text("store.url")? else {
        let place = file.map_or(String::new(), |file| format!("{}: ", file.display()));
        return Err(Error::new(Kind::Config, format!("{place}store.url is missing"))
            .hint("add `url = \"s3://bucket/prefix\"` to [store], or set LIFEBOAT_STORE_URL"));
    };
    check_store_url(reader, &url, entry)?;
    reader.show("store.url", url.clone());
    let endpoint = reader.hidden_text("store.endpoint")?;
    if let Some((endpoint, entry)) = &endpoint {
        check_endpoint(reader, endpoint, entry)?;
        reader.show("store.endpoint", endpoint.clone());
        if endpoint.starts_with("http://") && !is_local(endpoint) {
            let place = &entry.place;
            warnings.push(format!(
                "{place}: store.endpoint is not encrypted; backups travel in the clear, use https://"
            ));
        }
    }
    let region = reader.text("store.region")?;
    let path_style = reader.flag("store.path_style", false)?;
    let checksums =
        [("when_supported", Checksums::WhenSupported), ("when_required", Checksums::WhenRequired)];
    let checksums = reader.choice("store.checksums", &checksums)?;
    let conditional = [("trusted", ConditionalWrites::Trusted), ("weak", ConditionalWrites::Weak)];
    let conditional_writes = reader.choice("store.conditional_writes", &conditional)?;
    let part_size = reader.size_or("store.part_size", LEAST_PART..=GREATEST_PART, PART_SIZE)?;
    let uploads_in_flight = reader.whole_or("store.uploads_in_flight", 1..=64, 4)?;
    let ca_file = reader.path("store.ca_file")?;
    let key_files = key_files(reader, warnings)?;
    let endpoint = endpoint.map(|(endpoint, _)| endpoint);
    Ok(StoreConfig {
        url,
        endpoint,
        region,
        path_style,
        checksums,
        conditional_writes,
        part_size,
        uploads_in_flight,
        ca_file,
        key_files,
    })
}

/// Reads `[backup]`.
pub(crate) fn read_backup(reader: &mut Reader<'_>) -> Result<BackupConfig> {
    const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
    let compression_level = reader.whole_or("backup.compression_level", 1..=19, 2)?;
    let threads = reader.whole_or("backup.threads", 0..=256, 0)?;
    let lock_timeout = match reader.duration("backup.lock_timeout")? {
        Some(timeout) => timeout,
        None => {
            reader.show("backup.lock_timeout", short_duration(LOCK_TIMEOUT));
            LOCK_TIMEOUT
        }
    };
    let lock_attempts = reader.whole_or("backup.lock_attempts", 1..=1000, 5)?;
    // At most 19, by the range above.
    let compression_level = compression_level as i32;
    Ok(BackupConfig { compression_level, threads, lock_timeout, lock_attempts })
}

fn key_files(reader: &mut Reader<'_>, warnings: &mut Vec<String>) -> Result<Option<(PathBuf, PathBuf)>> {
    const ID: &str = "store.access_key_id_file";
    const KEY: &str = "store.secret_access_key_file";
    let (id, key) = (reader.path(ID)?, reader.path(KEY)?);
    let alone = |given: &str, missing: &str| {
        let place = reader.entry(given).map_or(String::new(), |entry| format!("{}: ", entry.place));
        Error::new(Kind::Config, format!("{place}{given} is given without {missing}"))
            .hint("give both files, or neither to get credentials the usual way of AWS")
    };
    match (id, key) {
        (Some(id), Some(key)) => {
            warnings.extend(world_readable(&key, KEY));
            Ok(Some((id, key)))
        }
        (Some(_), None) => Err(alone(ID, KEY)),
        (None, Some(_)) => Err(alone(KEY, ID)),
        (None, None) => Ok(None),
    }
}

fn check_store_url(reader: &Reader<'_>, url: &str, entry: &Entry) -> Result<()> {
    const HINT: &str = "use s3://bucket/prefix, file:///absolute/path, or memory: for a trial";
    let refuse = |problem: &str| Err(reader.refuse("store.url", entry, problem).hint(HINT));
    let known = if let Some(place) = url.strip_prefix("s3://") {
        let bucket = place.split('/').next().unwrap_or("");
        if place.contains('@') {
            let message = "credentials do not belong in the URL of the store";
            return Err(reader.refuse("store.url", entry, message).hint(
                "give them the usual way of AWS, or with access_key_id_file and secret_access_key_file",
            ));
        }
        if place.contains(['?', '#']) {
            return refuse("a store's URL has no query or fragment");
        }
        !bucket.is_empty()
    } else if let Some(path) = url.strip_prefix("file://") {
        path.starts_with('/')
    } else {
        url == "memory:" || url.starts_with("memory://")
    };
    if known { Ok(()) } else { refuse("this is not the URL of a store") }
}

fn check_endpoint(reader: &Reader<'_>, endpoint: &str, entry: &Entry) -> Result<()> {
    let rest = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
    let problem = match rest {
        None | Some("") => "an endpoint begins with https:// or http://",
        Some(rest) if rest.contains('@') => "credentials do not belong in the endpoint",
        Some(_) => return Ok(()),
    };
    Err(reader.refuse("store.endpoint", entry, problem).hint("write it as https://s3.example.com"))
}

fn is_local(endpoint: &str) -> bool {
    let host = endpoint.trim_start_matches("http://");
    ["localhost", "127.", "[::1]"].iter().any(|local| host.starts_with(local))
}
