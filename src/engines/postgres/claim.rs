//! A session's claim on the name of a database: "somebody works with it, though nobody is in it".
//!
//! A drill or a restore may be between two steps, with no session in its database; what tells its
//! database from one that a killed run left behind is an advisory lock, which lives exactly as long as
//! the session that took it, and which every role sees in `pg_locks`, whatever database it is in.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::connect::{Session, connect};
use super::resolve::Connection;
use crate::error::Result;

/// How often an idle claim asks for a sign of life: less than what firewalls and proxies forget.
const HEARTBEAT: Duration = Duration::from_secs(60);

/// A condition that is true for a row `d` of `pg_database` that somebody claims.
///
/// The lock's key of 64 bits is in two columns (PostgreSQL's manual, "pg_locks").
pub const CLAIMED: &str = "EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.locktype = 'advisory' \
     AND l.granted AND l.objsubid = 1 AND ((l.classid::int8 << 32) | l.objid::int8) = \
     pg_catalog.hashtextextended(('lifeboat ' || d.datname::text) COLLATE \"C\", 0))";

/// Claims a name for as long as the session lives.
///
/// # Errors
/// Those of the session.
pub async fn take(session: &Session, database: &str) -> Result<()> {
    let sql = "SELECT pg_catalog.pg_advisory_lock_shared(\
               pg_catalog.hashtextextended(('lifeboat ' || $1::text) COLLATE \"C\", 0))";
    session.one(sql, &[&database]).await.map(|_| ())
}

/// A claim with a session of its own, which is opened again when it was lost. Dropping it ends it.
#[derive(Debug)]
pub struct Claim {
    keeper: JoinHandle<()>,
}

impl Claim {
    /// Claims a name over a session, which must be open on a database that stays.
    ///
    /// # Errors
    /// Those of the session.
    pub async fn keep(session: Session, connection: Connection, database: String) -> Result<Claim> {
        // No time-out of the role may end it while it is idle.
        session.pin_settings(None).await?;
        take(&session, &database).await?;
        let keeper = tokio::spawn(async move {
            let mut session = session;
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                if session.batch("SELECT 1").await.is_ok() {
                    continue;
                }
                // A server that is away now removes nothing; the claim comes back with it.
                let again = async {
                    let session = connect(&connection).await?;
                    session.pin_settings(None).await?;
                    take(&session, &database).await?;
                    Ok::<_, crate::error::Error>(session)
                };
                match again.await {
                    Ok(new) => session = new,
                    Err(error) => tracing::debug!(database, error = error.chain(), "the claim is lost"),
                }
            }
        });
        Ok(Claim { keeper })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}
