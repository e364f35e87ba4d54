//! Who restores into a database: a constraint of a fixed name, which only one can make, and which no query sees.
//!
//! It is the first thing that a restore makes and the last that goes: a database that has it holds half a backup.
//! Its label says whether a restore or a drill made it, when (in seconds since 1970), and a mark of which one it was:
//! `LifeboatDrill_6b09aeb7_01f3`.

use chrono::{DateTime, SecondsFormat, Utc};

use super::existing::alone;
use crate::bolt::{Connection, Params};
use crate::engines::neo4j::connect::{self, Server, explain, text};
use crate::error::{Error, Kind, Result};

/// The name of the constraint.
pub const NAME: &str = "lifeboat_restore";

const RESTORE: &str = "LifeboatRestore_";
const DRILL: &str = "LifeboatDrill_";

/// A claim on a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// True for one of a drill.
    pub drill: bool,
    /// When it was made, by the server's clock.
    pub began: DateTime<Utc>,
    /// Tells it from another of the same second.
    pub mark: u16,
}

impl std::fmt::Display for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = if self.drill { "a drill" } else { "a restore" };
        write!(f, "{what} that began at {}", self.began.to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

impl Claim {
    fn label(self) -> String {
        let what = if self.drill { DRILL } else { RESTORE };
        format!("{what}{:08x}_{:04x}", self.began.timestamp(), self.mark)
    }

    fn of(label: &str) -> Option<Claim> {
        let (drill, stamp) = match label.strip_prefix(DRILL) {
            Some(stamp) => (true, stamp),
            None => (false, label.strip_prefix(RESTORE)?),
        };
        let (stamp, mark) = stamp.split_once('_').unwrap_or((stamp, "0"));
        let seconds = i64::from_str_radix(stamp, 16).ok()?;
        let mark = u16::from_str_radix(mark, 16).ok()?;
        Some(Claim { drill, began: DateTime::from_timestamp(seconds, 0)?, mark })
    }
}

/// The claim on a database, if there is one.
///
/// # Errors
/// Those of [`explain`].
pub async fn find(connection: &mut Connection, server: &Server) -> Result<Option<Claim>> {
    let query =
        format!("SHOW CONSTRAINTS YIELD name, labelsOrTypes WHERE name = '{NAME}' RETURN labelsOrTypes[0]");
    let rows = connect::all(connection, Some(&server.database), &query).await;
    let rows = rows.map_err(|cause| explain(&server.shown, cause))?;
    // One of a later version of lifeboat is a claim, too.
    let unknown = Claim { drill: false, began: DateTime::UNIX_EPOCH, mark: 0 };
    Ok(rows.first().map(|row| Claim::of(&text(row, 0)).unwrap_or(unknown)))
}

/// Claims a database.
///
/// # Errors
/// [`Kind::Unreachable`] when somebody else has; those of [`explain`].
pub async fn take(connection: &mut Connection, server: &Server, drill: bool) -> Result<Claim> {
    let began = DateTime::from_timestamp(server.now.timestamp(), 0).unwrap_or(server.now);
    let claim = Claim { drill, began, mark: fastrand::u16(..) };
    let label = claim.label();
    let statement = format!("CREATE CONSTRAINT {NAME} FOR (n:{label}) REQUIRE n.id IS UNIQUE");
    match alone(connection, server, &statement, &Params::default()).await {
        Ok(()) => Ok(claim),
        Err(error) if error.message().contains("AlreadyExists") => {
            let who = find(connection, server)
                .await?
                .map_or_else(|| "another".to_owned(), |claim| claim.to_string());
            Err(Error::new(
                Kind::Unreachable,
                format!("{} of {} is used by {who}", server.database, server.shown),
            )
            .hint(
                "wait until it is done; what was cut off is removed by --replace, or by a drill a day later",
            ))
        }
        Err(error) => Err(error),
    }
}

/// Claims a database in place of this claim, if it still has it.
///
/// # Errors
/// Those of [`take`].
pub async fn take_over(connection: &mut Connection, server: &Server, old: Option<Claim>) -> Result<Claim> {
    if old.is_some() && find(connection, server).await? == old {
        release(connection, server).await?;
    }
    take(connection, server, false).await
}

/// Looks whether a database is still claimed by us.
///
/// # Errors
/// [`Kind::Failed`] when somebody replaces what we made; those of [`explain`].
pub async fn check(connection: &mut Connection, server: &Server, mine: Claim) -> Result<()> {
    let who = match find(connection, server).await? {
        Some(found) if found == mine => return Ok(()),
        Some(other) => format!("by {other}"),
        None => "by another restore".to_owned(),
    };
    Err(Error::new(
        Kind::Failed,
        format!("{} of {} was taken over {who} meanwhile", server.database, server.shown),
    )
    .hint("what is there now is of that one; let only one restore at a time go into a database"))
}

/// Gives a database back.
///
/// # Errors
/// Those of [`explain`].
pub async fn release(connection: &mut Connection, server: &Server) -> Result<()> {
    alone(connection, server, &format!("DROP CONSTRAINT {NAME} IF EXISTS"), &Params::default()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_tells_who_made_it_and_when() {
        for drill in [true, false] {
            let claim = Claim { drill, began: "2026-11-24T02:03:04Z".parse().unwrap(), mark: 0x1f3 };
            assert_eq!(Claim::of(&claim.label()), Some(claim));
        }
        let drill = Claim::of("LifeboatDrill_6b09aeb7").unwrap();
        assert_eq!(drill.to_string(), "a drill that began at 2026-11-27T16:24:23Z");
        assert_eq!((Claim::of("Person"), Claim::of("LifeboatDrill_x")), (None, None));
    }
}
