//! The MongoDB engine: the trait, put together from the files beside this one.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::connect::{self, Server};
use super::counted::Counting;
use super::dump::DUMP;
use super::options::Options;
use super::staging::{self, EphemeralSite, ServerSite};
use super::tools::{self, Tool};
use super::uri::Uri;
use super::{ephemeral, preflight};
use crate::engines::{
    Captured, Comparison, Endpoint, Engine, Finding, Host, Origin, Query, RestoreOptions, Restored, Settings,
    Site, Staging, Target,
};
use crate::error::{Error, Kind, Result};
use crate::pipeline::frames::place_of;
use crate::pipeline::inventory::Inventory;
use crate::pipeline::progress::Progress;
use crate::pipeline::{BackupReader, Sink};

/// The engine's word.
pub const NAME: &str = "mongodb";

/// Where the password of a connection comes from when neither the configuration nor the URL has it.
const PASSWORD: &str = "MONGODB_PASSWORD";

/// One source, or any server that a restore of it goes to.
#[derive(Debug)]
pub struct Mongo {
    pub(super) settings: Settings,
    pub(super) options: Options,
    pub(super) uri: Uri,
}

/// Makes the engine of a source.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) when endpoint, method or options do not make sense.
pub fn open(settings: &Settings) -> Result<Arc<dyn Engine>> {
    Ok(Arc::new(Mongo::new(settings)?))
}

/// The connection string of an endpoint, with its password.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) when it is none.
pub(super) fn resolve(endpoint: &Endpoint, host: &Host) -> Result<Uri> {
    let uri = Uri::parse(&endpoint.url, endpoint.password.as_ref())?;
    let password = host.environment.get(PASSWORD).filter(|password| !password.is_empty());
    Ok(match password {
        Some(password) if uri.lacks_password() => uri.with_password(password.as_str().into()),
        _ => uri,
    })
}

impl Mongo {
    /// Makes the engine of a source.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) when endpoint, method or options do not make sense.
    pub fn new(settings: &Settings) -> Result<Mongo> {
        settings.choose_method(NAME, &["dump"])?;
        let options: Options = settings.read_options(NAME)?;
        options.check()?;
        // Reading a backup needs no server: then there is no URL.
        let uri = match settings.endpoint.url.is_empty() {
            true => Uri::parse(&"mongodb://localhost".into(), None)?,
            false => resolve(&settings.endpoint, &settings.host)?,
        };
        Ok(Mongo { settings: settings.clone(), options, uri })
    }

    /// A connection to the source.
    pub(super) async fn connect(&self) -> Result<Server> {
        connect::connect(&self.uri, self.options.read_preference()).await
    }

    /// A program of the vendor's, from the configured directory or the `PATH`.
    pub(super) async fn tool(&self, name: &str) -> Result<Tool> {
        let path = self.settings.host.environment.get("PATH").map(String::as_str);
        tools::find(name, self.settings.endpoint.tools.as_deref(), path).await
    }

    /// The connection string that the tools get.
    pub(super) fn tool_uri(&self) -> Uri {
        self.uri.clone()
    }

    /// Reads a stored archive to its end and counts it.
    pub(super) async fn count(&self, from: &BackupReader) -> Result<Inventory> {
        let starts = from.frames(DUMP)?.raw_starts();
        let mut stream = from.stream(DUMP)?;
        let mut counting = Counting::default();
        while let Some(chunk) = stream.next().await? {
            counting.feed(&chunk)?;
            from.progress().add_raw(chunk.len() as u64);
        }
        let summary = counting.reader.finish()?;
        Ok(counting.tally.inventory(&summary, &|at| place_of(&starts, at)))
    }

    /// mongod, from the staging's or source's directory or the `PATH`.
    async fn mongod(&self, tools: Option<&Path>) -> Result<Tool> {
        let path = self.settings.host.environment.get("PATH").map(String::as_str);
        let configured = tools.filter(|directory| directory.join("mongod").is_file());
        tools::find("mongod", configured, path).await.map_err(|error| {
            let hint = error.hint_text().unwrap_or_default().to_owned();
            Error::new(Kind::Unreachable, "a throwaway server cannot be started here")
                .because(error)
                .hint(hint)
        })
    }

    /// Collections that are read at once.
    pub(super) fn readers(&self) -> usize {
        self.settings.host.threads.clamp(1, 8)
    }
}

#[async_trait]
impl Engine for Mongo {
    fn name(&self) -> &'static str {
        NAME
    }

    fn method(&self) -> &'static str {
        "dump"
    }

    fn describe(&self) -> String {
        self.uri.to_string()
    }

    async fn preflight(&self) -> Result<Vec<Finding>> {
        let server = self.connect().await?;
        let mut findings = preflight::plan(&server, &self.options).await?.findings;
        for name in ["mongodump", "mongorestore"] {
            let found =
                self.tool(name).await.and_then(|tool| tool.check_server(&server.version).map(|()| tool));
            findings.push(match found {
                Ok(tool) => {
                    Finding::ok(name, format!("version {} fits the server, {}", tool.version, server.version))
                }
                Err(error) if name == "mongodump" => {
                    Finding::error(name, error.chain(), error.hint_text().unwrap_or("install it"))
                }
                // A backup can do without it; a restore cannot.
                Err(error) => Finding {
                    hint: error.hint_text().map(str::to_owned),
                    ..Finding::warning(name, error.chain())
                },
            });
        }
        Ok(findings)
    }

    async fn backup(&self, sink: &Sink, progress: &Progress) -> Result<Captured> {
        self.dump(sink, progress).await
    }

    async fn recount(&self, from: &BackupReader) -> Result<Inventory> {
        self.count(from).await
    }

    async fn restore(
        &self,
        from: &BackupReader,
        origin: &Origin,
        target: &Target,
        options: &RestoreOptions,
    ) -> Result<Restored> {
        self.restore_into(from, origin, target, options).await
    }

    async fn compare(
        &self,
        target: &Target,
        plan: &Inventory,
        _: &Origin,
        progress: &Progress,
    ) -> Result<Comparison> {
        self.compare_target(target, plan, progress).await
    }

    async fn provision(&self, staging: &Staging, origin: &Origin, raw_bytes: u64) -> Result<Box<dyn Site>> {
        match staging {
            Staging::Server(endpoint) => {
                let uri = resolve(endpoint, &self.settings.host)?;
                Ok(Box::new(ServerSite::provision(endpoint.clone(), &uri, origin).await?))
            }
            Staging::Ephemeral { tools } => {
                let mongod = self.mongod(tools.as_deref()).await?;
                let under = self.settings.host.temporary_files();
                let site = EphemeralSite::provision(&mongod, tools.clone(), &under, origin, raw_bytes);
                Ok(Box::new(site.await?))
            }
        }
    }

    async fn preflight_staging(&self, staging: &Staging) -> Result<Vec<Finding>> {
        match staging {
            Staging::Server(endpoint) => {
                let uri = resolve(endpoint, &self.settings.host)?;
                staging::preflight(&uri, self.options.oplog != super::options::Oplog::Off).await
            }
            Staging::Ephemeral { tools } => {
                let told = |error: Error| {
                    Finding::error("staging", error.chain(), error.hint_text().unwrap_or_default())
                };
                let mut findings = vec![match self.mongod(tools.as_deref()).await {
                    Ok(tool) => Finding::ok(
                        "staging",
                        format!("a throwaway server can be started from {}", tool.path.display()),
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
        let print = print_object.replace("OBJECT", DUMP);
        let oplog = properties.get("oplog").and_then(serde_json::Value::as_bool).unwrap_or(false);
        let replay = if oplog { " --oplogReplay" } else { "" };
        vec![
            "set -euo pipefail".to_owned(),
            format!("{print} | sha256sum   # must be the sha256 of {DUMP}"),
            format!(
                "{print} | zstd -dc | mongorestore --config=URI.yaml --archive --stopOnError \
                 --bypassDocumentValidation{replay}"
            ),
        ]
    }
}
