//! The preflight of a source: what the role may not read, and what a dump does not bring.
//!
//! A role that lacks SELECT makes `pg_dump` fail after it began, row-level security makes COPY
//! return fewer rows; both are found here before anything starts.

mod extras;

use super::connect::Session;
use super::tables::USER_SCHEMA;
use crate::engines::Finding;
use crate::error::Result;

/// Names that are listed before "and … more".
const NAMED: usize = 20;

/// Size and number of what a backup will read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Bytes on disk, indexes and dead rows included.
    pub bytes: i64,
    /// Tables that will be locked.
    pub tables: i64,
}

/// What the role is.
struct Role {
    name: String,
    superuser: bool,
    /// Superuser or BYPASSRLS.
    bypasses: bool,
}

/// Everything that was found out.
#[derive(Debug, Clone)]
pub struct Preflight {
    /// The size.
    pub extent: Extent,
    /// What is wrong or worth knowing; errors would make a backup fail or be partial.
    pub findings: Vec<Finding>,
}

/// Looks at the source's database as the role of the session.
pub async fn look(session: &Session) -> Result<Preflight> {
    session.pin_settings(None).await?;
    let row = session
        .one(
            "SELECT rolname::text, rolsuper, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user",
            &[],
        )
        .await?;
    let role = Role { name: row.get(0), superuser: row.get(1), bypasses: row.get(2) };
    let sql = format!(
        "SELECT pg_database_size(current_database()), (SELECT count(*) FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND {USER_SCHEMA})"
    );
    let row = session.one(&sql, &[]).await?;
    let extent = Extent { bytes: row.get(0), tables: row.get(1) };

    let mut findings = Vec::new();
    if !role.superuser {
        findings.extend(schemas(session, &role).await?);
        findings.extend(relations(session, &role, "table", "c.relkind IN ('r', 'p')").await?);
        findings.extend(relations(session, &role, "sequence", "c.relkind = 'S'").await?);
        findings.extend(large_objects(session, &role).await?);
    }
    if !role.bypasses {
        findings.extend(row_security(session, &role).await?);
    }
    findings.extend(extras::look(session, role.superuser, extent).await?);
    if findings.iter().all(|finding| finding.level < crate::engines::Level::Error) {
        findings.insert(
            0,
            Finding::ok("privileges", format!("`{}` may read all {} tables", role.name, extent.tables)),
        );
    }
    Ok(Preflight { extent, findings })
}

/// Schemas that the role may not enter: nothing in them can be read.
async fn schemas(session: &Session, role: &Role) -> Result<Option<Finding>> {
    let sql = format!(
        "SELECT n.nspname::text FROM pg_namespace n WHERE {USER_SCHEMA} \
         AND NOT has_schema_privilege(n.oid, 'USAGE') \
         AND EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'S')) \
         ORDER BY 1"
    );
    let names = names(session, &sql).await?;
    Ok((!names.is_empty()).then(|| {
        let message = format!("`{}` may not use {}", role.name, counted("schema", &names));
        Finding::error("privileges", message, grant_hint(session, role))
    }))
}

/// Tables or sequences that the role may not read.
async fn relations(session: &Session, role: &Role, what: &str, kinds: &str) -> Result<Option<Finding>> {
    let sql = format!(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE {kinds} AND c.relpersistence <> 't' AND {USER_SCHEMA} \
         AND NOT has_table_privilege(c.oid, 'SELECT') ORDER BY 1"
    );
    let names = names(session, &sql).await?;
    Ok((!names.is_empty()).then(|| {
        let message = format!("`{}` may not read {}", role.name, counted(what, &names));
        Finding::error("privileges", message, grant_hint(session, role))
    }))
}

/// Large objects that the role may not read; `pg_read_all_data` does not cover them.
async fn large_objects(session: &Session, role: &Role) -> Result<Option<Finding>> {
    let sql = "SELECT m.oid::text FROM pg_largeobject_metadata m \
               WHERE NOT current_setting('lo_compat_privileges')::bool \
               AND NOT pg_has_role(m.lomowner, 'USAGE') \
               AND NOT EXISTS (SELECT FROM aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT' \
                               AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE'))) \
               ORDER BY m.oid";
    let names = names(session, sql).await?;
    Ok((!names.is_empty()).then(|| {
        let message = format!("`{}` may not read {}", role.name, counted("large object", &names));
        Finding::error(
            "privileges",
            message,
            format!(
                "run GRANT SELECT ON LARGE OBJECT … TO \"{}\" for each, or back up as their owner or a superuser",
                role.name
            ),
        )
    }))
}

/// Tables of which policies would hide rows; with `row_security = off` reading them is an error.
async fn row_security(session: &Session, role: &Role) -> Result<Option<Finding>> {
    let sql = format!(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND {USER_SCHEMA} AND c.relrowsecurity \
         AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE')) ORDER BY 1"
    );
    let names = names(session, &sql).await?;
    Ok((!names.is_empty()).then(|| {
        let message =
            format!("row-level security hides rows from `{}` in {}", role.name, counted("table", &names));
        let hint = format!("run ALTER ROLE \"{}\" BYPASSRLS as a superuser", role.name);
        Finding::error("row security", message, hint)
    }))
}

fn grant_hint(session: &Session, role: &Role) -> String {
    if session.version() >= 140_000 {
        format!("run GRANT pg_read_all_data TO \"{}\"", role.name)
    } else {
        format!(
            "run GRANT USAGE ON SCHEMA … and GRANT SELECT ON ALL TABLES IN SCHEMA … (and SEQUENCES) TO \"{}\"",
            role.name
        )
    }
}

async fn names(session: &Session, sql: &str) -> Result<Vec<String>> {
    Ok(session.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect())
}

/// `1 table: a` or `25 tables: a, b, … and 5 more`.
fn counted(what: &str, names: &[String]) -> String {
    let plural = if names.len() == 1 { "" } else { "s" };
    let listed = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{} {what}{plural}: {listed}{more}", names.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(counted("table", &["a".into()]), "1 table: a");
        let many: Vec<String> = (0..22).map(|n| format!("t{n}")).collect();
        let text = counted("table", &many);
        assert!(text.starts_with("22 tables: t0, t1,") && text.ends_with("t19 and 2 more"), "{text}");
    }
}
