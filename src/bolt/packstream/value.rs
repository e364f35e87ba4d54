//! A value with everything in it, for small answers.

use super::marker::Head;
use super::{DEEPEST, Encoder, Malformed, Reader, Result};

/// Space is made for so many elements at first, whatever a header promises.
const FIRST_ELEMENTS: usize = 256;

/// Any value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// An array of bytes.
    Bytes(Vec<u8>),
    /// A text.
    String(String),
    /// A list; the types may differ.
    List(Vec<Value>),
    /// A map, in the order in which it came.
    Map(Vec<(String, Value)>),
    /// A node, a date, a point and so on: the tag says which.
    Structure {
        /// What it is, see "Structure semantics".
        tag: u8,
        /// At most 15.
        fields: Vec<Value>,
    },
}

impl Value {
    /// Reads one value from the beginning of a slice; gives it with its length in bytes.
    ///
    /// # Errors
    /// When it is cut off, not PackStream, has a text that is not UTF-8, or is deeper than [`DEEPEST`].
    pub fn decode(bytes: &[u8]) -> Result<(Value, usize)> {
        let mut reader = Reader::new(bytes);
        let value = Value::read(&mut reader)?;
        Ok((value, reader.position()))
    }

    /// Reads the next value.
    ///
    /// # Errors
    /// As for [`Value::decode`].
    pub fn read(reader: &mut Reader<'_>) -> Result<Value> {
        read(reader, DEEPEST)
    }

    /// Appends the smallest form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut encoder = Encoder::new(out);
        match self {
            Value::Null => {
                encoder.null();
            }
            Value::Bool(value) => {
                encoder.bool(*value);
            }
            Value::Int(value) => {
                encoder.int(*value);
            }
            Value::Float(value) => {
                encoder.float(*value);
            }
            Value::Bytes(value) => {
                encoder.bytes(value);
            }
            Value::String(value) => {
                encoder.string(value);
            }
            Value::List(values) => {
                encoder.list_header(values.len());
                values.iter().for_each(|value| value.encode(out));
            }
            Value::Map(entries) => {
                encoder.map_header(entries.len());
                for (key, value) in entries {
                    Encoder::new(out).string(key);
                    value.encode(out);
                }
            }
            Value::Structure { tag, fields } => {
                encoder.struct_header(fields.len(), *tag);
                fields.iter().for_each(|value| value.encode(out));
            }
        }
    }

    /// The value of a map's key, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let Value::Map(entries) = self else { return None };
        entries.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = self { Some(text) } else { None }
    }

    /// The integer, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        if let Value::Int(value) = self { Some(*value) } else { None }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(value) = self { Some(*value) } else { None }
    }

    /// The elements, if it is a list.
    pub fn as_list(&self) -> Option<&[Value]> {
        if let Value::List(values) = self { Some(values) } else { None }
    }

    /// Is there no value?
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }
}

fn read(reader: &mut Reader<'_>, depth: usize) -> Result<Value> {
    let at = reader.position();
    let (found, next) = reader.head()?;
    let inner = || depth.checked_sub(1).ok_or(Malformed::TooDeep { at });
    Ok(match found {
        Head::Bytes(length) => Value::Bytes(reader.take(next, length)?.to_vec()),
        Head::String(_) => Value::String(reader.str()?.to_owned()),
        Head::List(length) => {
            reader.enter(next, length, 1)?;
            Value::List(elements(reader, length, inner()?)?)
        }
        Head::Map(length) => {
            reader.enter(next, length, 2)?;
            let depth = inner()?;
            let mut entries = Vec::with_capacity(length.min(FIRST_ELEMENTS));
            for _ in 0..length {
                let key = reader.str()?.to_owned();
                entries.push((key, read(reader, depth)?));
            }
            Value::Map(entries)
        }
        Head::Structure(length, tag) => {
            reader.enter(next, length, 1)?;
            Value::Structure { tag, fields: elements(reader, length, inner()?)? }
        }
        scalar => {
            reader.go(next);
            match scalar {
                Head::Bool(value) => Value::Bool(value),
                Head::Int(value) => Value::Int(value),
                Head::Float(value) => Value::Float(value),
                _ => Value::Null,
            }
        }
    })
}

fn elements(reader: &mut Reader<'_>, length: usize, depth: usize) -> Result<Vec<Value>> {
    let mut values = Vec::with_capacity(length.min(FIRST_ELEMENTS));
    for _ in 0..length {
        values.push(read(reader, depth)?);
    }
    Ok(values)
}
