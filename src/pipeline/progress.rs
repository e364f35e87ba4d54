//! Counters of a run that whoever shows progress may read at any time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Shared counters: what has been read, stored and counted so far, and in which phase the run is.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    raw: AtomicU64,
    stored: AtomicU64,
    expected: AtomicU64,
    phase: Mutex<String>,
    backup: Mutex<String>,
    notes: Mutex<Vec<String>>,
}

impl Progress {
    /// Adds raw bytes that passed.
    pub fn add_raw(&self, bytes: u64) {
        self.0.raw.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds bytes that the store has taken or given.
    pub fn add_stored(&self, bytes: u64) {
        self.0.stored.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Says how many raw bytes are expected in this phase (0: unknown), and starts counting anew.
    pub fn expect_raw(&self, bytes: u64) {
        self.0.raw.store(0, Ordering::Relaxed);
        self.0.stored.store(0, Ordering::Relaxed);
        self.0.expected.store(bytes, Ordering::Relaxed);
    }

    /// Names the phase that begins now.
    pub fn phase(&self, name: &str) {
        *self.0.phase.lock().unwrap_or_else(PoisonError::into_inner) = name.to_owned();
    }

    /// Names the backup that is made or read, as soon as it has an id.
    pub fn backup(&self, id: &str) {
        *self.0.backup.lock().unwrap_or_else(PoisonError::into_inner) = id.to_owned();
    }

    /// Leaves a line for the person who watches (a retry, a warning).
    pub fn note(&self, line: impl Into<String>) {
        self.0.notes.lock().unwrap_or_else(PoisonError::into_inner).push(line.into());
    }

    /// Takes the lines left since the last call.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Raw bytes so far.
    pub fn raw(&self) -> u64 {
        self.0.raw.load(Ordering::Relaxed)
    }

    /// Stored bytes so far.
    pub fn stored(&self) -> u64 {
        self.0.stored.load(Ordering::Relaxed)
    }

    /// Raw bytes expected in this phase; 0 when unknown.
    pub fn expected(&self) -> u64 {
        self.0.expected.load(Ordering::Relaxed)
    }

    /// The backup's id; empty before it has one.
    pub fn backup_id(&self) -> String {
        self.0.backup.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The phase's name.
    pub fn phase_name(&self) -> String {
        self.0.phase.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
