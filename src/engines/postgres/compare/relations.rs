//! What relations a restored database has, and their values that are compared as they are.

use std::collections::BTreeMap;

use super::tables::qualified;
use crate::engines::postgres::archive::inventory::{NOT_POPULATED, POPULATED};
use crate::engines::postgres::connect::Session;
use crate::error::Result;

/// As many relations are asked about in one statement.
const BATCH: usize = 200;

/// Schema and name.
pub type Name = (String, String);

/// A relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// `pg_class.relkind`: `r` table, `p` partition root, `m` materialized view, `S` sequence.
    pub kind: char,
    /// A materialized view can be read.
    pub populated: bool,
    /// Made by an extension.
    pub extension: bool,
}

/// All tables, partition roots, materialized views and sequences that are not the system's, and what
/// extensions keep in the system's schema and have dumped (their configuration).
///
/// # Errors
/// Those of the session.
pub async fn list(session: &Session) -> Result<BTreeMap<Name, Relation>> {
    let sql = "SELECT n.nspname::text, c.relname::text, c.relkind::text, c.relispopulated, \
               EXISTS (SELECT 1 FROM pg_catalog.pg_depend d \
                       WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
                         AND d.objid = c.oid AND d.deptype = 'e') \
               FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relkind IN ('r', 'p', 'm', 'S') \
                 AND (n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
                      OR EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE c.oid = ANY (e.extconfig)))";
    let rows = session.query(sql, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| {
            let kind: String = row.get(2);
            let relation = Relation {
                kind: kind.chars().next().unwrap_or(' '),
                populated: row.get(3),
                extension: row.get(4),
            };
            ((row.get(0), row.get(1)), relation)
        })
        .collect())
}

/// The partitions under a root, at any depth.
///
/// # Errors
/// Those of the session.
pub async fn partitions(session: &Session, root: &Name) -> Result<Vec<Name>> {
    let sql = "WITH RECURSIVE below AS ( \
                 SELECT i.inhrelid FROM pg_catalog.pg_inherits i \
                   JOIN pg_catalog.pg_class c ON c.oid = i.inhparent \
                   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                  WHERE n.nspname::text = $1 AND c.relname::text = $2 AND c.relkind = 'p' \
                 UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN below b ON i.inhparent = b.inhrelid) \
               SELECT n.nspname::text, c.relname::text FROM below b \
                 JOIN pg_catalog.pg_class c ON c.oid = b.inhrelid \
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";
    let rows = session.query(sql, &[&root.0, &root.1]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The values of sequences in the archive's form: `last_value,is_called` with `t` or `f`.
///
/// # Errors
/// Those of the session.
pub async fn sequence_values(session: &Session, names: &[Name]) -> Result<Vec<String>> {
    let ask = |name: &str| {
        format!("SELECT last_value::text || CASE WHEN is_called THEN ',t' ELSE ',f' END FROM {name}")
    };
    ask_each(session, names, ask).await
}

/// Whether each table has any row of its own.
///
/// # Errors
/// Those of the session.
pub async fn have_rows(session: &Session, names: &[Name]) -> Result<Vec<bool>> {
    let ask = |name: &str| format!("SELECT CASE WHEN EXISTS (SELECT FROM ONLY {name}) THEN 't' ELSE 'f' END");
    Ok(ask_each(session, names, ask).await?.iter().map(|answer| answer == "t").collect())
}

async fn ask_each(session: &Session, names: &[Name], ask: impl Fn(&str) -> String) -> Result<Vec<String>> {
    let mut answers = Vec::with_capacity(names.len());
    for batch in names.chunks(BATCH) {
        let parts: Vec<String> = batch
            .iter()
            .enumerate()
            .map(|(index, (schema, name))| format!("SELECT {index}, ({})", ask(&qualified(schema, name))))
            .collect();
        let sql = format!("{} ORDER BY 1", parts.join(" UNION ALL "));
        answers.extend(session.query(&sql, &[]).await?.iter().map(|row| row.get::<_, String>(1)));
    }
    Ok(answers)
}

/// The value of a materialized view in the archive's form.
pub fn view_value(relation: &Relation) -> &'static str {
    if relation.populated { POPULATED } else { NOT_POPULATED }
}
