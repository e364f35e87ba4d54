//! Texts and names as Cypher writes them: nothing but ASCII, and nothing that ends one early.
//!
//! Cypher reads `\uXXXX` before it looks for quotes and names, in names and comments, too; a text in which `\u0027`
//! comes is not safe with its quotes doubled alone. So each backslash of the data is written as an escape of its
//! own. What is not ASCII is escaped because `cypher-shell` reads files in the encoding of its locale.
//!
//! Source: Cypher manual, "Naming rules" and "String literals"; Neo4j knowledge base, "Protecting against Cypher
//! injection"; and what the server takes.

use std::fmt::Write as _;

/// Appends a text in single quotes.
pub fn text(text: &str, out: &mut String) {
    out.push('\'');
    for letter in text.chars() {
        match letter {
            '\'' => out.push_str("\\'"),
            // Two backslashes are one, and what follows is not looked at with them.
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ => ascii(letter, out),
        }
    }
    out.push('\'');
}

/// Appends the name of a label, type, property, constraint or index, in backticks.
pub fn name(name: &str, out: &mut String) {
    out.push('`');
    for letter in name.chars() {
        match letter {
            '`' => out.push_str("``"),
            // Names have no other escape.
            '\\' => out.push_str("\\u005C"),
            _ => ascii(letter, out),
        }
    }
    out.push('`');
}

/// Appends a whole statement that the server gave, in which names are as they are.
pub fn statement(text: &str, out: &mut String) {
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\u005C"),
            '\n' => out.push('\n'),
            _ => ascii(letter, out),
        }
    }
}

/// Appends a letter, as the escape of its UTF-16 units where it is not to be seen or not ASCII.
fn ascii(letter: char, out: &mut String) {
    match letter {
        ' '..='~' => out.push(letter),
        _ => {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(given: &str) -> String {
        let mut out = String::new();
        text(given, &mut out);
        out
    }

    #[test]
    fn no_text_ends_early() {
        assert_eq!(string("it's"), r"'it\'s'");
        assert_eq!(string(r"\' RETURN 1; //"), r"'\\\' RETURN 1; //'");
        assert_eq!(string(r"\u0027 RETURN 1"), r"'\\u0027 RETURN 1'");
        assert_eq!(string("a\nb\0é\u{1F600}"), r"'a\nb\u0000\u00E9\uD83D\uDE00'");
    }

    #[test]
    fn no_name_ends_early() {
        for (given, expected) in [
            ("a b", "`a b`"),
            ("a`) DETACH DELETE (n", "`a``) DETACH DELETE (n`"),
            (r"\u0060) DETACH DELETE (n", r"`\u005Cu0060) DETACH DELETE (n`"),
            ("Größe\n", r"`Gr\u00F6\u00DFe\u000A`"),
        ] {
            let mut out = String::new();
            name(given, &mut out);
            assert_eq!(out, expected);
        }
        let mut out = String::new();
        statement("CREATE INDEX `\\u0060é` FOR (n:A) ON (n.b)", &mut out);
        assert_eq!(out, r"CREATE INDEX `\u005Cu0060\u00E9` FOR (n:A) ON (n.b)");
    }
}
