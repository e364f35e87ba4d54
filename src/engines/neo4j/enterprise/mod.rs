//! The method `backup`: the online backup of Neo4j Enterprise, by its own tool over the server's backup port.
//!
//! Built after the operations manuals and tried with a tool that is a script: no Enterprise server was at hand.
//!
//! The tool writes into a directory; its files become objects. What is in them is known from the server, counted over
//! Bolt before. When nothing was committed from the count to the end of the backup, or the artifact ends with the very
//! transaction that the count began with, what was counted is what is in it; otherwise the items say so
//! ([`BEFORE_BACKUP`]).

mod chain;
mod commands;
mod files;
mod make;
mod restore;
mod run;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::bookmark::last_transaction;
use super::compare::BEFORE_BACKUP;
use super::connect::{self, connect, explain, look};
use super::engine::Neo4j;
use super::export::facts;
use super::offline::Counted;
use super::tools::Syntax;
use super::{admin, ephemeral};
use crate::engines::{Captured, Consistency, Finding, Phase, RecoveryPoint};
use crate::error::{Error, Explain as _, Kind, Result};
use crate::pipeline::inventory::{Inventory, Item};
use crate::pipeline::object::CleanEnd;
use crate::pipeline::progress::Progress;
use crate::pipeline::{BackupReader, Sink};
pub(super) use files::FIRST;

/// The kind of the items that are the files of a backup.
pub const ARTIFACT: &str = "artifact";

/// The port of the backup server, where the configuration does not say otherwise (`server.backup.listen_address`).
const PORT: u16 = 6362;

impl Neo4j {
    /// Where the tool finds the server.
    pub(super) fn backup_address(&self) -> String {
        let (host, _) = self.uri.address();
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        self.options.backup_from.clone().unwrap_or_else(|| format!("{host}:{PORT}"))
    }

    /// Looks at the source before an online backup.
    pub(super) async fn preflight_backup(&self) -> Result<Vec<Finding>> {
        let mut findings = vec![match self.admin_tool().await {
            Ok(tool) => Finding::ok("neo4j-admin", format!("version {}", tool.version)),
            Err(error) => {
                Finding::error("neo4j-admin", error.chain(), error.hint_text().unwrap_or("install it"))
            }
        }];
        let server = look(&mut connect(&self.uri).await?, &self.uri).await?;
        let shown = format!("Neo4j {} {}", server.version, server.edition);
        findings.push(match server.edition.as_str() {
            "community" => Finding::warning(
                "server",
                format!(
                    "{shown}: an online backup is a part of Neo4j Enterprise; use the method export or dump"
                ),
            ),
            _ => Finding::ok("server", format!("{shown}, backed up from {}", self.backup_address())),
        });
        let under = self.settings.host.temporary_files();
        findings.push(match ephemeral::check_space(&under, 0) {
            Ok(()) => Finding::ok(
                "temporary files",
                format!("{} has to have as much room as the database takes", under.display()),
            ),
            Err(error) => Finding::error(
                "temporary files",
                error.chain(),
                "point TMPDIR at a volume with as much room as the database takes",
            ),
        });
        if let Some(kept) = self.options.backup_directory.as_ref().filter(|path| !path.is_dir()) {
            findings.push(Finding::error(
                "options.backup_directory",
                format!("{} is no directory", kept.display()),
                "make it, for lifeboat's user alone",
            ));
        }
        Ok(findings)
    }

    /// Backs the database up while it is in use. See [`crate::engines::Engine::backup`].
    pub(super) async fn backup_online(&self, sink: &Sink, progress: &Progress) -> Result<Captured> {
        let tool = self.admin_tool().await?;
        let began = Instant::now();
        let counted = self.counted(progress).await?;
        let mut phases = vec![phase("count", began)];
        let database = counted.server.database.clone();
        admin::check_name(&database)?;
        // Whatever is committed from here on may be in it; what was before is.
        let time = look(&mut connect(&self.uri).await?, &self.uri).await?.now;

        let began = Instant::now();
        progress.phase("backup");
        progress.expect_raw(0);
        // It goes when the tool has ended, too, if we are stopped before.
        let room = Arc::new(files::directory(&self.settings.host.temporary_files(), "lifeboat-neo4j-")?);
        let own = room.path().join("artifacts");
        let temp = room.path().join("temp");
        for path in [&own, &temp] {
            std::fs::create_dir(path)
                .explain(Kind::Unreachable, || format!("cannot make {}", path.display()))?;
        }
        let to = self.options.backup_directory.as_deref().unwrap_or(&own);
        let made = self.run_backup(&tool, &database, (to, &temp), room.clone()).await?;
        phases.push(phase("backup", began));

        let began = Instant::now();
        progress.phase("store");
        let packed = tool.syntax == Syntax::Five;
        let (kept, objects) = files::store(to, &made.files, packed, sink).await?;
        phases.push(phase("store", began));
        let mut connection = connect(&self.uri).await?;
        let last = connect::bookmark(&mut connection, self.uri.database.as_deref()).await;
        let last = last.map_err(|cause| explain(&counted.server.shown, cause))?;
        let exact = proven(&counted, &last, made.transaction, &database)?;

        let mut warnings = made.warnings;
        let Counted { server, mut inventory, .. } = counted;
        if !exact {
            super::compare::mark(&mut inventory, BEFORE_BACKUP);
            warnings.push(format!(
                "{database} was written to while it was counted and backed up: a drill cannot compare the contents exactly"
            ));
        }
        inventory.items.extend(kept.iter().map(|file| item(&file.object, file.bytes)));
        inventory.sort();
        Ok(Captured {
            inventory,
            recovery_point: RecoveryPoint {
                time,
                position: made.transaction.map(|id| format!("transaction {id}")),
            },
            consistency: Consistency::Consistent,
            server: facts(&server),
            tools: BTreeMap::from([("neo4j-admin".to_owned(), tool.version.clone())]),
            properties: serde_json::json!({
                "method": "backup",
                "type": made.kind.word(),
                "last_transaction": made.transaction,
                "files": kept,
            }),
            warnings,
            phases,
            ends: vec![CleanEnd::of("neo4j-admin ended well and has left what was stored")],
            objects,
        })
    }

    /// Reads the stored files to their ends. What needs a server to be counted is taken from the inventory.
    pub(super) async fn recount_artifacts(&self, from: &BackupReader) -> Result<Inventory> {
        let mut inventory = from.inventory().await?;
        let names: Vec<String> = inventory
            .items
            .iter()
            .filter(|item| item.kind == ARTIFACT)
            .map(|item| item.name.clone())
            .collect();
        inventory.items.retain(|item| item.kind != ARTIFACT);
        for name in names {
            let mut stream = from.stream(&name)?;
            let mut bytes = 0;
            while let Some(chunk) = stream.next().await? {
                bytes += chunk.len() as u64;
                from.progress().add_raw(chunk.len() as u64);
            }
            inventory.items.push(item(&name, bytes));
        }
        inventory.sort();
        Ok(inventory)
    }
}

/// The commands that restore a backup without lifeboat.
pub(super) fn by_hand(print_object: &str, properties: &serde_json::Value) -> Vec<String> {
    let text = |file: &serde_json::Value, field: &str| {
        file.get(field).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    };
    let files = properties.get("files").and_then(serde_json::Value::as_array).cloned().unwrap_or_default();
    let mut lines =
        vec!["set -euo pipefail   # the server is stopped, NEO4J_HOME and NEO4J_CONF are its own".to_owned()];
    let mut last = String::new();
    for file in &files {
        let print = print_object.replace("OBJECT", &text(file, "object"));
        last = text(file, "path");
        // The objects of 4.x are compressed by lifeboat, those of 5.x by Neo4j.
        match last.rsplit_once('/') {
            Some((parents, _)) => {
                lines.push(format!("mkdir -p \"backup/{parents}\"; {print} | zstd -dc > \"backup/{last}\""));
            }
            None => lines.push(format!("mkdir -p backup; {print} > \"backup/{last}\"")),
        }
    }
    lines.push(match last.split_once('/') {
        Some((database, _)) => {
            format!("neo4j-admin restore --from=\"backup/{database}\" --database=DATABASE --force")
        }
        None => format!(
            "neo4j-admin database restore --from-path=\"$PWD/backup/{last}\" --overwrite-destination=true DATABASE"
        ),
    });
    lines
}

fn phase(name: &str, began: Instant) -> Phase {
    Phase { name: name.into(), seconds: began.elapsed().as_secs_f64() }
}

/// Whether what was counted is what is in the backup.
///
/// # Errors
/// [`Kind::Unreachable`] when the backup is of a moment before the count.
fn proven(counted: &Counted, last: &str, transaction: Option<u64>, database: &str) -> Result<bool> {
    let first = counted.bookmark.as_str();
    match (last_transaction(first), transaction) {
        (Some(counted), Some(found)) if found < counted => {
            let what = format!(
                "{database} was backed up as of transaction {found}, but its server was at {counted} before"
            );
            Err(Error::new(Kind::Unreachable, what)
                .hint("options.backup_from names a member of the cluster that lags behind: name another"))
        }
        (Some(counted), Some(found)) if found == counted => Ok(true),
        // Nobody knows more than that nothing happened.
        (_, None) => Ok(first == last),
        (None, Some(_)) => Ok(first == last),
        (Some(_), Some(_)) => Ok(false),
    }
}

/// What was counted of a file itself.
fn item(object: &str, bytes: u64) -> Item {
    Item {
        kind: ARTIFACT.to_owned(),
        schema: String::new(),
        name: object.to_owned(),
        rows: 0,
        bytes,
        digest: Default::default(),
        value: None,
        place: None,
        plan: serde_json::Value::Null,
    }
}
