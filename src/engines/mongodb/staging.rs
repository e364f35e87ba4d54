//! Where a drill restores to: databases behind a prefix of their own on a staging server, or a throwaway server.
//!
//! The prefix tells when the drill began, so that a later drill can remove what a killed one left behind.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::Mutex;

use super::connect::{self, Server, Topology};
use super::ephemeral::Ephemeral;
use super::tools::{Tool, major_minor};
use super::uri::Uri;
use super::{look, privileges};
use crate::engines::{Endpoint, Finding, Level, Origin, Site, Target};
use crate::error::{Error, Kind, Result};

/// Databases of drills begin with this.
pub const PREFIX: &str = "lifeboat_drill_";

/// Databases of a drill that began this long ago were left by one that was killed.
const LEFT_AFTER: Duration = Duration::from_secs(3 * 24 * 3600);

/// A prefix that no other drill has: seconds since 1970 in hexadecimal digits, and chance.
fn prefix(now: DateTime<Utc>) -> String {
    let random: String = std::iter::repeat_with(|| fastrand::char('a'..='z')).take(4).collect();
    format!("{PREFIX}{:08x}{random}", now.timestamp())
}

/// When the drill of a database began; `None` for a name that is not exactly that of a drill.
fn begun(name: &str) -> Option<DateTime<Utc>> {
    let own = name.strip_prefix(PREFIX)?.split_once('_')?.0;
    let (stamp, random) = own.split_at_checked(8)?;
    let fits = random.len() == 4 && random.bytes().all(|byte| byte.is_ascii_lowercase());
    let seconds = i64::from_str_radix(stamp, 16).ok()?;
    (fits && stamp.bytes().all(|b| b.is_ascii_hexdigit())).then(|| DateTime::from_timestamp(seconds, 0))?
}

/// Databases on a staging server.
#[derive(Debug)]
pub struct ServerSite {
    endpoint: Endpoint,
    server: Server,
    prefix: String,
    shown: String,
}

impl ServerSite {
    /// Looks whether the server takes a drill, removes what killed drills left, and picks a prefix.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] when the server cannot be reached, is too old, or does not let this user write.
    pub async fn provision(endpoint: Endpoint, uri: &Uri, origin: &Origin) -> Result<ServerSite> {
        let server = connect::connect(uri, "primary").await?;
        fits(&server, origin)?;
        if let Some(problem) =
            problems(&server, replays(origin)).await?.into_iter().find(|f| f.level == Level::Error)
        {
            let hint = problem.hint.unwrap_or_default();
            return Err(Error::new(Kind::Unreachable, problem.message).hint(hint));
        }
        let now = DateTime::from_timestamp_millis(server.local_time_ms)
            .ok_or_else(|| Error::new(Kind::Failed, "the staging server's clock shows no date"))?;
        sweep(&server, now).await?;
        let prefix = prefix(now);
        let shown = format!("{} (databases {prefix}_*), MongoDB {}", server.shown, server.version);
        Ok(ServerSite { endpoint, server, prefix, shown })
    }
}

/// True when captured operations are applied after the documents.
fn replays(origin: &Origin) -> bool {
    origin.properties.get("written_to").and_then(serde_json::Value::as_u64).unwrap_or(0) > 0
}

fn fits(server: &Server, origin: &Origin) -> Result<()> {
    let Some(source) = origin.server.get("version") else { return Ok(()) };
    let (Some(theirs), Some(ours)) = (major_minor(source), major_minor(&server.version)) else {
        return Ok(());
    };
    if theirs <= ours {
        return Ok(());
    }
    Err(Error::new(
        Kind::Unreachable,
        format!("the staging server is MongoDB {}, and the backup is of MongoDB {source}", server.version),
    )
    .hint("use a staging server of that version or newer, or `ephemeral`"))
}

/// What keeps a server from taking drills.
async fn problems(server: &Server, replays: bool) -> Result<Vec<Finding>> {
    let privileges = privileges::of(server).await?;
    let mut findings = Vec::new();
    let sample = format!("{PREFIX}sample");
    let needed = [
        "insert",
        "createCollection",
        "createIndex",
        "dropDatabase",
        "find",
        "validate",
        "bypassDocumentValidation",
    ];
    let missing: Vec<&str> =
        needed.into_iter().filter(|action| !privileges.on(action, &sample, "x")).collect();
    if !missing.is_empty() {
        findings.push(Finding::error(
            "staging",
            format!("the user may not {} in a new database on {}", missing.join(", "), server.shown),
            "grant it the roles readWriteAnyDatabase, dbAdminAnyDatabase and restore on the database admin",
        ));
    }
    if replays && server.topology == Topology::Sharded {
        findings.push(Finding::error(
            "staging",
            format!("{} is mongos, which applies no captured operations", server.shown),
            "use a replica set or a standalone server for staging, or `ephemeral`",
        ));
    } else if replays && !privileges.on("anyAction", &sample, "system.buckets.x") {
        findings.push(Finding::error(
            "staging",
            format!("the user may not apply captured operations on {}", server.shown),
            "grant it a role with anyAction on anyResource, as mongorestore --oplogReplay needs, or use `ephemeral`",
        ));
    }
    Ok(findings)
}

/// Looks whether a staging server takes drills.
///
/// # Errors
/// [`Kind::Unreachable`] when it cannot be asked.
pub async fn preflight(uri: &Uri, replays: bool) -> Result<Vec<Finding>> {
    let server = connect::connect(uri, "primary").await?;
    let mut findings = problems(&server, replays).await?;
    if findings.is_empty() {
        findings.push(Finding::ok("staging", format!("{} takes drills", server.shown)));
    }
    Ok(findings)
}

/// Removes the databases of drills that were killed. One that cannot be removed is left for the next.
async fn sweep(server: &Server, now: DateTime<Utc>) -> Result<()> {
    for name in look::databases(server).await?.into_keys() {
        let old = begun(&name).is_some_and(|time| (now - time).to_std().is_ok_and(|age| age > LEFT_AFTER));
        if old && super::restore::drop_database(server, &name).await.is_ok() {
            tracing::info!(database = name, "removed what a killed drill left behind");
        }
    }
    Ok(())
}

#[async_trait]
impl Site for ServerSite {
    fn target(&self) -> Target {
        Target { endpoint: self.endpoint.clone(), database: Some(self.prefix.clone()) }
    }

    fn describe(&self) -> String {
        self.shown.clone()
    }

    async fn remove(&self) -> Result<()> {
        let own = format!("{}_", self.prefix);
        for name in look::databases(&self.server).await?.into_keys().filter(|name| name.starts_with(&own)) {
            super::restore::drop_database(&self.server, &name).await.map_err(|error| {
                error
                    .while_doing(format!("the drill's database {name} could not be removed"))
                    .hint(format!("drop it by hand: use {name}; db.dropDatabase()"))
            })?;
        }
        Ok(())
    }
}

/// A throwaway server of this machine.
#[derive(Debug)]
pub struct EphemeralSite {
    server: Mutex<Ephemeral>,
    endpoint: Endpoint,
    shown: String,
}

impl EphemeralSite {
    /// Starts the server.
    ///
    /// # Errors
    /// Those of [`Ephemeral::start`]; [`Kind::Unreachable`] when the program is older than the source.
    pub async fn provision(
        mongod: &Tool,
        tools: Option<std::path::PathBuf>,
        under: &std::path::Path,
        origin: &Origin,
        raw_bytes: u64,
    ) -> Result<EphemeralSite> {
        if let Some(source) = origin.server.get("version")
            && major_minor(source) > major_minor(&mongod.version)
        {
            return Err(Error::new(
                Kind::Unreachable,
                format!("the installed mongod is {}, and the backup is of MongoDB {source}", mongod.version),
            )
            .hint("install that version or newer, or give a staging server by URL"));
        }
        let server = Ephemeral::start(mongod, under, raw_bytes).await?;
        let endpoint = Endpoint { url: server.url(), password: None, tools };
        let shown = format!("a throwaway MongoDB {} in {}", server.version(), server.directory().display());
        Ok(EphemeralSite { server: Mutex::new(server), endpoint, shown })
    }
}

#[async_trait]
impl Site for EphemeralSite {
    fn target(&self) -> Target {
        Target { endpoint: self.endpoint.clone(), database: None }
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
    fn a_prefix_tells_when_its_drill_began() {
        let now: DateTime<Utc> = "2026-11-24T02:03:04Z".parse().unwrap();
        let name = format!("{}_shop", prefix(now));
        assert_eq!(begun(&name), Some(now));
        assert_ne!(prefix(now), prefix(now));
        assert!(prefix(now).len() <= 30);
        for other in [
            "shop",
            "lifeboat_drill_",
            "lifeboat_drill_6b09aeb7abcd",
            "lifeboat_drill_6b09aeb7ABCD_x",
            "lifeboat_drill_6b09aeb_x",
            "my_lifeboat_drill_6b09aeb7abcd_x",
            "lifeboat_drill_+b09aeb7abcd_x",
        ] {
            assert_eq!(begun(other), None, "{other}");
        }
    }
}
