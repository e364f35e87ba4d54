//! The text exposition format, version 0.0.4.
//!
//! Source: Prometheus documentation, "Exposition formats", and the push gateway's README (URL, API).

use std::collections::BTreeMap;

use super::Labels;
use super::names::{ALL, Metric};

const HELP: &str = "# HELP ";

/// Writes a metric with its samples.
pub(super) fn family(text: &mut String, metric: &Metric, samples: &[(Labels, f64)], group: &[(&str, &str)]) {
    let Metric { name, help, .. } = metric;
    text.push_str(&format!("{HELP}{name} {}\n# TYPE {name} gauge\n", escaped(help, false)));
    for (labels, value) in samples {
        let own = labels.iter().map(|(label, value)| (*label, value.as_str()));
        let pairs: Vec<String> = group
            .iter()
            .copied()
            .chain(own)
            .map(|(label, value)| format!("{label}=\"{}\"", escaped(value, true)))
            .collect();
        let labels = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
        text.push_str(&format!("{name}{labels} {}\n", number(*value)));
    }
}

/// A backslash and a line end are escaped everywhere, a quote in label values.
fn escaped(text: &str, quotes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            other => out.push(other),
        }
    }
    out
}

fn number(value: f64) -> String {
    match value {
        value if value.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}

/// What is there after `new` was written over `old`: every metric of `new`, and those of `old` that `new` does
/// not have. What this version does not know is dropped.
pub fn merged(old: &str, new: &str) -> String {
    let mut families: BTreeMap<&str, &str> =
        split(old).filter(|(name, _)| ALL.iter().any(|metric| metric.name == *name)).collect();
    families.extend(split(new));
    families.into_values().collect()
}

/// The metrics in a text of ours, with their names.
fn split(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let begin = rest.starts_with(HELP).then_some(0).or_else(|| Some(rest.find("\n# HELP ")? + 1))?;
        let from = &rest[begin..];
        let end = from.find("\n# HELP ").map_or(from.len(), |at| at + 1);
        let (family, after) = from.split_at(end);
        rest = after;
        // A last line without its end was cut.
        let whole = &family[..family.rfind('\n').map_or(0, |at| at + 1)];
        Some((whole[HELP.len().min(whole.len())..].split(' ').next().unwrap_or_default(), whole))
    })
    .filter(|(name, _)| !name.is_empty())
}

/// A label of a group in the push gateway's path: `/name/value`, and in base64 where the value has letters that
/// a path may not have.
pub fn path_segment(label: &str, value: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    if !value.is_empty() && value.chars().all(plain) && !value.chars().all(|letter| letter == '.') {
        return format!("/{label}/{value}");
    }
    // An empty value is a lone `=`, since a path has no empty parts.
    let encoded = if value.is_empty() { "=".to_owned() } else { base64url(value.as_bytes()) };
    format!("/{label}@base64/{encoded}")
}

/// Base64 with the letters of RFC 4648, section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..=chunk.len() {
            // Six bits: below 64.
            let letter = LETTERS[(bits >> (18 - 6 * index) & 63) as usize];
            text.push(char::from(letter));
        }
    }
    text
}
