//! The lease: one writer (backup, prune) at a time for each source.
//!
//! Nobody ever compares wall clocks. The holder rewrites the lease at every heartbeat; whoever waits
//! measures on its own monotonic clock for how long the lease's version has stayed the same, and
//! takes over after a whole time to live. A holder counts its own time to live from *before* its
//! last successful write, so it always notices a loss earlier than anybody can take over.
//!
//! Two ways to hold it: conditional writes on one key, and tickets where conditional writes lose
//! races. A run that holds one looks for the other as well, so runs that disagree about the store
//! still exclude each other.

mod conditional;
mod record;
mod tickets;
mod watched;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::JoinHandle;

use super::loss::{self, Loss, LossSender};
use super::{Catalog, Run};
use crate::clock::{Clock, Mono};
use crate::error::{Error, Kind, Result};

/// After this time without a heartbeat the lease may be taken over.
pub const LEASE_TTL: Duration = Duration::from_secs(60);
/// The holder rewrites the lease this often.
pub const LEASE_HEARTBEAT: Duration = Duration::from_secs(15);

/// How a lease is taken and kept.
#[derive(Debug, Clone)]
pub struct LeaseOptions {
    /// Time to live; the same for all runs of a source.
    pub ttl: Duration,
    /// Time between heartbeats, well below the time to live.
    pub heartbeat: Duration,
    /// How often a waiter looks.
    pub poll: Duration,
    /// Wait for at most this long; zero: do not wait; `None`: until it is decided, which takes
    /// about one time to live.
    pub wait: Option<Duration>,
    /// The store's conditional writes lose races: use tickets.
    pub weak: bool,
}

impl Default for LeaseOptions {
    fn default() -> Self {
        LeaseOptions {
            ttl: LEASE_TTL,
            heartbeat: LEASE_HEARTBEAT,
            poll: Duration::from_secs(5),
            wait: None,
            weak: false,
        }
    }
}

/// The outcome of a renewal that reached the store.
#[derive(Debug)]
enum Renewal {
    /// The lease is still ours, and was rewritten.
    Ours,
    /// It is not, and why.
    Lost(String),
}

/// How the lease is held.
#[derive(Debug)]
enum Grip {
    Conditional,
    Ticket(u32),
}

/// What the guard and its heartbeat share.
#[derive(Debug)]
struct Shared {
    catalog: Catalog,
    run: Run,
    options: LeaseOptions,
    clock: Clock,
    grip: Grip,
    /// One renewal at a time, so that they do not refuse each other.
    renewing: tokio::sync::Mutex<()>,
    /// Just before the last write that succeeded.
    renewed: Mutex<Mono>,
    loss: LossSender,
}

/// A held lease. A background task keeps it; dropping the guard without [`Lease::release`] leaves
/// it to run out, as a crash does.
#[derive(Debug)]
pub struct Lease {
    shared: Arc<Shared>,
    loss: Loss,
    heartbeat: JoinHandle<()>,
    warnings: Vec<String>,
}

impl Lease {
    /// Takes the lease of a source. Fails with [`Kind::Leased`] as soon as it is clear that another
    /// run holds it and lives (its heartbeat was seen), or when the wait is over.
    pub async fn acquire(
        catalog: &Catalog,
        run: &Run,
        options: &LeaseOptions,
        clock: Clock,
    ) -> Result<Lease> {
        let mut warnings = Vec::new();
        let waiter = watched::Waiter::new(clock, options);
        let mut renewed = None;
        if !options.weak {
            renewed = conditional::acquire(catalog, run, &waiter, &mut warnings).await?;
        }
        let (grip, renewed) = match renewed {
            Some(renewed) => (Grip::Conditional, renewed),
            None => {
                warnings.push(format!(
                    "conditional writes of {} lose races; the lease of {} uses one key per run instead",
                    catalog.store().url(),
                    catalog.source()
                ));
                let (number, renewed) = tickets::acquire(catalog, run, &waiter, &mut warnings).await?;
                (Grip::Ticket(number), renewed)
            }
        };
        let (sender, loss) = loss::channel(Kind::Leased);
        let shared = Arc::new(Shared {
            catalog: catalog.clone(),
            run: run.clone(),
            options: options.clone(),
            clock,
            grip,
            renewing: tokio::sync::Mutex::new(()),
            renewed: Mutex::new(renewed),
            loss: sender,
        });
        let heartbeat = tokio::spawn(keep(Arc::clone(&shared)));
        Ok(Lease { shared, loss, heartbeat, warnings })
    }

    /// What should be known about how it was taken: a take-over, a weak store.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The run that holds it.
    pub fn run(&self) -> &Run {
        &self.shared.run
    }

    /// The clock that it is measured by.
    pub fn clock(&self) -> Clock {
        self.shared.clock
    }

    /// Fails unless this is the lease of that catalog's source.
    pub fn covers(&self, catalog: &Catalog) -> Result<()> {
        let (ours, theirs) = (self.shared.catalog.source(), catalog.source());
        if ours == theirs {
            return Ok(());
        }
        Err(Error::new(Kind::Failed, format!("the lease of {ours} is no lease of {theirs}")))
    }

    /// A flag to wait for: the lease was lost.
    pub fn loss(&self) -> Loss {
        self.loss.clone()
    }

    /// Fails with [`Kind::Leased`] when the loss is known already; asks nobody.
    pub fn check(&self) -> Result<()> {
        self.shared.loss.error().map_or(Ok(()), Err)
    }

    /// Re-reads the lease and rewrites it: afterwards it is ours for a whole time to live. Fails with
    /// [`Kind::Leased`] when it is no longer ours, with [`Kind::Store`] when the store cannot tell.
    pub async fn fence(&self) -> Result<()> {
        loop {
            self.check()?;
            match self.shared.renew().await {
                Ok(()) => return self.check(),
                Err(error) if self.shared.left().is_zero() => return Err(error),
                Err(_) => self.shared.clock.sleep(self.shared.retry()).await,
            }
        }
    }

    /// The store's clock, read off the lease that [`Lease::fence`] has just rewritten.
    pub async fn store_now(&self) -> Result<DateTime<Utc>> {
        self.fence().await?;
        let shared = &self.shared;
        let key = match shared.grip {
            Grip::Conditional => shared.catalog.keys().lease(),
            Grip::Ticket(number) => shared.catalog.keys().ticket(number, &shared.run.id),
        };
        let entry = shared.catalog.store().head(&key).await?;
        entry.map(|entry| entry.modified).ok_or_else(|| {
            Error::new(Kind::Leased, format!("the lease {key} is gone")).hint("run the command again")
        })
    }

    /// Gives the lease back, so that a waiter goes on at once.
    pub async fn release(self) -> Result<()> {
        let shared = &self.shared;
        // A renewal that is under way comes to its end first: cut off, it would leave half of what it was writing.
        let _renewing = shared.renewing.lock().await;
        self.heartbeat.abort();
        if shared.loss.error().is_some() {
            return Ok(());
        }
        match shared.grip {
            Grip::Conditional => conditional::release(&shared.catalog, &shared.run).await,
            Grip::Ticket(number) => tickets::release(&shared.catalog, &shared.run, number).await,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}

impl Shared {
    /// How long the lease is ours if no renewal succeeds any more.
    fn left(&self) -> Duration {
        let renewed = *self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        (renewed + self.options.ttl).since(self.clock.now())
    }

    /// How long to wait after a renewal that failed.
    fn retry(&self) -> Duration {
        (self.options.heartbeat / 5).max(Duration::from_millis(1)).min(self.left())
    }

    /// Rewrites the lease; an error means that the store could not tell. Gives up when the time to
    /// live is over, and then it counts as lost.
    async fn renew(&self) -> Result<()> {
        let expired = async {
            // The deadline moves when another renewal succeeds meanwhile.
            while !self.left().is_zero() {
                self.clock.sleep(self.left()).await;
            }
        };
        let attempt = async {
            let _renewing = self.renewing.lock().await;
            let before = self.clock.now();
            let renewal = match self.grip {
                Grip::Conditional => conditional::renew(&self.catalog, &self.run).await?,
                Grip::Ticket(number) => tickets::renew(&self.catalog, &self.run, number).await?,
            };
            match renewal {
                Renewal::Ours if self.left().is_zero() => {}
                Renewal::Ours => *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = before,
                Renewal::Lost(reason) => {
                    self.loss.raise(format!("the lease of {} was lost: {reason}", self.catalog.source()))
                }
            }
            Ok(())
        };
        let result = tokio::select! {
            biased;
            result = attempt => result,
            () = expired => Ok(()),
        };
        if self.left().is_zero() {
            let ttl = humantime::format_duration(self.options.ttl);
            self.loss.raise(format!(
                "the lease of {} was lost: it could not be renewed for {ttl}",
                self.catalog.source()
            ));
        }
        result
    }
}

/// The heartbeat: renews until the lease is lost or the guard is dropped.
async fn keep(shared: Arc<Shared>) {
    let mut pause = shared.options.heartbeat;
    loop {
        shared.clock.sleep(pause).await;
        let result = shared.renew().await;
        if shared.loss.error().is_some() {
            return;
        }
        pause = if result.is_ok() { shared.options.heartbeat } else { shared.retry() };
    }
}
