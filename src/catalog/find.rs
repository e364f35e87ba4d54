//! Picking one backup: `latest`, an id, or the beginning of an id.

use std::cmp::Reverse;

use super::{BackupId, Catalog, Manifest};
use crate::error::{Error, Kind, Result};

/// Ids named in an error, at most.
const NAMED: usize = 3;

impl Catalog {
    /// Finds a backup by `latest`, its id, or the beginning of its id.
    ///
    /// Fails with [`Kind::Usage`] when several match, with [`Kind::Failed`] when none does, and with
    /// [`Kind::Damaged`] when its manifest cannot be read: `latest` never means an older one silently.
    pub async fn find(&self, which: &str) -> Result<Manifest> {
        let ids = self.ids().await?;
        let id = self.pick(&ids, which)?;
        let newest = which == LATEST;
        self.load(id).await.map_err(|error| {
            if newest && error.kind() == Kind::Damaged {
                return error
                    .while_doing(format!("the newest backup of {}, {id}, cannot be read", self.source()))
                    .hint("choose an older one by its id; `lifeboat list` shows them");
            }
            error
        })
    }

    /// Reads the manifest of a backup. Fails with [`Kind::Failed`] when there is none.
    pub async fn load(&self, id: &BackupId) -> Result<Manifest> {
        match self.store().get(&self.keys().manifest(id)).await? {
            Some((bytes, _)) => Manifest::parse(&bytes, self.source(), id),
            None => Err(self.missing(id.as_str(), &[])),
        }
    }

    /// The ids of everything that has a manifest, oldest first.
    pub async fn ids(&self) -> Result<Vec<BackupId>> {
        let entries = self.store().list(&self.keys().manifests()).await?;
        let mut ids: Vec<BackupId> = entries.iter().filter_map(|e| self.keys().manifest_id(&e.key)).collect();
        ids.sort();
        Ok(ids)
    }

    fn pick<'i>(&self, ids: &'i [BackupId], which: &str) -> Result<&'i BackupId> {
        if which == LATEST {
            return ids.last().ok_or_else(|| {
                Error::new(Kind::Failed, format!("{} has no backup", self.source()))
                    .hint(format!("make one with `lifeboat backup {}`", self.source()))
            });
        }
        let matches: Vec<&BackupId> =
            ids.iter().filter(|id| !which.is_empty() && id.as_str().starts_with(which)).collect();
        match matches.as_slice() {
            [id] => Ok(id),
            [] => Err(self.missing(which, ids)),
            many => {
                let message =
                    format!("`{which}` is the beginning of {} backups of {}", many.len(), self.source());
                Err(Error::new(Kind::Usage, message).hint(format!("give more of the id: {}", named(many))))
            }
        }
    }

    /// The error of a backup that is not there, with the ids that are most like it.
    pub(super) fn missing(&self, which: &str, ids: &[BackupId]) -> Error {
        let common =
            |id: &BackupId| id.as_str().bytes().zip(which.bytes()).take_while(|(a, b)| a == b).count();
        let mut near: Vec<&BackupId> = ids.iter().collect();
        near.sort_by_key(|id| (Reverse(common(id)), Reverse(*id)));
        near.truncate(NAMED);
        let hint = match near.as_slice() {
            [] => format!("`lifeboat list {}` shows what there is", self.source()),
            near => format!("the nearest are {}", named(near)),
        };
        Error::new(Kind::Failed, format!("{} has no backup `{}`", self.source(), which.escape_debug()))
            .hint(hint)
    }
}

/// The word for the newest backup.
pub const LATEST: &str = "latest";

fn named(ids: &[&BackupId]) -> String {
    let mut names: Vec<&str> = ids.iter().take(NAMED).map(|id| id.as_str()).collect();
    if ids.len() > NAMED {
        names.push("…");
    }
    names.join(", ")
}
