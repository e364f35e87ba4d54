//! Listing and reading the file store.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use bytes::Bytes;
use futures_util::stream;

use super::disk::{modified, version};
use super::errors::explain;
use super::{blocking, file_url};
use crate::error::{Error, Kind, Result};
use crate::stores::{Body, Entry, Version, changed, keys, missing, range_within};

/// How much one trip to a blocking thread reads.
const CHUNK: u64 = 256 * 1024;
/// How deep directories may be nested; more is a loop of symbolic links.
const MAX_DEPTH: u32 = 64;

/// All objects under the prefix, sorted by key.
pub(super) fn list(root: &Path, prefix: &str) -> Result<Vec<Entry>> {
    let (directory, above) = match prefix.rsplit_once('/') {
        Some((directory, _)) => (root.join(directory), format!("{directory}/")),
        None => (root.to_owned(), String::new()),
    };
    let mut found = Vec::new();
    walk(root, &directory, &above, prefix, 0, &mut found)?;
    // `a-b` sorts before `a/c`, but after the directory `a`: only whole keys can be compared.
    found.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(found)
}

fn walk(
    root: &Path,
    directory: &Path,
    above: &str,
    prefix: &str,
    depth: u32,
    found: &mut Vec<Entry>,
) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Error::new(Kind::Store, format!("{} is nested too deep", directory.display()))
            .hint("look for a symbolic link that leads back up"));
    }
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(cause) if gone(&cause) => return Ok(()),
        Err(cause) => return Err(explain(root, "list", directory, cause)),
    };
    for entry in entries {
        let entry = entry.map_err(|cause| explain(root, "list", directory, cause))?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| keys::is_segment(name)) else { continue };
        let path = entry.path();
        let data = match fs::metadata(&path) {
            Ok(data) => data,
            Err(cause) if gone(&cause) => continue,
            Err(cause) => return Err(explain(root, "look at", &path, cause)),
        };
        let key = format!("{above}{name}");
        if data.is_dir() {
            let below = format!("{key}/");
            if below.starts_with(prefix) || prefix.starts_with(&below) {
                walk(root, &path, &below, prefix, depth + 1, found)?;
            }
        } else if data.is_file() && key.starts_with(prefix) {
            found.push(entry_of(key, &data));
        }
    }
    Ok(())
}

/// Size and state of one object.
pub(super) fn head(root: &Path, key: &str) -> Result<Option<Entry>> {
    let path = root.join(key);
    match fs::metadata(&path) {
        Ok(data) if data.is_file() => Ok(Some(entry_of(key.to_owned(), &data))),
        Ok(_) => Ok(None),
        Err(cause) if gone(&cause) => Ok(None),
        Err(cause) => Err(explain(root, "look at", &path, cause)),
    }
}

/// A small object whole, in one state.
pub(super) fn get(root: &Path, key: &str) -> Result<Option<(Bytes, Version)>> {
    let Some((mut file, data)) = open(root, key)? else { return Ok(None) };
    let path = root.join(key);
    let mut body = Vec::with_capacity(usize::try_from(data.len()).unwrap_or_default());
    file.read_to_end(&mut body).map_err(|cause| explain(root, "read", &path, cause))?;
    if body.len() as u64 != data.len() {
        return Err(changed(&file_url(root, key)));
    }
    Ok(Some((body.into(), version(&data))))
}

/// Opens a range of an object; checks that the bytes it promised come.
pub(super) async fn read(
    root: &Path,
    key: &str,
    start: u64,
    end: Option<u64>,
    wanted: Option<&Version>,
) -> Result<Body> {
    let (root, key, wanted) = (root.to_owned(), key.to_owned(), wanted.cloned());
    let name = file_url(&root, &key);
    let (file, left) = blocking({
        let (root, name) = (root.clone(), name.clone());
        let key = key.clone();
        move || {
            let (mut file, data) = open(&root, &key)?.ok_or_else(|| missing(&name))?;
            if wanted.is_some_and(|wanted| wanted != version(&data)) {
                return Err(changed(&name));
            }
            let range = range_within(&name, start, end, data.len())?;
            file.seek(SeekFrom::Start(range.start))
                .map_err(|cause| explain(&root, "read", &root.join(&key), cause))?;
            Ok((file, range.end - range.start))
        }
    })
    .await?;
    let chunks = stream::try_unfold((file, left), move |(file, left)| {
        let (root, key, name) = (root.clone(), key.clone(), name.clone());
        async move {
            if left == 0 {
                return Ok(None);
            }
            let (file, chunk) = blocking(move || {
                let wanted = left.min(CHUNK);
                // At most CHUNK, which fits.
                let mut chunk = Vec::with_capacity(wanted as usize);
                (&file)
                    .take(wanted)
                    .read_to_end(&mut chunk)
                    .map_err(|cause| explain(&root, "read", &root.join(&key), cause))?;
                if chunk.len() as u64 != wanted {
                    let text = format!("{name} ended {} bytes early", left - chunk.len() as u64);
                    return Err(
                        Error::new(Kind::Store, text).hint("the file was cut while it was being read")
                    );
                }
                Ok((file, Bytes::from(chunk)))
            })
            .await?;
            let left = left - chunk.len() as u64;
            Ok(Some((chunk, (file, left))))
        }
    });
    Ok(Box::pin(chunks))
}

fn open(root: &Path, key: &str) -> Result<Option<(File, fs::Metadata)>> {
    let path = root.join(key);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(cause) if gone(&cause) => return Ok(None),
        Err(cause) => return Err(explain(root, "open", &path, cause)),
    };
    let data = file.metadata().map_err(|cause| explain(root, "look at", &path, cause))?;
    Ok(data.is_file().then_some((file, data)))
}

fn entry_of(key: String, data: &fs::Metadata) -> Entry {
    Entry { key, size: data.len(), modified: modified(data), version: version(data) }
}

fn gone(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
