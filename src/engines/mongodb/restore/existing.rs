//! What is at the target already: nothing that exists is touched unless it is named, and the source never.

use std::collections::{BTreeMap, BTreeSet};

use mongodb::bson::doc;

use super::plan::Plan;
use crate::engines::mongodb::archive::{Namespace, Prelude};
use crate::engines::mongodb::connect::Server;
use crate::engines::mongodb::look;
use crate::engines::mongodb::naming::is_system;
use crate::error::{Error, Kind, Result};

/// What a restore makes, and so removes again when it fails.
#[derive(Debug, Default)]
pub struct Made {
    /// Databases that were not there before, or are replaced.
    pub databases: BTreeSet<String>,
    /// Collections in databases that were there before.
    pub collections: BTreeSet<Namespace>,
}

/// Looks whether the target takes the restore. Returns what it will make.
///
/// # Errors
/// [`Kind::Unreachable`] for data that exists and is not to be replaced, or for the source itself;
/// [`Kind::Usage`] for a name to be replaced that is not restored.
pub async fn check(server: &Server, plan: &Plan<'_>, prelude: &Prelude) -> Result<Made> {
    let options = plan.options;
    let mut by_database: BTreeMap<&str, Vec<&Namespace>> = BTreeMap::new();
    // The names in the backup, which --map wants.
    let mut stored: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, target) in &plan.targets {
        by_database.entry(&target.db).or_default().push(target);
        stored.entry(&target.db).or_insert(&name.db);
    }
    for name in &options.replace {
        if !by_database.contains_key(name.as_str()) {
            let names = by_database.keys().copied().collect::<Vec<_>>().join(", ");
            return Err(Error::new(
                Kind::Usage,
                format!("--replace {name}: nothing is restored into {name}"),
            )
            .hint(format!("what is restored goes into: {names}")));
        }
    }
    let uuids: BTreeSet<&str> =
        prelude.entries.iter().filter_map(|e| e.metadata.as_ref()?.uuid.as_deref()).collect();
    let there = look::databases(server).await?;
    let mut made = Made::default();
    for (database, wanted) in by_database {
        let found = match there.contains_key(database) {
            true => look::collections(server, database).await?,
            false => Vec::new(),
        };
        let another = format!("--map {}={database}_restored", stored.get(database).unwrap_or(&database));
        let own: Vec<&look::Seen> =
            found.iter().filter(|seen| !seen.namespace.collection.starts_with("system.")).collect();
        let names: BTreeSet<&Namespace> = own.iter().map(|seen| &seen.namespace).collect();
        if options.data_only {
            fillable(server, &wanted, &own).await?;
            continue;
        }
        let replaced = options.replace.iter().any(|name| name == database);
        let is_source = own.iter().any(|seen| uuids.contains(seen.uuid.as_str()));
        if is_source && (replaced || options.only.is_empty()) {
            return Err(Error::new(
                Kind::Unreachable,
                format!("the database {database} of {} is the source of this backup", server.shown),
            )
            .hint(format!("restore it under another name: {another}")));
        }
        if is_system(database) && replaced {
            return Err(Error::new(Kind::Usage, format!("the database {database} cannot be replaced"))
                .hint("it is the server's own; restore its collections one by one: --only"));
        }
        if replaced || found.is_empty() && !is_system(database) {
            made.databases.insert(database.to_owned());
        } else if own.is_empty() {
            // Only what belongs to the server itself or to the database.
            made.collections.extend(wanted.into_iter().cloned());
        } else if options.only.is_empty() {
            let some: Vec<&str> = own.iter().take(3).map(|seen| &*seen.namespace.collection).collect();
            return Err(Error::new(
                Kind::Unreachable,
                format!("the database {database} exists on {} (with {})", server.shown, some.join(", ")),
            )
            .hint(format!(
                "restore it under another name ({another}), or replace it: --replace {database}"
            )));
        } else if let Some(name) = wanted.iter().find(|name| names.contains(*name)) {
            return Err(Error::new(Kind::Unreachable, format!("{name} exists on {}", server.shown)).hint(
                format!(
                    "restore it under another name: --map {}={name}_restored",
                    plan.targets.iter().find(|(_, new)| new == name).map_or(*name, |(old, _)| old)
                ),
            ));
        } else {
            made.collections.extend(wanted.into_iter().cloned());
        }
    }
    Ok(made)
}

/// For `--data-only`: every collection has to be there, and empty.
async fn fillable(server: &Server, wanted: &[&Namespace], there: &[&look::Seen]) -> Result<()> {
    for name in wanted {
        match there.iter().find(|seen| seen.namespace == **name).map(|seen| seen.kind.as_str()) {
            None => {
                return Err(Error::new(Kind::Unreachable, format!("there is no {name} on {}", server.shown))
                    .hint("--data-only fills collections that exist; restore them first (--schema-only)"));
            }
            Some("timeseries") => {
                return Err(Error::new(
                    Kind::Usage,
                    format!("{name} is a time series, and mongorestore fills none that exists"),
                )
                .hint("name the collections to fill by --only; drop the time series and restore it whole"));
            }
            Some("view") => continue,
            Some(_) => {}
        }
        let first = doc! {"find": &name.collection, "limit": 1, "projection": {"_id": 1}};
        if !server.all(&name.db, first).await?.is_empty() {
            return Err(Error::new(Kind::Unreachable, format!("{name} on {} has documents", server.shown))
                .hint("--data-only fills collections that are empty"));
        }
    }
    Ok(())
}

/// Drops a database, if it is there.
///
/// # Errors
/// Those of [`crate::engines::mongodb::connect::explain`].
pub async fn drop_database(server: &Server, name: &str) -> Result<()> {
    server.run(name, doc! {"dropDatabase": 1}).await.map(drop)
}

/// Removes what a failed restore has made.
///
/// # Errors
/// [`Kind::Failed`] naming what is left.
pub async fn undo(server: &Server, made: &Made) -> Result<()> {
    let left = |name: String, error: Error| {
        error
            .while_doing(format!("{name} of the unfinished restore could not be removed"))
            .hint(format!("drop {name} by hand"))
    };
    for name in &made.databases {
        drop_database(server, name).await.map_err(|error| left(name.clone(), error))?;
    }
    for name in &made.collections {
        match server.run(&name.db, doc! {"drop": &name.collection}).await {
            Ok(_) => {}
            Err(error) if error.message().contains("NamespaceNotFound") => {}
            Err(error) => return Err(left(name.to_string(), error)),
        }
    }
    Ok(())
}
