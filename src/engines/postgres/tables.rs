//! The tables of a database: those that `pg_dump` locks, and what tells two states of one apart.
//!
//! Source: pg_dump.c `getTables` (it locks ordinary and partitioned tables only; views,
//! materialized views, foreign tables and sequences cannot be locked or are not), `selectDumpableNamespace`.

use std::collections::BTreeMap;

use super::connect::Session;
use super::settings::quote_identifier;
use crate::error::Result;

/// A table that a dump reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The OID: a table that was dropped and made again has another one.
    pub oid: u32,
    /// The schema.
    pub schema: String,
    /// The name.
    pub name: String,
    /// True for the root of a partition tree, which holds no rows itself.
    pub partitioned: bool,
    /// True for a table whose rows a standby does not have.
    pub unlogged: bool,
    /// The file of the rows; `TRUNCATE` and rewrites give a new one. 0 for partitioned tables.
    pub filenode: u32,
}

impl Table {
    /// `schema.name`, for messages.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// `"schema"."name"`, for SQL.
    pub fn quoted(&self) -> String {
        format!("{}.{}", quote_identifier(&self.schema), quote_identifier(&self.name))
    }
}

/// Schemas with rows of users: not the system's, not those of temporary tables (`pg_temp_…`).
pub const USER_SCHEMA: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// Lists the tables, ordered by OID. Uses a snapshot, so the holder calls it only after the locks.
pub async fn list(session: &Session) -> Result<Vec<Table>> {
    let sql = format!(
        "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind = 'p', c.relpersistence = 'u', c.relfilenode \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND {USER_SCHEMA} ORDER BY c.oid"
    );
    let rows = session.query(&sql, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| Table {
            oid: row.get(0),
            schema: row.get(1),
            name: row.get(2),
            partitioned: row.get(3),
            unlogged: row.get(4),
            filenode: row.get(5),
        })
        .collect())
}

/// The tables whose rows are in another file now than in the session's snapshot: they were
/// truncated or rewritten in between, and a COPY would give no rows without an error.
///
/// Call it with the tables locked: a session learns of changes by others when it takes a lock.
pub async fn rewritten(session: &Session, tables: &[Table]) -> Result<Vec<String>> {
    let oids: Vec<u32> = tables.iter().filter(|table| !table.partitioned).map(|table| table.oid).collect();
    // pg_relation_filenode looks at the present, the snapshot's pg_class does not.
    let sql =
        "SELECT o.oid, pg_catalog.pg_relation_filenode(o.oid) FROM pg_catalog.unnest($1::oid[]) AS o(oid)";
    let now: BTreeMap<u32, Option<u32>> =
        session.query(sql, &[&oids]).await?.iter().map(|row| (row.get(0), row.get(1))).collect();
    Ok(tables
        .iter()
        .filter(|table| !table.partitioned && table.filenode != 0)
        .filter(|table| now.get(&table.oid).copied().flatten() != Some(table.filenode))
        .map(Table::full_name)
        .collect())
}

/// What changed between two lists, in words; empty when they hold the same tables.
pub fn changes(before: &[Table], after: &[Table]) -> Vec<String> {
    let by_oid = |tables: &[Table]| -> BTreeMap<u32, String> {
        tables.iter().map(|table| (table.oid, table.full_name())).collect()
    };
    let (old, new) = (by_oid(before), by_oid(after));
    let mut words = Vec::new();
    for (oid, name) in &new {
        match old.get(oid) {
            None => words.push(format!("{name} appeared")),
            Some(before) if before != name => words.push(format!("{before} became {name}")),
            Some(_) => {}
        }
    }
    words.extend(
        old.iter().filter(|(oid, _)| !new.contains_key(oid)).map(|(_, name)| format!("{name} vanished")),
    );
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(oid: u32, name: &str) -> Table {
        let (schema, name) = ("public".to_string(), name.to_string());
        Table { oid, schema, name, partitioned: false, unlogged: false, filenode: oid }
    }

    #[test]
    fn changes_are_told_by_oid_and_name() {
        let before = [table(1, "a"), table(2, "b"), table(3, "c")];
        assert!(changes(&before, &before).is_empty());
        let after = [table(1, "a"), table(2, "x"), table(4, "c")];
        assert_eq!(
            changes(&before, &after),
            ["public.b became public.x", "public.c appeared", "public.c vanished"]
        );
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(table(1, "we\"ird").quoted(), "\"public\".\"we\"\"ird\"");
    }
}
