//! The binary against real servers: a world whose sources are databases of these servers.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::cli::{Ran, World};
use super::postgres::{PASSWORD, SUPERUSER, Server, bin};

/// The roles that the kitchen sink needs.
const ROLES: &str = r#"
DO $$ BEGIN CREATE ROLE kitchen_owner; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
DO $$ BEGIN CREATE ROLE kitchen_app LOGIN PASSWORD 'app'; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
DO $$ BEGIN CREATE ROLE "kitchen ""quoted"""; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
"#;

/// Makes the roles of the kitchen sink.
pub async fn kitchen_roles(server: &Server) {
    server.sql("postgres", ROLES).await;
}

/// Makes a database that has everything; see `kitchen_sink.sql`.
pub async fn kitchen_sink(server: &Server) -> String {
    kitchen_roles(server).await;
    let name = server.database().await;
    psql(server, &name, &["-f", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/kitchen_sink.sql")]);
    name
}

/// Runs psql, which stops at the first error.
pub fn psql(server: &Server, database: &str, arguments: &[&str]) -> String {
    let output = Command::new(bin(15).join("psql"))
        .args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-U",
            SUPERUSER,
            "-d",
            database,
        ])
        .args(["-p", &server.port.to_string()])
        .args(arguments)
        .env("PGPASSWORD", PASSWORD)
        .output()
        .unwrap();
    assert!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The section of a source.
pub fn source(name: &str, server: &Server, database: &str) -> String {
    format!(
        "\n[sources.{name}]\nengine = \"postgres\"\nurl = '{}'\n",
        server.url(database).replace('\'', "%27")
    )
}

/// `PATH` with the tools of both versions.
pub fn path() -> String {
    let tools: Vec<PathBuf> = [15, 17].into_iter().map(bin).collect();
    format!("{}:{}:/usr/bin:/bin", tools[0].display(), tools[1].display())
}

/// Runs the binary, with the tools in its path.
pub fn run(world: &World, arguments: &[&str]) -> Ran {
    run_with(world, arguments, &[])
}

/// Runs the binary, with more variables.
pub fn run_with(world: &World, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = world.command(arguments);
    let output = command.env("PATH", path()).envs(variables.iter().copied()).output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the binary with `--json`; it must end with 0. Returns the last line.
pub fn succeed(world: &World, arguments: &[&str]) -> Value {
    let ran = run(world, &[arguments, &["--json"]].concat());
    assert_eq!(ran.code, 0, "{arguments:?}: {ran:#?}");
    ran.lines().pop().unwrap_or_default()
}

/// Runs the binary; it must end with this code and say all of these. Returns what it said.
pub fn fail(world: &World, arguments: &[&str], code: i32, says: &[&str]) -> String {
    let ran = run(world, arguments);
    assert_eq!(ran.code, code, "{arguments:?}: {ran:#?}");
    for part in says {
        assert!(ran.stderr.contains(part), "{part:?} is not in: {}", ran.stderr);
    }
    ran.stderr
}
