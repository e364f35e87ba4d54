//! The binary against MongoDB servers: worlds whose sources are databases of these servers.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::process::Command;

use mongodb::Client;
use serde_json::Value;

use super::cli::{Ran, World};
use super::fingerprint_mongo::{db_hash, definitions};
use super::mongo::{mongod, tool};

/// The section of a source; `more` are lines of it, or tables below it.
pub fn source(name: &str, url: &str, more: &str) -> String {
    format!("\n[sources.{name}]\nengine = \"mongodb\"\nurl = '{url}'\n{more}\n")
}

/// The options that select these databases.
pub fn only_databases(name: &str, databases: &[&str]) -> String {
    format!("[sources.{name}.options]\ndatabases = {databases:?}\n")
}

/// A world whose temporary files are in its own directory `tmp`.
pub fn world(config: &str) -> World {
    let world = World::new(config);
    std::fs::create_dir(world.path().join("tmp")).unwrap();
    world
}

/// `PATH` with the tools and the server.
pub fn path() -> String {
    let directory = |program: &Path| program.parent().unwrap().display().to_string();
    format!("{}:{}:/usr/bin:/bin", directory(&tool("mongodump")), directory(&mongod()))
}

/// A command that runs the binary with the tools in its path.
pub fn command(world: &World, arguments: &[&str]) -> Command {
    let mut command = world.command(arguments);
    command.env("PATH", path()).env("TMPDIR", world.path().join("tmp"));
    command
}

/// Runs the binary, and looks that it left no temporary file.
pub fn run(world: &World, arguments: &[&str]) -> Ran {
    let ran = run_beside(world, arguments);
    let left: Vec<_> = std::fs::read_dir(world.path().join("tmp")).unwrap().flatten().collect();
    assert!(left.is_empty(), "{arguments:?} left {left:?}");
    ran
}

/// Runs the binary while others of this world run too.
pub fn run_beside(world: &World, arguments: &[&str]) -> Ran {
    let output = command(world, arguments).output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the binary with `--json`; it must end with 0. Returns the last line.
pub fn succeed(world: &World, arguments: &[&str]) -> Value {
    end_with(world, arguments, 0)
}

/// Runs the binary with `--json`; it must end with this code. Returns the last line.
pub fn end_with(world: &World, arguments: &[&str], code: i32) -> Value {
    let ran = run(world, &[arguments, &["--json"]].concat());
    assert_eq!(ran.code, code, "{arguments:?}: {ran:#?}");
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

/// The items of the newest backup, by name, from `show --inventory`.
pub fn items(world: &World, source: &str) -> BTreeMap<String, Value> {
    let ran = run(world, &["show", source, "--inventory", "--json"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let lines = ran.lines().into_iter().filter(|line| line["message_type"] == "item");
    let text = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
    lines.map(|line| (format!("{}.{}", text(&line, "namespace"), text(&line, "name")), line)).collect()
}

/// The manifest of the newest backup.
pub fn manifest(world: &World, source: &str) -> Value {
    succeed(world, &["show", source])["manifest"].take()
}

/// A directory for `tools` in which one tool is a script; `$REAL` is the tool in it. Asked for its version, it is
/// the tool.
pub fn wrapped(world: &World, name: &str, script: &str) -> String {
    let directory = world.path().join("tools");
    for own in ["mongodump", "mongorestore"] {
        if own != name {
            world.write("tools/.there", "");
            let _ = std::fs::remove_file(directory.join(own));
            std::os::unix::fs::symlink(tool(own), directory.join(own)).unwrap();
        }
    }
    let real = tool(name).display().to_string();
    let script = format!(
        "#!/bin/bash\nset -euo pipefail\nREAL={real}\ncase \"$*\" in --version) exec $REAL --version ;; esac\n{script}\n"
    );
    let path = directory.join(name);
    world.write(&format!("tools/{name}"), &script);
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    directory.display().to_string()
}

/// Waits for something that another process does; the limit is for a broken build only.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !done() {
        assert!(began.elapsed().as_secs() < 60, "{what} did not happen");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Damages a byte in the middle of the archive of the newest backup.
pub fn damage(world: &World, source: &str) {
    let mut files = Vec::new();
    collect(&world.path().join("store").join(source), &mut files);
    files.retain(|(_, path)| path.ends_with("mongodb.archive.zst"));
    let (size, path) = files.into_iter().max_by_key(|(_, path)| path.clone()).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[size as usize / 2] ^= 0x10;
    std::fs::write(&path, bytes).unwrap();
}

fn collect(directory: &Path, found: &mut Vec<(u64, std::path::PathBuf)>) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        match entry.path().is_dir() {
            true => collect(&entry.path(), found),
            false => found.push((entry.metadata().unwrap().len(), entry.path())),
        }
    }
}

/// A runtime for the clients of a test.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

/// Two databases hold the same documents and definitions.
pub async fn assert_same(from: &Client, name: &str, to: &Client, other: &str) {
    let hashes = db_hash(from, name).await;
    same(&hashes, &db_hash(to, other).await);
    same(&definitions(from, name).await, &definitions(to, other).await);
}

/// Like assert_eq, with only what differs.
pub fn same<T: PartialEq + Debug>(expected: &BTreeMap<String, T>, found: &BTreeMap<String, T>) {
    for name in expected.keys().chain(found.keys()) {
        assert_eq!(expected.get(name), found.get(name), "{name}");
    }
}
