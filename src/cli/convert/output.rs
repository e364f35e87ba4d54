//! Where a conversion goes: a file that gets its name when it is whole, stdout, or nowhere.

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::error::{Error, Explain as _, Kind, Result};

/// An output. Dropped before it was finished, its unfinished file is removed.
pub struct Output {
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    part: Option<Part>,
}

struct Part {
    file: Flock<File>,
    part: PathBuf,
    path: PathBuf,
    force: bool,
}

impl Output {
    /// Nowhere.
    pub fn nowhere() -> Output {
        Output { writer: Box::new(tokio::io::sink()), part: None }
    }

    /// Stdout.
    ///
    /// # Errors
    /// [`Kind::Failed`] when it is closed.
    pub fn stdout() -> Result<Output> {
        let stdout = std::io::stdout().as_fd().try_clone_to_owned();
        let stdout = stdout.explain(Kind::Failed, || "stdout cannot be used".to_owned())?;
        Ok(Output { writer: Box::new(tokio::fs::File::from_std(stdout.into())), part: None })
    }

    /// A file, which has `.part` at the end of its name until it is whole.
    ///
    /// # Errors
    /// [`Kind::Usage`] when it is there and not to be replaced, [`Kind::Failed`] when it cannot be made.
    pub fn file(path: &Path, force: bool) -> Result<Output> {
        check(path, force)?;
        let mut name = path.as_os_str().to_owned();
        name.push(".part");
        let part = PathBuf::from(name);
        let cannot = || format!("cannot write {}", part.display());
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&part);
        let file = file.explain(Kind::Failed, cannot)?;
        let busy = || {
            Error::new(Kind::Failed, format!("{} is being written by another run", part.display()))
                .hint("wait for it, or choose another file")
        };
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| busy())?;
        // Another run may have given it its name between our two steps: then it is not ours.
        let ours = file.metadata().explain(Kind::Failed, cannot)?;
        let there = std::fs::metadata(&part).map_err(|_| busy())?;
        if (ours.dev(), ours.ino()) != (there.dev(), there.ino()) {
            return Err(busy());
        }
        file.set_len(0).explain(Kind::Failed, cannot)?;
        let copy = file.try_clone().explain(Kind::Failed, cannot)?;
        let part = Part { file, part, path: path.to_owned(), force };
        Ok(Output { writer: Box::new(tokio::fs::File::from_std(copy)), part: Some(part) })
    }

    /// What is written to.
    pub fn writer(&mut self) -> &mut (dyn AsyncWrite + Send + Unpin) {
        &mut *self.writer
    }

    /// Gives the file its name: all of it is there, on the disk.
    ///
    /// # Errors
    /// [`Kind::Failed`] when that is not so.
    pub async fn finish(mut self) -> Result<()> {
        let flushed = self.writer.flush().await;
        flushed.explain(Kind::Failed, || "the output cannot be written".to_owned())?;
        let Some(part) = &self.part else { return Ok(()) };
        let cannot = || format!("cannot write {}", part.path.display());
        part.file.sync_all().explain(Kind::Failed, cannot)?;
        check(&part.path, part.force)?;
        std::fs::rename(&part.part, &part.path).explain(Kind::Failed, cannot)?;
        self.part = None;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            let _ = std::fs::remove_file(&part.part);
        }
    }
}

fn check(path: &Path, force: bool) -> Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(there) if !there.is_file() => {
            Err(Error::new(Kind::Usage, format!("{} is there, and no file", path.display()))
                .hint("choose another name, or - for stdout"))
        }
        Ok(_) if force => Ok(()),
        Ok(_) => {
            Err(Error::new(Kind::Usage, format!("{} exists", path.display())).hint("--force replaces it"))
        }
    }
}
