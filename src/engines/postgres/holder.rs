//! The holder: one transaction that has every table locked and one snapshot exported.
//!
//! The order matters. All tables are locked (ACCESS SHARE) **before** the transaction's snapshot
//! is taken: a TRUNCATE or rewrite that lands between snapshot and lock makes COPY return no rows
//! without an error. The list therefore comes from another session, and is compared afterwards
//! with the list in the snapshot; when a table appeared, vanished or changed, the round starts again.
//!
//! A lock that is queued behind the holder is a deadlock that the server cannot see (the dump's own
//! lock would queue behind it), so `lock_timeout` is set, and [`Holder::blockers`] names who is in the way.

mod blockers;
mod keeper;

use std::time::Duration;

use chrono::{DateTime, Utc};

pub use blockers::{Blocker, tell, without_literals};
pub use keeper::Released;

use super::connect::{self, Session, SqlProblem, problem};
use super::resolve::Connection;
use super::settings::quote_literal;
use super::tables::{self, Table};
use crate::engines::RecoveryPoint;
use crate::error::{Error, Kind, Result};
use keeper::Keeper;

/// Tables in one LOCK statement: short enough to find out which batch waits.
const BATCH: usize = 500;

/// How often the list may change before it is an error.
const MOST_CHANGES: u32 = 20;

/// How the locks are taken.
#[derive(Debug, Clone)]
pub struct HoldOptions {
    /// How long one attempt waits for a lock; also good for `pg_dump --lock-wait-timeout`.
    pub lock_timeout: Duration,
    /// How often locks are tried for, at least 1.
    pub attempts: u32,
    /// The pause after the first attempt; it doubles, and is at most 30 seconds.
    pub pause: Duration,
    /// The time between two signs of life of the holder's session.
    pub heartbeat: Duration,
}

impl Default for HoldOptions {
    fn default() -> Self {
        HoldOptions {
            lock_timeout: Duration::from_secs(10),
            attempts: 6,
            pause: Duration::from_secs(2),
            heartbeat: Duration::from_secs(30),
        }
    }
}

/// A snapshot with its locks, held by a session of its own until [`Holder::release`].
#[derive(Debug)]
pub struct Holder {
    /// For `pg_dump --snapshot` and `SET TRANSACTION SNAPSHOT`.
    pub snapshot: String,
    /// Every commit that was acknowledged before this time, by the server's clock, is in the snapshot.
    pub recovery_point: RecoveryPoint,
    /// The tables in the snapshot, all locked.
    pub tables: Vec<Table>,
    /// True when the source is a standby: rows of unlogged tables are not there.
    pub standby: bool,
    /// The server that was reached; children must use this connection, or the snapshot is unknown to them.
    pub connection: Connection,
    /// How often locks were tried for, and the list compared.
    pub rounds: u32,
    keeper: Keeper,
    lister: Session,
}

/// Holds a snapshot of a whole database.
///
/// # Errors
/// [`Kind::Unreachable`] when the server cannot be reached or the role may not read a table;
/// [`Kind::Failed`] when the locks are not to be had, with the blocking process in the message.
pub async fn hold(connection: &Connection, options: &HoldOptions) -> Result<Holder> {
    let lister = connect::connect(connection).await?;
    lister.pin_settings(None).await?;
    // Both sessions on the very same server.
    let connection = lister.connection().clone();
    let (mut rounds, mut attempts, mut changed) = (0, 0, 0);
    let mut pause = options.pause;
    loop {
        rounds += 1;
        let tables = tables::list(&lister).await?;
        let mut round = Round::begin(&connection, &lister, options.lock_timeout).await?;
        let what = match round.lock(&tables).await? {
            Locked::All => match round.snapshot(&lister).await? {
                Taken::Consistent(taken) => {
                    return Ok(Holder {
                        snapshot: taken.snapshot,
                        recovery_point: taken.recovery_point,
                        tables: taken.tables,
                        standby: taken.standby,
                        connection,
                        rounds,
                        keeper: round.into_keeper(options.heartbeat).await?,
                        lister,
                    });
                }
                Taken::Changed(what) => what,
            },
            Locked::Gone(what) => what,
            Locked::TimedOut(blockers) => {
                attempts += 1;
                round.give_up().await;
                if attempts >= options.attempts.max(1) {
                    return Err(not_to_be_had(&connection, attempts, &blockers));
                }
                tracing::warn!(attempt = attempts, "tables are locked by others: {}", tell(&blockers));
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(30));
                continue;
            }
        };
        round.give_up().await;
        changed += 1;
        tracing::info!(round = rounds, "tables changed while they were being locked: {}", what.join(", "));
        if changed >= MOST_CHANGES {
            return Err(Error::new(
                Kind::Failed,
                format!(
                    "the tables of {connection} changed in each of {changed} attempts to lock them, last: {}",
                    what.iter().take(5).cloned().collect::<Vec<_>>().join(", ")
                ),
            )
            .hint(
                "run the backup when no job creates or drops tables, or let that job use temporary tables",
            ));
        }
        tokio::time::sleep(Duration::from_millis(20) * changed).await;
    }
}

/// The error after the last attempt.
pub fn not_to_be_had(connection: &Connection, attempts: u32, blockers: &[Blocker]) -> Error {
    let who = if blockers.is_empty() { "whoever blocked them is gone".to_string() } else { tell(blockers) };
    let plural = if attempts == 1 { "" } else { "s" };
    let error = Error::new(
        Kind::Failed,
        format!("the tables of {connection} could not be locked in {attempts} attempt{plural}: {who}"),
    );
    match blockers.iter().find_map(|blocker| blocker.pid) {
        Some(pid) => error.hint(format!(
            "wait until that session ends, end it by SELECT pg_terminate_backend({pid}), or raise lock_timeout"
        )),
        None => error.hint("run it again when no DDL runs, or raise lock_timeout"),
    }
}

/// The outcome of locking.
#[derive(Debug)]
pub enum Locked {
    /// All tables are locked.
    All,
    /// A table is not there any more; in words.
    Gone(Vec<String>),
    /// Others hold a lock that conflicts; the transaction is over.
    TimedOut(Vec<Blocker>),
}

/// The outcome of taking the snapshot.
#[derive(Debug)]
pub enum Taken {
    /// The tables in the snapshot are those that are locked.
    Consistent(Snapshot),
    /// They are not; in words.
    Changed(Vec<String>),
}

/// A snapshot whose tables are all locked.
#[derive(Debug)]
pub struct Snapshot {
    /// Its name.
    pub snapshot: String,
    /// The instant.
    pub recovery_point: RecoveryPoint,
    /// The tables in it.
    pub tables: Vec<Table>,
    /// True when the server is in recovery.
    pub standby: bool,
}

/// One attempt: a session with an open transaction that has not read anything yet.
#[derive(Debug)]
pub struct Round {
    session: Session,
    locked: Vec<Table>,
}

impl Round {
    /// Opens the transaction. Nothing in it takes a snapshot.
    pub async fn begin(connection: &Connection, lister: &Session, lock_timeout: Duration) -> Result<Round> {
        let session = connect::connect(connection).await?;
        session.pin_settings(None).await?;
        let milliseconds = lock_timeout.as_millis().clamp(1, i32::MAX as u128);
        session
            .batch(&format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = {}",
                quote_literal(&milliseconds.to_string())
            ))
            .await?;
        // Behind a transaction pooler the lister gets another process now than it began with, or
        // began with the one that this transaction has.
        let shared = "SELECT pg_catalog.pg_backend_pid()";
        let pid: i32 = lister.one(shared, &[]).await?.get(0);
        if pid == session.pid() || pid != lister.pid() {
            return Err(Error::new(
                Kind::Unreachable,
                format!(
                    "{connection} is a connection pooler that shares server sessions between transactions"
                ),
            )
            .hint("connect to the server itself: a snapshot belongs to one server session"));
        }
        Ok(Round { session, locked: Vec::new() })
    }

    /// Locks the tables in batches.
    pub async fn lock(&mut self, tables: &[Table]) -> Result<Locked> {
        for batch in tables.chunks(BATCH) {
            let names: Vec<String> = batch.iter().map(Table::quoted).collect();
            // ONLY, since the list has the children and partitions too.
            let sql = format!("LOCK TABLE ONLY {} IN ACCESS SHARE MODE", names.join(", ONLY "));
            let Err(cause) = self.session.client().batch_execute(&sql).await else { continue };
            return match problem(&cause) {
                SqlProblem::LockTimeout => {
                    // A session of its own: it must see who blocks now, at once.
                    let other = connect::connect(self.session.connection()).await?;
                    let oids: Vec<u32> = tables.iter().map(|table| table.oid).collect();
                    let found = blockers::find(&other, &oids, self.session.pid()).await;
                    Ok(Locked::TimedOut(found.unwrap_or_default()))
                }
                SqlProblem::Missing => Ok(Locked::Gone(vec![connect::summary(&cause)])),
                SqlProblem::Other if cause.code().is_some_and(|code| code.code() == "42809") => {
                    // The name belongs to something else now.
                    Ok(Locked::Gone(vec![connect::summary(&cause)]))
                }
                _ => Err(self
                    .session
                    .explain(cause)
                    .while_doing(format!("the tables of {} could not be locked", self.session.connection()))),
            };
        }
        self.locked = tables.to_vec();
        Ok(Locked::All)
    }

    /// Takes and exports the snapshot, and compares its tables with the locked ones.
    pub async fn snapshot(&mut self, lister: &Session) -> Result<Taken> {
        // Asked in another session just before: a SELECT here would take the snapshot first. What
        // was acknowledged to its client before this moment is visible to any later snapshot.
        let sql = "SELECT pg_catalog.clock_timestamp(), pg_catalog.pg_is_in_recovery(), \
                   pg_catalog.pg_last_xact_replay_timestamp()";
        let row = lister.one(sql, &[]).await?;
        let (clock, standby): (std::time::SystemTime, bool) = (row.get(0), row.get(1));
        let replayed: Option<std::time::SystemTime> = row.get(2);
        // A standby holds what it has replayed; its own clock would claim too much.
        let time = if standby { replayed.unwrap_or(clock).min(clock) } else { clock };
        let function = if standby { "pg_last_wal_replay_lsn" } else { "pg_current_wal_lsn" };
        // Some managed services do not tell; the position is a convenience.
        let position = lister.one(&format!("SELECT pg_catalog.{function}()::text"), &[]).await;
        let position = position.ok().and_then(|row| row.get(0));
        let recovery_point = RecoveryPoint { time: DateTime::<Utc>::from(time), position };

        let exported = self.session.one("SELECT pg_catalog.pg_export_snapshot()", &[]).await?;
        let snapshot: String = exported.get(0);
        let tables = tables::list(&self.session).await?;
        let mut changed = tables::changes(&self.locked, &tables);
        let rewritten = tables::rewritten(&self.session, &tables).await?;
        changed.extend(rewritten.into_iter().map(|name| format!("{name} was rewritten")));
        if !changed.is_empty() {
            return Ok(Taken::Changed(changed));
        }
        Ok(Taken::Consistent(Snapshot { snapshot, recovery_point, tables, standby }))
    }

    /// Releases everything.
    pub async fn give_up(self) {
        // The locks go with the session, however it ends.
        let _ = self.session.close().await;
    }

    async fn into_keeper(self, heartbeat: Duration) -> Result<Keeper> {
        Keeper::start(self.session, heartbeat).await
    }
}

impl Holder {
    /// Who blocks our tables now, or waits for one of them with a lock that would block the dump.
    pub async fn blockers(&self) -> Result<Vec<Blocker>> {
        let oids: Vec<u32> = self.tables.iter().map(|table| table.oid).collect();
        blockers::find(&self.lister, &oids, self.keeper.pid()).await
    }

    /// Returns with an error as soon as the holder's session is lost; never, if it is not. A
    /// backup races this against its work, since without the session it cannot become consistent.
    pub async fn lost(&self) -> Error {
        self.keeper.lost().await
    }

    /// Ends the transaction. The proof says that it was alive until now: without it the workers
    /// may have read different states, and the backup must fail.
    pub async fn release(self) -> Result<Released> {
        let released = self.keeper.release().await?;
        let _ = self.lister.close().await;
        Ok(released)
    }
}
