//! One header block of the archive.

/// Where the fields are: first byte and length.
const NAME: (usize, usize) = (0, 100);
const SIZE: (usize, usize) = (124, 12);
const CHECKSUM: (usize, usize) = (148, 8);
const TYPE: usize = 156;
const MAGIC: (usize, usize) = (257, 5);
const PREFIX: (usize, usize) = (345, 155);

/// What follows a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// The contents of a file.
    File,
    /// Nothing.
    Directory,
    /// Records about the next file.
    Extended,
}

/// A header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) kind: Type,
    pub(super) path: String,
    pub(super) size: u64,
}

impl Block {
    /// Reads a block of 512 bytes; fails with what is wrong.
    pub(super) fn read(block: &[u8]) -> Result<Block, &'static str> {
        if field(block, MAGIC) != b"ustar" {
            return Err("has no file's header");
        }
        let said = octal(field(block, CHECKSUM)).ok_or("has a header without a checksum")?;
        if said != checksum(block) {
            return Err("has a header whose checksum is another");
        }
        let kind = match block.get(TYPE) {
            Some(b'0' | 0) => Type::File,
            Some(b'5') => Type::Directory,
            Some(b'x') => Type::Extended,
            _ => return Err("has an entry that is neither file nor directory"),
        };
        let size = number(field(block, SIZE)).ok_or("has a file without a size")?;
        let text =
            |at| std::str::from_utf8(until_zero(field(block, at))).map_err(|_| "has an unreadable name");
        let path = match (text(PREFIX)?, text(NAME)?) {
            ("", name) => name.to_owned(),
            (prefix, name) => format!("{prefix}/{name}"),
        };
        Ok(Block { kind, path, size })
    }
}

fn field(block: &[u8], (at, length): (usize, usize)) -> &[u8] {
    block.get(at..at + length).unwrap_or_default()
}

fn until_zero(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The sum of all bytes, with blanks for the sum itself.
fn checksum(block: &[u8]) -> u64 {
    let own = CHECKSUM.0..CHECKSUM.0 + CHECKSUM.1;
    let byte = |(at, byte): (usize, &u8)| if own.contains(&at) { u64::from(b' ') } else { u64::from(*byte) };
    block.iter().enumerate().map(byte).sum()
}

/// A number in octal digits, with blanks or zeros around it.
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.trim_matches(['\0', ' ']);
    if digits.is_empty() { None } else { u64::from_str_radix(digits, 8).ok() }
}

/// The same, or a number in base 256 when the first bit is set.
fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if *first != 0x80 {
        return octal(field);
    }
    rest.iter().try_fold(0u64, |sum, byte| sum.checked_mul(256)?.checked_add(u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_both_kinds_are_read() {
        assert_eq!(number(b"00000100000\0"), Some(32768));
        assert_eq!(number(b"       1750 "), Some(1000));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]), Some(8 << 30));
        for bad in
            [&[0xff; 12][..], b"            ", b"0000000000x\0", &[0x80, 9, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0]]
        {
            assert_eq!(number(bad), None, "{bad:?}");
        }
    }
}
