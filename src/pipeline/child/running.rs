//! The groups of all children that run now, for a process that has to end at once.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

static GROUPS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// How long children that were told to stop are waited for: longer than a child's own patience, after which
/// it is killed.
const SETTLING: Duration = Duration::from_secs(6);

/// A child's place among those that run. Stays taken until [`Running::ended`] says that it was reaped.
#[derive(Debug, Default)]
pub(super) struct Running(Option<i32>);

impl Running {
    pub(super) fn begin(pid: Pid) -> Running {
        GROUPS.lock().unwrap_or_else(PoisonError::into_inner).insert(pid.as_raw());
        Running(Some(pid.as_raw()))
    }

    pub(super) fn ended(&self) {
        if let Some(pid) = self.0 {
            GROUPS.lock().unwrap_or_else(PoisonError::into_inner).remove(&pid);
        }
    }
}

/// Waits until every child that was told to stop has ended, and kills those that take longer.
pub async fn settle() {
    let began = Instant::now();
    while began.elapsed() < SETTLING {
        if GROUPS.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    kill_all();
}

/// Kills every child that runs, with its group. For the end of the process: nobody waits for them.
pub fn kill_all() {
    for pid in &*GROUPS.lock().unwrap_or_else(PoisonError::into_inner) {
        // One that has just ended is nobody's loss.
        let _ = killpg(Pid::from_raw(*pid), Signal::SIGKILL);
    }
}
