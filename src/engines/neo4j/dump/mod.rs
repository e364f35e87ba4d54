//! The method `dump`: the server is stopped, its store is streamed as `neo4j-admin` packs it, the server is started.
//!
//! A dump holds pages of a store, not nodes and relationships. What is in it is known from the server, asked over Bolt
//! before it was stopped; and three facts tie that to the dump: the store's id, which is what the server calls
//! `databaseID`; the last committed transaction, which the server's bookmark had and the stopped store has; and the
//! sizes of the stores, into which the counts have to fit. Transaction ids only ever grow. So when the store has after
//! the dump the very id that the bookmark had before the stop, nothing was committed in between, and the inventory is
//! that of the dump. Otherwise the items say that they were counted before ([`Proof::BeforeStop`]).

mod proof;
mod stream;

use std::path::Path;
use std::time::{Duration, Instant};

use super::admin::{self, Info};
use super::archive::Summary;
use super::service::{Service, Stopped};
use super::tools::Tool;
use crate::engines::Phase;
use crate::error::{Error, Kind, Result};
use crate::pipeline::Sink;
use crate::pipeline::object::{CleanEnd, Role, Stored};
use crate::pipeline::progress::Progress;

pub use proof::Proof;

/// The object that holds the database.
pub const DUMP: &str = "neo4j.dump";

/// The object that holds the database `system`: users, roles, and which databases there are.
pub const SYSTEM_DUMP: &str = "system.dump";

/// The database of that name.
pub const SYSTEM: &str = "system";

/// The format of both, in words.
pub const CONTENT: &str = "neo4j-admin dump";

/// What the server said before it was stopped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expected {
    /// `databaseID` of `SHOW DATABASES`; `None` when it could not be asked.
    pub database_id: Option<String>,
    /// The same of `system`.
    pub system_id: Option<String>,
    /// The last committed transaction when the inventory was complete: see [`super::bookmark`].
    pub transaction: Option<u64>,
    /// Nodes that were counted.
    pub nodes: u64,
    /// Relationships that were counted.
    pub relationships: u64,
}

/// What to dump, and how.
#[derive(Debug)]
pub struct Request<'a> {
    /// The tool.
    pub tool: &'a Tool,
    /// The database.
    pub database: &'a str,
    /// Where its store is, as far as it is known; only Neo4j 4.x has to be told.
    pub directory: Option<&'a Path>,
    /// How the server is stopped and started; `None`: it is stopped already, and stays so.
    pub service: Option<&'a Service>,
    /// What has to be in the dump.
    pub expected: &'a Expected,
    /// Whether `system` is dumped, too.
    pub system: bool,
    /// How long the tool may give nothing.
    pub stall: Duration,
}

/// What was dumped, whole in the store.
#[derive(Debug)]
pub struct Dumped {
    /// [`DUMP`], and [`SYSTEM_DUMP`] if it was asked for.
    pub objects: Vec<Stored>,
    /// What the stopped database said of itself after it was dumped.
    pub info: Info,
    /// What is in the dump.
    pub summary: Summary,
    /// What is in the dump of `system`.
    pub system: Option<Summary>,
    /// What the inventory that was taken before is worth.
    pub proof: Proof,
    /// How long the server was away; `None` when it was not stopped by us, or did not come back.
    pub downtime: Option<Duration>,
    /// What somebody should know.
    pub warnings: Vec<String>,
    /// `stop`, `dump`, `start`.
    pub phases: Vec<Phase>,
    /// Proof that both dumps are whole.
    pub ends: Vec<CleanEnd>,
}

/// Stops, dumps and starts. `answers` asks the server whether it is back.
///
/// A server that cannot be started again does not cost the backup, which may be the last one for a while: that
/// failure becomes the process's own (see [`crate::duty`]).
///
/// # Errors
/// Those of stopping, of the tool, of the store; [`Kind::Damaged`] for a dump that is not whole; [`Kind::Config`] for
/// one of another store.
pub async fn dump<F, Answer>(
    request: &Request<'_>,
    sink: &Sink,
    progress: &Progress,
    answers: F,
) -> Result<Dumped>
where
    F: Fn() -> Answer,
    Answer: Future<Output = bool>,
{
    admin::check_name(request.database)?;
    let mut phases = Vec::new();
    let stopped = match request.service {
        Some(service) => {
            progress.phase("stop");
            let began = Instant::now();
            let stopped = service.stop().await?;
            phases.push(phase("stop", began));
            Some(stopped)
        }
        None => None,
    };
    progress.phase("dump");
    let began = Instant::now();
    let outcome = while_stopped(request, sink).await;
    phases.push(phase("dump", began));

    progress.phase("start");
    let began = Instant::now();
    let started = start(stopped, answers).await;
    phases.push(phase("start", began));
    let mut dumped = match (outcome, started) {
        (Ok(dumped), Ok(downtime)) => Dumped { downtime, ..dumped },
        (Ok(mut dumped), Err(error)) => {
            dumped.warnings.push(format!("the server did not come back: {error}"));
            crate::duty::begin().failed(error.while_doing(format!(
                "the dump of {} is whole, but the server did not come back",
                request.database
            )));
            dumped
        }
        (Err(error), Ok(_)) => return Err(error),
        (Err(error), Err(second)) => {
            crate::duty::begin().failed(second);
            return Err(error);
        }
    };
    dumped.phases = phases;
    Ok(dumped)
}

fn phase(name: &str, began: Instant) -> Phase {
    Phase { name: name.into(), seconds: began.elapsed().as_secs_f64() }
}

async fn start<F, Answer>(stopped: Option<Stopped>, answers: F) -> Result<Option<Duration>>
where
    F: Fn() -> Answer,
    Answer: Future<Output = bool>,
{
    match stopped {
        Some(stopped) => stopped.start(answers).await.map(Some),
        None => Ok(None),
    }
}

async fn while_stopped(request: &Request<'_>, sink: &Sink) -> Result<Dumped> {
    let Request { tool, database, expected, .. } = request;
    let one = stream::Dump { tool, stall: request.stall, sink };
    let mut whole = one.run(database, DUMP, Role::Dump).await?;
    check_store(database, expected.database_id.as_deref(), &whole.summary)?;
    whole.summary.has_room_for(expected.nodes, expected.relationships)?;
    // After the dump: what was not committed until here is not in it.
    let info = tool.info(database, request.directory).await.map_err(|error| {
        error.while_doing(format!("{database} was dumped, but not asked of which transaction it is"))
    })?;
    let proof = proof::judge(database, expected.transaction, &info)?;
    let mut warnings = std::mem::take(&mut whole.warnings);
    if whole.summary.store.database_id.is_none() || expected.database_id.is_none() {
        warnings.push(format!("whether the dump is of the server's {database} is known by its size alone"));
    }
    let mut dumped = Dumped {
        objects: vec![whole.stored],
        info,
        summary: whole.summary,
        system: None,
        proof,
        downtime: None,
        warnings,
        phases: Vec::new(),
        ends: vec![CleanEnd::of("the dump came to its end")],
    };
    if request.system {
        let system = one.run(SYSTEM, SYSTEM_DUMP, Role::Globals).await?;
        check_store(SYSTEM, expected.system_id.as_deref(), &system.summary)?;
        dumped.objects.push(system.stored);
        dumped.warnings.extend(system.warnings);
        dumped.system = Some(system.summary);
        dumped.ends.push(CleanEnd::of("the dump of system came to its end"));
    }
    Ok(dumped)
}

/// Fails when the dump is of another store than the server's.
fn check_store(database: &str, expected: Option<&str>, summary: &Summary) -> Result<()> {
    let (Some(expected), Some(found)) = (expected, &summary.store.database_id) else { return Ok(()) };
    if expected.eq_ignore_ascii_case(found) {
        return Ok(());
    }
    let short = |id: &str| id.chars().take(12).collect::<String>();
    let made = match summary.store.created {
        Some(created) => format!(", made {}", created.format("%Y-%m-%dT%H:%M:%SZ")),
        None => String::new(),
    };
    let what = format!(
        "neo4j-admin dumped another {database} than that of the server: its databaseID is {}…{made}, the server's is {}…",
        short(found),
        short(expected)
    );
    Err(Error::new(Kind::Config, what)
        .hint("NEO4J_HOME and NEO4J_CONF have to be those of the server that `url` names"))
}

#[cfg(test)]
mod tests;
