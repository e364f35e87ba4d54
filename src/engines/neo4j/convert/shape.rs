//! Values as plain text, and the expression that makes them values again.
//!
//! A statement with thousands of literals takes the server's planner seconds to minutes (tried: 12 ms a row). So the
//! values of a batch are one text, which `split` takes apart, and the statement says of each column how to read it.
//! Rows with the same properties of the same types share such a statement, and its plan.

use std::fmt::Write as _;

use super::time;
use crate::bolt::packstream::Value;
use crate::error::{Error, Kind, Result};

/// What a value is: how its text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// A single value.
    One(Type),
    /// A list of them, with this letter between.
    Many(Type, char),
    /// A list of nothing.
    Empty,
}

/// The type of a single value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    /// A boolean.
    Boolean,
    /// An integer.
    Integer,
    /// A float.
    Float,
    /// A text.
    Text,
    /// A date.
    Date,
    /// A time of day.
    LocalTime,
    /// A time of day with an offset.
    Time,
    /// A date and time.
    LocalDateTime,
    /// An instant with an offset or zone.
    DateTime,
    /// A duration.
    Duration,
    /// A point in a plane.
    Point2,
    /// A point in space.
    Point3,
}

impl Shape {
    /// Appends the expression that reads the text `from`.
    pub fn read(self, from: &str, out: &mut String) {
        match self {
            Shape::One(kind) => kind.read(from, out),
            Shape::Empty => out.push_str("[]"),
            Shape::Many(kind, between) => {
                let mut list = format!("split({from},");
                super::literal::text(&between.to_string(), &mut list);
                list.push(')');
                if kind == Type::Text {
                    out.push_str(&list);
                    return;
                }
                let _ = write!(out, "[x IN {list}|");
                kind.read("x", out);
                out.push(']');
            }
        }
    }
}

impl Type {
    fn read(self, from: &str, out: &mut String) {
        let part = |place: usize| format!("split({from},' ')[{place}]");
        let _ = match self {
            Type::Text => write!(out, "{from}"),
            Type::Boolean => write!(out, "toBoolean({from})"),
            Type::Integer => write!(out, "toInteger({from})"),
            Type::Float => write!(out, "toFloat({from})"),
            Type::Date => write!(out, "date({from})"),
            Type::LocalTime => write!(out, "localtime({from})"),
            Type::LocalDateTime => write!(out, "localdatetime({from})"),
            Type::Time => write!(out, "time({{time:localtime({}),timezone:{}}})", part(0), part(1)),
            Type::DateTime => {
                write!(out, "datetime({{datetime:datetime({}),timezone:{}}})", part(0), part(1))
            }
            Type::Duration => {
                let fields = ["months", "days", "seconds", "nanoseconds"].iter().enumerate();
                let fields: Vec<String> =
                    fields.map(|(at, name)| format!("{name}:toInteger({})", part(at))).collect();
                write!(out, "duration({{{}}})", fields.join(","))
            }
            Type::Point2 | Type::Point3 => {
                let mut fields = vec![format!("srid:toInteger({})", part(0))];
                let axes = if self == Type::Point2 { 2 } else { 3 };
                for (at, axis) in ["x", "y", "z"].iter().enumerate().take(axes) {
                    fields.push(format!("{axis}:toFloat({})", part(at + 1)));
                }
                write!(out, "point({{{}}})", fields.join(","))
            }
        };
    }
}

/// The text of a property's value, and how to read it.
///
/// # Errors
/// [`Kind::Failed`] for a type that has no form in Cypher, [`Kind::Damaged`] for what is no property.
pub fn shape(value: &Value) -> Result<(Shape, String)> {
    let mut text = String::new();
    let shape = match value {
        Value::List(values) => match values.first() {
            None => Shape::Empty,
            Some(first) => {
                let kind = one(first, &mut String::new())?;
                let mut texts = Vec::with_capacity(values.len());
                for value in values {
                    let mut text = String::new();
                    if one(value, &mut text)? != kind {
                        return Err(Error::new(Kind::Damaged, "a list has values of several types"));
                    }
                    texts.push(text);
                }
                let between = absent(&['|', ';'], |letter| texts.iter().any(|text| text.contains(letter)));
                text = texts.join(&between.to_string());
                Shape::Many(kind, between)
            }
        },
        // Cypher has no other form for an array of bytes. Signed, as the bytes of Java are.
        Value::Bytes(bytes) if bytes.is_empty() => Shape::Empty,
        Value::Bytes(bytes) => {
            let bytes: Vec<String> = bytes.iter().map(|byte| (*byte as i8).to_string()).collect();
            text = bytes.join("|");
            Shape::Many(Type::Integer, '|')
        }
        value => Shape::One(one(value, &mut text)?),
    };
    Ok((shape, text))
}

/// A letter that does not occur: one of these, else the first beyond the visible ones of ASCII.
pub fn absent(preferred: &[char], occurs: impl Fn(char) -> bool) -> char {
    let rest = ('\u{1}'..='\u{1F}').chain('\u{A0}'..=char::MAX);
    preferred.iter().copied().chain(rest).find(|letter| !occurs(*letter)).unwrap_or('\u{1F}')
}

/// Appends the text of a single value.
fn one(value: &Value, out: &mut String) -> Result<Type> {
    Ok(match value {
        Value::Bool(value) => {
            out.push_str(if *value { "true" } else { "false" });
            Type::Boolean
        }
        Value::Int(value) => {
            let _ = write!(out, "{value}");
            Type::Integer
        }
        Value::Float(value) => {
            float(*value, out);
            Type::Float
        }
        Value::String(value) => {
            out.push_str(value);
            Type::Text
        }
        Value::Structure { tag, fields } => structure(*tag, fields, out)?,
        Value::Null | Value::List(_) | Value::Map(_) | Value::Bytes(_) => {
            return Err(Error::new(Kind::Damaged, "a property has a value that no property can have"));
        }
    })
}

/// The shortest digits that give this value again.
fn float(value: f64, out: &mut String) {
    let _ = match value {
        _ if value.is_nan() => write!(out, "NaN"),
        _ if value.is_infinite() => write!(out, "{}Infinity", if value < 0.0 { "-" } else { "" }),
        _ => write!(out, "{value:e}"),
    };
}

/// Appends a date, time, duration or point.
///
/// Source: Bolt protocol documentation, "Structure semantics".
fn structure(tag: u8, fields: &[Value], out: &mut String) -> Result<Type> {
    use Value::{Float, Int, String as Text};
    Ok(match (tag, fields) {
        (0x44, [Int(days)]) => time::date(*days, out).map(|()| Type::Date)?,
        (0x74, [Int(nanoseconds)]) => time::local_time(*nanoseconds, out).map(|()| Type::LocalTime)?,
        (0x54, [Int(nanoseconds), Int(offset)]) => {
            time::time(*nanoseconds, *offset, out).map(|()| Type::Time)?
        }
        (0x64, [Int(seconds), Int(nanoseconds)]) => {
            time::local_date_time(*seconds, *nanoseconds, out).map(|()| Type::LocalDateTime)?
        }
        (0x49, [Int(seconds), Int(nanoseconds), Int(offset)]) => {
            time::date_time(*seconds, *nanoseconds, *offset, out).map(|()| Type::DateTime)?
        }
        (0x69, [Int(seconds), Int(nanoseconds), Text(zone)]) => {
            time::zoned_date_time(*seconds, *nanoseconds, zone, out).map(|()| Type::DateTime)?
        }
        (0x45, [Int(months), Int(days), Int(seconds), Int(nanoseconds)]) => {
            let _ = write!(out, "{months} {days} {seconds} {nanoseconds}");
            Type::Duration
        }
        (0x58, [Int(srid), Float(x), Float(y)]) => {
            point(*srid, &[*x, *y], out);
            Type::Point2
        }
        (0x59, [Int(srid), Float(x), Float(y), Float(z)]) => {
            point(*srid, &[*x, *y, *z], out);
            Type::Point3
        }
        (0x44 | 0x74 | 0x54 | 0x64 | 0x49 | 0x69 | 0x45 | 0x58 | 0x59, _) => {
            return Err(Error::new(
                Kind::Damaged,
                format!("a property is a structure of the type {tag:#04x} with the wrong fields"),
            ));
        }
        _ => {
            return Err(Error::new(
                Kind::Failed,
                format!("a property of the type {tag:#04x} cannot be written in Cypher"),
            )
            .hint("lifeboat restore brings it back as it is"));
        }
    })
}

fn point(srid: i64, coordinates: &[f64], out: &mut String) {
    let _ = write!(out, "{srid}");
    for value in coordinates {
        out.push(' ');
        float(*value, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(value: &Value) -> (String, String) {
        let (shape, text) = shape(value).unwrap();
        let mut read = String::new();
        shape.read("v", &mut read);
        (text, read)
    }

    fn pair(text: &str, read: &str) -> (String, String) {
        (text.to_owned(), read.to_owned())
    }

    #[test]
    fn numbers_are_what_they_were() {
        for (value, expected) in [
            (1.0, "1e0"),
            (-0.0, "-0e0"),
            (0.1, "1e-1"),
            (f64::MAX, "1.7976931348623157e308"),
            (5e-324, "5e-324"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(both(&Value::Float(value)), pair(expected, "toFloat(v)"));
        }
        assert_eq!(both(&Value::Int(i64::MIN)), pair("-9223372036854775808", "toInteger(v)"));
    }

    #[test]
    fn lists_are_kept_apart_by_what_is_not_in_them() {
        let texts = |texts: &[&str]| Value::List(texts.iter().map(|t| Value::String((*t).into())).collect());
        assert_eq!(both(&texts(&["a", ""])), pair("a|", "split(v,'|')"));
        assert_eq!(both(&texts(&["a|", "b;"])), pair("a|\u{1}b;", r"split(v,'\u0001')"));
        assert_eq!(both(&texts(&[""])), pair("", "split(v,'|')"));
        assert_eq!(both(&texts(&[])), pair("", "[]"));
        let numbers = Value::List(vec![Value::Int(1), Value::Int(-2)]);
        assert_eq!(both(&numbers), pair("1|-2", "[x IN split(v,'|')|toInteger(x)]"));
        assert_eq!(both(&Value::Bytes(vec![0, 255])), pair("0|-1", "[x IN split(v,'|')|toInteger(x)]"));
        let mixed = Value::List(vec![Value::Int(1), Value::Bool(true)]);
        assert_eq!(shape(&mixed).unwrap_err().kind(), Kind::Damaged);
    }

    #[test]
    fn structures_that_are_none_are_told() {
        let error = |tag, fields| shape(&Value::Structure { tag, fields }).unwrap_err();
        assert_eq!(error(0x44, vec![]).kind(), Kind::Damaged);
        assert_eq!(error(0x56, vec![]).message(), "a property of the type 0x56 cannot be written in Cypher");
        assert_eq!(shape(&Value::Map(vec![])).unwrap_err().kind(), Kind::Damaged);
    }
}
