//! Child processes whose exit status, messages and byte counts arrive as one value.
//!
//! A child runs in its own process group with exactly the environment that it is given. Its
//! output is only good with the [`Finished`] that [`Child::finish`] gives: the end of the stream
//! proves nothing. A child that is dropped gets SIGTERM, later SIGKILL, and is reaped.

mod chunks;
mod lines;
mod pipes;
mod running;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::task::JoinHandle;

pub use chunks::Chunks;
pub use lines::OnLine;
pub use pipes::{Input, Output, human_bytes};
pub use running::{kill_all, settle};

use super::object::CleanEnd;
use crate::error::{Error, Kind, Result};
use crate::secret::Secret;
use lines::Messages;
use pipes::Traffic;
use running::Running;

/// How long a child may take after SIGTERM before SIGKILL.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(5);

/// How long messages may still come after the child's end (a grandchild may hold the pipe).
const MESSAGES_PATIENCE: Duration = Duration::from_secs(2);

/// What to run.
pub struct Spec {
    /// The name for messages, as in `pg_dump`.
    pub name: String,
    /// The program's path.
    pub program: PathBuf,
    /// The arguments; never a secret, since every user of the machine can read them.
    pub arguments: Vec<OsString>,
    /// The whole environment; nothing else is inherited.
    pub environment: BTreeMap<String, String>,
    /// True: we write its standard input; false: it is empty.
    pub feed: bool,
    /// Replaced by `***` in messages.
    pub secrets: Vec<Secret>,
    /// Called with each line of standard error as it comes, redacted.
    pub on_line: Option<OnLine>,
    /// How long it may take after SIGTERM before SIGKILL.
    pub patience: Duration,
    /// Kept until the child has ended: files that its environment names.
    pub guard: Option<Box<dyn std::any::Any + Send>>,
}

impl Spec {
    /// A program with its arguments, no environment and no input.
    pub fn new(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Spec {
        let program = program.into();
        let name = program.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Spec {
            name,
            program,
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: BTreeMap::new(),
            feed: false,
            secrets: Vec::new(),
            on_line: None,
            patience: DEFAULT_PATIENCE,
            guard: None,
        }
    }
}

/// A running child.
pub struct Child {
    name: String,
    /// `None` once it was handed to the task that ends it.
    process: Option<tokio::process::Child>,
    pid: Pid,
    running: Running,
    input: Option<Input>,
    output: Option<Output>,
    traffic: Arc<Traffic>,
    /// `None` once they were taken.
    messages: Option<JoinHandle<Messages>>,
    began: Instant,
    patience: Duration,
    guard: Option<Box<dyn std::any::Any + Send>>,
}

/// The proof that a child ended well: exit status 0, output read to its end, input taken in full.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished {
    /// The name for messages.
    pub name: String,
    /// Bytes read from its standard output.
    pub bytes_out: u64,
    /// Bytes written to its standard input.
    pub bytes_in: u64,
    /// The last 64 KiB of standard error, line by line, redacted.
    pub messages: Vec<String>,
    /// From start to end.
    pub elapsed: Duration,
}

impl Finished {
    /// The proof that an object is finished with.
    pub fn clean_end(&self) -> CleanEnd {
        CleanEnd::of(self.name.clone())
    }
}

/// How a child ended when it did not end well, for callers that tolerate some failures
/// (`pg_restore` of a newer tool on an older server).
#[derive(Debug)]
pub struct Outcome {
    /// The exit code, or `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether its output was read to the end and its input was taken in full.
    pub streams_complete: bool,
    /// The same facts as in the proof.
    pub facts: Finished,
}

/// Starts a child. Must be called inside the async runtime.
pub fn spawn(spec: Spec) -> Result<Child> {
    let mut command = Command::new(&spec.program);
    command
        .args(&spec.arguments)
        .env_clear()
        .envs(&spec.environment)
        .stdin(if spec.feed { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut process = command.spawn().map_err(|cause| {
        Error::new(Kind::Failed, format!("cannot run {}", spec.program.display()))
            .because(cause)
            .hint(format!("check that {} is installed and may be executed", spec.name))
    })?;
    let missing = |what: &str| Error::new(Kind::Failed, format!("{} has no {what}", spec.name));
    let pid = process.id().ok_or_else(|| missing("process id"))?;
    let pid = Pid::from_raw(i32::try_from(pid).map_err(|_| missing("usable process id"))?);
    let traffic = Arc::new(Traffic::default());
    let output = process.stdout.take().ok_or_else(|| missing("standard output"))?;
    let stderr = process.stderr.take().ok_or_else(|| missing("standard error"))?;
    let input = process.stdin.take().map(|pipe| Input::new(pipe, Arc::clone(&traffic)));
    Ok(Child {
        pid,
        running: Running::begin(pid),
        process: Some(process),
        input,
        output: Some(Output::new(output, Arc::clone(&traffic))),
        traffic,
        messages: Some(tokio::spawn(lines::read(stderr, spec.secrets, spec.on_line))),
        name: spec.name,
        began: Instant::now(),
        patience: spec.patience,
        guard: spec.guard,
    })
}

impl Child {
    /// Its standard output, once. Read it to its end before [`Child::finish`].
    pub fn take_output(&mut self) -> Option<Output> {
        self.output.take()
    }

    /// Its standard input, once, when the spec said `feed`. Call `shutdown` on it at the end of the data.
    pub fn take_input(&mut self) -> Option<Input> {
        self.input.take()
    }

    /// The process id, which is also that of its group.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Bytes read from its standard output so far.
    pub fn bytes_out(&self) -> u64 {
        self.traffic.bytes_out()
    }

    /// Waits for the end. Only exit status 0 with complete streams gives the proof; everything
    /// else is an error that tells signal or status, bytes so far, and the last message.
    ///
    /// When this future is dropped the child is stopped.
    pub async fn finish(self) -> Result<Finished> {
        let name = self.name.clone();
        let outcome = self.outcome().await?;
        let Outcome { code, signal, streams_complete, facts } = outcome;
        let far = match (facts.bytes_out, facts.bytes_in) {
            (out, 0) => human_bytes(out),
            (0, taken) => human_bytes(taken),
            (out, taken) => format!("{} in and {} out", human_bytes(taken), human_bytes(out)),
        };
        let last = facts.messages.iter().rev().find(|line| !line.trim().is_empty());
        let last = last.map_or_else(String::new, |line| format!(": {}", line.trim()));
        let error = |message: String| Error::new(Kind::Failed, message);
        match (code, signal) {
            (Some(0), _) if streams_complete => Ok(facts),
            (Some(0), _) => Err(error(format!("{name} ended well, but its stream was cut after {far}"))
                .hint("see the error of the stage that reads or writes the stream")),
            (Some(code), _) => Err(error(format!("{name} failed with status {code} after {far}{last}"))),
            (None, Some(9)) => Err(error(format!("{name} was killed by signal 9 after {far}{last}"))
                .hint("the kernel or the cluster may have run out of memory; look at the memory limit")),
            (None, Some(13)) => Err(error(format!("{name} lost the reader of its output after {far}{last}"))
                .hint("see the error of the stage that reads the stream")),
            (None, signal) => Err(error(format!(
                "{name} was killed by signal {} after {far}{last}",
                signal.unwrap_or_default()
            ))
            .hint("find out who sent the signal, and run it again")),
        }
    }

    /// Waits for the end and tells how it was. For callers that judge a failure themselves.
    pub async fn outcome(mut self) -> Result<Outcome> {
        self.ended().await
    }

    /// The same for a child that stays with its owner while it is waited for, who can then still stop it.
    ///
    /// # Errors
    /// [`Kind::Failed`] when it cannot be waited for.
    pub async fn ended(&mut self) -> Result<Outcome> {
        // What the caller did not take is closed, so that the child cannot wait for it forever.
        self.input.take();
        self.output.take();
        let lost = |cause: std::io::Error, name: &str| {
            Error::new(Kind::Failed, format!("the end of {name} cannot be waited for")).because(cause)
        };
        let status: ExitStatus = match self.process.as_mut() {
            Some(process) => process.wait().await.map_err(|cause| lost(cause, &self.name))?,
            None => return Err(Error::new(Kind::Failed, format!("{} was stopped", self.name))),
        };
        let elapsed = self.began.elapsed();
        let messages = last_messages(self.messages.take(), self.pid).await;
        // It has ended and is reaped: nothing is left to stop.
        self.process = None;
        self.running.ended();
        self.guard = None;
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        Ok(Outcome {
            code: status.code(),
            signal,
            streams_complete: self.traffic.complete(),
            facts: Finished {
                name: self.name.clone(),
                bytes_out: self.traffic.bytes_out(),
                bytes_in: self.traffic.bytes_in(),
                messages: messages.into_lines(),
                elapsed,
            },
        })
    }

    /// Stops the child: SIGTERM to its group, SIGKILL after the patience, reaped when this returns.
    pub async fn stop(mut self) {
        if let Some(process) = self.process.take() {
            end(process, self.pid, self.patience).await;
            last_messages(self.messages.take(), self.pid).await;
            self.running.ended();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let Some(process) = self.process.take() else { return };
        let (pid, patience, guard) = (self.pid, self.patience, self.guard.take());
        let messages = self.messages.take();
        let running = std::mem::take(&mut self.running);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                // At once, so that the signal goes out even when the runtime is about to end.
                let _ = killpg(pid, Signal::SIGTERM);
                runtime.spawn(async move {
                    end(process, pid, patience).await;
                    last_messages(messages, pid).await;
                    running.ended();
                    drop(guard);
                });
            }
            // Without a runtime nobody could wait; tokio reaps what it kills.
            Err(_) => {
                let _ = killpg(pid, Signal::SIGKILL);
            }
        }
    }
}

/// All messages; a grandchild that keeps the pipe open, whatever it was told, is killed after a moment.
async fn last_messages(reader: Option<JoinHandle<Messages>>, group: Pid) -> Messages {
    let Some(mut reader) = reader else { return Messages::default() };
    if let Ok(read) = tokio::time::timeout(MESSAGES_PATIENCE, &mut reader).await {
        return read.unwrap_or_default();
    }
    // The pipe is open, so the group still has a member, and its id cannot be another's.
    let _ = killpg(group, Signal::SIGKILL);
    let read = tokio::time::timeout(MESSAGES_PATIENCE, &mut reader).await;
    reader.abort();
    read.ok().and_then(std::result::Result::ok).unwrap_or_default()
}

/// Ends a process that is not reaped yet, so its group id is still its own.
async fn end(mut process: tokio::process::Child, pid: Pid, patience: Duration) {
    if process.try_wait().is_ok_and(|status| status.is_some()) {
        return;
    }
    let _ = killpg(pid, Signal::SIGTERM);
    if tokio::time::timeout(patience, process.wait()).await.is_err() {
        let _ = killpg(pid, Signal::SIGKILL);
        let _ = process.wait().await;
    }
}

#[cfg(test)]
#[path = "child/tests.rs"]
mod tests;
