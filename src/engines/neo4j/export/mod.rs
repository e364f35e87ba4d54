//! The `export` method: the whole graph over Bolt, as one stream, while the database is in use.
//!
//! Neo4j has no snapshot to read from. But it says when nothing changed: a bookmark before and one after that are
//! equal. Then what was read is of one instant. Else the export is tried again, when the writers pause; and what was
//! never read in peace is said to be of several moments.

mod quiet;

use std::collections::BTreeMap;
use std::time::Instant;

use chrono::{DateTime, Utc};

use super::connect::{Server, explain, look};
use super::engine::Neo4j;
use super::graph::counting::inventory;
use super::graph::format::{self, MAGIC};
use super::reading::{self as graph, Output, Read, Reader, Stop};
use crate::bolt::Connection;
use crate::bolt::packstream::Value;
use crate::engines::{Captured, Consistency, Phase, RecoveryPoint};
use crate::error::{Error, Kind, Result};
use crate::pipeline::Sink;
use crate::pipeline::object::{CleanEnd, Role, Stored};
use crate::pipeline::progress::Progress;

use quiet::Pulse;

/// The name of the object that holds the graph.
pub const GRAPH: &str = "neo4j.graph.zst";

/// A whole export, stored.
struct Exported {
    stored: Stored,
    read: Read,
    users: u64,
    consistent: bool,
    time: DateTime<Utc>,
    bookmark: String,
}

impl Neo4j {
    /// Streams an export into the sink. See [`crate::engines::Engine::backup`].
    pub(super) async fn export(&self, sink: &Sink, progress: &Progress) -> Result<Captured> {
        progress.phase("connect");
        let began = Instant::now();
        let mut connection = self.connect().await?;
        let server = look(&mut connection, &self.uri).await?;
        let connected = began.elapsed().as_secs_f64();
        let exporting = Instant::now();
        let attempts = self.options.attempts();
        let mut attempt = 1;
        let exported = loop {
            if let Some(exported) = self.attempt(&mut connection, &server, attempt, sink, progress).await? {
                break exported;
            }
            progress.note(format!(
                "{} was written to during attempt {attempt} of {attempts} to export it",
                server.database
            ));
            attempt += 1;
        };
        let tally = &exported.read.tally;
        let mut warnings = match exported.consistent {
            true => Vec::new(),
            false => vec![fuzzy(&server, attempts, tally.dangling())],
        };
        // Right for a new database; more often it is another one than was meant, or a volume that is not mounted.
        if tally.nodes() == 0 && exported.read.statements.is_empty() {
            warnings.push(format!("the database {} is empty: nothing is in the backup", server.database));
        }
        Ok(Captured {
            inventory: inventory(tally, exported.read.statements.iter().map(|s| s.definition()).collect()),
            recovery_point: RecoveryPoint { time: exported.time, position: Some(exported.bookmark) },
            consistency: if exported.consistent { Consistency::Consistent } else { Consistency::Fuzzy },
            server: facts(&server),
            tools: BTreeMap::new(),
            properties: serde_json::json!({
                "method": "export",
                "attempts": attempt,
                "nodes": tally.nodes(),
                "relationships": tally.relationships(),
                "dangling_relationships": tally.dangling(),
                "users": exported.users,
            }),
            warnings,
            phases: vec![
                Phase { name: "connect".into(), seconds: connected },
                Phase { name: "export".into(), seconds: exporting.elapsed().as_secs_f64() },
            ],
            ends: vec![CleanEnd::of("the server's counters were compared with what was read")],
            objects: vec![exported.stored],
        })
    }

    /// One try; `None` when the database was written to meanwhile, and there is another try.
    async fn attempt(
        &self,
        connection: &mut Connection,
        server: &Server,
        attempt: u32,
        sink: &Sink,
        progress: &Progress,
    ) -> Result<Option<Exported>> {
        let attempts = self.options.attempts();
        let last = attempt >= attempts;
        let mut pulse = Pulse::new(&self.uri).await?;
        if attempt > 1 {
            progress.phase("wait");
            pulse.wait_for_quiet(self.options.quiet_wait()).await?;
        }
        progress.phase("export");
        progress.expect_raw(0);
        // The clock first: what was committed after the bookmark is not in a consistent export.
        let time = look(connection, &self.uri).await?.now;
        let first = pulse.bookmark().await?;
        let stop = Stop::default();
        // The last try goes on to its end whatever happens, unless nobody wants what comes of it.
        let watch =
            (!last || self.settings.require_consistent).then(|| pulse.watch(first.clone(), stop.clone()));
        let reader = Reader::open(&self.uri, server, Some(&first), self.readers(), stop).await?;
        let mut writer = sink.object(GRAPH, Role::Dump, "lifeboat graph export, version 1");
        writer.write(&head(server, &first, time)?).await?;
        let read = reader.graph(&mut Output::Object(&mut writer)).await?;
        drop(watch);
        let consistent = match &read {
            None => false,
            Some(_) => Pulse::new(&self.uri).await?.bookmark().await? == first,
        };
        let Some(read) = read.filter(|_| consistent || last && !self.settings.require_consistent) else {
            writer.abandon().await?;
            return if last { Err(never_quiet(server, attempts)) } else { Ok(None) };
        };
        if consistent {
            check_counts(server, &read)?;
        }
        let users = match self.options.users {
            true => graph::users(connection).await.map_err(|cause| explain(&server.shown, cause))?,
            false => Vec::new(),
        };
        graph::write_tail(&mut writer, &read, &users).await?;
        let stored = writer.finish(CleanEnd::of("every node, relationship and definition was read")).await?;
        Ok(Some(Exported { stored, read, users: users.len() as u64, consistent, time, bookmark: first }))
    }
}

/// The beginning of an export's file.
fn head(server: &Server, bookmark: &str, time: DateTime<Utc>) -> Result<Vec<u8>> {
    let text = |text: &str| Value::String(text.to_owned());
    let mut head = MAGIC.to_vec();
    let fields = vec![
        ("format", Value::Int(1)),
        ("server_version", text(&server.version)),
        ("edition", text(&server.edition)),
        ("database", text(&server.database)),
        ("bookmark", text(bookmark)),
        ("time", text(&time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))),
    ];
    format::put_map(&mut head, format::HEADER, fields)?;
    Ok(head)
}

/// What the manifest says of the server.
pub(super) fn facts(server: &Server) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("version".to_owned(), server.version.clone()),
        ("edition".to_owned(), server.edition.clone()),
        ("database".to_owned(), server.database.clone()),
        ("database_id".to_owned(), server.database_id.clone()),
    ])
}

/// Nothing was committed meanwhile: then the server's counters and what was read are the same, or something is wrong.
fn check_counts(server: &Server, read: &Read) -> Result<()> {
    let (nodes, relationships) = read.by_server;
    let tally = &read.tally;
    if (tally.nodes(), tally.relationships()) == (nodes, relationships) && tally.dangling() == 0 {
        return Ok(());
    }
    Err(Error::new(
        Kind::Failed,
        format!(
            "{}: the server counts {nodes} nodes and {relationships} relationships of {}, and {} and {} could be read",
            server.shown,
            server.database,
            tally.nodes(),
            tally.relationships()
        ),
    )
    .hint("the user may not see everything (SHOW USER PRIVILEGES), or the store is damaged (neo4j-admin database check)"))
}

fn fuzzy(server: &Server, attempts: u32, dangling: u64) -> String {
    let times =
        if attempts == 1 { "the only attempt".to_owned() } else { format!("each of {attempts} attempts") };
    let ends = match dangling {
        0 => String::new(),
        1 => ", and 1 relationship whose ends are not both in it is not restored".to_owned(),
        many => format!(", and {many} relationships whose ends are not both in it are not restored"),
    };
    format!(
        "{} was written to during {times} to export it: the backup is of several moments{ends}",
        server.database
    )
}

fn never_quiet(server: &Server, attempts: u32) -> Error {
    let times =
        if attempts == 1 { "the only attempt".to_owned() } else { format!("each of {attempts} attempts") };
    Error::new(
        Kind::Failed,
        format!("{} was written to during {times} to export it, and the policy wants a consistent backup", server.database),
    )
    .hint("run it when writers pause, raise options.attempts and options.quiet_wait_seconds, or use the method dump")
}
