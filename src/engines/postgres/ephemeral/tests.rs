use std::time::Duration;

use super::*;

fn bin() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL servers are installed")
        .map(|entry| entry.unwrap().path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().expect("a PostgreSQL server is installed")
}

async fn start() -> (tempfile::TempDir, Ephemeral) {
    let under = tempfile::tempdir().unwrap();
    // The server's account must be able to pass through.
    std::fs::set_permissions(under.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let server = Ephemeral::start(&bin(), under.path(), 1 << 20).await.unwrap();
    (under, server)
}

fn alive(group: u32) -> bool {
    nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group as i32), None).is_ok()
}

/// Waits for something that another process does; the limit is for a broken build only.
async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1200 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{what} did not happen");
}

async fn ask(server: &Ephemeral, sql: &str) -> String {
    let mut config = tokio_postgres::Config::new();
    config.host_path(&server.socket).user(SUPERUSER).dbname("postgres");
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    let answer = client.query_one(sql, &[]).await.unwrap().get(0);
    drop(client);
    driver.await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn a_server_is_durable_private_and_gone_after_stop() {
    let (under, mut server) = start().await;
    let group = server.server.id().unwrap();
    assert!(!server.version().is_empty());
    for (setting, value) in [("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on")] {
        assert_eq!(ask(&server, &format!("SHOW {setting}")).await, value, "{setting}");
    }
    assert_eq!(ask(&server, "SHOW listen_addresses").await, "");
    let mode = std::fs::metadata(&server.directory).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o700);

    server.stop().await.unwrap();
    assert!(!alive(group));
    assert_eq!(std::fs::read_dir(under.path()).unwrap().count(), 0);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_dropped_server_dies_and_its_directory_goes() {
    let (under, server) = start().await;
    let group = server.server.id().unwrap();
    drop(server);
    eventually("the directory's end", || std::fs::read_dir(under.path()).unwrap().count() == 0).await;
    eventually("the server's end", || !alive(group)).await;
}

#[tokio::test]
async fn a_start_given_up_halfway_leaves_nothing() {
    let under = tempfile::tempdir().unwrap();
    std::fs::set_permissions(under.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = under.path().to_owned();
    let work = tokio::spawn(async move { Ephemeral::start(&bin(), &path, 0).await.map(drop) });
    eventually("initdb's start", || {
        std::fs::read_dir(under.path()).unwrap().any(|d| d.unwrap().path().join("data/base").exists())
    })
    .await;
    work.abort();
    eventually("the directory's end", || std::fs::read_dir(under.path()).unwrap().count() == 0).await;
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why_and_leaves_nothing() {
    let under = tempfile::tempdir().unwrap();
    let error = Ephemeral::start(Path::new("/nowhere"), under.path(), 0).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.message().contains("/nowhere/initdb"), "{error:?}");
    eventually("the directory's end", || std::fs::read_dir(under.path()).unwrap().count() == 0).await;
}

#[test]
fn too_little_space_is_said_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let error = check_space(dir.path(), 1 << 60).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.message().contains("MiB free"), "{error:?}");
    assert_eq!(space_needed(0), EMPTY_CLUSTER);
    assert_eq!(space_needed(100), 250 + EMPTY_CLUSTER);
    assert_eq!(space_needed(u64::MAX), u64::MAX);
}

#[test]
fn the_url_encodes_the_path() {
    assert_eq!(percent("/tmp/a b"), "%2Ftmp%2Fa%20b");
}

#[tokio::test]
async fn initdb_is_not_waited_for_for_ever() {
    let hangs = Command::new("sleep").arg("1000").kill_on_drop(true).spawn().unwrap();
    let error = ended(hangs, Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.message().starts_with("initdb did not end within "), "{error:?}");
    let ends = Command::new("true").spawn().unwrap();
    assert!(ended(ends, INITDB_PATIENCE).await.unwrap().status.success());
}
