//! Restores of a dump: into a Neo4j home on this machine, or into a throwaway server.

use super::home::Home;
use super::{DUMP, STORE, SYSTEM, SYSTEM_DUMP};
use crate::engines::neo4j::engine::Neo4j;
use crate::engines::neo4j::ephemeral::Ephemeral;
use crate::engines::neo4j::layout::Layout;
use crate::engines::neo4j::load::{self, Loaded, Request};
use crate::engines::neo4j::service::{Limits, Service};
use crate::engines::neo4j::tools::{self, Tool};
use crate::engines::{Origin, RestoreOptions, Restored, Target};
use crate::error::{Error, Kind, Result};
use crate::pipeline::BackupReader;
use crate::pipeline::inventory::Inventory;
use crate::pipeline::object::CleanEnd;

impl Neo4j {
    /// Restores a dump. See [`crate::engines::Engine::restore`].
    pub(in crate::engines::neo4j) async fn restore_offline(
        &self,
        from: &BackupReader,
        origin: &Origin,
        target: &Target,
        options: &RestoreOptions,
    ) -> Result<Restored> {
        whole_alone(options)?;
        if let Some(site) = self.site(&target.endpoint) {
            let mut server = site.lock().await;
            let place = Place::throwaway(&server);
            let mut restored = self.load_into(&place, from, origin, options).await?;
            let began = std::time::Instant::now();
            options.cancel.guard(server.start(false)).await?;
            restored
                .phases
                .push(crate::engines::Phase { name: "start".into(), seconds: began.elapsed().as_secs_f64() });
            return Ok(restored);
        }
        let place = self.home_of(origin, target).await?;
        self.load_into(&place, from, origin, options).await
    }

    /// The home on this machine that a target names.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a server; [`Kind::Config`] for a home that is not there.
    pub(in crate::engines::neo4j) async fn home_of(&self, origin: &Origin, target: &Target) -> Result<Place> {
        let Some(home) = Home::of(&target.endpoint)? else {
            return Err(Error::new(
                Kind::Usage,
                "a dump or backup goes into the files of a Neo4j that is stopped, not into a server by its URL",
            )
            .hint("on that machine: --to file:///var/lib/neo4j (its home); or restore an export"));
        };
        if !home.home.is_dir() {
            return Err(Error::new(
                Kind::Config,
                format!("there is no Neo4j home at {}", home.home.display()),
            )
            .hint("name the directory that is NEO4J_HOME, as in --to file:///var/lib/neo4j"));
        }
        let environment = home.environment(&self.settings.host.environment);
        let tool = tools::find(self.settings.endpoint.tools.as_deref(), &environment).await?;
        let named = target.database.clone().or_else(|| origin.server.get("database").cloned());
        let own = &self.options.target;
        let limit = self.options.service_timeout();
        let service = (!own.stop.is_empty()).then(|| Service {
            stop: own.stop.clone(),
            start: own.start.clone(),
            environment: self.settings.host.environment.clone(),
            limits: Limits { stop: limit, start: limit, answer: limit },
        });
        Ok(Place {
            layout: Layout::read(&tool.environment)?,
            tool,
            database: named.unwrap_or_else(|| "neo4j".to_owned()),
            shown: home.home.display().to_string(),
            service,
        })
    }

    async fn load_into(
        &self,
        place: &Place,
        from: &BackupReader,
        origin: &Origin,
        options: &RestoreOptions,
    ) -> Result<Restored> {
        let database = &place.database;
        if let Some(other) = options.replace.iter().find(|name| *name != database && **name != SYSTEM) {
            return Err(Error::new(
                Kind::Usage,
                format!("--replace {other}: nothing is restored into {other}"),
            )
            .hint(format!("what is restored is {database}")));
        }
        let inventory = options.cancel.guard(from.inventory()).await?;
        let request = |object, name, replace, transaction| Request {
            tool: &place.tool,
            layout: &place.layout,
            object,
            database: name,
            replace,
            transaction,
            check: None,
            cancel: &options.cancel,
        };
        let replace = |name: &str| options.replace.iter().any(|replaced| replaced == name);
        let last = origin.properties.get("last_transaction").and_then(serde_json::Value::as_u64);
        let mut wanted = vec![request(DUMP, database.as_str(), replace(database), last)];
        if options.globals {
            from.object(SYSTEM_DUMP)?;
            wanted.push(request(SYSTEM_DUMP, SYSTEM, replace(SYSTEM), None));
        }
        let shown = format!("{} (database {database})", place.shown);
        if options.dry_run {
            return Ok(restored(shown, inventory, 0, Vec::new(), Vec::new()));
        }
        if place.service.is_none() {
            for request in &wanted {
                load::ready(&request.place()).await?;
            }
        }
        place.layout.make()?;
        let mut examined = Vec::new();
        let objects: Result<Vec<u64>> =
            wanted.iter().map(|request| Ok(from.object(request.object)?.raw_bytes)).collect();
        let raw: u64 = objects?.into_iter().sum();
        from.progress().phase("check");
        from.progress().expect_raw(raw);
        for request in &wanted {
            examined.push(load::examine(request, from).await?);
        }
        let stopped = match &place.service {
            Some(service) => Some(service.stop().await?),
            None => None,
        };
        from.progress().expect_raw(raw);
        let mut done: Vec<Loaded> = Vec::new();
        let mut outcome = Ok(());
        for (request, summary) in wanted.iter().zip(&examined) {
            match load::load(request, from, summary, from.progress()).await {
                Ok(loaded) => done.push(loaded),
                Err(error) => {
                    outcome = Err(error.while_doing(format!("{} could not be restored", request.database)));
                    break;
                }
            }
        }
        if let Some(stopped) = stopped {
            stopped.start(|| async { true }).await?;
        }
        outcome?;
        let (phases, warnings) =
            done.into_iter().fold((Vec::new(), Vec::new()), |(mut phases, mut warnings), loaded| {
                phases.extend(loaded.phases);
                warnings.extend(loaded.warnings);
                (phases, warnings)
            });
        let mut restored = restored(shown, inventory, raw, phases, warnings);
        if place.service.is_none() && !options.staging {
            restored.advice.push("start the server: the dump is in its files".to_owned());
        }
        if !options.globals && !options.staging {
            restored
                .advice
                .push("users and roles were not restored (--globals does, with --replace system)".to_owned());
        }
        Ok(restored)
    }
}

/// Where a dump or backup goes.
pub(in crate::engines::neo4j) struct Place {
    pub(in crate::engines::neo4j) tool: Tool,
    pub(in crate::engines::neo4j) layout: Layout,
    pub(in crate::engines::neo4j) database: String,
    pub(in crate::engines::neo4j) shown: String,
    /// How its server is stopped and started; `None`: it is stopped.
    pub(in crate::engines::neo4j) service: Option<Service>,
}

impl Place {
    /// The files of a throwaway server.
    pub(in crate::engines::neo4j) fn throwaway(server: &Ephemeral) -> Place {
        Place {
            tool: server.tool().clone(),
            layout: server.layout(),
            database: server.database().to_owned(),
            shown: format!("a throwaway Neo4j in {}", server.directory().display()),
            service: None,
        }
    }
}

/// Fails for options that ask for a part.
///
/// # Errors
/// [`Kind::Usage`] naming the option.
pub(in crate::engines::neo4j) fn whole_alone(options: &RestoreOptions) -> Result<()> {
    let named = [
        (options.schema_only, "--schema-only"),
        (options.data_only, "--data-only"),
        (!options.only.is_empty(), "--only"),
        (!options.renames.is_empty(), "--map"),
    ];
    match named.iter().find(|(given, _)| *given) {
        None => Ok(()),
        Some((_, name)) => Err(Error::new(
            Kind::Usage,
            format!("{name} is not for files of a Neo4j store: they are restored whole"),
        )
        .hint("an export can be restored in part")),
    }
}

fn restored(
    target: String,
    inventory: Inventory,
    raw_bytes: u64,
    phases: Vec<crate::engines::Phase>,
    warnings: Vec<String>,
) -> Restored {
    let rows = inventory.items.iter().filter(|item| item.kind != STORE).map(|item| item.rows).sum();
    Restored {
        target,
        rows,
        raw_bytes,
        inventory,
        phases,
        warnings,
        advice: Vec::new(),
        end: CleanEnd::of("neo4j-admin database load"),
    }
}
