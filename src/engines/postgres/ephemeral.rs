//! A throwaway PostgreSQL server in a temporary directory, for drills without a staging server.
//!
//! It listens on a Unix socket in a directory that only its own user may enter. It dies and its
//! directory goes on every way out: [`Ephemeral::stop`], a dropped value (a panic, an error), and
//! the death of this process by SIGKILL. A small shell process of its own process group sees to
//! that: it waits for the end of a pipe that this process holds, then stops the server and removes
//! the directory.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::unistd::{Gid, Uid, User};
use tokio::process::{Child, Command};

use crate::engines::throwaway::{self, Watcher, check_room, free_bytes, last_lines, signal};
use crate::error::{Error, Explain, Kind, Result};

/// The superuser that is made.
pub const SUPERUSER: &str = "postgres";

/// A Unix socket path may have this many bytes on Linux (`sun_path`, unix(7)), its NUL included.
const MAX_SOCKET_PATH: usize = 108;

/// How long the server may take to accept its first connection, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most WAL kept between checkpoints, which counts in the space needed. See [`SETTINGS`].
const MAX_WAL: u64 = 4 << 30;

/// An empty cluster and some room to breathe.
const EMPTY_CLUSTER: u64 = 256 << 20;

/// What is set besides the defaults: what a careful administrator sets before loading a database.
/// All that makes a server durable (`fsync`, `full_page_writes`, `synchronous_commit`, `wal_level`)
/// stays as it is by default: a recovery time measured without it would be a lie.
pub const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", ""),
    ("port", "5432"),
    ("shared_buffers", "256MB"),
    ("maintenance_work_mem", "256MB"),
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "15min"),
    ("max_connections", "64"),
    ("max_locks_per_transaction", "1024"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("logging_collector", "off"),
    ("unix_socket_permissions", "0700"),
];

/// How long `initdb` may take, which needs a few seconds and writes 40 MB.
const INITDB_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Waits for the end of `initdb`, but not for ever: a disk that hangs would keep the drill from its verdict.
async fn ended(child: Child, patience: Duration) -> Result<std::process::Output> {
    match tokio::time::timeout(patience, child.wait_with_output()).await {
        Ok(output) => output.explain(Kind::Unreachable, || "initdb was lost".to_owned()),
        Err(_) => {
            Err(Error::new(Kind::Unreachable, format!("initdb did not end within {} s", patience.as_secs()))
                .hint("look at the disk of TMPDIR; a staging server by URL needs no initdb"))
        }
    }
}

/// A running throwaway server.
#[derive(Debug)]
pub struct Ephemeral {
    directory: PathBuf,
    socket: PathBuf,
    server: Child,
    watcher: Watcher,
    version: String,
}

impl Ephemeral {
    /// Makes a cluster with the programs in `bin`, in a new directory under `under`, and starts it.
    ///
    /// # Errors
    /// [`Kind::Unreachable`]: no space for `raw_bytes`, `initdb` fails, the server does not start.
    /// [`Kind::Config`]: this process is root and there is no account to drop to.
    pub async fn start(bin: &Path, under: &Path, raw_bytes: u64) -> Result<Self> {
        check_space(under, raw_bytes)?;
        let account = Account::find()?;
        let (directory, mut watcher) = throwaway::directory(under, "QUIT")?;
        account.own(&directory)?;
        let data = directory.join("data");

        let mut initdb = account.command(&bin.join("initdb"), &directory);
        initdb.arg("-D").arg(&data).args([
            "-U",
            SUPERUSER,
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        initdb.stdout(Stdio::null()).stderr(Stdio::piped());
        let child = initdb
            .spawn()
            .explain(Kind::Unreachable, || format!("cannot run {}", bin.join("initdb").display()))?;
        watcher.guard(child.id()).await?;
        // When it takes too long it is ended by the watcher, with the directory.
        let output = ended(child, INITDB_PATIENCE).await?;
        watcher.guard(None).await?;
        if !output.status.success() {
            let text = last_lines(&String::from_utf8_lossy(&output.stderr));
            return Err(Error::new(
                Kind::Unreachable,
                format!("initdb ended with {}: {text}", output.status),
            )
            .hint("look at the message; a staging server by URL needs no initdb"));
        }

        let socket = account.socket_directory(&directory)?;
        let log = directory.join("server.log");
        let log_file = std::fs::File::create(&log)
            .explain(Kind::Unreachable, || format!("cannot write {}", log.display()))?;
        let mut postgres = account.command(&bin.join("postgres"), &directory);
        postgres.arg("-D").arg(&data);
        for (name, value) in SETTINGS {
            postgres.arg("-c").arg(format!("{name}={value}"));
        }
        postgres.arg("-c").arg(format!("unix_socket_directories={}", socket.display()));
        if !shared_memory_is_roomy() {
            // Containers give /dev/shm 64 MB by default; a parallel index build then fails.
            postgres.args(["-c", "dynamic_shared_memory_type=mmap"]);
        }
        postgres.stdout(Stdio::null()).stderr(log_file);
        let server = postgres
            .spawn()
            .explain(Kind::Unreachable, || format!("cannot run {}", bin.join("postgres").display()))?;
        watcher.guard(server.id()).await?;
        let mut running = Ephemeral { directory, socket, server, watcher, version: String::new() };
        running.wait_until_ready(&log).await?;
        Ok(running)
    }

    async fn wait_until_ready(&mut self, log: &Path) -> Result<()> {
        let began = Instant::now();
        let mut config = tokio_postgres::Config::new();
        config.host_path(&self.socket).user(SUPERUSER).dbname("postgres");
        loop {
            if let Some(status) = self.server.try_wait().explain(Kind::Unreachable, lost)? {
                return Err(not_started(log, &format!("ended with {status}")));
            }
            let tried = match config.connect(tokio_postgres::NoTls).await {
                Ok((client, connection)) => {
                    let connection = tokio::spawn(connection);
                    let answer = client.query_one("SHOW server_version", &[]).await;
                    drop(client);
                    let _ = connection.await;
                    answer
                }
                Err(error) => Err(error),
            };
            match tried {
                Ok(row) => {
                    self.version = row.get(0);
                    return Ok(());
                }
                Err(_) if began.elapsed() < PATIENCE => tokio::time::sleep(Duration::from_millis(25)).await,
                Err(error) => return Err(not_started(log, &format!("does not answer: {error}"))),
            }
        }
    }

    /// A URL for the superuser, which the vendor's tools take as well. Holds no secret: the socket's
    /// directory is closed to others.
    pub fn url(&self) -> String {
        format!(
            "postgres://{SUPERUSER}@/postgres?port=5432&host={}",
            percent(&self.socket.display().to_string())
        )
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
            signal(id, nix::sys::signal::Signal::SIGQUIT);
            if tokio::time::timeout(PATIENCE, self.server.wait()).await.is_err() {
                signal(id, nix::sys::signal::Signal::SIGKILL);
                let _ = self.server.wait().await;
            }
        }
        self.watcher.finish().await;
        let leftovers = [&self.directory, &self.socket];
        for path in leftovers {
            if path.exists()
                && let Err(cause) = std::fs::remove_dir_all(path)
            {
                return Err(Error::new(Kind::Failed, format!("cannot remove {}", path.display()))
                    .because(cause)
                    .hint("remove it by hand"));
            }
        }
        Ok(())
    }
}

fn lost() -> String {
    "the throwaway server was lost".to_owned()
}

fn not_started(log: &Path, how: &str) -> Error {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    Error::new(Kind::Unreachable, format!("the throwaway server {how}: {}", last_lines(&text)))
        .hint("look at the message; a staging server by URL is the other way")
}

fn percent(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    path.bytes().map(|b| if plain(b) { (b as char).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Bytes that a restore of this raw size needs: the tables and their indexes (1.5 times the dump is
/// the experience), the WAL between two checkpoints, an empty cluster.
pub fn space_needed(raw_bytes: u64) -> u64 {
    raw_bytes
        .saturating_add(raw_bytes / 2)
        .saturating_add(raw_bytes.min(MAX_WAL))
        .saturating_add(EMPTY_CLUSTER)
}

/// Looks whether a directory's file system has the space for a restore of this raw size.
///
/// # Errors
/// [`Kind::Unreachable`] when it has not, or cannot be asked.
pub fn check_space(under: &Path, raw_bytes: u64) -> Result<()> {
    check_room(under, space_needed(raw_bytes))
}

fn shared_memory_is_roomy() -> bool {
    free_bytes(Path::new("/dev/shm")).is_ok_and(|free| free >= 512 << 20)
}

/// The account that the server runs as: ours, or when we are root `postgres` or `nobody`, since the
/// server and `initdb` refuse root and need an account with a name.
#[derive(Debug)]
struct Account {
    drop_to: Option<(Uid, Gid)>,
}

impl Account {
    fn find() -> Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(Account { drop_to: None });
        }
        for name in ["postgres", "nobody"] {
            if let Ok(Some(user)) = User::from_name(name) {
                return Ok(Account { drop_to: Some((user.uid, user.gid)) });
            }
        }
        Err(Error::new(
            Kind::Config,
            "root cannot run a PostgreSQL server, and there is no account postgres or nobody",
        )
        .hint("run as another user, or give a staging server by URL"))
    }

    fn own(&self, directory: &Path) -> Result<()> {
        let Some((uid, gid)) = self.drop_to else { return Ok(()) };
        std::os::unix::fs::chown(directory, Some(uid.as_raw()), Some(gid.as_raw()))
            .explain(Kind::Unreachable, || {
                format!("cannot give {} to the server's account", directory.display())
            })
    }

    /// A command of this account in its own process group (Ctrl-C is ours to handle), with hardly
    /// any environment.
    fn command(&self, program: &Path, directory: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs([("PATH", "/usr/bin:/bin"), ("LC_ALL", "C"), ("TZ", "UTC")]);
        command.current_dir(directory).process_group(0).stdin(Stdio::null());
        if let Some((uid, gid)) = self.drop_to {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
        command
    }

    /// The directory itself when a socket in it has a short enough path; the caller's temporary
    /// directory may be deep.
    fn socket_directory(&self, directory: &Path) -> Result<PathBuf> {
        let longest = directory.join(".s.PGSQL.5432.lock");
        if longest.as_os_str().len() < MAX_SOCKET_PATH {
            return Ok(directory.to_owned());
        }
        Err(Error::new(
            Kind::Unreachable,
            format!("{} is too long a path for a Unix socket", directory.display()),
        )
        .hint("point TMPDIR at a directory with a shorter path"))
    }
}

#[cfg(test)]
mod tests;
