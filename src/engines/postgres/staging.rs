//! Where a drill restores to: a database of its own name on a staging server, or a throwaway server.
//!
//! The name tells when the drill began, so that a later drill can remove what a killed one left behind.
//! It is made by the restore, and removed here with everyone who is connected to it.

pub mod roles;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDateTime, Utc};
use tokio::sync::Mutex;

use super::claim::{CLAIMED, Claim};
use super::connect::{Session, connect};
use super::ephemeral::Ephemeral;
use super::identity::Identity;
use super::resolve::Connection;
use super::restore::leftovers;
use super::settings::quote_identifier;
use crate::engines::{Endpoint, Finding, Origin, Site, Target};
use crate::error::{Error, Kind, Result};

/// Databases of drills begin with this.
pub const PREFIX: &str = "lifeboat_drill_";

/// The time in the name, in UTC by the staging server's clock.
const STAMP: &str = "%Y%m%d%H%M%S";

/// A drill's database that is older than this, with nobody connected to it and no claim on it, was left by a killed drill.
pub const LEFT_AFTER: Duration = Duration::from_secs(24 * 3600);

/// How long sessions may take to end after they were told to.
const ENDING: Duration = Duration::from_secs(10);

/// A name that no other drill has.
fn database_name(now: DateTime<Utc>) -> String {
    let random: String = std::iter::repeat_with(|| fastrand::char('a'..='z')).take(8).collect();
    format!("{PREFIX}{}_{random}", now.format(STAMP))
}

/// When the drill of a database began; `None` for a name that is not exactly that of a drill.
pub fn begun(name: &str) -> Option<DateTime<Utc>> {
    let (stamp, random) = name.strip_prefix(PREFIX)?.split_once('_')?;
    let fits = random.len() == 8 && random.bytes().all(|byte| byte.is_ascii_lowercase());
    let time = NaiveDateTime::parse_from_str(stamp, STAMP).ok()?.and_utc();
    (fits && stamp == time.format(STAMP).to_string()).then_some(time)
}

/// A database on a staging server.
#[derive(Debug)]
pub struct ServerSite {
    endpoint: Endpoint,
    connection: Connection,
    database: String,
    shown: String,
    /// Tells the sweeps of other drills that this one lives, however long it lasts.
    _claim: Claim,
}

impl ServerSite {
    /// Looks whether the server takes a drill, removes what killed drills left, and picks a name.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] when the server cannot be reached, is a standby, is older than the backup's,
    /// or does not let this role create databases.
    pub async fn provision(
        endpoint: Endpoint,
        connection: Connection,
        origin: &Origin,
    ) -> Result<ServerSite> {
        let session = connect(&connection).await?;
        if let Some(problem) = problems(&session).await?.into_iter().next() {
            let hint = problem.hint.unwrap_or_default();
            return Err(Error::new(Kind::Unreachable, problem.message).hint(hint));
        }
        let identity = Identity::of(&session).await?;
        fits(&session, origin)?;
        sweep(&session).await?;
        let database = database_name(clock(&session).await?);
        let same = if is_source_server(&identity, origin) { " (the source's own server)" } else { "" };
        let shown =
            format!("{}, PostgreSQL {}{same}", connection.with_database(&database), identity.version_text);
        let claim = Claim::keep(session, connection.clone(), database.clone()).await?;
        Ok(ServerSite { endpoint, connection, database, shown, _claim: claim })
    }
}

#[async_trait]
impl Site for ServerSite {
    fn target(&self) -> Target {
        Target { endpoint: self.endpoint.clone(), database: Some(self.database.clone()) }
    }

    fn describe(&self) -> String {
        self.shown.clone()
    }

    async fn remove(&self) -> Result<()> {
        let left = |error: Error| {
            error
                .while_doing(format!("the drill's database {} could not be removed", self.database))
                .hint(format!("drop it by hand: DROP DATABASE {} WITH (FORCE)", self.database))
        };
        let session = connect(&self.connection).await.map_err(left)?;
        // A time-out of the role must not cut off the removal of a large database.
        session.pin_settings(None).await.map_err(left)?;
        remove(&session, &self.database).await.map_err(left)?;
        roles::drop_unneeded(&session, &self.database).await?;
        session.close().await
    }
}

/// Drops a drill's database. A statement that still makes or fills it (the restore was stopped in its
/// middle) is ended first: it would make it again.
async fn remove(session: &Session, database: &str) -> Result<()> {
    let began = std::time::Instant::now();
    let sql = "SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity \
               WHERE pid <> pg_catalog.pg_backend_pid() AND usename = current_user \
                 AND pg_catalog.strpos(query, $1) > 0 AND state <> 'idle'";
    while session.one(sql, &[&database]).await?.get::<_, i64>(0) > 0 && began.elapsed() < ENDING {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    session.batch(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote_identifier(database))).await
}

/// Removes the databases of drills that were killed. One that cannot be removed is left for the next.
async fn sweep(session: &Session) -> Result<()> {
    let now = clock(session).await?;
    let sql = format!(
        "SELECT d.datname::text FROM pg_catalog.pg_database d \
         WHERE pg_catalog.starts_with(d.datname::text, $1) AND NOT {CLAIMED} \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid)"
    );
    for row in session.query(&sql, &[&PREFIX]).await? {
        let name: String = row.get(0);
        let old = begun(&name).is_some_and(|time| (now - time).to_std().is_ok_and(|age| age > LEFT_AFTER));
        // Without FORCE: somebody who came since the list was made has a reason.
        if old && session.batch(&format!("DROP DATABASE IF EXISTS {}", quote_identifier(&name))).await.is_ok()
        {
            tracing::info!(database = name, "removed what a killed drill left behind");
            roles::drop_unneeded(session, &name).await?;
        }
    }
    Ok(())
}

/// The staging server's clock, which both dates names and judges them.
async fn clock(session: &Session) -> Result<DateTime<Utc>> {
    let sql = "SELECT EXTRACT(epoch FROM pg_catalog.clock_timestamp())::bigint";
    let seconds: i64 = session.one(sql, &[]).await?.get(0);
    DateTime::from_timestamp(seconds, 0)
        .ok_or_else(|| Error::new(Kind::Failed, "the staging server's clock shows no date"))
}

/// True when staging is on the server that was backed up: a drill there has a database of its own, and
/// takes the source's memory, disk and connections all the same.
fn is_source_server(identity: &Identity, origin: &Origin) -> bool {
    let told = |key: &str| origin.server.get(key).map(String::as_str);
    match (told("system_identifier"), &identity.system_identifier) {
        (Some(theirs), Some(mine)) => theirs == mine,
        _ => told("started_us") == Some(identity.started_us.to_string().as_str()),
    }
}

fn fits(session: &Session, origin: &Origin) -> Result<()> {
    let Some(major) = source_major(origin).filter(|major| *major > session.major()) else { return Ok(()) };
    Err(Error::new(
        Kind::Unreachable,
        format!(
            "the staging server is PostgreSQL {}, and the backup is of PostgreSQL {major}",
            session.major()
        ),
    )
    .hint(format!("use a staging server of version {major} or newer, or `ephemeral`")))
}

/// The major version of the server that was backed up.
pub fn source_major(origin: &Origin) -> Option<u32> {
    let digits: String = origin.server.get("version")?.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Looks whether a staging server takes drills.
///
/// # Errors
/// [`Kind::Unreachable`] when it cannot be asked.
pub async fn preflight_server(connection: &Connection) -> Result<Vec<Finding>> {
    let session = connect(connection).await?;
    let mut findings = problems(&session).await?;
    if findings.is_empty() {
        findings.push(Finding::ok("staging", format!("{connection} takes drills")));
    }
    findings.extend(leftovers::look(&session).await?);
    session.close().await?;
    Ok(findings)
}

async fn problems(session: &Session) -> Result<Vec<Finding>> {
    let sql = "SELECT (SELECT rolcreatedb OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user), \
               pg_catalog.pg_is_in_recovery()";
    let row = session.one(sql, &[]).await?;
    let (creates, standby): (bool, bool) = (row.get(0), row.get(1));
    let connection = session.connection();
    let mut findings = Vec::new();
    if standby {
        findings.push(Finding::error(
            "staging",
            format!("{connection} is a standby, which takes no drill"),
            "name a server of its own, or `ephemeral`",
        ));
    } else if !creates {
        findings.push(Finding::error(
            "staging",
            format!("the role {} may not create databases on {connection}", connection.user),
            format!("run there: ALTER ROLE {} CREATEDB", quote_identifier(&connection.user)),
        ));
    }
    Ok(findings)
}

/// A throwaway server of this machine.
#[derive(Debug)]
pub struct EphemeralSite {
    server: Mutex<Ephemeral>,
    endpoint: Endpoint,
    database: String,
    shown: String,
}

impl EphemeralSite {
    /// Starts the server with the programs in `bin`; `tools` is where the vendor's other tools are.
    ///
    /// # Errors
    /// Those of [`Ephemeral::start`].
    pub async fn provision(
        bin: &Path,
        tools: Option<std::path::PathBuf>,
        under: &Path,
        raw_bytes: u64,
        warning: Option<String>,
    ) -> Result<EphemeralSite> {
        let server = Ephemeral::start(bin, under, raw_bytes).await?;
        let endpoint = Endpoint { url: server.url().as_str().into(), password: None, tools };
        let warning = warning.map_or_else(String::new, |warning| format!(" ({warning})"));
        let shown = format!(
            "a throwaway PostgreSQL {} in {}{warning}",
            server.version(),
            server.directory().display()
        );
        let database = database_name(DateTime::UNIX_EPOCH);
        Ok(EphemeralSite { server: Mutex::new(server), endpoint, database, shown })
    }
}

#[async_trait]
impl Site for EphemeralSite {
    fn target(&self) -> Target {
        Target { endpoint: self.endpoint.clone(), database: Some(self.database.clone()) }
    }

    fn describe(&self) -> String {
        self.shown.clone()
    }

    async fn remove(&self) -> Result<()> {
        self.server.lock().await.stop().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_when_its_drill_began() {
        let now: DateTime<Utc> = "2026-11-24T02:03:04Z".parse().unwrap();
        let name = database_name(now);
        assert_eq!(begun(&name), Some(now));
        assert_ne!(name, database_name(now));
        assert!(name.len() <= 63);
        for other in [
            "orders",
            "lifeboat_drill_",
            "lifeboat_drill_20261124020304",
            "lifeboat_drill_20261124020304_abc",
            "lifeboat_drill_20261124020304_ABCDEFGH",
            "lifeboat_drill_20261399020304_abcdefgh",
            "lifeboat_drill_report_abcdefgh",
            "my_lifeboat_drill_20261124020304_abcdefgh",
        ] {
            assert_eq!(begun(other), None, "{other}");
        }
    }

    #[test]
    fn the_major_of_the_source_is_read() {
        let origin = |version: &str| Origin {
            server: [("version".to_owned(), version.to_owned())].into(),
            tools: Default::default(),
            properties: serde_json::Value::Null,
        };
        assert_eq!(source_major(&origin("15.18 (Debian 15.18-0+deb12u1)")), Some(15));
        assert_eq!(source_major(&origin("?")), None);
    }
}
