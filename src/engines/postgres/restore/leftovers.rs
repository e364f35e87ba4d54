//! What killed restores leave on a server, and the SQL that puts it right.
//!
//! A restore that fails cleans up; one that is killed cannot. It leaves its unfinished database, whose
//! comment names the one it was for. Killed in the middle of the change of names, it may also leave the
//! old database closed to everybody, or beside the new one under another name.

use std::collections::BTreeMap;

use super::existing::{MARK_END, MARK_REPLACED, MARK_WORK, REPLACED, WORK};
use crate::engines::Finding;
use crate::engines::postgres::claim::CLAIMED;
use crate::engines::postgres::connect::Session;
use crate::engines::postgres::settings::quote_identifier;
use crate::error::Result;

/// A database of the server.
struct Found {
    open: bool,
    template: bool,
    comment: String,
    busy: bool,
}

/// Looks for what killed restores left on the server of a session. What a restore that runs works with
/// is not named.
///
/// # Errors
/// Those of the session.
pub async fn look(session: &Session) -> Result<Vec<Finding>> {
    let sql = format!(
        "SELECT d.datname::text, d.datallowconn, d.datistemplate, \
         coalesce(pg_catalog.shobj_description(d.oid, 'pg_database'), ''), \
         {CLAIMED} OR EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid) \
         FROM pg_catalog.pg_database d"
    );
    let mut databases = BTreeMap::new();
    for row in session.query(&sql, &[]).await? {
        let found = Found { open: row.get(1), template: row.get(2), comment: row.get(3), busy: row.get(4) };
        databases.insert(row.get::<_, String>(0), found);
    }
    let place = session.connection().with_database("").to_string();
    let place = place.trim_end_matches('/');
    let mut findings = Vec::new();
    for (name, found) in &databases {
        let found = if name.starts_with(WORK) && !found.busy {
            unfinished(name, found, &databases, place)
        } else if name.starts_with(REPLACED) {
            replaced(name, found, &databases, place)
        } else {
            continue;
        };
        findings.push(found);
    }
    Ok(findings)
}

/// The database that a mark names.
fn named<'a>(comment: &'a str, mark: &str) -> Option<&'a str> {
    comment.strip_prefix(mark)?.strip_suffix(MARK_END)
}

fn unfinished(work: &str, found: &Found, databases: &BTreeMap<String, Found>, place: &str) -> Finding {
    let wanted = named(&found.comment, MARK_WORK);
    let whose = wanted.map_or_else(String::new, |name| format!(" of {name}"));
    let drop = format!("DROP DATABASE {} WITH (FORCE)", quote_identifier(work));
    let closed = wanted.filter(|name| databases.get(*name).is_some_and(|database| !database.open));
    let (message, sql) = match closed {
        Some(name) => (
            format!(
                "a killed restore{whose} left {name} closed to everybody and {work} unfinished on {place}"
            ),
            format!("{}; {drop}", allow(name)),
        ),
        None => (format!("a killed restore{whose} left the unfinished database {work} on {place}"), drop),
    };
    warning(message, format!("when no restore runs, run there: {sql}"))
}

fn replaced(old: &str, found: &Found, databases: &BTreeMap<String, Found>, place: &str) -> Finding {
    let name = named(&found.comment, MARK_REPLACED);
    let shown = name.unwrap_or("NAME");
    let (quoted, real) = (quote_identifier(old), quote_identifier(shown));
    let back = format!("ALTER DATABASE {quoted} RENAME TO {real}; {}", allow(shown));
    if name.is_some_and(|name| !databases.contains_key(name)) {
        let message = format!("a restore left {shown} under the name {old} on {place}, closed to everybody");
        return warning(message, format!("run there: {back}"));
    }
    let ordinary = match found.template {
        true => format!("ALTER DATABASE {quoted} WITH IS_TEMPLATE false; "),
        false => String::new(),
    };
    let aside = quote_identifier(&format!("{shown}_restored"));
    warning(
        format!("a restore replaced {shown} on {place}, and what it replaced is still there as {old}"),
        format!(
            "if {shown} is good, run there: {ordinary}DROP DATABASE {quoted} WITH (FORCE); to go back: \
             ALTER DATABASE {real} RENAME TO {aside}; {back}"
        ),
    )
}

fn allow(name: &str) -> String {
    format!("ALTER DATABASE {} WITH ALLOW_CONNECTIONS true", quote_identifier(name))
}

fn warning(message: String, hint: String) -> Finding {
    Finding { hint: Some(hint), ..Finding::warning("leftovers", message) }
}
