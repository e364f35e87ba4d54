//! What is in a database, told without any of the code under test: to be compared as text.

use std::collections::BTreeMap;
use std::process::Command;

use super::postgres::{PASSWORD, SUPERUSER, Server};

const SETTINGS: &str = "SET timezone = 'UTC'; SET bytea_output = hex; SET lc_monetary = 'C'; SET xmlbinary = base64; \
                        SET extra_float_digits = 3; SET intervalstyle = postgres; SET datestyle = ISO; SET search_path = ''; \
                        SET row_security = off";

/// Tables with count and md5 of their sorted rows, sequences, materialized views, large objects.
///
/// A partitioned table is looked at through its root: rows of hash partitions may sit in other leaves.
pub async fn contents(server: &Server, database: &str) -> BTreeMap<String, String> {
    let session = server.session(database).await;
    session.batch_execute(SETTINGS).await.unwrap();
    let mut found = BTreeMap::new();
    let relations = session
        .query(
            "SELECT format('%I.%I', n.nspname, c.relname), c.relkind::text, c.relispopulated FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'm', 'S') AND NOT c.relispartition \
             AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%'",
            &[],
        )
        .await
        .unwrap();
    for row in relations {
        let (name, kind, populated): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
        let only = if kind == "r" { "ONLY " } else { "" };
        let sql = match kind.as_str() {
            "S" => format!("SELECT last_value || ' ' || is_called FROM {name}"),
            "m" if !populated => "SELECT 'not populated'".to_owned(),
            _ => format!(
                "SELECT count(*) || ' ' || coalesce(md5(string_agg(md5(x::text), '' ORDER BY md5(x::text))), '') FROM {only}{name} x"
            ),
        };
        let value = session.query_one(&sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e:?}")).get(0);
        found.insert(name, value);
    }
    for row in session.query("SELECT oid, md5(lo_get(oid)) FROM pg_largeobject_metadata", &[]).await.unwrap()
    {
        found.insert(format!("large object {}", row.get::<_, u32>(0)), row.get(1));
    }
    found
}

/// Encoding, locale, owner, settings, privileges and comment of a database.
pub async fn properties(server: &Server, database: &str) -> String {
    let sql = "SELECT concat_ws(E'\\n', pg_encoding_to_char(encoding), datcollate, datctype, datlocprovider, pg_get_userbyid(datdba), \
               datconnlimit, datistemplate, datallowconn, (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(datacl) a), shobj_description(oid, 'pg_database'), \
               (SELECT string_agg(concat(setrole::regrole, ' ', c), E'\\n' ORDER BY setrole, c) FROM pg_db_role_setting, unnest(setconfig) c WHERE setdatabase = d.oid)) \
               FROM pg_database d WHERE datname = $1";
    let row = server.session("postgres").await.query_opt(sql, &[&database]).await.unwrap();
    row.unwrap_or_else(|| panic!("there is no database {database}")).get(0)
}

/// The definitions as the vendor's tool of the server's own version writes them.
pub fn schema(server: &Server, database: &str) -> String {
    let output = Command::new(server.bin.join("pg_dump"))
        .args([
            "--schema-only",
            "--host=127.0.0.1",
            "--username",
            SUPERUSER,
            "--port",
            &server.port.to_string(),
            database,
        ])
        .env("PGPASSWORD", PASSWORD)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter(|line| !line.contains("restrict ")).map(|line| format!("{line}\n")).collect()
}

/// Unfinished databases of restores of this name. Other tests restore on the same server meanwhile.
pub async fn unfinished(server: &Server, name: &str) -> Vec<String> {
    let sql = "SELECT datname::text FROM pg_database WHERE datname LIKE 'lifeboat\\_%' \
               AND position($1 in shobj_description(oid, 'pg_database')) > 0 ORDER BY 1";
    let session = server.session("postgres").await;
    let wanted = format!(" restore of {name};");
    session.query(sql, &[&wanted]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// The names of all databases whose names hold the text.
pub async fn databases(server: &Server, part: &str) -> Vec<String> {
    let sql = "SELECT datname::text FROM pg_database WHERE position($1 in datname) > 0 ORDER BY 1";
    server
        .session("postgres")
        .await
        .query(sql, &[&part])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}
