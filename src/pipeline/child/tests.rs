use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn shell(script: &str) -> Spec {
    let mut spec = Spec::new("/bin/sh", ["-c", script]);
    spec.environment.insert("PATH".into(), "/usr/bin:/bin".into());
    spec
}

async fn read_all(child: &mut Child) -> Vec<u8> {
    let mut bytes = Vec::new();
    child.take_output().unwrap().read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// Waits until no process of the group is left; the test's own time limit is the only limit.
async fn gone(pid: i32) {
    while killpg(Pid::from_raw(pid), None).is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_good_end_gives_the_proof_with_counts_and_messages() {
    let mut child = spawn(shell("printf hello; echo one >&2; echo two >&2")).unwrap();
    assert_eq!(read_all(&mut child).await, b"hello");
    let finished = child.finish().await.unwrap();
    assert_eq!((finished.bytes_out, finished.bytes_in), (5, 0));
    assert_eq!(finished.messages, ["one", "two"]);
}

#[tokio::test]
async fn a_bad_status_after_a_complete_stream_is_an_error() {
    let mut child = spawn(shell("printf hello; echo 'boom: pw=hunter2' >&2; exit 3")).unwrap();
    assert_eq!(read_all(&mut child).await, b"hello");
    let error = child.finish().await.unwrap_err();
    assert_eq!(error.message(), "sh failed with status 3 after 5 bytes: boom: pw=hunter2");
}

#[tokio::test]
async fn secrets_do_not_show_in_errors() {
    let mut spec = shell("echo 'pw=hunter2' >&2; exit 1");
    spec.secrets.push(Secret::new("hunter2"));
    let mut child = spawn(spec).unwrap();
    read_all(&mut child).await;
    assert!(child.finish().await.unwrap_err().message().ends_with(": pw=***"));
}

#[tokio::test]
async fn a_signal_is_named_with_the_bytes_so_far() {
    let mut child = spawn(shell("head -c 12300 /dev/zero; kill -9 $$")).unwrap();
    assert_eq!(read_all(&mut child).await.len(), 12_300);
    let error = child.finish().await.unwrap_err();
    assert_eq!(error.message(), "sh was killed by signal 9 after 12.3 kB");
    assert!(error.hint_text().unwrap().contains("memory"));
}

#[tokio::test]
async fn an_early_closed_reader_never_gives_the_proof() {
    // The child ignores that nobody reads, and exits 0.
    let mut child = spawn(shell("trap '' PIPE; head -c 3000000 /dev/zero 2>/dev/null; exit 0")).unwrap();
    let mut output = child.take_output().unwrap();
    let mut some = [0u8; 1000];
    output.read_exact(&mut some).await.unwrap();
    drop(output);
    let error = child.finish().await.unwrap_err();
    assert_eq!(error.message(), "sh ended well, but its stream was cut after 1.0 kB");

    // Output that nobody took: closed, so the child cannot hang.
    let child = spawn(shell("head -c 3000000 /dev/zero; exit 0")).unwrap();
    assert!(child.finish().await.is_err());
}

#[tokio::test]
async fn input_counts_only_when_it_was_ended() {
    let feed = || {
        let mut spec = shell("cat >/dev/null");
        spec.feed = true;
        let mut child = spawn(spec).unwrap();
        let input = child.take_input().unwrap();
        (child, input)
    };
    let (mut child, mut input) = feed();
    input.write_all(&[7; 100_000]).await.unwrap();
    input.shutdown().await.unwrap();
    read_all(&mut child).await;
    assert_eq!(child.finish().await.unwrap().bytes_in, 100_000);

    // The writer failed half-way: the child sees an end and is content, we are not.
    let (mut child, mut input) = feed();
    input.write_all(&[7; 10]).await.unwrap();
    drop(input);
    read_all(&mut child).await;
    let error = child.finish().await.unwrap_err();
    assert_eq!(error.message(), "sh ended well, but its stream was cut after 10 bytes");
}

#[tokio::test]
async fn dropping_a_child_ends_its_whole_group() {
    let mut spec = shell("trap '' TERM; sleep 1000 & echo ready; wait; sleep 1000");
    spec.patience = Duration::from_millis(50);
    let mut child = spawn(spec).unwrap();
    let pid = child.pid();
    let mut ready = [0u8; 6];
    child.take_output().unwrap().read_exact(&mut ready).await.unwrap();
    drop(child);
    gone(pid).await;
}

#[tokio::test]
async fn stopping_waits_until_it_is_reaped() {
    let mut child = spawn(shell("echo ready; exec sleep 1000")).unwrap();
    let pid = child.pid();
    let mut ready = [0u8; 6];
    child.take_output().unwrap().read_exact(&mut ready).await.unwrap();
    child.stop().await;
    assert!(killpg(Pid::from_raw(pid), None).is_err());
}

#[tokio::test]
async fn a_grandchild_that_heeds_no_signal_goes_with_its_parent() {
    for dropped in [true, false] {
        let script =
            "sh -c 'trap \"\" TERM; echo ready; while :; do sleep 1000; done' & trap 'exit 1' TERM; wait";
        let mut child = spawn(shell(script)).unwrap();
        let pid = child.pid();
        let mut ready = [0u8; 6];
        child.take_output().unwrap().read_exact(&mut ready).await.unwrap();
        if dropped {
            drop(child)
        } else {
            child.stop().await
        }
        gone(pid).await;
    }
}

#[tokio::test]
async fn a_grandchild_that_keeps_the_messages_open_does_not_hang_us() {
    let mut child = spawn(shell("sleep 1000 >/dev/null & echo done >&2")).unwrap();
    let pid = child.pid();
    read_all(&mut child).await;
    child.finish().await.unwrap();
    gone(pid).await;
}

#[tokio::test]
async fn nothing_is_inherited_but_the_given_environment() {
    let mut spec = Spec::new("/usr/bin/env", [] as [&str; 0]);
    spec.environment.insert("ONLY".into(), "this".into());
    let mut child = spawn(spec).unwrap();
    assert_eq!(read_all(&mut child).await, b"ONLY=this\n");
    child.finish().await.unwrap();
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let error = spawn(Spec::new("/no/such/pg_dump", ["x"])).err().unwrap();
    assert_eq!(error.message(), "cannot run /no/such/pg_dump");
    assert!(error.hint_text().unwrap().contains("pg_dump is installed"));
}

#[test]
fn sizes_are_shown_in_decimal_units() {
    assert_eq!(human_bytes(999), "999 bytes");
    assert_eq!(human_bytes(12_300_000), "12.3 MB");
}
