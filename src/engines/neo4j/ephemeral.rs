//! A throwaway Neo4j in a temporary directory, for drills without a staging server.
//!
//! It listens on a free port of the loopback interface and asks for a login that only this process knows. It and its
//! directory go on every way out, as those of [`crate::engines::throwaway`] do.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::process::{Child, Command};

use super::connect::{connect, look, writing};
use super::layout::Layout;
use super::tools::Tool;
use super::uri::Uri;
use crate::bolt::{self, Params};
use crate::engines::throwaway::{self, Watcher, available_memory, check_room, free_port, last_lines, signal};
use crate::error::{Error, Explain, Kind, Result};
use crate::secret::Secret;

/// How long the server may take to answer first, and to stop.
const PATIENCE: Duration = Duration::from_secs(180);

/// How often a port that another took meanwhile is given up for the next.
const PORTS: u32 = 5;

/// An empty server and some room to breathe.
const EMPTY_SERVER: u64 = 300 << 20;

/// The user that a new server has, with the password that it is made with (operations manual, "Set an initial
/// password").
const USER: &str = "neo4j";

/// A throwaway server, running or not.
#[derive(Debug)]
pub struct Ephemeral {
    directory: PathBuf,
    tool: Tool,
    database: String,
    server: Option<Child>,
    watcher: Watcher,
    port: u16,
    password: Secret,
    /// Whether the server has that password yet.
    has_password: bool,
}

impl Ephemeral {
    /// Makes the directory and the configuration of a server with this one database, under `under`.
    ///
    /// # Errors
    /// [`Kind::Unreachable`]: no space for `raw_bytes`, or nothing can be written.
    pub fn prepare(tool: &Tool, under: &Path, database: &str, raw_bytes: u64) -> Result<Self> {
        check_space(under, raw_bytes)?;
        let (directory, watcher) = throwaway::directory(under, "KILL")?;
        for name in ["conf", "data", "logs", "run", "import", "plugins", "licenses", "reports"] {
            let path = directory.join(name);
            std::fs::create_dir(&path)
                .explain(Kind::Unreachable, || format!("cannot make {}", path.display()))?;
        }
        let mut tool = tool.clone();
        tool.environment.insert("NEO4J_CONF".to_owned(), directory.join("conf").display().to_string());
        let prepared = Ephemeral {
            directory,
            tool,
            database: database.to_owned(),
            server: None,
            watcher,
            port: free_port()?,
            password: Secret::new(
                std::iter::repeat_with(fastrand::alphanumeric).take(32).collect::<String>(),
            ),
            has_password: false,
        };
        // Before anything is loaded: without it neo4j-admin works on the store of its own home.
        prepared.configure()?;
        Ok(prepared)
    }

    /// Starts the server, and waits until it answers. Does nothing when it runs. While nobody was told of its port,
    /// it may take another.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] when it does not start.
    pub async fn start(&mut self, may_move: bool) -> Result<()> {
        if self.server.is_some() {
            return Ok(());
        }
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.start_once().await {
                Err(error) if may_move && attempt < PORTS && error.chain().contains("already in use") => {
                    self.port = free_port()?;
                }
                outcome => return outcome,
            }
        }
    }

    /// Stops the server, so that its store is whole on the disk.
    ///
    /// # Errors
    /// [`Kind::Failed`] when it does not stop in time.
    pub async fn halt(&mut self) -> Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        if let Some(id) = server.id() {
            signal(id, Signal::SIGTERM);
        }
        let ended = tokio::time::timeout(PATIENCE, server.wait()).await;
        self.watcher.guard(None).await?;
        match ended {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(Kind::Failed, "the throwaway server does not stop")),
        }
    }

    /// Where the server listens, with its login.
    pub fn url(&self) -> Secret {
        Secret::new(format!("bolt://{USER}@127.0.0.1:{}/{}", self.port, self.database))
    }

    /// The password of its only user, once it was started.
    pub fn password(&self) -> &Secret {
        &self.password
    }

    /// The tools, set to work on this server's store.
    pub fn tool(&self) -> &Tool {
        &self.tool
    }

    /// Where its databases are.
    pub fn layout(&self) -> Layout {
        let data = self.directory.join("data");
        Layout { databases: data.join("databases"), transactions: data.join("transactions") }
    }

    /// The name of its database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Stops the server and removes its directory. Safe to call again.
    ///
    /// # Errors
    /// [`Kind::Failed`] when the directory is still there afterwards; the message names it.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(mut server) = self.server.take() {
            if let Some(id) = server.id() {
                // What it holds is thrown away: it need not be written first.
                signal(id, Signal::SIGKILL);
            }
            let _ = tokio::time::timeout(PATIENCE, server.wait()).await;
        }
        self.watcher.finish().await;
        if self.directory.exists()
            && let Err(cause) = std::fs::remove_dir_all(&self.directory)
        {
            return Err(Error::new(Kind::Failed, format!("cannot remove {}", self.directory.display()))
                .because(cause)
                .hint("remove it by hand"));
        }
        Ok(())
    }

    fn configure(&self) -> Result<()> {
        let conf = self.directory.join("conf/neo4j.conf");
        std::fs::write(&conf, self.configuration())
            .explain(Kind::Unreachable, || format!("cannot write {}", conf.display()))
    }

    async fn start_once(&mut self) -> Result<()> {
        let log = self.directory.join("logs/console.log");
        self.configure()?;
        let output = std::fs::File::create(&log)
            .explain(Kind::Unreachable, || format!("cannot write {}", log.display()))?;
        let errors =
            output.try_clone().explain(Kind::Unreachable, || format!("cannot write {}", log.display()))?;
        let program = self.tool.path.with_file_name("neo4j");
        let mut command = Command::new(&program);
        command
            .arg("console")
            .env_clear()
            .envs(&self.tool.environment)
            .env("TZ", "UTC")
            .current_dir(&self.directory)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        let mut server =
            command.spawn().explain(Kind::Unreachable, || format!("cannot run {}", program.display()))?;
        self.watcher.guard(server.id()).await?;
        match self.answers(&mut server, &log).await {
            Ok(()) => {
                self.server = Some(server);
                Ok(())
            }
            Err(error) => {
                if let Some(id) = server.id() {
                    signal(id, Signal::SIGKILL);
                }
                let _ = tokio::time::timeout(PATIENCE, server.wait()).await;
                self.watcher.guard(None).await?;
                Err(error)
            }
        }
    }

    /// Waits for the first answer; a new server gets its password.
    async fn answers(&mut self, server: &mut Child, log: &Path) -> Result<()> {
        let first = Secret::new("neo4j");
        let uri = Uri::parse(&self.url(), Some(if self.has_password { &self.password } else { &first }))?;
        let began = Instant::now();
        let mut connection = loop {
            if let Some(status) =
                server.try_wait().explain(Kind::Unreachable, || "the throwaway server was lost".to_owned())?
            {
                return Err(not_started(log, &format!("ended with {status}")));
            }
            match connect(&uri).await {
                Ok(connection) => break connection,
                Err(_) if began.elapsed() < PATIENCE => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error) => return Err(not_started(log, &format!("does not answer: {}", error.chain()))),
            }
        };
        if !self.has_password {
            let change = "ALTER CURRENT USER SET PASSWORD FROM 'neo4j' TO $new";
            let params = Params::new().str("new", self.password.expose());
            let changed: Result<(), bolt::Error> = async {
                connection.run_alone(change, &params, &writing(Some("system"))).await?;
                connection.discard().await
            }
            .await;
            changed.map_err(|cause| super::connect::explain("the throwaway server", cause))?;
            self.has_password = true;
        }
        // The database opens a moment after the port.
        let uri = Uri::parse(&self.url(), Some(&self.password))?;
        loop {
            let asked = async { look(&mut connect(&uri).await?, &uri).await };
            match asked.await {
                Ok(_) => return Ok(()),
                Err(_) if began.elapsed() < PATIENCE => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error) => {
                    return Err(not_started(log, &format!("does not open its database: {}", error.chain())));
                }
            }
        }
    }

    /// What is set besides the defaults. The transaction log stays on: a recovery time measured without it would be
    /// a lie. Source: operations manual, "Configuration settings".
    fn configuration(&self) -> String {
        let mut lines: Vec<String> = ["data", "logs", "run", "import", "plugins", "licenses"]
            .iter()
            .map(|name| format!("server.directories.{name}={}", self.directory.join(name).display()))
            .collect();
        let address = format!("127.0.0.1:{}", self.port);
        lines.push(format!("server.bolt.listen_address={address}"));
        lines.push(format!("server.bolt.advertised_address={address}"));
        lines.push(format!("initial.dbms.default_database={}", self.database));
        let heap = heap_megabytes();
        lines.push(format!("server.memory.heap.initial_size={heap}m"));
        lines.push(format!("server.memory.heap.max_size={heap}m"));
        lines.push(format!("server.memory.pagecache.size={}m", heap / 2));
        lines.extend(
            [
                "server.http.enabled=false",
                "server.https.enabled=false",
                "dbms.usage_report.enabled=false",
                "db.tx_log.preallocate=false",
                "db.tx_log.rotation.retention_policy=keep_none",
            ]
            .map(str::to_owned),
        );
        lines.push(String::new());
        lines.join("\n")
    }
}

/// A quarter of the memory there is, 384 MiB to 2 GiB: a drill runs beside other things.
fn heap_megabytes() -> u64 {
    (available_memory() >> 22).clamp(384, 2048)
}

fn not_started(log: &Path, how: &str) -> Error {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let taken = if text.contains("already in use") { "address already in use; " } else { "" };
    let messages: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains(" INFO ") && !line.trim_start().starts_with("at "))
        .collect();
    Error::new(
        Kind::Unreachable,
        format!("the throwaway server {how}: {taken}{}", last_lines(&messages.join("\n"))),
    )
    .hint("look at the message; it needs a Java that fits; a staging server by URL is the other way")
}

/// Looks whether a directory's file system has the space for a restore of this raw size: a store takes about as much
/// as an export of it, and its indexes and the transaction log come on top.
///
/// # Errors
/// [`Kind::Unreachable`] when it has not, or cannot be asked.
pub fn check_space(under: &Path, raw_bytes: u64) -> Result<()> {
    check_room(under, raw_bytes.saturating_mul(2).saturating_add(EMPTY_SERVER))
}
