//! Counts a restored database after the backup's own inventory, and tells every difference.
//!
//! Tables are read in parallel, through the same row digest as the archive's reader, with the same
//! pinned settings and in the archive's encoding. Definitions are those of a `pg_dump --schema-only` of
//! the restored database. Nothing is written; memory does not grow with the data.

pub mod definitions;
mod dump;
mod large_objects;
mod names;
mod relations;
mod rows;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use futures_util::future::try_join_all;

use super::archive::inventory::{LARGE_OBJECTS, MATERIALIZED_VIEW, SEQUENCE, TABLE, TablePlan};
use super::connect::{Session, connect};
use super::resolve::Connection;
use crate::engines::Comparison;
use crate::error::{Error, Explain, Kind, Result};
use crate::pipeline::digest::RowDigest;
use crate::pipeline::inventory::{Inventory, Item};
use crate::pipeline::progress::Progress;
use relations::{Name, Relation};
use rows::Counts;
use tables::Table;

/// What a comparison is done with.
#[derive(Debug, Clone)]
pub struct Means {
    /// The `pg_dump` to read definitions with: of the version that made the backup, if it is installed.
    pub pg_dump: PathBuf,
    /// The `pg_dump` and the server are of the backup's own major versions, so that the texts of
    /// definitions must be the same.
    pub same_tools: bool,
    /// Sessions that read at once, at least 1.
    pub readers: usize,
    /// The environment of the process, of which children get what they need.
    pub environment: BTreeMap<String, String>,
}

/// Compares the database of a connection with an inventory.
///
/// # Errors
/// [`Kind::Unreachable`] when the database cannot be asked; [`Kind::Damaged`] when the inventory is not
/// one of this engine. What is not as it should be is a difference, not an error.
pub async fn compare(
    connection: &Connection,
    backup: &Inventory,
    means: &Means,
    progress: &Progress,
) -> Result<Comparison> {
    progress.expect_raw(backup.totals().bytes);
    let session = connect(connection).await?;
    session.pin_settings(None).await?;
    let relations = relations::list(&session).await?;
    let backup = &names::readable(&session, backup).await?;

    let mut comparison = Comparison { items: backup.items.len() as u64, ..Comparison::default() };
    let differences = &mut comparison.differences;
    let tables = plan_tables(&session, backup, &relations, differences).await?;
    compare_values(&session, backup, &relations, differences).await?;
    without_items(&session, backup, &relations, &tables, differences).await?;

    comparison.notes.extend(tables.iter().filter(|table| table.plan.mixed_columns).map(|table| {
        format!(
            "{} is loaded through its root from partitions with other orders of columns: rows and bytes are compared, \
             not their digest",
            table.item.full_name()
        )
    }));
    let queue = Queue::new(tables);
    let readers = means.readers.max(1).min(queue.len().max(1));
    let reading =
        try_join_all((0..readers).map(|_| read_tables(connection, &queue, &backup.encoding, progress)));
    let objects = compare_large_objects(&session, backup, progress);
    let dumping = dump::definitions(connection, session.version(), means);
    let (found, objects, restored) = futures_util::try_join!(reading, objects, dumping)?;
    let mut found: Vec<String> = found.into_iter().flatten().collect();
    found.sort();
    comparison.differences.extend(found);
    comparison.differences.extend(objects);

    let outcome = definitions::compare(&backup.definitions, &restored);
    comparison.definitions = outcome.compared;
    comparison.differences.extend(outcome.differences);
    comparison.differences.extend(definitions::invalid_indexes(&session).await?);
    let not_valid = definitions::not_valid(&session).await?;
    let (wrong, notes) =
        definitions::judge_not_valid(&not_valid, &backup.definitions, &outcome.other_text, means.same_tools);
    comparison.differences.extend(wrong);
    comparison.notes.extend(notes);
    comparison.notes.extend(text_notes(&outcome.other_text, means.same_tools));
    session.close().await?;
    Ok(comparison)
}

/// Texts differ between versions; between the same ones somebody should know.
fn text_notes(other_text: &[(String, String, String)], same_tools: bool) -> Vec<String> {
    const MOST: usize = 20;
    if !same_tools {
        return Vec::new();
    }
    let name = |(kind, schema, name): &(String, String, String)| {
        let dot = if schema.is_empty() { "" } else { "." };
        format!("the text of {} {schema}{dot}{name} is not as in the backup", kind.to_lowercase())
    };
    let mut notes: Vec<String> = other_text.iter().take(MOST).map(name).collect();
    if other_text.len() > MOST {
        notes.push(format!("{} more definitions have another text", other_text.len() - MOST));
    }
    notes
}

fn items<'a>(backup: &'a Inventory, kind: &'a str) -> impl Iterator<Item = &'a Item> {
    backup.items.iter().filter(move |item| item.kind == kind)
}

fn name_of(item: &Item) -> Name {
    (item.schema.clone(), item.name.clone())
}

/// The tables to read, largest first.
async fn plan_tables(
    session: &Session,
    backup: &Inventory,
    relations: &BTreeMap<Name, Relation>,
    differences: &mut Vec<String>,
) -> Result<Vec<Table>> {
    let own: BTreeSet<Name> = items(backup, TABLE).map(name_of).collect();
    let mut tables = Vec::new();
    for item in items(backup, TABLE) {
        let plan: TablePlan = serde_json::from_value(item.plan.clone()).explain(Kind::Damaged, || {
            format!("the inventory does not say how to read table {}", item.full_name())
        })?;
        let name = name_of(item);
        let kind = relations.get(&name).map(|relation| relation.kind);
        if !matches!(kind, Some('r' | 'p')) {
            differences.push(format!(
                "table {} with {} rows is in the backup, but was not restored",
                item.full_name(),
                item.rows
            ));
            continue;
        }
        let mut without = Vec::new();
        if plan.via_root {
            without = relations::partitions(session, &name).await?;
            without.retain(|leaf| own.contains(leaf));
        }
        tables.push(Table { item: item.clone(), plan, without });
    }
    tables.sort_by_key(|table| table.item.bytes);
    Ok(tables)
}

/// Compares what has a value in place of rows.
async fn compare_values(
    session: &Session,
    backup: &Inventory,
    relations: &BTreeMap<Name, Relation>,
    differences: &mut Vec<String>,
) -> Result<()> {
    let mut sequences = Vec::new();
    for item in items(backup, SEQUENCE).chain(items(backup, MATERIALIZED_VIEW)) {
        let wanted = if item.kind == SEQUENCE { 'S' } else { 'm' };
        match relations.get(&name_of(item)) {
            Some(relation) if relation.kind == wanted && wanted == 'S' => sequences.push(item),
            Some(relation) if relation.kind == wanted => {
                let found = relations::view_value(relation);
                if item.value.as_deref() != Some(found) {
                    differences.push(value_differs(item, found));
                }
            }
            _ => differences.push(format!(
                "{} {} is in the backup, but was not restored",
                item.kind.replace('_', " "),
                item.full_name()
            )),
        }
    }
    let names: Vec<Name> = sequences.iter().map(|item| name_of(item)).collect();
    let values = relations::sequence_values(session, &names).await?;
    for (item, found) in sequences.iter().zip(&values) {
        if item.value.as_deref() != Some(found) {
            differences.push(value_differs(item, found));
        }
    }
    Ok(())
}

fn value_differs(item: &Item, found: &str) -> String {
    format!(
        "{} {}: {} in the backup, {found} restored",
        item.kind.replace('_', " "),
        item.full_name(),
        item.value.as_deref().unwrap_or("no value")
    )
}

/// Tables of which the backup has no data must have no rows: not those of extensions, which bring their
/// own rows, and not partitions that are read through their root.
async fn without_items(
    session: &Session,
    backup: &Inventory,
    relations: &BTreeMap<Name, Relation>,
    tables: &[Table],
    differences: &mut Vec<String>,
) -> Result<()> {
    let mut known: BTreeSet<Name> = items(backup, TABLE).map(name_of).collect();
    for table in tables.iter().filter(|table| table.plan.via_root) {
        known.extend(relations::partitions(session, &name_of(&table.item)).await?);
    }
    let other: Vec<Name> = relations
        .iter()
        .filter(|(name, relation)| relation.kind == 'r' && !relation.extension && !known.contains(*name))
        .map(|(name, _)| name.clone())
        .collect();
    let filled = relations::have_rows(session, &other).await?;
    for ((schema, name), _) in other.iter().zip(filled).filter(|(_, filled)| *filled) {
        differences.push(format!("table {schema}.{name} has rows, and the backup has none of it"));
    }
    Ok(())
}

/// Tables that are still to be read; the largest is taken first.
struct Queue(Mutex<Vec<Table>>);

impl Queue {
    fn new(tables: Vec<Table>) -> Self {
        Queue(Mutex::new(tables))
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn next(&self) -> Option<Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

async fn read_tables(
    connection: &Connection,
    queue: &Queue,
    encoding: &str,
    progress: &Progress,
) -> Result<Vec<String>> {
    let mut differences = Vec::new();
    let mut session = None;
    while let Some(table) = queue.next() {
        let session = match &session {
            Some(session) => session,
            None => {
                let opened = connect(connection).await?;
                opened.pin_settings(None).await?;
                session.insert(opened)
            }
        };
        if let Some(how) = tables::difference(session, &table, encoding, progress).await? {
            differences.push(format!("table {}: {how}", table.item.full_name()));
        }
    }
    if let Some(session) = session {
        session.close().await?;
    }
    Ok(differences)
}

async fn compare_large_objects(
    session: &Session,
    backup: &Inventory,
    progress: &Progress,
) -> Result<Vec<String>> {
    let item = items(backup, LARGE_OBJECTS).next();
    let (rows, bytes, digest) =
        item.map_or((0, 0, RowDigest::default()), |item| (item.rows, item.bytes, item.digest));
    let found = large_objects::sum(session, progress).await?;
    if found == (Counts { rows, bytes, digest }) {
        return Ok(Vec::new());
    }
    let mut text = format!("large objects: {rows} in the backup, {} restored", found.rows);
    if rows == found.rows {
        text.push_str(&format!(
            ", with other content ({bytes} bytes in the backup, {} restored)",
            found.bytes
        ));
    }
    Ok(vec![text])
}

/// The readers to use: one for each thread that the process may use, and not so many that a small
/// staging server has no connection left.
pub fn readers(threads: usize) -> usize {
    threads.clamp(1, 16)
}

fn damaged_dump(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Kind::Failed, "the definitions of the restored database cannot be read")
        .because(cause)
        .hint("run the drill again; if it stays, run pg_dump --schema-only on the staging server by hand")
}
