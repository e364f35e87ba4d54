//! Notifications: what is sent, when, and that none of it changes how a run ends.

mod common;

use std::io::Read as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::cli::{PLAIN, World};
use common::gateway::{Listener, Manner, free_port};
use common::lifeboat::{path, psql, source};
use common::postgres::shared;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const PING: &str = "LIFEBOAT_NOTIFY_PING_URL";

fn world(notify: &str) -> World {
    let source = PLAIN.replace("db.internal", &format!("127.0.0.1:{}", free_port()));
    let world = World::new(&format!("[notify]\n{notify}\n{source}"));
    world.backup("orders", 1, |_| {});
    world
}

/// First lines without method and version, in the order they came.
fn paths(listener: &Listener) -> Vec<String> {
    let line = |(line, _): (String, String)| line.replace("POST ", "").replace(" HTTP/1.1", "");
    listener.heard().into_iter().map(line).collect()
}

#[test]
fn a_failure_is_told_to_everybody_with_what_to_do() {
    let listener = Listener::start(Manner::Answers(200));
    let world = world("webhook_url_file = \"hook\"\nslack_url_file = \"chat\"\nping_url_file = \"ping\"");
    world.write("hook", &format!("{}/hook/s3cret", listener.url()));
    world.write("chat", &format!("{}/chat", listener.url()));
    world.write("ping", &format!("{}/ping/{{source}}-{{command}}", listener.url()));
    let ran = world.run(&["backup", "orders"]);
    assert_eq!(ran.code, 4, "{ran:#?}");
    let mut all = paths(&listener);
    assert_eq!(all.remove(0), "/ping/orders-backup/start");
    all.sort();
    assert_eq!(all, ["/chat", "/hook/s3cret", "/ping/orders-backup/fail"]);
    let sent = |path: &str| {
        let found = listener.heard().into_iter().find(|(line, _)| line.contains(path));
        found.unwrap_or_else(|| panic!("nothing came to {path}")).1
    };
    let event: Value = serde_json::from_str(&sent("/hook")).unwrap();
    assert_eq!((&event["message_type"], &event["outcome"]), (&"notification".into(), &"failed".into()));
    assert_eq!((&event["source"], &event["kind"]), (&"orders".into(), &"unreachable".into()));
    assert_eq!(event["host"], "test-host");
    assert!(event["hint"].is_string(), "{event}");
    let chat: Value = serde_json::from_str(&sent("/chat")).unwrap();
    let text = chat["text"].as_str().unwrap();
    assert!(text.starts_with(":x: lifeboat backup of orders failed on test-host: "), "{text}");
}

#[test]
fn success_is_told_to_the_switch_and_to_people_only_when_they_want_it() {
    for (on, expected) in
        [("failure", vec!["/ping/start", "/ping"]), ("always", vec!["/ping/start", "/hook", "/ping"])]
    {
        let listener = Listener::start(Manner::Answers(200));
        let world = world(&format!("on = \"{on}\"\nwebhook_url_file = \"hook\"\nping_url_file = \"ping\""));
        world.write("hook", &format!("{}/hook", listener.url()));
        world.write("ping", &format!("{}/ping", listener.url()));
        assert_eq!(world.run(&["prune", "orders"]).code, 0);
        let mut all = paths(&listener);
        all[1..].sort();
        assert_eq!(all, expected);
        // These tell nobody.
        world.run(&["prune", "orders", "--dry-run"]);
        world.run(&["status"]);
        world.run(&["list"]);
        assert_eq!(paths(&listener).len(), expected.len());
    }
}

#[test]
fn what_cannot_be_told_is_a_warning_without_the_secret_url() {
    let silent = Listener::start(Manner::Silent);
    let broken = Listener::start(Manner::Answers(500));
    let world = world("timeout = \"1s\"\non = \"always\"");
    for (url, says) in [
        (format!("{}/s3cret", silent.url()), "no answer within 1s"),
        (format!("{}/s3cret", broken.url()), "the server answered 500"),
        (format!("http://127.0.0.1:{}/s3cret", free_port()), "no connection"),
        ("not a url s3cret".to_owned(), "this is not a URL"),
    ] {
        let output = world.command(&["prune", "orders"]).env(PING, &url).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains("the ping did not arrive") && said.contains(says), "{says:?} is not in {said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
}

#[test]
fn a_run_that_is_told_to_stop_does_not_wait_long_for_servers_that_are_silent() {
    let server = shared(17);
    let silent = Listener::start(Manner::Silent);
    let world = World::new(&format!(
        "[metrics]\npush_url = \"{}\"\ntimeout = \"60s\"\n[notify]\ntimeout = \"60s\"\nwebhook_url_file = \"hook\"\n\
         [backup]\nlock_timeout = \"5m\"\n",
        silent.url()
    ));
    world.write("hook", &format!("{}/hook", silent.url()));
    let database = world.wait(server.database());
    let config = std::fs::read_to_string(world.path().join("lifeboat.toml")).unwrap();
    world.write("lifeboat.toml", &(config + &source("orders", server, &database)));
    world.wait(server.sql(&database, "CREATE TABLE t (i int)"));
    let blocker = world.wait(async {
        let session = server.session(&database).await;
        session.batch_execute("BEGIN; LOCK TABLE t").await.unwrap();
        session
    });
    let mut command = world.command(&["backup", "orders"]);
    command.env("PATH", path()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = \
                 (SELECT oid FROM pg_database WHERE datname = current_database())";
    while psql(server, &database, &["-c", waits]).trim() == "0" {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was blocked");
    }
    let told = Instant::now();
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143), "{said}");
    assert!(told.elapsed() < Duration::from_secs(10), "{:?}: {said}", told.elapsed());
    assert_eq!(said.matches("no answer within 2s").count(), 2, "{said}");
    let pushed = silent.heard().into_iter().find(|(line, _)| line.contains("/metrics/job")).unwrap().1;
    assert!(pushed.contains("kind=\"interrupted\"} 1"), "{pushed}");
    drop(blocker);
}
