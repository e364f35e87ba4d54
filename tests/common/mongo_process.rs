//! Processes and directories that are gone when the test process is, however it ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// Prints the process id, waits for a word, or the end of the pipe, and ends the process.
const GUARD: &str = r#"
log=$1; shift
"$@" >"$log" 2>&1 </dev/null &
pid=$!
echo $pid; exec >&-
read -r word
case $word in stop) kill -TERM $pid ;; *) kill -KILL $pid ;; esac 2>/dev/null
wait $pid
"#;

/// A process may still be ending when the pipe closes.
const JANITOR: &str = r#"
cat >/dev/null
until rm -rf "$1" 2>/dev/null; do sleep 0.1; done
"#;

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, "guard"]).stdin(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    command
}

/// A process that dies with this one.
pub struct Process {
    /// Its process id.
    pub pid: u32,
    guard: Child,
    pipe: Option<ChildStdin>,
}

impl Process {
    /// Starts a program with these arguments; what it writes goes to a new log.
    pub fn start(program: &Path, arguments: &[String], log: &Path) -> Process {
        let mut command = shell(GUARD);
        command.arg(log).args(["setpriv", "--pdeathsig", "KILL"]).arg(program).args(arguments);
        // A log of an earlier run must not speak for this one.
        std::fs::write(log, "").unwrap();
        let mut guard = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut pid = String::new();
        BufReader::new(guard.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        let pipe = guard.stdin.take();
        Process { pid: pid.trim().parse().unwrap(), guard, pipe }
    }

    /// Is it there, and not ended?
    pub fn is_alive(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
    }

    /// Ends it with SIGTERM (`stop`) or SIGKILL (`kill`), and waits for its end.
    pub fn end(mut self, word: &str) {
        if let Some(pipe) = &mut self.pipe {
            writeln!(pipe, "{word}").unwrap();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.pipe.take();
        let _ = self.guard.wait();
    }
}

/// A directory below /tmp that goes with this process.
pub struct Directory {
    /// Where it is.
    pub path: PathBuf,
    janitor: Child,
}

impl Directory {
    /// Makes it.
    pub fn new(name: String) -> Directory {
        let path = PathBuf::from("/tmp").join(name);
        std::fs::create_dir(&path).unwrap();
        let janitor = shell(JANITOR).arg(&path).stdout(Stdio::null()).spawn().unwrap();
        Directory { path, janitor }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.janitor.stdin.take();
        let _ = self.janitor.wait();
    }
}
