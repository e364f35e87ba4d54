//! Reads tables of a restored database through the same digest as the archive's reader.

use futures_util::StreamExt as _;

use super::rows::{Counts, RowStream};
use crate::engines::postgres::archive::inventory::TablePlan;
use crate::engines::postgres::connect::{Session, summary};
use crate::engines::postgres::settings::{quote_identifier, quote_literal};
use crate::error::Result;
use crate::pipeline::inventory::Item;
use crate::pipeline::progress::Progress;

/// A table to read.
#[derive(Debug, Clone)]
pub struct Table {
    /// What the backup holds.
    pub item: Item,
    /// How to read it.
    pub plan: TablePlan,
    /// Its partitions that have items of their own, and are not to be read with it.
    pub without: Vec<(String, String)>,
}

/// Reads a table and tells how it differs; `None`: it does not.
///
/// # Errors
/// [`Kind::Unreachable`](crate::error::Kind::Unreachable) when the session is lost. A statement that
/// fails is a difference: the table is not what it should be.
pub async fn difference(
    session: &Session,
    table: &Table,
    encoding: &str,
    progress: &Progress,
) -> Result<Option<String>> {
    match read(session, &statement(table, encoding), progress).await {
        // The order of columns changes the text of a row, and not its length.
        Ok(Some(counts)) if table.plan.mixed_columns => {
            Ok(differs(&table.item, Counts { digest: table.item.digest, ..counts }))
        }
        Ok(Some(counts)) => Ok(differs(&table.item, counts)),
        Ok(None) => Ok(Some("its last row was cut".to_owned())),
        Err(cause) if session.is_closed() || cause.as_db_error().is_none() => Err(session
            .explain(cause)
            .while_doing(format!("table {} cannot be read in staging", table.item.full_name()))),
        Err(cause) => Ok(Some(format!("it cannot be read: {}", summary(&cause)))),
    }
}

async fn read(
    session: &Session,
    sql: &str,
    progress: &Progress,
) -> Result<Option<Counts>, tokio_postgres::Error> {
    let mut stream = std::pin::pin!(session.client().copy_out(sql).await?);
    let mut rows = RowStream::default();
    while let Some(data) = stream.next().await {
        let data = data?;
        rows.push(&data);
        progress.add_raw(data.len() as u64);
    }
    Ok(rows.finish())
}

/// The statement whose output is the rows as they are in the archive.
///
/// `COPY table` reads that one table without what inherits from it, as `pg_dump` does; partition roots
/// and filters need a SELECT. The encoding is an option of COPY, so that the statement itself may hold
/// any name.
pub fn statement(table: &Table, encoding: &str) -> String {
    let plan = &table.plan;
    let name = qualified(&table.item.schema, &table.item.name);
    let columns: Vec<String> = plan.columns.iter().map(|column| quote_identifier(column)).collect();
    let columns = columns.join(", ");
    let what = if plan.via_root {
        let without = match table.without.as_slice() {
            [] => String::new(),
            leaves => {
                let leaves: Vec<String> = leaves
                    .iter()
                    .map(|(schema, name)| {
                        format!("{}::pg_catalog.regclass", quote_literal(&qualified(schema, name)))
                    })
                    .collect();
                format!(" WHERE tableoid NOT IN ({})", leaves.join(", "))
            }
        };
        format!("(SELECT {columns} FROM {name}{without})")
    } else if let Some(filter) = &plan.filter {
        format!("(SELECT {columns} FROM ONLY {name} {filter})")
    } else if columns.is_empty() {
        name
    } else {
        format!("{name} ({columns})")
    };
    let encoding = if encoding.is_empty() {
        String::new()
    } else {
        format!(" WITH (ENCODING {})", quote_literal(encoding).trim())
    };
    format!("COPY {what} TO STDOUT{encoding}")
}

/// `"schema"."name"`.
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quote_identifier(schema), quote_identifier(name))
}

/// How counts differ from what the backup holds.
pub fn differs(item: &Item, found: Counts) -> Option<String> {
    if found == (Counts { rows: item.rows, bytes: item.bytes, digest: item.digest }) {
        return None;
    }
    let (backup, restored) = (item.rows, found.rows);
    Some(match restored.cmp(&backup) {
        std::cmp::Ordering::Less => {
            format!("{} missing: {backup} in the backup, {restored} restored", rows(backup - restored))
        }
        std::cmp::Ordering::Greater => {
            format!("{} too many: {backup} in the backup, {restored} restored", rows(restored - backup))
        }
        std::cmp::Ordering::Equal => format!(
            "{} as in the backup, but other content (digest {} in the backup, {} restored)",
            rows(backup),
            item.digest,
            found.digest
        ),
    })
}

fn rows(count: u64) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::digest::RowDigest;

    fn table(columns: &[&str]) -> Table {
        let item = Item {
            kind: "table".into(),
            schema: "a b".into(),
            name: "t\"".into(),
            rows: 3,
            bytes: 9,
            digest: RowDigest(7),
            value: None,
            place: None,
            plan: serde_json::Value::Null,
        };
        let plan =
            TablePlan { columns: columns.iter().map(|c| c.to_string()).collect(), ..TablePlan::default() };
        Table { item, plan, without: Vec::new() }
    }

    #[test]
    fn statements_read_what_the_archive_holds() {
        let plain = table(&["id", "Größe"]);
        assert_eq!(
            statement(&plain, "LATIN1"),
            r#"COPY "a b"."t""" ("id", "Größe") TO STDOUT WITH (ENCODING 'LATIN1')"#
        );
        assert_eq!(statement(&table(&[]), ""), r#"COPY "a b"."t""" TO STDOUT"#);
        let mut filtered = table(&["id"]);
        filtered.plan.filter = Some("WHERE custom".into());
        assert_eq!(
            statement(&filtered, ""),
            r#"COPY (SELECT "id" FROM ONLY "a b"."t""" WHERE custom) TO STDOUT"#
        );
        let mut root = table(&["id"]);
        root.plan.via_root = true;
        root.without = vec![("p".into(), "it's".into())];
        assert_eq!(
            statement(&root, ""),
            r#"COPY (SELECT "id" FROM "a b"."t""" WHERE tableoid NOT IN ('"p"."it''s"'::pg_catalog.regclass)) TO STDOUT"#
        );
    }

    #[test]
    fn differences_say_in_which_direction() {
        let item = table(&[]).item;
        let counts = |rows, digest| Counts { rows, bytes: 9, digest: RowDigest(digest) };
        assert_eq!(differs(&item, counts(3, 7)), None);
        assert_eq!(differs(&item, counts(2, 7)).unwrap(), "1 row missing: 3 in the backup, 2 restored");
        assert_eq!(differs(&item, counts(5, 7)).unwrap(), "2 rows too many: 3 in the backup, 5 restored");
        assert!(
            differs(&item, counts(3, 8)).unwrap().starts_with("3 rows as in the backup, but other content")
        );
        let bytes = Counts { bytes: 10, ..counts(3, 7) };
        assert!(differs(&item, bytes).is_some());
    }
}
