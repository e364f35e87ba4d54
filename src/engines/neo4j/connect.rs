//! Connections: what answers, and what its errors mean.

use chrono::{DateTime, Utc};

use super::uri::Uri;
use crate::bolt::packstream::Value;
use crate::bolt::{self, Begin, Connection, Mode, Params};
use crate::error::{Error, Kind, Result};

/// A server and one of its databases, as they say of themselves.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where it is, without secrets.
    pub shown: String,
    /// The version, as in `5.26.30`.
    pub version: String,
    /// `community` or `enterprise`.
    pub edition: String,
    /// The database's name.
    pub database: String,
    /// Its id, which a copy of its store shares.
    pub database_id: String,
    /// The server's own clock.
    pub now: DateTime<Utc>,
}

impl Server {
    /// Major and minor version.
    pub fn major_minor(&self) -> Option<(u32, u32)> {
        major_minor(&self.version)
    }
}

/// Major and minor of a version such as `5.26.30` or `2025.04.0`.
pub fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Opens a connection.
///
/// # Errors
/// Those of [`explain`].
pub async fn connect(uri: &Uri) -> Result<Connection> {
    Connection::open(&uri.config()).await.map_err(|cause| explain(&uri.to_string(), cause))
}

/// What a transaction that reads begins with.
pub fn reading(database: Option<&str>) -> Begin {
    Begin { database: database.map(str::to_owned), mode: Mode::Read, ..Begin::default() }
}

/// What a transaction that writes begins with.
pub fn writing(database: Option<&str>) -> Begin {
    Begin { database: database.map(str::to_owned), mode: Mode::Write, ..Begin::default() }
}

/// Asks what answers.
///
/// # Errors
/// Those of [`explain`].
pub async fn look(connection: &mut Connection, uri: &Uri) -> Result<Server> {
    let shown = uri.to_string();
    let database = uri.database.as_deref();
    let failed = |cause| explain(&shown, cause);
    let components = "CALL dbms.components() YIELD name, versions, edition RETURN name, versions[0], edition";
    let rows = all(connection, database, components).await.map_err(failed)?;
    let kernel = rows.iter().find(|row| text(row, 0) == "Neo4j Kernel").or(rows.first());
    let (version, edition) = kernel.map_or_else(Default::default, |row| (text(row, 1), text(row, 2)));
    let info = "CALL db.info() YIELD id, name RETURN id, name, datetime.realtime().epochMillis";
    let rows = all(connection, database, info).await.map_err(failed)?;
    let row = rows.first().map(Vec::as_slice).unwrap_or_default();
    let now = row.get(2).and_then(Value::as_int).and_then(DateTime::from_timestamp_millis);
    let now = now.ok_or_else(|| Error::new(Kind::Failed, format!("the clock of {shown} shows no date")))?;
    let (database_id, database) = (text(row, 0), text(row, 1));
    Ok(Server { version, edition, database, database_id, now, shown })
}

/// The text of a column.
pub fn text(row: &[Value], column: usize) -> String {
    row.get(column).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// All rows of a query that reads, in a transaction of its own.
///
/// # Errors
/// Those of the client.
pub async fn all(
    connection: &mut Connection,
    database: Option<&str>,
    query: &str,
) -> Result<Vec<Vec<Value>>, bolt::Error> {
    connection.begin(&reading(database)).await?;
    let rows = connection.query(query, &Params::default()).await?;
    connection.commit().await?;
    Ok(rows)
}

/// The bookmark of a database: two that are equal say that nothing was committed to it in between.
///
/// Neo4j gives out the newest transaction id that was committed, which it sets before the transaction is applied to
/// the store (`TransactionIdTracker` and the transaction appender of the reference implementation). So a reader who
/// wants the state of a bookmark has to begin with it: the server then waits until it is applied.
///
/// # Errors
/// Those of the client.
pub async fn bookmark(connection: &mut Connection, database: Option<&str>) -> Result<String, bolt::Error> {
    connection.begin(&reading(database)).await?;
    connection.query("RETURN 1", &Params::default()).await?;
    connection.commit().await
}

/// Turns an error of the client into one that says what happened where, and what to do.
pub fn explain(shown: &str, error: bolt::Error) -> Error {
    use bolt::Error as Bolt;
    let unreachable = |message: String| Error::new(Kind::Unreachable, message);
    match &error {
        Bolt::Server { code, message, .. } => refused(shown, code, message),
        Bolt::UnsupportedVersion { .. } => unreachable(format!("{shown} is not to be talked to")).because(error)
            .hint("the method export needs Neo4j 5 or newer; the method dump is there for older ones"),
        Bolt::NotBolt { .. } => unreachable(format!("{shown} does not speak Bolt")).because(error)
            .hint("check the port (7687 is Bolt's, 7474 is the browser's), and neo4j+s:// against neo4j://"),
        Bolt::Tls { .. } => unreachable(format!("no secure connection to {shown}")).because(error)
            .hint("name the server as in its certificate, give its CA by ?tlsCAFile=, or use neo4j+ssc:// to trust any"),
        Bolt::Closed { .. } | Bolt::Timeout { .. } => unreachable(format!("the connection to {shown} was lost"))
            .because(error).hint("look into the server's log, and try again"),
        Bolt::Connect { .. } => unreachable(format!("{shown} cannot be reached")).because(error)
            .hint("check host and port, that Neo4j runs, and the network between"),
        _ => Error::new(Kind::Failed, format!("{shown} answers what cannot be understood")).because(error)
            .hint("check that this is the port of Bolt; a server that is newer may need a newer lifeboat"),
    }
}

/// The first line of a message, and the next one when the first only introduces it.
fn first_sentence(message: &str) -> String {
    let mut lines = message.lines().map(str::trim);
    let mut said = lines.next().unwrap_or_default().to_owned();
    if said.ends_with(':')
        && let Some(next) = lines.next()
    {
        said = format!("{said} {next}");
    }
    said.trim_end_matches('.').to_owned()
}

/// What a server's own error means. Source: Neo4j's status codes.
fn refused(shown: &str, code: &str, message: &str) -> Error {
    let said = format!("{shown}: {} ({code})", first_sentence(message));
    let unreachable = |hint: &str| Error::new(Kind::Unreachable, said.clone()).hint(hint);
    match code {
        "Neo.ClientError.Security.Unauthorized" | "Neo.ClientError.Security.TokenExpired" => {
            Error::new(Kind::Unreachable, format!("{shown} refuses the login"))
                .hint("check user and password of the source")
        }
        "Neo.ClientError.Security.CredentialsExpired" => {
            unreachable("the user has to change the password first: ALTER CURRENT USER SET PASSWORD")
        }
        "Neo.ClientError.Security.AuthenticationRateLimit" => {
            unreachable("too many wrong passwords in a row: wait some seconds, and check the password")
        }
        "Neo.ClientError.Security.Forbidden" => {
            unreachable("grant the user what is missing; a backup has to read all nodes and relationships")
        }
        "Neo.ClientError.Database.DatabaseNotFound" => {
            unreachable("check the database's name behind the / of the URL; SHOW DATABASES lists them")
        }
        "Neo.TransientError.General.OutOfMemoryError"
        | "Neo.TransientError.General.MemoryPoolOutOfMemoryError"
        | "Neo.TransientError.General.TransactionMemoryLimit" => unreachable(
            "give the server more heap (server.memory.heap.max_size), or the transaction more memory",
        ),
        "Neo.ClientError.Transaction.TransactionTimedOut"
        | "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration" => {
            unreachable("raise db.transaction.timeout for the time of a backup")
        }
        "Neo.ClientError.Cluster.NotALeader" | "Neo.ClientError.General.ForbiddenOnReadOnlyDatabase" => {
            unreachable(
                "write to the leader of the database: give its address, or use neo4j:// so that servers route",
            )
        }
        _ if code.starts_with("Neo.TransientError.") => unreachable("try again"),
        _ => Error::new(Kind::Failed, said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let error =
            refused("neo4j://h:7687", "Neo.ClientError.Security.Unauthorized", "The client is unauthorized.");
        assert_eq!((error.kind(), error.message()), (Kind::Unreachable, "neo4j://h:7687 refuses the login"));
        let error = refused("h", "Neo.ClientError.Statement.SyntaxError", "Invalid input.\n\"MATC\"");
        assert_eq!(error.message(), "h: Invalid input (Neo.ClientError.Statement.SyntaxError)");
        assert_eq!(error.kind(), Kind::Failed);
    }

    #[test]
    fn versions_are_compared_by_their_first_two_parts() {
        assert_eq!(major_minor("5.26.30"), Some((5, 26)));
        assert_eq!(major_minor("2025.04.0"), Some((2025, 4)));
        assert_eq!(major_minor("5.27-aura"), Some((5, 27)));
        assert_eq!(major_minor("x"), None);
    }
}
