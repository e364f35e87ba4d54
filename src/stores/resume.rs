//! Reading a large object over a connection that may break.
//!
//! A restore runs for hours, and idle or long connections are cut by stores, proxies and firewalls. When a
//! body breaks, the reader opens the object again at the byte it has reached, in the very state it began
//! with. A body that ends early counts as broken.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::{Body, SharedStore, Version, changed, missing, range_within};
use crate::error::{Error, Kind, Result};

/// How often to open again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// Failures in a row, without a byte between them, at most.
    pub tries: u32,
    /// Before opening again the first time; doubles with each failure in a row.
    pub first_wait: Duration,
    /// Between two tries, at most.
    pub longest_wait: Duration,
}

impl Default for Resume {
    fn default() -> Self {
        Resume { tries: 8, first_wait: Duration::from_millis(500), longest_wait: Duration::from_secs(20) }
    }
}

/// Reads the bytes of one object in one state, opening it again where it breaks.
pub struct ResumingReader {
    store: SharedStore,
    key: String,
    name: String,
    version: Version,
    size: u64,
    next: u64,
    end: u64,
    body: Option<Body>,
    resume: Resume,
    /// Failures since the last byte, and when the first of them was.
    failures: u32,
    failing_since: Option<Instant>,
    reopened: u64,
}

impl ResumingReader {
    /// Looks at the object and fixes its state: `version`, or the present one. Reads nothing yet.
    ///
    /// # Errors
    /// [`Kind::Store`] when there is no such object or state, or it has no such bytes.
    pub async fn open(
        store: SharedStore,
        key: &str,
        start: u64,
        end: Option<u64>,
        version: Option<&Version>,
        resume: Resume,
    ) -> Result<Self> {
        let name = format!("{}/{key}", store.url());
        let entry = store.head(key).await?.ok_or_else(|| missing(&name))?;
        if version.is_some_and(|wanted| *wanted != entry.version) {
            return Err(changed(&name));
        }
        let range = range_within(&name, start, end, entry.size)?;
        Ok(ResumingReader {
            store,
            key: key.to_owned(),
            name,
            version: entry.version,
            size: entry.size,
            next: range.start,
            end: range.end,
            body: None,
            resume,
            failures: 0,
            failing_since: None,
            reopened: 0,
        })
    }

    /// The size of the whole object in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The state that is read.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// How often a body broke and was opened again so far.
    pub fn reopened(&self) -> u64 {
        self.reopened
    }

    /// The next bytes; `None` after the last one.
    ///
    /// # Errors
    /// The last failure, with the number of tries and the time they took.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.next == self.end {
                return self.finish().await.map(|()| None);
            }
            let mut body = match self.body.take() {
                Some(body) => body,
                None => match self.reopen().await {
                    Ok(body) => body,
                    Err(error) => {
                        self.failed(error).await?;
                        continue;
                    }
                },
            };
            match body.next().await {
                Some(Ok(chunk)) => {
                    self.body = Some(body);
                    if chunk.is_empty() {
                        continue;
                    }
                    self.took(&chunk)?;
                    return Ok(Some(chunk));
                }
                Some(Err(error)) => self.failed(error).await?,
                None => {
                    let text = format!("{} ended {} bytes early", self.name, self.end - self.next);
                    self.failed(Error::new(Kind::Store, text)).await?;
                }
            }
        }
    }

    /// The rest as one body.
    pub fn into_body(self) -> Body {
        Box::pin(stream::try_unfold(self, |mut reader| async move {
            Ok(reader.next().await?.map(|chunk| (chunk, reader)))
        }))
    }

    async fn reopen(&mut self) -> Result<Body> {
        // To the end of the object it is asked for whole: some stores check their checksum only then.
        let end = (self.end < self.size).then_some(self.end);
        self.store.read(&self.key, self.next, end, Some(&self.version)).await
    }

    fn took(&mut self, chunk: &Bytes) -> Result<()> {
        self.next += chunk.len() as u64;
        (self.failures, self.failing_since) = (0, None);
        if self.next <= self.end {
            return Ok(());
        }
        Err(Error::new(Kind::Store, format!("{} gave more bytes than were asked for", self.name))
            .hint("the store does not honour ranges: run `lifeboat doctor`"))
    }

    /// All bytes are handed over; what a store finds only then (a wrong checksum) is fatal.
    async fn finish(&mut self) -> Result<()> {
        let Some(mut body) = self.body.take() else { return Ok(()) };
        while let Some(chunk) = body.next().await {
            self.took(&chunk?)?;
        }
        Ok(())
    }

    /// Waits before the next try, or gives up.
    async fn failed(&mut self, error: Error) -> Result<()> {
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        self.failures += 1;
        if self.failures >= self.resume.tries.max(1) {
            let spent = humantime::format_duration(Duration::from_secs(since.elapsed().as_secs()));
            let text = format!(
                "gave up on {} at byte {} after {} tries in {spent}",
                self.name, self.next, self.failures
            );
            return Err(error.while_doing(text));
        }
        // What was removed or replaced will not come back; a store that cannot say so is asked again later.
        match self.store.head(&self.key).await {
            Ok(None) => return Err(missing(&self.name).because(error)),
            Ok(Some(entry)) if entry.version != self.version => {
                return Err(changed(&self.name).because(error));
            }
            _ => {}
        }
        self.reopened += 1;
        let doubled = self.resume.first_wait.saturating_mul(1 << (self.failures - 1).min(16));
        let wait = doubled.min(self.resume.longest_wait);
        tokio::time::sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        Ok(())
    }
}

/// Opens an object as one body that survives broken connections. See [`ResumingReader::open`].
pub async fn read(
    store: SharedStore,
    key: &str,
    start: u64,
    end: Option<u64>,
    version: Option<&Version>,
    resume: Resume,
) -> Result<Body> {
    Ok(ResumingReader::open(store, key, start, end, version, resume).await?.into_body())
}

#[cfg(test)]
mod tests;
