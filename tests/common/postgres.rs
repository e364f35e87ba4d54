//! PostgreSQL servers: one for each version and test binary, in a temporary directory, on a free port.
//!
//! A guard process waits for the end of a pipe from the test process and then ends the server
//! and removes the directory: it does so however the tests end.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio_postgres::NoTls;

/// The superuser of every server, and the password.
pub const SUPERUSER: &str = "postgres";
/// The superuser's password; characters that need escaping somewhere.
pub const PASSWORD: &str = r"s3:cr\et %40 'quoted'";

const GUARD: &str = r#"
dir=$1; shift
"$@" >"$dir/log" 2>&1 </dev/null &
pid=$!
cat >/dev/null
kill -QUIT $pid 2>/dev/null; wait $pid
rm -rf "$dir"
"#;

/// The directory with the binaries of a major version.
pub fn bin(major: u32) -> PathBuf {
    if let Ok(set) = std::env::var(format!("LIFEBOAT_TEST_PG{major}_BIN")) {
        return set.into();
    }
    let packaged = PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"));
    if packaged.join("postgres").exists() {
        return packaged;
    }
    let fetched = std::fs::read_dir("/var/cache/lifeboat").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = fetched
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&format!("postgres-{major}.")))
        .map(|entry| entry.path().join("bin"))
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| {
        panic!("no PostgreSQL {major}: run scripts/services get, or set LIFEBOAT_TEST_PG{major}_BIN")
    })
}

/// What a server is started with besides the defaults.
#[derive(Default)]
pub struct Extra {
    /// Lines of postgresql.conf.
    pub settings: Vec<String>,
    /// Lines that go before the others in pg_hba.conf.
    pub hba: Vec<String>,
    /// Files that the server owns: name, text. They are beside postgresql.conf.
    pub files: Vec<(&'static str, String)>,
}

/// A running server.
pub struct Server {
    pub major: u32,
    pub bin: PathBuf,
    pub port: u16,
    /// The directory of its Unix socket.
    pub sockets: PathBuf,
    pub data: PathBuf,
    directory: PathBuf,
    guard: Child,
    /// Closing it ends the server.
    pipe: Option<ChildStdin>,
}

static SHARED: [OnceLock<Server>; 100] = [const { OnceLock::new() }; 100];
static NEXT: AtomicU32 = AtomicU32::new(0);

/// The server of this version that all tests of a binary share.
pub fn shared(major: u32) -> &'static Server {
    SHARED[major as usize].get_or_init(|| Server::start(major, Extra::default()))
}

/// A text that no other call gives.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Server {
    /// Makes a cluster and starts it.
    pub fn start(major: u32, extra: Extra) -> Server {
        let directory = PathBuf::from("/tmp").join(unique("lifeboat-test"));
        std::fs::create_dir(&directory).unwrap();
        let (data, sockets) = (directory.join("data"), directory.join("sockets"));
        std::fs::create_dir(&sockets).unwrap();
        let password = directory.join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        own(&directory);
        own(&sockets);
        own(&password);
        let made = as_server(&bin(major).join("initdb"))
            .args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
            .arg(format!("--username={SUPERUSER}"))
            .arg(format!("--pwfile={}", password.display()))
            .arg(format!("--pgdata={}", data.display()))
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut conf = std::fs::OpenOptions::new().append(true).open(data.join("postgresql.conf")).unwrap();
        let defaults = "fsync = off\nfull_page_writes = off\nsynchronous_commit = off\nshared_buffers = 16MB\n\
                        max_connections = 60\nmax_prepared_transactions = 5\ntimezone = 'Asia/Kathmandu'\n\
                        listen_addresses = '127.0.0.1'\nautovacuum = off\n";
        writeln!(conf, "{defaults}unix_socket_directories = '{}'", sockets.display()).unwrap();
        extra.settings.iter().for_each(|line| writeln!(conf, "{line}").unwrap());
        let hba = data.join("pg_hba.conf");
        let rules = std::fs::read_to_string(&hba).unwrap();
        std::fs::write(&hba, format!("{}\n{rules}", extra.hba.join("\n"))).unwrap();
        for (name, text) in &extra.files {
            std::fs::write(data.join(name), text).unwrap();
            std::fs::set_permissions(data.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
            own(&data.join(name));
        }
        Server::run(major, directory, data, sockets)
    }

    /// Makes a standby that streams from this server. The server's pg_hba.conf must let it.
    pub fn standby(&self) -> Server {
        let directory = PathBuf::from("/tmp").join(unique("lifeboat-test"));
        std::fs::create_dir(&directory).unwrap();
        let (data, sockets) = (directory.join("data"), directory.join("sockets"));
        std::fs::create_dir(&sockets).unwrap();
        own(&directory);
        own(&sockets);
        let made = as_server(&self.bin.join("pg_basebackup"))
            .env("PGPASSWORD", PASSWORD)
            .args(["--write-recovery-conf", "--no-sync", "--checkpoint=fast", "--host"])
            .arg(&self.sockets)
            .args(["--port", &self.port.to_string(), "--username", SUPERUSER, "--pgdata"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&made.stderr));
        let mut conf = std::fs::OpenOptions::new().append(true).open(data.join("postgresql.conf")).unwrap();
        writeln!(conf, "unix_socket_directories = '{}'", sockets.display()).unwrap();
        Server::run(self.major, directory, data, sockets)
    }

    fn run(major: u32, directory: PathBuf, data: PathBuf, sockets: PathBuf) -> Server {
        let bin = bin(major);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = as_server(&bin.join("postgres"));
        let mut guard = Command::new("/bin/sh")
            .args(["-c", GUARD, "guard"])
            .arg(&directory)
            .arg(server.get_program())
            .args(server.get_args())
            .args(["-p", &port.to_string(), "-D"])
            .arg(&data)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let pipe = guard.stdin.take();
        let server = Server { major, bin, port, sockets, data, directory, guard, pipe };
        server.wait_until_ready();
        server
    }

    fn wait_until_ready(&self) {
        let began = Instant::now();
        loop {
            let pid_file = std::fs::read_to_string(self.data.join("postmaster.pid")).unwrap_or_default();
            if pid_file.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
                return;
            }
            let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(60), "the server does not start:\n{log}");
            assert!(!log.contains("FATAL:  could not"), "the server failed:\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The superuser's URL of a database, over TCP.
    pub fn url(&self, database: &str) -> String {
        self.url_as(SUPERUSER, PASSWORD, database)
    }

    /// The URL of a role.
    pub fn url_as(&self, user: &str, password: &str, database: &str) -> String {
        let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        format!("postgres://{user}:{}@127.0.0.1:{}/{}", encode(password), self.port, encode(database))
    }

    /// A plain session of the superuser, without our own code.
    pub async fn session(&self, database: &str) -> tokio_postgres::Client {
        let (client, driver) = tokio_postgres::Config::new()
            .host("127.0.0.1")
            .port(self.port)
            .user(SUPERUSER)
            .password(PASSWORD)
            .dbname(database)
            .application_name("test")
            .connect(NoTls)
            .await
            .unwrap();
        tokio::spawn(driver);
        client
    }

    /// Runs statements as the superuser.
    pub async fn sql(&self, database: &str, sql: &str) {
        let session = self.session(database).await;
        session.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// Makes an empty database with a name of its own.
    pub async fn database(&self) -> String {
        let name = unique("db");
        self.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        name
    }

    /// Makes a role with a name of its own that may log in with the password `role`.
    pub async fn role(&self, options: &str) -> String {
        let name = unique("role");
        self.sql("postgres", &format!("CREATE ROLE {name} LOGIN PASSWORD 'role' {options}")).await;
        name
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.pipe.take();
        let _ = self.guard.wait();
    }
}

/// Gives a path to the server's user when the tests run as root.
fn own(path: &Path) {
    if let Some((uid, gid)) = server_user() {
        chown(path, Some(uid), Some(gid)).unwrap();
    }
}

/// PostgreSQL refuses root.
fn server_user() -> Option<(u32, u32)> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let user = nix::unistd::User::from_name("postgres").unwrap();
    let user = user.or_else(|| nix::unistd::User::from_name("nobody").unwrap()).unwrap();
    Some((user.uid.as_raw(), user.gid.as_raw()))
}

/// A program of the server's user that dies with its parent.
fn as_server(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if let Some((uid, gid)) = server_user() {
        command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups");
    }
    command.args(["--pdeathsig", "KILL"]).arg(program).current_dir("/");
    command
}
