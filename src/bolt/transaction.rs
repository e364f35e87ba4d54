//! Transactions.

use super::connection::Connection;
use super::error::Result;
use super::message::{self, Begin, Request};
use super::packstream::Value;

impl Connection {
    /// Begins a transaction, with its first query or commit: BEGIN travels together with that, and what is wrong
    /// with it (a database that is not there) comes up there.
    ///
    /// # Errors
    /// When a transaction is under way already, or the connection is of no more use.
    pub async fn begin(&mut self, begin: &Begin) -> Result<()> {
        self.usable()?;
        if self.is_unsettled() {
            self.reset().await?;
        }
        self.discard().await?;
        if self.transaction {
            return Err(self.wire.protocol("a transaction is under way already"));
        }
        self.beginning = Some(begin.clone());
        self.transaction = true;
        Ok(())
    }

    /// Commits, and gives the bookmark of the state that the database then has. Records that were not read are
    /// skipped.
    ///
    /// # Errors
    /// [`Error::Server`](super::Error::Server) when the server rolled back. After any other error it may have
    /// committed or not.
    pub async fn commit(&mut self) -> Result<String> {
        self.in_order()?;
        if !self.transaction {
            return Err(self.wire.protocol("there is no transaction to commit"));
        }
        self.discard().await?;
        let begins = self.send_begin()?;
        self.send(Request::Commit, message::commit)?;
        // Whatever the answer is: this transaction has ended.
        self.transaction = false;
        self.flush().await?;
        if begins {
            self.answer().await?;
        }
        let metadata = self.answer().await?;
        match metadata.get("bookmark").and_then(Value::as_str) {
            Some(bookmark) => Ok(bookmark.to_owned()),
            None => Err(self.wire.protocol("a commit gave no bookmark")),
        }
    }

    /// Rolls back. Does nothing when there is no transaction.
    ///
    /// # Errors
    /// When the connection is of no more use; the server then rolls back by itself.
    pub async fn rollback(&mut self) -> Result<()> {
        self.usable()?;
        if self.is_unsettled() || (self.transaction && self.result) {
            // Also what a query still does is ended by it.
            return self.reset().await;
        }
        let begun = std::mem::take(&mut self.transaction) && self.beginning.take().is_none();
        if begun {
            self.send(Request::Rollback, message::rollback)?;
            self.flush().await?;
            self.answer().await?;
        }
        Ok(())
    }

    /// Fails when a transaction cannot go on.
    pub(super) fn in_order(&self) -> Result<()> {
        self.usable()?;
        if self.transaction && self.is_unsettled() {
            return Err(self.wire.protocol("the transaction failed before, and has to be rolled back"));
        }
        Ok(())
    }

    /// Sends the BEGIN that was put off, if there is one.
    pub(super) fn send_begin(&mut self) -> Result<bool> {
        let Some(begin) = self.beginning.take() else { return Ok(false) };
        self.send(Request::Begin, |out| message::begin(&begin, out))?;
        Ok(true)
    }
}
