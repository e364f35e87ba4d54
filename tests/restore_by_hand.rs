//! The very commands of docs/restore-by-hand.md, and those of the manifest, restore a backup without lifeboat.

mod common;

use std::path::Path;
use std::process::Command;

use common::cli::World;
use common::fingerprint::{contents, schema};
use common::lifeboat::{kitchen_roles, kitchen_sink, path, psql, source, succeed};
use common::postgres::{PASSWORD, SUPERUSER, Server, shared, unique};
use serde_json::Value;

const DOCUMENT: &str = include_str!("../docs/restore-by-hand.md");

/// Runs a script as the reader of the document would, with the target in the environment.
fn bash(directory: &Path, server: &Server, script: &str) -> String {
    let output = Command::new("bash")
        .args(["-c", script])
        .current_dir(directory)
        .env_clear()
        .env("PATH", path())
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", server.port.to_string())
        .env("PGUSER", SUPERUSER)
        .env("PGPASSWORD", PASSWORD)
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{script}\n{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    stdout
}

/// Files take the place of S3.
fn with_files(script: &str) -> String {
    let lines = script.lines().map(|line| match line.split_once("aws s3 cp ") {
        Some((before, after)) if after.contains(" - ") || after.ends_with(" -") => {
            format!("{before}cat {}", after.replacen(" -", "", 1))
        }
        Some((before, after)) => format!("{before}cp {after}"),
        None => line.to_owned(),
    });
    lines.collect::<Vec<String>>().join("\n")
}

#[test]
fn a_backup_restores_without_lifeboat() {
    let server = shared(15);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(kitchen_sink(server));
    let target = shared(17);
    runtime.block_on(kitchen_roles(target));
    let world = World::new(&source("orders", server, &database));
    let id = succeed(&world, &["backup", "orders"])["id"].as_str().unwrap().to_owned();
    let before = runtime.block_on(contents(server, &database));

    // The document.
    let script = DOCUMENT.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let store = world.path().join("store/orders");
    let name = unique("by_hand");
    let script = with_files(script).replace("orders_restored", &name);
    let script: Vec<String> = script
        .lines()
        .map(|line| match line.split_once('=') {
            Some(("STORE", _)) => format!("STORE={}", store.display()),
            Some(("ID", _)) => format!("ID={id}"),
            _ => line.to_owned(),
        })
        .collect();
    let said = bash(world.path(), target, &script.join("\n"));
    assert_eq!(runtime.block_on(contents(target, &name)), before);

    // Its checksums.
    let manifest: Value =
        serde_json::from_str(&std::fs::read_to_string(world.path().join("manifest.json")).unwrap()).unwrap();
    let dump =
        manifest["objects"].as_array().unwrap().iter().find(|o| o["name"] == "postgres.dump.zst").unwrap();
    let sum = dump["sha256"].as_str().unwrap();
    assert!(said.contains(&format!("{sum}  postgres.dump.zst\n")), "{said}");
    assert!(said.contains(&format!("{sum}  -\n")), "{said}");

    // The commands of the manifest, into the version that the backup is of: those of a store of files as they are.
    let commands: Vec<&str> =
        manifest["restore_by_hand"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
    assert!(!commands.iter().any(|command| command.contains("aws")), "{commands:#?}");
    let name = unique("by_hand");
    let script =
        format!("STORE={}\nID={id}\n{}", store.display(), commands.join("\n")).replace("NEW_DATABASE", &name);
    bash(world.path(), server, &script);
    assert_eq!(runtime.block_on(contents(server, &name)), before);
    assert_eq!(schema(server, &name), schema(server, &database));
    assert_eq!(psql(server, &name, &["-c", "SELECT count(*) FROM many"]), "20000\n");
}
