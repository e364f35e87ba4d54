//! The old database, put aside by renames while the new one is loaded, and what a killed restore leaves.
//!
//! Beside `databases/DB` and `transactions/DB` there are, for as long as a restore runs, `lifeboat-replaced-DB`: the old
//! database, whole; or, when there was none, an empty `databases/lifeboat-new-DB`. When the new one is proven, that of
//! the store is renamed to `lifeboat-obsolete-DB`, which is the moment that counts; then all of it is removed. So what
//! is left after a kill tells what to do, and [`repair`] does it: with a `lifeboat-obsolete-DB` the new database is
//! whole, and the rest is removed; with any of the others alone the new one is half and goes, and the old one comes
//! back. A server takes none of these names for a database of its own: it only opens those that `system` knows.
//!
//! The directory `databases` is locked meanwhile (flock), so that no other restore repairs what is under way.

use std::fs::File;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::engines::Finding;
use crate::engines::neo4j::layout::Layout;
use crate::error::{Error, Explain as _, Kind, Result};

/// The old database of a restore that has not ended.
const REPLACED: &str = "lifeboat-replaced-";

/// The old database of a restore that went well.
const OBSOLETE: &str = "lifeboat-obsolete-";

/// Says that there was no old database.
const NEW: &str = "lifeboat-new-";

/// What [`findings`] are about.
pub const SUBJECT: &str = "killed restore";

/// What was put aside.
#[derive(Debug)]
pub(super) struct Aside {
    places: Places,
    /// No other restore works here.
    _lock: Lock,
}

/// The lock on a server's databases.
#[derive(Debug)]
pub(super) struct Lock(#[allow(dead_code)] Flock<File>);

/// The names of everything.
#[derive(Debug)]
struct Places {
    store: Place,
    logs: Place,
    new: PathBuf,
}

/// One directory: the store, or the logs.
#[derive(Debug)]
struct Place {
    real: PathBuf,
    replaced: PathBuf,
    obsolete: PathBuf,
}

impl Places {
    fn of(layout: &Layout, database: &str) -> Places {
        let place = |parent: &Path| Place {
            real: parent.join(database),
            replaced: parent.join(format!("{REPLACED}{database}")),
            obsolete: parent.join(format!("{OBSOLETE}{database}")),
        };
        Places {
            store: place(&layout.databases),
            logs: place(&layout.transactions),
            new: layout.databases.join(format!("{NEW}{database}")),
        }
    }

    fn both(&self) -> [&Place; 2] {
        [&self.store, &self.logs]
    }

    /// True when a restore came to the moment that counts.
    fn is_committed(&self) -> bool {
        self.store.obsolete.exists() || (self.logs.obsolete.exists() && !self.store.replaced.exists())
    }

    /// The old database was whole when it was put aside: what is in its place goes.
    fn roll_back(&self) -> Result<()> {
        // The store is renamed before the logs, and nothing is loaded before both are. Logs beside a store that is
        // away and has no successor are the old ones.
        let old_logs =
            self.store.replaced.exists() && !self.store.real.exists() && !self.logs.replaced.exists();
        if !old_logs {
            remove(&self.logs.real)?;
        }
        for place in self.both() {
            if place.replaced.exists() {
                remove(&place.real)?;
                rename(&place.replaced, &place.real)?;
            }
        }
        if self.new.exists() {
            remove(&self.store.real)?;
            remove(&self.new)?;
        }
        Ok(())
    }

    /// The new database is whole: what is left of the old one goes.
    fn go_on(&self) -> Result<()> {
        remove(&self.new)?;
        // The store's last: while it is there, all of this can be begun again.
        for place in [&self.logs, &self.store] {
            remove(&place.replaced)?;
            remove(&place.obsolete)?;
        }
        Ok(())
    }
}

/// Waits for nobody: another restore that works here is an error.
///
/// # Errors
/// [`Kind::Leased`] when one does.
pub(super) fn lock(layout: &Layout) -> Result<Lock> {
    let directory = &layout.databases;
    let cannot = || format!("cannot lock {}", directory.display());
    let opened = File::open(directory).explain(Kind::Failed, cannot)?;
    match Flock::lock(opened, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Lock(lock)),
        Err((_, Errno::EWOULDBLOCK)) => {
            Err(Error::new(Kind::Leased, format!("another restore works in {}", directory.display()))
                .hint("wait until it has ended"))
        }
        Err((_, error)) => Err(Error::new(Kind::Failed, cannot()).because(error)),
    }
}

impl Aside {
    /// Puts what there is aside.
    ///
    /// # Errors
    /// [`Kind::Failed`] when the system refuses; the database is then where it was.
    pub(super) fn put(layout: &Layout, database: &str, lock: Lock) -> Result<Aside> {
        let places = Places::of(layout, database);
        let Places { store, logs, new } = &places;
        if !store.real.exists() {
            std::fs::create_dir(new).explain(Kind::Failed, || format!("cannot make {}", new.display()))?;
        }
        if store.real.exists() {
            rename(&store.real, &store.replaced)?;
        }
        if logs.real.exists()
            && let Err(error) = rename(&logs.real, &logs.replaced)
        {
            if store.replaced.exists() {
                rename(&store.replaced, &store.real).map_err(|second| {
                    second.while_doing(format!("{error}; the old store is still put aside"))
                })?;
            }
            return Err(error);
        }
        Ok(Aside { places, _lock: lock })
    }

    /// Removes what was loaded, and brings the old database back.
    ///
    /// # Errors
    /// [`Kind::Failed`] when the system refuses.
    pub(super) fn bring_back(self) -> Result<()> {
        self.places.roll_back()
    }

    /// Says that the new database is whole. After this nothing brings the old one back.
    ///
    /// # Errors
    /// [`Kind::Failed`] when the system refuses; then it does not count.
    pub(super) fn commit(&self) -> Result<()> {
        let Places { store, logs, new } = &self.places;
        match [store, logs].into_iter().find(|place| place.replaced.exists()) {
            Some(place) => rename(&place.replaced, &place.obsolete),
            None => remove(new),
        }
    }

    /// Removes the old database, after [`Aside::commit`].
    ///
    /// # Errors
    /// [`Kind::Failed`] when the system refuses.
    pub(super) fn forget(self) -> Result<()> {
        self.places.go_on()
    }
}

/// Ends what a killed restore has left. True when there was something. The server must be stopped.
///
/// # Errors
/// [`Kind::Failed`] when the system refuses.
pub(super) fn repair(layout: &Layout, database: &str, _lock: &Lock) -> Result<bool> {
    let places = Places::of(layout, database);
    if places.is_committed() {
        places.go_on()?;
        return Ok(true);
    }
    if places.new.exists() || places.both().iter().any(|place| place.replaced.exists()) {
        places.roll_back()?;
        return Ok(true);
    }
    Ok(false)
}

/// What `doctor` says about what a killed restore has left. Nothing while a restore works here.
pub fn findings(layout: &Layout, database: &str) -> Vec<Finding> {
    if lock(layout).is_err_and(|error| error.kind() == Kind::Leased) {
        return Vec::new();
    }
    let places = Places::of(layout, database);
    let mut found = Vec::new();
    if places.is_committed() {
        for path in places.both().into_iter().flat_map(|place| [&place.replaced, &place.obsolete]) {
            if path.exists() {
                let what = format!("{} is what a restore has replaced, and can be removed", path.display());
                found.push(Finding::warning(SUBJECT, what));
            }
        }
        return found;
    }
    for place in places.both().into_iter().filter(|place| place.replaced.exists()) {
        let (old, real) = (place.replaced.display(), place.real.display());
        found.push(Finding::error(
            SUBJECT,
            format!("{old} is the old {database}, whole; what is in its place is half of another"),
            format!(
                "stop the server and restore again, or put the old one back: rm -r {real}; mv {old} {real}"
            ),
        ));
    }
    if places.new.exists() {
        found.push(Finding::error(
            SUBJECT,
            format!("{} is half of what a restore was to make", places.store.real.display()),
            format!("stop the server and restore again, or remove it and {}", places.new.display()),
        ));
    }
    found
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to)
        .explain(Kind::Failed, || format!("cannot rename {} to {}", from.display(), to.display()))
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => {
            Err(Error::new(Kind::Failed, format!("cannot remove {}", path.display())).because(error))
        }
    }
}

#[cfg(test)]
#[path = "aside_tests.rs"]
mod tests;
