//! Which database this is, however its URL is spelt.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::connect::Session;
use crate::error::Result;

/// What identifies a server and a database on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The cluster's identifier from `initdb`; copies and standbys share it. `None` when the role
    /// may not ask for it.
    pub system_identifier: Option<String>,
    /// When this server process started, in microseconds since 1970: tells copies apart.
    pub started_us: i64,
    /// The database's OID.
    pub database_oid: u32,
    /// The database's name.
    pub database: String,
    /// `server_version_num`, as in 150018.
    pub version: u32,
    /// The full version, as in `15.18 (Debian 15.18-0+deb12u1)`.
    pub version_text: String,
    /// True for a standby.
    pub standby: bool,
}

/// How two databases relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sameness {
    /// The very same database on the very same server.
    Same,
    /// The same server, another database.
    SameServer,
    /// The same cluster identifier but another server process: a copy, a standby, or a restart
    /// between the two questions. Not to be overwritten without being told so.
    Related,
    /// Different servers.
    Different,
}

impl Identity {
    /// Asks a session who its server is.
    pub async fn of(session: &Session) -> Result<Identity> {
        let sql = "SELECT pg_catalog.pg_postmaster_start_time(), d.oid, d.datname::text, \
                   pg_catalog.current_setting('server_version'), pg_catalog.pg_is_in_recovery(), \
                   pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') \
                   FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()";
        let row = session.one(sql, &[]).await?;
        let system_identifier = if row.get(5) {
            let sql = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()";
            // Some managed services grant it and refuse it all the same.
            session.one(sql, &[]).await.ok().map(|row| row.get(0))
        } else {
            None
        };
        let since = row.get::<_, SystemTime>(0).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(Identity {
            system_identifier,
            started_us: i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            database_oid: row.get(1),
            database: row.get(2),
            version: session.version(),
            version_text: row.get(3),
            standby: row.get(4),
        })
    }

    /// Compares with another one, asked for at about the same time.
    pub fn compare(&self, other: &Identity) -> Sameness {
        let cluster = match (&self.system_identifier, &other.system_identifier) {
            (Some(mine), Some(theirs)) => Some(mine == theirs),
            _ => None,
        };
        // Two servers that started in the same microsecond would be a strange chance.
        let process = self.started_us == other.started_us;
        match (cluster, process) {
            (Some(false), _) | (None, false) => Sameness::Different,
            (Some(true), false) => Sameness::Related,
            (_, true) if self.database_oid == other.database_oid => Sameness::Same,
            (_, true) => Sameness::SameServer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_compared_by_cluster_process_and_database() {
        let one = Identity {
            system_identifier: Some("1".into()),
            started_us: 10,
            database_oid: 5,
            database: "a".into(),
            version: 150_018,
            version_text: "15.18".into(),
            standby: false,
        };
        assert_eq!(one.compare(&one), Sameness::Same);
        assert_eq!(one.compare(&Identity { database_oid: 6, ..one.clone() }), Sameness::SameServer);
        assert_eq!(one.compare(&Identity { started_us: 11, ..one.clone() }), Sameness::Related);
        let unknown = Identity { system_identifier: None, ..one.clone() };
        assert_eq!(one.compare(&unknown), Sameness::Same);
        assert_eq!(unknown.compare(&Identity { started_us: 11, ..one.clone() }), Sameness::Different);
        let other = Identity { system_identifier: Some("2".into()), ..one.clone() };
        assert_eq!(one.compare(&other), Sameness::Different);
    }
}
