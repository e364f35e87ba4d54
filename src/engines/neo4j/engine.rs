//! The Neo4j engine: the trait, put together from the files beside this one.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::io::AsyncWrite;
use tokio::sync::Mutex as AsyncMutex;

use super::connect::{self, major_minor};
use super::dump::DUMP;
use super::enterprise::{self, FIRST};
use super::ephemeral::{self, Ephemeral};
use super::export::GRAPH;
use super::graph::counting::Counting;
use super::options::Options;
use super::staging::{self, EphemeralSite, ServerSite};
use super::tools::{self, Tool};
use super::uri::Uri;
use crate::bolt::Connection;
use crate::engines::{
    Captured, Comparison, Conversion, Converted, Endpoint, Engine, Finding, Host, Origin, Query,
    RestoreOptions, Restored, Settings, Site, Staging, Target,
};
use crate::error::{Error, Kind, Result};
use crate::pipeline::inventory::Inventory;
use crate::pipeline::progress::Progress;
use crate::pipeline::{BackupReader, Sink};

/// The engine's word.
pub const NAME: &str = "neo4j";

/// Where the password of a connection comes from when neither the configuration nor the URL has it.
const PASSWORD: &str = "NEO4J_PASSWORD";

/// Connections that read at once, where the source does not say.
const READERS: usize = 4;

/// A throwaway server that a drill has made.
type Throwaway = Arc<AsyncMutex<Ephemeral>>;

/// One source, or any server that a restore of it goes to.
#[derive(Debug)]
pub struct Neo4j {
    pub(super) settings: Settings,
    pub(super) options: Options,
    pub(super) uri: Uri,
    method: &'static str,
    /// By URL.
    sites: Mutex<HashMap<String, Throwaway>>,
}

/// Makes the engine of a source.
///
/// # Errors
/// [`Kind::Config`] when endpoint, method or options do not make sense.
pub fn open(settings: &Settings) -> Result<Arc<dyn Engine>> {
    Ok(Arc::new(Neo4j::new(settings)?))
}

/// The address of an endpoint, with its password.
///
/// # Errors
/// [`Kind::Config`] when it is none.
pub(super) fn resolve(endpoint: &Endpoint, host: &Host) -> Result<Uri> {
    let uri = Uri::parse(&endpoint.url, endpoint.password.as_ref())?;
    let password = host.environment.get(PASSWORD).filter(|password| !password.is_empty());
    Ok(match password {
        Some(password) if uri.lacks_password() => uri.with_password(password.as_str().into()),
        _ => uri,
    })
}

impl Neo4j {
    /// Makes the engine of a source.
    ///
    /// # Errors
    /// [`Kind::Config`] when endpoint, method or options do not make sense.
    pub fn new(settings: &Settings) -> Result<Neo4j> {
        let method = settings.choose_method(NAME, &METHODS.map(|(method, _)| method))?;
        let options: Options = settings.read_options(NAME)?;
        options.check(method)?;
        // Reading a backup needs no server: then there is no URL.
        let uri = match settings.endpoint.url.is_empty() {
            true => Uri::parse(&"neo4j://localhost".into(), None)?,
            false => resolve(&settings.endpoint, &settings.host)?,
        };
        Ok(Neo4j { settings: settings.clone(), options, uri, method, sites: Mutex::default() })
    }

    /// A connection to the source.
    pub(super) async fn connect(&self) -> Result<Connection> {
        connect::connect(&self.uri).await
    }

    /// Connections that read at once.
    pub(super) fn readers(&self) -> usize {
        self.options.readers.unwrap_or_else(|| self.settings.host.threads.clamp(1, READERS)).max(1)
    }

    /// Reads a stored export to its end and counts it.
    pub(super) async fn count_export(&self, from: &BackupReader) -> Result<Inventory> {
        let mut stream = from.stream(GRAPH)?;
        let mut counting = Counting::default();
        while let Some(chunk) = stream.next().await? {
            counting.feed(&chunk, &mut |_, _| Ok(()))?;
            from.progress().add_raw(chunk.len() as u64);
        }
        counting.finish()
    }

    /// The throwaway server behind an endpoint, if it is one.
    pub(super) fn site(&self, endpoint: &Endpoint) -> Option<Throwaway> {
        let sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        sites.get(endpoint.url.expose()).cloned()
    }

    /// `neo4j-admin` and `neo4j`, from the staging's or source's directory, `NEO4J_HOME` or the `PATH`.
    async fn server_tools(&self, tools: Option<&Path>) -> Result<Tool> {
        let mut environment: BTreeMap<String, String> = self.settings.host.environment.clone();
        // Of a throwaway server, the configuration is its own.
        environment.remove("NEO4J_CONF");
        let found = tools::find(tools, &environment).await.and_then(|tool| {
            match tool.path.with_file_name("neo4j").is_file() {
                true => Ok(tool),
                false => Err(Error::new(Kind::Failed, "there is no program neo4j beside neo4j-admin")),
            }
        });
        found.map_err(|error| {
            let hint =
                error.hint_text().unwrap_or("install Neo4j, or give a staging server by URL").to_owned();
            Error::new(Kind::Unreachable, "a throwaway server cannot be started here")
                .because(error)
                .hint(hint)
        })
    }

    async fn throwaway(
        &self,
        tools: Option<PathBuf>,
        origin: &Origin,
        raw_bytes: u64,
    ) -> Result<Box<dyn Site>> {
        let tool = self.server_tools(tools.as_deref()).await?;
        if let Some(source) = origin.server.get("version")
            && major_minor(source) > major_minor(&tool.version)
        {
            return Err(Error::new(
                Kind::Unreachable,
                format!("the installed Neo4j is {}, and the backup is of Neo4j {source}", tool.version),
            )
            .hint("install that version or newer, or give a staging server by URL"));
        }
        let database = origin.server.get("database").map_or("neo4j", String::as_str);
        let mut server =
            Ephemeral::prepare(&tool, &self.settings.host.temporary_files(), database, raw_bytes)?;
        // A dump or backup goes into its files before it is started.
        if !is_of_files(&origin.properties)
            && let Err(error) = server.start(true).await
        {
            let _ = server.stop().await;
            return Err(error);
        }
        let endpoint = Endpoint { url: server.url(), password: Some(server.password().clone()), tools };
        let shown = format!("a throwaway Neo4j {} in {}", tool.version, server.directory().display());
        let server = Arc::new(AsyncMutex::new(server));
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        sites.insert(endpoint.url.expose().to_owned(), server.clone());
        Ok(Box::new(EphemeralSite::new(server, endpoint, shown)))
    }
}

fn only_ephemeral() -> Error {
    Error::new(
        Kind::Config,
        "a drill of this method restores files of a store, which needs a server of its own",
    )
    .hint("set the source's staging url to \"ephemeral\"; a staging server by URL is for exports")
}

/// Methods, each with the object that its backups have. The first is the default.
const METHODS: [(&str, &str); 3] = [("export", GRAPH), ("dump", DUMP), ("backup", FIRST)];

/// By which method a backup was made: it is read as what it is, whatever is configured now.
fn method_of(from: &BackupReader) -> &'static str {
    METHODS.iter().find(|(_, object)| from.object(object).is_ok()).map_or("export", |(method, _)| method)
}

/// Whether a backup of these properties is restored into the files of a server that is stopped.
fn is_of_files(properties: &serde_json::Value) -> bool {
    let method = properties.get("method").and_then(serde_json::Value::as_str);
    matches!(method, Some("dump" | "backup"))
}

#[async_trait]
impl Engine for Neo4j {
    fn name(&self) -> &'static str {
        NAME
    }

    fn method(&self) -> &'static str {
        self.method
    }

    fn describe(&self) -> String {
        self.uri.to_string()
    }

    async fn preflight(&self) -> Result<Vec<Finding>> {
        match self.method {
            "dump" => self.preflight_dump().await,
            "backup" => self.preflight_backup().await,
            _ => self.preflight_export().await,
        }
    }

    async fn backup(&self, sink: &Sink, progress: &Progress) -> Result<Captured> {
        match self.method {
            "dump" => self.backup_offline(sink, progress).await,
            "backup" => self.backup_online(sink, progress).await,
            _ => self.export(sink, progress).await,
        }
    }

    async fn recount(&self, from: &BackupReader) -> Result<Inventory> {
        match method_of(from) {
            "dump" => self.recount_offline(from).await,
            "backup" => self.recount_artifacts(from).await,
            _ => self.count_export(from).await,
        }
    }

    async fn restore(
        &self,
        from: &BackupReader,
        origin: &Origin,
        target: &Target,
        options: &RestoreOptions,
    ) -> Result<Restored> {
        match method_of(from) {
            "dump" => self.restore_offline(from, origin, target, options).await,
            "backup" => self.restore_artifacts(from, origin, target, options).await,
            _ => self.import(from, origin, target, options).await,
        }
    }

    async fn convert(
        &self,
        from: &BackupReader,
        origin: &Origin,
        conversion: &Conversion<'_>,
        output: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<Converted> {
        self.convert_export(from, origin, conversion, output).await
    }

    async fn compare(
        &self,
        target: &Target,
        plan: &Inventory,
        origin: &Origin,
        progress: &Progress,
    ) -> Result<Comparison> {
        self.compare_target(target, plan, origin, progress).await
    }

    async fn provision(&self, staging: &Staging, origin: &Origin, raw_bytes: u64) -> Result<Box<dyn Site>> {
        match staging {
            Staging::Server(endpoint) => {
                // Files go into no server by its URL; that is said before anything is claimed.
                if origin.properties.get("method").and_then(serde_json::Value::as_str) != Some("export") {
                    return Err(only_ephemeral());
                }
                let uri = resolve(endpoint, &self.settings.host)?;
                Ok(Box::new(ServerSite::provision(endpoint.clone(), &uri, origin).await?))
            }
            Staging::Ephemeral { tools } => self.throwaway(tools.clone(), origin, raw_bytes).await,
        }
    }

    async fn preflight_staging(&self, staging: &Staging) -> Result<Vec<Finding>> {
        match staging {
            Staging::Server(_) if self.method != "export" => {
                let error = only_ephemeral();
                Ok(vec![Finding::error("staging", error.chain(), error.hint_text().unwrap_or_default())])
            }
            Staging::Server(endpoint) => staging::preflight(&resolve(endpoint, &self.settings.host)?).await,
            Staging::Ephemeral { tools } => {
                let told = |error: Error| {
                    Finding::error("staging", error.chain(), error.hint_text().unwrap_or_default())
                };
                let mut findings = vec![match self.server_tools(tools.as_deref()).await {
                    Ok(tool) => Finding::ok(
                        "staging",
                        format!(
                            "a throwaway server can be started by {}",
                            tool.path.with_file_name("neo4j").display()
                        ),
                    ),
                    Err(error) => told(error),
                }];
                findings
                    .extend(ephemeral::check_space(&self.settings.host.temporary_files(), 0).err().map(told));
                Ok(findings)
            }
        }
    }

    async fn ask(&self, target: &Target, query: &Query) -> Result<Option<String>> {
        self.ask_target(target, query).await
    }

    async fn structural_check(&self, target: &Target) -> Result<Option<String>> {
        self.check_structure(target).await
    }

    fn by_hand(&self, print_object: &str, properties: &serde_json::Value) -> Vec<String> {
        let method = properties.get("method").and_then(serde_json::Value::as_str);
        if method == Some("backup") {
            return enterprise::by_hand(print_object, properties);
        }
        if method == Some("dump") {
            let print = print_object.replace("OBJECT", DUMP);
            return vec![
                "set -euo pipefail   # the server is stopped, NEO4J_HOME and NEO4J_CONF are its own"
                    .to_owned(),
                format!("{print} | sha256sum   # must be the sha256 of {DUMP}"),
                format!("{print} | neo4j-admin database load --from-stdin DATABASE"),
            ];
        }
        let print = print_object.replace("OBJECT", GRAPH);
        vec![
            "set -euo pipefail".to_owned(),
            format!("{print} | sha256sum   # must be the sha256 of {GRAPH}"),
            format!(
                "{print} | zstd -dc | scripts/read-graph-export > graph.jsonl   # docs/graph-export.md describes both"
            ),
        ]
    }
}
