//! A throwaway mongod in a temporary directory, for drills without a staging server.
//!
//! It listens on a free port of the loopback interface and asks for a login that only this process knows: others
//! on the machine cannot read what is restored into it. It and its directory go on every way out, as those of
//! [`crate::engines::throwaway`] do. Applying captured operations needs no oplog, so it is a standalone server.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use mongodb::bson::doc;
use tokio::process::{Child, Command};

use super::connect;
use super::tools::Tool;
use super::uri::Uri;
use crate::engines::throwaway::{self, Watcher, available_memory, check_room, free_port, last_lines, signal};
use crate::error::{Error, Explain, Kind, Result};
use crate::secret::Secret;

/// How long the server may take to answer first, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a port that another took meanwhile is given up for the next.
const PORTS: u32 = 5;

/// An empty server and some room to breathe.
const EMPTY_SERVER: u64 = 400 << 20;

/// The user that is made.
const USER: &str = "lifeboat";

/// What is set besides the defaults. The journal stays on: a recovery time measured without it would be a lie.
/// Nothing may expire before it was compared.
const ARGUMENTS: &[&str] = &[
    "--bind_ip=127.0.0.1",
    "--nounixsocket",
    "--auth",
    "--setParameter=ttlMonitorEnabled=false",
    "--setParameter=diagnosticDataCollectionEnabled=false",
    "--wiredTigerEngineConfigString=log=(file_max=16MB)",
];

/// A running throwaway server.
#[derive(Debug)]
pub struct Ephemeral {
    directory: PathBuf,
    server: Child,
    watcher: Watcher,
    uri: Uri,
    version: String,
}

impl Ephemeral {
    /// Starts `mongod` in a new directory under `under`.
    ///
    /// # Errors
    /// [`Kind::Unreachable`]: no space for `raw_bytes`, or the server does not start.
    pub async fn start(mongod: &Tool, under: &Path, raw_bytes: u64) -> Result<Self> {
        check_space(under, raw_bytes)?;
        let (directory, mut watcher) = throwaway::directory(under, "KILL")?;
        let data = directory.join("data");
        std::fs::create_dir(&data)
            .explain(Kind::Unreachable, || format!("cannot make {}", data.display()))?;
        let mut attempt = 0;
        let (server, uri, version) = loop {
            attempt += 1;
            match start_once(mongod, &directory, &data, &mut watcher).await {
                Ok(started) => break started,
                Err(error) if attempt < PORTS && error.chain().contains("Address already in use") => {}
                Err(error) => {
                    watcher.finish().await;
                    return Err(error);
                }
            }
        };
        Ok(Ephemeral { directory, server, watcher, uri, version })
    }

    /// The URL of its only user.
    pub fn url(&self) -> Secret {
        self.uri.full()
    }

    /// The server's version.
    pub fn version(&self) -> &str {
        &self.version
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
        if let Some(id) = self.server.id() {
            // What it holds is thrown away: it need not be written first.
            signal(id, nix::sys::signal::Signal::SIGKILL);
            let _ = tokio::time::timeout(PATIENCE, self.server.wait()).await;
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
}

async fn start_once(
    mongod: &Tool,
    directory: &Path,
    data: &Path,
    watcher: &mut Watcher,
) -> Result<(Child, Uri, String)> {
    let port = free_port()?;
    let log = directory.join("server.log");
    let log_file = std::fs::File::create(&log)
        .explain(Kind::Unreachable, || format!("cannot write {}", log.display()))?;
    let mut command = Command::new(&mongod.path);
    command
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("LC_ALL", "C"), ("TZ", "UTC")])
        .current_dir(directory)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log_file)
        .stderr(Stdio::null())
        .arg("--dbpath")
        .arg(data)
        .arg(format!("--port={port}"))
        .args(ARGUMENTS)
        .arg(format!("--wiredTigerCacheSizeGB={:.2}", cache_gigabytes()));
    let mut server =
        command.spawn().explain(Kind::Unreachable, || format!("cannot run {}", mongod.path.display()))?;
    watcher.guard(server.id()).await?;
    let local = format!("mongodb://127.0.0.1:{port}/?directConnection=true&serverSelectionTimeoutMS=1000");
    let open = Uri::parse(&Secret::new(local.as_str()), None)?;
    let began = Instant::now();
    let connected = loop {
        if let Some(status) = server.try_wait().explain(Kind::Unreachable, lost)? {
            watcher.guard(None).await?;
            return Err(not_started(&log, &format!("ended with {status}")));
        }
        match connect::connect(&open, "primary").await {
            Ok(connected) => break connected,
            Err(_) if began.elapsed() < PATIENCE => tokio::time::sleep(Duration::from_millis(25)).await,
            Err(error) => return Err(not_started(&log, &format!("does not answer: {}", error.chain()))),
        }
    };
    // The localhost exception of a server without users lets the first one be made (manual, "Localhost Exception").
    let password: String = std::iter::repeat_with(fastrand::alphanumeric).take(32).collect();
    let make = doc! {
        "createUser": USER,
        "pwd": &password,
        "roles": [{"role": "__system", "db": "admin"}, {"role": "root", "db": "admin"}],
    };
    connected
        .run("admin", make)
        .await
        .map_err(|error| error.while_doing("the throwaway server takes no user"))?;
    let url = format!("mongodb://{USER}@127.0.0.1:{port}/?authSource=admin&directConnection=true");
    let uri = Uri::parse(&Secret::new(url), Some(&Secret::new(password)))?;
    Ok((server, uri, connected.version))
}

/// A quarter of the memory there is, 256 MB to 2 GB: a drill runs beside other things.
fn cache_gigabytes() -> f64 {
    (available_memory() as f64 / 4e9).clamp(0.25, 2.0)
}

fn lost() -> String {
    "the throwaway server was lost".to_owned()
}

fn not_started(log: &Path, how: &str) -> Error {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let taken = if text.contains("Address already in use") { "Address already in use; " } else { "" };
    let messages: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("\"s\":\"E\"") || line.contains("\"s\":\"F\"") || !line.starts_with('{'))
        .collect();
    Error::new(
        Kind::Unreachable,
        format!("the throwaway server {how}: {taken}{}", last_lines(&messages.join("\n"))),
    )
    .hint("look at the message; a staging server by URL is the other way")
}

/// Looks whether a directory's file system has the space for a restore of this raw size: the data hardly ever
/// compresses to more than itself, and its indexes come on top.
///
/// # Errors
/// [`Kind::Unreachable`] when it has not, or cannot be asked.
pub fn check_space(under: &Path, raw_bytes: u64) -> Result<()> {
    check_room(under, raw_bytes.saturating_add(raw_bytes / 4).saturating_add(EMPTY_SERVER))
}
