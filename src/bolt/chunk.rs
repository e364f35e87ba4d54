//! Messages travel in chunks: two bytes of length and so many bytes, and an empty chunk at the end of each message.
//!
//! An empty chunk between messages is a sign of life. Source: Bolt protocol documentation, "Messages", "Chunking".

use std::ops::Range;

/// The longest chunk.
const LONGEST: usize = 0xFFFF;
/// The buffer at first.
const FIRST: usize = 256 * 1024;
/// As much space as a read should find.
const ENOUGH: usize = 64 * 1024;
/// No message is longer.
pub(super) const LONGEST_MESSAGE: usize = 1 << 30;

/// Appends a message in chunks.
pub(super) fn write(message: &[u8], out: &mut Vec<u8>) {
    out.reserve(message.len() + 2 * (message.len() / LONGEST + 2));
    for chunk in message.chunks(LONGEST) {
        out.extend_from_slice(&(chunk.len() as u16).to_be_bytes());
        out.extend_from_slice(chunk);
    }
    out.extend_from_slice(&[0, 0]);
}

/// What came from the server: a buffer, in which the chunks of a message are moved together.
pub(super) struct Inbox {
    buffer: Vec<u8>,
    /// The chunks of the message that were moved together so far.
    message: Range<usize>,
    /// What came, from the next chunk's header on. Never begins before the message's end.
    raw: Range<usize>,
    /// The message in `message` was given away.
    given: bool,
}

impl Inbox {
    /// An empty one.
    pub(super) fn new() -> Inbox {
        Inbox { buffer: vec![0; FIRST], message: 0..0, raw: 0..0, given: false }
    }

    /// The next whole message that is there. `None`: more has to come first.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Range<usize>> {
        if self.given {
            self.given = false;
            self.message = self.raw.start..self.raw.start;
        }
        loop {
            let &[high, low] = self.buffer[self.raw.clone()].first_chunk::<2>()?;
            let length = usize::from(u16::from_be_bytes([high, low]));
            let begin = self.raw.start + 2;
            if length == 0 {
                self.raw.start = begin;
                if !self.message.is_empty() {
                    self.given = true;
                    return Some(self.message.clone());
                }
                continue;
            }
            if self.raw.end - begin < length {
                return None;
            }
            if self.message.is_empty() {
                self.message = begin..begin + length;
            } else {
                self.buffer.copy_within(begin..begin + length, self.message.end);
                self.message.end += length;
            }
            self.raw.start = begin + length;
        }
    }

    /// The bytes of a message that [`Inbox::next`] gave last.
    #[inline]
    pub(super) fn bytes(&self, message: Range<usize>) -> &[u8] {
        &self.buffer[message]
    }

    /// Space for what comes next. `None`: the message is longer than messages are.
    pub(super) fn space(&mut self) -> Option<&mut [u8]> {
        if self.given || self.message.is_empty() {
            self.given = false;
            self.message = self.raw.start..self.raw.start;
        }
        if self.buffer.len() - self.raw.end < ENOUGH {
            let message = self.message.len();
            self.buffer.copy_within(self.message.clone(), 0);
            self.buffer.copy_within(self.raw.clone(), message);
            self.message = 0..message;
            self.raw = message..message + self.raw.len();
        }
        if self.buffer.len() - self.raw.end < ENOUGH {
            if self.message.len() > LONGEST_MESSAGE {
                return None;
            }
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        Some(&mut self.buffer[self.raw.end..])
    }

    /// So many bytes were put into the space.
    pub(super) fn came(&mut self, bytes: usize) {
        self.raw.end = (self.raw.end + bytes).min(self.buffer.len());
    }

    /// Is more there (64 MiB) than should be read ahead while a request is written?
    pub(super) fn is_full(&self) -> bool {
        self.raw.len() > 256 * FIRST
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives the bytes piece by piece, and takes out what is whole.
    fn received(bytes: &[u8], mut piece: impl FnMut() -> usize) -> Vec<Vec<u8>> {
        let (mut inbox, mut found, mut at) = (Inbox::new(), Vec::new(), 0);
        while at < bytes.len() {
            let space = inbox.space().unwrap();
            let size = piece().clamp(1, space.len()).min(bytes.len() - at);
            space[..size].copy_from_slice(&bytes[at..at + size]);
            inbox.came(size);
            at += size;
            while let Some(message) = inbox.next() {
                found.push(inbox.bytes(message).to_vec());
            }
        }
        found
    }

    #[test]
    fn the_examples_of_the_documentation() {
        let message: Vec<u8> = (0..16).collect();
        let mut out = Vec::new();
        write(&message, &mut out);
        assert_eq!(out, [&[0, 16], &message[..], &[0, 0]].concat());
        let two = [&[0, 0, 0, 16], &message[..], &[0, 4, 1, 2, 3, 4, 0, 0, 0, 0, 0, 1, 9, 0, 0]].concat();
        assert_eq!(received(&two, || 1), [[&message[..], &[1, 2, 3, 4]].concat(), vec![9]]);
    }

    #[test]
    fn a_long_message_arrives_whole_and_what_follows_too() {
        let long: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
        let mut out = Vec::new();
        for message in [&b"a"[..], &long, b"b", &long[..65_535], &long[..65_536]] {
            write(message, &mut out);
        }
        let found = received(&out, || 100_000);
        assert!(
            found
                == [
                    b"a".to_vec(),
                    long.clone(),
                    b"b".to_vec(),
                    long[..65_535].to_vec(),
                    long[..65_536].to_vec()
                ]
        );
    }

    proptest! {
        #[test]
        fn any_cuts_give_the_same_messages(
            messages in proptest::collection::vec((1usize..200_000, 1usize..70_000, 0usize..3), 1..8),
            pieces in proptest::collection::vec(1usize..150_000, 1..20),
        ) {
            let (mut bytes, mut expected) = (Vec::new(), Vec::new());
            for (length, chunk, signs_of_life) in messages {
                let message: Vec<u8> = (0..length).map(|at| (at * 7 + length) as u8).collect();
                for part in message.chunks(chunk.min(LONGEST)) {
                    bytes.extend_from_slice(&(part.len() as u16).to_be_bytes());
                    bytes.extend_from_slice(part);
                }
                bytes.extend_from_slice(&[0, 0].repeat(1 + signs_of_life));
                expected.push(message);
            }
            let mut pieces = pieces.into_iter().cycle();
            prop_assert!(received(&bytes, || pieces.next().unwrap()) == expected);
        }
    }
}
