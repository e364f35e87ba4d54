//! What has to be done before the process may end, whatever became of its work: a database that was stopped for a
//! backup is started again.
//!
//! Work is dropped when a signal comes. Whoever owes something takes a [`Duty`] for as long as that lasts, and the
//! process waits for all of them. What fails is kept, and makes the process fail although its work went well.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::Error;

/// How often to look. A duty takes seconds.
const EVERY: Duration = Duration::from_millis(20);

static STATE: Mutex<State> = Mutex::new(State { open: 0, failures: Vec::new() });

struct State {
    open: usize,
    failures: Vec<Error>,
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something that is owed. It ends when this is dropped.
#[derive(Debug)]
#[must_use = "the process waits as long as this lives"]
pub struct Duty(());

/// Begins to owe something.
pub fn begin() -> Duty {
    state().open += 1;
    Duty(())
}

impl Duty {
    /// Says that it could not be done.
    pub fn failed(self, why: Error) {
        state().failures.push(why);
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        state().open -= 1;
    }
}

/// Waits until nothing is owed any more. Everything that is owed has its own time limit.
pub async fn all_done() {
    while state().open > 0 {
        tokio::time::sleep(EVERY).await;
    }
}

/// What could not be done, once.
pub fn failures() -> Vec<Error> {
    std::mem::take(&mut state().failures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[tokio::test]
    async fn the_process_waits_for_what_is_owed() {
        let duty = begin();
        let waiting = tokio::spawn(all_done());
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        duty.failed(Error::new(Kind::Failed, "a test of duties"));
        waiting.await.unwrap();
        assert!(failures().iter().any(|why| why.message() == "a test of duties"));
    }
}
