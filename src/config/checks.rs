//! `[[drill.checks]]`: what has to hold in a restored database.

use std::fmt;
use std::time::Duration;

use super::document::{Data, Field, Item};
use super::layers::Entry;
use super::near::{list, nearest};
use super::origin::Place;
use super::values::{DURATION_HINT, duration};
use crate::error::{Error, Kind, Result};

/// A number as it stands in the policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number.
    Integer(i64),
    /// Any other finite number.
    Float(f64),
}

/// A value that a query has to return.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
    /// True or false.
    Bool(bool),
}

/// What a result has to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Expect {
    /// This or more.
    AtLeast(Number),
    /// This or less.
    AtMost(Number),
    /// Exactly this.
    Equals(Scalar),
}

/// What a check looks at.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckKind {
    /// The one value that a query returns.
    Sql {
        /// The query, in the engine's language.
        query: String,
        /// What it has to return.
        expect: Expect,
    },
    /// The number of rows of a table.
    Rows {
        /// The table, `schema.name` or a name.
        table: String,
        /// How many there have to be.
        expect: Expect,
    },
    /// The age of the newest value of a time column.
    Freshness {
        /// The table, `schema.name` or a name.
        table: String,
        /// The column with a time.
        column: String,
        /// How old the newest value may be.
        max_age: Duration,
    },
}

/// One check of a drill.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Its name, unlike that of every other check of the policy.
    pub name: String,
    /// What it looks at and what has to hold.
    pub kind: CheckKind,
}

impl CheckKind {
    /// The word used for `kind` in policies and JSON.
    pub fn word(&self) -> &'static str {
        match self {
            CheckKind::Sql { .. } => "sql",
            CheckKind::Rows { .. } => "rows",
            CheckKind::Freshness { .. } => "freshness",
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Integer(number) => number.fmt(f),
            Number::Float(number) => number.fmt(f),
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Number(number) => number.fmt(f),
            Scalar::Text(text) => write!(f, "{text:?}"),
            Scalar::Bool(flag) => flag.fmt(f),
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expect::AtLeast(number) => write!(f, "at least {number}"),
            Expect::AtMost(number) => write!(f, "at most {number}"),
            Expect::Equals(value) => write!(f, "equal to {value}"),
        }
    }
}

impl fmt::Display for CheckKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckKind::Sql { expect, .. } => write!(f, "query {expect}"),
            CheckKind::Rows { table, expect } => write!(f, "rows of {table} {expect}"),
            CheckKind::Freshness { table, column, max_age } => {
                write!(f, "{table}.{column} at most {} old", crate::retention::short_duration(*max_age))
            }
        }
    }
}

const EXPECTATIONS: [&str; 3] = ["at_least", "at_most", "equals"];
const SQL: [&str; 6] = ["name", "kind", "query", "at_least", "at_most", "equals"];
const ROWS: [&str; 6] = ["name", "kind", "table", "at_least", "at_most", "equals"];
const FRESHNESS: [&str; 5] = ["name", "kind", "table", "column", "max_age"];

/// Reads a list of checks. `key` is the list's key for messages.
pub(crate) fn read(entry: &Entry, key: &str) -> Result<Vec<Check>> {
    let Data::List(items) = &entry.data else {
        let message = format!("{}: {key} is a list of tables, not {}", entry.place, entry.data.kind());
        return Err(
            Error::new(Kind::Config, message).hint(format!("write each check below a line [[{key}]]"))
        );
    };
    let mut checks: Vec<Check> = Vec::with_capacity(items.len());
    for item in items {
        let check = read_one(entry, key, item)?;
        if checks.iter().any(|other| other.name == check.name) {
            return Err(twins(&format!("{}: {key}", entry.place.part(item.spot)), &check.name));
        }
        checks.push(check);
    }
    Ok(checks)
}

fn twins(whose: &str, name: &str) -> Error {
    Error::new(Kind::Config, format!("{whose} has two checks named {name:?}"))
        .hint("give each check a name of its own")
}

/// Refuses two checks of the same name, where lists from several places are joined.
pub(crate) fn refuse_twins(checks: &[Check], whose: &str) -> Result<()> {
    for (index, check) in checks.iter().enumerate() {
        if checks[..index].iter().any(|other| other.name == check.name) {
            return Err(twins(whose, &check.name));
        }
    }
    Ok(())
}

fn read_one(entry: &Entry, key: &str, item: &Item) -> Result<Check> {
    let place = entry.place.part(item.spot);
    let Data::Table(fields) = &item.data else {
        let message = format!("{place}: {key} is a list of tables, not of {}", item.data.kind());
        return Err(
            Error::new(Kind::Config, message).hint(format!("write each check below a line [[{key}]]"))
        );
    };
    // The line of a `[[…]]` header is of little help when the table is long: the first key is nearer.
    let place = fields.first().map_or(place, |field| entry.place.part(field.spot));
    let mut table = Table { entry, key, place, fields };
    let name = table.text("name")?;
    table.key = &name;
    let kind = table.kind()?;
    let kind = match kind {
        "sql" => {
            table.only(&SQL)?;
            CheckKind::Sql { query: table.text("query")?, expect: table.expect()? }
        }
        "rows" => {
            table.only(&ROWS)?;
            let expect = table.expect()?;
            table.rows_can_be(&expect)?;
            CheckKind::Rows { table: table.text("table")?, expect }
        }
        _ => {
            table.only(&FRESHNESS)?;
            let (of, column) = (table.text("table")?, table.text("column")?);
            CheckKind::Freshness { table: of, column, max_age: table.age("max_age")? }
        }
    };
    Ok(Check { name, kind })
}

/// One check's table, being read.
struct Table<'a> {
    entry: &'a Entry,
    /// What messages call it: the list's key until the name is known.
    key: &'a str,
    place: Place,
    fields: &'a [Field],
}

impl<'a> Table<'a> {
    fn field(&self, key: &str) -> Option<&'a Field> {
        self.fields.iter().find(|field| field.key == key)
    }

    fn error(&self, message: impl fmt::Display) -> Error {
        Error::new(Kind::Config, format!("{}: check {:?} {message}", self.place, self.key))
    }

    fn wrong(&self, field: &Field, must_be: &str) -> Error {
        let (place, value) = (self.entry.place.part(field.item.spot), field.item.data.shown());
        let message =
            format!("{place}: {} of check {:?} must be {must_be}, not {value}", field.key, self.key);
        Error::new(Kind::Config, message)
    }

    fn text(&self, key: &str) -> Result<String> {
        let field = self.field(key).ok_or_else(|| {
            let hint = format!("add `{key} = \"…\"` to the check");
            if key == "name" {
                return Error::new(
                    Kind::Config,
                    format!("{}: a check in {} has no name", self.place, self.key),
                )
                .hint(hint);
            }
            self.error(format_args!("has no {key}")).hint(hint)
        })?;
        match &field.item.data {
            Data::Text(text) if !text.trim().is_empty() => Ok(text.clone()),
            _ => Err(self.wrong(field, "a text").hint("put the value in double quotes")),
        }
    }

    /// The kind: as it is given, else by the keys.
    fn kind(&self) -> Result<&'static str> {
        const KINDS: [&str; 3] = ["sql", "rows", "freshness"];
        if self.field("kind").is_some() {
            let given = self.text("kind")?;
            return KINDS.into_iter().find(|kind| *kind == given).ok_or_else(|| {
                let hint = match nearest(&given, KINDS) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None if given == "amcheck" => "set `amcheck = \"on\"` in [drill] instead".to_owned(),
                    None => format!("kinds are {}", list(KINDS)),
                };
                self.error(format_args!("is of no known kind: {given:?}")).hint(hint)
            });
        }
        let has = |key| self.field(key).is_some();
        if has("query") {
            Ok("sql")
        } else if has("column") || has("max_age") {
            Ok("freshness")
        } else if has("table") {
            Ok("rows")
        } else {
            self.only(&[
                "name", "kind", "query", "table", "column", "max_age", "at_least", "at_most", "equals",
            ])?;
            Err(self
                .error("looks at nothing")
                .hint("give it a `query`, a `table`, or a `table`, `column` and `max_age`"))
        }
    }

    fn only(&self, known: &[&'static str]) -> Result<()> {
        let Some(field) = self.fields.iter().find(|field| !known.contains(&field.key.as_str())) else {
            return Ok(());
        };
        let place = self.entry.place.part(field.spot);
        let hint = match nearest(&field.key, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known keys: {}", list(known.iter().copied())),
        };
        let message = format!("{place}: unknown key `{}` in check {:?}", field.key, self.key);
        Err(Error::new(Kind::Config, message).hint(hint))
    }

    fn expect(&self) -> Result<Expect> {
        let given: Vec<&Field> = EXPECTATIONS.iter().filter_map(|key| self.field(key)).collect();
        let [field] = given[..] else {
            let what = if given.is_empty() { "expects nothing" } else { "expects several things" };
            return Err(self.error(what).hint("give exactly one of at_least, at_most and equals"));
        };
        let number = match field.item.data {
            Data::Integer(number) => Some(Number::Integer(number)),
            Data::Float(number) if number.is_finite() => Some(Number::Float(number)),
            _ => None,
        };
        match (field.key.as_str(), number, &field.item.data) {
            ("at_least", Some(number), _) => Ok(Expect::AtLeast(number)),
            ("at_most", Some(number), _) => Ok(Expect::AtMost(number)),
            ("equals", Some(number), _) => Ok(Expect::Equals(Scalar::Number(number))),
            ("equals", None, Data::Text(text)) => Ok(Expect::Equals(Scalar::Text(text.clone()))),
            ("equals", None, Data::Bool(flag)) => Ok(Expect::Equals(Scalar::Bool(*flag))),
            ("equals", ..) => {
                Err(self.wrong(field, "a number, a text, true or false").hint("correct the value"))
            }
            _ => Err(self.wrong(field, "a number").hint("write a number without quotes")),
        }
    }

    fn rows_can_be(&self, expect: &Expect) -> Result<()> {
        match expect {
            Expect::AtLeast(Number::Integer(0..)) | Expect::AtMost(Number::Integer(0..)) => Ok(()),
            Expect::Equals(Scalar::Number(Number::Integer(0..))) => Ok(()),
            other => {
                let problem = format!("expects a number of rows that cannot be: {other}");
                Err(self.error(problem).hint("rows are counted in whole numbers from 0"))
            }
        }
    }

    fn age(&self, key: &str) -> Result<Duration> {
        let text = self.text(key)?;
        let read = duration(&text).filter(|age| !age.is_zero());
        match (read, self.field(key)) {
            (Some(age), _) => Ok(age),
            (None, Some(field)) => Err(self.wrong(field, "a duration").hint(DURATION_HINT)),
            (None, None) => Err(self.error(format_args!("has no {key}")).hint(DURATION_HINT)),
        }
    }
}
