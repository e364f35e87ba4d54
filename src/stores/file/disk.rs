//! The blocking calls of the file store: stage, lock, publish, remove; each durable when it returns.
//!
//! A write is staged in a directory of its own, `.uploads/<id>/`, which holds the key (so that what a
//! crash leaves behind can be listed) and the data. It becomes visible by one rename or link, after its
//! bytes are on the disk, under the lock of the store; the directory is on the disk before we return.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};
use nix::fcntl::{Flock, FlockArg};

use super::errors::explain;
use crate::error::{Error, Kind, Result};
use crate::stores::{Conditional, Version};

/// Where writes are staged, inside the root.
pub(super) const UPLOADS: &str = ".uploads";
/// The file that writers lock, inside the root.
const LOCK: &str = ".lock";
/// The key of a staged write, inside its directory.
const KEY: &str = "key";
/// The bytes of a staged write, inside its directory.
const DATA: &str = "data";
/// How long to wait for another writer. Each holds the lock for a few system calls only.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait between two tries for the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(2);

/// What must hold of the object that a write replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    Always,
    Absent,
    Match(Version),
}

/// A write that is not visible yet.
#[derive(Debug, Clone)]
pub(super) struct Staged {
    root: PathBuf,
    pub(super) id: String,
    pub(super) key: String,
}

/// The state of a file. The inode is new with each write; the time, set by us to the nanosecond, tells
/// apart two writes that got the same inode one after the other.
pub(super) fn version(data: &fs::Metadata) -> Version {
    Version(format!("{:x}-{:x}.{:x}-{:x}", data.ino(), data.mtime(), data.mtime_nsec(), data.size()))
}

/// When a file was last written, in UTC.
pub(super) fn modified(data: &fs::Metadata) -> DateTime<Utc> {
    data.modified().unwrap_or(SystemTime::UNIX_EPOCH).into()
}

/// Makes a file that only its owner reads.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)
}

impl Staged {
    /// Makes the directory of a new write.
    pub(super) fn begin(root: &Path, key: &str) -> Result<Staged> {
        let uploads = root.join(UPLOADS);
        make_directories(&uploads).map_err(|cause| explain(root, "create", &uploads, cause))?;
        loop {
            let id = format!("{:016x}", fastrand::u64(..));
            let staged = Staged { root: root.to_owned(), id, key: key.to_owned() };
            let dir = staged.dir();
            match DirBuilder::new().mode(0o700).create(&dir) {
                Ok(()) => {}
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(cause) => return Err(explain(root, "create", &dir, cause)),
            }
            let path = dir.join(KEY);
            let written = create_private(&path).and_then(|mut file| file.write_all(key.as_bytes()));
            if let Err(cause) = written {
                staged.discard_quietly();
                return Err(explain(root, "write", &path, cause));
            }
            return Ok(staged);
        }
    }

    /// The directory of this write.
    pub(super) fn dir(&self) -> PathBuf {
        self.root.join(UPLOADS).join(&self.id)
    }

    /// Where its bytes are.
    pub(super) fn data(&self) -> PathBuf {
        self.dir().join(DATA)
    }

    /// Brings the bytes to the disk and makes them visible, if the condition holds; ends the staging.
    pub(super) fn publish(&self, file: &File, condition: &Condition) -> Result<Conditional> {
        let data = self.data();
        file.set_modified(SystemTime::now())
            .and_then(|()| file.sync_all())
            .map_err(|cause| explain(&self.root, "write", &data, cause))?;
        let version =
            version(&file.metadata().map_err(|cause| explain(&self.root, "look at", &data, cause))?);
        let target = self.root.join(&self.key);
        {
            let _lock = lock(&self.root)?;
            if !holds(&self.root, &target, condition)? {
                self.discard_quietly();
                return Ok(Conditional::Refused);
            }
            let parent = target.parent().unwrap_or(&self.root);
            make_directories(parent).map_err(|cause| explain(&self.root, "create", parent, cause))?;
            // A link never replaces: exclusive even against writers that do not know the lock. File
            // systems without links are left with the lock and the look above.
            let linked = match condition {
                Condition::Absent => match fs::hard_link(&data, &target) {
                    Ok(()) => true,
                    Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
                        self.discard_quietly();
                        return Ok(Conditional::Refused);
                    }
                    Err(_) => false,
                },
                _ => false,
            };
            if !linked {
                fs::rename(&data, &target).map_err(|cause| explain(&self.root, "write", &target, cause))?;
            }
            sync_directory(parent).map_err(|cause| explain(&self.root, "write", parent, cause))?;
        }
        self.discard_quietly();
        Ok(Conditional::Done(version))
    }

    /// Removes what was staged.
    pub(super) fn discard(&self) -> Result<()> {
        let dir = self.dir();
        match fs::remove_dir_all(&dir) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(explain(&self.root, "remove", &dir, cause))
            }
            _ => Ok(()),
        }
    }

    /// Removes what was staged; what cannot be removed shows up among the open uploads.
    pub(super) fn discard_quietly(&self) {
        let _ = fs::remove_dir_all(self.dir());
    }
}

/// Writes a small object.
pub(super) fn write(root: &Path, key: &str, body: &[u8], condition: &Condition) -> Result<Conditional> {
    // Spares the write that is bound to be refused; the look that counts is under the lock.
    if *condition != Condition::Always && !holds(root, &root.join(key), condition)? {
        return Ok(Conditional::Refused);
    }
    let doing = || format!("cannot write file://{}", root.join(key).display());
    let staged = Staged::begin(root, key).map_err(|error| error.while_doing(doing()))?;
    let path = staged.data();
    let outcome = create_private(&path)
        .and_then(|mut file| file.write_all(body).map(|()| file))
        .map_err(|cause| explain(root, "write", &path, cause))
        .and_then(|file| staged.publish(&file, condition));
    if outcome.is_err() {
        staged.discard_quietly();
    }
    outcome.map_err(|error| error.while_doing(doing()))
}

/// Removes an object and the directories that it leaves empty.
pub(super) fn remove(root: &Path, key: &str) -> Result<()> {
    let target = root.join(key);
    if !root.exists() {
        return Ok(());
    }
    let _lock = lock(root)?;
    match fs::remove_file(&target) {
        Ok(()) => {}
        Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(());
        }
        Err(_) if target.is_dir() => return Ok(()),
        Err(cause) => return Err(explain(root, "remove", &target, cause)),
    }
    let mut parent = target.parent();
    while let Some(directory) = parent {
        // Only an empty directory goes; writers make theirs under the same lock.
        if directory == root || fs::remove_dir(directory).is_err() {
            return sync_directory(directory).map_err(|cause| explain(root, "write", directory, cause));
        }
        parent = directory.parent();
    }
    Ok(())
}

/// Every staged write under the root whose key starts with the prefix: id, key, when it was begun.
pub(super) fn staged(root: &Path, prefix: &str) -> Result<Vec<(String, String, DateTime<Utc>)>> {
    let uploads = root.join(UPLOADS);
    let directories = match fs::read_dir(&uploads) {
        Ok(directories) => directories,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(explain(root, "list", &uploads, cause)),
    };
    let mut found = Vec::new();
    for directory in directories {
        let directory = directory.map_err(|cause| explain(root, "list", &uploads, cause))?;
        // Gone since: it ended. A directory of a crash before its key was written has an empty key.
        let Ok(data) = directory.metadata() else { continue };
        let path = directory.path().join(KEY);
        let key = fs::read_to_string(&path).unwrap_or_default();
        let begun = fs::metadata(&path).unwrap_or(data);
        if key.starts_with(prefix) {
            found.push((directory.file_name().to_string_lossy().into_owned(), key, modified(&begun)));
        }
    }
    found.sort_by(|one, other| (&one.1, &one.0).cmp(&(&other.1, &other.0)));
    Ok(found)
}

/// Removes a staged write by its id; it is no error when it is gone.
pub(super) fn discard(root: &Path, id: &str, key: &str) -> Result<()> {
    if !crate::stores::keys::is_segment(id) {
        return Err(Error::new(Kind::Store, format!("{id:?} is not the id of an upload"))
            .hint("take the id from the list of open uploads"));
    }
    Staged { root: root.to_owned(), id: id.to_owned(), key: key.to_owned() }.discard()
}

fn holds(root: &Path, target: &Path, condition: &Condition) -> Result<bool> {
    if *condition == Condition::Always {
        return Ok(true);
    }
    let present = match fs::metadata(target) {
        Ok(data) if data.is_dir() => {
            let cause = io::Error::from_raw_os_error(nix::errno::Errno::EISDIR as i32);
            return Err(explain(root, "write", target, cause));
        }
        Ok(data) => Some(version(&data)),
        Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => None,
        Err(cause) => return Err(explain(root, "look at", target, cause)),
    };
    Ok(match condition {
        Condition::Always => true,
        Condition::Absent => present.is_none(),
        Condition::Match(version) => present.as_ref() == Some(version),
    })
}

/// Takes the lock of the store: one writer at a time, over all processes and, by flock on NFS, all hosts.
fn lock(root: &Path) -> Result<Flock<File>> {
    let path = root.join(LOCK);
    let begun = Instant::now();
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|cause| explain(root, "open", &path, cause))?;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((back, nix::errno::Errno::EWOULDBLOCK | nix::errno::Errno::EINTR)) => file = back,
            Err((_, errno)) => return Err(explain(root, "lock", &path, errno.into())),
        }
        if begun.elapsed() > LOCK_PATIENCE {
            let text = format!("{} has been locked by another process for {LOCK_PATIENCE:?}", path.display());
            return Err(
                Error::new(Kind::Store, text).hint("find and end the process that hangs (fuser shows it)")
            );
        }
        std::thread::sleep(LOCK_PAUSE);
    }
}

/// Makes the directory and all above it, each on the disk when this returns.
fn make_directories(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => path.parent().map_or(Ok(()), sync_directory),
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => match path.parent() {
            Some(parent) if parent != Path::new("") => {
                make_directories(parent)?;
                make_directories(path)
            }
            _ => Err(cause),
        },
        Err(cause) => Err(cause),
    }
}

/// Brings the entries of a directory to the disk, where the file system can.
fn sync_directory(path: &Path) -> io::Result<()> {
    use nix::errno::Errno;
    match File::open(path).and_then(|directory| directory.sync_all()) {
        // Some network file systems do not sync directories: their renames are durable by themselves.
        Err(cause)
            if [Errno::EINVAL, Errno::ENOTSUP].iter().any(|e| cause.raw_os_error() == Some(*e as i32)) =>
        {
            Ok(())
        }
        done => done,
    }
}
