//! Reading a whole graph over Bolt: counted, and on its way to the store if it has one.
//!
//! Several connections read at once, by ranges of ids, each in a transaction that is open from the beginning. Neo4j reads
//! what is committed at the moment (there are no snapshots), but it gives no id to another node while a transaction is
//! open that may have seen it, so what relationships say of their ends stays true.

mod ranges;
mod schema;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::connect::{Server, connect, explain, reading};
use super::graph::format::{self, Counts};
use super::graph::row::{Node, Relationship};
use super::graph::schema::Statement;
use super::graph::tally::Tally;
use super::uri::Uri;
use crate::bolt::packstream::Value;
use crate::bolt::{Connection, Params};
use crate::error::{Error, Kind, Result};
use crate::pipeline::ObjectWriter;
use crate::pipeline::progress::Progress;

pub use schema::{statements, users};

/// A query in the version 5 of Cypher, which has `id()`, on servers where another may be the default.
///
/// Source: Cypher manual, "Cypher versions"; servers before 2025 have 5 alone.
pub fn cypher(server: &Server, query: &str) -> String {
    match server.major_minor() {
        Some((year, _)) if year >= 2025 => format!("CYPHER 5 {query}"),
        _ => query.to_owned(),
    }
}

/// What stops a reading early: somebody else raises it.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Raises it.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// True when it was raised.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Where what is read goes, besides being counted.
pub enum Output<'a> {
    /// Into an object of a backup.
    Object(&'a mut ObjectWriter),
    /// Nowhere; these counters tell how far it is.
    Nowhere(&'a Progress),
}

/// A graph that was read to its end.
#[derive(Debug)]
pub struct Read {
    /// Its counts.
    pub tally: Tally,
    /// Its constraints and indexes.
    pub statements: Vec<Statement>,
    /// Nodes and relationships by the server's own counters, at the end.
    pub by_server: (u64, u64),
}

/// A reading: connections with a transaction each, that begin with the same bookmark.
#[derive(Debug)]
pub struct Reader {
    server: Server,
    connections: Vec<Connection>,
    stop: Stop,
}

impl Reader {
    /// Opens as many connections as there are to be readers, and begins a transaction on each: all of them before the
    /// first reads, so that no id is given to another node meanwhile.
    ///
    /// # Errors
    /// Those of [`explain`].
    pub async fn open(
        uri: &Uri,
        server: &Server,
        bookmark: Option<&str>,
        readers: usize,
        stop: Stop,
    ) -> Result<Reader> {
        let mut begin = reading(uri.database.as_deref());
        begin.bookmarks.extend(bookmark.map(str::to_owned));
        let mut connections = Vec::new();
        for _ in 0..readers.max(1) {
            let mut connection = connect(uri).await?;
            let begun = async {
                connection.begin(&begin).await?;
                connection.query("RETURN 1", &Params::default()).await
            };
            begun.await.map_err(|cause| explain(&server.shown, cause))?;
            connections.push(connection);
        }
        Ok(Reader { server: server.clone(), connections, stop })
    }

    /// Reads nodes, relationships and definitions; `None` when it was stopped.
    ///
    /// # Errors
    /// Those of [`explain`] and of the store.
    pub async fn graph(mut self, output: &mut Output<'_>) -> Result<Option<Read>> {
        let mut tally = Tally::default();
        let nodes = self.records(&ranges::NODES, output, |record| tally.node(&Node::read(record)?));
        if !nodes.await? {
            return Ok(None);
        }
        let relationships = self.records(&ranges::RELATIONSHIPS, output, |record| {
            tally.relationship(&Relationship::read(record)?).map(drop)
        });
        if !relationships.await? {
            return Ok(None);
        }
        let by_server = (
            self.number("MATCH (n) RETURN count(n)").await?,
            self.number("MATCH ()-[r]->() RETURN count(r)").await?,
        );
        let shown = self.server.shown.clone();
        let failed = |cause| explain(&shown, cause);
        let statements = match self.connections.first_mut() {
            Some(first) => statements(first).await.map_err(failed)?,
            None => Vec::new(),
        };
        for connection in &mut self.connections {
            connection.commit().await.map_err(failed)?;
        }
        Ok(Some(Read { tally, statements, by_server }))
    }

    /// Reads what a query gives with all connections at once, counts and writes it; false when it was stopped.
    async fn records(
        &mut self,
        what: &ranges::What,
        output: &mut Output<'_>,
        mut count: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<bool> {
        let shown = self.server.shown.clone();
        let end = match self.connections.len() {
            1 => 0,
            _ => self.number(&cypher(&self.server, what.largest)).await? + 1,
        };
        let mut reading = ranges::start(&self.server, what, end, std::mem::take(&mut self.connections));
        let mut gathered = Vec::with_capacity(2 * ranges::BATCH);
        while let Some(batch) = reading.next().await {
            let batch = batch.map_err(|cause| explain(&shown, cause))?;
            for record in batch.records() {
                // What is counted is what comes, so what cannot be read is the server's.
                count(record).map_err(|error| {
                    let hint =
                        error.hint_text().unwrap_or("look into the server's log, and try again").to_owned();
                    Error::new(Kind::Failed, format!("{shown}: {}", error.chain())).hint(hint)
                })?;
                if let Output::Object(_) = output {
                    format::put(&mut gathered, what.kind, record)?;
                }
            }
            match output {
                Output::Object(writer) => writer.write(&gathered).await?,
                // As many as its records in an export have.
                Output::Nowhere(progress) => progress.add_raw(batch.export_bytes()),
            }
            gathered.clear();
            if self.stop.is_raised() {
                return Ok(false);
            }
        }
        self.connections = reading.finish().await?;
        Ok(true)
    }

    /// A number that a query gives; 0 for none.
    async fn number(&mut self, query: &str) -> Result<u64> {
        let shown = &self.server.shown;
        let Some(connection) = self.connections.first_mut() else { return Ok(0) };
        let rows = connection.query(query, &Params::default()).await;
        let rows = rows.map_err(|cause| explain(shown, cause))?;
        let number = rows.first().and_then(|row| row.first());
        match number {
            Some(Value::Null) => Ok(0),
            Some(Value::Int(number)) => Ok(u64::try_from(*number).unwrap_or(0)),
            _ => Err(Error::new(Kind::Failed, format!("{shown} gives no number"))),
        }
    }
}

/// The end of an export after its relationships: definitions, users, counts.
///
/// # Errors
/// Those of the store.
pub async fn write_tail(
    writer: &mut ObjectWriter,
    read: &Read,
    users: &[Vec<(&'static str, Value)>],
) -> Result<()> {
    let mut tail = Vec::new();
    for statement in &read.statements {
        format::put_map(&mut tail, format::DEFINITION, statement.fields())?;
    }
    for user in users {
        format::put_map(&mut tail, format::USER, user.clone())?;
    }
    let counts = Counts {
        nodes: read.tally.nodes(),
        relationships: read.tally.relationships() + read.tally.dangling(),
        definitions: read.statements.len() as u64,
        users: users.len() as u64,
    };
    format::put_map(&mut tail, format::END, counts.fields())?;
    writer.write(&tail).await
}
