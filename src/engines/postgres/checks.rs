//! Questions to a restored database, and its structural check.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::io::AsyncReadExt as _;
use tokio_postgres::SimpleQueryMessage;

use super::connect::{Session, connect, summary};
use super::exhausted;
use super::resolve::Connection;
use super::settings::{self, quote_identifier};
use crate::engines::Query;
use crate::error::{Error, Explain, Kind, Result};
use crate::pipeline::child::{self, Spec};

/// How long one question may take.
pub const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// As much of what `pg_amcheck` finds goes into the error.
const REPORT: usize = 2000;

/// Asks a database one question. The session can only read, and takes the database's own settings, as
/// the application would; so names without a schema mean what they mean there.
///
/// # Errors
/// [`Kind::Failed`] when the question does not make sense to the server, takes longer than
/// [`PATIENCE`], or gives more than one value; [`Kind::Unreachable`] when the session is lost.
pub async fn ask(connection: &Connection, query: &Query) -> Result<Option<String>> {
    let session = connect(connection).await?;
    session
        .batch(&format!(
            "SET default_transaction_read_only = on; SET statement_timeout = {}; SET lock_timeout = 0",
            PATIENCE.as_millis()
        ))
        .await?;
    let answer = one_value(&session, &statement(query)?).await;
    let closed = session.close().await;
    let answer = answer?;
    closed?;
    Ok(answer)
}

/// The statement that asks the question.
///
/// # Errors
/// [`Kind::Config`] when the table's name cannot be one.
pub fn statement(query: &Query) -> Result<String> {
    Ok(match query {
        // A comment at its end must not swallow anything, and one statement is all there may be.
        Query::Value(sql) => sql.trim().trim_end_matches(';').to_owned(),
        Query::Rows(table) => format!("SELECT pg_catalog.count(*) FROM {}", table_name(table)?),
        Query::Age { table, column } => format!(
            "SELECT EXTRACT(epoch FROM pg_catalog.now() - pg_catalog.max({})::timestamptz) FROM {}",
            quote_identifier(column.trim_matches('"')),
            table_name(table)?
        ),
    })
}

/// Quotes `name` or `schema.name` as it is written; parts that are quoted already may hold dots.
fn table_name(text: &str) -> Result<String> {
    let wrong = || {
        Error::new(Kind::Config, format!("`{text}` is not the name of a table"))
            .hint("write name or schema.name; a part with a dot in it goes in double quotes")
    };
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let mut end = quoted.find('"').ok_or_else(wrong)?;
                while quoted[end + 1..].starts_with('"') {
                    end = quoted[end + 2..].find('"').ok_or_else(wrong)? + end + 2;
                }
                (quoted[..end].replace("\"\"", "\""), &quoted[end + 1..])
            }
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        if part.is_empty() {
            return Err(wrong());
        }
        parts.push(quote_identifier(&part));
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None if after.is_empty() && parts.len() <= 2 => return Ok(parts.join(".")),
            None => return Err(wrong()),
        }
    }
}

async fn one_value(session: &Session, sql: &str) -> Result<Option<String>> {
    let refused = |cause: tokio_postgres::Error| {
        if session.is_closed() {
            return session.explain(cause);
        }
        let text = summary(&cause);
        let hint = match text.contains("read-only transaction") {
            true => "a check may only read",
            false => "run the query by hand on the source, and correct the policy",
        };
        Error::new(Kind::Failed, text).hint(hint)
    };
    let wrong = |what: &str| {
        Error::new(Kind::Failed, format!("the query gives {what}"))
            .hint("a check is one statement that gives one row with one column")
    };
    let mut messages = std::pin::pin!(session.client().simple_query_raw(sql).await.map_err(refused)?);
    let (mut value, mut rows, mut statements) = (None, 0, 0);
    while let Some(message) = messages.next().await {
        match message.map_err(refused)? {
            SimpleQueryMessage::Row(row) => {
                rows += 1;
                match (rows, row.len()) {
                    (1, 1) => value = row.get(0).map(str::to_owned),
                    (1, columns) => return Err(wrong(&format!("{columns} columns"))),
                    _ => return Err(wrong("more than one row")),
                }
            }
            SimpleQueryMessage::CommandComplete(_) => statements += 1,
            _ => {}
        }
    }
    if statements > 1 {
        return Err(wrong("the results of several statements"));
    }
    Ok(value)
}

/// Checks tables and B-tree indexes with `pg_amcheck`; the text says what was used. `None`: this server
/// has not got the extension, or the role may not install it.
///
/// # Errors
/// [`Kind::Damaged`] with what it found; [`Kind::Failed`] when it cannot run.
pub async fn amcheck(
    connection: &Connection,
    tool: &Path,
    version: &str,
    jobs: usize,
    process: &BTreeMap<String, String>,
) -> Result<Option<String>> {
    let session = connect(connection).await?;
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'amcheck') \
               AND (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)";
    let can: bool = session.one(sql, &[]).await?.get(0);
    let server_version = session.version();
    session.close().await?;
    // The server knows pg_amcheck's functions since 14.
    if !can || server_version < 140_000 {
        return Ok(None);
    }
    let environment = connection.environment(process, &settings::child_options(server_version))?;
    let jobs = format!("--jobs={}", jobs.max(1));
    let mut spec = Spec::new(tool, ["--no-password", "--install-missing", jobs.as_str()]);
    spec.environment = environment.variables().clone();
    spec.secrets = connection.secrets();
    spec.guard = Some(Box::new(environment));
    let mut child = child::spawn(spec)?;
    let mut report = Vec::new();
    if let Some(mut output) = child.take_output() {
        let mut buffer = [0; 8192];
        loop {
            match output.read(&mut buffer).await.explain(Kind::Failed, || "pg_amcheck was lost".to_owned())? {
                0 => break,
                length if report.len() < REPORT => report.extend_from_slice(&buffer[..length]),
                _ => {} // read on, so that it can end
            }
        }
    }
    let outcome = child.outcome().await?;
    // Exit status 2 is that of corruption found (pg_amcheck.c, `main`).
    match outcome.code {
        Some(0) => Ok(Some(format!("pg_amcheck {version} found nothing wrong"))),
        Some(2) => {
            let text = String::from_utf8_lossy(&report);
            let lines: Vec<&str> =
                text.lines().map(str::trim).filter(|line| !line.is_empty()).take(6).collect();
            Err(Error::new(Kind::Damaged, format!("pg_amcheck found damage: {}", lines.join("; "))).hint(
                "run pg_amcheck on the source, too; if that is sound, look at the staging server's disk",
            ))
        }
        _ => {
            if let Some(line) = exhausted::first(outcome.facts.messages.iter().map(String::as_str)) {
                let what = format!("pg_amcheck could not look at all: {line}");
                return Err(Error::new(Kind::Unreachable, what)
                    .hint("look into the staging server's log, disk and memory, and run it again"));
            }
            let last = outcome.facts.messages.last().map_or("no message", String::as_str);
            Err(Error::new(Kind::Failed, format!("pg_amcheck failed: {last}"))
                .hint("set drill.amcheck = \"off\" in the policy to go without it"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_as_they_are_written() {
        let name = |text: &str| table_name(text).unwrap();
        assert_eq!(name("orders"), r#""orders""#);
        assert_eq!(name("sales.Orders"), r#""sales"."Orders""#);
        assert_eq!(name(r#""a.b"."c""d""#), r#""a.b"."c""d""#);
        assert_eq!(name(r#"x; drop table y"#), r#""x; drop table y""#);
        for wrong in ["", "a.", ".a", "a.b.c", "\"a", "\"a\"b", "\"\"", "\"a\"\"", "a..b"] {
            assert_eq!(table_name(wrong).unwrap_err().kind(), Kind::Config, "{wrong}");
        }
    }

    #[test]
    fn questions_become_statements() {
        assert_eq!(statement(&Query::Value(" select 1 ; ".into())).unwrap(), "select 1 ");
        assert_eq!(
            statement(&Query::Rows("a.b".into())).unwrap(),
            r#"SELECT pg_catalog.count(*) FROM "a"."b""#
        );
        let age = Query::Age { table: "t".into(), column: "at".into() };
        assert_eq!(
            statement(&age).unwrap(),
            r#"SELECT EXTRACT(epoch FROM pg_catalog.now() - pg_catalog.max("at")::timestamptz) FROM "t""#
        );
    }
}
