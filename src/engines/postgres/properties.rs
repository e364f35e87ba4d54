//! What a database is besides its contents: encoding, locale, owner, settings, privileges.
//!
//! `pg_restore` without `-C` sets none of it, so the manifest records it and
//! [`create_database`] makes the new database with it. Source: pg_dump.c `dumpDatabase`.

mod create;

use serde::{Deserialize, Serialize};

pub use create::{CreateOptions, create_database, finish_database};

use super::connect::Session;
use crate::error::Result;

/// The database's own properties.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Properties {
    /// The name.
    pub name: String,
    /// The encoding, as in `UTF8`.
    pub encoding: String,
    /// `libc`, `icu` or `builtin`.
    pub locale_provider: String,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `LC_CTYPE`.
    pub ctype: String,
    /// The locale of `icu` and `builtin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Extra ICU rules (16 and newer).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icu_rules: Option<String>,
    /// The version of the collation that the indexes were built with (15 and newer).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation_version: Option<String>,
    /// The owner.
    pub owner: String,
    /// -1: no limit.
    pub connection_limit: i32,
    /// The tablespace.
    pub tablespace: String,
    /// Whether it is a template.
    pub is_template: bool,
    /// Whether sessions are let in.
    pub allow_connections: bool,
    /// `ALTER DATABASE … SET` and `ALTER ROLE … IN DATABASE … SET`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<DatabaseSetting>,
    /// Privileges; `None`: those of a new database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl: Option<Vec<Grant>>,
    /// The comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// One setting of the database, or of a role in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseSetting {
    /// The role; `None`: everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The name.
    pub name: String,
    /// The value as the catalog has it.
    pub value: String,
}

/// One privilege on the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The role; `None`: everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// `CREATE`, `CONNECT` or `TEMPORARY`.
    pub privilege: String,
    /// With grant option.
    pub grantable: bool,
}

/// Reads the properties of the session's database.
pub async fn read(session: &Session) -> Result<Properties> {
    let version = session.version();
    let since = |number: u32, column: &'static str| if version >= number { column } else { "NULL" };
    let provider = if version >= 150_000 { "d.datlocprovider::text" } else { "'c'" };
    let locale = if version >= 170_000 { "d.datlocale" } else { since(150_000, "d.daticulocale") };
    let sql = format!(
        "SELECT d.datname::text, pg_catalog.pg_encoding_to_char(d.encoding)::text, {provider}, \
         d.datcollate::text, d.datctype::text, {locale}::text, {}::text, {}::text, \
         pg_catalog.pg_get_userbyid(d.datdba)::text, d.datconnlimit, t.spcname::text, d.datistemplate, \
         d.datallowconn, d.datacl IS NOT NULL, pg_catalog.shobj_description(d.oid, 'pg_database'), d.oid \
         FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace \
         WHERE d.datname = pg_catalog.current_database()",
        since(160_000, "d.daticurules"),
        since(150_000, "d.datcollversion"),
    );
    let row = session.one(&sql, &[]).await?;
    let oid: u32 = row.get(15);
    let has_acl: bool = row.get(13);
    Ok(Properties {
        name: row.get(0),
        encoding: row.get(1),
        locale_provider: match row.get::<_, &str>(2) {
            "i" => "icu",
            "b" => "builtin",
            _ => "libc",
        }
        .into(),
        collate: row.get(3),
        ctype: row.get(4),
        locale: row.get(5),
        icu_rules: row.get(6),
        collation_version: row.get(7),
        owner: row.get(8),
        connection_limit: row.get(9),
        tablespace: row.get(10),
        is_template: row.get(11),
        allow_connections: row.get(12),
        settings: read_settings(session, oid).await?,
        acl: if has_acl { Some(read_acl(session, oid).await?) } else { None },
        comment: row.get(14),
    })
}

async fn read_settings(session: &Session, database: u32) -> Result<Vec<DatabaseSetting>> {
    let sql = "SELECT r.rolname::text, c.config FROM pg_catalog.pg_db_role_setting s \
               CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS c(config) \
               LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole \
               WHERE s.setdatabase = $1 ORDER BY r.rolname NULLS FIRST, c.config";
    let rows = session.query(sql, &[&database]).await?;
    Ok(rows
        .iter()
        .filter_map(|row| {
            let (name, value) = row.get::<_, &str>(1).split_once('=')?;
            Some(DatabaseSetting { role: row.get(0), name: name.into(), value: value.into() })
        })
        .collect())
}

async fn read_acl(session: &Session, database: u32) -> Result<Vec<Grant>> {
    let sql = "SELECT r.rolname::text, a.privilege_type, a.is_grantable, a.grantee = 0 \
               FROM pg_catalog.pg_database d CROSS JOIN LATERAL pg_catalog.aclexplode(d.datacl) a \
               LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee \
               WHERE d.oid = $1 AND (a.grantee = 0 OR r.rolname IS NOT NULL) ORDER BY 1 NULLS FIRST, 2";
    let rows = session.query(sql, &[&database]).await?;
    Ok(rows
        .iter()
        .map(|row| Grant { role: row.get(0), privilege: row.get(1), grantable: row.get(2) })
        .collect())
}
