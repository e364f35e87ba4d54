//! Writes JSON values as YAML, in the block style that people read and diff.
//!
//! Keys come in a fixed order, whatever the map's own. The key [`COMMENT`] is written as comment lines
//! before the other keys of its mapping.

use serde_json::{Map, Value};

/// The key whose text becomes a comment.
pub const COMMENT: &str = "#";

/// These keys come first, in this order; the others follow by name.
const FIRST: &[&str] = &["apiVersion", "kind", "metadata", "name", "namespace", "schedule", "timeZone"];

/// One document, with a line end at its end.
pub fn document(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(&mut out, map, 0, false),
        Value::Array(items) if !items.is_empty() => sequence(&mut out, items, 0),
        plain => {
            out.push_str(&scalar(plain));
            out.push('\n');
        }
    }
    out
}

/// Writes a mapping. `begun`: its first line has its indentation already, as after `- `.
fn mapping(out: &mut String, map: &Map<String, Value>, indent: usize, mut begun: bool) {
    if let Some(Value::String(comment)) = map.get(COMMENT) {
        for line in comment.lines() {
            pad(out, indent, &mut begun);
            out.push_str(&format!("# {line}\n"));
        }
    }
    let mut entries: Vec<(&String, &Value)> = map.iter().filter(|(key, _)| *key != COMMENT).collect();
    let rank = |key: &str| FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len());
    entries.sort_by(|(a, _), (b, _)| (rank(a), a).cmp(&(rank(b), b)));
    for (key, value) in entries {
        pad(out, indent, &mut begun);
        out.push_str(&text(key));
        out.push(':');
        match value {
            Value::Object(map) if !map.is_empty() => {
                out.push('\n');
                mapping(out, map, indent + 2, false);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                sequence(out, items, indent + 2);
            }
            Value::String(lines) if is_block(lines) => block(out, lines, indent + 2),
            plain => out.push_str(&format!(" {}\n", scalar(plain))),
        }
    }
}

fn sequence(out: &mut String, items: &[Value], indent: usize) {
    for item in items {
        pad(out, indent, &mut false);
        match item {
            Value::Object(map) if !map.is_empty() => {
                // A comment on the line of the dash would be about nothing.
                if map.contains_key(COMMENT) {
                    out.push_str("-\n");
                    mapping(out, map, indent + 2, false);
                } else {
                    out.push_str("- ");
                    mapping(out, map, indent + 2, true);
                }
            }
            Value::Array(items) if !items.is_empty() => {
                out.push_str("-\n");
                sequence(out, items, indent + 2);
            }
            plain => out.push_str(&format!("- {}\n", scalar(plain))),
        }
    }
}

fn pad(out: &mut String, indent: usize, begun: &mut bool) {
    if !std::mem::take(begun) {
        out.push_str(&" ".repeat(indent));
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(plain) => text(plain),
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        other => other.to_string(),
    }
}

/// A text, in quotes unless every YAML reader takes it for a text without.
fn text(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

/// Plain is what begins with a letter or slash and looks like a name or path, and no word of YAML 1.1.
fn is_plain(text: &str) -> bool {
    const WORDS: &[&str] = &["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let inside = |c: char| c.is_ascii_alphanumeric() || "/._-:@$()".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(inside)
        && !text.ends_with(':')
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

/// In double quotes: JSON's form, and whatever YAML does not call printable escaped too.
fn quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

/// True for a text that is best read as lines, and can be written so without loss.
fn is_block(text: &str) -> bool {
    let printable = |c: char| c == '\n' || (c >= ' ' && !('\u{7f}'..='\u{9f}').contains(&c));
    let strange = ['\u{2028}', '\u{2029}', '\u{feff}', '\u{fffe}', '\u{ffff}'];
    text.contains('\n')
        && !text.starts_with([' ', '\n'])
        && text.chars().all(|c| printable(c) && !strange.contains(&c))
}

fn block(out: &mut String, text: &str, indent: usize) {
    let body = text.trim_end_matches('\n');
    let chomp = match text.len() - body.len() {
        0 => "-",
        1 => "",
        _ => "+",
    };
    out.push_str(&format!(" |{chomp}\n"));
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        if !line.is_empty() {
            out.push_str(&" ".repeat(indent));
            out.push_str(line);
        }
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_reads_like_one_written_by_hand() {
        let value = json!({
            "spec": {"on": true, "count": 3, "none": {}, "schedule": "0 2 * * *", "#": "two\nlines"},
            "kind": "CronJob",
            "list": [{"name": "a", "args": ["backup", "--all"]}, "x", [], {"#": "why", "k": "v"}],
            "data": {"a.toml": "[x]\n\ny = 1\n", "b": "end", "c": "two\nlines", "d": "x\n\n", "e": " x\n"},
        });
        let expected = "\
kind: CronJob
data:
  a.toml: |
    [x]

    y = 1
  b: end
  c: |-
    two
    lines
  d: |+
    x

  e: \" x\\n\"
list:
  - name: a
    args:
      - backup
      - \"--all\"
  - x
  - []
  -
    # why
    k: v
spec:
  # two
  # lines
  schedule: \"0 2 * * *\"
  count: 3
  none: {}
  \"on\": true
";
        assert_eq!(document(&value), expected);
    }

    #[test]
    fn what_could_be_something_else_is_quoted() {
        for word in
            ["", "no", "Yes", "NULL", "~", "1", "1e3", "0o7", "-", "a: b", "a:", "a #b", "2026-01-01", ".inf"]
        {
            assert!(text(word).starts_with('"'), "{word}");
        }
        for word in ["orders", "a/b:1.2", "America/Sao_Paulo", "/tmp", "$(X)/8"] {
            assert_eq!(text(word), *word.replace("$(X)/8", "\"$(X)/8\""));
        }
        assert_eq!(text("a\u{85}b\u{7f}"), "\"a\\u0085b\\u007f\"");
    }
}
