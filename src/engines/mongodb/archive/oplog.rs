//! Reads entries of the oplog: what each does, and to which namespaces.
//!
//! Sources: the server's `oplog_entry.idl` and `oplog_entry.h`, mongo-tools' `mongorestore/oplog.go`,
//! and the oplog of a MongoDB 6.0. An operation or command that is not known is an error that names
//! it: to leave one out would restore other data than there was.

use mongodb::bson::{RawBsonRef, RawDocument, Timestamp};

use super::namespace::{Namespace, VIEWS};
use crate::error::{Error, Kind, Result};

/// `applyOps` within `applyOps` deeper than this is no work of a server.
const DEEPEST: usize = 8;

/// One entry, or one operation within an `applyOps`.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// When; an operation within an `applyOps` has that of the entry.
    pub ts: Timestamp,
    /// The term of the primary that wrote it: one more after each election.
    pub term: Option<i64>,
    /// `database.collection`, or `database.$cmd`; empty for some no-ops.
    pub ns: &'a str,
    /// The collection's UUID.
    pub ui: Option<[u8; 16]>,
    /// What is done.
    pub operation: Operation<'a>,
    /// The session, for a write that can be retried or is of a transaction.
    pub lsid: Option<&'a RawDocument>,
    /// The number of the transaction or of the write that can be retried.
    pub txn_number: Option<i64>,
    depth: usize,
}

/// What an entry does.
#[derive(Debug, Clone, Copy)]
pub enum Operation<'a> {
    /// Nothing (`n`).
    Noop,
    /// The server's own bookkeeping, which means nothing elsewhere (`km`, `ci`, `cu`, `cd`).
    Bookkeeping(&'a str),
    /// Inserts a document.
    Insert(&'a RawDocument),
    /// Changes a document: a whole one, or `$v: 2` with a `diff`.
    Update {
        /// The change.
        change: &'a RawDocument,
        /// The `_id` (and shard key) of the document.
        key: &'a RawDocument,
    },
    /// Deletes the document with this `_id` (and shard key).
    Delete(&'a RawDocument),
    /// A command.
    Command {
        /// Which.
        command: Command,
        /// The whole of it; the first key is its name.
        body: &'a RawDocument,
    },
}

/// The commands that an oplog can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Command {
    /// `create`.
    Create,
    /// `drop`.
    Drop,
    /// `dropDatabase`.
    DropDatabase,
    /// `renameCollection`.
    RenameCollection,
    /// `createIndexes`.
    CreateIndexes,
    /// `startIndexBuild`.
    StartIndexBuild,
    /// `commitIndexBuild`.
    CommitIndexBuild,
    /// `abortIndexBuild`.
    AbortIndexBuild,
    /// `dropIndexes`, `deleteIndexes`, `dropIndex`, `deleteIndex`.
    DropIndexes,
    /// `collMod`.
    CollMod,
    /// `convertToCapped`.
    ConvertToCapped,
    /// `emptycapped`.
    EmptyCapped,
    /// `applyOps`.
    ApplyOps,
    /// `commitTransaction`.
    CommitTransaction,
    /// `abortTransaction`.
    AbortTransaction,
    /// `dbCheck`, which changes nothing.
    DbCheck,
    /// `importCollection`.
    ImportCollection,
    /// `modifyCollectionShardingIndexCatalog`.
    ShardingIndexCatalog,
    /// `createGlobalIndex`.
    CreateGlobalIndex,
    /// `dropGlobalIndex`.
    DropGlobalIndex,
    /// `truncateRange`.
    TruncateRange,
    /// `setMultikeyMetadata`, the server's own bookkeeping.
    SetMultikeyMetadata,
    /// `dropIdent`, the server's own bookkeeping.
    DropIdent,
    /// `upgradeDowngradeViewlessTimeseries`.
    ViewlessTimeSeries,
}

/// Every command with its name in the oplog.
const COMMANDS: &[(&str, Command)] = &[
    ("create", Command::Create),
    ("drop", Command::Drop),
    ("dropDatabase", Command::DropDatabase),
    ("renameCollection", Command::RenameCollection),
    ("createIndexes", Command::CreateIndexes),
    ("startIndexBuild", Command::StartIndexBuild),
    ("commitIndexBuild", Command::CommitIndexBuild),
    ("abortIndexBuild", Command::AbortIndexBuild),
    ("dropIndexes", Command::DropIndexes),
    ("deleteIndexes", Command::DropIndexes),
    ("dropIndex", Command::DropIndexes),
    ("deleteIndex", Command::DropIndexes),
    ("collMod", Command::CollMod),
    ("convertToCapped", Command::ConvertToCapped),
    ("emptycapped", Command::EmptyCapped),
    ("applyOps", Command::ApplyOps),
    ("commitTransaction", Command::CommitTransaction),
    ("abortTransaction", Command::AbortTransaction),
    ("dbCheck", Command::DbCheck),
    ("importCollection", Command::ImportCollection),
    ("modifyCollectionShardingIndexCatalog", Command::ShardingIndexCatalog),
    ("createGlobalIndex", Command::CreateGlobalIndex),
    ("dropGlobalIndex", Command::DropGlobalIndex),
    ("truncateRange", Command::TruncateRange),
    ("setMultikeyMetadata", Command::SetMultikeyMetadata),
    ("dropIdent", Command::DropIdent),
    ("upgradeDowngradeViewlessTimeseries", Command::ViewlessTimeSeries),
];

/// What an entry changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Touched {
    /// A collection; a view or time series when its definition changes.
    Namespace(Namespace),
    /// A whole database.
    Database(String),
}

impl<'a> Entry<'a> {
    /// Reads an entry as it is in the oplog.
    ///
    /// # Errors
    /// [`Kind::Damaged`] for what is no entry, [`Kind::Failed`] for an operation or command that is not known.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let entry =
            RawDocument::from_bytes(bytes).map_err(|error| damaged("an entry of the oplog", error))?;
        let ts = match get(entry, "ts", "an entry of the oplog")? {
            Some(RawBsonRef::Timestamp(ts)) => ts,
            _ => return Err(malformed("an entry of the oplog", "it has no ts")),
        };
        Entry::read(entry, ts, 0)
    }

    fn read(entry: &'a RawDocument, ts: Timestamp, depth: usize) -> Result<Self> {
        let whose = format!("the oplog entry of {}.{}", ts.time, ts.increment);
        let text = |key| match get(entry, key, &whose)? {
            Some(RawBsonRef::String(text)) => Ok(text),
            _ => Err(malformed(&whose, &format!("it has no text {key}"))),
        };
        let document = |key| match get(entry, key, &whose)? {
            Some(RawBsonRef::Document(document)) => Ok(document),
            _ => Err(malformed(&whose, &format!("it has no document {key}"))),
        };
        let (op, ns) = (text("op")?, text("ns")?);
        let operation = match op {
            "n" => Operation::Noop,
            "km" | "ci" | "cu" | "cd" => Operation::Bookkeeping(op),
            "i" => Operation::Insert(document("o")?),
            "u" => Operation::Update { change: document("o")?, key: document("o2")? },
            "d" => Operation::Delete(document("o")?),
            "c" => {
                let body = document("o")?;
                Operation::Command { command: command(body, ns, &whose)?, body }
            }
            _ => {
                return Err(Error::new(
                    Kind::Failed,
                    format!("{whose} is of an unknown kind {op:?}, on {ns}"),
                )
                .hint("this version of lifeboat does not know it: update lifeboat"));
            }
        };
        let ui = match get(entry, "ui", &whose)? {
            Some(RawBsonRef::Binary(ui)) => ui.bytes.try_into().ok(),
            _ => None,
        };
        let lsid = match get(entry, "lsid", &whose)? {
            Some(RawBsonRef::Document(lsid)) => Some(lsid),
            _ => None,
        };
        let txn_number = match get(entry, "txnNumber", &whose)? {
            Some(RawBsonRef::Int64(number)) => Some(number),
            _ => None,
        };
        let term = match get(entry, "t", &whose)? {
            Some(RawBsonRef::Int64(term)) => Some(term),
            _ => None,
        };
        Ok(Entry { ts, term, ns, ui, operation, lsid, txn_number, depth })
    }

    /// True for what changes no data and no definition.
    pub fn is_noop(&self) -> bool {
        matches!(self.operation, Operation::Noop)
    }

    /// The namespace of a document, or that which a command names; `None` for commands on databases.
    pub fn namespace(&self) -> Option<Namespace> {
        let own = Namespace::parse(self.ns)?;
        match self.operation {
            Operation::Command { body, .. } => match first(body) {
                Some((_, RawBsonRef::String(collection))) => Some(Namespace::new(own.db, collection)),
                _ => None,
            },
            _ => Some(own),
        }
    }

    /// The database of the entry.
    pub fn db(&self) -> &'a str {
        self.ns.split_once('.').map_or(self.ns, |(db, _)| db)
    }

    /// True for a part of a transaction whose other parts follow (`partialTxn`).
    pub fn is_partial(&self) -> bool {
        self.flag("partialTxn")
    }

    /// True for a transaction that a later entry commits or aborts (`prepare`).
    pub fn is_prepared(&self) -> bool {
        self.flag("prepare")
    }

    fn flag(&self, key: &str) -> bool {
        match self.operation {
            Operation::Command { body, .. } => matches!(body.get(key), Ok(Some(RawBsonRef::Boolean(true)))),
            _ => false,
        }
    }

    /// The operations within an `applyOps`; none for any other entry.
    ///
    /// # Errors
    /// As [`Entry::parse`].
    pub fn nested(&self) -> Result<Vec<Entry<'a>>> {
        let Operation::Command { command: Command::ApplyOps, body } = self.operation else {
            return Ok(Vec::new());
        };
        let whose = format!("the applyOps of {}.{}", self.ts.time, self.ts.increment);
        if self.depth >= DEEPEST {
            return Err(malformed(&whose, "it is nested too deep"));
        }
        let Some((_, RawBsonRef::Array(operations))) = first(body) else {
            return Err(malformed(&whose, "it has no list of operations"));
        };
        let mut nested = Vec::new();
        for operation in operations {
            match operation.map_err(|error| damaged(&whose, error))? {
                RawBsonRef::Document(operation) => {
                    nested.push(Entry::read(operation, self.ts, self.depth + 1)?);
                }
                _ => return Err(malformed(&whose, "an operation is not a document")),
            }
        }
        Ok(nested)
    }

    /// What this entry changes, with all that is nested in it. What a transaction changes is told where it
    /// is written, and not where it is committed.
    ///
    /// # Errors
    /// As [`Entry::parse`].
    pub fn touched(&self) -> Result<Vec<Touched>> {
        let mut touched = Vec::new();
        match self.operation {
            Operation::Noop | Operation::Bookkeeping(_) => {}
            Operation::Insert(key) | Operation::Delete(key) | Operation::Update { key, .. } => {
                touched.extend(Namespace::parse(self.ns).map(Touched::Namespace));
                if let Some(view) = self.view(key) {
                    touched.push(Touched::Namespace(view));
                }
            }
            Operation::Command { command, body } => match command {
                Command::DropDatabase => touched.push(Touched::Database(self.db().to_owned())),
                Command::ApplyOps => {
                    for nested in self.nested()? {
                        touched.extend(nested.touched()?);
                    }
                }
                Command::RenameCollection => {
                    for key in ["renameCollection", "to"] {
                        let name = body.get_str(key).ok().and_then(Namespace::parse);
                        touched.extend(name.map(Touched::Namespace));
                    }
                }
                Command::CommitTransaction
                | Command::AbortTransaction
                | Command::DbCheck
                | Command::SetMultikeyMetadata
                | Command::DropIdent => {}
                Command::Create
                | Command::Drop
                | Command::CreateIndexes
                | Command::StartIndexBuild
                | Command::CommitIndexBuild
                | Command::AbortIndexBuild
                | Command::DropIndexes
                | Command::CollMod
                | Command::ConvertToCapped
                | Command::EmptyCapped
                | Command::ImportCollection
                | Command::ShardingIndexCatalog
                | Command::CreateGlobalIndex
                | Command::DropGlobalIndex
                | Command::TruncateRange
                | Command::ViewlessTimeSeries => match self.namespace() {
                    Some(name) => touched.push(Touched::Namespace(name)),
                    None => touched.push(Touched::Database(self.db().to_owned())),
                },
            },
        }
        Ok(touched)
    }

    /// For a document of `system.views`, told by its `_id`: the view that it defines.
    pub(super) fn view(&self, key: &RawDocument) -> Option<Namespace> {
        let own = Namespace::parse(self.ns)?;
        if own.collection != VIEWS {
            return None;
        }
        Namespace::parse(key.get_str("_id").ok()?)
    }
}

fn command(body: &RawDocument, ns: &str, whose: &str) -> Result<Command> {
    let Some((name, _)) = first(body) else { return Err(malformed(whose, "its command is empty")) };
    match COMMANDS.iter().find(|(known, _)| *known == name) {
        Some((_, command)) => Ok(*command),
        None => Err(Error::new(Kind::Failed, format!("{whose} is an unknown command {name:?}, on {ns}"))
            .hint("this version of lifeboat does not know it: update lifeboat")),
    }
}

fn first(body: &RawDocument) -> Option<(&str, RawBsonRef<'_>)> {
    let (key, value) = body.iter().next()?.ok()?;
    Some((key.as_str(), value))
}

fn get<'a>(document: &'a RawDocument, key: &str, whose: &str) -> Result<Option<RawBsonRef<'a>>> {
    document.get(key).map_err(|error| damaged(whose, error))
}

fn malformed(whose: &str, what: &str) -> Error {
    Error::new(Kind::Damaged, format!("{whose} is not as a server writes it: {what}"))
        .hint("the oplog is damaged and must not be trusted: take a new backup, or use another one")
}

fn damaged(whose: &str, error: impl std::fmt::Display) -> Error {
    malformed(whose, &error.to_string())
}
