//! An open session: the driver's client, the task that moves its bytes, and where it leads.

use std::time::Duration;

use futures_util::future::poll_fn;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, CancelToken, Client, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::classify::{SqlProblem, problem, summary};
use crate::engines::postgres::resolve::Connection;
use crate::engines::postgres::settings;
use crate::error::{Error, Kind, Result};

/// How long an orderly end may take.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// An open session. Dropping it closes the connection.
pub struct Session {
    client: Client,
    driver: JoinHandle<Result<(), tokio_postgres::Error>>,
    connection: Connection,
    tls: MakeRustlsConnect,
    version: u32,
    pid: i32,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({}, pid {})", self.connection, self.pid)
    }
}

impl Session {
    /// Starts the task that moves bytes, and asks the server for its version and process.
    pub(super) async fn start<S, T>(
        client: Client,
        mut driver: tokio_postgres::Connection<S, T>,
        connection: Connection,
        tls: MakeRustlsConnect,
    ) -> Result<Session>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let driver = tokio::spawn(async move {
            loop {
                match poll_fn(|cx| driver.poll_message(cx)).await {
                    Some(Ok(AsyncMessage::Notice(notice))) => {
                        tracing::debug!(severity = notice.severity(), message = notice.message(), "notice");
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error),
                    None => return Ok(()),
                }
            }
        });
        let mut session = Session { client, driver, connection, tls, version: 0, pid: 0 };
        let sql =
            "SELECT pg_catalog.current_setting('server_version_num')::int4, pg_catalog.pg_backend_pid()";
        let row = session.one(sql, &[]).await?;
        session.version = u32::try_from(row.get::<_, i32>(0)).unwrap_or_default();
        session.pid = row.get(1);
        Ok(session)
    }

    /// The driver's client, for what the helpers do not offer (COPY).
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The connection, nailed to the server that was reached.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// `server_version_num`, as in 150018.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The major version, as in 15.
    pub fn major(&self) -> u32 {
        self.version / 10_000
    }

    /// The server's process for this session.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// True when the connection is gone.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Makes this session a reader: pinned settings, and the archive's encoding if given.
    ///
    /// With an encoding other than UTF8, only COPY data comes in it; use no other text afterwards.
    pub async fn pin_settings(&self, client_encoding: Option<&str>) -> Result<()> {
        self.batch(&settings::reader_statements(self.version, client_encoding)).await
    }

    /// Runs statements without parameters and without results.
    pub async fn batch(&self, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).await.map_err(|cause| self.explain(cause))
    }

    /// Runs a query.
    pub async fn query(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        self.client.query(sql, parameters).await.map_err(|cause| self.explain(cause))
    }

    /// Runs a query that gives exactly one row.
    pub async fn one(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Row> {
        self.client.query_one(sql, parameters).await.map_err(|cause| self.explain(cause))
    }

    /// Runs a query that gives at most one row.
    pub async fn opt(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>> {
        self.client.query_opt(sql, parameters).await.map_err(|cause| self.explain(cause))
    }

    /// Turns an error of the driver into one that names the server and has a hint.
    pub fn explain(&self, cause: tokio_postgres::Error) -> Error {
        let connection = &self.connection;
        let said = summary(&cause);
        match problem(&cause) {
            SqlProblem::Lost => {
                Error::new(Kind::Unreachable, format!("the session on {connection} was lost: {said}"))
                    .hint("look into the server's log; it may have restarted, or the network broke")
            }
            SqlProblem::Forbidden => {
                Error::new(Kind::Unreachable, format!("{connection} refused a statement: {said}")).hint(
                    format!(
                        "give the role the right, for a backup: GRANT pg_read_all_data TO \"{}\"",
                        connection.user
                    ),
                )
            }
            SqlProblem::LockTimeout | SqlProblem::Conflict => Error::new(
                Kind::Failed,
                format!("a statement on {connection} gave way to another session: {said}"),
            )
            .hint("run it again when no DDL runs"),
            SqlProblem::Exhausted => {
                Error::new(Kind::Unreachable, format!("{connection} ran out of something: {said}"))
                    .hint("give the server more disk, memory or connections, and look into its log")
            }
            SqlProblem::Missing | SqlProblem::Other => {
                Error::new(Kind::Failed, format!("a statement failed on {connection}: {said}"))
            }
        }
    }

    /// A handle that cancels this session's running statement.
    pub fn canceller(&self) -> Canceller {
        Canceller { token: self.client.cancel_token(), tls: self.tls.clone() }
    }

    /// Ends the session in order: the server has seen its end when this returns.
    pub async fn close(self) -> Result<()> {
        let Session { client, mut driver, connection, .. } = self;
        drop(client);
        let ended = tokio::time::timeout(CLOSE_PATIENCE, &mut driver).await;
        match ended {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(cause))) => Err(Error::new(
                Kind::Unreachable,
                format!("the session on {connection} did not end in order: {}", summary(&cause)),
            )),
            Ok(Err(cause)) => {
                Err(Error::new(Kind::Failed, format!("the driver of {connection} failed")).because(cause))
            }
            Err(_) => {
                driver.abort();
                Ok(())
            }
        }
    }
}

/// Cancels a running statement over a connection of its own, with the same TLS.
#[derive(Clone)]
pub struct Canceller {
    token: CancelToken,
    tls: MakeRustlsConnect,
}

impl Canceller {
    /// Asks the server to cancel. Success means that the request was delivered, no more.
    pub async fn cancel(&self) -> Result<()> {
        self.token.cancel_query(self.tls.clone()).await.map_err(|cause| {
            Error::new(Kind::Unreachable, format!("a statement cannot be cancelled: {}", summary(&cause)))
        })
    }
}
