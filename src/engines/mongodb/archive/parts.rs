//! The parts of the stream: lengths, whole documents, and the headers of blocks.

use mongodb::bson::RawDocument;

use super::namespace::Namespace;
use super::prelude::TERMINATOR;

/// The smallest document: a length and a zero.
pub(super) const SMALLEST: usize = 5;
/// What mongorestore reads: 16 MiB.
pub(super) const RESTORABLE: usize = 16 << 20;
/// The largest document of a server, which entries of the oplog can reach: 16 MiB and 16 KiB
/// (`BSONObjMaxInternalSize`; mongorestore's limit for the oplog).
pub(super) const LARGEST: usize = RESTORABLE + (16 << 10);

/// What the next four bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Terminator,
    Document(usize),
}

/// Understands four bytes; `Err` with the number for a length that no document has.
#[inline]
pub(super) fn next(head: [u8; 4]) -> Result<Next, u32> {
    let length = u32::from_le_bytes(head);
    if (SMALLEST as u32..=LARGEST as u32).contains(&length) {
        return Ok(Next::Document(length as usize));
    }
    if head == TERMINATOR { Ok(Next::Terminator) } else { Err(length) }
}

/// The header of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BlockHeader {
    pub(super) namespace: Namespace,
    pub(super) end: bool,
    pub(super) crc: u64,
}

impl BlockHeader {
    /// Reads a header, which must be to the byte as mongodump writes it: no checksum covers it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let document = RawDocument::from_bytes(bytes).map_err(|error| error.to_string())?;
        let text = |key| document.get_str(key).map(str::to_owned).map_err(|error| error.to_string());
        let header = BlockHeader {
            namespace: Namespace::new(text("db")?, text("collection")?),
            end: document.get_bool("EOF").map_err(|error| error.to_string())?,
            crc: document.get_i64("CRC").map_err(|error| error.to_string())? as u64,
        };
        let mut written = Vec::with_capacity(bytes.len());
        header.write(&mut written);
        if written != bytes {
            return Err("it is not as mongodump writes it".to_owned());
        }
        if !header.end && header.crc != 0 {
            return Err("it has a checksum before the end".to_owned());
        }
        Ok(header)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        for (key, text) in [("db", &self.namespace.db), ("collection", &self.namespace.collection)] {
            out.push(2);
            out.extend_from_slice(key.as_bytes());
            out.push(0);
            out.extend_from_slice(&(text.len() as u32 + 1).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
            out.push(0);
        }
        out.extend_from_slice(b"\x08EOF\0");
        out.push(u8::from(self.end));
        out.extend_from_slice(b"\x12CRC\0");
        out.extend_from_slice(&self.crc.to_le_bytes());
        out.push(0);
        let length = (out.len() - start) as u32;
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_goes_round_and_nothing_else_does() {
        let header = BlockHeader { namespace: Namespace::new("a", "b.c"), end: true, crc: u64::MAX - 1 };
        let mut bytes = Vec::new();
        header.write(&mut bytes);
        assert_eq!(BlockHeader::parse(&bytes), Ok(header.clone()));
        for place in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[place] ^= 3;
            assert_ne!(BlockHeader::parse(&flipped), Ok(header.clone()), "byte {place}");
        }
        let early = BlockHeader { end: false, ..header };
        let mut bytes = Vec::new();
        early.write(&mut bytes);
        assert!(BlockHeader::parse(&bytes).is_err());
    }

    #[test]
    fn lengths_have_limits() {
        assert_eq!(next([0xff; 4]), Ok(Next::Terminator));
        assert_eq!(next([5, 0, 0, 0]), Ok(Next::Document(5)));
        assert_eq!(next([4, 0, 0, 0]), Err(4));
        assert_eq!(next((LARGEST as u32).to_le_bytes()), Ok(Next::Document(LARGEST)));
        assert_eq!(next((LARGEST as u32 + 1).to_le_bytes()), Err(LARGEST as u32 + 1));
        assert_eq!(next([0xff, 0xff, 0xff, 0x7f]), Err(0x7fff_ffff));
    }
}
