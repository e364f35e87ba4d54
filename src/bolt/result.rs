//! Queries, their records, and what is known at their end.

use super::connection::Connection;
use super::error::{Error, Result};
use super::message::{self, Begin, Request};
use super::packstream::{Malformed, Reader, Value};
use super::params::Params;

/// What the server tells at the end of a result.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    metadata: Value,
}

impl Summary {
    /// Everything that it tells, as a map.
    pub fn metadata(&self) -> &Value {
        &self.metadata
    }

    /// The bookmark, of a query that was its own transaction.
    pub fn bookmark(&self) -> Option<&str> {
        self.metadata.get("bookmark")?.as_str()
    }

    /// What was changed, as a map of counters; `None` when nothing was.
    pub fn stats(&self) -> Option<&Value> {
        self.metadata.get("stats")
    }

    /// One counter, such as `nodes-created`; 0 when the server does not tell it.
    pub fn counter(&self, name: &str) -> i64 {
        self.stats().and_then(|stats| stats.get(name)?.as_int()).unwrap_or(0)
    }
}

impl Connection {
    /// Runs a query in the transaction that was begun, or else as its own; gives the names of its fields.
    ///
    /// Records of an earlier query that were not read are skipped. After an error in a transaction, that
    /// transaction has to be rolled back first.
    ///
    /// # Errors
    /// [`Error::Server`] when the server does not run it.
    pub async fn run(&mut self, query: &str, params: &Params) -> Result<Vec<String>> {
        self.run_as(query, params, &Begin::default()).await
    }

    /// Runs a query as its own transaction of this kind: what schema commands and `CALL { } IN TRANSACTIONS` want.
    ///
    /// # Errors
    /// When a transaction is under way, and as for [`Connection::run`].
    pub async fn run_alone(&mut self, query: &str, params: &Params, own: &Begin) -> Result<Vec<String>> {
        if self.transaction {
            return Err(self.wire.protocol("a transaction is under way already"));
        }
        self.run_as(query, params, own).await
    }

    async fn run_as(&mut self, query: &str, params: &Params, own: &Begin) -> Result<Vec<String>> {
        self.in_order()?;
        if self.is_unsettled() {
            self.reset().await?;
        }
        self.discard().await?;
        self.summary = None;
        let own = (!self.transaction).then_some(own);
        let begins = self.send_begin()?;
        self.send(Request::Run, |out| message::run(query, params, own, out))?;
        let fetch = self.fetch;
        self.send(Request::Pull, |out| message::pull(fetch, out))?;
        self.flush().await?;
        if begins {
            self.answer().await?;
        }
        let metadata = self.answer().await?;
        let names = metadata.get("fields").and_then(Value::as_list).unwrap_or_default();
        self.result = true;
        Ok(names.iter().map(|name| name.as_str().unwrap_or_default().to_owned()).collect())
    }

    /// The next record: the raw PackStream list of its fields. `None`: there are no more, and the server said so.
    ///
    /// # Errors
    /// [`Error::Server`] when the query fails in the middle; no record that came before may be taken for a part of
    /// a whole result then.
    #[inline]
    pub async fn next(&mut self) -> Result<Option<&[u8]>> {
        if !self.result {
            return self.no_more().map(|()| None);
        }
        loop {
            let read = self.wire.receive(Request::Pull.doing()).await;
            self.broken |= read.is_err();
            let message = read?;
            if message::record(self.wire.bytes(message.clone())).is_some() {
                return Ok(message::record(self.wire.bytes(message)));
            }
            if self.page_end(message)? {
                self.pull().await?;
            } else {
                return Ok(None);
            }
        }
    }

    /// Why there is no record without asking the server.
    fn no_more(&self) -> Result<()> {
        self.usable()?;
        if self.is_unsettled() || self.summary.is_none() {
            return Err(self.wire.protocol("there is no result to read from"));
        }
        Ok(())
    }

    /// Reads the end of a page of records; `true` when there are more of them.
    fn page_end(&mut self, message: std::ops::Range<usize>) -> Result<bool> {
        let request = self.unanswered.front().copied().unwrap_or(Request::Pull);
        let answer = message::answer(self.wire.bytes(message));
        let answer = self.understood(answer)?;
        let metadata = self.success(request, answer)?;
        if metadata.get("has_more").and_then(Value::as_bool) == Some(true) {
            return Ok(true);
        }
        self.result = false;
        self.summary = Some(Summary { metadata });
        Ok(false)
    }

    async fn pull(&mut self) -> Result<()> {
        let fetch = self.fetch;
        self.send(Request::Pull, |out| message::pull(fetch, out))?;
        self.flush().await
    }

    /// Skips the records that were not read. A query that is its own transaction does all that it does anyway.
    ///
    /// # Errors
    /// As for [`Connection::next`].
    pub async fn discard(&mut self) -> Result<()> {
        while self.result {
            let read = self.wire.receive(self.doing()).await;
            self.broken |= read.is_err();
            let message = read?;
            if message::record(self.wire.bytes(message.clone())).is_none() && self.page_end(message)? {
                self.send(Request::Discard, message::discard)?;
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// What the server told at the end of the last result. `None` before all of its records were read.
    pub fn summary(&self) -> Option<&Summary> {
        self.summary.as_ref()
    }

    /// Runs a query and gives all of its records. For small answers.
    ///
    /// # Errors
    /// As for [`Connection::run`] and [`Connection::next`].
    pub async fn query(&mut self, query: &str, params: &Params) -> Result<Vec<Vec<Value>>> {
        self.run(query, params).await?;
        self.rows().await
    }

    /// All records that are left, with their values.
    ///
    /// # Errors
    /// As for [`Connection::next`].
    pub async fn rows(&mut self) -> Result<Vec<Vec<Value>>> {
        let mut rows = Vec::new();
        while let Some(record) = self.next().await? {
            match values(record) {
                Ok(row) => rows.push(row),
                Err(cause) => return Err(self.not_understood(cause)),
            }
        }
        Ok(rows)
    }

    /// A record that is no PackStream: the stream cannot be trusted any more.
    fn not_understood(&mut self, cause: Malformed) -> Error {
        self.broken = true;
        self.wire.malformed(cause)
    }
}

fn values(record: &[u8]) -> std::result::Result<Vec<Value>, Malformed> {
    let mut reader = Reader::new(record);
    let count = reader.list()?;
    let mut row = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        row.push(Value::read(&mut reader)?);
    }
    reader.end()?;
    Ok(row)
}
