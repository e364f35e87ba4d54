//! What befalls a dump of Neo4j: another store, tools that die or lie, signals, a server that does not come back.

mod common;

use std::path::Path;

use common::bad_input::{Case, Tools, told, wait_until};
use common::neo_service::Service;
use common::neo4j::{case, manifest, succeed};
use common::neo4j_process::program;
use nix::sys::signal::Signal;
use serde_json::json;

const BACKUP: &[&str] = &["backup", "orders", "--no-progress"];

fn tools(script: &str) -> Tools {
    Tools::with("neo4j-admin", program("neo4j-admin").parent().unwrap(), script)
}

/// The source, with these options besides.
fn source(server: &Service, before: &str, options: &str) -> Case {
    case(&server.url(), &format!("{before}\n{options}"))
}

/// The server was started again, and answers.
fn came_back(server: &Service, before: nix::unistd::Pid) {
    wait_until("another server runs", || {
        server.neo4j.home().join("run/neo4j.pid").exists() && server.pid() != before
    });
    server.wait_until_it_answers();
}

#[test]
fn a_server_that_is_stopped_for_a_dump_comes_back() {
    let server = Service::start(false);
    server.cypher("UNWIND range(1, 300) AS i CREATE (:Person {n: i})");

    // Another store than the server's.
    let other = Service::create(false);
    let nodes = other.neo4j.home().join("nodes.csv");
    std::fs::write(&nodes, "id:ID\n1\n").unwrap();
    let nodes = format!("--nodes=Person={}", nodes.display());
    let made = other.neo4j.admin(&["database", "import", "full", "neo4j", &nodes]);
    assert!(made.status.success(), "{made:?}");
    let options = server.options();
    let wrong = options
        .replace(&format!("conf = {:?}", server.neo4j.conf()), &format!("conf = {:?}", other.neo4j.conf()));
    assert_ne!(options, wrong);
    let pid = server.pid();
    let wrong = source(
        &server,
        "",
        &wrong.replace(
            &format!("home = {:?}", server.neo4j.home()),
            &format!("home = {:?}", other.neo4j.home()),
        ),
    );
    let ran = wrong.run(BACKUP);
    let said = told(&ran);
    assert!(
        said.contains("neo4j-admin dumped another neo4j than that of the server: its databaseID is"),
        "{said}"
    );
    assert!(said.contains("hint: NEO4J_HOME and NEO4J_CONF have to be those of the server"), "{said}");
    assert_eq!(ran.code, 3);
    wrong.assert_untouched();
    assert!(server.answers() && server.pid() != pid);

    // A signal while the tool works.
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGKILL, -1)] {
        let tools = tools("\"$real\" \"$@\" | { head -c 1000; pause; cat; }\nexit ${PIPESTATUS[0]}");
        let case = source(&server, &tools.config(), &options);
        let pid = server.pid();
        let mut running = case.start(BACKUP);
        tools.wait_for_pause(&mut running);
        assert!(!server.answers());
        running.signal(signal);
        if signal == Signal::SIGTERM {
            // Before it ends, the server is started.
            let ran = running.end();
            assert_eq!(ran.code, code, "{ran:?}");
            assert_ne!(server.pid(), pid);
        } else {
            assert_eq!(running.end().code, code);
        }
        came_back(&server, pid);
        case.assert_manifests_untouched();
        assert_eq!(server.number("MATCH (n) RETURN count(n)"), 300);
    }

    // Somebody writes after the count: the stop command waits until they have.
    let stop =
        "touch \"$home/stopping\"\nuntil [ -e \"$home/written\" ]; do sleep 0.05; done\nexec \"$neo4j\" stop";
    server.command("stop", stop);
    let staging = "[sources.orders.staging]\nurl = \"ephemeral\"\n";
    let case = source(&server, "", &format!("{options}{staging}"));
    let running = case.start(&["backup", "orders", "--no-progress", "--json"]);
    let home = server.neo4j.home();
    wait_until("the server is to be stopped", || home.join("stopping").exists());
    server.cypher("CREATE (:Person {n: 301})");
    std::fs::write(home.join("written"), "").unwrap();
    let ran = running.end();
    assert_eq!(ran.code, 0, "{ran:?}");
    let line = ran.lines().pop().unwrap();
    let warning =
        "neo4j was written to between its count and its stop: a drill cannot compare the contents exactly";
    assert_eq!(line["warnings"], json!([warning]), "{line:#}");
    let shown = case.run(&["show", "orders", "--inventory", "--json"]);
    let items: Vec<_> = shown.lines().into_iter().filter(|line| line["message_type"] == "item").collect();
    assert!(items.iter().any(|item| item["proof"] == "before_stop"), "{items:#?}");
    let line = succeed(&case.world, &["drill", "orders"]);
    assert_eq!((&line["verdict"], &line["differences"]), (&json!("passed"), &json!([])), "{line:#}");
    let notes = line["warnings"].to_string();
    assert!(notes.contains("written to between its count and its stop"), "{line:#}");

    // A server that does not come back does not cost the backup, and is no success.
    server.command("start", "echo 'no such unit' >&2; exit 5");
    let ran = case.run(BACKUP);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert_told!(told(&ran), @r"
    error: the dump of neo4j is whole, but the server did not come back: the command that starts the server (PATH) ended with status 5: Stopping Neo4j... stopped.; no such unit
    hint: start the server by hand now, and try options.start as lifeboat's user
    ");
    let kept = manifest(&case.world, "orders");
    assert_eq!(kept["properties"]["downtime_seconds"], json!(null), "{kept:#}");
    assert!(kept["warnings"].to_string().contains("did not come back"), "{kept:#}");
}

/// A home whose server was stopped, or is stopped where this returns.
fn stopped() -> Service {
    let server = Service::start(false);
    server.cypher("UNWIND range(1, 2000) AS i CREATE (:Person {n: i, text: 'number ' + i})");
    server
}

#[test]
fn a_dump_without_commands_wants_a_server_that_was_stopped_well() {
    let server = stopped();
    let plain = format!("method = \"dump\"\n[sources.orders.options]\n{}", server.places());
    let case = source(&server, "", &plain);

    // It runs.
    assert_told!(case.fails(4), @r"
    error: orders: neo4j://HOST would not be backed up whole: server: neo4j://HOST runs, and a dump needs it stopped
    hint: let lifeboat stop and start it by options.stop and options.start, or use the method export
    ");
    // It crashed.
    server.crash();
    assert_told!(case.fails(4), @r"
    error: orders: dumping the database neo4j: neo4j-admin failed with status 1: Failed to dump database 'neo4j': Active logical log detected, this might be a source of inconsistencies.; Please recover database before running the dump.; To perform recovery please start database and perform clean shutdown.
    hint: the server was not stopped cleanly: start it, stop it, and try again
    ");
    server.started();
    server.run("stop");

    // What the tool says and gives: it ends with 0 in all but the first.
    for (script, code) in [
        ("case \"$*\" in *dump*) echo 'out of luck' >&2; exit 3 ;; esac\nexec \"$real\" \"$@\"", 1),
        ("case \"$*\" in *dump*) \"$real\" \"$@\" | head -c 3000; exit 0 ;; esac\nexec \"$real\" \"$@\"", 6),
        ("case \"$*\" in *dump*) \"$real\" \"$@\" | head -c -1; exit 0 ;; esac\nexec \"$real\" \"$@\"", 6),
        (
            "case \"$*\" in *dump*) \"$real\" \"$@\" | { head -c 3000; printf XYZ; tail -c +4; }; exit 0 ;; esac\nexec \"$real\" \"$@\"",
            6,
        ),
        ("case \"$*\" in *dump*) exit 0 ;; esac\nexec \"$real\" \"$@\"", 6),
        ("case \"$*\" in *system*) exit 0 ;; esac\nexec \"$real\" \"$@\"", 6),
        ("case \"$*\" in *dump*) \"$real\" \"$@\"; echo more; exit 0 ;; esac\nexec \"$real\" \"$@\"", 6),
        (
            "case \"$*\" in *dump*) \"$real\" \"$@\" | head -c 3000; kill -9 $$ ;; esac\nexec \"$real\" \"$@\"",
            1,
        ),
    ] {
        let tools = tools(script);
        let case = source(&server, &tools.config(), &plain);
        let ran = case.run(BACKUP);
        assert_eq!(ran.code, code, "{script}: {ran:?}");
        assert!(ran.stderr.contains("dumping the database"), "{script}: {ran:?}");
        case.assert_untouched();
    }

    // A tool that gives nothing is not waited for without end.
    let hangs = tools("case \"$*\" in *dump*) sleep 600 ;; esac\nexec \"$real\" \"$@\"");
    let case = source(&server, &hangs.config(), &format!("{plain}stall_timeout_seconds = 1\n"));
    assert_told!(case.fails(1), @r"
    error: orders: neo4j-admin gave nothing for N s: it was ended
    hint: look at the disk of the server's data, and at options.stall_timeout_seconds
    ");

    // Uncounted, and said so.
    let staging = "[sources.orders.staging]\nurl = \"ephemeral\"\n";
    let case = source(&server, "", &format!("{plain}{staging}"));
    let line = succeed(&case.world, &["backup", "orders"]);
    assert!(line["warnings"].to_string().contains("was not counted"), "{line:#}");
    damaged(&case, &server);
    killed(&case, &server);
}

/// Restores of a backup that is damaged leave the old database.
fn damaged(case: &Case, server: &Service) {
    let home = Service::create(false);
    copy(&server.neo4j.home().join("data"), &home.neo4j.home().join("data"));
    let last = home.last_transaction();
    let to = format!("file://{}", home.neo4j.home().display());
    let object = newest(case, "neo4j.dump");
    let whole = std::fs::read(&object).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0x10;
    for bad in [&whole[..whole.len() - 1], &flipped] {
        std::fs::write(&object, bad).unwrap();
        let ran = case.run(&["verify", "orders"]);
        assert_eq!(ran.code, 6, "{ran:?}");
        let ran = case.run(&["restore", "orders", "--to", &to, "--replace", "neo4j"]);
        assert_eq!(ran.code, 6, "{ran:?}");
        assert_eq!(home.last_transaction(), last);
        assert_eq!(entries(&home.neo4j.home().join("data/databases")), ["neo4j", "store_lock", "system"]);
    }
    std::fs::write(&object, &whole).unwrap();
}

/// A restore that is killed half-way is named, and undone by the next.
fn killed(case: &Case, server: &Service) {
    let home = Service::create(false);
    copy(&server.neo4j.home().join("data"), &home.neo4j.home().join("data"));
    let to = format!("file://{}", home.neo4j.home().display());
    let restore = ["restore", "orders", "--to", &to, "--replace", "neo4j", "--no-progress"];
    let tools = tools("case \"$*\" in *load*) pause ;; esac\nexec \"$real\" \"$@\"");
    let text = std::fs::read_to_string(case.world.path().join("lifeboat.toml")).unwrap();
    let with_tools = text.replace("method = \"dump\"", &format!("method = \"dump\"\n{}", tools.config()));
    case.world.write("lifeboat.toml", &with_tools);
    let mut running = case.start(&restore);
    tools.wait_for_pause(&mut running);
    running.signal(Signal::SIGKILL);
    assert_eq!(running.end().code, -1);
    tools.go_on();
    let databases = home.neo4j.home().join("data/databases");
    assert!(databases.join("lifeboat-replaced-neo4j").is_dir(), "{:?}", entries(&databases));

    // The doctor of the source that has this home.
    let own = text.replace(&server.places(), &home.places());
    assert_ne!(own, text);
    case.world.write("lifeboat.toml", &own);
    let ran = case.run(&["doctor", "orders"]);
    assert!(ran.stdout.contains("is the old neo4j, whole"), "{ran:?}");
    case.world.write("lifeboat.toml", &text);

    let ran = case.run(&restore);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("an earlier restore of neo4j was killed"), "{ran:?}");
    assert_eq!(entries(&databases), ["neo4j", "store_lock", "system"]);
    assert_eq!(home.last_transaction(), server.last_transaction());
}

fn entries(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(status.unwrap().success());
}

/// The file of an object of the newest backup.
fn newest(case: &Case, object: &str) -> std::path::PathBuf {
    let data = case.world.path().join("store/orders/data");
    let id = entries(&data).pop().unwrap();
    let found = entries(&data.join(&id)).into_iter().find(|name| name.starts_with(object));
    data.join(id).join(found.unwrap())
}
