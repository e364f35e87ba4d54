//! Neo4j servers of the client's tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use lifeboat::bolt::{Auth, Config, Connection};

use crate::common::mongo_process::{Directory, Process};
use crate::common::postgres::unique;

/// The password of the user `neo4j`; with characters that something might want to quote.
pub const PASSWORD: &str = r"s3:cr/et@ %40'?#";

/// A server with a password, and TLS by a certificate for `localhost` alone for those who want it.
pub struct Neo4j {
    directory: Directory,
    process: Option<Process>,
    port: u16,
}

/// The server that all tests share.
pub fn shared() -> &'static Neo4j {
    static SERVER: OnceLock<Neo4j> = OnceLock::new();
    SERVER.get_or_init(|| Neo4j::start(true))
}

fn home() -> PathBuf {
    if let Some(set) = std::env::var_os("LIFEBOAT_TEST_NEO4J") {
        return set.into();
    }
    let cache = std::fs::read_dir("/var/cache/lifeboat").into_iter().flatten().flatten();
    cache
        .map(|entry| entry.path())
        .find(|path| path.join("lib/cds/java").exists() && path.join("bin/neo4j").exists())
        .expect("no Neo4j: run scripts/services get test, or set LIFEBOAT_TEST_NEO4J")
}

fn certify(directory: &Path) {
    std::fs::create_dir_all(directory).unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "lifeboat tests");
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(directory.join("ca.pem"), authority.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = rcgen::Issuer::new(authority, key);
    let key = rcgen::KeyPair::generate().unwrap();
    let server = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(directory.join("public.crt"), server.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    std::fs::write(directory.join("private.key"), key.serialize_pem()).unwrap();
}

impl Neo4j {
    pub fn start(auth: bool) -> Neo4j {
        let directory = Directory::new(unique("lifeboat-test-neo4j"));
        let (path, home) = (directory.path.clone(), home());
        let port = (0..1000)
            .map(|_| fastrand::u16(20000..32000))
            .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
            .unwrap();
        certify(&path.join("certificates/bolt"));
        let conf = format!(
            "server.bolt.listen_address=127.0.0.1:{port}\nserver.http.enabled=false\n\
             server.memory.pagecache.size=32m\nserver.memory.heap.max_size=384m\n\
             dbms.security.auth_enabled={auth}\ndbms.usage_report.enabled=false\n\
             db.tx_log.preallocate=false\ndb.tx_log.rotation.size=32m\n\
             server.bolt.tls_level=OPTIONAL\ndbms.ssl.policy.bolt.enabled=true\n\
             dbms.ssl.policy.bolt.client_auth=NONE\n"
        );
        std::fs::create_dir_all(path.join("conf")).unwrap();
        std::fs::write(path.join("conf/neo4j.conf"), conf).unwrap();
        let environment =
            [format!("NEO4J_HOME={}", path.display()), format!("NEO4J_CONF={}/conf", path.display())];
        if auth {
            let admin = home.join("bin/neo4j-admin");
            let mut set = Command::new("env");
            set.args(&environment).arg(admin).args(["dbms", "set-initial-password", PASSWORD]);
            let output = set.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let log = path.join("log");
        let mut arguments = environment.to_vec();
        arguments.extend([home.join("bin/neo4j").display().to_string(), "console".to_owned()]);
        let process = Process::start(Path::new("/usr/bin/env"), &arguments, &log);
        let began = Instant::now();
        loop {
            let alive = process.is_alive();
            let text = std::fs::read_to_string(&log).unwrap();
            if text.lines().any(|line| line.ends_with("Started.")) {
                break;
            }
            assert!(alive && began.elapsed() < Duration::from_secs(120), "neo4j does not start:\n{text}");
            std::thread::sleep(Duration::from_millis(50));
        }
        Neo4j { directory, process: Some(process), port }
    }

    /// Ends it by SIGKILL.
    pub fn kill(&mut self) {
        self.process.take().unwrap().end("kill");
    }

    pub fn authority(&self) -> PathBuf {
        self.directory.path.join("certificates/bolt/ca.pem")
    }

    /// Nobody, without TLS.
    pub fn nobody(&self) -> Config {
        let mut config = Config::new("127.0.0.1", self.port);
        config.idle_timeout = Some(Duration::from_secs(60));
        config
    }

    /// The user.
    pub fn config(&self) -> Config {
        let mut config = self.nobody();
        config.auth = Auth::Basic { user: "neo4j".into(), password: PASSWORD.into() };
        config
    }

    pub async fn open(&self) -> Connection {
        Connection::open(&self.config()).await.unwrap()
    }
}
