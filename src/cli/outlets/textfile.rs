//! A file for the textfile collector of the node exporter: one for each source and command, replaced in one step.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

use crate::error::{Error, Explain as _, Kind, Result};
use crate::reports::metrics::merged;

/// How long all of it may take: the directory may be on a file system that hangs.
pub(super) const LIMIT: Duration = Duration::from_secs(5);
/// How often, and how long each time, another run is waited for that writes there.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Writes the metrics into the directory, and keeps what is there of metrics that the text does not have.
///
/// # Errors
/// When it could not be written within the time. What was there stays.
pub(super) async fn write(directory: PathBuf, name: String, text: String, limit: Duration) -> Result<()> {
    let shown = directory.join(&name);
    let work = tokio::task::spawn_blocking(move || replace(&directory, &name, &text));
    match tokio::time::timeout(limit, work).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) | Err(_) => {
            Err(Error::new(Kind::Failed, format!("{} could not be written in time", shown.display())))
        }
    }
}

fn replace(directory: &Path, name: &str, text: &str) -> Result<()> {
    let path = directory.join(name);
    let cannot = || format!("cannot write {}", path.display());
    let hint = "make the directory that the node exporter reads, and let this user write there";
    let hinted = |error: Error| error.hint(hint);
    // What is read here must not be overwritten by another run before it is written back.
    let _lock = lock(File::open(directory).explain(Kind::Failed, cannot).map_err(hinted)?)?;
    // Unreadable metrics are replaced: they are worth less than the new ones.
    let old = std::fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let merged = merged(&old.unwrap_or_default(), text);
    // The collector reads *.prom alone.
    let temporary = tempfile::Builder::new().prefix(".lifeboat-").suffix(".tmp").tempfile_in(directory);
    let mut file = temporary.explain(Kind::Failed, cannot).map_err(hinted)?;
    file.write_all(merged.as_bytes()).explain(Kind::Failed, cannot)?;
    // The collector is another user.
    file.as_file().set_permissions(Permissions::from_mode(0o644)).explain(Kind::Failed, cannot)?;
    file.persist(&path).explain(Kind::Failed, cannot)?;
    Ok(())
}

fn lock(mut directory: File) -> Result<Flock<File>> {
    for _ in 0..TRIES {
        match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((file, nix::errno::Errno::EWOULDBLOCK)) => directory = file,
            Err((_, cause)) => {
                return Err(Error::new(Kind::Failed, "cannot lock the directory of metrics").because(cause));
            }
        }
        std::thread::sleep(PAUSE);
    }
    Err(Error::new(Kind::Failed, "another run has the directory of metrics locked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str, value: u32) -> String {
        format!("# HELP {name} x\n# TYPE {name} gauge\n{name}{{source=\"a\"}} {value}\n")
    }

    #[tokio::test]
    async fn what_a_run_does_not_know_stays_and_all_may_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let write = |text| write(directory.path().to_owned(), "a.prom".to_owned(), text, LIMIT);
        let (success, run) = ("lifeboat_last_success_timestamp_seconds", "lifeboat_last_run_success");
        write(metric(run, 1) + &metric(success, 7)).await.unwrap();
        write(metric(run, 0)).await.unwrap();
        let path = directory.path().join("a.prom");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), metric(run, 0) + &metric(success, 7));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_missing_directory_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error =
            write(directory.path().join("no"), "a.prom".into(), String::new(), LIMIT).await.unwrap_err();
        assert!(error.message().contains("no/a.prom"), "{error}");
    }

    #[test]
    fn a_lock_of_another_run_is_waited_for_and_not_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        let held = lock(File::open(directory.path()).unwrap()).unwrap();
        let error = replace(directory.path(), "a.prom", "").unwrap_err();
        assert!(error.message().starts_with("another run"), "{error}");
        drop(held);
        replace(directory.path(), "a.prom", "").unwrap();
    }
}
