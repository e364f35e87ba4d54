//! Reading a whole graph over Bolt: counted, and on its way to the store if it has one.
//!
//! Everything is read in one transaction. Neo4j reads what is committed at the moment (there are no snapshots), but
//! it gives no id to another node while a transaction is open that may have seen it, so what relationships say of
//! their ends stays true.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::connect::{Server, explain, text};
use super::graph::format::{self, Counts};
use super::graph::row::{Node, Relationship};
use super::graph::schema::Statement;
use super::graph::tally::Tally;
use crate::bolt::packstream::Value;
use crate::bolt::{Begin, Connection, Params};
use crate::error::{Error, Kind, Result};
use crate::pipeline::ObjectWriter;
use crate::pipeline::progress::Progress;

/// Bytes that are gathered before they are written.
const GATHER: usize = 128 << 10;

const NODES: &str = "MATCH (n) RETURN id(n), labels(n), properties(n)";
const RELATIONSHIPS: &str = "MATCH (a)-[r]->(b) RETURN id(r), id(a), id(b), type(r), properties(r)";

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

/// A reading.
pub struct Reader<'a> {
    /// The connection that it has to itself.
    pub connection: &'a mut Connection,
    /// What answers there.
    pub server: &'a Server,
    /// What the transaction begins with.
    pub begin: Begin,
    /// What stops it.
    pub stop: Stop,
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({})", self.server.shown)
    }
}

impl Reader<'_> {
    /// Reads nodes, relationships and definitions; `None` when it was stopped.
    ///
    /// # Errors
    /// Those of [`explain`] and of the store.
    pub async fn graph(&mut self, output: &mut Output<'_>) -> Result<Option<Read>> {
        let shown = self.server.shown.clone();
        let failed = |cause| explain(&shown, cause);
        let mut tally = Tally::default();
        self.connection.begin(&self.begin).await.map_err(failed)?;
        let nodes = cypher(self.server, NODES);
        let whole = self.records(&nodes, format::NODE, output, |record| tally.node(&Node::read(record)?));
        if !whole.await? {
            return Ok(None);
        }
        let relationships = cypher(self.server, RELATIONSHIPS);
        let whole = self.records(&relationships, format::RELATIONSHIP, output, |record| {
            tally.relationship(&Relationship::read(record)?).map(drop)
        });
        if !whole.await? {
            return Ok(None);
        }
        let by_server = (
            self.count("MATCH (n) RETURN count(n)").await?,
            self.count("MATCH ()-[r]->() RETURN count(r)").await?,
        );
        let statements = statements(self.connection).await.map_err(failed)?;
        self.connection.commit().await.map_err(failed)?;
        Ok(Some(Read { tally, statements, by_server }))
    }

    /// Runs a query, and counts and writes its records; false when it was stopped.
    async fn records(
        &mut self,
        query: &str,
        kind: u8,
        output: &mut Output<'_>,
        mut count: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<bool> {
        let shown = &self.server.shown;
        self.connection.run(query, &Params::default()).await.map_err(|cause| explain(shown, cause))?;
        let mut gathered = Vec::with_capacity(GATHER + (16 << 10));
        let mut seen = 0_u64;
        loop {
            let record = self.connection.next().await.map_err(|cause| explain(shown, cause))?;
            let Some(record) = record else { break };
            // What is counted is what comes, so what cannot be read is the server's.
            count(record).map_err(|error| Error::new(Kind::Failed, format!("{shown}: {}", error.chain())))?;
            match output {
                Output::Object(writer) => {
                    format::put(&mut gathered, kind, record)?;
                    if gathered.len() >= GATHER {
                        writer.write(&gathered).await?;
                        gathered.clear();
                    }
                }
                Output::Nowhere(progress) => {
                    // As many as its record in an export has.
                    seen += record.len() as u64 + 5;
                    if seen >= GATHER as u64 {
                        progress.add_raw(std::mem::take(&mut seen));
                    }
                }
            }
            if self.stop.is_raised() {
                return Ok(false);
            }
        }
        match output {
            Output::Object(writer) => writer.write(&gathered).await?,
            Output::Nowhere(progress) => progress.add_raw(seen),
        }
        Ok(true)
    }

    async fn count(&mut self, query: &str) -> Result<u64> {
        let shown = &self.server.shown;
        let rows = self.connection.query(query, &Params::default()).await;
        let rows = rows.map_err(|cause| explain(shown, cause))?;
        let count =
            rows.first().and_then(|row| row.first()?.as_int()).and_then(|count| u64::try_from(count).ok());
        count.ok_or_else(|| Error::new(Kind::Failed, format!("{shown} gives no count")))
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

/// The constraints, then the indexes that belong to none and are not those that every database has. A claim of a
/// restore (`restore/claim.rs`) is none of them.
///
/// # Errors
/// Those of the client.
pub async fn statements(connection: &mut Connection) -> Result<Vec<Statement>, crate::bolt::Error> {
    const CONSTRAINTS: &str = "SHOW CONSTRAINTS YIELD name, type, labelsOrTypes, createStatement \
                               WHERE name <> 'lifeboat_restore' RETURN name, type, labelsOrTypes, createStatement ORDER BY name";
    const INDEXES: &str = "SHOW INDEXES YIELD name, type, labelsOrTypes, owningConstraint, createStatement \
                           WHERE owningConstraint IS NULL AND type <> 'LOOKUP' \
                           RETURN name, type, labelsOrTypes, createStatement ORDER BY name";
    let mut found = Vec::new();
    for (query, constraint) in [(CONSTRAINTS, true), (INDEXES, false)] {
        for row in connection.query(query, &Params::default()).await? {
            let of = row.get(2).and_then(Value::as_list).unwrap_or_default();
            let of: Vec<&str> = of.iter().filter_map(Value::as_str).collect();
            found.push(Statement {
                constraint,
                name: text(&row, 0),
                kind: text(&row, 1),
                of: of.join(","),
                create: text(&row, 3),
            });
        }
    }
    Ok(found)
}

/// Users by name, without what belongs to their login.
///
/// # Errors
/// Those of the client.
pub async fn users(
    connection: &mut Connection,
) -> Result<Vec<Vec<(&'static str, Value)>>, crate::bolt::Error> {
    const USERS: &str = "SHOW USERS YIELD user RETURN user ORDER BY user";
    let rows = super::connect::all(connection, Some("system"), USERS).await?;
    Ok(rows.iter().map(|row| vec![("name", Value::String(text(row, 0)))]).collect())
}
