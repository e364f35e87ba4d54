//! Roles, tablespaces and their grants: `pg_dumpall --globals-only`, since `pg_dump` has none of them.

use std::collections::BTreeMap;

use super::connect::Session;
use super::settings;
use super::tools::Tool;
use crate::error::Result;
use crate::pipeline::child::{self, Child, Spec};

/// A running `pg_dumpall`, and what somebody should know about what it leaves out.
pub struct Globals {
    /// The child; its output is the SQL text.
    pub child: Child,
    /// What is missing from the text.
    pub warning: Option<String>,
}

/// True when the role may read password hashes (`pg_authid`).
pub async fn may_read_passwords(session: &Session) -> Result<bool> {
    let sql = "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT')";
    Ok(session.one(sql, &[]).await?.get(0))
}

/// Starts `pg_dumpall --globals-only` on the server of a session. `process` is the environment
/// of this process, of which a child gets only what it needs.
pub async fn dump(session: &Session, tool: &Tool, process: &BTreeMap<String, String>) -> Result<Globals> {
    let connection = session.connection();
    let passwords = may_read_passwords(session).await?;
    let mut arguments = vec!["--globals-only".to_string(), "--no-password".into()];
    // Else it connects to `postgres`, which need not exist or be open to the role.
    arguments.push(format!("--database={}", as_conninfo(&connection.database)));
    let warning = if passwords {
        None
    } else {
        arguments.push("--no-role-passwords".into());
        Some(format!(
            "the passwords of roles are not in the backup, since `{}` may not read pg_authid",
            connection.user
        ))
    };
    let environment = connection.environment(process, &settings::child_options(session.version()))?;
    let mut spec = Spec::new(&tool.path, arguments);
    spec.environment = environment.variables().clone();
    spec.secrets = connection.secrets();
    spec.guard = Some(Box::new(environment));
    Ok(Globals { child: child::spawn(spec)?, warning })
}

/// A database name with `=` or a URL's look would be read as a connection string: quote it.
fn as_conninfo(database: &str) -> String {
    if database.contains('=') || database.contains("://") {
        format!("dbname='{}'", database.replace('\\', r"\\").replace('\'', r"\'"))
    } else {
        database.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_name_stays_a_name() {
        assert_eq!(as_conninfo("orders"), "orders");
        assert_eq!(as_conninfo("a=b's"), r"dbname='a=b\'s'");
    }
}
