//! Questions to a restored database: the policy's checks, and `neo4j-admin database check` on a throwaway server.

use std::time::Duration;

use super::connect::{connect, explain, reading};
use super::engine::{Neo4j, resolve};
use super::graph::tally::in_statement;
use crate::bolt::Params;
use crate::bolt::packstream::Value;
use crate::engines::{Query, Target};
use crate::error::{Error, Kind, Result};

/// How long the consistency check may take. It reads the whole store some times.
const CHECK_PATIENCE: Duration = Duration::from_secs(6 * 3600);

impl Neo4j {
    /// See [`crate::engines::Engine::ask`].
    pub(super) async fn ask_target(&self, target: &Target, query: &Query) -> Result<Option<String>> {
        let uri = resolve(&target.endpoint, &self.settings.host)?;
        let database = target.database.clone().or_else(|| uri.database.clone());
        let query = match query {
            Query::Value(text) => text.clone(),
            Query::Rows(label) => format!("MATCH (n:{}) RETURN count(n)", in_statement(label)),
            Query::Age { table, column } => format!(
                "MATCH (n:{}) WITH max(n.{}) AS newest RETURN duration.inSeconds(newest, datetime.realtime()).seconds",
                in_statement(table),
                in_statement(column)
            ),
        };
        let mut connection = connect(&uri).await?;
        let shown = uri.to_string();
        let answered = async {
            connection.begin(&reading(database.as_deref())).await?;
            let rows = connection.query(&query, &Params::default()).await?;
            connection.rollback().await?;
            Ok(rows)
        };
        let rows = answered.await.map_err(|cause| explain(&shown, cause))?;
        let Some(value) = rows.first().and_then(|row| row.first()) else { return Ok(None) };
        shown_value(value)
    }

    /// See [`crate::engines::Engine::structural_check`]: only the store of a throwaway server can be looked at.
    pub(super) async fn check_structure(&self, target: &Target) -> Result<Option<String>> {
        let Some(site) = self.site(&target.endpoint) else { return Ok(None) };
        let mut server = site.lock().await;
        server.halt().await?;
        let reports = server.directory().join("reports");
        let checked = server.tool().check(server.database(), &reports, CHECK_PATIENCE).await;
        server.start(false).await?;
        checked.map(|()| Some("neo4j-admin database check found nothing".to_owned()))
    }
}

/// A value as a check compares it.
fn shown_value(value: &Value) -> Result<Option<String>> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::Bool(flag) => flag.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => {
            return Err(Error::new(Kind::Config, "a check's query gives neither a number nor a text")
                .hint("let it return one number, text or truth value; toString() makes a text of a date"));
        }
    }))
}
