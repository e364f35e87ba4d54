//! Reading a backup back from the store: are all bytes there, are they those that were written, and do they
//! hold what the inventory says? No server is needed.

use std::collections::{BTreeMap, HashMap};

use crate::catalog::uses::{Use, UseOptions};
use crate::catalog::{BackupId, Catalog, Manifest, Run};
use crate::clock::Clock;
use crate::engines::Engine;
use crate::error::{Error, Kind, Result};
use crate::pipeline::BackupReader;
use crate::pipeline::inventory::{Definition, Inventory, Item};
use crate::pipeline::object::Role;
use crate::pipeline::progress::Progress;

/// Problems of one sort that are named; more are counted.
const NAMED: usize = 20;

/// What verifying a backup found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verified {
    /// Objects looked at.
    pub objects: u64,
    /// Raw bytes of data that were read.
    pub raw_bytes: u64,
    /// Rows that were counted again.
    pub rows: u64,
    /// How long it took.
    pub seconds: f64,
    /// What is not as it should be. Empty: the backup passed.
    pub problems: Vec<String>,
}

/// Reads a backup and compares it with its manifest and inventory. It is marked as in use meanwhile.
///
/// # Errors
/// When the question could not be answered: the store fails, the backup is not there or was removed
/// meanwhile. Damage is no error here but a problem in the answer.
pub async fn verify(
    catalog: &Catalog,
    id: &BackupId,
    engine: &dyn Engine,
    threads: usize,
    progress: &Progress,
    run: &Run,
    clock: Clock,
) -> Result<Verified> {
    let begun = clock.now();
    let (mark, manifest) = Use::begin(catalog, id, run, UseOptions::default(), clock).await?;
    let mut loss = mark.loss();
    let outcome = tokio::select! {
        outcome = read(catalog, &manifest, engine, threads, progress) => outcome,
        lost = loss.wait() => Err(lost),
    };
    let released = mark.release().await;
    let mut verified = outcome?;
    released?;
    verified.seconds = clock.now().since(begun).as_secs_f64();
    Ok(verified)
}

async fn read(
    catalog: &Catalog,
    manifest: &Manifest,
    engine: &dyn Engine,
    threads: usize,
    progress: &Progress,
) -> Result<Verified> {
    let mut verified = Verified {
        objects: manifest.objects.len() as u64,
        raw_bytes: manifest.totals.raw_bytes,
        ..Verified::default()
    };
    progress.phase("sizes");
    verified.problems = sizes(catalog, manifest).await?;
    if !verified.problems.is_empty() {
        // What is missing need not be read to be known as damaged.
        return Ok(verified);
    }
    match contents(catalog, manifest, engine, threads, progress).await {
        Ok((rows, problems)) => {
            verified.rows = rows;
            verified.problems = problems;
        }
        Err(error) if error.kind() == Kind::Damaged => verified.problems.push(error.chain()),
        Err(error) => return Err(error),
    }
    Ok(verified)
}

/// Compares the sizes of all volumes with a listing.
pub(super) async fn sizes(catalog: &Catalog, manifest: &Manifest) -> Result<Vec<String>> {
    let prefix = catalog.keys().data(&manifest.id);
    let entries = catalog.store().list(&prefix).await?;
    let found: HashMap<&str, u64> = entries.iter().map(|entry| (entry.key.as_str(), entry.size)).collect();
    let mut problems = Problems::default();
    for volume in manifest.objects.iter().flat_map(|object| &object.volumes) {
        let key = format!("{prefix}{}", volume.key);
        match found.get(key.as_str()) {
            Some(&bytes) if bytes == volume.bytes => {}
            Some(bytes) => problems.add(format!("{key} has {bytes} bytes instead of {}", volume.bytes)),
            None => problems.add(format!("{key} is missing")),
        }
    }
    Ok(problems.named())
}

/// Reads every object to its end and compares the inventories. Returns the rows and what differs.
async fn contents(
    catalog: &Catalog,
    manifest: &Manifest,
    engine: &dyn Engine,
    threads: usize,
    progress: &Progress,
) -> Result<(u64, Vec<String>)> {
    let prefix = catalog.keys().data(&manifest.id);
    let objects = manifest.objects.clone();
    let reader =
        BackupReader::open(catalog.store().clone(), prefix, objects, threads, progress.clone()).await?;
    let stored = reader.inventory().await?;
    progress.phase("count");
    let before = progress.stored();
    let counted = engine.recount(&reader).await?;
    let read = progress.stored() - before;
    progress.phase("objects");
    let dumps: u64 = reader.objects().iter().filter(|o| o.role == Role::Dump).map(|o| o.stored_bytes).sum();
    for object in reader.objects() {
        match object.role {
            // The reader has verified both.
            Role::Inventory | Role::Frames => {}
            // The engine has verified it, if it read it at all.
            Role::Dump if read >= dumps => {}
            Role::Dump | Role::Globals | Role::Other => drop(reader.stream(&object.name)?.drain().await?),
        }
    }
    let totals = counted.totals();
    let mut problems = differences(&stored, &counted);
    let promised = &manifest.totals;
    if (totals.items, totals.rows) != (promised.items, promised.rows) {
        problems.push(format!(
            "the backup holds {} items with {} rows, its manifest says {} with {}",
            totals.items, totals.rows, promised.items, promised.rows
        ));
    }
    Ok((totals.rows, problems))
}

/// What a count says differently from the inventory that was stored.
pub fn differences(stored: &Inventory, counted: &Inventory) -> Vec<String> {
    let mut problems = Problems::default();
    let mut left: BTreeMap<_, &Item> = stored.items.iter().map(|item| (key(item), item)).collect();
    for item in &counted.items {
        match left.remove(&key(item)) {
            None => problems.add(format!("{} {} is not in the inventory", item.kind, item.full_name())),
            Some(promised) => difference(promised, item).into_iter().for_each(|text| problems.add(text)),
        }
    }
    for item in left.values() {
        problems.add(format!("{} {} is not in the data", item.kind, item.full_name()));
    }
    let mut texts = problems.named();
    let mut problems = Problems::default();
    let only_in = |a: &'_ [Definition], b: &[Definition]| -> Vec<Definition> {
        a.iter().filter(|definition| b.binary_search(definition).is_err()).cloned().collect()
    };
    let (mut one, mut other) = (stored.definitions.clone(), counted.definitions.clone());
    one.sort();
    other.sort();
    for definition in only_in(&one, &other) {
        problems.add(format!(
            "the definition of {} {} is not as in the inventory",
            definition.kind, definition.name
        ));
    }
    for definition in only_in(&other, &one) {
        problems.add(format!(
            "the definition of {} {} is not in the inventory",
            definition.kind, definition.name
        ));
    }
    texts.extend(problems.named());
    texts
}

fn key(item: &Item) -> (&str, &str, &str) {
    (&item.kind, &item.schema, &item.name)
}

fn difference(promised: &Item, found: &Item) -> Option<String> {
    let name = format!("{} {}", found.kind, found.full_name());
    if promised.rows != found.rows {
        return Some(format!("{name} has {} rows instead of {}", found.rows, promised.rows));
    }
    if promised.bytes != found.bytes {
        return Some(format!("{name} has {} bytes of content instead of {}", found.bytes, promised.bytes));
    }
    if promised.digest != found.digest {
        return Some(format!(
            "the rows of {name} have the digest {} instead of {}",
            found.digest, promised.digest
        ));
    }
    if promised.value != found.value {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        return Some(format!("{name} is {} instead of {}", text(&found.value), text(&promised.value)));
    }
    None
}

/// Problems of one sort; the first [`NAMED`] are kept, the others counted.
#[derive(Default)]
struct Problems {
    texts: Vec<String>,
    more: u64,
}

impl Problems {
    fn add(&mut self, text: String) {
        if self.texts.len() < NAMED {
            self.texts.push(text);
        } else {
            self.more += 1;
        }
    }

    fn named(mut self) -> Vec<String> {
        if self.more > 0 {
            self.texts.push(format!("and {} more", self.more));
        }
        self.texts
    }
}

/// The error of a backup that did not pass.
pub fn failed(id: &BackupId, verified: &Verified) -> Error {
    let first = verified.problems.first().map_or("", String::as_str);
    let more = match verified.problems.len() {
        0 | 1 => String::new(),
        n => format!(" ({} problems in all)", n),
    };
    Error::new(Kind::Damaged, format!("backup {id} is not what was written: {first}{more}"))
        .hint("restore another backup (`lifeboat list`), and look for the cause in the store")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::digest::RowDigest;

    fn item(name: &str, rows: u64) -> Item {
        Item {
            kind: "table".into(),
            schema: "public".into(),
            name: name.into(),
            rows,
            bytes: rows * 10,
            digest: RowDigest(u128::from(rows)),
            value: None,
            place: None,
            plan: serde_json::Value::Null,
        }
    }

    fn inventory(items: Vec<Item>) -> Inventory {
        Inventory { items, ..Inventory::default() }
    }

    #[test]
    fn equal_inventories_do_not_differ() {
        let one = inventory(vec![item("a", 1), item("b", 2)]);
        assert!(differences(&one, &one).is_empty());
    }

    #[test]
    fn every_kind_of_difference_is_told() {
        let stored = inventory(vec![item("a", 1), item("b", 2), item("c", 3), item("d", 4), item("e", 5)]);
        let counted = inventory(vec![
            item("a", 2),
            Item { digest: RowDigest(9), ..item("b", 2) },
            Item { bytes: 1, ..item("c", 3) },
            Item { value: Some("7".into()), ..item("d", 4) },
            item("x", 1),
        ]);
        let found = differences(&stored, &counted);
        let parts = [
            "2 rows instead of 1",
            "digest",
            "1 bytes of content",
            "is 7 instead of nothing",
            "x is not in the inventory",
            "e is not in the data",
        ];
        assert_eq!(found.len(), parts.len(), "{found:?}");
        for (text, part) in found.iter().zip(parts) {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_changed_definition_is_told() {
        let definition = |text| Definition {
            kind: "INDEX".into(),
            schema: "public".into(),
            name: "by_time".into(),
            parent: "a".into(),
            owner: String::new(),
            text: RowDigest(text),
        };
        let with = |text| Inventory { definitions: vec![definition(text)], ..Inventory::default() };
        assert!(differences(&with(1), &with(1)).is_empty());
        assert_eq!(differences(&with(1), &with(2)).len(), 2);
    }

    #[test]
    fn thousands_of_problems_are_counted() {
        let stored = inventory((0..5000).map(|n| item(&format!("t{n:04}"), 1)).collect());
        let found = differences(&stored, &inventory(vec![]));
        assert_eq!(found.len(), NAMED + 1);
        assert_eq!(found.last().unwrap(), "and 4980 more");
    }
}
