//! What a backup would take and what would make it fail or be partial, before anything starts.

use mongodb::bson::doc;

use super::connect::{Server, Topology};
use super::look::{self, Seen};
use super::options::{Oplog, Options};
use super::privileges::{self, Privileges};
use crate::engines::{Finding, Level};
use crate::error::{Error, Kind, Result};
use crate::pipeline::child::human_bytes;

/// What a backup will do.
#[derive(Debug)]
pub struct Plan {
    /// Everything that has to be in it.
    pub seen: Vec<Seen>,
    /// Whether the operations during the dump are captured, so that it is of one instant.
    pub oplog: bool,
    /// What somebody should know.
    pub findings: Vec<Finding>,
}

impl Plan {
    /// The first finding that would make a backup fail, as an error.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] with that finding.
    pub fn check(&self, shown: &str) -> Result<()> {
        let Some(problem) = self.findings.iter().find(|finding| finding.level == Level::Error) else {
            return Ok(());
        };
        let error = Error::new(Kind::Unreachable, format!("{shown}: {}", problem.message));
        Err(error.hint(problem.hint.clone().unwrap_or_default()))
    }
}

/// Looks at the server as this user sees it.
///
/// # Errors
/// Those of [`super::connect::explain`]; [`Kind::Unreachable`] for what is named and not there.
pub async fn plan(server: &Server, options: &Options) -> Result<Plan> {
    let selection = options.selection();
    let privileges = privileges::of(server).await?;
    let mut findings = Vec::new();
    let names_databases = !selection.named_databases().is_empty();
    if !privileges.sees_everything() && !names_databases {
        findings.push(Finding::error(
            "privileges",
            format!("the user sees only a part of the server ({})", roles(&privileges)),
            "grant it the role backup on the database admin, or name what it may see in options.databases",
        ));
    }
    let seen = look::selected(server, &selection).await?;
    for (database, collections) in privileges.unreadable(&seen) {
        findings.push(Finding::error(
            "privileges",
            format!("the user may not read {} in {database} ({})", some(&collections), roles(&privileges)),
            format!("grant it the role backup on the database admin, or find on {database}"),
        ));
    }
    let (oplog, finding) = oplog(server, options, &privileges, names_databases);
    findings.push(finding);
    findings.extend(shard(server).await);
    if seen.iter().all(|seen| seen.namespace.db == "admin") {
        findings.push(Finding::warning("data", "there are no collections: is it the right server?"));
    }
    if findings.iter().all(|finding| finding.level != Level::Error) {
        let databases: std::collections::BTreeSet<&str> =
            seen.iter().map(|seen| seen.namespace.db.as_str()).collect();
        findings.push(Finding::ok(
            "privileges",
            format!("{} collections and views in {} databases can be read", seen.len(), databases.len()),
        ));
        let named = databases.iter().take(5).copied().collect::<Vec<_>>().join(", ");
        let more = match databases.len().saturating_sub(5) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let bytes = look::expected_bytes(server, &seen, selection.is_everything()).await;
        // A user with the role backup alone may read everything, and not ask how much it is.
        let size = if bytes == 0 { String::new() } else { format!(", about {}", human_bytes(bytes)) };
        findings.push(Finding::ok("data", format!("{named}{more}{size}")));
    }
    Ok(Plan { seen, oplog, findings })
}

/// Whether the oplog is captured, and what to say about it.
fn oplog(
    server: &Server,
    options: &Options,
    privileges: &Privileges,
    names_databases: bool,
) -> (bool, Finding) {
    let fuzzy = |why: &str| {
        let message = format!("{why}: the collections of a backup are of different moments (fuzzy)");
        (false, Finding::warning("consistency", message))
    };
    match (&server.topology, options.oplog) {
        (Topology::Standalone, Oplog::On) => (
            false,
            Finding::error(
                "consistency",
                "options.oplog is on, and a standalone server keeps no oplog",
                "make it a replica set (of one is enough), or leave options.oplog out",
            ),
        ),
        (Topology::Sharded, Oplog::On) => (
            false,
            Finding::error(
                "consistency",
                "options.oplog is on, and mongos gives no oplog",
                "leave options.oplog out, and stop writes and the balancer for a backup of one instant",
            ),
        ),
        (Topology::Standalone, _) => fuzzy("a standalone server keeps no oplog"),
        (Topology::Sharded, _) => fuzzy("a sharded cluster is read through mongos, without an oplog"),
        (Topology::ReplicaSet(_), Oplog::Off) => fuzzy("options.oplog is off"),
        (Topology::ReplicaSet(set), wanted) => {
            // mongodump takes the oplog of whole dumps alone, and lists all databases for those.
            if privileges.reads_oplog() && privileges.sees_everything() {
                let message = format!("the oplog of {set} is captured: a backup is of one instant");
                return (true, Finding::ok("consistency", message));
            }
            if names_databases && wanted == Oplog::Auto {
                return fuzzy("the user may not read the oplog");
            }
            (
                false,
                Finding::error(
                    "consistency",
                    format!("the user may not read the oplog ({})", roles(privileges)),
                    "grant it the role backup on the database admin, or set options.oplog = \"off\"",
                ),
            )
        }
    }
}

/// A word about a server that is one shard of a cluster. What cannot be asked is not said.
async fn shard(server: &Server) -> Option<Finding> {
    let question = doc! {"find": "system.version", "filter": {"_id": "shardIdentity"}, "limit": 1};
    let found = server.all("admin", question).await.ok()?;
    (!found.is_empty()).then(|| {
        Finding::warning(
            "topology",
            "the server is one shard of a cluster: a backup of it is not one of the cluster",
        )
    })
}

fn roles(privileges: &Privileges) -> String {
    match privileges.roles.as_slice() {
        [] => "it has no roles".to_owned(),
        roles => format!("its roles: {}", roles.join(", ")),
    }
}

/// The first names, and how many more there are.
fn some(names: &[&str]) -> String {
    let shown = names.iter().take(5).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(5) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
