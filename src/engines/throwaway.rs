//! What throwaway servers of all engines need: a watcher that ends them on every way out, and some room.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};

use crate::error::{Explain, Kind, Result};

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
