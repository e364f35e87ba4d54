//! The PostgreSQL engine: the trait, put together from the files beside this one.

use std::ffi::OsString;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use crate::engines::postgres::dump::DUMP;
use crate::engines::postgres::properties::Properties;
use crate::engines::postgres::resolve::{self, Connection, Inputs};
use crate::engines::postgres::restore::leftovers;
use crate::engines::postgres::tools::{Tool, Tools};
use crate::engines::postgres::{archive, connect, privileges, settings};
use crate::engines::{
    Captured, Comparison, Endpoint, Engine, Finding, Host, Origin, Query, RestoreOptions, Restored, Settings,
    Site, Staging, Target,
};
use crate::error::Result;
use crate::pipeline::child::Spec;
use crate::pipeline::frames::place_of;
use crate::pipeline::inventory::Inventory;
use crate::pipeline::progress::Progress;
use crate::pipeline::{BackupReader, Sink};

/// One source, or any server that a restore of it goes to.
#[derive(Debug)]
pub struct Postgres {
    pub(super) settings: Settings,
    pub(super) connection: Connection,
    tools: OnceCell<Tools>,
}

/// This engine has no settings of its own.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NoOptions {}

/// Makes the engine of a source.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) when the endpoint does not make sense.
pub fn open(settings: &Settings) -> Result<Arc<dyn Engine>> {
    Ok(Arc::new(Postgres::new(settings)?))
}

/// Resolves an endpoint into a connection.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) when the endpoint does not make sense.
pub(super) fn resolve_endpoint(endpoint: &Endpoint, host: &Host) -> Result<Connection> {
    resolve::resolve(&Inputs {
        password: endpoint.password.clone(),
        url: endpoint.url.clone(),
        variables: host.environment.clone(),
        ..Inputs::default()
    })
}

impl Postgres {
    /// Makes the engine of a source.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) when the endpoint does not make sense.
    pub fn new(settings: &Settings) -> Result<Postgres> {
        settings.choose_method("postgres", &["dump"])?;
        let NoOptions {} = settings.read_options("postgres")?;
        Ok(Postgres {
            connection: resolve_endpoint(&settings.endpoint, &settings.host)?,
            settings: settings.clone(),
            tools: OnceCell::new(),
        })
    }

    /// The connection to a target's database.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) when the endpoint does not make sense.
    pub(super) fn target_connection(&self, target: &Target) -> Result<Connection> {
        let connection = resolve_endpoint(&target.endpoint, &self.settings.host)?;
        Ok(match &target.database {
            Some(name) => connection.with_database(name),
            None => connection,
        })
    }

    /// What is installed; looked for once.
    pub(super) async fn tools(&self) -> Result<&Tools> {
        let configured = self.settings.endpoint.tools.as_deref();
        let path = self.settings.host.environment.get("PATH").map(String::as_str);
        self.tools.get_or_try_init(|| Tools::discover(configured, path)).await
    }

    /// A child that reaches this connection with the pinned settings for a server of this version.
    pub(super) fn child(
        &self,
        connection: &Connection,
        tool: &Tool,
        server_version: u32,
        extra_options: &str,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Result<Spec> {
        let options = format!("{} {extra_options}", settings::child_options(server_version));
        let environment = connection.environment(&self.settings.host.environment, options.trim())?;
        let mut spec = Spec::new(&tool.path, arguments);
        spec.name = tool.name.clone();
        spec.environment = environment.variables().clone();
        spec.secrets = connection.secrets();
        spec.guard = Some(Box::new(environment));
        Ok(spec)
    }
}

/// The command that makes a database with the encoding and locale of the source.
fn create_by_hand(properties: &serde_json::Value) -> String {
    let mut command = "createdb --template=template0".to_owned();
    if let Ok(source) = serde_json::from_value::<Properties>(properties.clone()) {
        for (flag, value) in
            [("encoding", &source.encoding), ("lc-collate", &source.collate), ("lc-ctype", &source.ctype)]
        {
            // They are names of encodings and locales; anything else would need quoting in a shell.
            if !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || "._-@".contains(c)) {
                command.push_str(&format!(" --{flag}={value}"));
            }
        }
    }
    command + " NEW_DATABASE"
}

/// The major version of the `pg_dump` that made a backup.
pub(super) fn dump_major(origin: &Origin) -> Option<u32> {
    origin.tools.get("pg_dump").and_then(|text| major(text))
}

/// The major version of `15.18` or `15.18 (Debian …)`.
pub(super) fn major(version: &str) -> Option<u32> {
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[async_trait]
impl Engine for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn method(&self) -> &'static str {
        "dump"
    }

    fn describe(&self) -> String {
        self.connection.to_string()
    }

    async fn preflight(&self) -> Result<Vec<Finding>> {
        let session = connect::connect(&self.connection).await?;
        let mut findings = privileges::look(&session).await?.findings;
        findings.extend(leftovers::look(&session).await?);
        let tools = self.tools().await?;
        for name in ["pg_dump", "pg_dumpall"] {
            findings.push(match tools.choose(name, session.major()) {
                Ok(Tool { warning: Some(warning), .. }) => Finding::warning(name, warning),
                Ok(tool) => Finding::ok(name, format!("version {} fits the server", tool.version)),
                Err(error) => {
                    Finding::error(name, error.chain(), error.hint_text().unwrap_or("install it").to_owned())
                }
            });
        }
        Ok(findings)
    }

    async fn backup(&self, sink: &Sink, progress: &Progress) -> Result<Captured> {
        self.dump(sink, progress).await
    }

    async fn recount(&self, from: &BackupReader) -> Result<Inventory> {
        let starts = from.frames(DUMP)?.raw_starts();
        let mut stream = from.stream(DUMP)?;
        let mut reader = archive::ArchiveReader::new();
        while let Some(chunk) = stream.next().await? {
            reader.feed(&chunk, &mut |_| {})?;
            from.progress().add_raw(chunk.len() as u64);
        }
        let archive = reader.finish()?;
        let mut inventory = archive::inventory::inventory(&archive, &|at| place_of(&starts, at));
        inventory.settings = settings::recorded();
        Ok(inventory)
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
        origin: &Origin,
        progress: &Progress,
    ) -> Result<Comparison> {
        self.compare_target(target, plan, origin, progress).await
    }

    async fn provision(&self, staging: &Staging, origin: &Origin, raw_bytes: u64) -> Result<Box<dyn Site>> {
        self.provision_site(staging, origin, raw_bytes).await
    }

    async fn preflight_staging(&self, staging: &Staging) -> Result<Vec<Finding>> {
        self.preflight_site(staging).await
    }

    async fn ask(&self, target: &Target, query: &Query) -> Result<Option<String>> {
        self.ask_target(target, query).await
    }

    async fn structural_check(&self, target: &Target) -> Result<Option<String>> {
        self.check_structure(target).await
    }

    fn by_hand(&self, print_object: &str, properties: &serde_json::Value) -> Vec<String> {
        let print = |object: &str| print_object.replace("OBJECT", object);
        vec![
            "set -euo pipefail".to_owned(),
            format!("{} | sha256sum   # must be the sha256 of {DUMP}", print(DUMP)),
            format!("{} | zstd -dc | psql -d postgres", print(super::dump::GLOBALS)),
            create_by_hand(properties),
            format!("{} | zstd -dc | pg_restore --exit-on-error -d NEW_DATABASE", print(DUMP)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_the_first_number() {
        assert_eq!(major("15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(major("18beta1"), Some(18));
        assert_eq!(major("devel"), None);
    }
}
