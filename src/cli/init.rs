//! As process 1 of a container: run the program as a child, pass signals on, reap what nobody waits for.
//!
//! The kernel hands every orphan of the container to process 1, and gives process 1 only the signals
//! that it asked for. The program itself stays as it is everywhere: it waits for its own children alone,
//! and no exit status can be taken from it.

use std::io::{Error, ErrorKind, Result};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

/// The signals that go on to the program.
const PASSED_ON: [Signal; 6] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];

/// How long what the program left may take to end: the watcher of a throwaway server removes its directory.
/// When process 1 ends, the kernel kills all of them.
const PATIENCE: Duration = Duration::from_secs(2);

/// True in process 1, whose duties somebody has to do.
pub fn is_needed() -> bool {
    getpid() == Pid::from_raw(1)
}

/// Runs this very program again with the same arguments, and returns the exit code: that of the program, or
/// 128 and the number of the signal that ended it.
///
/// # Errors
/// When it cannot be started, or the system refuses to tell of signals and children.
pub fn run() -> Result<u8> {
    let mut wanted = SigSet::empty();
    wanted.extend(PASSED_ON);
    wanted.add(Signal::SIGCHLD);
    // Blocked before the child is there: none is lost. The child begins with them blocked, too.
    wanted.thread_block()?;
    let signals = SignalFd::with_flags(&wanted, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let mut arguments = std::env::args_os();
    let mut command = Command::new(std::env::current_exe()?);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let program = command.args(arguments).spawn()?.id();
    let program = Pid::from_raw(i32::try_from(program).map_err(|_| Error::from(ErrorKind::InvalidData))?);
    let code = loop {
        pass_on(&signals, Some(program))?;
        if let Reaped { program: Some(code), .. } = reap(program)? {
            break code;
        }
        wait(&signals, PollTimeout::NONE)?;
    };
    let ended = Instant::now();
    while reap(program)?.left {
        let Some(time) = PATIENCE.checked_sub(ended.elapsed()) else { break };
        wait(&signals, PollTimeout::try_from(time).unwrap_or(PollTimeout::ZERO))?;
        pass_on(&signals, None)?;
    }
    Ok(code)
}

/// Takes signals whoever started us: a blocked one stays blocked in a program, and in all that it starts.
///
/// # Errors
/// When the system refuses.
pub fn unblock_signals() -> Result<()> {
    Ok(SigSet::all().thread_unblock()?)
}

/// What a round of reaping found.
struct Reaped {
    /// The program's exit code, when it is among those that ended.
    program: Option<u8>,
    /// True while there are other processes.
    left: bool,
}

/// Reaps all that have ended.
fn reap(program: Pid) -> Result<Reaped> {
    let mut code = None;
    let left = loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => break true,
            Ok(WaitStatus::Exited(pid, status)) if pid == program => code = u8::try_from(status & 0xff).ok(),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == program => {
                code = u8::try_from(128 + signal as i32).ok();
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => break false,
            Err(error) => return Err(error.into()),
        }
    };
    Ok(Reaped { program: code, left })
}

/// Reads all signals that have come, and sends them to the program while it is there.
fn pass_on(signals: &SignalFd, program: Option<Pid>) -> Result<()> {
    while let Some(got) = signals.read_signal()? {
        let signal = i32::try_from(got.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
        // A terminal signals its whole foreground group: the program has got it already.
        let from_terminal = got.ssi_code == nix::libc::SI_KERNEL;
        if let (Some(signal), Some(program)) = (signal, program)
            && signal != Signal::SIGCHLD
            && !from_terminal
        {
            match kill(program, signal) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Waits until there are signals to read, or this time is over.
fn wait(signals: &SignalFd, time: PollTimeout) -> Result<()> {
    match poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], time) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
