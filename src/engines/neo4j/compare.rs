//! Comparing what was restored with what the backup holds: the whole graph is read and counted again.

use std::collections::BTreeMap;

use super::connect::{connect, explain, look};
use super::engine::{Neo4j, resolve};
use super::graph::counting::inventory;
use super::reading::{Output, Reader, Stop};
use crate::engines::{Comparison, Origin, Target};
use crate::error::{Error, Kind, Result};
use crate::pipeline::inventory::{Definition, Inventory, Item};
use crate::pipeline::progress::Progress;

/// The word in an item's plan for one that was counted before the store was stopped.
pub const BEFORE_STOP: &str = "before_stop";

/// The same for one that was counted before an online backup, while the database was written to.
pub const BEFORE_BACKUP: &str = "before_backup";

/// Whether what was counted is a moment older than what is in the backup.
fn is_older(item: &Item) -> bool {
    matches!(item.proof(), Some(BEFORE_STOP | BEFORE_BACKUP))
}

/// Whether an item is a file of a backup, which is not in the restored graph as such.
fn is_file(item: &Item) -> bool {
    [super::offline::STORE, super::enterprise::ARTIFACT].contains(&item.kind.as_str())
}

/// Writes a word into every item's plan.
pub(super) fn mark(inventory: &mut Inventory, proof: &str) {
    for item in &mut inventory.items {
        if !item.plan.is_object() {
            item.plan = serde_json::json!({});
        }
        item.plan["proof"] = proof.into();
    }
}

impl Neo4j {
    /// See [`crate::engines::Engine::compare`].
    pub(super) async fn compare_target(
        &self,
        target: &Target,
        plan: &Inventory,
        origin: &Origin,
        progress: &Progress,
    ) -> Result<Comparison> {
        let uri = resolve(&target.endpoint, &self.settings.host)?;
        let database = target.database.clone().or_else(|| uri.database.clone());
        let uri = uri.with_database(database);
        let mut connection = connect(&uri).await?;
        let server = look(&mut connection, &uri).await?;
        progress.expect_raw(expected(plan));
        let reader = Reader::open(&uri, &server, None, self.readers(), Stop::default()).await?;
        let read = reader.graph(&mut Output::Nowhere(progress)).await?;
        let read = read.ok_or_else(|| Error::new(Kind::Failed, "the reading was stopped"))?;
        let found = inventory(&read.tally, read.statements.iter().map(|s| s.definition()).collect());
        offline(&mut connection, &server.database)
            .await
            .map_err(|cause| explain(&server.shown, cause))
            .and_then(|not_online| match not_online.first() {
                None => Ok(()),
                Some(index) => Err(Error::new(Kind::Damaged, format!("the index {index} is not online"))),
            })?;
        let same_version = origin.server.get("version") == Some(&server.version);
        Ok(compared(plan, &found, same_version))
    }
}

/// About how many bytes of records will come: what is counted of each, with its ids and headers.
fn expected(plan: &Inventory) -> u64 {
    const HEADERS: u64 = 17;
    let graph = plan.items.iter().filter(|item| item.kind != super::offline::STORE);
    graph.map(|item| item.bytes + item.rows * HEADERS).sum()
}

async fn offline(
    connection: &mut crate::bolt::Connection,
    database: &str,
) -> Result<Vec<String>, crate::bolt::Error> {
    const QUERY: &str = "SHOW INDEXES YIELD name, state WHERE state <> 'ONLINE' RETURN name ORDER BY name";
    let rows = super::connect::all(connection, Some(database), QUERY).await?;
    Ok(rows.iter().map(|row| super::connect::text(row, 0)).collect())
}

/// What differs between a backup's inventory and what was found.
fn compared(plan: &Inventory, found: &Inventory, same_version: bool) -> Comparison {
    let mut comparison = Comparison::default();
    let key = |item: &Item| (item.kind.clone(), item.name.clone());
    let mut there: BTreeMap<_, &Item> = found.items.iter().map(|item| (key(item), item)).collect();
    let mut moved = 0;
    let graph = || plan.items.iter().filter(|item| !is_file(item));
    for item in graph() {
        comparison.items += 1;
        let difference = match there.remove(&key(item)) {
            None => Some("is missing".to_owned()),
            Some(found) => item.difference(found),
        };
        let Some(difference) = difference else { continue };
        match is_older(item) {
            // Others wrote after the count: that it differs proves nothing.
            true => moved += 1,
            false => comparison.differences.push(format!("{} {}: {difference}", item.kind, item.name)),
        }
    }
    let unproven = graph().any(is_older);
    // A server that was stopped already could not be counted.
    let uncounted = graph().count() == 0 && plan.items.len() > graph().count();
    for item in there.into_values() {
        match unproven || uncounted {
            true => moved += 1,
            false => comparison.differences.push(format!("{} {} is not in the backup", item.kind, item.name)),
        }
    }
    if unproven {
        comparison.notes.push(format!(
            "the source was written to between its count and its {}: contents cannot be compared exactly ({moved} of \
             {} items differ from the count)",
            if graph().any(|item| item.proof() == Some(BEFORE_BACKUP)) { "backup" } else { "stop" },
            graph().count()
        ));
    }
    if uncounted {
        comparison.notes.push(format!(
            "the source was stopped already when it was dumped, so its graph was not counted: {moved} items were \
             restored, and nothing is there to compare them with"
        ));
        return comparison;
    }
    definitions(plan, found, same_version, &mut comparison);
    comparison
}

fn definitions(plan: &Inventory, found: &Inventory, same_version: bool, comparison: &mut Comparison) {
    let key = |definition: &Definition| (definition.kind.clone(), definition.name.clone());
    let mut there: BTreeMap<_, &Definition> = found.definitions.iter().map(|d| (key(d), d)).collect();
    for definition in &plan.definitions {
        comparison.definitions += 1;
        match there.remove(&key(definition)) {
            None => {
                comparison.differences.push(format!("the {} {} is missing", definition.kind, definition.name))
            }
            Some(found) if found == definition => {}
            Some(_) if !same_version => comparison.notes.push(format!(
                "the {} {} is there; its statement is written differently by this version",
                definition.kind, definition.name
            )),
            Some(_) => comparison
                .differences
                .push(format!("the {} {} is another than in the backup", definition.kind, definition.name)),
        }
    }
    let more = there.into_values().map(|d| format!("the {} {} is not in the backup", d.kind, d.name));
    comparison.differences.extend(more);
}
