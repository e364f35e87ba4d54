//! Whole messages over a stream: written and read at once, so that neither side waits for the other for ever.

use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::time::timeout;

use super::chunk::{self, Inbox, LONGEST_MESSAGE};
use super::error::{Error, Result};
use super::packstream::Malformed;
use super::stream::Stream;

/// A buffer for requests that is longer than this is given back after use.
const KEPT: usize = 1 << 20;

/// A connection that carries messages.
pub(super) struct Wire {
    stream: Stream,
    /// The server, as messages name it.
    pub(super) place: Arc<str>,
    /// How long the server may be silent.
    pub(super) idle: Duration,
    inbox: Inbox,
    /// Requests in chunks that are not written yet, from `written` on.
    out: Vec<u8>,
    written: usize,
    message: Vec<u8>,
    /// The server closed its side, or the connection broke.
    ended: bool,
    cause: Option<std::io::Error>,
}

impl Wire {
    /// Takes a stream after the handshake.
    pub(super) fn new(stream: Stream, place: Arc<str>, idle: Duration) -> Wire {
        Wire {
            stream,
            place,
            idle,
            inbox: Inbox::new(),
            out: Vec::new(),
            written: 0,
            message: Vec::new(),
            ended: false,
            cause: None,
        }
    }

    /// Makes a request; it is written with the next [`Wire::flush`].
    pub(super) fn queue(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        self.message.clear();
        write(&mut self.message);
        let length = self.message.len();
        if length > LONGEST_MESSAGE {
            self.message = Vec::new();
            return Err(self.protocol(format!("a request of {length} bytes is too long to be sent")));
        }
        chunk::write(&self.message, &mut self.out);
        self.message.clear();
        self.message.shrink_to(KEPT);
        Ok(())
    }

    /// Writes all requests, and reads what comes meanwhile. A server that ended is found out by the next read, for
    /// it may have said why.
    pub(super) async fn flush(&mut self, doing: &'static str) -> Result<()> {
        let idle = self.idle;
        while !self.ended {
            match timeout(idle, poll_fn(|cx| self.poll_exchange(cx))).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(_) => return Err(self.silent(doing)),
            }
        }
        self.out.clear();
        self.out.shrink_to(KEPT);
        self.written = 0;
        Ok(())
    }

    /// Ready when something went over the wire; `true` when all is written.
    fn poll_exchange(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let stream = Pin::new(&mut self.stream);
        if self.written < self.out.len() {
            match stream.poll_write(cx, &self.out[self.written..]) {
                Poll::Ready(Ok(0)) => return self.end(None),
                Poll::Ready(Ok(bytes)) => {
                    self.written += bytes;
                    return Poll::Ready(false);
                }
                Poll::Ready(Err(error)) => return self.end(Some(error)),
                Poll::Pending => {}
            }
        } else {
            match stream.poll_flush(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(true),
                Poll::Ready(Err(error)) => return self.end(Some(error)),
                Poll::Pending => {}
            }
        }
        if self.inbox.is_full() {
            return Poll::Pending;
        }
        self.poll_fill(cx).map(|()| false)
    }

    fn end(&mut self, cause: Option<std::io::Error>) -> Poll<bool> {
        self.ended = true;
        self.cause = cause;
        Poll::Ready(false)
    }

    /// Ready when more came, or nothing more will.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(space) = self.inbox.space() else {
            let _ = self.end(Some(std::io::Error::other("a message of more than 1 GiB came")));
            return Poll::Ready(());
        };
        let mut buffer = ReadBuf::new(space);
        match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => {
                let came = buffer.filled().len();
                self.inbox.came(came);
                if came == 0 {
                    self.ended = true;
                }
            }
            Poll::Ready(Err(error)) => {
                // TLS that ends without a farewell is an end like any other.
                let cause = (error.kind() != std::io::ErrorKind::UnexpectedEof).then_some(error);
                let _ = self.end(cause);
            }
        }
        Poll::Ready(())
    }

    /// Writes what is left, and closes this side.
    pub(super) async fn farewell(&mut self) {
        if self.flush("it was left").await.is_ok() {
            let _ = poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await;
        }
    }

    /// The next message. It stays in the buffer until the next call.
    #[inline]
    pub(super) async fn receive(&mut self, doing: &'static str) -> Result<Range<usize>> {
        if self.written < self.out.len() {
            // A flush was given up in the middle.
            self.flush(doing).await?;
        }
        loop {
            if let Some(message) = self.inbox.next() {
                return Ok(message);
            }
            if self.ended {
                return Err(Error::Closed {
                    place: Arc::clone(&self.place),
                    doing,
                    cause: self.cause.take(),
                });
            }
            if timeout(self.idle, poll_fn(|cx| self.poll_fill(cx))).await.is_err() {
                return Err(self.silent(doing));
            }
        }
    }

    /// The bytes of the message that was received last.
    #[inline]
    pub(super) fn bytes(&self, message: Range<usize>) -> &[u8] {
        self.inbox.bytes(message)
    }

    fn silent(&self, doing: &'static str) -> Error {
        Error::Timeout { place: Arc::clone(&self.place), doing, limit: self.idle }
    }

    /// An exchange that the protocol does not allow.
    pub(super) fn protocol(&self, what: impl Into<String>) -> Error {
        Error::Protocol { place: Arc::clone(&self.place), what: what.into(), cause: None }
    }

    /// A message that cannot be read.
    pub(super) fn malformed(&self, cause: Malformed) -> Error {
        Error::Protocol {
            place: Arc::clone(&self.place),
            what: "a message cannot be understood".into(),
            cause: Some(cause),
        }
    }
}
