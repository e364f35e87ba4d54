//! Files belong to who writes them, and a server reads only its own: root hands over what it has loaded.

use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use crate::error::{Error, Explain as _, Kind, Result};

/// Looks whether what we write will belong to the server.
///
/// # Errors
/// [`Kind::Config`] when the directory is not there, or is another user's and we are not root.
pub(super) fn check(databases: &Path) -> Result<()> {
    let found = std::fs::metadata(databases)
        .explain(Kind::Config, || format!("the server's directory {} is not there", databases.display()));
    let found =
        found.map_err(|error| error.hint("NEO4J_HOME and NEO4J_CONF have to be those of the server"))?;
    let me = Uid::effective();
    if me.is_root() || found.uid() == me.as_raw() {
        return Ok(());
    }
    let what =
        format!("{} belongs to the user {}, and lifeboat runs as {me}", databases.display(), found.uid());
    Err(Error::new(Kind::Config, what).hint("run lifeboat as the user that the server runs as, or as root"))
}

/// Gives what was loaded to the owner of the directory that it is in.
///
/// # Errors
/// [`Kind::Failed`] when that is not possible.
pub(super) fn hand_over(databases: &Path, directories: &[PathBuf]) -> Result<()> {
    let cannot = || format!("cannot give the loaded database to the owner of {}", databases.display());
    let to = std::fs::metadata(databases).explain(Kind::Failed, cannot)?;
    if to.uid() == Uid::effective().as_raw() {
        return Ok(());
    }
    for directory in directories {
        give(directory, to.uid(), to.gid()).explain(Kind::Failed, cannot)?;
    }
    Ok(())
}

fn give(path: &Path, user: u32, group: u32) -> std::io::Result<()> {
    lchown(path, Some(user), Some(group))?;
    if path.symlink_metadata()?.is_dir() {
        for entry in std::fs::read_dir(path)? {
            give(&entry?.path(), user, group)?;
        }
    }
    Ok(())
}
