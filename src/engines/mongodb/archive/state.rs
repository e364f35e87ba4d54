//! The definitions that a dump brings back: those of the prelude, after what the oplog did to them.
//!
//! mongodump reads metadata after the oplog's first entry, so an entry may tell what the metadata
//! already have, or be of something that was gone when they were read. Both are as they should be; but
//! what is left at the end without its options is an error.

use std::collections::BTreeMap;

use mongodb::bson::{Bson, Document, RawDocument};

use super::namespace::{BUCKETS, Namespace, VIEWS};
use super::oplog::{Command, Entry, Operation};
use super::prelude::{CollectionKind, Prelude};
use super::timeseries;
use crate::error::{Error, Kind, Result};

/// One collection, view or time series.
#[derive(Debug, Clone, PartialEq)]
pub struct Defined {
    /// What it is.
    pub kind: CollectionKind,
    /// The options, as `listCollections` gives them.
    pub options: Document,
    /// The indexes in the order of their making, `_id_` among them.
    pub indexes: Vec<Document>,
    /// Only changes of it were seen, and not the collection itself.
    unknown: bool,
}

/// All definitions, by name. Time series have their own name, not that of their buckets.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Definitions {
    all: BTreeMap<Namespace, Defined>,
}

impl Definitions {
    /// Those of a prelude. The oplog is not among them.
    pub fn of(prelude: &Prelude) -> Self {
        let mut all = BTreeMap::new();
        for entry in &prelude.entries {
            if let Some(metadata) = &entry.metadata {
                let (kind, unknown) = (entry.shape(), false);
                let (options, indexes) = (metadata.options.clone(), metadata.indexes.clone());
                all.insert(entry.namespace.clone(), Defined { kind, options, indexes, unknown });
            }
        }
        Definitions { all }
    }

    /// One of them.
    pub fn get(&self, namespace: &Namespace) -> Option<&Defined> {
        self.all.get(namespace)
    }

    /// All of them, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&Namespace, &Defined)> {
        self.all.iter()
    }

    /// Fails if the oplog changed something that is neither in the prelude nor was made or dropped later.
    ///
    /// # Errors
    /// [`Kind::Damaged`], with its name.
    pub fn check(&self) -> Result<()> {
        match self.all.iter().find(|(_, defined)| defined.unknown) {
            Some((name, _)) => {
                Err(damaged(format!("the oplog changes {name}, which the dump does not have")))
            }
            None => Ok(()),
        }
    }

    /// Applies what an entry of the oplog does to definitions; most do nothing.
    ///
    /// # Errors
    /// [`Kind::Failed`] for commands that cannot be followed, [`Kind::Damaged`] for malformed ones.
    pub fn apply(&mut self, entry: &Entry<'_>) -> Result<()> {
        match entry.operation {
            Operation::Noop | Operation::Bookkeeping(_) => Ok(()),
            Operation::Insert(document) => self.view(entry, document, Some(document)),
            Operation::Update { change, key } => self.view(entry, key, Some(change)),
            Operation::Delete(key) => self.view(entry, key, None),
            Operation::Command { command, body } => self.command(entry, command, body),
        }
    }

    /// Views are documents of `system.views`.
    fn view(&mut self, entry: &Entry<'_>, key: &RawDocument, document: Option<&RawDocument>) -> Result<()> {
        let Some(name) = entry.view(key) else { return Ok(()) };
        let Some(document) = document else {
            // A time series goes with its buckets.
            if self.all.get(&name).is_some_and(|defined| defined.kind == CollectionKind::View) {
                self.all.remove(&name);
            }
            return Ok(());
        };
        let mut options = owned(document)?;
        let Ok(on) = options.get_str("viewOn") else {
            return Err(unfollowed(entry, &format!("changes the view {name} by a difference")));
        };
        if on.starts_with(BUCKETS) {
            return Ok(());
        }
        options.remove("_id");
        let view = Defined { kind: CollectionKind::View, options, indexes: Vec::new(), unknown: false };
        self.all.insert(name, view);
        Ok(())
    }

    fn command(&mut self, entry: &Entry<'_>, command: Command, body: &RawDocument) -> Result<()> {
        match command {
            Command::ApplyOps => {
                for nested in entry.nested()? {
                    let defines = matches!(nested.operation, Operation::Command { .. });
                    if defines && entry.is_prepared() {
                        return Err(unfollowed(entry, "defines something in a prepared transaction"));
                    }
                    self.apply(&nested)?;
                }
                return Ok(());
            }
            Command::DropDatabase => {
                self.all.retain(|name, _| name.db != entry.db());
                return Ok(());
            }
            Command::RenameCollection => return self.rename(entry, body),
            Command::StartIndexBuild
            | Command::AbortIndexBuild
            | Command::CommitTransaction
            | Command::AbortTransaction
            | Command::EmptyCapped
            | Command::DbCheck
            | Command::TruncateRange
            | Command::SetMultikeyMetadata
            | Command::ShardingIndexCatalog
            | Command::DropIdent => return Ok(()),
            Command::ImportCollection
            | Command::CreateGlobalIndex
            | Command::DropGlobalIndex
            | Command::ViewlessTimeSeries => {
                return Err(unfollowed(entry, &format!("is {command:?}, which cannot be replayed")));
            }
            Command::Create
            | Command::Drop
            | Command::CreateIndexes
            | Command::CommitIndexBuild
            | Command::DropIndexes
            | Command::CollMod
            | Command::ConvertToCapped => {}
        }
        let Some(own) = entry.namespace() else {
            return Err(damaged(format!("{} names no collection", describe(entry))));
        };
        if own.collection == VIEWS && command == Command::Drop {
            self.all.retain(|name, defined| name.db != own.db || defined.kind != CollectionKind::View);
        }
        if !own.is_dumped() {
            return Ok(());
        }
        let buckets = own.time_series().is_some();
        let name = own.time_series().unwrap_or(own);
        let body = owned(body)?;
        match command {
            Command::Create => {
                self.all.insert(name, created(body));
            }
            Command::Drop => {
                self.all.remove(&name);
            }
            Command::CreateIndexes => {
                let spec = body.into_iter().skip(1).collect();
                self.entry(name).add(spec, buckets);
            }
            Command::CommitIndexBuild => {
                let Ok(specs) = body.get_array("indexes") else {
                    return Err(damaged(format!("{} names no indexes", describe(entry))));
                };
                let defined = self.entry(name);
                for spec in specs.iter().filter_map(Bson::as_document) {
                    defined.add(spec.clone(), buckets);
                }
            }
            Command::DropIndexes => match body.get("index") {
                Some(Bson::String(index)) => self.entry(name).remove(index),
                _ => return Err(damaged(format!("{} names no index", describe(entry)))),
            },
            Command::CollMod => {
                let changed = self.entry(name).modify(body);
                changed.map_err(|key| unfollowed(entry, &format!("changes {key:?} by collMod")))?;
            }
            Command::ConvertToCapped => {
                let defined = self.entry(name);
                defined.options.insert("capped", true);
                if let Some(size) = body.get("size") {
                    defined.options.insert("size", size.clone());
                }
                defined.indexes.retain(|index| index.get_str("name").is_ok_and(|name| name == "_id_"));
            }
            // All others have returned above.
            _ => {}
        }
        Ok(())
    }

    fn rename(&mut self, entry: &Entry<'_>, body: &RawDocument) -> Result<()> {
        let name = |key| body.get_str(key).ok().and_then(Namespace::parse);
        let (Some(from), Some(to)) = (name("renameCollection"), name("to")) else {
            return Err(damaged(format!("{} does not name both collections", describe(entry))));
        };
        let logical = |name: Namespace| name.time_series().unwrap_or(name);
        let moved = self.all.remove(&logical(from));
        if let Some(moved) = moved
            && to.is_dumped()
        {
            self.all.insert(logical(to), moved);
        }
        Ok(())
    }

    fn entry(&mut self, name: Namespace) -> &mut Defined {
        self.all.entry(name).or_insert_with(|| Defined {
            kind: CollectionKind::Collection,
            options: Document::new(),
            indexes: Vec::new(),
            unknown: true,
        })
    }
}

/// What a `create` makes.
fn created(body: Document) -> Defined {
    let (mut options, mut indexes) = (Document::new(), Vec::new());
    for (key, value) in body.into_iter().skip(1) {
        match (key.as_str(), value) {
            ("idIndex", Bson::Document(index)) => indexes.push(index),
            (_, value) => {
                options.insert(key, value);
            }
        }
    }
    let kind = if options.contains_key("timeseries") {
        // What its buckets collection has of its own.
        options.remove("validator");
        options.remove("clusteredIndex");
        CollectionKind::TimeSeries
    } else if options.contains_key("viewOn") {
        CollectionKind::View
    } else {
        CollectionKind::Collection
    };
    if let Ok(clustered) = options.get_document("clusteredIndex") {
        let mut index = clustered.clone();
        index.insert("clustered", true);
        indexes.push(index);
    }
    Defined { kind, options, indexes, unknown: false }
}

impl Defined {
    fn add(&mut self, spec: Document, buckets: bool) {
        let spec = match self.options.get_document("timeseries") {
            Ok(options) if buckets => timeseries::logical(&spec, options),
            _ => spec,
        };
        match self.indexes.iter_mut().find(|index| index.get("name") == spec.get("name")) {
            Some(index) => *index = spec,
            None => self.indexes.push(spec),
        }
    }

    /// `*` stands for all but `_id_`.
    fn remove(&mut self, name: &str) {
        let goes = |index: &str| if name == "*" { index != "_id_" } else { index == name };
        self.indexes.retain(|index| !index.get_str("name").is_ok_and(goes));
    }

    /// Applies a `collMod`. Gives back the name of a field that it does not know.
    fn modify(&mut self, body: Document) -> Result<(), String> {
        for (key, value) in body.into_iter().skip(1) {
            match (key.as_str(), value) {
                ("index", Bson::Document(change)) => self.modify_index(change)?,
                ("expireAfterSeconds", Bson::String(off)) if off == "off" => {
                    self.options.remove("expireAfterSeconds");
                }
                ("cappedSize", value) => {
                    self.options.insert("size", value);
                }
                ("cappedMax", value) => {
                    self.options.insert("max", value);
                }
                ("timeseries", Bson::Document(change)) => {
                    if let Ok(options) = self.options.get_document_mut("timeseries") {
                        timeseries::modify(options, change);
                    }
                }
                (
                    "validator"
                    | "validationLevel"
                    | "validationAction"
                    | "viewOn"
                    | "pipeline"
                    | "expireAfterSeconds"
                    | "recordPreImages"
                    | "changeStreamPreAndPostImages",
                    value,
                ) => {
                    self.options.insert(key, value);
                }
                // Of no effect on what `listCollections` gives.
                ("noPadding" | "usePowerOf2Sizes" | "writeConcern" | "comment", _) => {}
                _ => return Err(key),
            }
        }
        Ok(())
    }

    fn modify_index(&mut self, change: Document) -> Result<(), String> {
        let (name, keys) = (change.get("name"), change.get("keyPattern"));
        let found = self.indexes.iter_mut().find(|index| {
            if name.is_some() {
                index.get("name") == name
            } else {
                keys.is_some() && index.get("key") == keys
            }
        });
        // An index that was dropped before the metadata were read.
        let Some(index) = found else { return Ok(()) };
        for (key, value) in change.clone() {
            match key.as_str() {
                "name" | "keyPattern" => {}
                "expireAfterSeconds" => {
                    index.insert(key, value);
                }
                "hidden" | "unique" | "prepareUnique" => {
                    if value == Bson::Boolean(true) {
                        index.insert(key.clone(), true);
                    } else {
                        index.remove(&key);
                    }
                    if key == "unique" {
                        index.remove("prepareUnique");
                    }
                }
                "forceNonUnique" => {
                    index.remove("unique");
                }
                _ => return Err(format!("index.{key}")),
            }
        }
        Ok(())
    }
}

fn owned(document: &RawDocument) -> Result<Document> {
    Document::try_from(document).map_err(|error| damaged(format!("a document of the oplog: {error}")))
}

fn describe(entry: &Entry<'_>) -> String {
    format!("the oplog entry of {}.{} on {}", entry.ts.time, entry.ts.increment, entry.ns)
}

fn damaged(message: String) -> Error {
    Error::new(Kind::Damaged, message)
        .hint("the oplog is damaged and must not be trusted: take a new backup, or use another one")
}

fn unfollowed(entry: &Entry<'_>, what: &str) -> Error {
    Error::new(Kind::Failed, format!("{} {what}", describe(entry)))
        .hint("take the backup again, when nothing of the kind goes on")
}

impl Defined {
    /// One as a server gives it, to be compared.
    pub fn new(kind: CollectionKind, options: Document, indexes: Vec<Document>) -> Self {
        Defined { kind, options, indexes, unknown: false }
    }
}
