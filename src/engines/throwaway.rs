//! What throwaway servers of all engines need: a watcher that ends them on every way out, and some room.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};

use crate::error::{Error, Explain, Kind, Result};

/// How long the watcher may take to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until its standard input ends; the last line is a process group. Then the group gets
/// the signal `$2` (the data is thrown away), and the directory `$1` is removed.
const WATCHER: &str = r#"trap '' HUP INT TERM
group=
while read -r line; do group=$line; done
if [ -n "$group" ]; then
  kill -s "$2" -- "-$group" 2>/dev/null
  tries=0
  while [ "$tries" -lt 100 ] && kill -s 0 -- "-$group" 2>/dev/null; do
    sleep 0.1
    tries=$((tries + 1))
  done
  kill -s KILL -- "-$group" 2>/dev/null
fi
cd /
rm -rf -- "$1"
"#;

/// The process that cleans up when we do not.
#[derive(Debug)]
pub struct Watcher {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Watcher {
    /// Starts it for a directory, and with the signal (`QUIT`) that ends the server at once.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] when there is no `/bin/sh`.
    pub fn start(directory: &Path, signal: &str) -> Result<Self> {
        let mut child = Command::new("/bin/sh")
            .args(["-c", WATCHER, "lifeboat-drill-watcher"])
            .arg(directory)
            .arg(signal)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .explain(Kind::Unreachable, || {
                "cannot run /bin/sh to watch over the throwaway server".to_owned()
            })?;
        let pipe = child.stdin.take();
        Ok(Watcher { child, pipe })
    }

    /// Says which process group to stop at the end; `None`: none.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] when it was killed.
    pub async fn guard(&mut self, group: Option<u32>) -> Result<()> {
        let line = group.map_or_else(|| "\n".to_owned(), |group| format!("{group}\n"));
        match &mut self.pipe {
            Some(pipe) => pipe
                .write_all(line.as_bytes())
                .await
                .explain(Kind::Unreachable, || "the watcher of the throwaway server was lost".to_owned()),
            None => Ok(()),
        }
    }

    /// Lets it remove the directory, with nothing left to stop.
    pub async fn finish(&mut self) {
        let _ = self.guard(None).await;
        self.pipe = None;
        let _ = tokio::time::timeout(PATIENCE, self.child.wait()).await;
    }
}

/// A new directory under `under` that this user alone may read, and the watcher that removes it with what runs there.
/// `signal` ends the server at once.
///
/// # Errors
/// [`Kind::Unreachable`] when it cannot be made.
pub fn directory(under: &Path, signal: &str) -> Result<(PathBuf, Watcher)> {
    let made = tempfile::Builder::new()
        .prefix("lifeboat-drill-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .tempdir_in(under)
        .explain(Kind::Unreachable, || format!("cannot make a directory in {}", under.display()))?;
    // From here on the watcher removes it.
    let watcher = Watcher::start(made.path(), signal)?;
    Ok((made.keep(), watcher))
}

/// A port of the loopback interface that nobody listens on now. Another may take it before the server does.
///
/// # Errors
/// [`Kind::Unreachable`] when there is none.
pub fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).explain(Kind::Unreachable, || "there is no free port".to_owned())
}

/// Bytes of memory that the kernel would give now (proc(5), `MemAvailable`); 2 GiB where it does not say.
pub fn available_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(2 << 20) << 10
}

/// Looks whether so many bytes are free on the file system of a directory.
///
/// # Errors
/// [`Kind::Unreachable`] when they are not, or it cannot be asked.
pub fn check_room(under: &Path, needed: u64) -> Result<()> {
    let free = free_bytes(under)
        .explain(Kind::Unreachable, || format!("cannot see how much space is free in {}", under.display()))?;
    if free >= needed {
        return Ok(());
    }
    Err(Error::new(
        Kind::Unreachable,
        format!(
            "{} has {} MiB free, and a throwaway server for this backup needs {} MiB",
            under.display(),
            free >> 20,
            needed >> 20
        ),
    )
    .hint("point TMPDIR at a larger volume, or give a staging server by URL"))
}

/// Bytes that are free on the file system of a path, for whoever is not root.
///
/// # Errors
/// Those of statvfs(3).
pub fn free_bytes(path: &Path) -> nix::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(path)?;
    Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
}

/// The last three lines that say something, as one.
pub fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}

/// Sends a signal to a process group; one that is gone is no matter.
pub fn signal(group: u32, signal: nix::sys::signal::Signal) {
    if let Ok(group) = i32::try_from(group) {
        let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group), signal);
    }
}
