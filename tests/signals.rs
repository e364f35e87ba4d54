//! Signals: the first ends a run in order, the second at once; no child stays in either case.

mod common;

use std::time::{Duration, Instant};

use common::bad_input::{Case, Running, Tools, orders, wait_until};
use common::postgres::shared;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// A tool that pauses, notes that it was told to stop, and does not.
const STUBBORN: &str = r#"
dir=$(dirname "$0"); echo $$ >"$dir/pid"
trap ': >"$dir/told"' TERM INT
pause
for _ in 1 2 3; do sleep 60; done
"#;

fn database() -> String {
    let server = shared(17);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(server.database());
    runtime.block_on(server.sql(&database, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)"));
    server.url(&database)
}

fn case(tool: &str, script: &str, more: &str) -> (Case, Tools) {
    let tools = Tools::with(tool, &shared(17).bin, script);
    let case = Case::file(&format!("{}{more}", orders(&database(), &tools.config())));
    (case, tools)
}

/// True while a process of the tool's group is there.
fn lives(tools: &Tools) -> bool {
    let pid = std::fs::read_to_string(tools.bin.join("pid")).unwrap();
    killpg(Pid::from_raw(pid.trim().parse().unwrap()), None).is_ok()
}

/// Signals a run whose stubborn tool pauses; waits until the tool was told to stop.
fn first(running: &Running, tools: &Tools, signal: Signal) {
    running.signal(signal);
    wait_until("the tool is told to stop", || tools.bin.join("told").exists());
}

#[test]
fn the_second_signal_ends_the_run_at_once_and_leaves_no_child() {
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let (case, tools) = case("pg_dump", STUBBORN, "");
        let mut running = case.start(&["backup", "orders", "--no-progress"]);
        tools.wait_for_pause(&mut running);
        first(&running, &tools, Signal::SIGTERM);
        assert!(lives(&tools));
        let asked = Instant::now();
        running.signal(signal);
        let ran = running.end();
        assert_eq!(ran.code, code, "{ran:?}");
        // Less than what a stubborn child is granted after the first.
        assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
        wait_until("the child is gone", || !lives(&tools));
    }
}

#[test]
fn the_first_signal_waits_for_the_child_and_kills_it_if_it_must() {
    let (case, tools) = case("pg_dump", STUBBORN, "");
    let mut running = case.start(&["backup", "orders", "--no-progress"]);
    tools.wait_for_pause(&mut running);
    first(&running, &tools, Signal::SIGTERM);
    let ran = running.end();
    assert_eq!(ran.code, 143, "{ran:?}");
    wait_until("the child is gone", || !lives(&tools));
    case.assert_untouched();
}

#[test]
fn a_structural_check_can_be_stopped() {
    let staging = format!("[sources.orders.staging]\nurl = \"{}\"\n", shared(17).url("postgres"));
    let script = "echo $$ >\"$(dirname \"$0\")/pid\"; pause; exec \"$real\" \"$@\"";
    let (case, tools) = case("pg_amcheck", script, &format!("{staging}[drill]\namcheck = \"on\"\n"));
    let made = case.run(&["backup", "orders", "--no-progress"]);
    assert_eq!(made.code, 0, "{made:?}");
    let mut running = case.start(&["drill", "orders", "--no-progress"]);
    tools.wait_for_pause(&mut running);
    running.signal(Signal::SIGTERM);
    let asked = Instant::now();
    let ran = running.end();
    assert_eq!(ran.code, 143, "{ran:?}");
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    wait_until("the child is gone", || !lives(&tools));
    assert!(!case.stored().keys().any(|key| key.contains("/drills/")));
}

/// True when the process handles SIGTERM itself, or is gone.
fn listens(running: &mut Running) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap_or_default();
    let caught =
        status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigCgt:")?.trim(), 16).ok());
    caught.is_some_and(|caught| caught & (1 << (Signal::SIGTERM as i32 - 1)) != 0) || running.has_ended()
}

#[test]
fn a_run_that_waits_for_the_lease_can_be_stopped() {
    // The lease of a run that was killed: whoever waits for it does so for all of its time to live.
    let (mut case, tools) = case("pg_dump", "pause; exec \"$real\" \"$@\"", "");
    case.environment.push(("LIFEBOAT_TEST_LEASE_TTL".into(), "600s".into()));
    let mut holder = case.start(&["backup", "orders", "--no-progress"]);
    tools.wait_for_pause(&mut holder);
    holder.signal(Signal::SIGKILL);
    tools.go_on();
    assert_eq!(holder.end().code, -1);
    let arguments = ["backup", "orders", "--no-progress", "--lease-wait", "1h"];
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let mut waiting = case.start(&arguments);
        wait_until("it listens", || listens(&mut waiting));
        let asked = Instant::now();
        waiting.signal(signal);
        let ran = waiting.end();
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    }
}
