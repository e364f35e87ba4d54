//! The files of a backup: from the tool's directory into objects, and back.

use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::error::{Error, Explain as _, Kind, Result};
use crate::pipeline::object::{CleanEnd, Role, Stored};
use crate::pipeline::{BackupReader, Sink};

/// The object's names begin with this.
const PREFIX: &str = "artifact-";

/// The first, which every backup has.
pub(in crate::engines::neo4j) const FIRST: &str = "artifact-001";

/// The format of all, in words.
const CONTENT: &str = "file of neo4j-admin backup";

/// A manifest has room for so many.
pub(super) const MOST: usize = 100;

/// Bytes that are read at once.
const CHUNK: usize = 1 << 20;

/// A file of a backup, as the manifest's properties have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Artifact {
    /// The object that holds it.
    pub(super) object: String,
    /// Its path below the tool's directory.
    pub(super) path: String,
    /// Its size.
    pub(super) bytes: u64,
}

/// Makes a directory that nobody else may read.
///
/// # Errors
/// [`Kind::Unreachable`] when it cannot be made.
pub(super) fn directory(under: &Path, prefix: &str) -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix(prefix)
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(under)
        .explain(Kind::Unreachable, || format!("cannot make a directory in {}", under.display()))
}

/// The regular files below a directory, in order, with their sizes.
///
/// # Errors
/// [`Kind::Failed`] when it cannot be read.
pub(super) fn walk(directory: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(next) = open.pop() {
        let unread = || format!("cannot read {}", next.display());
        for entry in std::fs::read_dir(&next).explain(Kind::Failed, unread)? {
            let entry = entry.explain(Kind::Failed, unread)?;
            // A file that goes meanwhile is one of the tool's own.
            let Ok(data) = entry.metadata() else { continue };
            match data.is_dir() {
                true => open.push(entry.path()),
                false if data.is_file() => found.push((entry.path(), data.len())),
                false => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Stores files of a directory, in the order given.
///
/// # Errors
/// [`Kind::Failed`] for too many, or one that changes meanwhile; those of the store.
pub(super) async fn store(
    directory: &Path,
    files: &[PathBuf],
    packed: bool,
    sink: &Sink,
) -> Result<(Vec<Artifact>, Vec<Stored>)> {
    if files.len() > MOST {
        return Err(Error::new(
            Kind::Failed,
            format!("the backup has {} files, and a manifest has room for {MOST}", files.len()),
        )
        .hint("use the method dump or export; or begin a new chain in an empty options.backup_directory"));
    }
    let mut kept = Vec::new();
    let mut stored = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let object = format!("{PREFIX}{:03}", number + 1);
        let path = file.strip_prefix(directory).unwrap_or(file);
        let path = path
            .to_str()
            .ok_or_else(|| Error::new(Kind::Failed, format!("the name {} is not UTF-8", path.display())))?;
        let mut writer = match packed {
            true => sink.object_as_is(&object, Role::Dump, CONTENT),
            false => sink.object(&object, Role::Dump, CONTENT),
        };
        let unread = || format!("cannot read {}", file.display());
        let mut opened = tokio::fs::File::open(file).await.explain(Kind::Failed, unread)?;
        let size = opened.metadata().await.explain(Kind::Failed, unread)?.len();
        let mut chunk = vec![0; CHUNK];
        let mut read = 0;
        loop {
            let bytes = opened.read(&mut chunk).await.explain(Kind::Failed, unread)?;
            if bytes == 0 {
                break;
            }
            read += bytes as u64;
            writer.write(&chunk[..bytes]).await?;
        }
        let now = opened.metadata().await.explain(Kind::Failed, unread)?.len();
        if (read, now) != (size, size) {
            let what = format!("{} changed while it was read: {size} bytes, then {read}", file.display());
            return Err(Error::new(Kind::Failed, what).hint("look for what else writes to that directory"));
        }
        kept.push(Artifact { object, path: path.to_owned(), bytes: size });
        stored.push(writer.finish(CleanEnd::of("the file came to its end in its size")).await?);
    }
    Ok((kept, stored))
}

/// What files a backup has.
///
/// # Errors
/// [`Kind::Damaged`] when its properties do not say so, or name what is not in it, or a path that leads elsewhere.
pub(super) fn listed(from: &BackupReader, properties: &serde_json::Value) -> Result<Vec<Artifact>> {
    let wrong = |what: &str| Error::new(Kind::Damaged, format!("the backup's list of files {what}"));
    let files = properties.get("files").cloned().unwrap_or_default();
    let files: Vec<Artifact> =
        serde_json::from_value(files).map_err(|cause| wrong("is not understood").because(cause))?;
    if files.is_empty() {
        return Err(wrong("is empty"));
    }
    for file in &files {
        let inside = Path::new(&file.path).components().all(|part| matches!(part, Component::Normal(_)));
        if file.path.is_empty() || !inside {
            return Err(wrong(&format!("names {}", file.path.escape_debug())));
        }
        if from.object(&file.object)?.raw_bytes != file.bytes {
            return Err(wrong(&format!("has another size of {} than its object", file.path)));
        }
    }
    Ok(files)
}

/// Writes the files below a directory.
///
/// # Errors
/// [`Kind::Damaged`] for one that is not what was stored; those of the store and the disk.
pub(super) async fn fetch(from: &BackupReader, files: &[Artifact], directory: &Path) -> Result<()> {
    for file in files {
        let path = directory.join(&file.path);
        let unwritten = || format!("cannot write {}", path.display());
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).explain(Kind::Unreachable, unwritten)?;
        }
        let mut options = std::fs::OpenOptions::new();
        let made = options.write(true).create_new(true).mode(0o600).open(&path);
        let mut writer = tokio::fs::File::from_std(made.explain(Kind::Unreachable, unwritten)?);
        let mut stream = from.stream(&file.object)?;
        let mut written = 0;
        while let Some(bytes) = stream.next().await? {
            writer.write_all(&bytes).await.explain(Kind::Unreachable, unwritten)?;
            written += bytes.len() as u64;
            from.progress().add_raw(bytes.len() as u64);
        }
        writer.flush().await.explain(Kind::Unreachable, unwritten)?;
        let found = writer.metadata().await.explain(Kind::Unreachable, unwritten)?.len();
        if (written, found) != (file.bytes, file.bytes) {
            let what = format!("{} has {found} bytes instead of {}", path.display(), file.bytes);
            return Err(Error::new(Kind::Damaged, what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::pipeline::Tuning;
    use crate::pipeline::progress::Progress;
    use crate::stores::memory::MemoryStore;

    async fn reader(directory: &Path) -> (Vec<Artifact>, BackupReader) {
        let store = Arc::new(MemoryStore::new());
        let sink = Sink::new(store.clone(), "db/data/1/", Tuning::default(), Progress::default());
        let files: Vec<PathBuf> = walk(directory).unwrap().into_iter().map(|(path, _)| path).collect();
        let (kept, stored) = super::store(directory, &files, false, &sink).await.unwrap();
        let mut objects: Vec<_> = stored.into_iter().map(Stored::into_object).collect();
        objects.push(sink.frame_index().await.unwrap().into_object());
        let reader = BackupReader::open(store, "db/data/1/", objects, 2, Progress::default()).await;
        (kept, reader.unwrap())
    }

    #[tokio::test]
    async fn files_come_back_and_a_list_that_lies_is_refused() {
        let from = tempfile::tempdir().unwrap();
        std::fs::create_dir(from.path().join("db")).unwrap();
        std::fs::write(from.path().join("db/store"), "nodes").unwrap();
        std::fs::write(from.path().join("a.backup"), "").unwrap();
        let (kept, reader) = reader(from.path()).await;
        let named: Vec<_> =
            kept.iter().map(|file| (file.object.as_str(), file.path.as_str(), file.bytes)).collect();
        assert_eq!(named, [(FIRST, "a.backup", 0), ("artifact-002", "db/store", 5)]);

        let to = tempfile::tempdir().unwrap();
        let listed_files = listed(&reader, &serde_json::json!({ "files": kept })).unwrap();
        fetch(&reader, &listed_files, to.path()).await.unwrap();
        assert_eq!(std::fs::read(to.path().join("db/store")).unwrap(), b"nodes");
        // It is there already.
        assert_eq!(fetch(&reader, &listed_files, to.path()).await.unwrap_err().kind(), Kind::Unreachable);

        let file = |object: &str, path: &str, bytes: u64| serde_json::json!({"files": [{"object": object, "path": path, "bytes": bytes}]});
        for wrong in [
            serde_json::json!({}),
            serde_json::json!({"files": []}),
            file(FIRST, "../a", 0),
            file(FIRST, "/etc/a", 0),
            file(FIRST, "", 0),
            file(FIRST, "a", 1),
        ] {
            assert_eq!(listed(&reader, &wrong).unwrap_err().kind(), Kind::Damaged, "{wrong}");
        }
        assert!(listed(&reader, &file("artifact-009", "a", 0)).is_err());
    }
}
