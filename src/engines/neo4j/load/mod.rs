//! Restoring a dump into a Neo4j home on this machine, whose server is stopped.
//!
//! `neo4j-admin database load --overwrite-destination` removes the old database before it has read a byte of the new
//! one, and leaves half a store behind when that turns out to be damaged. So the dump is read once and checked before
//! anything is touched; then the old store is put aside by a rename (see [`aside`]), the dump is loaded from the store
//! through the same reader, and what was put aside comes back unless everything agreed.

pub mod aside;
mod feed;
mod owner;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::admin::{self, Info};
use super::archive::{ArchiveReader, Summary};
use super::layout::Layout;
use super::tools::Tool;
use crate::cancel::Cancel;
use crate::engines::Phase;
use crate::engines::throwaway::free_bytes;
use crate::error::{Error, Explain as _, Kind, Result};
use crate::pipeline::BackupReader;
use crate::pipeline::child::human_bytes;
use crate::pipeline::progress::Progress;
use aside::Aside;

/// What a store may need beyond the dump's own bytes: indexes that are rebuilt, a first transaction log.
const ROOM: u64 = 64 << 20;

/// What to restore, and where to.
#[derive(Debug)]
pub struct Request<'a> {
    /// The tool.
    pub tool: &'a Tool,
    /// Where the server keeps its databases.
    pub layout: &'a Layout,
    /// The object that holds the dump.
    pub object: &'a str,
    /// The database to make.
    pub database: &'a str,
    /// Whether one of that name may be replaced.
    pub replace: bool,
    /// The transaction that the backup says it is of; `None`: not known.
    pub transaction: Option<u64>,
    /// Whether the consistency check runs on what was loaded, and how long it may take.
    pub check: Option<Duration>,
    /// Being told to stop: what was put aside comes back then.
    pub cancel: &'a Cancel,
}

/// A database of a server that is stopped.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The tool.
    pub tool: &'a Tool,
    /// Where the server keeps its databases.
    pub layout: &'a Layout,
    /// Its name.
    pub database: &'a str,
    /// Whether one of that name may be replaced.
    pub replace: bool,
}

impl<'a> Request<'a> {
    /// The database that is made.
    pub fn place(&self) -> Place<'a> {
        Place { tool: self.tool, layout: self.layout, database: self.database, replace: self.replace }
    }
}

/// What was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// What the dump held.
    pub summary: Summary,
    /// What the database says of itself.
    pub info: Info,
    /// `read`, `load`, `check`.
    pub phases: Vec<Phase>,
    /// What somebody should know.
    pub warnings: Vec<String>,
}

/// Reads the whole dump and checks it; nothing else is touched. Done before the server is stopped, so that it is not
/// away for a dump that is damaged.
///
/// # Errors
/// [`Kind::Damaged`] when it is not whole; [`Kind::Unreachable`] when it has no room here; those of the store.
pub async fn examine(request: &Request<'_>, from: &BackupReader) -> Result<Summary> {
    admin::check_name(request.database)?;
    owner::check(&request.layout.databases)?;
    let mut stream = from.stream(request.object)?;
    let mut reader = ArchiveReader::new()?;
    while let Some(bytes) = request.cancel.guard(stream.next()).await? {
        reader.feed(&bytes)?;
        from.progress().add_raw(bytes.len() as u64);
    }
    let summary = reader.finish()?;
    let directory = &request.layout.databases;
    let free = free_bytes(directory).explain(Kind::Unreachable, || {
        format!("the file system of {} does not answer", directory.display())
    })?;
    let needed = summary.bytes.saturating_add(ROOM);
    if free < needed {
        let what = format!(
            "{} has {} free, and {} needs {}",
            directory.display(),
            human_bytes(free),
            request.database,
            human_bytes(needed)
        );
        return Err(Error::new(Kind::Unreachable, what)
            .hint("the old database is kept until the new one is proven: make room for both"));
    }
    Ok(summary)
}

/// Looks whether what we write will belong to the server.
///
/// # Errors
/// [`Kind::Config`] when the directory is not there, or is another user's and we are not root.
pub fn may_write(layout: &Layout) -> Result<()> {
    owner::check(&layout.databases)
}

/// Gives a database that was made to the owner of the directory that it is in.
///
/// # Errors
/// [`Kind::Failed`] when that is not possible.
pub fn hand_over(layout: &Layout, database: &str) -> Result<()> {
    owner::hand_over(&layout.databases, &layout.of_database(database))
}

/// Looks whether the database may be made: its server is stopped, and it is not there or is to be replaced. For a
/// server that others stop, before a dump is read for nothing.
///
/// # Errors
/// [`Kind::Unreachable`] when it may not.
pub async fn ready(place: &Place<'_>) -> Result<()> {
    let Place { tool, layout, database, .. } = place;
    let directories = layout.of_database(database);
    if directories[0].exists() {
        refuse_in_use(database, tool.info(database, Some(&directories[0])).await)?;
    }
    refuse_existing(place, &directories)
}

fn refuse_existing(place: &Place<'_>, directories: &[PathBuf; 2]) -> Result<()> {
    let database = place.database;
    if directories.iter().any(|directory| directory.exists()) && !place.replace {
        return Err(Error::new(Kind::Unreachable, format!("the database {database} exists"))
            .hint(format!("replace it by --replace {database}")));
    }
    Ok(())
}

/// Loads a dump that [`examine`] found whole. The server must be stopped.
///
/// # Errors
/// Those of the tool and the store; [`Kind::Damaged`] when what was loaded is not what was examined;
/// [`Kind::Interrupted`] when told to stop. The database is then what it was before.
pub async fn load(
    request: &Request<'_>,
    from: &BackupReader,
    examined: &Summary,
    progress: &Progress,
) -> Result<Loaded> {
    let work = proven(request, from, examined, progress);
    let (mut loaded, warnings) = replacing(&request.place(), work).await?;
    loaded.warnings.extend(warnings);
    Ok(loaded)
}

/// Does what makes a database, with the old one put aside, which comes back when that fails. The server must be
/// stopped. Returns what was made, and what somebody should know.
///
/// # Errors
/// Those of the work; [`Kind::Unreachable`] when the database is in use, or exists and is not to be replaced.
pub async fn replacing<T>(
    place: &Place<'_>,
    work: impl Future<Output = Result<T>>,
) -> Result<(T, Vec<String>)> {
    let Place { tool, layout, database, .. } = place;
    let directories = layout.of_database(database);
    let lock = aside::lock(layout)?;
    // A server that runs would write into what is moved under it.
    if directories[0].exists() {
        refuse_in_use(database, tool.info(database, Some(&directories[0])).await)?;
    }
    let mut warnings = Vec::new();
    if aside::repair(layout, database, &lock)? {
        warnings
            .push(format!("an earlier restore of {database} was killed: what it had left was undone first"));
    }
    refuse_existing(place, &directories)?;
    let aside = Aside::put(layout, database, lock)?;
    match work.await.and_then(|made| aside.commit().map(|()| made)) {
        Ok(made) => {
            if let Err(error) = aside.forget() {
                warnings.push(format!("the replaced {database} could not be removed: {error}"));
            }
            Ok((made, warnings))
        }
        Err(error) => match aside.bring_back() {
            Ok(()) => Err(error),
            Err(second) => Err(second.while_doing(format!(
                "restoring {database} failed ({error}), and the old database could not be put back"
            ))),
        },
    }
}

fn refuse_in_use(database: &str, info: Result<Info>) -> Result<()> {
    let in_use = match &info {
        Ok(info) => info.in_use,
        // Damaged, or half of a store: that is what is to be replaced.
        Err(error) => error.message().contains("in use"),
    };
    if !in_use {
        return Ok(());
    }
    Err(Error::new(Kind::Unreachable, format!("the database {database} is in use")).hint(
        "stop the server first, or let lifeboat do it: options.stop and options.start are its commands",
    ))
}

async fn proven(
    request: &Request<'_>,
    from: &BackupReader,
    examined: &Summary,
    progress: &Progress,
) -> Result<Loaded> {
    let Request { tool, layout, database, .. } = request;
    let directories: [PathBuf; 2] = layout.of_database(database);
    let mut phases = Vec::new();
    progress.phase("load");
    let began = Instant::now();
    let (summary, messages) = feed::feed(request, from).await?;
    if summary != *examined {
        return Err(Error::new(Kind::Damaged, "the dump was another when it was read again"));
    }
    phases.push(Phase { name: "load".into(), seconds: began.elapsed().as_secs_f64() });
    if let Some(missing) = directories.iter().find(|directory| !directory.is_dir()) {
        let what = format!("neo4j-admin loaded {database}, but {} is not there", missing.display());
        return Err(
            Error::new(Kind::Config, what).hint("NEO4J_HOME and NEO4J_CONF have to be those of the server")
        );
    }
    agree(&summary, &directories)?;
    progress.phase("check");
    let began = Instant::now();
    let guarded = request.cancel.guard(async {
        let info = tool.info(database, Some(&directories[0])).await?;
        if let Some(patience) = request.check {
            let reports =
                tempfile::tempdir().explain(Kind::Failed, || "cannot make a directory".to_owned())?;
            tool.check(database, reports.path(), patience).await?;
        }
        Ok(info)
    });
    let info = guarded.await?;
    if info.needs_recovery || request.transaction.is_some_and(|id| info.last_transaction != Some(id)) {
        let what = format!(
            "{database} is at transaction {} after it was loaded, and the backup at {}",
            info.last_transaction.map_or_else(|| "?".to_owned(), |id| id.to_string()),
            request.transaction.map_or_else(|| "?".to_owned(), |id| id.to_string())
        );
        return Err(Error::new(Kind::Damaged, what));
    }
    owner::hand_over(&layout.databases, &directories)?;
    phases.push(Phase { name: "check".into(), seconds: began.elapsed().as_secs_f64() });
    Ok(Loaded { summary, info, phases, warnings: admin::warnings(&messages) })
}

/// Looks whether every file of the dump is there in its size: the tool's word for it is not enough.
fn agree(summary: &Summary, directories: &[PathBuf; 2]) -> Result<()> {
    for entry in &summary.entries {
        let sizes = directories.iter().filter_map(|directory| directory.join(&entry.name).metadata().ok());
        if !sizes.map(|found| found.len()).any(|bytes| bytes == entry.bytes) {
            let what = format!("{} of the dump is not there after it was loaded, or not whole", entry.name);
            return Err(Error::new(Kind::Damaged, what).hint("look at the disk, and restore again"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
