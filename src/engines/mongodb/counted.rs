//! What an archive holds, and how each collection of it can be proven: the same at backup and at `verify`.

use std::collections::BTreeSet;

use mongodb::bson::Timestamp;
use serde::{Deserialize, Serialize};

use super::archive::inventory::{self, COLLECTION, OPLOG, TIME_SERIES};
use super::archive::oplog::{Command, Entry, Operation, Touched};
use super::archive::state::Definitions;
use super::archive::{ArchiveReader, CollectionKind, Event, Namespace, Summary};
use crate::error::{Error, Kind, Result};
use crate::pipeline::digest::RowDigest;
use crate::pipeline::inventory::{Inventory, Item, Place};

/// How the content of a restored collection is compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "proof", rename_all = "snake_case")]
pub enum Proof {
    /// With the documents of the archive, which nothing changed while it was made.
    Archive,
    /// With what the source held at the recovery point, read there in a snapshot right after the dump.
    Snapshot {
        /// Documents.
        rows: u64,
        /// Bytes of documents.
        bytes: u64,
        /// Their digest.
        digest: RowDigest,
    },
    /// With the documents of the archive before the captured operations are applied; those are counted.
    Replay {
        /// Why there was no snapshot.
        why: String,
    },
}

/// Follows the oplog of an archive as it passes.
#[derive(Debug, Default)]
pub struct Tally {
    /// The definitions after what was captured.
    pub definitions: Definitions,
    /// What the captured operations changed.
    pub touched: BTreeSet<Namespace>,
    /// The last entry's time: the instant that a replay ends at.
    pub last: Option<Timestamp>,
    /// Entries.
    pub entries: u64,
    /// Where in the archive the oplog begins.
    pub begins: Option<u64>,
    place: Option<usize>,
    announced: BTreeSet<Namespace>,
    /// Transactions of which only a part has come: session and number.
    open: BTreeSet<(Vec<u8>, i64)>,
    changed_under_way: Option<String>,
    /// The term of the primary that wrote the first entry.
    term: Option<i64>,
    elections: bool,
}

impl Tally {
    /// Takes the next event of the archive.
    ///
    /// # Errors
    /// [`Kind::Damaged`] or [`Kind::Failed`] for an entry that cannot be replayed.
    pub fn event(&mut self, event: &Event<'_>) -> Result<()> {
        match *event {
            Event::Prelude { prelude, .. } => {
                self.definitions = Definitions::of(prelude);
                self.place = prelude.oplog();
                self.announced = prelude.entries.iter().map(|entry| entry.namespace.clone()).collect();
            }
            Event::SegmentStart { namespace, at, .. } if Some(namespace) == self.place => {
                self.begins.get_or_insert(at);
            }
            Event::Document { namespace, bytes, .. } if Some(namespace) == self.place => {
                let entry = Entry::parse(bytes)?;
                self.entries += 1;
                self.last = Some(entry.ts);
                if let Some(term) = entry.term {
                    self.elections |= term != *self.term.get_or_insert(term);
                }
                self.entry(&entry)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Result<()> {
        if entry.is_prepared() {
            return Err(Error::new(
                Kind::Failed,
                format!(
                    "a transaction over several shards was under way at {}",
                    super::connect::position(entry.ts)
                ),
            )
            .hint("back the cluster up through mongos, or set options.oplog = \"off\" for this shard"));
        }
        if let (Some(session), Some(number)) = (entry.lsid, entry.txn_number) {
            let transaction = (session.as_bytes().to_vec(), number);
            match entry.is_partial() {
                true => self.open.insert(transaction),
                false => self.open.remove(&transaction),
            };
        }
        self.definitions.apply(entry)?;
        for touched in entry.touched()? {
            match touched {
                Touched::Namespace(name) => {
                    self.touched.insert(name.time_series().unwrap_or(name));
                }
                Touched::Database(_) => {}
            }
        }
        self.watch(entry)
    }

    /// Remembers the first thing that took away what is in the archive.
    fn watch(&mut self, entry: &Entry<'_>) -> Result<()> {
        if self.changed_under_way.is_some() {
            return Ok(());
        }
        for nested in entry.nested()? {
            self.watch(&nested)?;
        }
        let Operation::Command { command, .. } = entry.operation else { return Ok(()) };
        let what = match command {
            Command::Drop => "dropped",
            Command::RenameCollection => "renamed",
            Command::ConvertToCapped => "made a capped collection",
            Command::EmptyCapped => "emptied",
            Command::DropDatabase => {
                if self.announced.iter().any(|name| name.db == entry.db()) {
                    self.changed_under_way = Some(format!("the database {} was dropped", entry.db()));
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        if let Some(name) = entry.namespace().map(|name| name.time_series().unwrap_or(name)) {
            let full = super::archive::Namespace::parse(&name.collection)
                .filter(|_| command == Command::RenameCollection);
            let name = full.unwrap_or(name);
            if self.announced.contains(&name) {
                self.changed_under_way = Some(format!("{name} was {what}"));
            }
        }
        Ok(())
    }

    /// For a backup: what was taken away under way makes it one that nobody asked for.
    ///
    /// # Errors
    /// [`Kind::Failed`] with what it was.
    pub fn check(&self) -> Result<()> {
        if let Some(what) = &self.changed_under_way {
            return Err(Error::new(Kind::Failed, format!("{what} while it was dumped")).hint(
                "take the backup again; leave out what is made and dropped all the time by options.exclude",
            ));
        }
        if self.elections {
            return Err(Error::new(
                Kind::Unreachable,
                "the replica set got another primary while it was dumped: what the former one had not replicated \
                 may be in the dump",
            )
            .hint("take the backup again"));
        }
        if !self.open.is_empty() {
            return Err(Error::new(Kind::Failed, "the captured oplog ends within a transaction")
                .hint("take the backup again"));
        }
        // Nothing is damaged: mongodump notes where the oplog ends before it lists collections, and a server may
        // show an entry before the earlier one that made a collection.
        self.definitions.check().map_err(|error| {
            Error::new(Kind::Failed, error.message())
                .hint("it was made in the instant in which the dump began: take the backup again")
        })
    }

    /// The inventory of a complete archive.
    pub fn inventory(&self, summary: &Summary, place: &dyn Fn(u64) -> Option<Place>) -> Inventory {
        let mut counted = inventory::inventory(summary, &self.definitions, place);
        for name in self.touched.iter().filter(|name| !self.announced.contains(*name)) {
            // Made during the dump: all that it holds comes from the oplog.
            let kind = match self.definitions.get(name).map(|defined| defined.kind) {
                Some(CollectionKind::Collection) => COLLECTION,
                Some(CollectionKind::TimeSeries) => TIME_SERIES,
                Some(CollectionKind::View) | None => continue,
            };
            counted.items.push(Item {
                kind: kind.into(),
                schema: name.db.clone(),
                name: name.collection.clone(),
                rows: 0,
                bytes: 0,
                digest: RowDigest::default(),
                value: None,
                place: None,
                plan: serde_json::Value::Null,
            });
        }
        let capped =
            |defined: &super::archive::state::Defined| defined.options.get_bool("capped").unwrap_or(false);
        if self.definitions.iter().any(|(_, defined)| capped(defined)) {
            counted.settings.insert("capped".to_owned(), "true".to_owned());
        }
        counted.sort();
        counted
    }
}

/// A reader with a tally beside it.
#[derive(Default)]
pub struct Counting {
    /// The reader.
    pub reader: ArchiveReader,
    /// The tally.
    pub tally: Tally,
}

impl Counting {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// Those of reader and tally.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        let tally = &mut self.tally;
        self.reader.feed(bytes, &mut |event| tally.event(&event))
    }
}

/// The proof that an item's plan names; the archive's where it names none.
pub fn proof(item: &Item) -> Proof {
    serde_json::from_value(item.plan.clone()).unwrap_or(Proof::Archive)
}

/// The name of an item's namespace.
pub fn namespace(item: &Item) -> Namespace {
    Namespace::new(&*item.schema, &*item.name)
}

/// True for the item of the oplog itself, which is in no restored server.
pub fn is_oplog(item: &Item) -> bool {
    item.kind == OPLOG
}

/// The collection whose documents an item counts: the buckets for a time series.
pub fn documents_of(item: &Item) -> Namespace {
    let name = namespace(item);
    if item.kind == TIME_SERIES { name.buckets() } else { name }
}
