//! Restores of an online backup: its files beside the databases, and `neo4j-admin database restore` from there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::files::{self, Artifact};
use super::{ARTIFACT, commands, phase, run};
use crate::engines::neo4j::admin;
use crate::engines::neo4j::engine::Neo4j;
use crate::engines::neo4j::load;
use crate::engines::neo4j::offline::restore::{Place, whole_alone};
use crate::engines::neo4j::tools::Syntax;
use crate::engines::throwaway::free_bytes;
use crate::engines::{Origin, RestoreOptions, Restored, Target};
use crate::error::{Error, Explain as _, Kind, Result};
use crate::pipeline::BackupReader;
use crate::pipeline::child::human_bytes;
use crate::pipeline::inventory::Inventory;
use crate::pipeline::object::CleanEnd;

/// The directory of the files, beside those of the databases.
const ROOM: &str = "lifeboat-restore-";

/// What a store takes beyond the files themselves, at least.
const MORE: u64 = 64 << 20;

impl Neo4j {
    /// Restores an online backup. See [`crate::engines::Engine::restore`].
    pub(in crate::engines::neo4j) async fn restore_artifacts(
        &self,
        from: &BackupReader,
        origin: &Origin,
        target: &Target,
        options: &RestoreOptions,
    ) -> Result<Restored> {
        whole_alone(options)?;
        if options.globals {
            return Err(Error::new(Kind::Usage, "--globals is not for backups of the method backup: the database system is not in them")
                .hint("the restored database brings a script with its users and roles: tools/metadata_script.cypher"));
        }
        if let Some(site) = self.site(&target.endpoint) {
            let mut server = site.lock().await;
            let place = Place::throwaway(&server);
            let mut restored = self.restore_into(&place, from, origin, options).await?;
            let began = Instant::now();
            options.cancel.guard(server.start(false)).await?;
            restored.phases.push(phase("start", began));
            return Ok(restored);
        }
        let place = self.home_of(origin, target).await?;
        self.restore_into(&place, from, origin, options).await
    }

    async fn restore_into(
        &self,
        place: &Place,
        from: &BackupReader,
        origin: &Origin,
        options: &RestoreOptions,
    ) -> Result<Restored> {
        let database = place.database.as_str();
        admin::check_name(database)?;
        if let Some(other) = options.replace.iter().find(|name| *name != database) {
            return Err(Error::new(
                Kind::Usage,
                format!("--replace {other}: nothing is restored into {other}"),
            )
            .hint(format!("what is restored is {database}")));
        }
        let inventory = options.cancel.guard(from.inventory()).await?;
        let files = files::listed(from, &origin.properties)?;
        let raw: u64 = files.iter().map(|file| file.bytes).sum();
        let shown = format!("{} (database {database})", place.shown);
        if options.dry_run {
            return Ok(restored(shown, inventory, 0));
        }
        let replace = options.replace.iter().any(|name| name == database);
        let to = load::Place { tool: &place.tool, layout: &place.layout, database, replace };
        if place.service.is_none() {
            load::ready(&to).await?;
        }
        place.layout.make()?;
        load::may_write(&place.layout)?;
        let beside = place.layout.databases.parent().unwrap_or(&place.layout.databases);
        enough_room(beside, raw)?;

        let began = Instant::now();
        from.progress().phase("fetch");
        from.progress().expect_raw(raw);
        let room = Arc::new(files::directory(beside, ROOM)?);
        let artifacts = room.path().join("artifacts");
        let temp = room.path().join("temp");
        for path in [&artifacts, &temp] {
            std::fs::create_dir(path)
                .explain(Kind::Unreachable, || format!("cannot make {}", path.display()))?;
        }
        // All of it is there and whole before anything is touched.
        options.cancel.guard(files::fetch(from, &files, &artifacts)).await?;
        let mut phases = vec![phase("fetch", began)];

        let stopped = match &place.service {
            Some(service) => Some(service.stop().await?),
            None => None,
        };
        let began = Instant::now();
        from.progress().phase("load");
        let last = origin.properties.get("last_transaction").and_then(serde_json::Value::as_u64);
        let source = match place.tool.syntax {
            Syntax::Five => artifacts.join(files.last().map_or("", |file| file.path.as_str())),
            Syntax::Four => artifacts.join(top(&files)),
        };
        let stall = self.options.stall();
        let work = load_artifact(place, (&source, &temp), room.clone(), last, (options, stall));
        let outcome = load::replacing(&to, work).await;
        if let Some(stopped) = stopped {
            stopped.start(|| async { true }).await?;
        }
        let (mut warnings, more) =
            outcome.map_err(|error| error.while_doing(format!("{database} could not be restored")))?;
        warnings.extend(more);
        phases.push(phase("load", began));
        let mut restored = restored(shown, inventory, raw);
        restored.phases = phases;
        restored.warnings = warnings;
        if !options.staging {
            if place.service.is_none() {
                restored.advice.push("start the server: the database is in its files".to_owned());
            }
            restored.advice.push(format!(
                "a database that the server does not know is made known by CREATE DATABASE {database}; users and roles \
                 are in the database's tools/metadata_script.cypher"
            ));
        }
        Ok(restored)
    }
}

/// Runs the tool, and looks at what it made. Returns what somebody should know.
async fn load_artifact(
    place: &Place,
    (source, temp): (&Path, &Path),
    room: Arc<tempfile::TempDir>,
    last: Option<u64>,
    (options, stall): (&RestoreOptions, Duration),
) -> Result<Vec<String>> {
    let database = place.database.as_str();
    let what = format!("restoring the database {database}");
    let directories: [PathBuf; 2] = place.layout.of_database(database);
    let mut spec = commands::restore(&place.tool, source, temp, database);
    spec.guard = Some(Box::new(room));
    let watched = [temp, directories[0].as_path(), directories[1].as_path()];
    let messages = options.cancel.guard(run::watched(spec, &watched, stall, &what)).await?;
    if let Some(missing) = directories.iter().find(|directory| !directory.is_dir()) {
        let what = format!("neo4j-admin restored {database}, but {} is not there", missing.display());
        return Err(
            Error::new(Kind::Config, what).hint("NEO4J_HOME and NEO4J_CONF have to be those of the server")
        );
    }
    let mut warnings = admin::warnings(&messages);
    let info = options.cancel.guard(place.tool.info(database, Some(&directories[0]))).await?;
    match (last, info.last_transaction) {
        _ if info.needs_recovery => {
            warnings.push(format!("{database} is recovered when its server opens it first"));
        }
        (Some(expected), found) if found.is_none_or(|found| found < expected) => {
            let found = found.map_or_else(|| "?".to_owned(), |id| id.to_string());
            let what = format!(
                "{database} is at transaction {found} after it was restored, and the backup at {expected}"
            );
            return Err(Error::new(Kind::Damaged, what));
        }
        _ => {}
    }
    load::hand_over(&place.layout, database)?;
    Ok(warnings)
}

/// The directory that all files of a 4.x backup are in.
fn top(files: &[Artifact]) -> &str {
    files.first().and_then(|file| file.path.split('/').next()).unwrap_or_default()
}

/// The files, and the store that is made of them; the old one is still there, too.
fn enough_room(directory: &Path, raw: u64) -> Result<()> {
    let free = free_bytes(directory).explain(Kind::Unreachable, || {
        format!("the file system of {} does not answer", directory.display())
    })?;
    let needed = raw.saturating_mul(2).saturating_add(MORE);
    if free >= needed {
        return Ok(());
    }
    let what = format!(
        "{} has {} free, and the restore needs {} and more",
        directory.display(),
        human_bytes(free),
        human_bytes(needed)
    );
    Err(Error::new(Kind::Unreachable, what)
        .hint("the old database is kept until the new one is proven: make room for both"))
}

fn restored(target: String, inventory: Inventory, raw_bytes: u64) -> Restored {
    let rows = inventory.items.iter().filter(|item| item.kind != ARTIFACT).map(|item| item.rows).sum();
    Restored {
        target,
        rows,
        raw_bytes,
        inventory,
        phases: Vec::new(),
        warnings: Vec::new(),
        advice: Vec::new(),
        end: CleanEnd::of("neo4j-admin database restore"),
    }
}
