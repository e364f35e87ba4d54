//! Neo4j Community servers: one that all tests of a binary share, and owned ones with a password, TLS or
//! settings of their own; in temporary directories, on free ports.
//!
//! Each has a NEO4J_HOME of its own; the programs are of the home that `LIFEBOAT_TEST_NEO4J` names. They end
//! with the test process, as those of MongoDB do.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::certificates::certify;
use super::mongo::free_port;
use super::mongo_process::{Directory, Process};
use super::postgres::unique;

/// The user that every server has.
pub const USER: &str = "neo4j";
/// Its password on a server that was started with `auth`; characters that need escaping somewhere.
pub const PASSWORD: &str = r#"s3:cr/et@ %40\'"?#"#;

/// How long a server may take to start: it needs 4 seconds of a processor, which others may use, too.
const PATIENCE: Duration = Duration::from_secs(120);

/// Bolt's preamble and four proposals: 5.8 down to 5.0, 4.4, and no others.
const HANDSHAKE: [u8; 20] = [0x60, 0x60, 0xB0, 0x17, 0, 8, 8, 5, 0, 0, 4, 4, 0, 0, 0, 0, 0, 0, 0, 0];

/// How to start a server.
#[derive(Default, Clone)]
pub struct Options {
    /// With a password, which is [`PASSWORD`] of [`USER`]; else everybody may do everything.
    pub auth: bool,
    /// Also with TLS, by a certificate for 127.0.0.1 and localhost of an authority of its own. With the
    /// setting `server.bolt.tls_level=REQUIRED` with TLS alone.
    pub tls: bool,
    /// More lines of neo4j.conf; each replaces the one of the same name.
    pub settings: Vec<String>,
}

/// A server that runs, or did.
pub struct Neo4j {
    options: Options,
    port: u16,
    process: Option<Process>,
    directory: Directory,
}

/// The server that all tests of a binary share; without a password.
pub fn server() -> &'static Neo4j {
    static SERVER: OnceLock<Neo4j> = OnceLock::new();
    SERVER.get_or_init(|| Neo4j::start(Options::default()))
}

/// The home with the programs; it is no server's, and nothing is to be written there.
pub fn installation() -> PathBuf {
    if let Some(set) = std::env::var_os("LIFEBOAT_TEST_NEO4J") {
        return set.into();
    }
    let cache = std::fs::read_dir("/var/cache/lifeboat").into_iter().flatten().flatten();
    cache
        .map(|entry| entry.path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("neo4j-5."))
        .find(|path| path.join("bin/neo4j").is_file())
        .expect("no Neo4j: run scripts/services get test, or set LIFEBOAT_TEST_NEO4J")
}

/// One of `neo4j`, `neo4j-admin` and `cypher-shell`.
pub fn program(name: &str) -> PathBuf {
    installation().join("bin").join(name)
}

impl Neo4j {
    /// Makes and starts what the options say, and waits until it speaks Bolt.
    pub fn start(options: Options) -> Neo4j {
        let server = Neo4j::create(options);
        server.started()
    }

    /// Makes a home that has not been started: for [`admin`](Self::admin) alone, or a later
    /// [`restart`](Self::restart).
    pub fn create(options: Options) -> Neo4j {
        let directory = Directory::new(unique("lifeboat-test-neo4j"));
        std::fs::create_dir(directory.path.join("conf")).unwrap();
        if options.tls {
            certify(&directory.path);
        }
        let server = Neo4j { options, port: free_port(), process: None, directory };
        server.configure();
        if server.options.auth {
            // By a file, since others can read arguments; quoted in the way of picocli.
            let quoted = PASSWORD.replace('\\', r"\\").replace('"', "\\\"");
            let file = server.directory.path.join("argument");
            std::fs::write(&file, format!("\"{quoted}\"")).unwrap();
            let set = server.admin(&["dbms", "set-initial-password", &format!("@{}", file.display())]);
            assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
            std::fs::remove_file(file).unwrap();
        }
        server
    }

    fn started(mut self) -> Neo4j {
        for _ in 0..5 {
            if self.spawn() {
                return self;
            }
            self.port = free_port();
        }
        panic!("found no free port:\n{}", self.log());
    }

    /// Writes neo4j.conf.
    fn configure(&self) {
        let mut settings = vec![
            format!("server.bolt.listen_address=127.0.0.1:{}", self.port),
            format!("server.bolt.advertised_address=127.0.0.1:{}", self.port),
            format!("dbms.security.auth_enabled={}", self.options.auth),
        ];
        // Small, nothing but Bolt, and ended in 1 second instead of 11.
        let small = [
            "server.http.enabled=false",
            "server.https.enabled=false",
            "server.memory.heap.max_size=320m",
            "server.memory.pagecache.size=64m",
            "dbms.usage_report.enabled=false",
            "db.tx_log.preallocate=false",
            "db.tx_log.rotation.size=32m",
            "db.tx_log.rotation.retention_policy=keep_none",
            "internal.server.bolt.connection_shutdown_wait_time=0s",
            "internal.server.bolt.thread_pool_shutdown_wait_time=0s",
        ];
        settings.extend(small.map(str::to_owned));
        if self.options.tls {
            settings.push(format!("dbms.ssl.policy.bolt.base_directory={}", self.home().display()));
            let tls = [
                "server.bolt.tls_level=OPTIONAL",
                "dbms.ssl.policy.bolt.enabled=true",
                "dbms.ssl.policy.bolt.private_key=server.key",
                "dbms.ssl.policy.bolt.public_certificate=server.crt",
                "dbms.ssl.policy.bolt.client_auth=NONE",
            ];
            settings.extend(tls.map(str::to_owned));
        }
        let name = |line: &str| line.split('=').next().unwrap_or_default().to_owned();
        let replaced: Vec<String> = self.options.settings.iter().map(|line| name(line)).collect();
        settings.retain(|line| !replaced.contains(&name(line)));
        settings.extend(self.options.settings.iter().cloned());
        std::fs::write(self.conf().join("neo4j.conf"), settings.join("\n") + "\n").unwrap();
    }

    /// Starts it, and waits until it can be used; false if its port is in use.
    fn spawn(&mut self) -> bool {
        self.configure();
        let mut arguments = self.environment().map(|(name, value)| format!("{name}={value}")).to_vec();
        arguments.extend([program("neo4j").display().to_string(), "console".to_owned()]);
        let process = Process::start(Path::new("env"), &arguments, &self.directory.path.join("log"));
        let began = Instant::now();
        loop {
            // Before the log: what a dead one wrote is then all there.
            let alive = process.is_alive();
            let log = self.log();
            // Its own word: on the port, some other server could answer.
            if log.lines().any(|line| line.ends_with(" Started.")) && self.speaks_bolt() {
                break;
            }
            if !alive && log.contains("Address already in use") {
                return false;
            }
            assert!(alive && began.elapsed() < PATIENCE, "Neo4j does not start:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.process = Some(process);
        true
    }

    /// Does it agree on a version of Bolt? Of one with TLS alone: does it take connections?
    pub fn speaks_bolt(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else { return false };
        if self.options.settings.iter().any(|line| line == "server.bolt.tls_level=REQUIRED") {
            return true;
        }
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut version = [0; 4];
        let spoke = stream.write_all(&HANDSHAKE).and_then(|()| stream.read_exact(&mut version));
        spoke.is_ok() && version != [0; 4]
    }

    fn environment(&self) -> [(&'static str, String); 2] {
        [("NEO4J_HOME", self.home().display().to_string()), ("NEO4J_CONF", self.conf().display().to_string())]
    }

    /// The command `neo4j-admin`, for this server's home.
    pub fn admin_command(&self) -> Command {
        let mut command = Command::new(program("neo4j-admin"));
        command.envs(self.environment());
        command
    }

    /// Runs `neo4j-admin` to its end. Most of its commands ask for a server that is stopped.
    pub fn admin(&self, arguments: &[&str]) -> Output {
        self.admin_command().args(arguments).output().unwrap()
    }

    /// Its NEO4J_HOME.
    pub fn home(&self) -> PathBuf {
        self.directory.path.clone()
    }

    /// Its NEO4J_CONF: the directory with neo4j.conf.
    pub fn conf(&self) -> PathBuf {
        self.directory.path.join("conf")
    }

    /// The certificate of the authority, of a server with TLS.
    pub fn certificates(&self) -> PathBuf {
        self.directory.path.join("ca.pem")
    }

    /// Its port for Bolt.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL, without a user.
    pub fn url(&self) -> String {
        format!("bolt://127.0.0.1:{}", self.port)
    }

    /// The process id of one that runs.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the server is down").pid
    }

    /// What it wrote since it was started the last time.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path.join("log")).unwrap_or_default()
    }

    /// Ends it with SIGKILL; its data stays.
    pub fn kill(&mut self) {
        self.process.take().expect("the server is down").end("kill");
    }

    /// Ends it with SIGTERM; its data stays.
    pub fn stop(&mut self) {
        self.process.take().expect("the server is down").end("stop");
    }

    /// Starts one that was killed, stopped or never started, on its port and its data.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "the server runs");
        let began = Instant::now();
        while !self.spawn() {
            assert!(began.elapsed() < PATIENCE, "the port stays in use:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
