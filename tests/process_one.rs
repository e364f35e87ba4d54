//! The binary as process 1 of a PID namespace, which is what it is in a container.

mod common;

use std::time::{Duration, Instant};

use common::bad_input::{Case, Running, Tools, children, orders, wait_until};
use common::postgres::shared;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const BACKUP: [&str; 3] = ["backup", "orders", "--no-progress"];

/// A tool that pauses and does not stop when it is told to.
const STUBBORN: &str = r#"
trap ': >"$(dirname "$0")/told"' TERM INT
pause
for _ in 1 2 3; do sleep 60; done
"#;

fn case(script: &str) -> (Case, Tools) {
    let server = shared(17);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(server.database());
    runtime.block_on(server.sql(&database, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)"));
    let tools = Tools::with("pg_dump", &server.bin, script);
    let case = Case::file(&orders(&server.url(&database), &tools.config()));
    (case, tools)
}

/// The only child: of `unshare` it is process 1, and of that the program.
fn only_child(of: Pid) -> Pid {
    let found = children(of);
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]
}

fn process_one(running: &Running) -> Pid {
    only_child(running.pid())
}

#[test]
fn orphans_are_reaped_and_no_exit_status_is_lost() {
    // The shell that starts `true` is gone before it: nobody waits for that but process 1.
    let script = r#"
        orphan=$(sh -c 'sleep 0.1 >/dev/null 2>&1 & echo $!')
        for _ in {1..100}; do [ -e /proc/$orphan ] || break; sleep 0.1; done
        grep -s State /proc/$orphan/status >"$(dirname "$0")/left"
        exec "$real" "$@"
    "#;
    let (case, tools) = case(script);
    let ran = case.start_as_process_one(&BACKUP).end();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(std::fs::read_to_string(tools.bin.join("left")).unwrap(), "");
}

#[test]
fn the_exit_code_of_a_failure_is_passed_on() {
    let (case, _tools) = case("exit 3");
    let ran = case.start_as_process_one(&BACKUP).end();
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("pg_dump failed with status 3"), "{ran:?}");
    case.assert_untouched();
    let ran = case.start_as_process_one(&["backup", "other", "--no-progress"]).end();
    assert_eq!(ran.code, case.run(&["backup", "other", "--no-progress"]).code, "{ran:?}");
}

#[test]
fn signals_are_passed_on_and_the_run_cleans_up() {
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let (case, tools) = case("pause; exec \"$real\" \"$@\"");
        let mut running = case.start_as_process_one(&BACKUP);
        tools.wait_for_pause(&mut running);
        kill(process_one(&running), signal).unwrap();
        let ran = running.end();
        assert_eq!(ran.code, code, "{ran:?}");
        case.assert_untouched();
    }
}

#[test]
fn the_second_signal_ends_it_at_once() {
    let (case, tools) = case(STUBBORN);
    let mut running = case.start_as_process_one(&BACKUP);
    tools.wait_for_pause(&mut running);
    let one = process_one(&running);
    kill(one, Signal::SIGTERM).unwrap();
    wait_until("the tool is told to stop", || tools.bin.join("told").exists());
    let asked = Instant::now();
    kill(one, Signal::SIGTERM).unwrap();
    let ran = running.end();
    assert_eq!(ran.code, 143, "{ran:?}");
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
}

#[test]
fn a_program_that_was_killed_is_told_by_the_exit_code() {
    let (case, tools) = case("pause; exec \"$real\" \"$@\"");
    let mut running = case.start_as_process_one(&BACKUP);
    tools.wait_for_pause(&mut running);
    kill(only_child(process_one(&running)), Signal::SIGKILL).unwrap();
    let ran = running.end();
    assert_eq!(ran.code, 128 + 9, "{ran:?}");
}

#[test]
fn what_the_program_leaves_has_a_moment_to_end() {
    let script = r#"
        (trap '' TERM INT; sleep 1; : >"$(dirname "$0")/done") </dev/null >/dev/null 2>&1 &
        exit 3
    "#;
    let (case, tools) = case(script);
    let ran = case.start_as_process_one(&BACKUP).end();
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(tools.bin.join("done").exists());
}
