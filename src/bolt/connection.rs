//! A connection, from the first byte to the last.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::config::Config;
use super::error::{Error, Result};
use super::handshake::{Refused, Version, handshake};
use super::message::{self, Answer, Begin, Request};
use super::packstream::Value;
use super::result::Summary;
use super::stream::Stream;
use super::wire::Wire;

/// A farewell takes no longer.
const FAREWELL: Duration = Duration::from_secs(2);

/// A connection to a server, for one thing at a time.
///
/// After an error for which [`Error::leaves_connection`] is false it is of no more use. After any other the next
/// request resets it by itself, and what was begun is rolled back by the server. Dropping a future of it in the
/// middle does no harm either: what it had begun is reset before the next request.
pub struct Connection {
    pub(super) wire: Wire,
    version: Version,
    agent: String,
    pub(super) fetch: u32,
    /// Requests that were written, in order, without those that were answered.
    pub(super) unanswered: VecDeque<Request>,
    /// A transaction that is begun with its first query.
    pub(super) beginning: Option<Begin>,
    /// A transaction is begun, or will be.
    pub(super) transaction: bool,
    /// A query was run, and not all of its records were read.
    pub(super) result: bool,
    /// The server ignores everything but RESET.
    pub(super) failed: bool,
    /// The connection is of no more use.
    pub(super) broken: bool,
    /// Of the query that was run last, when all of its records were read.
    pub(super) summary: Option<Summary>,
}

impl Connection {
    /// Connects, agrees on TLS and a version, and logs the user on.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Tls`], [`Error::NotBolt`], [`Error::UnsupportedVersion`], [`Error::Timeout`];
    /// [`Error::Server`] for a wrong password.
    pub async fn open(config: &Config) -> Result<Connection> {
        let place: Arc<str> = config.place().into();
        let deadline = Instant::now() + config.connect_timeout;
        let limited = Limited { place: &place, deadline, limit: config.connect_timeout };
        let mut stream = limited.run("it was connected to", Stream::open(config, &place)).await?;
        let agreed = async {
            handshake(&mut stream).await.map_err(|refused| match refused {
                Refused::Old(offered) => Error::UnsupportedVersion { place: Arc::clone(&place), offered },
                Refused::Other(what, hint) => Error::NotBolt { place: Arc::clone(&place), what, hint },
                Refused::Io(cause) => Error::Connect { place: Arc::clone(&place), cause },
            })
        };
        let version = limited.run("a version was agreed on", agreed).await?;
        let mut connection = Connection {
            wire: Wire::new(stream, Arc::clone(&place), config.connect_timeout),
            version,
            agent: String::new(),
            fetch: config.fetch.max(1),
            unanswered: VecDeque::new(),
            beginning: None,
            transaction: false,
            result: false,
            failed: false,
            broken: false,
            summary: None,
        };
        limited.run("the user was logged on", connection.log_on(config)).await?;
        Ok(connection)
    }

    async fn log_on(&mut self, config: &Config) -> Result<()> {
        let version = self.version;
        self.send(Request::Hello, |out| message::hello(config, version, out))?;
        if self.version.minor > 0 {
            self.send(Request::Logon, |out| message::logon(config, out))?;
        }
        self.flush().await?;
        let metadata = self.answer().await?;
        if self.version.minor > 0 {
            self.answer().await?;
        }
        self.agent = metadata.get("server").and_then(Value::as_str).unwrap_or_default().to_owned();
        let hint = metadata.get("hints").and_then(|hints| hints.get("connection.recv_timeout_seconds"));
        let asked = hint.and_then(Value::as_int).and_then(|seconds| u64::try_from(seconds).ok());
        let asked = asked.filter(|seconds| *seconds > 0).map(Duration::from_secs);
        self.wire.idle = config.idle_timeout.or(asked).unwrap_or(Config::IDLE);
        Ok(())
    }

    /// What the server calls itself, such as `Neo4j/5.26.30`.
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// The server's version, such as `5.26.30`.
    pub fn server_version(&self) -> &str {
        self.agent.split_once('/').map_or(self.agent.as_str(), |(_, version)| version)
    }

    /// The version of the protocol.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The server as `host:port`.
    pub fn place(&self) -> &str {
        &self.wire.place
    }

    /// The server may be silent for so long.
    pub fn idle_timeout(&self) -> Duration {
        self.wire.idle
    }

    /// From the next query on, so many records are asked for at once.
    pub fn set_fetch(&mut self, records: u32) {
        self.fetch = records.max(1);
    }

    /// Is it of no more use?
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Says goodbye and closes. A server that does not listen is left after two seconds.
    pub async fn close(mut self) {
        if !self.broken && self.wire.queue(message::goodbye).is_ok() {
            let _ = timeout(FAREWELL, self.wire.farewell()).await;
        }
    }

    /// Ends whatever is under way, and rolls a transaction back.
    ///
    /// # Errors
    /// When the connection is of no more use.
    pub async fn reset(&mut self) -> Result<()> {
        self.usable()?;
        self.send(Request::Reset, message::reset)?;
        // Until the answer is there, every other request has to begin here again.
        self.failed = true;
        self.flush().await?;
        while let Some(request) = self.unanswered.front().copied() {
            match (request, self.read_answer(request).await?) {
                (Request::Reset, Answer::Success(_)) if self.unanswered.is_empty() => break,
                (Request::Reset, Answer::Failure { code, message }) => {
                    self.broken = true;
                    return Err(Error::Server { place: Arc::clone(&self.wire.place), code, message });
                }
                // What was asked before the reset may have been done or ignored.
                _ => {}
            }
        }
        (self.failed, self.transaction, self.result) = (false, false, false);
        self.beginning = None;
        Ok(())
    }

    /// Fails when the connection is of no more use.
    pub(super) fn usable(&self) -> Result<()> {
        if self.broken { Err(self.wire.protocol("the connection failed before")) } else { Ok(()) }
    }

    /// Has a request failed, or was it given up in the middle?
    pub(super) fn is_unsettled(&self) -> bool {
        self.failed || (!self.result && !self.unanswered.is_empty())
    }

    /// Makes a request, to be written by the next flush.
    pub(super) fn send(&mut self, request: Request, write: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        self.wire.queue(write)?;
        self.unanswered.push_back(request);
        Ok(())
    }

    /// What is waited for.
    pub(super) fn doing(&self) -> &'static str {
        self.unanswered.front().map_or("nothing was asked", |request| request.doing())
    }

    /// Writes the requests.
    pub(super) async fn flush(&mut self) -> Result<()> {
        let flushed = self.wire.flush(self.doing()).await;
        self.broken |= flushed.is_err();
        flushed
    }

    /// Reads the answer to the oldest request, and skips records before it.
    async fn read_answer(&mut self, request: Request) -> Result<Answer> {
        loop {
            let read = self.wire.receive(request.doing()).await;
            self.broken |= read.is_err();
            let bytes = self.wire.bytes(read?);
            if message::record(bytes).is_none() {
                let answer = message::answer(bytes);
                return self.understood(answer);
            }
        }
    }

    /// Takes the oldest request off the list, for this is its answer.
    pub(super) fn understood(
        &mut self,
        answer: std::result::Result<Answer, super::packstream::Malformed>,
    ) -> Result<Answer> {
        self.unanswered.pop_front();
        answer.map_err(|cause| {
            self.broken = true;
            self.wire.malformed(cause)
        })
    }

    /// The metadata of a success; what is none becomes an error.
    pub(super) fn success(&mut self, request: Request, answer: Answer) -> Result<Value> {
        match answer {
            Answer::Success(metadata) => Ok(metadata),
            Answer::Failure { code, message } => {
                (self.failed, self.result) = (true, false);
                self.broken |= matches!(request, Request::Hello | Request::Logon);
                Err(Error::Server { place: Arc::clone(&self.wire.place), code, message })
            }
            Answer::Ignored => {
                (self.failed, self.result) = (true, false);
                Err(self.wire.protocol(format!("a request was ignored while {}", request.doing())))
            }
        }
    }

    /// Reads the answer to the oldest request, which must be a success.
    pub(super) async fn answer(&mut self) -> Result<Value> {
        let Some(request) = self.unanswered.front().copied() else {
            return Err(self.wire.protocol("nothing was asked"));
        };
        let answer = self.read_answer(request).await?;
        self.success(request, answer)
    }
}

/// Without its buffers: they have had the password.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("place", &self.wire.place)
            .field("version", &self.version)
            .field("agent", &self.agent)
            .field("unanswered", &self.unanswered)
            .field("transaction", &self.transaction)
            .field("result", &self.result)
            .field("failed", &self.failed)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

/// The time that opening may take.
struct Limited<'a> {
    place: &'a Arc<str>,
    deadline: Instant,
    limit: Duration,
}

impl Limited<'_> {
    async fn run<T>(&self, doing: &'static str, step: impl Future<Output = Result<T>>) -> Result<T> {
        let late = |_| Error::Timeout { place: Arc::clone(self.place), doing, limit: self.limit };
        timeout_at(self.deadline, step).await.map_err(late)?
    }
}
