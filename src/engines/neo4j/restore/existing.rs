//! What is at the target already: a restore goes into an empty database, and the source is never touched.

use super::claim::{self, Claim};
use crate::bolt::{Connection, Params};
use crate::engines::neo4j::connect::{self, Server, explain, writing};
use crate::engines::neo4j::graph::schema::counted;
use crate::engines::neo4j::graph::tally::in_statement;
use crate::engines::neo4j::reading::{self, cypher};
use crate::engines::{Origin, RestoreOptions};
use crate::error::{Error, Kind, Result};

/// What a database holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// Nodes.
    pub nodes: u64,
    /// Constraints and indexes that are not there by themselves.
    pub definitions: usize,
    /// Who has claimed it: a restore or drill that is under way, or was cut off.
    pub claim: Option<Claim>,
}

impl Held {
    /// True when nothing is there, and nobody has claimed it.
    pub fn is_empty(&self) -> bool {
        self.nodes == 0 && self.definitions == 0 && self.claim.is_none()
    }
}

/// Looks what a database holds.
///
/// # Errors
/// Those of [`explain`].
pub async fn held(connection: &mut Connection, server: &Server) -> Result<Held> {
    let failed = |cause| explain(&server.shown, cause);
    let database = Some(server.database.as_str());
    let rows = connect::all(connection, database, "MATCH (n) RETURN count(n)").await.map_err(failed)?;
    let nodes =
        rows.first().and_then(|row| row.first()?.as_int()).and_then(|count| u64::try_from(count).ok());
    let claim = claim::find(connection, server).await?;
    connection.begin(&connect::reading(database)).await.map_err(failed)?;
    let definitions = reading::statements(connection).await.map_err(failed)?.len();
    connection.commit().await.map_err(failed)?;
    Ok(Held { nodes: nodes.unwrap_or(u64::MAX), definitions, claim })
}

/// Looks whether the target takes the restore; true when it has to be emptied first.
///
/// # Errors
/// [`Kind::Unreachable`] for data that is not to be replaced, or for the source itself; [`Kind::Usage`] for another
/// name to be replaced.
pub fn check(server: &Server, held: &Held, origin: &Origin, options: &RestoreOptions) -> Result<bool> {
    let database = &server.database;
    if let Some(other) = options.replace.iter().find(|name| *name != database) {
        return Err(Error::new(Kind::Usage, format!("--replace {other}: nothing is restored into {other}"))
            .hint(format!("what is restored goes into {database}")));
    }
    let claimed_by_us = options.staging && held.claim.as_ref().is_some_and(|claim| claim.drill);
    let nobodys = held.claim.is_none() || claimed_by_us;
    if held.nodes == 0 && nobodys && (options.data_only || held.definitions == 0) {
        return Ok(false);
    }
    let is_source = origin.server.get("database_id").is_some_and(|id| *id == server.database_id);
    if is_source && held.claim.is_none() {
        return Err(Error::new(
            Kind::Unreachable,
            format!(
                "the database {database} of {} is the source of this backup, and not empty",
                server.shown
            ),
        )
        .hint("restore it into another database or server; what is still in the source is not touched"));
    }
    if options.replace.is_empty() {
        let (what, hint) = match &held.claim {
            Some(claim) => (
                format!("is being restored into, or was when that was cut off ({claim})"),
                format!(
                    "wait until it is done; if it was cut off, empty the database first: --replace {database}"
                ),
            ),
            None => (
                format!("is not empty ({} nodes, {})", held.nodes, counted(held.definitions)),
                format!("restore into an empty database, or empty this one first: --replace {database}"),
            ),
        };
        let what = format!("the database {database} of {} {what}", server.shown);
        return Err(Error::new(Kind::Unreachable, what).hint(hint));
    }
    Ok(true)
}

/// Removes everything from a database, and its claim last.
///
/// # Errors
/// Those of [`explain`].
pub async fn empty(connection: &mut Connection, server: &Server, keep_definitions: bool) -> Result<()> {
    empty_claimed(connection, server, keep_definitions).await?;
    claim::release(connection, server).await
}

/// Removes everything but the claim, in batches: constraints and indexes first, unless they are to stay, so that what
/// follows is quick.
///
/// # Errors
/// Those of [`explain`].
pub async fn empty_claimed(
    connection: &mut Connection,
    server: &Server,
    keep_definitions: bool,
) -> Result<()> {
    let failed = |cause| explain(&server.shown, cause);
    let database = Some(server.database.as_str());
    connection.rollback().await.map_err(failed)?;
    connection.begin(&connect::reading(database)).await.map_err(failed)?;
    let statements = reading::statements(connection).await.map_err(failed)?;
    connection.commit().await.map_err(failed)?;
    for statement in statements.into_iter().filter(|_| !keep_definitions) {
        let what = if statement.constraint { "CONSTRAINT" } else { "INDEX" };
        let drop = format!("DROP {what} {} IF EXISTS", in_statement(&statement.name));
        alone(connection, server, &drop, &Params::default()).await?;
    }
    for (pattern, gone) in [("()-[r]->()", "DELETE r"), ("(r)", "DETACH DELETE r")] {
        let batches = format!("MATCH {pattern} CALL {{ WITH r {gone} }} IN TRANSACTIONS OF 5000 ROWS");
        alone(connection, server, &cypher(server, &batches), &Params::default()).await?;
    }
    Ok(())
}

/// Runs a statement that is a transaction of its own.
///
/// # Errors
/// Those of [`explain`].
pub async fn alone(
    connection: &mut Connection,
    server: &Server,
    statement: &str,
    params: &Params,
) -> Result<()> {
    let own = writing(Some(&server.database));
    let failed = |cause| explain(&server.shown, cause);
    connection.run_alone(statement, params, &own).await.map_err(failed)?;
    connection.discard().await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn server(id: &str) -> Server {
        Server {
            shown: "neo4j://h:7687".into(),
            version: "5.26.30".into(),
            edition: "community".into(),
            database: "neo4j".into(),
            database_id: id.into(),
            now: chrono::DateTime::UNIX_EPOCH,
        }
    }

    fn origin() -> Origin {
        Origin {
            server: BTreeMap::from([("database_id".to_owned(), "source".to_owned())]),
            tools: BTreeMap::new(),
            properties: serde_json::Value::Null,
        }
    }

    #[test]
    fn only_an_empty_database_is_filled() {
        let (none, some) = (Held::default(), Held { nodes: 3, ..Held::default() });
        let options = |replace: &[&str]| RestoreOptions {
            replace: replace.iter().map(|name| (*name).to_owned()).collect(),
            ..RestoreOptions::default()
        };
        let of =
            |id: &str, held: &Held, replace: &[&str]| check(&server(id), held, &origin(), &options(replace));
        assert!(!of("other", &none, &[]).unwrap());
        assert!(!of("source", &none, &["neo4j"]).unwrap());
        assert!(of("other", &some, &["neo4j"]).unwrap());
        let refused = |id, held, replace: &[&str]| of(id, held, replace).unwrap_err();
        assert!(refused("other", &some, &[]).message().contains("is not empty (3 nodes"));
        assert!(refused("source", &some, &["neo4j"]).message().contains("is the source of this backup"));
        assert_eq!(refused("other", &none, &["movies"]).kind(), Kind::Usage);
        let began = chrono::DateTime::UNIX_EPOCH;
        let half = Held { claim: Some(Claim { drill: false, began, mark: 0 }), nodes: 0, definitions: 0 };
        let error = refused("source", &half, &[]);
        assert!(error.message().contains("a restore that began at 1970-01-01T00:00:00Z"), "{error}");
        assert!(of("source", &half, &["neo4j"]).unwrap());
    }
}
