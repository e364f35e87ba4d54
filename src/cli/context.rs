//! What every command needs: configuration, store, catalog, engine, output, the run and the time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::OnceCell;

use super::outlets::Outlets;
use super::timings::Timings;
use super::{Globals, Ui};
use crate::cancel::Cancel;
use crate::catalog::lease::LeaseOptions;
use crate::catalog::{Catalog, Run};
use crate::clock::Clock;
use crate::config::{
    self, ConditionalWrites, Config, Database, LoadRequest, Override, Source, StagingTarget, StoreConfig,
};
use crate::engines::{self, Endpoint, Engine, Host, Settings};
use crate::error::{Error, Explain as _, Kind, Result};
use crate::pipeline::Tuning;
use crate::stores::{self, SharedStore};

/// What every command needs. Configuration and store are opened when they are first asked for.
#[derive(Debug)]
pub struct Context {
    /// Where results and status go.
    pub ui: Ui,
    /// Tells that a signal came.
    pub cancel: Cancel,
    /// The instant that this run decides by.
    pub now: DateTime<Utc>,
    /// This run, as it signs the lease, marks and uses.
    pub run: Run,
    /// The monotonic clock of this run.
    pub clock: Clock,
    /// How long leases and leftovers are respected.
    pub timings: Timings,
    /// Who is told how the work of each source ended.
    pub(super) outlets: Outlets,
    globals: Globals,
    environment: BTreeMap<String, String>,
    overrides: Vec<Override>,
    config: OnceLock<Config>,
    store: OnceCell<SharedStore>,
}

impl Context {
    /// The context of one run of a command. Reads the environment, the time and the host's name.
    pub fn new(globals: Globals, command: &str, cancel: Cancel) -> Self {
        let now = Utc::now();
        let run = Run::new(now, &host_name(), std::process::id(), command);
        // A variable that is not UTF-8 is none of ours.
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Context {
            ui: globals.ui(&run.id),
            cancel,
            now,
            run,
            clock: Clock::start(),
            timings: Timings::of(&environment),
            outlets: Outlets::default(),
            globals,
            environment,
            overrides: Vec::new(),
            config: OnceLock::new(),
            store: OnceCell::new(),
        }
    }

    /// The same, with a configuration in which flags win: what `config` says first after this.
    #[must_use]
    pub fn with_overrides(&self, overrides: Vec<Override>) -> Self {
        Context {
            ui: self.ui.clone(),
            cancel: self.cancel.clone(),
            now: self.now,
            run: self.run.clone(),
            clock: self.clock,
            timings: self.timings,
            outlets: self.outlets.clone(),
            globals: self.globals.clone(),
            environment: self.environment.clone(),
            overrides,
            config: OnceLock::new(),
            store: OnceCell::new(),
        }
    }

    /// The configuration. Its warnings are shown when it is first loaded.
    ///
    /// # Errors
    /// [`Kind::Config`] when it is missing or wrong.
    pub fn config(&self) -> Result<&Config> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let cwd =
            std::env::current_dir().explain(Kind::Config, || "there is no working directory".to_owned())?;
        let request = LoadRequest {
            explicit_path: self.globals.config.clone(),
            env: self.environment.clone(),
            overrides: self.overrides.clone(),
            other_variables: vec![super::termination::VARIABLE.to_owned()],
            ..LoadRequest::new(cwd)
        };
        let config = config::load(&request)?;
        for warning in &config.warnings {
            self.ui.warn(warning);
        }
        Ok(self.config.get_or_init(|| config))
    }

    /// The configuration as its file and policies alone have it, as another machine would see it. `None`
    /// when there is no file.
    ///
    /// # Errors
    /// Those of [`Context::config`], with the environment or without.
    pub fn config_without_environment(&self) -> Result<Option<Config>> {
        let Some(file) = self.config()?.file.clone() else { return Ok(None) };
        let cwd =
            std::env::current_dir().explain(Kind::Config, || "there is no working directory".to_owned())?;
        config::load(&LoadRequest { explicit_path: Some(file), ..LoadRequest::new(cwd) }).map(Some)
    }

    /// The sources of these names, or all when there is no name. Each one once, in the order given.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a name that is not configured, [`Kind::Config`] when no source is.
    pub fn sources(&self, names: &[String]) -> Result<Vec<&Source>> {
        let config = self.config()?;
        if names.is_empty() {
            if config.sources.is_empty() {
                return Err(Error::new(Kind::Config, "no source is configured")
                    .hint("add a section [sources.NAME] with engine and url"));
            }
            return Ok(config.sources.values().collect());
        }
        let mut sources: Vec<&Source> = Vec::new();
        for name in names {
            let source = config.source(name)?;
            if !sources.iter().any(|known| known.name == source.name) {
                sources.push(source);
            }
        }
        Ok(sources)
    }

    /// How the lease of a source is taken by a run that waits so long for another.
    ///
    /// # Errors
    /// Those of [`Context::config`].
    pub fn lease_options(&self, wait: Option<Duration>) -> Result<LeaseOptions> {
        let weak = self.config()?.store.conditional_writes == ConditionalWrites::Weak;
        Ok(LeaseOptions { wait, weak, ..self.timings.lease() })
    }

    /// The store.
    ///
    /// # Errors
    /// [`Kind::Config`] when its configuration does not make sense.
    pub async fn store(&self) -> Result<SharedStore> {
        let store = self
            .store
            .get_or_try_init(async || stores::open::open(&store_spec(&self.config()?.store)?).await);
        store.await.cloned()
    }

    /// The backups of a source in the store.
    ///
    /// # Errors
    /// Those of [`Context::store`], and [`Kind::Config`] for a name that cannot be one.
    pub async fn catalog(&self, source: &str) -> Result<Catalog> {
        Catalog::new(self.store().await?, source)
    }

    /// The backups of a source that may have left the configuration, but not the store.
    ///
    /// # Errors
    /// Those of [`Context::catalog`]; that of an unknown source when the store has nothing of it either.
    pub async fn catalog_of_any(&self, source: &str) -> Result<Catalog> {
        let unknown = match self.config()?.source(source) {
            Ok(_) => return self.catalog(source).await,
            Err(unknown) => unknown,
        };
        let Ok(catalog) = self.catalog(source).await else { return Err(unknown) };
        if catalog.ids().await?.is_empty() { Err(unknown) } else { Ok(catalog) }
    }

    /// The engine of a source, with its password.
    ///
    /// # Errors
    /// [`Kind::Config`] when the engine is not known, does not like the settings, or the password is not there.
    pub fn engine(&self, source: &Source) -> Result<Arc<dyn Engine>> {
        let endpoint = endpoint(&source.database, source.tools.clone(), source.database.password()?);
        engines::open(&source.engine, &self.settings(endpoint, Some(source))?)
    }

    /// The engine that reads a backup without a server: by the name in its manifest, with what the
    /// configuration says about the source, if anything, and without a password.
    ///
    /// # Errors
    /// [`Kind::Config`] when the engine is not known.
    pub fn reading_engine(&self, engine: &str, source: &str) -> Result<Arc<dyn Engine>> {
        let source = self.config()?.sources.get(source).filter(|source| source.engine == engine);
        let endpoint = source.map(|source| endpoint(&source.database, source.tools.clone(), None));
        engines::open(engine, &self.settings(endpoint.unwrap_or_default(), source)?)
    }

    /// Where drills of a source restore to, with the password; `None` when that is not configured.
    ///
    /// # Errors
    /// [`Kind::Config`] when the password is not there.
    pub fn staging(&self, source: &Source) -> Result<Option<engines::Staging>> {
        let Some(staging) = &source.staging else { return Ok(None) };
        let tools = staging.tools.clone();
        Ok(Some(match &staging.target {
            StagingTarget::Ephemeral => engines::Staging::Ephemeral { tools },
            StagingTarget::Server(database) => {
                engines::Staging::Server(endpoint(database, tools, database.password()?))
            }
        }))
    }

    /// Who runs this, for marks that people read.
    pub fn user(&self) -> String {
        let mut named = ["USER", "LOGNAME"].iter().filter_map(|name| self.environment.get(*name));
        let name = named.find(|name| !name.is_empty()).cloned();
        name.unwrap_or_else(|| format!("uid {}", nix::unistd::getuid()))
    }

    /// What the process gives every engine.
    ///
    /// # Errors
    /// Those of [`Context::config`].
    pub fn host(&self) -> Result<Host> {
        Ok(Host { environment: self.environment.clone(), threads: self.threads()? })
    }

    /// Threads to use: as configured, else one for each core.
    ///
    /// # Errors
    /// Those of [`Context::config`].
    pub fn threads(&self) -> Result<usize> {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        Ok(match self.config()?.backup.threads {
            0 => all(),
            threads => threads as usize,
        })
    }

    /// How much of the machine a stream into the store may use.
    ///
    /// # Errors
    /// Those of [`Context::config`].
    pub fn tuning(&self) -> Result<Tuning> {
        let config = self.config()?;
        Ok(Tuning {
            level: config.backup.compression_level,
            threads: self.threads()?,
            // At most 5 GiB, by the configuration.
            part_size: config.store.part_size as usize,
            uploads: config.store.uploads_in_flight as usize,
        })
    }

    fn settings(&self, endpoint: Endpoint, source: Option<&Source>) -> Result<Settings> {
        let backup = &self.config()?.backup;
        let options = source.map(|source| serde_json::to_value(&source.options)).transpose();
        Ok(Settings {
            endpoint,
            method: source.and_then(|source| source.method.clone()),
            options: options
                .explain(Kind::Config, || "the options are not to be read".to_owned())?
                .unwrap_or_default(),
            require_consistent: source.is_some_and(|source| source.policy.objectives.consistent),
            lock_timeout: backup.lock_timeout,
            lock_attempts: backup.lock_attempts,
            host: self.host()?,
        })
    }
}

fn endpoint(
    database: &Database,
    tools: Option<PathBuf>,
    password: Option<crate::secret::Secret>,
) -> Endpoint {
    Endpoint { url: database.url.as_str().into(), password, tools }
}

fn store_spec(config: &StoreConfig) -> Result<stores::open::StoreSpec> {
    let credentials = config.credentials()?.map(|(id, secret_key)| stores::open::Credentials {
        access_key: id.expose().to_owned(),
        secret_key,
        session_token: None,
    });
    Ok(stores::open::StoreSpec {
        endpoint: config.endpoint.clone(),
        region: config.region.clone(),
        // What is not asked for is left to the store, which knows what an endpoint needs.
        path_style: config.path_style.then_some(true),
        checksums: match config.checksums {
            config::Checksums::WhenSupported => stores::open::Checksums::WhenSupported,
            config::Checksums::WhenRequired => stores::open::Checksums::WhenRequired,
        },
        credentials,
        ca_file: config.ca_file.clone(),
        part_bytes: config.part_size,
        ..stores::open::StoreSpec::new(config.url.clone())
    })
}

/// The host's name: in a cluster that of the pod.
fn host_name() -> String {
    let variable = std::env::var("HOSTNAME").ok();
    let kernel = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = variable.or_else(kernel).map(|name| name.trim().to_owned());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}
