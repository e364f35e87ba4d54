//! An object on its way into the file store.
//!
//! All parts go into one file, each at the place it has when all parts but the last are as long as the
//! first one that came: then completing is one sync and one rename, whatever the order of arrival. Parts
//! that are longer get a file of their own; when the places turn out wrong, completing copies the parts
//! into their order once (and needs the space twice meanwhile).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;

use super::disk::{Condition, Staged, create_private};
use super::errors::explain;
use super::{LIMITS, blocking, file_url};
use crate::error::{Error, Kind, Result};
use crate::stores::{Upload, check_no_gaps, check_part, upload_over};

pub(super) struct FileUpload {
    inner: Arc<Inner>,
}

struct Inner {
    root: PathBuf,
    staged: Staged,
    state: Mutex<State>,
    /// Held while bytes go into the data file: the kernel lets one writer at a time into a file, and the
    /// others would spin for their turn.
    writing: Mutex<()>,
}

#[derive(Default)]
struct State {
    /// The data file; taken away when the upload ends.
    file: Option<Arc<File>>,
    /// The length of the first part that came: the distance between the places of two parts.
    stride: Option<u64>,
    parts: BTreeMap<u32, Part>,
}

#[derive(Clone, Copy)]
struct Part {
    length: u64,
    /// Where it is in the data file; `None`: in a file of its own.
    at: Option<u64>,
}

impl FileUpload {
    /// Begins an upload. Blocks.
    pub(super) fn begin(root: &Path, key: &str) -> Result<FileUpload> {
        let staged = Staged::begin(root, key)?;
        let path = staged.data();
        let file = create_private(&path).map_err(|cause| {
            staged.discard_quietly();
            explain(root, "create", &path, cause)
        })?;
        let state = State { file: Some(Arc::new(file)), ..State::default() };
        let inner =
            Inner { root: root.to_owned(), staged, state: Mutex::new(state), writing: Mutex::default() };
        Ok(FileUpload { inner: Arc::new(inner) })
    }
}

impl Inner {
    fn name(&self) -> String {
        file_url(&self.root, &self.staged.key)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held leaves a part out, which completing reports.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn own_file(&self, number: u32) -> PathBuf {
        self.staged.dir().join(format!("part.{number}"))
    }

    /// Says where the part goes, and forgets one of the same number that came before.
    fn place(&self, number: u32, length: u64) -> Result<(Arc<File>, Option<u64>)> {
        let mut state = self.state();
        let file = state.file.clone().ok_or_else(|| upload_over(&self.name()))?;
        state.parts.remove(&number);
        let stride = *state.stride.get_or_insert(length);
        let at = (length <= stride).then(|| u64::from(number - 1) * stride);
        Ok((file, at))
    }

    fn store(&self, number: u32, body: &[u8]) -> Result<()> {
        let length = body.len() as u64;
        let (file, at) = self.place(number, length)?;
        let (path, written) = match at {
            Some(at) => {
                let _turn = self.writing.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                (self.staged.data(), file.write_all_at(body, at))
            }
            None => {
                let path = self.own_file(number);
                let written = create_private(&path).and_then(|file| file.write_all_at(body, 0));
                (path, written)
            }
        };
        written.map_err(|cause| explain(&self.root, "write", &path, cause))?;
        self.state().parts.insert(number, Part { length, at });
        Ok(())
    }

    fn complete(&self) -> Result<()> {
        let (file, parts) = {
            let state = self.state();
            let file = state.file.clone().ok_or_else(|| upload_over(&self.name()))?;
            check_no_gaps(&self.name(), state.parts.keys().copied())?;
            (file, state.parts.clone())
        };
        let total: u64 = parts.values().map(|part| part.length).sum();
        let mut expected = 0;
        let in_place = parts.values().all(|part| {
            let fits = part.at == Some(expected);
            expected += part.length;
            fits
        });
        let path = self.staged.data();
        let failed = |cause| explain(&self.root, "write", &path, cause);
        let file = if in_place { file } else { Arc::new(self.gather(&file, &parts).map_err(failed)?) };
        let length = file.metadata().map_err(failed)?.len();
        if length < total {
            let text = format!("{} should have {total} bytes, but the disk kept {length}", self.name());
            return Err(
                Error::new(Kind::Store, text).hint("look at the kernel log before you trust this disk")
            );
        }
        // A part that was sent again may have been longer the first time.
        file.set_len(total).map_err(failed)?;
        self.staged.publish(&file, &Condition::Always)?;
        self.state().file = None;
        Ok(())
    }

    /// Copies the parts in their order into a new data file.
    fn gather(&self, file: &File, parts: &BTreeMap<u32, Part>) -> io::Result<File> {
        let path = self.staged.dir().join("gathered");
        let mut whole = create_private(&path)?;
        for (number, part) in parts {
            let copied = match part.at {
                Some(at) => {
                    let mut source = file;
                    source.seek(SeekFrom::Start(at))?;
                    io::copy(&mut source.take(part.length), &mut whole)?
                }
                None => io::copy(&mut File::open(self.own_file(*number))?.take(part.length), &mut whole)?,
            };
            if copied != part.length {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("part {number} is cut")));
            }
        }
        fs::rename(&path, self.staged.data())?;
        Ok(whole)
    }

    fn abort(&self) -> Result<()> {
        self.state().file = None;
        self.staged.discard()
    }
}

#[async_trait]
impl Upload for FileUpload {
    async fn part(&self, number: u32, body: Bytes) -> Result<()> {
        check_part(&self.inner.name(), number, LIMITS)?;
        let inner = self.inner.clone();
        blocking(move || inner.store(number, &body)).await
    }

    async fn complete(&self) -> Result<()> {
        let inner = self.inner.clone();
        blocking(move || inner.complete()).await
    }

    async fn abort(&self) -> Result<()> {
        let inner = self.inner.clone();
        blocking(move || inner.abort()).await
    }
}
