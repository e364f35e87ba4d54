//! Servers that are a file: it is there while they run.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

fn service(directory: &Path, stop: &str, start: &str) -> Service {
    let shell = |script: &str| vec!["/bin/sh".to_owned(), "-c".into(), script.to_owned()];
    let environment = [
        ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
        ("DIRECTORY".to_owned(), directory.display().to_string()),
    ];
    let limit = Duration::from_secs(20);
    Service {
        stop: shell(stop),
        start: shell(start),
        environment: environment.into(),
        limits: Limits { stop: limit, start: limit, answer: limit },
    }
}

const STOP: &str = "rm \"$DIRECTORY/runs\"; echo stop >> \"$DIRECTORY/log\"";
const START: &str = "touch \"$DIRECTORY/runs\"; echo start >> \"$DIRECTORY/log\"";

struct Fake {
    at: tempfile::TempDir,
}

impl Fake {
    fn new() -> Fake {
        let at = tempfile::tempdir().unwrap();
        std::fs::write(at.path().join("runs"), "").unwrap();
        Fake { at }
    }

    fn runs(&self) -> bool {
        self.at.path().join("runs").exists()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.at.path().join("log")).unwrap_or_default().replace('\n', " ")
    }

    async fn until_it_runs(&self) {
        let waiting = async {
            while !self.log().contains("start") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap();
        assert!(self.runs());
    }
}

#[tokio::test]
async fn a_server_is_stopped_started_and_asked() {
    let fake = Fake::new();
    let stopped = service(fake.at.path(), STOP, START).stop().await.unwrap();
    assert!(!fake.runs());
    let asked = AtomicU32::new(0);
    let away =
        stopped.start(|| async { asked.fetch_add(1, Ordering::Relaxed) == 2 && fake.runs() }).await.unwrap();
    assert_eq!((asked.into_inner(), fake.log().as_str()), (3, "stop start "));
    assert!(away >= EVERY * 2, "{away:?}");
}

#[tokio::test]
async fn whatever_becomes_of_the_work_it_is_started() {
    // It fails.
    let fake = Fake::new();
    drop(service(fake.at.path(), STOP, START).stop().await.unwrap());
    fake.until_it_runs().await;
    // It panics.
    let fake = Fake::new();
    let stopped = service(fake.at.path(), STOP, START).stop().await.unwrap();
    let task = tokio::spawn(async move {
        let _stopped = stopped;
        panic!("a bug");
    });
    assert!(task.await.is_err());
    fake.until_it_runs().await;
    // It is dropped while the start is under way.
    let fake = Fake::new();
    let stopped = service(fake.at.path(), STOP, START).stop().await.unwrap();
    tokio::select! {
        biased;
        _ = stopped.start(|| async { false }) => unreachable!(),
        () = tokio::task::yield_now() => {}
    }
    fake.until_it_runs().await;
}

#[tokio::test]
async fn a_start_waits_for_a_stop_that_is_under_way() {
    let fake = Fake::new();
    let slow = "echo begins >> \"$DIRECTORY/log\"; sleep 0.3; rm \"$DIRECTORY/runs\"; echo stop >> \"$DIRECTORY/log\"";
    let service = service(fake.at.path(), slow, START);
    tokio::select! {
        _ = service.stop() => panic!("too early"),
        () = async { while fake.log().is_empty() { tokio::time::sleep(Duration::from_millis(2)).await } } => {}
    }
    fake.until_it_runs().await;
    assert_eq!(fake.log(), "begins stop start ");
}

#[tokio::test]
async fn the_process_waits_for_the_start() {
    let fake = Fake::new();
    let slow = "sleep 0.2; touch \"$DIRECTORY/runs\"; echo start >> \"$DIRECTORY/log\"";
    drop(service(fake.at.path(), STOP, slow).stop().await.unwrap());
    assert!(!fake.runs());
    duty::all_done().await;
    assert!(fake.runs());
}

#[tokio::test]
async fn a_stop_that_fails_is_told_and_undone() {
    let fake = Fake::new();
    let error = service(fake.at.path(), "echo 'no such unit' >&2; exit 5", START).stop().await.unwrap_err();
    assert_eq!(
        error.message(),
        "the command that stops the server (/bin/sh) ended with status 5: no such unit"
    );
    assert_eq!(error.kind(), Kind::Unreachable);
    fake.until_it_runs().await;
}

#[tokio::test]
async fn a_stop_that_hangs_is_not_waited_for() {
    let fake = Fake::new();
    let mut service = service(fake.at.path(), "echo waiting; read x < \"$DIRECTORY/pipe\"", START);
    nix::unistd::mkfifo(&fake.at.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    service.limits.stop = Duration::from_millis(500);
    let error = service.stop().await.unwrap_err();
    assert!(error.message().contains("did not end within 0 s"), "{error}");
    assert_eq!(fake.log(), "", "the start waits for it");
    std::fs::write(fake.at.path().join("pipe"), "go\n").unwrap();
    fake.until_it_runs().await;
}

#[tokio::test]
async fn a_start_that_fails_is_told() {
    let fake = Fake::new();
    let stopped = service(fake.at.path(), STOP, "echo one; echo two; exit 3").stop().await.unwrap();
    let error = stopped.start(|| async { true }).await.unwrap_err();
    assert_eq!(error.message(), "the command that starts the server (/bin/sh) ended with status 3: one; two");
    assert!(error.hint_text().unwrap().starts_with("start the server by hand now"), "{error:?}");
}

#[tokio::test]
async fn a_command_that_names_no_program_stops_nothing() {
    let fake = Fake::new();
    for empty in [vec![], vec![String::new()]] {
        let service = Service { start: empty, ..service(fake.at.path(), STOP, START) };
        assert_eq!(service.stop().await.unwrap_err().kind(), Kind::Config);
    }
    assert!(fake.runs());
}

#[tokio::test]
async fn a_server_does_not_inherit_that_signals_are_ignored() {
    let fake = Fake::new();
    let asks = "grep SigIgn /proc/self/status >> \"$DIRECTORY/log\"; echo start >> \"$DIRECTORY/log\"; touch \"$DIRECTORY/runs\"";
    let stopped = service(fake.at.path(), STOP, asks).stop().await.unwrap();
    stopped.start(|| async { true }).await.unwrap();
    let log = fake.log();
    let ignored = log.split_whitespace().find(|word| word.len() == 16).unwrap();
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    // HUP, INT, PIPE, TERM; what this process was started with is not the watcher's.
    let ours = [1, 2, 13, 15].iter().fold(0, |mask, signal| mask | 1 << (signal - 1));
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let own = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
    let own = u64::from_str_radix(own, 16).unwrap();
    assert_eq!(ignored & ours & !own, 0, "{log}");
}
