//! The marker bytes, and the lengths behind them.

use super::{Malformed, Result};

/// Null.
pub(super) const NULL: u8 = 0xC0;
/// A float: 8 bytes, IEEE 754, big-endian.
pub(super) const FLOAT: u8 = 0xC1;
/// False.
pub(super) const FALSE: u8 = 0xC2;
/// True.
pub(super) const TRUE: u8 = 0xC3;
/// Integers of 1, 2, 4 and 8 bytes: this and the next three.
pub(super) const INT: u8 = 0xC8;
/// Bytes with a length of 1, 2 and 4 bytes: this and the next two.
pub(super) const BYTES: u8 = 0xCC;
/// A text of up to 15 bytes: the length is in the low half.
pub(super) const TINY_STRING: u8 = 0x80;
/// A text with a length of 1, 2 and 4 bytes.
pub(super) const STRING: u8 = 0xD0;
/// A list of up to 15 values.
pub(super) const TINY_LIST: u8 = 0x90;
/// A list with a length of 1, 2 and 4 bytes.
pub(super) const LIST: u8 = 0xD4;
/// A map of up to 15 entries.
pub(super) const TINY_MAP: u8 = 0xA0;
/// A map with a length of 1, 2 and 4 bytes.
pub(super) const MAP: u8 = 0xD8;
/// A structure of up to 15 fields; its tag follows.
pub(super) const TINY_STRUCTURE: u8 = 0xB0;

/// What begins at a place: its kind, and for kinds with a length that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Head {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Bytes(usize),
    String(usize),
    List(usize),
    Map(usize),
    Structure(usize, u8),
}

/// Reads the head at `at`; gives it with the place behind it. For bytes and text, that is where they begin.
#[inline]
pub(super) fn head(bytes: &[u8], at: usize) -> Result<(Head, usize)> {
    let cut = Malformed::Truncated { at };
    let marker = *bytes.get(at).ok_or(cut)?;
    let next = at + 1;
    let low = usize::from(marker & 0x0F);
    let sized = |first: u8| -> Result<(usize, usize)> {
        let width = 1usize << (marker - first);
        let digits = bytes.get(next..next + width).ok_or(cut)?;
        Ok((digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), next + width))
    };
    Ok(match marker {
        0x00..=0x7F | 0xF0..=0xFF => (Head::Int(i64::from(marker as i8)), next),
        0x80..=0x8F => (Head::String(low), next),
        0x90..=0x9F => (Head::List(low), next),
        0xA0..=0xAF => (Head::Map(low), next),
        0xB0..=0xBF => (Head::Structure(low, *bytes.get(next).ok_or(cut)?), next + 1),
        NULL => (Head::Null, next),
        FLOAT => {
            let (digits, _) = bytes[next..].split_first_chunk::<8>().ok_or(cut)?;
            (Head::Float(f64::from_be_bytes(*digits)), next + 8)
        }
        FALSE => (Head::Bool(false), next),
        TRUE => (Head::Bool(true), next),
        INT..=0xCB => {
            let width = 1usize << (marker - INT);
            let digits = bytes.get(next..next + width).ok_or(cut)?;
            let sign = if digits.first().is_some_and(|digit| digit & 0x80 != 0) { -1 } else { 0 };
            (Head::Int(digits.iter().fold(sign, |sum, digit| sum << 8 | i64::from(*digit))), next + width)
        }
        BYTES..=0xCE => {
            let (length, next) = sized(BYTES)?;
            (Head::Bytes(length), next)
        }
        STRING..=0xD2 => {
            let (length, next) = sized(STRING)?;
            (Head::String(length), next)
        }
        LIST..=0xD6 => {
            let (length, next) = sized(LIST)?;
            (Head::List(length), next)
        }
        MAP..=0xDA => {
            let (length, next) = sized(MAP)?;
            (Head::Map(length), next)
        }
        _ => return Err(Malformed::Reserved { at, marker }),
    })
}
