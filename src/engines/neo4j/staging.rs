//! Where a drill restores to: an empty database of a staging server, or a throwaway server.
//!
//! Neo4j Community has one database, so a drill claims it whole, and empties it at its end. What a killed drill left
//! is recognised by its claim, and removed by a drill a day later.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::connect::{Server, connect, look, major_minor};
use super::ephemeral::Ephemeral;
use super::restore::{claim, existing};
use super::uri::Uri;
use crate::bolt::Connection;
use crate::engines::{Endpoint, Finding, Origin, Site, Target};
use crate::error::{Error, Kind, Result};

/// A claim of a drill this old was left by one that was killed.
const LEFT_AFTER: Duration = Duration::from_secs(24 * 3600);

/// A database of a staging server.
#[derive(Debug)]
pub struct ServerSite {
    endpoint: Endpoint,
    uri: Uri,
    server: Server,
}

impl ServerSite {
    /// Looks whether the database takes a drill, removes what a killed drill left, and claims it.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] when the server cannot be reached, is too old, or the database is in use.
    pub async fn provision(endpoint: Endpoint, uri: &Uri, origin: &Origin) -> Result<ServerSite> {
        let mut connection = connect(uri).await?;
        let server = look(&mut connection, uri).await?;
        fits(&server, origin)?;
        if takes(&mut connection, &server).await? {
            existing::empty(&mut connection, &server, false).await?;
            tracing::info!(database = server.database, "removed what a killed drill left behind");
        }
        claim::take(&mut connection, &server, true).await?;
        Ok(ServerSite { endpoint, uri: uri.clone(), server })
    }
}

/// Looks whether a database takes a drill; true when it has to be emptied first.
async fn takes(connection: &mut Connection, server: &Server) -> Result<bool> {
    let held = existing::held(connection, server).await?;
    let database = &server.database;
    match held.claim {
        Some(claim) if !claim.drill => Err(Error::new(
            Kind::Unreachable,
            format!("the staging database {database} of {} is used by {claim}", server.shown),
        )
        .hint("wait until it is done, or empty it by hand; a drill needs an empty database")),
        Some(claim) if (server.now - claim.began).to_std().is_ok_and(|age| age > LEFT_AFTER) => Ok(true),
        Some(claim) => Err(Error::new(
            Kind::Unreachable,
            format!("the staging database {database} of {} is used by {claim}", server.shown),
        )
        .hint("wait until it is done; what a killed drill left is removed by a drill a day later")),
        None if held.is_empty() => Ok(false),
        None => Err(Error::new(
            Kind::Unreachable,
            format!(
                "the staging database {database} of {} is not empty ({} nodes)",
                server.shown, held.nodes
            ),
        )
        .hint("a drill needs a database of its own that is empty; or use `ephemeral`")),
    }
}

fn fits(server: &Server, origin: &Origin) -> Result<()> {
    let Some(source) = origin.server.get("version") else { return Ok(()) };
    if major_minor(source) <= server.major_minor() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Unreachable,
        format!("the staging server is Neo4j {}, and the backup is of Neo4j {source}", server.version),
    )
    .hint("use a staging server of that version or newer, or `ephemeral`"))
}

/// Looks whether a staging server takes drills.
///
/// # Errors
/// [`Kind::Unreachable`] when it cannot be asked.
pub async fn preflight(uri: &Uri) -> Result<Vec<Finding>> {
    let mut connection = connect(uri).await?;
    let server = look(&mut connection, uri).await?;
    Ok(vec![match takes(&mut connection, &server).await {
        Ok(_) => Finding::ok("staging", format!("{} takes drills", server.shown)),
        Err(error) => Finding::error("staging", error.chain(), error.hint_text().unwrap_or_default()),
    }])
}

#[async_trait]
impl Site for ServerSite {
    fn target(&self) -> Target {
        Target { endpoint: self.endpoint.clone(), database: Some(self.server.database.clone()) }
    }

    fn describe(&self) -> String {
        format!("{} (database {}), Neo4j {}", self.server.shown, self.server.database, self.server.version)
    }

    async fn remove(&self) -> Result<()> {
        let removing = async {
            let mut connection = connect(&self.uri).await?;
            existing::empty(&mut connection, &self.server, false).await
        };
        removing.await.map_err(|error| {
            error
                .while_doing(format!("the drill's data in {} could not be removed", self.server.database))
                .hint("the next drill a day later removes it, or do it by hand")
        })
    }
}

/// A throwaway server of this machine.
#[derive(Debug)]
pub struct EphemeralSite {
    server: Arc<Mutex<Ephemeral>>,
    endpoint: Endpoint,
    shown: String,
}

impl EphemeralSite {
    /// Of a server that was started, or was only prepared.
    pub fn new(server: Arc<Mutex<Ephemeral>>, endpoint: Endpoint, shown: String) -> EphemeralSite {
        EphemeralSite { server, endpoint, shown }
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
