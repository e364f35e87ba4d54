//! Cuts the SQL that `pg_dumpall --globals-only` writes into statements.
//!
//! Since the fix of CVE-2025-8714 the text holds psql's `\restrict` and `\unrestrict`: lines that
//! begin with a backslash outside of a literal are for psql alone and are left out.

/// The statements of a script, without comments, psql commands and the final semicolon.
///
/// Knows string literals (`'…'`, `E'…'`), quoted identifiers, `--` comments and dollar quoting:
/// source: PostgreSQL's manual, "Lexical Structure".
pub fn split(script: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut current = String::new();
    let mut rest = script;
    while let Some(ch) = rest.chars().next() {
        let at_line_start = current.trim().is_empty();
        let taken = match ch {
            '-' if rest.starts_with("--") => {
                rest = skip_line(rest);
                current.push('\n');
                continue;
            }
            '\\' if at_line_start => {
                rest = skip_line(rest);
                continue;
            }
            ';' => {
                push(&mut statements, &mut current);
                rest = &rest[1..];
                continue;
            }
            '\'' => quoted(rest, '\'', escapes(&current)),
            '"' => quoted(rest, '"', false),
            '$' => dollar_quoted(rest).unwrap_or(1),
            _ => ch.len_utf8(),
        };
        current.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    push(&mut statements, &mut current);
    statements
}

fn push(statements: &mut Vec<String>, current: &mut String) {
    let statement = current.trim();
    if !statement.is_empty() {
        statements.push(statement.to_owned());
    }
    current.clear();
}

fn skip_line(text: &str) -> &str {
    text.find('\n').map_or("", |end| &text[end + 1..])
}

/// True when the literal that follows is an `E'…'` one.
fn escapes(before: &str) -> bool {
    let mut back = before.chars().rev();
    matches!(back.next(), Some('e' | 'E')) && !back.next().is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// The length of the quoted text that `text` begins with.
fn quoted(text: &str, quote: char, backslashes: bool) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, ch)) = chars.next() {
        if ch == '\\' && backslashes {
            chars.next();
        } else if ch == quote {
            if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
            } else {
                return at + quote.len_utf8();
            }
        }
    }
    text.len()
}

/// The length of the dollar-quoted text that `text` begins with, if it is one.
fn dollar_quoted(text: &str) -> Option<usize> {
    let tag_end = text[1..].find('$')? + 2;
    let tag = &text[..tag_end];
    let word = &tag[1..tag.len() - 1];
    if !word.chars().all(|c| c.is_alphanumeric() || c == '_')
        || word.starts_with(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    text[tag_end..].find(tag).map(|end| tag_end + end + tag.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes() {
        let script = "--\n-- Roles\n--\n\n\\restrict abc\nCREATE ROLE \"a;b\";\nALTER ROLE x WITH PASSWORD 'p;''q';\n\\unrestrict abc\n";
        assert_eq!(split(script), ["CREATE ROLE \"a;b\"", "ALTER ROLE x WITH PASSWORD 'p;''q'"]);
    }

    #[test]
    fn escapes_and_dollars_are_known() {
        assert_eq!(
            split("COMMENT ON ROLE x IS E'it\\'s; fine'; SELECT $a$;'$a$;"),
            ["COMMENT ON ROLE x IS E'it\\'s; fine'", "SELECT $a$;'$a$"]
        );
    }

    #[test]
    fn text_that_never_ends_is_kept() {
        assert_eq!(split("SELECT 'abc"), ["SELECT 'abc"]);
        assert_eq!(split(" ;; "), Vec::<String>::new());
    }
}
