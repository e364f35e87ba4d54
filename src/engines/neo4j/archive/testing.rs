//! Dumps for tests, made as neo4j-admin makes them.

use super::store::tests::page;

/// A small dump whose store is the one of [`page`].
pub(in crate::engines::neo4j) fn dump() -> Vec<u8> {
    small().dump()
}

/// Makes dumps as neo4j-admin does.
pub(super) struct Maker {
    tar: Vec<u8>,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

impl Maker {
    pub(super) fn new() -> Maker {
        Maker { tar: Vec::new(), files: 0, bytes: 0 }
    }

    fn block(&mut self, kind: u8, name: &str, size: &str) {
        let mut block = [0u8; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..124 + size.len()].copy_from_slice(size.as_bytes());
        block[148..156].fill(b' ');
        block[156] = kind;
        block[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.tar.extend_from_slice(&block);
    }

    fn contents(&mut self, contents: &[u8]) {
        self.tar.extend_from_slice(contents);
        self.tar.resize(self.tar.len().next_multiple_of(512), 0);
    }

    pub(super) fn directory(mut self, name: &str) -> Maker {
        self.block(b'5', name, "00000000000");
        self
    }

    pub(super) fn file(mut self, name: &str, contents: &[u8]) -> Maker {
        self.block(b'0', name, &format!("{:011o}", contents.len()));
        self.contents(contents);
        self.files += 1;
        self.bytes += contents.len() as u64;
        self
    }

    /// A file whose name and size are in an extended header, as for files over 8 GiB.
    pub(super) fn extended(mut self, name: &str, contents: &[u8]) -> Maker {
        let mut records = String::new();
        for (key, value) in [
            ("mtime", "1795806862.5".to_owned()),
            ("path", name.into()),
            ("size", contents.len().to_string()),
        ] {
            // The length counts itself.
            let rest = format!(" {key}={value}\n");
            let digits = if rest.len() + 2 < 100 { 2 } else { 3 };
            records.push_str(&format!("{}{rest}", rest.len() + digits));
        }
        self.block(b'x', "./PaxHeaders.X/x", &format!("{:011o}", records.len()));
        self.contents(records.as_bytes());
        self.block(b'0', &name[..name.len().min(99)], "00000000000");
        self.contents(contents);
        self.files += 1;
        self.bytes += contents.len() as u64;
        self
    }

    pub(super) fn raw(&self, files: u64, bytes: u64) -> Vec<u8> {
        let mut raw = b"zstd\x00\x00\x00\x01".to_vec();
        raw.extend_from_slice(&files.to_be_bytes());
        raw.extend_from_slice(&bytes.to_be_bytes());
        raw.extend_from_slice(&self.tar);
        raw.extend_from_slice(&[0; 1024]);
        raw
    }

    pub(super) fn dump(&self) -> Vec<u8> {
        pack(b"DZV1", &self.raw(self.files, self.bytes))
    }
}

/// One zstd frame with a checksum and without a content size, after a magic.
pub(super) fn pack(magic: &[u8], raw: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = zstd::stream::Encoder::new(magic.to_vec(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.include_contentsize(false).unwrap();
    encoder.write_all(raw).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn small() -> Maker {
    Maker::new()
        .directory("./")
        .file("./neostore", &page()[..1000])
        .file("./neostore.nodestore.db", &[7; 600])
        .file("./neostore.relationshipstore.db", &[])
        .extended(&format!("./schema/{}", "x".repeat(150)), b"an index")
        .directory("./")
        .file("./neostore.transaction.db.0", b"a log")
}
