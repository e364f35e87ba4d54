//! A real S3 server for the tests: versitygw, one a test process, gone with it.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lifeboat::secret::Secret;
use lifeboat::stores::SharedStore;
use lifeboat::stores::open::{Credentials, StoreSpec, open};

pub const ACCESS_KEY: &str = "lifeboat-test-access";
pub const SECRET_KEY: &str = "lifeboat-test-secret";
pub const BUCKET: &str = "backups";

/// The server. Its shell ends it, and removes its files, when the pipe to this process closes: so it is gone
/// however this process ends.
pub struct Server {
    pub endpoint: String,
    pub directory: PathBuf,
    _shell: Child,
}

const SHELL: &str = r#"
directory=$1; shift
"$@" >"$directory/log" 2>&1 </dev/null &
cat >/dev/null
kill $!; wait $!
rm -rf "$directory"
"#;

/// The server of this test process.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(start)
}

/// Keys that the server takes.
pub fn credentials() -> Credentials {
    Credentials {
        access_key: ACCESS_KEY.to_owned(),
        secret_key: Secret::new(SECRET_KEY),
        session_token: None,
    }
}

/// A prefix of the bucket that no other test uses.
pub fn fresh_spec() -> StoreSpec {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server = server();
    let prefix = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut spec = StoreSpec::new(format!("s3://{BUCKET}/test-{prefix}"));
    spec.endpoint = Some(server.endpoint.clone());
    spec.credentials = Some(credentials());
    spec
}

/// A store with nothing in it.
pub async fn fresh_store() -> SharedStore {
    open(&fresh_spec()).await.expect("the specification is right")
}

fn start() -> Server {
    let binary = binary();
    let directory = tempfile::tempdir().expect("temporary directory").keep();
    for bucket in [BUCKET, "versioned"] {
        std::fs::create_dir_all(directory.join("data").join(bucket)).expect("bucket");
    }
    std::fs::create_dir_all(directory.join("versions")).expect("versions");
    let port = free_port();
    let mut shell = Command::new("sh")
        .args(["-c", SHELL, "sh"])
        .arg(&directory)
        .arg(&binary)
        .args([
            "--port",
            &format!("127.0.0.1:{port}"),
            "--keep-alive",
            "--quiet",
            "posix",
            "--versioning-dir",
        ])
        .arg(directory.join("versions"))
        .arg(directory.join("data"))
        .env("ROOT_ACCESS_KEY_ID", ACCESS_KEY)
        .env("ROOT_SECRET_ACCESS_KEY", SECRET_KEY)
        .stdin(Stdio::piped())
        .spawn()
        .expect("sh starts");
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if begun.elapsed() > Duration::from_secs(30) {
            let log = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
            let _ = shell.stdin.take().map(|mut pipe| pipe.flush());
            panic!("{} did not start: {log}", binary.display());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Server { endpoint: format!("http://127.0.0.1:{port}"), directory, _shell: shell }
}

/// A port that is free now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("LIFEBOAT_TEST_VERSITYGW") {
        return path.into();
    }
    let cached = Path::new("/var/cache/lifeboat/bin/versitygw");
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&on_path)
        .map(|directory| directory.join("versitygw"))
        .chain([cached.to_owned()])
        .find(|path| path.is_file())
        .expect("no versitygw: run scripts/services, or set LIFEBOAT_TEST_VERSITYGW to its path")
}
