//! Bodies on their way: slices going up, and a guard on what comes down.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use futures_util::stream;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::errors::deepest;
use crate::error::{Error, Kind, Result};
use crate::stores::Body;
use crate::stores::open::Patience;

/// The slices that a part is sent in. Given whole, it would count as sent at once, and the SDK could not see
/// that a connection has stalled.
const SLICE: usize = 64 * 1024;

/// A body that is sent in slices of the same memory, and can be sent again.
pub(super) fn sliced(bytes: Bytes) -> ByteStream {
    ByteStream::new(SdkBody::retryable(move || SdkBody::from_body_1_x(Sliced(bytes.clone()))))
}

struct Sliced(Bytes);

impl http_body::Body for Sliced {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.0.len().min(SLICE);
        Poll::Ready(Some(Ok(Frame::data(self.0.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

/// What the guard knows of a body.
struct Guard {
    name: String,
    bytes: ByteStream,
    left: u64,
    stall: Duration,
    min_rate: u64,
    /// Time spent waiting for the server in the present window, and what came in it. A slow reader above
    /// does not count against the server.
    waited: Duration,
    arrived: u64,
}

/// Passes on exactly `length` bytes; fails when fewer or more come, when none come for a while, and when
/// they come slower than the minimum rate.
pub(super) fn guarded(name: String, bytes: ByteStream, length: u64, patience: &Patience) -> Body {
    let guard = Guard {
        name,
        bytes,
        left: length,
        stall: patience.stall,
        min_rate: patience.min_rate,
        waited: Duration::ZERO,
        arrived: 0,
    };
    Box::pin(stream::try_unfold(guard, |mut guard| async move {
        Ok(guard.next().await?.map(|chunk| (chunk, guard)))
    }))
}

impl Guard {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let begun = Instant::now();
        let Ok(chunk) = tokio::time::timeout(self.stall, self.bytes.next()).await else {
            return Err(self.broke(&format!("no byte came for {}", humantime::format_duration(self.stall))));
        };
        match chunk {
            Some(Ok(chunk)) => {
                let length = chunk.len() as u64;
                self.left =
                    self.left.checked_sub(length).ok_or_else(|| self.broke("more bytes came than it has"))?;
                self.check_rate(begun.elapsed(), length)?;
                Ok(Some(chunk))
            }
            Some(Err(cause)) => Err(self.broke(&deepest(&cause))),
            None if self.left == 0 => Ok(None),
            None => Err(self.broke(&format!("it ended {} bytes early", self.left))),
        }
    }

    /// Judges the rate once a window of waiting is full.
    fn check_rate(&mut self, waited: Duration, arrived: u64) -> Result<()> {
        self.waited += waited;
        self.arrived += arrived;
        if self.waited < self.stall {
            return Ok(());
        }
        let rate = self.arrived as f64 / self.waited.as_secs_f64();
        // Slow is fatal only while something is to come.
        if self.left > 0 && rate < self.min_rate as f64 {
            return Err(self.broke(&format!("only {rate:.0} bytes a second came")));
        }
        (self.waited, self.arrived) = (Duration::ZERO, 0);
        Ok(())
    }

    fn broke(&self, what: &str) -> Error {
        Error::new(Kind::Store, format!("reading {} broke off: {what}", self.name))
            .hint("check the network between here and the store, and the store's own log")
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;
    use http_body::Body as _;

    use super::*;

    async fn through(bytes: &'static [u8], promised: u64) -> Result<Vec<Bytes>> {
        let body = ByteStream::from_static(bytes);
        guarded("s3://b/x".to_owned(), body, promised, &Patience::default()).try_collect().await
    }

    #[tokio::test]
    async fn exactly_the_promised_bytes_pass() {
        assert_eq!(through(b"some", 4).await.unwrap().concat(), b"some");
        let error = through(b"some", 6).await.unwrap_err();
        assert!(error.message().ends_with("it ended 2 bytes early"), "{error}");
        let error = through(b"some", 3).await.unwrap_err();
        assert!(error.message().ends_with("more bytes came than it has"), "{error}");
    }

    #[tokio::test]
    async fn a_part_goes_out_in_slices_of_the_same_memory_and_can_go_out_again() {
        let part = Bytes::from(vec![7; 2 * SLICE + 1]);
        let body = sliced(part.clone()).into_inner();
        assert_eq!(body.content_length(), Some(part.len() as u64));
        assert!(body.try_clone().is_some());
        let mut slices = Sliced(part.clone());
        let mut lengths = Vec::new();
        while !slices.is_end_stream() {
            let frame =
                std::future::poll_fn(|cx| Pin::new(&mut slices).poll_frame(cx)).await.unwrap().unwrap();
            let slice = frame.into_data().unwrap();
            assert!(part.as_ptr_range().contains(&slice.as_ptr()));
            lengths.push(slice.len());
        }
        assert_eq!(lengths, [SLICE, SLICE, 1]);
    }
}
