//! Constraints and indexes, last: with them in place rows go in three times as slowly.

use std::time::Duration;

use super::existing::alone;
use crate::bolt::packstream::Value;
use crate::bolt::{Connection, Params};
use crate::engines::neo4j::connect::{self, Server, explain, text};
use crate::engines::neo4j::graph::schema::Statement;
use crate::error::{Error, Kind, Result};

/// How often is asked how far the indexes are.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Makes them, and waits until every index is online.
///
/// # Errors
/// [`Kind::Damaged`] for a constraint that the data does not hold, [`Kind::Failed`] for an index that fails; those
/// of [`explain`].
pub async fn build(connection: &mut Connection, server: &Server, statements: &[Statement]) -> Result<()> {
    for statement in
        statements.iter().filter(|s| s.constraint).chain(statements.iter().filter(|s| !s.constraint))
    {
        alone(connection, server, &statement.cypher(), &Params::default()).await.map_err(|error| {
            let what = if statement.constraint { "constraint" } else { "index" };
            if error.message().contains("ConstraintCreationFailed") {
                let what = format!("the data does not hold the constraint {}", statement.name);
                return Error::new(Kind::Damaged, what).because(error).hint(
                    "a backup that is fuzzy may have a value twice; restore with --data-only, and repair it there",
                );
            }
            // A server of another edition or version may not know the kind.
            error.while_doing(format!("the {what} {} cannot be made", statement.name)).hint(format!(
                "the statement is: {}; a target of the source's version and edition takes it",
                statement.create
            ))
        })?;
    }
    online(connection, server).await
}

/// Waits until every index is online.
async fn online(connection: &mut Connection, server: &Server) -> Result<()> {
    const STATES: &str = "SHOW INDEXES YIELD name, state, populationPercent WHERE state <> 'ONLINE' \
                          RETURN name, state, populationPercent ORDER BY name";
    loop {
        let rows = connect::all(connection, Some(&server.database), STATES).await;
        let rows = rows.map_err(|cause| explain(&server.shown, cause))?;
        if let Some(failed) = rows.iter().find(|row| text(row, 1) == "FAILED") {
            return Err(Error::new(
                Kind::Failed,
                format!("the index {} could not be built", text(failed, 0)),
            )
            .hint("SHOW INDEXES YIELD name, failureMessage tells why"));
        }
        let Some(first) = rows.first() else { return Ok(()) };
        let percent = match first.get(2) {
            Some(Value::Float(percent)) => *percent,
            _ => 0.0,
        };
        tracing::debug!(index = text(first, 0), percent, "waiting for an index");
        tokio::time::sleep(ASK_EVERY).await;
    }
}
