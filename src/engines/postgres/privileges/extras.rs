//! What a dump does not bring or what may surprise: standbys, lock space, foreign servers, subscriptions.

use super::{Extent, counted, names};
use crate::engines::Finding;
use crate::engines::postgres::connect::Session;
use crate::engines::postgres::tables::USER_SCHEMA;
use crate::error::Result;
use crate::pipeline::child::human_bytes;

/// Looks at all of it. Settings are pinned already.
pub async fn look(session: &Session, superuser: bool, extent: Extent) -> Result<Vec<Finding>> {
    let size = human_bytes(u64::try_from(extent.bytes).unwrap_or_default());
    let mut findings = vec![Finding::ok("size", format!("{} tables, {size} on disk", extent.tables))];
    findings.extend(lock_space(session, extent.tables).await?);
    findings.extend(unlogged_on_standby(session).await?);
    findings.extend(foreign_servers(session).await?);
    findings.extend(subscriptions(session, superuser).await?);
    findings.extend(prepared_transactions(session).await?);
    findings.extend(collation_mismatch(session).await?);
    Ok(findings)
}

/// One lock a table is held, and the shared lock table has a fixed size (documentation 20.12).
async fn lock_space(session: &Session, tables: i64) -> Result<Option<Finding>> {
    let sql = "SELECT current_setting('max_locks_per_transaction')::int8 \
               * (current_setting('max_connections')::int8 + current_setting('max_prepared_transactions')::int8)";
    let room: i64 = session.one(sql, &[]).await?.get(0);
    Ok((tables > room).then(|| Finding {
        hint: Some(format!(
            "raise max_locks_per_transaction by a factor of {} and restart the server",
            tables / room.max(1) + 1
        )),
        ..Finding::warning(
            "locks",
            format!("{tables} tables are to be locked, the server plans for {room} locks"),
        )
    }))
}

async fn unlogged_on_standby(session: &Session) -> Result<Option<Finding>> {
    let sql = format!(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE pg_is_in_recovery() AND c.relkind = 'r' AND c.relpersistence = 'u' AND {USER_SCHEMA} ORDER BY 1"
    );
    let found = names(session, &sql).await?;
    Ok((!found.is_empty()).then(|| Finding {
        hint: Some("back up from the primary if their rows matter".into()),
        ..Finding::warning(
            "standby",
            format!("a standby has no rows of {}", counted("unlogged table", &found)),
        )
    }))
}

async fn foreign_servers(session: &Session) -> Result<Option<Finding>> {
    let found = names(session, "SELECT srvname::text FROM pg_foreign_server ORDER BY 1").await?;
    Ok((!found.is_empty()).then(|| Finding {
        hint: Some("make sure that a restored copy cannot reach production through them".into()),
        ..Finding::warning(
            "foreign servers",
            format!("rows behind foreign tables are not in a backup: {}", counted("foreign server", &found)),
        )
    }))
}

/// `pg_dump` leaves subscriptions out for everybody but superusers.
async fn subscriptions(session: &Session, superuser: bool) -> Result<Option<Finding>> {
    let sql = "SELECT subname::text FROM pg_subscription s \
               WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1";
    // subname has been readable by everybody since 9.6, but some services hide the table.
    let Ok(found) = names(session, sql).await else { return Ok(None) };
    Ok((!found.is_empty() && !superuser).then(|| Finding {
        hint: Some("back up as a superuser if they matter".into()),
        ..Finding::warning(
            "subscriptions",
            format!("a dump by this role leaves out {}", counted("subscription", &found)),
        )
    }))
}

async fn prepared_transactions(session: &Session) -> Result<Option<Finding>> {
    let sql = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared";
    let found = names(session, sql).await?;
    Ok((!found.is_empty()).then(|| Finding {
        hint: Some("commit or roll them back; each holds its locks until then".into()),
        ..Finding::warning(
            "prepared transactions",
            format!("not in a backup until they are committed: {}", counted("prepared transaction", &found)),
        )
    }))
}

/// The operating system sorts differently now than when the indexes were built.
async fn collation_mismatch(session: &Session) -> Result<Option<Finding>> {
    if session.version() < 150_000 {
        return Ok(None);
    }
    let sql = "SELECT d.datcollversion, pg_database_collation_actual_version(d.oid) FROM pg_database d \
               WHERE d.datname = current_database()";
    let row = session.one(sql, &[]).await?;
    let (recorded, actual): (Option<String>, Option<String>) = (row.get(0), row.get(1));
    Ok(match (recorded, actual) {
        (Some(recorded), Some(actual)) if recorded != actual => Some(Finding {
            hint: Some(
                "rebuild the indexes on text, then run ALTER DATABASE … REFRESH COLLATION VERSION".into(),
            ),
            ..Finding::warning(
                "collation",
                format!("the database was built with collation version {recorded}, the server has {actual}"),
            )
        }),
        _ => None,
    })
}
