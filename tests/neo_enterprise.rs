//! The method `backup` with a `neo4j-admin` that is a script: it knows the documented command lines of Neo4j
//! Enterprise, its artifacts are dumps of the real tool, and it restores them by the real tool.

mod common;

use std::path::{Path, PathBuf};

use common::bad_input::{Case, wait_until};
use common::neo_service::Service;
use common::neo4j::{case, end_with, manifest, run, succeed};
use common::neo4j_process::program;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// `$at/table` has a line for each artifact: its name, whether it is whole, its first and last transaction.
const FIVE: &str = r#"
[ "$1" = --version ] && exec "$real" --version
printf '%s\n' "$*" >>"$at/argv"
value() { local word; for word in "${words[@]}"; do case $word in "$1="*) echo "${word#*=}" ;; esac; done; }
words=("$@")
case "$*" in
"database backup --inspect-path="*)
  directory=$(value --inspect-path)
  echo "| FILE | DATABASE | DATABASE ID | TIME (UTC) | FULL | COMPRESSED | LOWEST TX | HIGHEST TX |"
  while read -r name full lowest highest; do
    [ -e "$directory/$name" ] || continue
    echo "| file://$directory/$name | neo4j | c8368b24 | ${name:6:19} | $full | true | $lowest | $highest |"
  done <"$at/table"
  ;;
"database backup "*)
  to=$(value --to-path); type=$(value --type)
  [ -d "$to" ] && [ -d "$(value --temp-path)" ] || exit 9
  number=$(wc -l <"$at/table")
  name=neo4j-2026-01-$((10 + number))T00-00-00.backup
  if [ -e "$at/before" ]; then . "$at/before"; fi
  read -r lowest highest <"$at/next"
  if [ "$type" = FULL ] || ! ls "$to"/*.backup >/dev/null 2>&1; then
    cp "$at/dump" "$to/$name"
    echo "$name true 1 $highest" >>"$at/table"
  else
    head -c "$(cat "$at/size")" /dev/zero >"$to/$name"
    echo "$name false $lowest $highest" >>"$at/table"
  fi
  echo "Backup command completed."
  ;;
"database restore "*)
  from=$(value --from-path)
  last=
  while read -r name full _; do
    if [ "$full" = true ] && [ -e "$(dirname "$from")/$name" ]; then last=$name; fi
  done <"$at/table"
  "$real" database load --from-stdin "${!#}" <"$(dirname "$from")/$last"
  ;;
*) exec "$real" "$@" ;;
esac
"#;

const FOUR: &str = r#"
[ "$1" = --version ] && { echo 'neo4j-admin 4.4.12'; exit; }
printf '%s\n' "$*" >>"$at/argv"
for word in "$@"; do
  case $word in
  --backup-dir=*) to=${word#*=} ;;
  --from=*) from=${word#*=} ;;
  --database=*) database=${word#*=} ;;
  esac
done
case $1 in
backup)
  mkdir -p "$to/$database/schema"
  for ((i = 0; i < $(cat "$at/files"); i++)); do echo "content $i" >"$to/$database/file-$i"; done
  echo index >"$to/$database/schema/index"
  ;;
restore)
  mkdir -p "$NEO4J_HOME/data/transactions/$database"
  cp -r "$from" "$NEO4J_HOME/data/databases/$database"
  ;;
store-info) printf 'Database name: x\nDatabase in use: false\nLast committed transaction id: 7\nStore needs recovery: false\n' ;;
esac
"#;

/// A directory for `tools`, and what the script keeps.
struct Script {
    at: tempfile::TempDir,
}

impl Script {
    fn new(script: &str) -> Script {
        let at = tempfile::TempDir::new().unwrap();
        let bin = at.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(program("neo4j"), bin.join("neo4j")).unwrap();
        let text = format!(
            "#!/bin/bash\nset -e\nat={}\nreal={}\n{script}",
            at.path().display(),
            program("neo4j-admin").display()
        );
        let path = bin.join("neo4j-admin");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let script = Script { at };
        script.set("table", "");
        script.set("size", "10\n");
        script
    }

    fn set(&self, name: &str, text: &str) {
        std::fs::write(self.at.path().join(name), text).unwrap();
    }

    fn tools(&self) -> String {
        format!("tools = {:?}\n", self.at.path().join("bin"))
    }

    /// The command lines since the last look, with what differs from run to run named.
    fn commands(&self) -> Vec<String> {
        let path = self.at.path().join("argv");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let _ = std::fs::remove_file(path);
        let own = text.lines().filter(|line| line.contains("backup") || line.contains("restore"));
        own.map(|line| {
            let words = line.split(' ').map(|word| match word.split_once("=/") {
                Some((name, path)) => format!("{name}=/…/{}", path.rsplit('/').next().unwrap()),
                None => word.to_owned(),
            });
            words.collect::<Vec<_>>().join(" ")
        })
        .collect()
    }
}

fn source(server: &Service, script: &Script, options: &str) -> Case {
    let tools = script.tools();
    case(
        &server.url(),
        &format!(
            "method = \"backup\"\n{tools}[sources.orders.options]\nbackup_from = \"db.internal:6362\"\n{options}\
             [sources.orders.staging]\nurl = \"ephemeral\"\n{tools}"
        ),
    )
}

fn items(case: &Case) -> Vec<Value> {
    let shown = run(&case.world, &["show", "orders", "--inventory", "--json"]);
    shown.lines().into_iter().filter(|line| line["message_type"] == "item").collect()
}

fn entries(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn restored_to(home: &Service) -> PathBuf {
    home.neo4j.home().join("data/databases")
}

#[test]
fn artifacts_and_chains() {
    let server = Service::start(false);
    server.cypher("UNWIND range(1, 300) AS i CREATE (p:Person {n: i}) CREATE (p)-[:IS]->(:City {n: i % 5})");
    server.run("stop");
    let last = server.last_transaction();
    let dumped = server.neo4j.admin(&["database", "dump", "neo4j", "--to-stdout"]);
    server.started();
    let script = Script::new(FIVE);
    std::fs::write(script.at.path().join("dump"), dumped.stdout).unwrap();
    script.set("next", &format!("0 {last}\n"));

    // A whole one, and nothing was committed.
    let whole = source(&server, &script, "");
    let line = succeed(&whole.world, &["backup", "orders"]);
    assert_eq!((&line["method"], &line["consistency"]), (&json!("backup"), &json!("consistent")), "{line:#}");
    assert_eq!(line["recovery_point"]["position"], format!("transaction {last}"), "{line:#}");
    // The server is no Enterprise, which is told.
    assert_eq!(line["warnings"].as_array().unwrap().len(), 1, "{line:#}");
    let inspect = "database backup --inspect-path=/…/artifacts";
    let backup = "database backup --from=db.internal:6362 --to-path=/…/artifacts --temp-path=/…/temp --type=FULL \
                  --include-metadata=all neo4j";
    assert_eq!(script.commands(), [backup, inspect]);
    assert!(items(&whole).iter().all(|item| item["proof"] == json!(null)), "{:#?}", items(&whole));
    let by_hand = manifest(&whole.world, "orders")["restore_by_hand"].to_string();
    assert!(by_hand.contains("neo4j-admin database restore --from-path="), "{by_hand}");
    let line = succeed(&whole.world, &["verify", "orders"]);
    assert_eq!((&line["verdict"], &line["rows"]), (&json!("passed"), &json!(900)), "{line:#}");
    let line = succeed(&whole.world, &["drill", "orders"]);
    assert_eq!((&line["verdict"], &line["differences"]), (&json!("passed"), &json!([])), "{line:#}");
    let restore =
        "database restore --from-path=/…/neo4j-2026-01-10T00-00-00.backup --temp-path=/…/temp neo4j";
    assert_eq!(script.commands(), [restore]);

    // One that is behind what was counted before.
    script.set("next", &format!("0 {}\n", last - 1));
    let ran = whole.run(&["backup", "orders", "--no-progress"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains("lags behind"), "{ran:?}");
    // One that is not there, and a tool that says no.
    for (before, code, says) in [
        ("exit 0", 1, "left 0 artifacts instead of 1"),
        ("echo 'Connection refused: db.internal:6362' >&2; exit 1", 1, "Connection refused"),
        ("echo x >\"$to/$name\"; exit 1", 1, "failed with status 1"),
        ("kill -9 $$", 1, "was killed by signal 9"),
    ] {
        script.set("before", before);
        let ran = run(&whole.world, &["backup", "orders", "--no-progress"]);
        assert_eq!(ran.code, code, "{before}: {ran:?}");
        assert!(ran.stderr.contains(says), "{before}: {ran:?}");
    }
    // One that is stopped: nothing stays in the directory of temporary files.
    script.set("before", ": >\"$at/started\"; exec sleep 600");
    let running = whole.start(&["backup", "orders", "--no-progress"]);
    wait_until("the tool works", || script.at.path().join("started").exists());
    running.signal(Signal::SIGTERM);
    assert_eq!(running.end().code, 143);
    let temporary = whole.world.path().join("temporary");
    wait_until("the files are gone", || entries(&temporary).is_empty());
    // The older one that was there, and the one from above.
    assert_eq!(run(&whole.world, &["list", "orders", "--json"]).lines().len(), 2);

    // Somebody writes while it is made.
    script.set("before", ": >\"$at/counted\"; until [ -e \"$at/written\" ]; do sleep 0.05; done");
    script.set("next", &format!("0 {}\n", last + 9));
    let running = whole.start(&["backup", "orders", "--no-progress", "--json"]);
    wait_until("the tool works", || script.at.path().join("counted").exists());
    server.cypher("CREATE (:Person {n: 301})");
    script.set("written", "");
    let ran = running.end();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("written to while it was counted and backed up"), "{ran:?}");
    let proofs: Vec<_> = items(&whole).into_iter().filter(|item| item["kind"] != "artifact").collect();
    assert!(proofs.iter().all(|item| item["proof"] == "before_backup"), "{proofs:#?}");
    script.set("before", "");
    script.commands();

    chain(&server, &script, last + 1);
}

/// A directory that is kept: what was added to it, and when it begins again.
fn chain(server: &Service, script: &Script, last: u64) {
    // The artifact is of one transaction less than the server; its word for it is what counts here.
    script.set("next", &format!("0 {last}\n"));
    let kept = tempfile::TempDir::new().unwrap();
    let case = source(server, script, &format!("backup_directory = {:?}\n", kept.path()));
    let files = || manifest(&case.world, "orders")["properties"]["files"].as_array().unwrap().len();
    let typed = |commands: Vec<String>| {
        let line = commands.into_iter().find(|line| line.contains("--type=")).unwrap();
        line.split("--type=").nth(1).unwrap().split(' ').next().unwrap().to_owned()
    };
    for (expected, kind) in [(1, "AUTO"), (2, "AUTO")] {
        succeed(&case.world, &["backup", "orders"]);
        assert_eq!((files(), typed(script.commands()).as_str()), (expected, kind));
        // An empty one is added.
        script.set("next", "0 0\n");
    }
    // What the first holds is at a transaction less than what the chain is said to end with.
    let home = Service::create(false);
    let to = format!("file://{}", home.neo4j.home().display());
    let ran = run(&case.world, &["restore", "orders", "--to", &to, "--no-progress"]);
    assert_eq!(ran.code, 6, "{ran:?}");
    assert!(ran.stderr.contains("after it was restored, and the backup at"), "{ran:?}");
    assert!(entries(&restored_to(&home)).iter().all(|name| !name.contains("neo4j")), "{ran:?}");
    assert_eq!(entries(&home.neo4j.home().join("data")).len(), 2, "{ran:?}");

    // An old database stays when the new one is not what it should be.
    let nodes = home.neo4j.home().join("nodes.csv");
    std::fs::write(&nodes, "id:ID\n1\n").unwrap();
    let nodes = format!("--nodes=Person={}", nodes.display());
    assert!(home.neo4j.admin(&["database", "import", "full", "neo4j", &nodes]).status.success());
    let before = (home.last_transaction(), entries(&restored_to(&home)));
    let ran = run(&case.world, &["restore", "orders", "--to", &to, "--no-progress"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    let replace = ["restore", "orders", "--to", &to, "--replace", "neo4j", "--no-progress"];
    let ran = run(&case.world, &replace);
    assert_eq!(ran.code, 6, "{ran:?}");
    assert_eq!((home.last_transaction(), entries(&restored_to(&home))), before);

    // Additions that are larger than what they are added to: the next is whole.
    script.set("size", "9000000\n");
    succeed(&case.world, &["backup", "orders"]);
    script.commands();
    script.set("next", &format!("0 {last}\n"));
    succeed(&case.world, &["backup", "orders"]);
    assert_eq!((files(), typed(script.commands()).as_str()), (1, "FULL"));
    // Transactions between two are missing.
    script.set("next", &format!("{} {}\n", last + 2, last + 2));
    script.set("size", "10\n");
    let ran = run(&case.world, &["backup", "orders", "--no-progress"]);
    assert_eq!(ran.code, 6, "{ran:?}");
    assert!(ran.stderr.contains("begins with transaction"), "{ran:?}");
    four(server);
}

/// Neo4j 4.x, whose backups are directories.
fn four(server: &Service) {
    let script = Script::new(FOUR);
    script.set("files", "3\n");
    let case = source(server, &script, "");
    succeed(&case.world, &["backup", "orders"]);
    assert_eq!(
        script.commands(),
        [
            "backup --backup-dir=/…/artifacts --from=db.internal:6362 --database=neo4j --fallback-to-full=true \
             --check-consistency=false"
        ]
    );
    assert_eq!(manifest(&case.world, "orders")["properties"]["files"].as_array().unwrap().len(), 4);
    let line = succeed(&case.world, &["verify", "orders"]);
    assert_eq!(line["verdict"], "passed", "{line:#}");
    let home = Service::create(false);
    let to = format!("file://{}", home.neo4j.home().display());
    end_with(&case.world, &["restore", "orders", "--to", &to], 0);
    assert_eq!(script.commands(), ["restore --from=/…/neo4j --database=neo4j"]);
    let made = restored_to(&home).join("neo4j");
    assert_eq!(std::fs::read_to_string(made.join("schema/index")).unwrap(), "index\n");
    assert_eq!(entries(&home.neo4j.home().join("data")), ["databases", "transactions"]);
    script.set("files", "120\n");
    let ran = run(&case.world, &["backup", "orders", "--no-progress"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains("a manifest has room for 100") && ran.stderr.contains("method dump"),
        "{ran:?}"
    );
}
