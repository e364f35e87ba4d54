//! Making a database with the properties of another one.

use std::collections::BTreeSet;

use super::{DatabaseSetting, Properties};
use crate::engines::postgres::connect::Session;
use crate::engines::postgres::settings::{quote_identifier, quote_literal};
use crate::error::{Error, Kind, Result};

/// Settings that are lists of names, each quoted on its own (guc_tables.c, `GUC_LIST_QUOTE`).
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// Settings that would break or change the restore itself, so they are set at its end.
const LATE: [&str; 2] = ["default_transaction_read_only", "session_replication_role"];

/// What is taken over besides encoding and locale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreateOptions {
    /// The owner, if the role is there.
    pub owner: bool,
    /// Settings, of roles only if they are there.
    pub settings: bool,
    /// Privileges, of roles that are there.
    pub acl: bool,
    /// The tablespace, if it is there.
    pub tablespace: bool,
    /// Connection limit, template flag, and whether sessions are let in.
    pub access: bool,
}

impl CreateOptions {
    /// Everything, for a restore.
    pub const ALL: CreateOptions =
        CreateOptions { owner: true, settings: true, acl: true, tablespace: true, access: true };
    /// Settings only, for a drill: staging has neither the roles nor the tablespaces.
    pub const DRILL: CreateOptions =
        CreateOptions { owner: false, settings: true, acl: false, tablespace: false, access: false };
}

/// Creates a database from `template0`; returns what somebody should know.
///
/// Connection limit, template flag, and settings that would hinder a restore are left to
/// [`finish_database`]. When anything but the creation fails, the new database is dropped again.
///
/// # Errors
/// [`Kind::Unreachable`] with a hint when the target has not got the locale or the role may not
/// create databases, or when the name is taken.
pub async fn create_database(
    target: &Session,
    name: &str,
    properties: &Properties,
    options: CreateOptions,
) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    let sql = statement(target, name, properties, options, &mut warnings).await?;
    if let Err(cause) = target.client().batch_execute(&sql).await {
        return Err(refused(target, name, properties, cause));
    }
    match fill(target, name, properties, options, &mut warnings).await {
        Ok(()) => Ok(warnings),
        Err(error) => {
            // It is ours, and empty.
            let _ = target.batch(&format!("DROP DATABASE IF EXISTS {}", quote_identifier(name))).await;
            Err(error.while_doing(format!("database `{name}` could not be prepared")))
        }
    }
}

/// Applies what comes after the data: late settings, connection limit, template flag, access.
pub async fn finish_database(
    target: &Session,
    name: &str,
    properties: &Properties,
    options: CreateOptions,
) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    let quoted = quote_identifier(name);
    if options.settings {
        let roles = existing(target, "pg_catalog.pg_roles", "rolname").await?;
        for setting in properties.settings.iter().filter(|setting| LATE.contains(&setting.name.as_str())) {
            apply_setting(target, &quoted, setting, &roles, &mut warnings).await;
        }
    }
    let mut flags = Vec::new();
    if properties.connection_limit >= 0 {
        flags.push(format!("CONNECTION LIMIT {}", properties.connection_limit));
    }
    if properties.is_template {
        flags.push("IS_TEMPLATE true".into());
    }
    if !properties.allow_connections {
        flags.push("ALLOW_CONNECTIONS false".into());
    }
    if options.access && !flags.is_empty() {
        target.batch(&format!("ALTER DATABASE {quoted} WITH {}", flags.join(" "))).await?;
    }
    Ok(warnings)
}

async fn statement(
    target: &Session,
    name: &str,
    properties: &Properties,
    options: CreateOptions,
    warnings: &mut Vec<String>,
) -> Result<String> {
    let version = target.version();
    let literal = |text: &str| quote_literal(text);
    let mut sql = format!(
        "CREATE DATABASE {} WITH TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
        quote_identifier(name),
        literal(&properties.encoding),
        literal(&properties.collate),
        literal(&properties.ctype),
    );
    match (properties.locale_provider.as_str(), version) {
        ("icu", 150_000..) => {
            sql.push_str(" LOCALE_PROVIDER icu");
            if let Some(locale) = &properties.locale {
                sql.push_str(&format!(" ICU_LOCALE {}", literal(locale)));
            }
            match &properties.icu_rules {
                Some(rules) if version >= 160_000 => sql.push_str(&format!(" ICU_RULES {}", literal(rules))),
                Some(_) => return Err(too_old(target, "ICU rules", 16)),
                None => {}
            }
        }
        ("icu", _) => return Err(too_old(target, "an ICU locale for a database", 15)),
        ("builtin", 170_000..) => {
            sql.push_str(" LOCALE_PROVIDER builtin");
            if let Some(locale) = &properties.locale {
                sql.push_str(&format!(" BUILTIN_LOCALE {}", literal(locale)));
            }
        }
        ("builtin", _) => return Err(too_old(target, "the built-in locale provider", 17)),
        (_, 150_000..) => sql.push_str(" LOCALE_PROVIDER libc"),
        _ => {}
    }
    if options.owner && !properties.owner.is_empty() {
        if existing(target, "pg_catalog.pg_roles", "rolname").await?.contains(&properties.owner) {
            sql.push_str(&format!(" OWNER {}", quote_identifier(&properties.owner)));
        } else {
            warnings.push(format!("the owner `{}` is not a role of the target", properties.owner));
        }
    }
    if options.tablespace && !properties.tablespace.is_empty() && properties.tablespace != "pg_default" {
        let spaces = existing(target, "pg_catalog.pg_tablespace", "spcname").await?;
        if spaces.contains(&properties.tablespace) {
            sql.push_str(&format!(" TABLESPACE {}", quote_identifier(&properties.tablespace)));
        } else {
            warnings.push(format!("the tablespace `{}` is not on the target", properties.tablespace));
        }
    }
    Ok(sql)
}

fn too_old(target: &Session, what: &str, since: u32) -> Error {
    let connection = target.connection();
    Error::new(
        Kind::Unreachable,
        format!("{connection} is version {} and has not got {what}", target.major()),
    )
    .hint(format!("restore into a server of version {since} or newer"))
}

/// What a failed CREATE DATABASE means.
fn refused(target: &Session, name: &str, properties: &Properties, cause: tokio_postgres::Error) -> Error {
    let code = cause.code().map(|code| code.code().to_string()).unwrap_or_default();
    let said = cause.as_db_error().map(|db| db.message().to_string()).unwrap_or_default();
    let error = target.explain(cause);
    let connection = target.connection();
    match code.as_str() {
        "42P04" => Error::new(Kind::Unreachable, format!("database `{name}` already exists on {connection}"))
            .because(error)
            .hint("choose another name, or replace it explicitly"),
        "42501" => Error::new(
            Kind::Unreachable,
            format!("`{}` may not create databases on {connection}", connection.user),
        )
        .because(said)
        .hint(format!("run ALTER ROLE \"{}\" CREATEDB on the target", connection.user)),
        _ if said.contains("locale") || said.contains("ICU") || said.contains("collat") => {
            let locale = properties.locale.as_deref().unwrap_or(&properties.collate);
            Error::new(
                Kind::Unreachable,
                format!(
                    "{connection} has not got the locale `{locale}` ({}) of the backup",
                    properties.locale_provider
                ),
            )
            .because(said)
            .hint(
                "install the locale on the target (locale-gen, or a server with ICU) and restart the server",
            )
        }
        _ => error.while_doing(format!("database `{name}` could not be created")),
    }
}

/// Everything after the creation that must be there before the data.
async fn fill(
    target: &Session,
    name: &str,
    properties: &Properties,
    options: CreateOptions,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let quoted = quote_identifier(name);
    if target.version() >= 150_000 {
        let sql = "SELECT datcollversion::text FROM pg_catalog.pg_database WHERE datname = $1";
        let here: Option<String> = target.one(sql, &[&name]).await?.get(0);
        if let (Some(there), Some(here)) = (&properties.collation_version, here)
            && *there != here
        {
            warnings.push(format!(
                "the collation `{}` is version {here} on the target and was {there} in the source; text may sort differently",
                properties.locale.as_deref().unwrap_or(&properties.collate)
            ));
        }
    }
    if let Some(comment) = &properties.comment {
        target.batch(&format!("COMMENT ON DATABASE {quoted} IS {}", quote_literal(comment))).await?;
    }
    let roles = existing(target, "pg_catalog.pg_roles", "rolname").await?;
    if options.settings {
        for setting in properties.settings.iter().filter(|setting| !LATE.contains(&setting.name.as_str())) {
            apply_setting(target, &quoted, setting, &roles, warnings).await;
        }
    }
    if options.acl
        && let Some(acl) = &properties.acl
    {
        let mut sql = format!("REVOKE ALL ON DATABASE {quoted} FROM PUBLIC;\n");
        for grant in acl {
            let role = match &grant.role {
                None => "PUBLIC".to_string(),
                Some(role) if roles.contains(role) => quote_identifier(role),
                Some(role) => {
                    warnings
                        .push(format!("`{role}` is not a role of the target, its privileges are left out"));
                    continue;
                }
            };
            if !["CREATE", "CONNECT", "TEMPORARY"].contains(&grant.privilege.as_str()) {
                warnings.push(format!("the privilege {} is unknown and left out", grant.privilege));
                continue;
            }
            let option = if grant.grantable && grant.role.is_some() { " WITH GRANT OPTION" } else { "" };
            sql.push_str(&format!("GRANT {} ON DATABASE {quoted} TO {role}{option};\n", grant.privilege));
        }
        target.batch(&sql).await?;
    }
    warnings.dedup();
    Ok(())
}

/// A setting that the target does not know or does not let us set is a warning, not a failure.
async fn apply_setting(
    target: &Session,
    quoted: &str,
    setting: &DatabaseSetting,
    roles: &BTreeSet<String>,
    warnings: &mut Vec<String>,
) {
    let whom = match &setting.role {
        None => format!("ALTER DATABASE {quoted}"),
        Some(role) if roles.contains(role) => {
            format!("ALTER ROLE {} IN DATABASE {quoted}", quote_identifier(role))
        }
        Some(role) => {
            warnings.push(format!("`{role}` is not a role of the target, its settings are left out"));
            return;
        }
    };
    let value = if LISTS.contains(&setting.name.as_str()) {
        let names: Vec<String> = split_names(&setting.value).iter().map(|name| quote_literal(name)).collect();
        if names.is_empty() { "''".into() } else { names.join(", ") }
    } else {
        quote_literal(&setting.value)
    };
    // A name with a dot belongs to an extension, and each part is quoted on its own.
    let name: Vec<String> = setting.name.split('.').map(quote_identifier).collect();
    let sql = format!("{whom} SET {} TO {value}", name.join("."));
    if let Err(error) = target.batch(&sql).await {
        warnings.push(format!("the setting {} is left out: {}", setting.name, error.chain()));
    }
}

async fn existing(target: &Session, catalog: &str, column: &str) -> Result<BTreeSet<String>> {
    let rows = target.query(&format!("SELECT {column}::text FROM {catalog}"), &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Splits `"$user", public` into its names.
fn split_names(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut chars = list.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace() || *c == ',').is_some() {}
        let Some(first) = chars.peek().copied() else { return names };
        let mut name = String::new();
        if first == '"' {
            chars.next();
            while let Some(c) = chars.next() {
                match c {
                    '"' if chars.next_if_eq(&'"').is_some() => name.push('"'),
                    '"' => break,
                    c => name.push(c),
                }
            }
        } else {
            while let Some(c) = chars.next_if(|c| *c != ',') {
                name.push(c);
            }
            name.truncate(name.trim_end().len());
        }
        names.push(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_names_are_split() {
        assert_eq!(split_names("\"$user\", public"), ["$user", "public"]);
        assert_eq!(split_names("\"a\"\"b, c\",d "), ["a\"b, c", "d"]);
        assert_eq!(split_names("\"\""), [""]);
        assert!(split_names("").is_empty());
    }
}
