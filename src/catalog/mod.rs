//! What makes a backup exist, and what removes it: ids, manifests, the commit, the lease, marks, removal.
//!
//! Two rules hold everything together. The manifest is written last and removed first, so a backup
//! is either whole or not there. And who marks something writes the mark first and looks for the
//! other side's mark afterwards, so of two that meet at least one sees the other and gives way.

pub mod commit;
pub mod evidence;
pub mod facts;
pub mod find;
pub mod gap;
pub mod garbage;
pub mod id;
pub mod keys;
pub mod lease;
pub mod list;
pub mod loss;
pub mod manifest;
pub mod marks;
pub mod remove;
pub mod run;
pub mod shrink;
mod times;
pub mod uses;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use crate::stores::SharedStore;

pub use id::BackupId;
pub use manifest::Manifest;
pub use run::Run;

/// The backups of one source in a store.
#[derive(Debug, Clone)]
pub struct Catalog {
    store: SharedStore,
    keys: keys::Keys,
}

impl Catalog {
    /// The catalog of a source. Fails with [`Kind::Config`](crate::error::Kind::Config) when the
    /// source's name cannot be part of a key.
    pub fn new(store: SharedStore, source: &str) -> Result<Catalog> {
        Ok(Catalog { store, keys: keys::Keys::new(source)? })
    }

    /// The source's name.
    pub fn source(&self) -> &str {
        self.keys.source()
    }

    /// The store.
    pub fn store(&self) -> &SharedStore {
        &self.store
    }

    /// The keys of this source.
    pub fn keys(&self) -> &keys::Keys {
        &self.keys
    }
}

/// One error for several objects that could not be removed: the first one, and how many more there are.
/// `None` when there are none.
pub fn summed_up(errors: Vec<Error>, what: &str) -> Option<Error> {
    let count = errors.len();
    let first = errors.into_iter().next()?;
    let objects = if count == 1 { "1 object".to_owned() } else { format!("{count} objects") };
    Some(first.while_doing(format!("{objects} of {what} could not be removed")))
}
