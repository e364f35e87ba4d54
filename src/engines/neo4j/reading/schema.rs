//! Definitions and users, as the server shows them.

use crate::bolt::packstream::Value;
use crate::bolt::{Connection, Params};
use crate::engines::neo4j::connect::{all, text};
use crate::engines::neo4j::graph::schema::Statement;

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
    let rows = all(connection, Some("system"), USERS).await?;
    Ok(rows.iter().map(|row| vec![("name", Value::String(text(row, 0)))]).collect())
}
