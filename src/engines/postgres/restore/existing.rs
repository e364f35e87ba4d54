//! What is on the target server already: what must not be overwritten, and how a name changes hands.

use crate::engines::postgres::archive::TableRef;
use crate::engines::postgres::connect::{self, Session};
use crate::engines::postgres::identity::Identity;
use crate::engines::postgres::resolve::Connection;
use crate::engines::postgres::settings::{quote_identifier, quote_literal};
use crate::engines::{Origin, RestoreOptions};
use crate::error::{Error, Kind, Result};

/// Names of unfinished databases begin with this.
pub(super) const WORK: &str = "lifeboat_restoring_";

/// Names of databases that were replaced, and are about to be dropped, begin with this.
pub(super) const REPLACED: &str = "lifeboat_replaced_";

/// The comments of the two: one of these, the database's name, and the end.
pub(super) const MARK_WORK: &str = "unfinished lifeboat restore of ";
/// The comment of what was replaced.
pub(super) const MARK_REPLACED: &str = "replaced by a lifeboat restore of ";
/// How both comments go on after the name.
pub(super) const MARK_END: &str = "; may be dropped when no restore runs";

/// Databases to which a session can connect that creates others.
const MAINTENANCE: [&str; 2] = ["postgres", "template1"];

/// A session on the target's server, in a database that is not the target itself.
pub(super) async fn administrate(connection: &Connection, name: &str) -> Result<Session> {
    let mut last = None;
    for database in MAINTENANCE.iter().filter(|database| **database != name) {
        match connect::connect(&connection.with_database(database)).await {
            Ok(session) => {
                // It waits for hours while rows are loaded, and what it does then may take long.
                session.pin_settings(None).await?;
                return Ok(session);
            }
            // Only where that database is missing another one helps.
            Err(error) if !error.message().contains("does not exist") => return Err(error),
            Err(error) => last = last.or(Some(error)),
        }
    }
    Err(last.unwrap_or_else(|| Error::new(Kind::Unreachable, "the target has no maintenance database")))
}

/// Decides whether the target may be written to. True when the database is there already.
pub(super) async fn check(
    admin: &Session,
    identity: &Identity,
    origin: &Origin,
    name: &str,
    options: &RestoreOptions,
) -> Result<bool> {
    let row = admin.opt("SELECT oid FROM pg_catalog.pg_database WHERE datname = $1", &[&name]).await?;
    let exists = row.is_some();
    let shown = admin.connection().with_database(name);
    let oid = row.map(|row| row.get(0));
    if exists && is_source(identity, oid, origin, name) {
        return Err(Error::new(Kind::Unreachable, format!("{shown} is the source of this backup"))
            .hint("restore under another name, look at the result, and rename the databases then"));
    }
    if exists && options.replace.iter().any(|typed| typed == name) && may_be_source(identity, origin, name) {
        return Err(unknown_identity(admin, identity, &shown));
    }
    match (options.replace.iter().find(|typed| *typed != name), exists) {
        (Some(typed), _) => Err(Error::new(
            Kind::Usage,
            format!("--replace {typed} does not name the target database {name}"),
        )
        .hint(format!("type the name in full: --replace {name}"))),
        (None, true) if !options.data_only && options.replace.is_empty() => {
            Err(Error::new(Kind::Unreachable, format!("the database {shown} exists already"))
                .hint(format!("restore under another name, or replace it: --replace {name}")))
        }
        (_, false) if options.data_only => {
            Err(Error::new(Kind::Unreachable, format!("the database {shown} does not exist"))
                .hint("--data-only fills tables that exist; restore the definitions first (--schema-only)"))
        }
        _ => Ok(exists),
    }
}

/// True when the target is the very database that was backed up, or one of the same name on a copy
/// of its cluster: the spelling of the URL does not matter.
fn is_source(identity: &Identity, oid: Option<u32>, origin: &Origin, name: &str) -> bool {
    let told = |key: &str| origin.server.get(key).map(String::as_str);
    let same_cluster = match (told("system_identifier"), &identity.system_identifier) {
        (Some(theirs), Some(mine)) => theirs == mine,
        _ => told("started_us") == Some(identity.started_us.to_string().as_str()),
    };
    let same_oid = oid.is_some_and(|oid| told("database_oid") == Some(oid.to_string().as_str()));
    same_cluster && (told("database") == Some(name) || same_oid)
}

/// True when the target has the source's name, and neither server's identifier tells them apart. The
/// time of a server's start does not: it is another one after each restart.
fn may_be_source(identity: &Identity, origin: &Origin, name: &str) -> bool {
    let told = |key: &str| origin.server.get(key).map(String::as_str);
    let known = told("system_identifier").is_some() && identity.system_identifier.is_some();
    !known && told("database").is_none_or(|source| source == name)
}

fn unknown_identity(admin: &Session, identity: &Identity, shown: &Connection) -> Error {
    let may_be = format!("{shown} has the name of this backup's source and may be it");
    let grant = |role: &str| format!("GRANT EXECUTE ON FUNCTION pg_control_system() TO {role}");
    let elsewhere = "or restore under another name, look at the result, and rename the databases then";
    match identity.system_identifier {
        None => {
            let (database, user) = (&admin.connection().database, &admin.connection().user);
            let why = format!("the role {user} may not read the identity of the server");
            Error::new(Kind::Unreachable, format!("{may_be}: {why}")).hint(format!(
                "run in the database {database} there: {}; {elsewhere}",
                grant(&quote_identifier(user))
            ))
        }
        Some(_) => {
            let why = "the backup does not tell the identity of its server, which the role could not read";
            Error::new(Kind::Unreachable, format!("{may_be}: {why}")).hint(format!(
                "for later backups run in the source's database: {}; {elsewhere}",
                grant("the role that backs up")
            ))
        }
    }
}

/// Fails when a table that is to be filled has rows already.
pub(super) async fn check_empty(connection: &Connection, tables: &[TableRef]) -> Result<()> {
    let session = connect::connect(connection).await?;
    for table in tables {
        let quoted = format!("{}.{}", quote_identifier(&table.schema), quote_identifier(&table.name));
        let row = session.one(&format!("SELECT EXISTS (SELECT FROM {quoted})"), &[]).await?;
        if row.get(0) {
            let name = format!("{}.{}", table.schema, table.name);
            return Err(Error::new(
                Kind::Unreachable,
                format!("the table {name} of {connection} has rows already"),
            )
            .hint("--data-only fills empty tables; truncate them, or restore into a new database"));
        }
    }
    session.close().await
}

/// True when sessions of this role may let triggers and foreign keys rest.
pub(super) async fn may_rest_triggers(admin: &Session) -> Result<bool> {
    let sql = if admin.version() >= 150_000 {
        "SELECT pg_catalog.has_parameter_privilege('session_replication_role', 'SET')"
    } else {
        "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"
    };
    Ok(admin.one(sql, &[]).await?.get(0))
}

/// The name to work under. A drill's database has a name of its own already.
pub(super) fn work_name(name: &str, staging: bool) -> String {
    if staging {
        return name.to_owned();
    }
    let random: String = std::iter::repeat_with(|| fastrand::char('a'..='z')).take(10).collect();
    format!("{WORK}{random}")
}

/// Says in a comment what an unfinished database is.
pub(super) async fn mark(admin: &Session, work: &str, name: &str) -> Result<()> {
    if work == name {
        return Ok(());
    }
    let comment = format!("{MARK_WORK}{name}{MARK_END}");
    admin
        .batch(&format!("COMMENT ON DATABASE {} IS {}", quote_identifier(work), quote_literal(&comment)))
        .await
}

/// Removes an unfinished database, with whoever is still connected to it.
pub(super) async fn remove(admin: &Session, work: &str) -> Result<()> {
    let session = connect::connect(admin.connection()).await?;
    session.pin_settings(None).await?;
    session.batch(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote_identifier(work))).await?;
    session.close().await
}

/// Gives the finished database its name. What had the name before is renamed first and dropped last,
/// so that at every moment one of the two is whole. `comment` is the database's own, which takes the
/// place of the mark. Returns what somebody should know.
pub(super) async fn take_place(
    admin: &Session,
    work: &str,
    name: &str,
    comment: Option<&str>,
    exists: bool,
) -> Result<Vec<String>> {
    let (new, real) = (quote_identifier(work), quote_identifier(name));
    let comment = comment.map_or_else(|| "NULL".to_owned(), quote_literal);
    // The mark goes in the transaction that gives the name: until then it says what this is.
    let rename = format!("ALTER DATABASE {new} RENAME TO {real}; COMMENT ON DATABASE {real} IS {comment}");
    if !exists {
        admin.batch(&rename).await?;
        return Ok(Vec::new());
    }
    let old = work_name(name, false).replace(WORK, REPLACED);
    let aside = quote_identifier(&old);
    if let Err(error) = swap(admin, &rename, &real, &aside, name).await {
        // Whichever of the two has the name now is whole; let sessions in again. The session that was
        // used so far may be what failed.
        let opened = match connect::connect(admin.connection()).await {
            Ok(session) => session.batch(&format!("ALTER DATABASE {real} WITH ALLOW_CONNECTIONS true")).await,
            Err(error) => Err(error),
        };
        let what = format!("the restored database could not take the place of {name}");
        // A new error, since the first hint given stays.
        let with = |hint: String| Error::new(error.kind(), format!("{what}: {}", error.chain())).hint(hint);
        return Err(match opened {
            Err(closed) => with(format!(
                "run ALTER DATABASE {real} WITH ALLOW_CONNECTIONS true, it may let nobody in now: {closed}"
            )),
            // Whether it did is not known.
            Ok(()) if admin.is_closed() => {
                with(format!("look at {name}; if it is the restored one, the one before it is {old} now"))
            }
            Ok(()) => error.while_doing(what),
        });
    }
    let drop = async {
        // A template cannot be dropped.
        admin.batch(&format!("ALTER DATABASE {aside} WITH IS_TEMPLATE false")).await?;
        admin.batch(&format!("DROP DATABASE {aside} WITH (FORCE)")).await
    };
    Ok(match drop.await {
        Ok(()) => Vec::new(),
        // The restore is whole and in its place; the old database is in nobody's way.
        Err(error) => {
            vec![format!("the database that was replaced is still there as {old}, drop it by hand: {error}")]
        }
    })
}

/// Both names change at once, in one transaction: several statements of one message are one.
async fn swap(admin: &Session, take: &str, real: &str, aside: &str, name: &str) -> Result<()> {
    admin.batch(&format!("ALTER DATABASE {real} WITH ALLOW_CONNECTIONS false")).await?;
    let end = "SELECT count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity WHERE datname = $1";
    let mark = quote_literal(&format!("{MARK_REPLACED}{name}{MARK_END}"));
    let rename =
        format!("ALTER DATABASE {real} RENAME TO {aside}; COMMENT ON DATABASE {aside} IS {mark}; {take}");
    for attempt in 0.. {
        admin.query(end, &[&name]).await?;
        match admin.batch(&rename).await {
            Ok(()) => break,
            // Sessions take a moment to end.
            Err(error) if attempt >= 50 || admin.is_closed() => return Err(error),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(system: Option<&str>, started_us: i64) -> Identity {
        Identity {
            system_identifier: system.map(str::to_owned),
            started_us,
            database_oid: 5,
            database: "postgres".into(),
            version: 150_018,
            version_text: "15.18".into(),
            standby: false,
        }
    }

    fn origin(system: Option<&str>) -> Origin {
        let mut server: std::collections::BTreeMap<String, String> =
            [("database", "orders"), ("database_oid", "16384"), ("started_us", "10")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
        server.extend(system.map(|system| ("system_identifier".to_owned(), system.to_owned())));
        Origin { server, tools: Default::default(), properties: serde_json::Value::Null }
    }

    #[test]
    fn only_identifiers_tell_databases_of_one_name_apart() {
        let known = identity(Some("1"), 11);
        assert!(is_source(&known, Some(99), &origin(Some("1")), "orders"));
        assert!(!is_source(&known, Some(99), &origin(Some("2")), "orders"));
        assert!(!may_be_source(&known, &origin(Some("2")), "orders"));
        // After a restart the start time says nothing.
        for (target, backup) in [(identity(None, 11), origin(Some("1"))), (known, origin(None))] {
            assert!(!is_source(&target, Some(16384), &backup, "orders"));
            assert!(may_be_source(&target, &backup, "orders"));
            assert!(!may_be_source(&target, &backup, "orders_copy"));
        }
        assert!(is_source(&identity(None, 10), Some(99), &origin(None), "orders"));
        assert!(is_source(&identity(None, 10), Some(16384), &origin(None), "renamed"));
    }
}
