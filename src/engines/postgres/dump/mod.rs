//! The `dump` method: locks, a snapshot, and `pg_dump` of that snapshot as one stream.
//!
//! A holder session locks every table, then exports a snapshot; `pg_dump` of the server's own major
//! dumps that snapshot. Somebody may queue an exclusive lock behind the holder; then `pg_dump`
//! waits behind that lock, and that lock waits for the holder: a deadlock that the server cannot see.
//! So `pg_dump` waits for locks only so long; then everything is released and tried again.

mod extensions;
mod said;
mod stream;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;

use crate::engines::postgres::archive::inventory;
use crate::engines::postgres::archive::{Archive, ArchiveReader};
use crate::engines::postgres::connect::{self, Session};
use crate::engines::postgres::holder::{self, HoldOptions, Holder};
use crate::engines::postgres::identity::Identity;
use crate::engines::postgres::tools::Tool;
use crate::engines::postgres::{Postgres, globals, properties, settings};
use crate::engines::{Captured, Consistency, Phase};
use crate::error::{Error, Explain as _, Kind, Result};
use crate::pipeline::child::{self, Child, Outcome};
use crate::pipeline::frames::place_of;
use crate::pipeline::inventory::Inventory;
use crate::pipeline::object::{CleanEnd, Role, Stored};
use crate::pipeline::progress::Progress;
use crate::pipeline::{ObjectWriter, Sink};

/// The name of the object that holds the archive.
pub const DUMP: &str = "postgres.dump.zst";
/// The name of the object that holds roles and tablespaces.
pub const GLOBALS: &str = "globals.sql.zst";

/// What one snapshot gave.
struct Dumped {
    stored: Stored,
    archive: Archive,
    holder: Holder,
    seconds: f64,
    /// What `pg_dump` said, though it ended well.
    warnings: Vec<String>,
}

/// How one attempt with one snapshot ended.
enum Attempt {
    Done(Box<Dumped>),
    /// `pg_dump` did not get its locks; nothing was written.
    Locked(Vec<holder::Blocker>),
}

impl Postgres {
    /// Streams a backup into the sink. See [`crate::engines::Engine::backup`].
    pub(super) async fn dump(&self, sink: &Sink, progress: &Progress) -> Result<Captured> {
        let began = Instant::now();
        progress.phase("connect");
        let session = connect::connect(&self.connection).await?;
        // It is idle while the dump runs, and asked again afterwards: no time-out may end it meanwhile.
        session.pin_settings(None).await?;
        let identity = Identity::of(&session).await?;
        let tool = self.tools().await?.choose("pg_dump", session.major())?;
        let mut warnings: Vec<String> = tool.warning.iter().cloned().collect();
        let properties = properties::read(&session).await?;
        progress.expect_raw(expected_bytes(&session).await?);

        let dumped = self.with_retries(&tool, session.version(), sink, progress).await?;
        let mut inventory = self.count(&dumped, sink)?;
        extensions::fill_filters(&session, &mut inventory).await?;
        warnings.extend(dumped.warnings.iter().cloned());
        if dumped.holder.standby {
            warnings.push("the source is a standby: rows of unlogged tables are not in the backup".into());
        }
        warnings.extend(unlogged_on_primary(&dumped.holder));
        if dumped.holder.tables.is_empty() {
            warnings.push("the database has no tables: is it the right one?".into());
        }

        progress.phase("globals");
        let globals_began = Instant::now();
        let (globals, more) = self.dump_globals(&session, sink).await?;
        warnings.extend(more);
        let globals_seconds = globals_began.elapsed().as_secs_f64();

        // The proof that the snapshot lived until the last byte was read.
        let Dumped { stored, holder, seconds, .. } = dumped;
        let recovery_point = holder.recovery_point.clone();
        let _released = holder.release().await?;
        let total = began.elapsed().as_secs_f64();
        Ok(Captured {
            objects: vec![stored, globals],
            inventory,
            recovery_point,
            consistency: Consistency::Consistent,
            server: server_facts(&identity),
            tools: BTreeMap::from([("pg_dump".to_owned(), tool.version.clone())]),
            properties: serde_json::to_value(&properties).map_err(|e| {
                Error::new(Kind::Failed, "cannot record the database's properties").because(e)
            })?,
            warnings,
            phases: vec![
                Phase { name: "connect and lock".into(), seconds: total - seconds - globals_seconds },
                Phase { name: "dump".into(), seconds },
                Phase { name: "globals".into(), seconds: globals_seconds },
            ],
            ends: vec![CleanEnd::of("the snapshot was held to the end")],
        })
    }

    /// Tries until a dump got all its locks.
    async fn with_retries(
        &self,
        tool: &Tool,
        server_version: u32,
        sink: &Sink,
        progress: &Progress,
    ) -> Result<Dumped> {
        let options = HoldOptions {
            lock_timeout: self.settings.lock_timeout,
            attempts: self.settings.lock_attempts.max(1),
            ..HoldOptions::default()
        };
        let mut pause = options.pause;
        let mut attempt = 0;
        loop {
            attempt += 1;
            progress.phase("lock");
            let holder = holder::hold(&self.connection, &options).await?;
            let connection = holder.connection.clone();
            match self.attempt(holder, tool, server_version, sink, progress).await? {
                Attempt::Done(dumped) => return Ok(*dumped),
                Attempt::Locked(blockers) if attempt >= options.attempts => {
                    return Err(holder::not_to_be_had(&connection, attempt, &blockers));
                }
                Attempt::Locked(blockers) => {
                    progress.note(format!(
                        "tables are locked by others, trying again: {}",
                        holder::tell(&blockers)
                    ));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(30));
                }
            }
        }
    }

    /// Dumps one snapshot.
    async fn attempt(
        &self,
        holder: Holder,
        tool: &Tool,
        server_version: u32,
        sink: &Sink,
        progress: &Progress,
    ) -> Result<Attempt> {
        let began = Instant::now();
        progress.phase("dump");
        let mut writer = sink.object(DUMP, Role::Dump, "pg_dump custom archive");
        let mut reader = ArchiveReader::new();
        let mut child = self.spawn_pg_dump(&holder, tool, server_version)?;
        let streamed = tokio::select! {
            streamed = stream_out(&mut child, &mut reader, &mut writer) => streamed,
            lost = holder.lost() => Err(lost),
        };
        if let Err(error) = streamed {
            child.stop().await;
            return Err(error);
        }
        let Outcome { code, signal, streams_complete, facts } = child.outcome().await?;
        if code == Some(0) && streams_complete {
            let archive = reader.finish()?;
            let end = CleanEnd::of(format!("{} {}", tool.name, tool.version));
            let stored = writer.finish(end).await?;
            let seconds = began.elapsed().as_secs_f64();
            let warnings = said::warnings(&tool.name, &facts.messages);
            return Ok(Attempt::Done(Box::new(Dumped { stored, archive, holder, seconds, warnings })));
        }
        let text = facts.messages.join("\n");
        if facts.bytes_out == 0 && code == Some(1) && is_lock_timeout(&text) {
            // Asked before the holder lets go, while whoever waits still waits.
            let blockers = holder.blockers().await.unwrap_or_default();
            let _ = holder.release().await;
            return Ok(Attempt::Locked(blockers));
        }
        let error = failed(tool, code, signal, &facts.messages, facts.bytes_out);
        match holder.release().await {
            Ok(_) => Err(error),
            // Both sessions are gone: it is the server, whatever pg_dump made of it.
            Err(lost) => Err(Error::new(lost.kind(), error.chain())
                .hint(lost.hint_text().unwrap_or("look into the server's log"))
                .because(lost)),
        }
    }

    /// Roles and tablespaces beside the archive.
    async fn dump_globals(&self, session: &Session, sink: &Sink) -> Result<(Stored, Vec<String>)> {
        let tool = self.tools().await?.choose("pg_dumpall", session.major())?;
        let globals = globals::dump(session, &tool, &self.settings.host.environment).await?;
        let mut child = globals.child;
        let mut writer = sink.object(GLOBALS, Role::Globals, "roles and tablespaces, SQL");
        let Some(mut output) = child.take_output() else {
            return Err(Error::new(Kind::Failed, "pg_dumpall has no output"));
        };
        let mut text = Vec::new();
        // A few kilobytes a role: small enough for memory.
        output
            .read_to_end(&mut text)
            .await
            .explain(Kind::Failed, || "the output of pg_dumpall cannot be read".to_owned())?;
        drop(output);
        let finished = child.finish().await?;
        writer.write(&text).await?;
        let end = CleanEnd::of(format!("{} {}", finished.name, tool.version));
        let mut warnings: Vec<String> = globals.warning.into_iter().collect();
        warnings.extend(said::warnings(&finished.name, &finished.messages));
        Ok((writer.finish(end).await?, warnings))
    }

    fn spawn_pg_dump(&self, holder: &Holder, tool: &Tool, server_version: u32) -> Result<Child> {
        let milliseconds = self.settings.lock_timeout.as_millis().max(1);
        let arguments = [
            "--format=custom".to_owned(),
            "--compress=0".to_owned(),
            "--no-password".to_owned(),
            format!("--snapshot={}", holder.snapshot),
            format!("--lock-wait-timeout={milliseconds}"),
        ];
        child::spawn(self.child(&holder.connection, tool, server_version, "", arguments)?)
    }

    /// The inventory of what was stored.
    fn count(&self, dumped: &Dumped, sink: &Sink) -> Result<Inventory> {
        let starts = sink.frames_of(DUMP).map(|table| table.raw_starts()).unwrap_or_default();
        let mut inventory = inventory::inventory(&dumped.archive, &|at| place_of(&starts, at));
        inventory.settings = settings::recorded();
        Ok(inventory)
    }
}

async fn stream_out(child: &mut Child, reader: &mut ArchiveReader, writer: &mut ObjectWriter) -> Result<()> {
    match child.take_output() {
        Some(output) => stream::pass_through(output, reader, writer).await,
        None => Err(Error::new(Kind::Failed, "pg_dump has no output")),
    }
}

/// The message that `--lock-wait-timeout` gives: it is `statement_timeout` around LOCK TABLE.
/// Source: pg_dump.c `setup_connection` and `getTables`.
fn is_lock_timeout(messages: &str) -> bool {
    messages.contains("statement timeout") || messages.contains("lock timeout")
}

fn failed(tool: &Tool, code: Option<i32>, signal: Option<i32>, messages: &[String], bytes: u64) -> Error {
    let status = match (code, signal) {
        (Some(code), _) => format!("failed with status {code}"),
        (None, signal) => format!("was killed by signal {}", signal.unwrap_or_default()),
    };
    let said = messages.iter().find(|line| line.contains("error:")).or(messages.last());
    let said = said.map_or_else(String::new, |line| format!(": {}", line.trim().trim_end_matches('.')));
    let error =
        Error::new(Kind::Failed, format!("{} {status} after {}{said}", tool.name, child::human_bytes(bytes)));
    if messages.iter().any(|line| line.contains("permission denied")) {
        return error.hint(
            "GRANT pg_read_all_data TO the role of the source; `lifeboat doctor` names what is missing",
        );
    }
    if signal == Some(9) {
        return error.hint(
            "the kernel or the cluster may have run out of memory; look at the memory limit and its log",
        );
    }
    error.hint("the messages of pg_dump say what it did not like; run `lifeboat doctor`")
}

/// The size of all tables on disk, without indexes: about what the dump will have.
///
/// `pg_table_size` locks each table, and would wait for whoever has one locked: then the pages of the last
/// vacuum have to do.
async fn expected_bytes(session: &Session) -> Result<u64> {
    let sum = |size: &str| {
        format!(
            "SELECT coalesce(sum({size}), 0)::int8 FROM pg_catalog.pg_class c \
             WHERE c.relkind IN ('r', 'm') AND (c.relnamespace >= 16384 OR c.relnamespace = 2200)"
        )
    };
    session.batch("SET lock_timeout = '100ms'").await?;
    let row = session.one(&sum("pg_catalog.pg_table_size(c.oid)"), &[]).await;
    session.batch("RESET lock_timeout").await?;
    let row = match row {
        Ok(row) => row,
        Err(_) => session.one(&sum("greatest(c.relpages, 0)::int8 * 8192"), &[]).await?,
    };
    Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or_default())
}

fn unlogged_on_primary(holder: &Holder) -> Option<String> {
    let count = holder.tables.iter().filter(|table| table.unlogged).count();
    (count > 0 && !holder.standby)
        .then(|| format!("{count} unlogged tables are in the backup; a crash of the source would empty them"))
}

fn server_facts(identity: &Identity) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::from([
        ("version".to_owned(), identity.version_text.clone()),
        ("version_num".to_owned(), identity.version.to_string()),
        ("database".to_owned(), identity.database.clone()),
        ("database_oid".to_owned(), identity.database_oid.to_string()),
        ("started_us".to_owned(), identity.started_us.to_string()),
        ("standby".to_owned(), identity.standby.to_string()),
    ]);
    if let Some(system) = &identity.system_identifier {
        facts.insert("system_identifier".to_owned(), system.clone());
    }
    facts
}
