//! What `neo4j-admin` is asked to do with a database that is stopped. Its exit status 0 is never believed alone.

mod problems;

use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::tools::{Syntax, Tool};
use crate::error::{Error, Explain as _, Kind, Result};
use crate::pipeline::child::{self, Outcome, Spec};

pub use problems::{problem, warnings};

/// Bytes of an answer that are read, at most.
const ANSWER: u64 = 256 * 1024;

/// How long the tool may take to say something about a database that it does not read.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a stopped database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The store's format, as in `record-aligned-1.1`.
    pub format: Option<String>,
    /// A server has it open.
    pub in_use: bool,
    /// The last committed transaction. After a crash it is older than what is in the log.
    pub last_transaction: Option<u64>,
    /// It was not stopped cleanly.
    pub needs_recovery: bool,
}

/// Looks whether a name is one that Neo4j gives to databases: no pattern, and nothing that reads like an option.
///
/// # Errors
/// [`Kind::Config`] when it is not.
pub fn check_name(database: &str) -> Result<()> {
    let inside = |c: char| c.is_ascii_alphanumeric() || ['.', '-', '_'].contains(&c);
    let first = database.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if first && database.chars().all(inside) && database.len() <= 63 {
        return Ok(());
    }
    Err(Error::new(Kind::Config, format!("`{}` is no name of a Neo4j database", database.escape_debug()))
        .hint("names have letters, digits, dots and dashes, and begin with a letter or digit"))
}

impl Tool {
    /// Streams a dump of the database to standard output. Nothing may be running on it.
    pub fn dump(&self, database: &str) -> Spec {
        self.spec(match self.syntax {
            Syntax::Five => vec!["database".into(), "dump".into(), database.into(), "--to-stdout".into()],
            Syntax::Four => vec!["dump".into(), format!("--database={database}"), "--to=-".into()],
        })
    }

    /// Makes the database from a dump on standard input. One that exists is an error.
    pub fn load(&self, database: &str) -> Spec {
        let mut spec = self.spec(match self.syntax {
            Syntax::Five => vec!["database".into(), "load".into(), database.into(), "--from-stdin".into()],
            Syntax::Four => vec!["load".into(), format!("--database={database}"), "--from=-".into()],
        });
        spec.feed = true;
        spec
    }

    /// Asks a stopped database of which transaction it is. `directory` is where its store is; 4.x wants that.
    ///
    /// # Errors
    /// What [`problem`] makes of the tool's words; [`Kind::Failed`] when they are not understood.
    pub async fn info(&self, database: &str, directory: Option<&Path>) -> Result<Info> {
        let arguments = match (self.syntax, directory) {
            (Syntax::Five, _) => vec!["database".into(), "info".into(), database.into()],
            (Syntax::Four, Some(directory)) => vec!["store-info".into(), directory.display().to_string()],
            (Syntax::Four, None) => {
                let what = format!("the directory of the database {database} is not known");
                return Err(Error::new(Kind::Config, what).hint("set NEO4J_HOME to the server's home"));
            }
        };
        let what = format!("looking at the database {database}");
        let (answer, outcome) = self.run(self.spec(arguments), PATIENCE, &what).await?;
        succeeded(&outcome, &what)?;
        read_info(&answer).ok_or_else(|| {
            Error::new(
                Kind::Failed,
                format!("{what}: the answer of neo4j-admin {} is not understood", self.version),
            )
            .hint("this Neo4j may be newer than this lifeboat knows")
        })
    }

    /// Runs the consistency check on a stopped database; reports go into `reports`. Returns the last lines.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when it found something; else as [`Tool::info`].
    pub async fn check(&self, database: &str, reports: &Path, patience: Duration) -> Result<()> {
        let reports = reports.display();
        let arguments = match self.syntax {
            Syntax::Five => {
                vec!["database".into(), "check".into(), format!("--report-path={reports}"), database.into()]
            }
            Syntax::Four => vec![
                "check-consistency".into(),
                format!("--database={database}"),
                format!("--report-dir={reports}"),
            ],
        };
        let what = format!("checking the database {database}");
        let (answer, outcome) = self.run(self.spec(arguments), patience, &what).await?;
        match succeeded(&outcome, &what) {
            Ok(()) => Ok(()),
            Err(_) if inconsistent(&answer, &outcome) => {
                let first = problems::first_inconsistency(&answer, &outcome.facts.messages);
                Err(Error::new(Kind::Damaged, format!("the database {database} is inconsistent{first}"))
                    .hint("the data was so when it was dumped: check the source's database, too"))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn spec(&self, arguments: Vec<String>) -> Spec {
        let mut spec = Spec::new(&self.path, arguments);
        spec.environment = self.environment.clone();
        spec
    }

    async fn run(&self, spec: Spec, patience: Duration, what: &str) -> Result<(String, Outcome)> {
        let mut running = child::spawn(spec)?;
        let mut answer = Vec::new();
        let work = async {
            if let Some(output) = running.take_output() {
                let mut output = output.take(ANSWER);
                output
                    .read_to_end(&mut answer)
                    .await
                    .explain(Kind::Failed, || format!("{what}: the answer of neo4j-admin cannot be read"))?;
                // What is longer is read, so that the tool can end, and left out.
                tokio::io::copy(&mut output.into_inner(), &mut tokio::io::sink())
                    .await
                    .explain(Kind::Failed, || format!("{what}: the answer of neo4j-admin cannot be read"))?;
            }
            running.ended().await
        };
        let outcome = tokio::time::timeout(patience, work).await.map_err(|_| {
            let seconds = patience.as_secs();
            Error::new(Kind::Failed, format!("{what}: neo4j-admin did not end within {seconds} s"))
        })??;
        Ok((String::from_utf8_lossy(&answer).into_owned(), outcome))
    }
}

/// Fails unless the tool ended with status 0.
///
/// # Errors
/// What [`problem`] makes of its words.
pub fn succeeded(outcome: &Outcome, what: &str) -> Result<()> {
    match outcome.code {
        Some(0) => Ok(()),
        _ => Err(problem(outcome, what)),
    }
}

fn inconsistent(answer: &str, outcome: &Outcome) -> bool {
    let said = |line: &str| line.to_lowercase().contains("inconsisten") && !line.contains("logical log");
    outcome.code.is_some()
        && (answer.lines().any(said) || outcome.facts.messages.iter().any(|line| said(line)))
}

/// Reads what `info` prints, `Key: value` in each line.
fn read_info(answer: &str) -> Option<Info> {
    let value = |key: &str| {
        let line = answer.lines().find_map(|line| line.trim().strip_prefix(key))?;
        Some(line.trim_start().strip_prefix(':').unwrap_or(line).trim().to_owned())
    };
    let needs_recovery = value("Store needs recovery")?;
    Some(Info {
        format: value("Store format version"),
        in_use: value("Database in use").is_some_and(|word| word == "true"),
        last_transaction: value("Last committed transaction id").and_then(|id| id.parse().ok()),
        needs_recovery: needs_recovery != "false",
    })
}

#[cfg(test)]
#[path = "admin/tests.rs"]
mod tests;
