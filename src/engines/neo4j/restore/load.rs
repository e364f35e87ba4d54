//! The rows of an export into a database, in batches over Bolt.
//!
//! Labels and types are given as values (`CREATE (n:$(labels))`, Neo4j 5.26 and newer); for older servers rows are
//! grouped by label set or type, and those are written into the statement. While the server works on a batch, the
//! next one is read from the store.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::bolt::packstream::{Encoder, Value};
use crate::bolt::{self, Connection, Params};
use crate::engines::neo4j::connect::{Server, explain, writing};
use crate::engines::neo4j::graph::ids::Ids;
use crate::engines::neo4j::graph::row::{Node, Relationship};
use crate::engines::neo4j::graph::tally::in_statement;
use crate::engines::neo4j::reading::{Stop, cypher};
use crate::error::{Error, Kind, Result};

/// Rows of a batch at most; more make a transaction slow, fewer make round trips count.
const ROWS: usize = 5_000;

/// Bytes of rows after which a batch is sent: the server holds some times as much on its heap.
const BYTES: usize = 2 << 20;

/// Batches that are full and wait for the server.
const WAITING: usize = 1;

/// How often a batch that failed for a passing reason is tried again.
const TRIES: u32 = 5;

/// The version of Neo4j that takes labels and types as values (Cypher manual, "Dynamic node labels").
const DYNAMIC: (u32, u32) = (5, 26);

/// What the rows of a batch are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Nodes,
    Relationships,
}

/// Rows for one statement.
#[derive(Debug)]
struct Batch {
    what: What,
    /// The labels or the type that the statement has to name; `None`: they are in the rows.
    named: Option<String>,
    /// PackStream lists, one behind the other: records as they are in the export.
    rows: Vec<u8>,
    count: usize,
}

/// Rows that wait to be enough for a batch.
#[derive(Debug, Default)]
struct Group {
    rows: Vec<u8>,
    count: usize,
}

/// Gathers rows, and sends them.
#[derive(Debug)]
pub struct Loader {
    dynamic: bool,
    what: What,
    groups: HashMap<String, Group>,
    bytes: usize,
    full: Vec<Batch>,
    batches: mpsc::Sender<Batch>,
}

/// What was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loaded {
    /// Nodes.
    pub nodes: u64,
    /// Relationships.
    pub relationships: u64,
}

/// The other end: has a connection to itself.
#[derive(Debug)]
pub struct Worker {
    connection: Connection,
    server: Server,
    database: Option<String>,
    batches: mpsc::Receiver<Batch>,
    stop: Stop,
    /// From the ids of the export to those of the target, plus 1.
    ids: Ids<u64>,
    loaded: Loaded,
}

/// Makes the two ends. Once `stop` is raised, the worker ends with the batch that it is at.
pub fn pair(
    connection: Connection,
    server: &Server,
    database: Option<String>,
    stop: Stop,
) -> (Loader, Worker) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let loader = Loader {
        dynamic: server.major_minor().is_some_and(|version| version >= DYNAMIC),
        what: What::Nodes,
        groups: HashMap::new(),
        bytes: 0,
        full: Vec::new(),
        batches: sender,
    };
    let worker = Worker {
        connection,
        server: server.clone(),
        database,
        batches: receiver,
        stop,
        ids: Ids::default(),
        loaded: Loaded::default(),
    };
    (loader, worker)
}

impl Loader {
    /// Takes a node.
    ///
    /// # Errors
    /// [`Kind::Damaged`] for one that cannot be read.
    pub fn node(&mut self, node: &Node<'_>, record: &[u8]) -> Result<()> {
        let group = match self.dynamic {
            true => String::new(),
            false => node.sorted_labels()?.iter().map(|label| format!(":{}", in_statement(label))).collect(),
        };
        self.row(group, record);
        Ok(())
    }

    /// Takes a relationship. All nodes have come by then.
    ///
    /// # Errors
    /// [`Kind::Damaged`] for one that cannot be read.
    pub fn relationship(&mut self, relationship: &Relationship<'_>) -> Result<()> {
        if self.what == What::Nodes {
            self.all_full();
            self.what = What::Relationships;
        }
        let group = match self.dynamic {
            true => String::new(),
            false => format!(":{}", in_statement(relationship.type_name()?)),
        };
        let mut record = Vec::with_capacity(relationship.properties.len() + relationship.kind.len() + 20);
        let mut encoder = Encoder::new(&mut record);
        encoder.list_header(4);
        for id in [relationship.start, relationship.end] {
            encoder.int(i64::try_from(id).unwrap_or(i64::MAX));
        }
        encoder.raw(relationship.kind).raw(relationship.properties);
        self.row(group, &record);
        Ok(())
    }

    fn row(&mut self, name: String, record: &[u8]) {
        let group = self.groups.entry(name.clone()).or_default();
        group.rows.extend_from_slice(record);
        group.count += 1;
        self.bytes += record.len();
        if group.count >= ROWS || group.rows.len() >= BYTES {
            self.one_full(&name);
        } else if self.bytes >= 2 * BYTES {
            // Many small groups: the largest goes first, so that memory stays bounded.
            let largest = self.groups.iter().max_by_key(|(_, group)| group.rows.len());
            if let Some(name) = largest.map(|(name, _)| name.clone()) {
                self.one_full(&name);
            }
        }
    }

    fn one_full(&mut self, name: &str) {
        if let Some(group) = self.groups.remove(name) {
            self.bytes -= group.rows.len();
            let named = (!self.dynamic).then(|| name.to_owned());
            self.full.push(Batch { what: self.what, named, rows: group.rows, count: group.count });
        }
    }

    fn all_full(&mut self) {
        let names: Vec<String> = self.groups.keys().cloned().collect();
        names.iter().for_each(|name| self.one_full(name));
    }

    /// Sends what is enough for a batch. Waits while the server is behind; false when the worker has failed.
    pub async fn push(&mut self) -> bool {
        for batch in std::mem::take(&mut self.full) {
            if self.batches.send(batch).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Sends the rest.
    pub async fn finish(mut self) {
        self.all_full();
        self.push().await;
    }
}

impl Worker {
    /// Loads what comes, until the loader is finished.
    ///
    /// # Errors
    /// Those of [`explain`]; [`Kind::Failed`] when the server made fewer than it was given.
    pub async fn run(mut self) -> Result<Loaded> {
        while let Some(batch) = self.batches.recv().await {
            if self.stop.is_raised() {
                return Err(Error::new(Kind::Failed, "the restore was given up"));
            }
            match batch.what {
                What::Nodes => self.nodes(batch).await?,
                What::Relationships => self.relationships(batch).await?,
            }
        }
        Ok(self.loaded)
    }

    async fn nodes(&mut self, batch: Batch) -> Result<()> {
        let labels = batch.named.as_deref().unwrap_or(":$(row[1])");
        let statement = format!("UNWIND $rows AS row CREATE (n{labels}) SET n = row[2] RETURN row[0], id(n)");
        let answer = self.rows(&statement, &batch.rows, batch.count).await?;
        let mut made = 0;
        for row in &answer {
            let id =
                |column: usize| row.get(column).and_then(Value::as_int).and_then(|id| u64::try_from(id).ok());
            if let (Some(from), Some(to)) = (id(0), id(1)) {
                made += u64::from(self.ids.insert(from, to + 1));
            }
        }
        self.check(made, batch.count, "nodes")?;
        self.loaded.nodes += made;
        Ok(())
    }

    async fn relationships(&mut self, batch: Batch) -> Result<()> {
        let mut rows = Vec::with_capacity(batch.rows.len() + batch.count * 8);
        let mut rest = batch.rows.as_slice();
        while !rest.is_empty() {
            let used = self.translate(rest, &mut rows)?;
            rest = &rest[used..];
        }
        let kind = batch.named.as_deref().unwrap_or(":$(row[2])");
        let statement = format!(
            "UNWIND $rows AS row MATCH (a) WHERE id(a) = row[0] MATCH (b) WHERE id(b) = row[1] \
             CREATE (a)-[r{kind}]->(b) SET r = row[3] RETURN count(r)"
        );
        let answer = self.rows(&statement, &rows, batch.count).await?;
        let made = answer.first().and_then(|row| row.first()?.as_int()).unwrap_or_default();
        let made = u64::try_from(made).unwrap_or_default();
        self.check(made, batch.count, "relationships")?;
        self.loaded.relationships += made;
        Ok(())
    }

    /// Writes one row with the ids of the target. Returns how long the row was.
    fn translate(&self, row: &[u8], out: &mut Vec<u8>) -> Result<usize> {
        let read = || -> bolt::packstream::Result<_> {
            let mut reader = bolt::packstream::Reader::new(row);
            reader.list()?;
            let ends = (reader.int()?, reader.int()?);
            let (kind, properties) = (reader.skip()?, reader.skip()?);
            Ok((ends, kind, properties, reader.position()))
        };
        let ((start, end), kind, properties, length) = read()
            .map_err(|cause| Error::new(Kind::Failed, "a row in the making cannot be read").because(cause))?;
        let mut encoder = Encoder::new(out);
        encoder.list_header(4);
        for id in [start, end] {
            let there = u64::try_from(id).ok().and_then(|id| self.ids.get(id));
            let there = there.and_then(|id| i64::try_from(id - 1).ok()).ok_or_else(|| {
                Error::new(
                    Kind::Damaged,
                    format!("a relationship ends at the node {id}, which is not in the backup"),
                )
            })?;
            encoder.int(there);
        }
        encoder.raw(kind).raw(properties);
        Ok(length)
    }

    /// Runs a statement over rows in a transaction of its own; tried again when it failed for a passing reason.
    async fn rows(&mut self, statement: &str, rows: &[u8], count: usize) -> Result<Vec<Vec<Value>>> {
        let statement = cypher(&self.server, statement);
        let params = Params::new().raw_list("rows", count, rows);
        let mut tries = 1;
        loop {
            match self.once(&statement, &params).await {
                Ok(answer) => return Ok(answer),
                Err(cause) if cause.is_transient() && tries < TRIES && !self.stop.is_raised() => {
                    self.connection.rollback().await.map_err(|cause| explain(&self.server.shown, cause))?;
                    tokio::time::sleep(Duration::from_millis(200 << tries)).await;
                    tries += 1;
                }
                Err(cause) => return Err(explain(&self.server.shown, cause)),
            }
        }
    }

    async fn once(&mut self, statement: &str, params: &Params) -> Result<Vec<Vec<Value>>, bolt::Error> {
        self.connection.begin(&writing(self.database.as_deref())).await?;
        let answer = self.connection.query(statement, params).await?;
        self.connection.commit().await?;
        Ok(answer)
    }

    fn check(&self, made: u64, wanted: usize, what: &str) -> Result<()> {
        if made == wanted as u64 {
            return Ok(());
        }
        Err(Error::new(
            Kind::Failed,
            format!("{} made {made} {what} of {wanted} in a batch", self.server.shown),
        )
        .hint("somebody else may write to the database: a restore needs it for itself"))
    }
}
