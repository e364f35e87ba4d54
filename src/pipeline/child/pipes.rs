//! The pipes to and from a child: enlarged, and counted.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{ChildStdin, ChildStdout};

use super::chunks::Chunks;

/// Wanted size of a pipe; the kernel's limit for users is 1 MiB by default (`pipe-max-size`).
const PIPE_BYTES: i32 = 1 << 20;

/// What went through the pipes.
#[derive(Debug, Default)]
pub struct Traffic {
    pub(super) out: AtomicU64,
    taken: AtomicU64,
    /// The end of the output was read.
    pub(super) output_ended: AtomicBool,
    /// The input was begun and not ended by `shutdown`.
    input_open: AtomicBool,
}

impl Traffic {
    /// Bytes read from standard output.
    pub fn bytes_out(&self) -> u64 {
        self.out.load(Ordering::Relaxed)
    }

    /// Bytes written to standard input.
    pub fn bytes_in(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// The output was read to its end, and the input was ended in order.
    pub fn complete(&self) -> bool {
        self.output_ended.load(Ordering::Acquire) && !self.input_open.load(Ordering::Acquire)
    }
}

/// Standard output of a child.
#[derive(Debug)]
pub struct Output {
    pipe: ChildStdout,
    traffic: Arc<Traffic>,
}

impl Output {
    pub(super) fn new(pipe: ChildStdout, traffic: Arc<Traffic>) -> Output {
        enlarge(&pipe);
        Output { pipe, traffic }
    }

    /// Reads it in large pieces of at most `size` bytes, by a thread of its own.
    ///
    /// # Errors
    /// Those of taking the pipe out of the event loop.
    pub fn into_chunks(self, size: usize) -> io::Result<Chunks> {
        Ok(Chunks::start(self.pipe.into_owned_fd()?.into(), self.traffic, size))
    }
}

impl AsyncRead for Output {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let room = buffer.remaining();
        ready!(Pin::new(&mut self.pipe).poll_read(cx, buffer))?;
        let count = buffer.filled().len() - before;
        self.traffic.out.fetch_add(count as u64, Ordering::Relaxed);
        if count == 0 && room > 0 {
            self.traffic.output_ended.store(true, Ordering::Release);
        }
        Poll::Ready(Ok(()))
    }
}

/// Standard input of a child. It counts as complete only after `shutdown`.
#[derive(Debug)]
pub struct Input {
    /// `None` after `shutdown`: the pipe must be closed for the child to see the end.
    pipe: Option<ChildStdin>,
    traffic: Arc<Traffic>,
}

impl Input {
    pub(super) fn new(pipe: ChildStdin, traffic: Arc<Traffic>) -> Input {
        enlarge(&pipe);
        traffic.input_open.store(true, Ordering::Release);
        Input { pipe: Some(pipe), traffic }
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the input was ended")
}

impl AsyncWrite for Input {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let Some(pipe) = self.pipe.as_mut() else { return Poll::Ready(Err(closed())) };
        let count = ready!(Pin::new(pipe).poll_write(cx, data))?;
        self.traffic.taken.fetch_add(count as u64, Ordering::Relaxed);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.pipe.as_mut() {
            Some(pipe) => Pin::new(pipe).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(pipe) = self.pipe.as_mut() {
            ready!(Pin::new(pipe).poll_shutdown(cx))?;
            self.pipe = None;
            self.traffic.input_open.store(false, Ordering::Release);
        }
        Poll::Ready(Ok(()))
    }
}

/// Asks for a larger pipe: fewer switches between the processes. Works without it too.
fn enlarge(pipe: &impl AsFd) {
    #[cfg(target_os = "linux")]
    {
        let _ = nix::fcntl::fcntl(pipe, nix::fcntl::FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (pipe, PIPE_BYTES);
    }
}

/// A number of bytes for messages, in decimal units: `12.3 MB`.
pub fn human_bytes(bytes: u64) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} bytes") } else { format!("{value:.1} {}", units[unit]) }
}
