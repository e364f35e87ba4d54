//! Words that Neo4j 5.26.30 said, and what becomes of them.

use std::time::Duration;

use super::*;
use crate::pipeline::child;

async fn ended(script: &str) -> Outcome {
    let spec = Spec::new("/bin/sh", ["-c", script]);
    child::spawn(spec).unwrap().outcome().await.unwrap()
}

#[test]
fn what_a_database_says_of_itself_is_read() {
    let answer = "Database name:                neo4j\n\
                  Database in use:              false\n\
                  Store format version:         record-aligned-1.1\n\
                  Store format introduced in:   5.0.0\n\
                  Last committed transaction id:12\n\
                  Store needs recovery:         false\n";
    let expected = Info {
        format: Some("record-aligned-1.1".into()),
        in_use: false,
        last_transaction: Some(12),
        needs_recovery: false,
    };
    assert_eq!(read_info(answer).unwrap(), expected);
    let crashed = read_info(&answer.replace("recovery:         false", "recovery:         true")).unwrap();
    assert!(crashed.needs_recovery);
    let running =
        read_info("Database in use: true\nLast committed transaction id:-1\nStore needs recovery: true");
    assert_eq!(running.map(|info| (info.in_use, info.last_transaction)), Some((true, None)));
    assert_eq!(read_info("nothing of the kind"), None);
}

#[tokio::test]
async fn known_words_have_a_hint() {
    let stamp = "2026-11-27 19:17:50.189+0000 ERROR [o.n.c.d.DumpCommand]";
    let cases = [
        (
            format!(
                "{stamp} Failed to dump database 'neo4j': The database is in use. Stop database 'neo4j' and try again."
            ),
            "stop the server first, or let lifeboat do it: options.stop and options.start are its commands",
        ),
        (
            "Failed to execute command as the database 'neo4j' is in use. Please stop it and try again."
                .into(),
            "stop the server first, or let lifeboat do it: options.stop and options.start are its commands",
        ),
        (
            format!("{stamp} Failed to dump database 'x': Database does not exist: x"),
            "look at the database's name, and whether NEO4J_HOME and NEO4J_CONF are those of the server",
        ),
        (
            format!(
                "{stamp} Failed to dump database 'neo4j': Active logical log detected, this might be a source of \
                 inconsistencies.\nPlease recover database before running the dump.\nTo perform recovery please start \
                 database and perform clean shutdown."
            ),
            "the server was not stopped cleanly: start it, stop it, and try again",
        ),
    ];
    for (words, hint) in cases {
        let script = format!(
            "echo '2026-11-27 INFO Starting' >&2; cat >&2 <<'END'\nFiles: 1/36, data:  0.6%\n{words}\nDump failed for databases: 'x'\nRun with '--verbose' for a more detailed error message.\nEND\nexit 1"
        );
        let error = succeeded(&ended(&script).await, "dumping neo4j").unwrap_err();
        assert_eq!(error.hint_text(), Some(hint), "{error}");
        assert!(error.message().starts_with("dumping neo4j: neo4j-admin failed with status 1: "), "{error}");
        assert!(
            !error.message().contains("Files:") && !error.message().contains("Dump failed for"),
            "{error}"
        );
    }
    let error = succeeded(&ended("kill -9 $$").await, "dumping neo4j").unwrap_err();
    assert_eq!(error.message(), "dumping neo4j: neo4j-admin was killed by signal 9");
    assert!(error.hint_text().unwrap().contains("memory"));
}

fn tool(directory: &Path, script: &str, syntax: Syntax) -> Tool {
    use std::os::unix::fs::PermissionsExt as _;
    let path = directory.join("neo4j-admin");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    Tool {
        path,
        version: "5.26.30".into(),
        syntax,
        environment: [("PATH".into(), "/usr/bin:/bin".into())].into(),
    }
}

#[tokio::test]
async fn both_languages_are_spoken() {
    let at = tempfile::tempdir().unwrap();
    let said =
        |spec: Spec| spec.arguments.iter().map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>();
    let five = tool(at.path(), "echo \"$@\" >&2; echo 'Store needs recovery: false'", Syntax::Five);
    assert_eq!(said(five.dump("neo4j")), ["database", "dump", "neo4j", "--to-stdout"]);
    assert_eq!(said(five.load("neo4j")), ["database", "load", "neo4j", "--from-stdin"]);
    let four = Tool { syntax: Syntax::Four, ..five.clone() };
    assert_eq!(said(four.dump("neo4j")), ["dump", "--database=neo4j", "--to=-"]);
    assert_eq!(said(four.load("neo4j")), ["load", "--database=neo4j", "--from=-"]);
    assert!(!five.info("neo4j", None).await.unwrap().needs_recovery);
    assert_eq!(four.info("neo4j", None).await.unwrap_err().kind(), Kind::Config);
}

#[tokio::test]
async fn an_answer_of_another_kind_is_not_believed() {
    let at = tempfile::tempdir().unwrap();
    let error = tool(at.path(), "echo fine", Syntax::Five).info("neo4j", None).await.unwrap_err();
    assert!(error.message().contains("is not understood"), "{error}");
    // Much more than is kept.
    let talks = tool(at.path(), "head -c 3000000 /dev/zero; exit 3", Syntax::Five);
    let error = talks.info("neo4j", None).await.unwrap_err();
    assert!(error.message().contains("failed with status 3"), "{error}");
}

#[tokio::test]
async fn an_inconsistent_database_is_damage() {
    let at = tempfile::tempdir().unwrap();
    let check = |script: &str| {
        let tool = tool(at.path(), script, Syntax::Five);
        async move { tool.check("neo4j", Path::new("/tmp"), Duration::from_secs(30)).await }
    };
    assert!(check("exit 0").await.is_ok());
    let error = check("echo 'Inconsistencies found: 7'; exit 1").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
    assert_eq!(error.message(), "the database neo4j is inconsistent: Inconsistencies found: 7");
    let error = check("echo 'The database is in use. Stop database x' >&2; exit 1").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
}

#[test]
fn names_that_are_patterns_or_options_are_refused() {
    for good in ["neo4j", "orders-2", "a.b", "system"] {
        assert!(check_name(good).is_ok(), "{good}");
    }
    for bad in ["", "*", "neo?", "-x", "--to-path=/etc", "a/b", "..", "a b"] {
        assert_eq!(check_name(bad).unwrap_err().kind(), Kind::Config, "{bad}");
    }
}
