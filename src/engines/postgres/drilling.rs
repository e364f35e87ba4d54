//! What a drill asks of the engine, put together from staging, comparison and checks.

use std::path::Path;

use super::compare::{self, Means};
use super::connect::connect;
use super::engine::{dump_major, resolve_endpoint};
use super::tools::Tools;
use super::{Postgres, checks, ephemeral, staging};
use crate::engines::{Comparison, Finding, Origin, Query, Site, Staging, Target};
use crate::error::{Error, Kind, Result};
use crate::pipeline::inventory::Inventory;
use crate::pipeline::progress::Progress;

impl Postgres {
    /// See [`Engine::compare`](crate::engines::Engine::compare).
    ///
    /// # Errors
    /// Those of [`compare::compare`], and [`Kind::Failed`] when no fitting `pg_dump` is installed.
    pub async fn compare_target(
        &self,
        target: &Target,
        plan: &Inventory,
        origin: &Origin,
        progress: &Progress,
    ) -> Result<Comparison> {
        let connection = self.target_connection(target)?;
        let session = connect(&connection).await?;
        let server = session.major();
        session.close().await?;
        let dumped_with = dump_major(origin);
        // The tool that made the backup, as long as it knows this server.
        let wanted = dumped_with.unwrap_or(server).max(server);
        let tool = self.tools().await?.choose("pg_dump", wanted)?;
        let same_tools = Some(tool.major) == dumped_with && staging::source_major(origin) == Some(server);
        let means = Means {
            pg_dump: tool.path,
            same_tools,
            readers: compare::readers(self.settings.host.threads),
            environment: self.settings.host.environment.clone(),
        };
        compare::compare(&connection, plan, &means, progress).await
    }

    /// See [`Engine::provision`](crate::engines::Engine::provision).
    ///
    /// # Errors
    /// [`Kind::Unreachable`] when there is no way to.
    pub async fn provision_site(
        &self,
        staging: &Staging,
        origin: &Origin,
        raw_bytes: u64,
    ) -> Result<Box<dyn Site>> {
        match staging {
            Staging::Server(endpoint) => {
                let connection = resolve_endpoint(endpoint, &self.settings.host)?;
                Ok(Box::new(staging::ServerSite::provision(endpoint.clone(), connection, origin).await?))
            }
            Staging::Ephemeral { tools } => {
                let installed = self.installed(tools.as_deref()).await?;
                let postgres = server_programs(&installed, staging::source_major(origin).unwrap_or(0))?;
                let bin = postgres.path.parent().unwrap_or(Path::new("/")).to_owned();
                let under = self.settings.host.temporary_files();
                let site = staging::EphemeralSite::provision(
                    &bin,
                    tools.clone(),
                    &under,
                    raw_bytes,
                    postgres.warning,
                );
                Ok(Box::new(site.await?))
            }
        }
    }

    /// See [`Engine::preflight_staging`](crate::engines::Engine::preflight_staging).
    ///
    /// # Errors
    /// [`Kind::Unreachable`] when a staging server cannot be asked.
    pub async fn preflight_site(&self, staging: &Staging) -> Result<Vec<Finding>> {
        match staging {
            Staging::Server(endpoint) => {
                staging::preflight_server(&resolve_endpoint(endpoint, &self.settings.host)?).await
            }
            Staging::Ephemeral { tools } => {
                let installed = self.installed(tools.as_deref()).await?;
                let mut findings = vec![match server_programs(&installed, 0) {
                    Ok(tool) => Finding::ok(
                        "staging",
                        format!("a throwaway server can be started from {}", tool.path.display()),
                    ),
                    Err(error) => {
                        Finding::error("staging", error.chain(), error.hint_text().unwrap_or_default())
                    }
                }];
                if let Err(error) = ephemeral::check_space(&self.settings.host.temporary_files(), 0) {
                    findings.push(Finding::error(
                        "staging",
                        error.chain(),
                        error.hint_text().unwrap_or_default(),
                    ));
                }
                Ok(findings)
            }
        }
    }

    /// See [`Engine::ask`](crate::engines::Engine::ask).
    ///
    /// # Errors
    /// Those of [`checks::ask`].
    pub async fn ask_target(&self, target: &Target, query: &Query) -> Result<Option<String>> {
        checks::ask(&self.target_connection(target)?, query).await
    }

    /// See [`Engine::structural_check`](crate::engines::Engine::structural_check).
    ///
    /// # Errors
    /// Those of [`checks::amcheck`].
    pub async fn check_structure(&self, target: &Target) -> Result<Option<String>> {
        let connection = self.target_connection(target)?;
        let session = connect(&connection).await?;
        let major = session.major();
        session.close().await?;
        let Ok(tool) = self.tools().await?.choose("pg_amcheck", major) else { return Ok(None) };
        let host = &self.settings.host;
        checks::amcheck(&connection, &tool.path, &tool.version, host.threads, &host.environment).await
    }

    /// What is installed, with the staging's own directory before all others.
    async fn installed(&self, tools: Option<&Path>) -> Result<Tools> {
        let host = &self.settings.host;
        let configured = tools.or(self.settings.endpoint.tools.as_deref());
        Tools::discover(configured, host.environment.get("PATH").map(String::as_str)).await
    }
}

/// The `postgres` of this major or the next newer, with `initdb` beside it.
fn server_programs(tools: &Tools, major: u32) -> Result<super::tools::Tool> {
    let unreachable = |error: Error| {
        let hint = error.hint_text().unwrap_or_default().to_owned();
        Error::new(Kind::Unreachable, "a throwaway server cannot be started here").because(error).hint(hint)
    };
    let tool = tools.choose("postgres", major).map_err(unreachable)?;
    tools.choose("initdb", tool.major).map_err(unreachable)?;
    // A newer server is worth a word only when a version was asked for.
    Ok(super::tools::Tool { warning: tool.warning.clone().filter(|_| major > 0), ..tool })
}
