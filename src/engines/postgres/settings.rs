//! The session settings that the text of a row depends on, pinned in one table.
//!
//! `pg_dump` pins most of them itself (pg_dump.c, `setup_connection`), but not those that a
//! database may change by `ALTER DATABASE … SET`: a time zone would be in every row. The dump, the
//! restore and the drill's readers therefore get the same set, and the inventory records it.

use std::collections::BTreeMap;

/// One pinned setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The name.
    pub name: &'static str,
    /// The value.
    pub value: &'static str,
    /// The first server version that knows it, as `server_version_num`; 0: all.
    pub since: u32,
    /// Who gets it.
    pub scope: Scope,
}

/// Who gets a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Children (`pg_dump`, `pg_restore`) and our readers; recorded, since row text depends on it.
    Rows,
    /// Our readers only, since `pg_dump` sets it itself; recorded, since row text depends on it.
    Readers,
    /// Children and readers, but without influence on row text.
    Behaviour,
    /// Our readers only, without influence on row text.
    ReaderBehaviour,
}

const fn row(name: &'static str, value: &'static str, since: u32, scope: Scope) -> Setting {
    Setting { name, value, since, scope }
}

/// The table.
pub const SETTINGS: &[Setting] = &[
    row("timezone", "UTC", 0, Scope::Rows),
    row("bytea_output", "hex", 0, Scope::Rows),
    row("lc_monetary", "C", 0, Scope::Rows),
    row("xmlbinary", "base64", 0, Scope::Rows),
    row("search_path", "", 0, Scope::Readers),
    row("datestyle", "ISO", 0, Scope::Rows),
    row("intervalstyle", "postgres", 0, Scope::Rows),
    row("extra_float_digits", "3", 0, Scope::Rows),
    // NULL inside an array literal is read as NULL, and DDL text is quoted as pg_dump expects it.
    row("array_nulls", "on", 0, Scope::Behaviour),
    row("quote_all_identifiers", "off", 0, Scope::Behaviour),
    row("transform_null_equals", "off", 0, Scope::Behaviour),
    // A database that is read-only by default must still take a restore.
    row("default_transaction_read_only", "off", 0, Scope::Behaviour),
    row("idle_in_transaction_session_timeout", "0", 0, Scope::Behaviour),
    row("idle_session_timeout", "0", 140_000, Scope::Behaviour),
    row("transaction_timeout", "0", 170_000, Scope::Behaviour),
    row("statement_timeout", "0", 0, Scope::ReaderBehaviour),
    row("lock_timeout", "0", 0, Scope::ReaderBehaviour),
    row("row_security", "off", 0, Scope::ReaderBehaviour),
    row("synchronize_seqscans", "off", 0, Scope::ReaderBehaviour),
    row("standard_conforming_strings", "on", 0, Scope::ReaderBehaviour),
];

/// The server options of a child for a server of this version: `-c name=value …`, for `PGOPTIONS`.
pub fn child_options(server_version: u32) -> String {
    let parts: Vec<String> = known(server_version)
        .filter(|setting| matches!(setting.scope, Scope::Rows | Scope::Behaviour))
        .map(|setting| format!("-c {}={}", setting.name, escape_option(setting.value)))
        .collect();
    parts.join(" ")
}

/// The statements that make a session a reader; `client_encoding` is the one of the archive, if given.
///
/// Reads no table, so it takes no snapshot.
pub fn reader_statements(server_version: u32, client_encoding: Option<&str>) -> String {
    let mut sql = String::new();
    for setting in known(server_version) {
        // An empty search path is written as pg_dump writes it; '' would be a schema of that name.
        if setting.name == "search_path" {
            sql.push_str("SET search_path = '';\n");
        } else {
            sql.push_str(&format!("SET {} = {};\n", setting.name, quote_literal(setting.value)));
        }
    }
    if let Some(encoding) = client_encoding {
        sql.push_str(&format!("SET client_encoding = {};\n", quote_literal(encoding)));
    }
    sql
}

/// What the inventory records: every setting that the text of a row depends on.
pub fn recorded() -> BTreeMap<String, String> {
    SETTINGS
        .iter()
        .filter(|setting| matches!(setting.scope, Scope::Rows | Scope::Readers))
        .map(|setting| (setting.name.to_string(), setting.value.to_string()))
        .collect()
}

fn known(server_version: u32) -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(move |setting| setting.since <= server_version)
}

/// Escapes spaces and backslashes for `PGOPTIONS`.
fn escape_option(value: &str) -> String {
    value.replace('\\', r"\\").replace(' ', r"\ ")
}

/// Quotes a string literal for any setting of `standard_conforming_strings`.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!(" E'{}'", quoted.replace('\\', r"\\")) } else { format!("'{quoted}'") }
}

/// Quotes an identifier.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_get_what_pg_dump_does_not_pin() {
        let options = child_options(150_000);
        for part in ["-c timezone=UTC", "-c bytea_output=hex", "-c lc_monetary=C", "-c xmlbinary=base64"] {
            assert!(options.contains(part), "{part}");
        }
        assert!(!options.contains("transaction_timeout"), "unknown before 17");
        assert!(child_options(170_000).contains("-c transaction_timeout=0"));
        assert!(!options.contains("search_path"));
    }

    #[test]
    fn readers_get_every_setting_their_server_knows() {
        let sql = reader_statements(130_000, Some("LATIN1"));
        assert!(sql.contains("SET row_security = 'off';") && sql.contains("SET search_path = '';"));
        assert!(sql.ends_with("SET client_encoding = 'LATIN1';\n"));
        assert!(!sql.contains("idle_session_timeout"));
    }

    #[test]
    fn what_is_recorded_is_what_rows_depend_on() {
        let names: Vec<String> = recorded().into_keys().collect();
        assert_eq!(
            names,
            [
                "bytea_output",
                "datestyle",
                "extra_float_digits",
                "intervalstyle",
                "lc_monetary",
                "search_path",
                "timezone",
                "xmlbinary"
            ]
        );
    }

    #[test]
    fn text_is_quoted() {
        assert_eq!(quote_identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal(r"a\b'"), r" E'a\\b'''");
        assert_eq!(escape_option(r"a b\c"), r"a\ b\\c");
    }
}
