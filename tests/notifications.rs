//! Notifications: what is sent, when, and that none of it changes how a run ends.

mod common;

use common::cli::{PLAIN, World};
use common::gateway::{Listener, Manner, free_port};
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
    assert_eq!(
        paths(&listener),
        ["/ping/orders-backup/start", "/ping/orders-backup/fail", "/hook/s3cret", "/chat"]
    );
    let heard = listener.heard();
    let event: Value = serde_json::from_str(&heard[2].1).unwrap();
    assert_eq!((&event["message_type"], &event["outcome"]), (&"notification".into(), &"failed".into()));
    assert_eq!((&event["source"], &event["kind"]), (&"orders".into(), &"unreachable".into()));
    assert_eq!(event["host"], "test-host");
    assert!(event["hint"].is_string(), "{event}");
    let chat: Value = serde_json::from_str(&heard[3].1).unwrap();
    let text = chat["text"].as_str().unwrap();
    assert!(text.starts_with(":x: lifeboat backup of orders failed on test-host: "), "{text}");
}

#[test]
fn success_is_told_to_the_switch_and_to_people_only_when_they_want_it() {
    let listener = Listener::start(Manner::Answers(200));
    for (on, expected) in
        [("failure", vec!["/ping/start", "/ping"]), ("always", vec!["/ping/start", "/ping", "/hook"])]
    {
        let listener = Listener::start(Manner::Answers(200));
        let world = world(&format!("on = \"{on}\"\nwebhook_url_file = \"hook\"\nping_url_file = \"ping\""));
        world.write("hook", &format!("{}/hook", listener.url()));
        world.write("ping", &format!("{}/ping", listener.url()));
        assert_eq!(world.run(&["prune", "orders"]).code, 0);
        assert_eq!(paths(&listener), expected);
        // These tell nobody.
        world.run(&["prune", "orders", "--dry-run"]);
        world.run(&["status"]);
        world.run(&["list"]);
        assert_eq!(paths(&listener), expected);
    }
    assert!(listener.heard().is_empty());
}

#[test]
fn what_cannot_be_told_is_a_warning_without_the_secret_url() {
    let silent = Listener::start(Manner::Silent);
    let broken = Listener::start(Manner::Answers(500));
    let world = world("timeout = \"1s\"\non = \"always\"");
    for (url, says) in [
        (format!("{}/s3cret", silent.url()), "no answer within 1s"),
        (format!("{}/s3cret", broken.url()), "the server answered 500: the reason"),
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
