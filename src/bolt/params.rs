//! The parameters of a query.

use super::packstream::{Encoder, Value};

/// A map of names and values, encoded as it is built.
#[derive(Debug, Clone, Default)]
pub struct Params {
    count: usize,
    body: Vec<u8>,
}

impl Params {
    /// No parameters.
    pub fn new() -> Params {
        Params::default()
    }

    fn entry(mut self, name: &str, value: impl FnOnce(&mut Vec<u8>)) -> Params {
        self.count += 1;
        Encoder::new(&mut self.body).string(name);
        value(&mut self.body);
        self
    }

    /// Adds an integer.
    #[must_use]
    pub fn int(self, name: &str, value: i64) -> Params {
        self.entry(name, |out| {
            Encoder::new(out).int(value);
        })
    }

    /// Adds a text.
    #[must_use]
    pub fn str(self, name: &str, value: &str) -> Params {
        self.entry(name, |out| {
            Encoder::new(out).string(value);
        })
    }

    /// Adds a value.
    #[must_use]
    pub fn value(self, name: &str, value: &Value) -> Params {
        self.entry(name, |out| value.encode(out))
    }

    /// Adds a value that is encoded already: exactly one, or the server drops the connection.
    #[must_use]
    pub fn raw(self, name: &str, value: &[u8]) -> Params {
        self.entry(name, |out| out.extend_from_slice(value))
    }

    /// Adds a list of so many values that are encoded already, one behind the other.
    #[must_use]
    pub fn raw_list(self, name: &str, count: usize, values: &[u8]) -> Params {
        self.entry(name, |out| {
            Encoder::new(out).list_header(count).raw(values);
        })
    }

    /// Appends the map.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        Encoder::new(out).map_header(self.count).raw(&self.body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_one_map() {
        let list = Value::List(vec![Value::Int(1), Value::Null]);
        let params = Params::new().int("a", 7).str("b", "text").value("c", &list).raw("d", b"\xC0").raw_list(
            "e",
            2,
            b"\x01\xC0",
        );
        let mut bytes = Vec::new();
        params.encode(&mut bytes);
        let entries = vec![
            ("a".to_owned(), Value::Int(7)),
            ("b".to_owned(), Value::String("text".into())),
            ("c".to_owned(), list.clone()),
            ("d".to_owned(), Value::Null),
            ("e".to_owned(), list),
        ];
        assert_eq!(Value::decode(&bytes).unwrap(), (Value::Map(entries), bytes.len()));
    }
}
