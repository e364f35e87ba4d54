//! Keeps the holder's transaction alive, and proves at the end that it was.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::engines::postgres::connect::Session;
use crate::error::{Error, Kind, Result};

/// How long a sign of life may take. The server does nothing else in this session.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// The proof that the holder's transaction was alive from the snapshot to its release.
#[derive(Debug)]
#[non_exhaustive]
pub struct Released {
    /// How long it was held.
    pub held: Duration,
}

/// The session with its open transaction, and the task that asks it for signs of life.
#[derive(Debug)]
pub struct Keeper {
    session: Arc<Session>,
    /// The start of the transaction, by the server's clock: the same as long as it is the same.
    started: SystemTime,
    began: std::time::Instant,
    task: JoinHandle<()>,
    lost: watch::Receiver<Option<String>>,
}

impl Keeper {
    /// Starts to ask. The transaction must be open.
    pub async fn start(session: Session, heartbeat: Duration) -> Result<Keeper> {
        let started = transaction_start(&session).await?;
        let session = Arc::new(session);
        let (tell, lost) = watch::channel(None);
        let asked = Arc::clone(&session);
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(heartbeat).await;
                if let Err(error) = same_transaction(&asked, started).await {
                    // A receiver lives as long as the keeper; without one nobody wants to know.
                    let _ = tell.send(Some(error.chain()));
                    return;
                }
            }
        });
        Ok(Keeper { session, started, began: std::time::Instant::now(), task, lost })
    }

    /// The server's process.
    pub fn pid(&self) -> i32 {
        self.session.pid()
    }

    /// Returns when the session is lost.
    pub async fn lost(&self) -> Error {
        let mut lost = self.lost.clone();
        let cause = match lost.wait_for(Option::is_some).await {
            Ok(cause) => cause.clone().unwrap_or_default(),
            Err(_) => "its watcher ended".into(),
        };
        void(&self.session, cause)
    }

    /// Proves that the transaction is still the same, and ends it.
    pub async fn release(self) -> Result<Released> {
        self.task.abort();
        same_transaction(&self.session, self.started)
            .await
            .map_err(|error| void(&self.session, error.chain()))?;
        let held = self.began.elapsed();
        self.session.batch("COMMIT").await.map_err(|error| void(&self.session, error.chain()))?;
        Ok(Released { held })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn void(session: &Session, cause: String) -> Error {
    Error::new(
        Kind::Unreachable,
        format!("the snapshot on {} was lost before the backup was complete", session.connection()),
    )
    .because(cause)
    .hint("run the backup again; look into the server's log for what ended the session")
}

async fn transaction_start(session: &Session) -> Result<SystemTime> {
    Ok(session.one("SELECT pg_catalog.transaction_timestamp()", &[]).await?.get(0))
}

/// An aborted transaction refuses every query; another transaction has another start.
async fn same_transaction(session: &Session, started: SystemTime) -> Result<()> {
    let answer = tokio::time::timeout(ANSWER_PATIENCE, transaction_start(session)).await;
    match answer {
        Ok(Ok(now)) if now == started => Ok(()),
        Ok(Ok(_)) => Err(Error::new(Kind::Unreachable, "the holder's transaction is not the same any more")),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(Error::new(
            Kind::Unreachable,
            format!("the holder's session did not answer within {} s", ANSWER_PATIENCE.as_secs()),
        )),
    }
}
