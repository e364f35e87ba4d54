//! The `dump` method: mongodump's archive as one stream, counted and checked on its way to the store.
//!
//! mongodump ends with status 0 when it may not see a database, when a collection is not there, when one
//! is dropped under it. So nothing is believed: what has to be in the archive is asked of the server first,
//! and the archive is followed to the end of every namespace.
//!
//! With the oplog, the documents are of many moments, and of one only after the captured operations were
//! applied. What those operations touch is read from the source at that very moment by snapshot reads
//! while its history still has it; that is what a restore will be compared with.

mod filter;
mod opening;
mod proofs;
mod stream;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::archive::{CollectionKind, Namespace, Summary};
use super::connect::{self, Server};
use super::counted::Tally;
use super::engine::Mongo;
use super::preflight::{self, Plan};
use super::tools::Tool;
use super::{child, look};
use crate::engines::{Captured, Consistency, Phase, RecoveryPoint};
use crate::error::{Error, Kind, Result};
use crate::pipeline::Sink;
use crate::pipeline::child::{self as process, Outcome};
use crate::pipeline::frames::place_of;
use crate::pipeline::inventory::Place;
use crate::pipeline::object::{CleanEnd, Role, Stored};
use crate::pipeline::progress::Progress;

use opening::Opening;

/// The name of the object that holds the archive.
pub const DUMP: &str = "mongodb.archive.zst";

/// A complete archive, stored.
struct Dumped {
    stored: Stored,
    summary: Summary,
    tally: Tally,
    warnings: Vec<String>,
    seconds: f64,
}

impl Mongo {
    /// Streams a backup into the sink. See [`crate::engines::Engine::backup`].
    pub(super) async fn dump(&self, sink: &Sink, progress: &Progress) -> Result<Captured> {
        progress.phase("connect");
        let began = Instant::now();
        let server = self.connect().await?;
        let tool = self.tool("mongodump").await?;
        tool.check_server(&server.version)?;
        let plan = preflight::plan(&server, &self.options).await?;
        plan.check(&server.shown)?;
        let everything = self.options.selection().is_everything();
        progress.expect_raw(look::expected_bytes(&server, &plan.seen, everything).await);
        let connected = began.elapsed().as_secs_f64();

        let dumped = self.one_dump(&server, &tool, &plan, sink, progress).await?;
        check_seen(&plan, &dumped)?;
        check_oplog(&plan, &dumped.tally)?;
        let starts = sink.frames_of(DUMP).map(|table| table.raw_starts()).unwrap_or_default();
        let place = |at: u64| -> Option<Place> { place_of(&starts, at) };
        let mut inventory = dumped.tally.inventory(&dumped.summary, &place);
        let mut warnings = dumped.warnings;

        let proving = Instant::now();
        if plan.oplog {
            progress.phase("prove");
            warnings.extend(self.prove(&server, &dumped.tally, &mut inventory).await?);
        }
        Ok(Captured {
            objects: vec![dumped.stored],
            inventory,
            recovery_point: recovery_point(&server, &dumped.tally)?,
            consistency: if plan.oplog { Consistency::Consistent } else { Consistency::Fuzzy },
            server: facts(&server),
            tools: BTreeMap::from([("mongodump".to_owned(), tool.version.clone())]),
            properties: properties(&plan, &dumped.tally, &dumped.summary),
            warnings,
            phases: vec![
                Phase { name: "connect".into(), seconds: connected },
                Phase { name: "dump".into(), seconds: dumped.seconds },
                Phase { name: "prove".into(), seconds: proving.elapsed().as_secs_f64() },
            ],
            ends: vec![CleanEnd::of("every namespace of the archive came to its end")],
        })
    }

    async fn one_dump(
        &self,
        server: &Server,
        tool: &Tool,
        plan: &Plan,
        sink: &Sink,
        progress: &Progress,
    ) -> Result<Dumped> {
        let began = Instant::now();
        progress.phase("dump");
        let mut writer = sink.object(DUMP, Role::Dump, "mongodump archive");
        let spec = child::spec(
            tool,
            &self.tool_uri(),
            &self.settings.host.environment,
            self.arguments(server, plan),
        )?;
        let opening = match plan.oplog {
            true => Some(Opening::before(server).await?),
            false => None,
        };
        let mut running = process::spawn(spec)?;
        let streamed = match running.take_output() {
            Some(output) => {
                let watch = watch::Watch::new(server, self.options.stall());
                stream::pass_through(output, watch, self.options.selection(), opening, &mut writer).await
            }
            None => Err(Error::new(Kind::Failed, "mongodump has no output")),
        };
        let counting = match streamed {
            Ok(counting) => counting,
            // What mongodump said before it went is worth more than that its archive ends early.
            Err(error) if error.kind() == Kind::Damaged => {
                let outcome = tokio::time::timeout(Duration::from_secs(10), running.outcome()).await;
                return Err(match outcome {
                    Ok(Ok(outcome)) if outcome.code != Some(0) && !lost_its_reader(&outcome) => {
                        failed(server, tool, &outcome)
                    }
                    _ => error,
                });
            }
            Err(error) => {
                running.stop().await;
                return Err(error);
            }
        };
        let outcome = running.outcome().await?;
        if outcome.code != Some(0) || !outcome.streams_complete {
            return Err(failed(server, tool, &outcome));
        }
        let summary = counting.reader.finish().map_err(|error| {
            error.while_doing(format!("{} ended with status 0, but its archive is not whole", tool.name))
        })?;
        counting.tally.check()?;
        let stored = writer.finish(CleanEnd::of(format!("{} {}", tool.name, tool.version))).await?;
        let seconds = began.elapsed().as_secs_f64();
        Ok(Dumped { stored, summary, tally: counting.tally, warnings: worth_telling(&outcome), seconds })
    }

    /// mongodump's arguments; none of them is a secret.
    fn arguments(&self, server: &Server, plan: &Plan) -> Vec<String> {
        let mut arguments = vec!["--archive".to_owned()];
        if plan.oplog {
            arguments.push("--oplog".to_owned());
        } else if let [database] =
            self.options.selection().named_databases().into_iter().collect::<Vec<_>>().as_slice()
        {
            // Of a whole dump, what is not selected is read and then left out; this reads less.
            arguments.push(format!("--db={database}"));
        }
        if server.topology != connect::Topology::Standalone {
            arguments.push(format!("--readPreference={}", self.options.read_preference()));
        }
        if let Some(collections) = self.options.parallel_collections {
            arguments.push(format!("--numParallelCollections={collections}"));
        }
        arguments
    }
}

/// Everything that the server had before the dump has to be in it.
fn check_seen(plan: &Plan, dumped: &Dumped) -> Result<()> {
    let entries = dumped.summary.prelude.entries.iter();
    let there: BTreeSet<&Namespace> = entries.clone().map(|entry| &entry.namespace).collect();
    if let Some(vanished) = entries.clone().find(|entry| entry.has_vanished()) {
        return Err(vanished_under_way(&vanished.namespace));
    }
    match plan.seen.iter().find(|seen| !there.contains(&seen.namespace)) {
        Some(missing) => Err(vanished_under_way(&missing.namespace)),
        None => Ok(()),
    }
}

/// mongodump's whole oplog was asked for, and an archive without any looks as whole as one with it.
fn check_oplog(plan: &Plan, tally: &Tally) -> Result<()> {
    if !plan.oplog || tally.entries > 0 {
        return Ok(());
    }
    Err(Error::new(
        Kind::Failed,
        "the captured operations that were asked of mongodump are not in its archive",
    )
    .hint("look whether the mongodump that is run is a wrapper that leaves out --oplog"))
}

/// True when a child failed because we read no more of it.
fn lost_its_reader(outcome: &Outcome) -> bool {
    outcome.signal == Some(13) || outcome.facts.messages.iter().any(|line| line.contains("broken pipe"))
}

fn vanished_under_way(name: &Namespace) -> Error {
    Error::new(Kind::Failed, format!("{name} was there before the dump, and is not in it"))
        .hint("it was dropped or renamed meanwhile, or its permissions changed: take the backup again")
}

/// With the oplog that of its last entry, else when the dump began.
fn recovery_point(server: &Server, tally: &Tally) -> Result<RecoveryPoint> {
    let (time, position) = match tally.last {
        Some(last) => (DateTime::from_timestamp(i64::from(last.time), 0), Some(connect::position(last))),
        None => (DateTime::<Utc>::from_timestamp_millis(server.local_time_ms), None),
    };
    let time = time.ok_or_else(|| Error::new(Kind::Failed, "the server's clock shows no date"))?;
    Ok(RecoveryPoint { time, position })
}

fn facts(server: &Server) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::from([
        ("version".to_owned(), server.version.clone()),
        ("topology".to_owned(), server.topology.word().to_owned()),
    ]);
    if let connect::Topology::ReplicaSet(set) = &server.topology {
        facts.insert("replica_set".to_owned(), set.clone());
    }
    facts
}

/// What a restore has to know before it reads the archive. Bounded: a server may have many databases.
fn properties(plan: &Plan, tally: &Tally, summary: &Summary) -> serde_json::Value {
    let databases: BTreeSet<&str> = plan.seen.iter().map(|seen| seen.namespace.db.as_str()).collect();
    let views = summary.prelude.entries.iter().filter(|e| e.shape() == CollectionKind::View).count();
    serde_json::json!({
        "oplog": plan.oplog,
        "oplog_entries": tally.entries,
        "written_to": tally.touched.iter().filter(|name| name.is_dumped()).count(),
        "databases": databases.len(),
        "first_databases": databases.into_iter().take(100).collect::<Vec<_>>(),
        "views": views,
    })
}

/// Lines of mongodump, at exit 0, that are not its ordinary report.
fn worth_telling(outcome: &Outcome) -> Vec<String> {
    let ordinary = ["writing ", "done dumping ", "dumped ", "Read preference"];
    let lines = outcome.facts.messages.iter().map(|line| child::message(line));
    let mut odd: Vec<String> = lines
        .filter(|line| !line.is_empty() && !ordinary.iter().any(|start| line.starts_with(start)))
        .filter(|line| !line.contains(". . .") && !line.starts_with('['))
        .map(|line| format!("mongodump: {line}"))
        .collect();
    if odd.len() > 20 {
        let more = odd.len() - 20;
        odd.truncate(20);
        odd.push(format!("mongodump: and {more} more lines"));
    }
    odd
}

fn failed(server: &Server, tool: &Tool, outcome: &Outcome) -> Error {
    let how = match (outcome.code, outcome.signal) {
        (Some(0), _) => "ended well, but its stream was cut".to_owned(),
        (Some(code), _) => format!("failed with status {code}"),
        (None, signal) => format!("was killed by signal {}", signal.unwrap_or_default()),
    };
    let lines: Vec<&str> = outcome.facts.messages.iter().map(|line| child::message(line)).collect();
    // A panic of Go ends with the stacks of its routines.
    let telling = |line: &&&str| line.starts_with("Failed:") || line.starts_with("panic:");
    let said = lines.iter().rev().find(telling).or(lines.last());
    let said =
        said.map_or_else(String::new, |line| format!(": {}", line.trim_start_matches("Failed:").trim()));
    let bytes = process::human_bytes(outcome.facts.bytes_out);
    let error = |kind| Error::new(kind, format!("{} {how} after {bytes}{said}", tool.name));
    if said.contains("oplog overflow") {
        return error(Kind::Failed).hint(format!(
            "the oplog of {} is too small for the time of a dump: enlarge it (replSetResizeOplog), or dump at a \
             quieter time",
            server.shown
        ));
    }
    if said.contains("Unauthorized") || said.contains("not authorized") {
        return error(Kind::Unreachable).hint(
            "grant the user the role backup on the database admin; `lifeboat doctor` names what is missing",
        );
    }
    if ["renameCollection", "collection renames", "renames occur"].iter().any(|word| said.contains(word)) {
        return error(Kind::Failed)
            .hint("a collection was renamed or made a capped one meanwhile: take the backup again");
    }
    if ["QueryPlanKilled", "collection dropped"].iter().any(|word| said.contains(word)) {
        return error(Kind::Failed)
            .hint("a collection was dropped while it was dumped: take the backup again");
    }
    let lost = ["connection", "server selection", "socket", "EOF", "not primary", "node is recovering"];
    if lost.iter().any(|word| said.contains(word)) {
        return error(Kind::Unreachable).hint("look into the server's log, and take the backup again");
    }
    if outcome.signal == Some(9) {
        return error(Kind::Failed).hint(
            "the kernel or the cluster may have run out of memory; look at the memory limit and its log",
        );
    }
    error(Kind::Failed).hint("the messages of mongodump say what it did not like; run `lifeboat doctor`")
}
