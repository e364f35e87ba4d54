//! The process that stops and starts a server, and outlives us if it must.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::engines::throwaway::last_lines;
use crate::error::{Error, Explain as _, Kind, Result};

/// `$1` says how many of the other arguments are the stop command; the rest is the start command. `stop` on standard
/// input runs the first and answers with its status; the end of standard input runs the second, if the first was run.
///
/// Signals that are meant for us do not end it, and the commands get them as they were. Where the commands write to
/// is a file, since a pipe would break with us.
const WATCHER: &str = r#"trap '' HUP INT TERM PIPE
count=$1
shift
run() {
  (trap - HUP INT TERM PIPE; exec "$@") </dev/null >&2
}
stop() {
  turns=0
  while [ "$turns" -lt "$count" ]; do
    set -- "$@" "$1"
    shift
    turns=$((turns + 1))
  done
  shift $(($# - count))
  run "$@"
}
start() {
  shift "$count"
  run "$@"
}
stopped=
while read -r word; do
  if [ "$word" = stop ]; then
    stopped=1
    stop "$@"
    echo "$?"
  fi
done
[ -z "$stopped" ] || start "$@"
"#;

/// Bytes of what the commands wrote that are looked at: the last ones.
const SAID: u64 = 8 * 1024;

/// The process, with the pipe that keeps it from starting the server.
#[derive(Debug)]
pub(super) struct Watcher {
    child: Child,
    pipe: Option<ChildStdin>,
    answers: Option<BufReader<ChildStdout>>,
    written: File,
    stopped: bool,
}

impl Watcher {
    /// Starts it; nothing is stopped yet.
    ///
    /// # Errors
    /// [`Kind::Failed`] when there is no `/bin/sh` or no room for a temporary file.
    pub(super) fn start(
        stop: &[String],
        start: &[String],
        environment: &BTreeMap<String, String>,
    ) -> Result<Watcher> {
        let cannot = || "cannot run /bin/sh to stop and start the server".to_owned();
        let under = environment.get("TMPDIR").filter(|path| !path.is_empty()).map_or("/tmp", String::as_str);
        let written = tempfile::tempfile_in(under).explain(Kind::Failed, cannot)?;
        let mut child = Command::new("/bin/sh")
            .args(["-c", WATCHER, "lifeboat-server-watcher"])
            .arg(stop.len().to_string())
            .args(stop)
            .args(start)
            .env_clear()
            .envs(environment)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(written.try_clone().explain(Kind::Failed, cannot)?)
            .process_group(0)
            .spawn()
            .explain(Kind::Failed, cannot)?;
        let pipe = child.stdin.take();
        let answers = child.stdout.take().map(BufReader::new);
        Ok(Watcher { child, pipe, answers, written, stopped: false })
    }

    /// Runs the stop command. Returns its status.
    ///
    /// # Errors
    /// [`Kind::Failed`] when the process was killed.
    pub(super) async fn stop(&mut self) -> Result<i32> {
        let lost = || "the process that stops the server was lost".to_owned();
        if let Some(pipe) = &mut self.pipe {
            pipe.write_all(b"stop\n").await.explain(Kind::Failed, lost)?;
        }
        let mut line = String::new();
        if let Some(answers) = &mut self.answers {
            answers.read_line(&mut line).await.explain(Kind::Failed, lost)?;
        }
        self.stopped = true;
        line.trim().parse().map_err(|_| Error::new(Kind::Failed, lost()))
    }

    /// True when the stop command has ended.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Lets it start the server.
    pub(super) fn let_go(&mut self) {
        self.pipe = None;
    }

    /// Waits for the end of the start command. Returns its status.
    ///
    /// # Errors
    /// [`Kind::Failed`] when it cannot be waited for, or was killed.
    pub(super) async fn ended(&mut self) -> Result<i32> {
        let lost = || "the process that starts the server was lost".to_owned();
        let status = self.child.wait().await.explain(Kind::Failed, lost)?;
        status.code().ok_or_else(|| Error::new(Kind::Failed, lost()).hint("look whether the server runs"))
    }

    /// The last lines that the commands wrote, after `: `.
    pub(super) fn said(&self) -> String {
        let size = self.written.metadata().map_or(0, |found| found.len());
        let mut text = vec![0; size.min(SAID) as usize];
        match self.written.read_exact_at(&mut text, size.saturating_sub(SAID)) {
            Ok(()) if !text.is_empty() => format!(": {}", last_lines(&String::from_utf8_lossy(&text))),
            _ => String::new(),
        }
    }
}
