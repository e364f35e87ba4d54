//! A TOML document as values that know their line and column.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Error, Kind, Result};

/// A place in a text, both from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// A value and where it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    pub(crate) spot: Spot,
    pub(crate) data: Data,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Date(toml::value::Datetime),
    List(Vec<Item>),
    Table(Vec<Field>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub(crate) key: String,
    pub(crate) spot: Spot,
    pub(crate) item: Item,
}

impl Data {
    /// The kind of value, in words.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Data::Text(_) => "a text",
            Data::Integer(_) => "a whole number",
            Data::Float(_) => "a number",
            Data::Bool(_) => "true or false",
            Data::Date(_) => "a date",
            Data::List(_) => "a list",
            Data::Table(_) => "a table",
        }
    }

    /// The value as it would stand in a message, or its kind when it is long.
    pub(crate) fn shown(&self) -> String {
        match self {
            Data::Text(text) if text.chars().count() <= 60 => format!("{text:?}"),
            Data::Integer(number) => number.to_string(),
            Data::Float(number) => number.to_string(),
            Data::Bool(flag) => flag.to_string(),
            other => other.kind().to_owned(),
        }
    }

    /// The plain TOML value.
    pub(crate) fn plain(&self) -> toml::Value {
        match self {
            Data::Text(text) => toml::Value::String(text.clone()),
            Data::Integer(number) => toml::Value::Integer(*number),
            Data::Float(number) => toml::Value::Float(*number),
            Data::Bool(flag) => toml::Value::Boolean(*flag),
            Data::Date(date) => toml::Value::Datetime(*date),
            Data::List(items) => toml::Value::Array(items.iter().map(|item| item.data.plain()).collect()),
            Data::Table(fields) => toml::Value::Table(plain_table(fields)),
        }
    }
}

/// The plain TOML table of some fields.
pub(crate) fn plain_table(fields: &[Field]) -> toml::Table {
    fields.iter().map(|field| (field.key.clone(), field.item.data.plain())).collect()
}

/// Parses a document. `shown` is the path for messages.
///
/// A syntax error names line and column; the line itself is never shown, it may hold a secret.
pub(crate) fn parse(text: &str, shown: &Path) -> Result<Vec<Field>> {
    let lines = Lines::new(text);
    match DeTable::parse(text) {
        Ok(table) => fields(table.into_inner(), &lines, shown),
        Err(error) => {
            let spot = lines.spot(error.span().map_or(0, |span| span.start));
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            Err(Error::new(Kind::Config, format!("{}: not TOML: {message}", at(shown, spot)))
                .hint("correct the line; text values stand in double quotes"))
        }
    }
}

fn at(shown: &Path, spot: Spot) -> String {
    format!("{}:{}:{}", shown.display(), spot.line, spot.column)
}

fn fields(table: DeTable<'_>, lines: &Lines<'_>, shown: &Path) -> Result<Vec<Field>> {
    let mut fields = Vec::with_capacity(table.len());
    for (key, value) in table {
        let spot = lines.spot(key.span().start);
        fields.push(Field { key: key.into_inner().into_owned(), spot, item: item(value, lines, shown)? });
    }
    fields.sort_by_key(|field| (field.spot.line, field.spot.column));
    Ok(fields)
}

fn item(value: Spanned<DeValue<'_>>, lines: &Lines<'_>, shown: &Path) -> Result<Item> {
    let spot = lines.spot(value.span().start);
    // The number itself is not shown: it may be a password without its quotes.
    let unreadable = || {
        Error::new(Kind::Config, format!("{}: the number is out of range", at(shown, spot)))
            .hint("give a number that fits into 64 bits, or put a text in double quotes")
    };
    let data = match value.into_inner() {
        DeValue::String(text) => Data::Text(text.into_owned()),
        DeValue::Boolean(flag) => Data::Bool(flag),
        DeValue::Datetime(date) => Data::Date(date),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            Data::Integer(parsed.map_err(|_| unreadable())?)
        }
        DeValue::Float(number) => {
            let parsed = number.as_str().parse().ok();
            Data::Float(parsed.ok_or_else(unreadable)?)
        }
        DeValue::Array(items) => {
            Data::List(items.into_iter().map(|value| item(value, lines, shown)).collect::<Result<_>>()?)
        }
        DeValue::Table(table) => Data::Table(fields(table, lines, shown)?),
    };
    Ok(Item { spot, data })
}

/// Finds line and column of a byte offset.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let after_breaks =
            text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(index, _)| index + 1);
        Lines { text, starts: std::iter::once(0).chain(after_breaks).collect() }
    }

    fn spot(&self, offset: usize) -> Spot {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts[line - 1];
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        Spot {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_their_line_and_column() {
        let text = "a = 1\n\n[b]\n  \"é\" = \"x\" \nc = [1.5,\n  true]\nd = 1_000\nh = 0xff\n";
        let fields = parse(text, Path::new("x.toml")).unwrap();
        assert_eq!(fields[0].spot, Spot { line: 1, column: 1 });
        assert_eq!(fields[0].item.spot, Spot { line: 1, column: 5 });
        let Data::Table(inner) = &fields[1].item.data else { panic!("{fields:?}") };
        assert_eq!((inner[0].key.as_str(), inner[0].spot), ("é", Spot { line: 4, column: 3 }));
        assert_eq!(inner[0].item.spot, Spot { line: 4, column: 9 });
        let Data::List(items) = &inner[1].item.data else { panic!("{inner:?}") };
        assert_eq!(items[1], Item { spot: Spot { line: 6, column: 3 }, data: Data::Bool(true) });
        assert_eq!((&inner[2].item.data, &inner[3].item.data), (&Data::Integer(1000), &Data::Integer(255)));
    }

    #[test]
    fn plain_values_are_what_the_file_said() {
        let text = "a = 1\nb = [1.5, \"x\", 2026-11-24]\n[c]\nd = true\n";
        let table: toml::Table = toml::from_str(text).unwrap();
        assert_eq!(plain_table(&parse(text, Path::new("x.toml")).unwrap()), table);
    }
}
