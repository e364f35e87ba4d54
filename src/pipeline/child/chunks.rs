//! A child's output in large pieces, read by a thread of its own.
//!
//! A tool such as `pg_dump` writes a few kilobytes at a time. A reader that is told of each of them
//! (by an event loop, or by a blocking read that returns at once) costs a switch between processes
//! for every write: hundreds of thousands a gigabyte, and seconds of processor time. This thread
//! reads, and when little came it waits a moment before it reads on, while the pipe fills.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;

use super::pipes::Traffic;

/// The pause after a short read: an enlarged pipe (1 MiB) does not fill in this time.
const PAUSE: Duration = Duration::from_millis(1);

/// Pieces that may wait to be taken.
const WAITING: usize = 2;

/// The pieces as they come; the thread ends when this is dropped and the pipe moves or closes.
#[derive(Debug)]
pub struct Chunks {
    full: mpsc::Receiver<io::Result<Vec<u8>>>,
    empty: std::sync::mpsc::Sender<Vec<u8>>,
}

impl Chunks {
    /// Starts to read. Pieces are of `size` bytes, at most.
    pub(super) fn start(pipe: File, traffic: Arc<Traffic>, size: usize) -> Chunks {
        let (pieces, full) = mpsc::channel(WAITING);
        let (empty, used) = std::sync::mpsc::channel::<Vec<u8>>();
        tokio::task::spawn_blocking(move || {
            let mut pipe = pipe;
            loop {
                let mut piece = used.try_recv().unwrap_or_default();
                piece.clear();
                let read = fill(&mut pipe, &mut piece, size);
                traffic.out.fetch_add(piece.len() as u64, Ordering::Relaxed);
                let ended = match read {
                    Ok(ended) => ended,
                    Err(error) => {
                        // Nobody may be left to hear it.
                        let _ = pieces.blocking_send(Err(error));
                        return;
                    }
                };
                if ended {
                    traffic.output_ended.store(true, Ordering::Release);
                }
                if (!piece.is_empty() && pieces.blocking_send(Ok(piece)).is_err()) || ended {
                    return;
                }
            }
        });
        Chunks { full, empty }
    }

    /// The next piece, never empty; `None` at the end of the output.
    ///
    /// # Errors
    /// Those of reading a pipe.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.full.recv().await.transpose()
    }

    /// Gives a piece back, to be filled again.
    pub fn recycle(&self, piece: Vec<u8>) {
        // The thread may have ended; then it is freed.
        let _ = self.empty.send(piece);
    }
}

/// Reads until the piece is at least half full, or the output ends. True at its end.
fn fill(pipe: &mut File, piece: &mut Vec<u8>, size: usize) -> io::Result<bool> {
    piece.resize(size, 0);
    let mut filled = 0;
    let ended = loop {
        match pipe.read(&mut piece[filled..]) {
            Ok(0) => break true,
            Ok(read) => {
                filled += read;
                if filled >= size / 2 {
                    break false;
                }
                std::thread::sleep(PAUSE);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    };
    piece.truncate(filled);
    Ok(ended)
}
