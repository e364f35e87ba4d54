//! The few pieces of SQL that pg_dump writes and that mean something to a reader.
//!
//! Names are written by `fmtId` (src/fe_utils/string_utils.c): bare when lower-case and not a
//! keyword, otherwise in double quotes with inner quotes doubled.

use super::toc::{CopyTarget, SequenceValue, TableRef};

/// Text yet to be read.
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    /// Takes `token` off the front.
    fn eat(&mut self, token: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(token)?;
        Some(())
    }

    /// Takes one identifier, bare or quoted.
    fn identifier(&mut self) -> Option<String> {
        if let Some(mut rest) = self.rest.strip_prefix('"') {
            let mut name = String::new();
            loop {
                let quote = rest.find('"')?;
                name.push_str(&rest[..quote]);
                rest = &rest[quote + 1..];
                match rest.strip_prefix('"') {
                    Some(after) => {
                        name.push('"');
                        rest = after;
                    }
                    None => break,
                }
            }
            self.rest = rest;
            return (!name.is_empty()).then_some(name);
        }
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
        let end = self.rest.find(|c| !bare(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!name.is_empty()).then(|| name.to_string())
    }

    /// Takes `name` or `schema.name`.
    fn qualified(&mut self) -> Option<TableRef> {
        let first = self.identifier()?;
        if self.eat(".").is_none() {
            return Some(TableRef { schema: String::new(), name: first });
        }
        Some(TableRef { schema: first, name: self.identifier()? })
    }
}

/// Reads a whole text as `name` or `schema.name`, with SQL quoting.
pub(super) fn qualified_name(text: &str) -> Option<TableRef> {
    let mut cursor = Cursor { rest: text };
    let name = cursor.qualified()?;
    cursor.rest.is_empty().then_some(name)
}

/// Reads a copy statement: `COPY schema.name (a, "B") FROM stdin;`, without the list when there are no columns.
pub(super) fn copy_target(statement: &str) -> Option<CopyTarget> {
    let mut cursor = Cursor { rest: statement };
    cursor.eat("COPY ")?;
    let table = cursor.qualified()?;
    cursor.eat(" ")?;
    let mut columns = Vec::new();
    if cursor.eat("(").is_some() {
        loop {
            columns.push(cursor.identifier()?);
            if cursor.eat(", ").is_none() {
                break;
            }
        }
        cursor.eat(")")?;
    }
    cursor.eat(" FROM stdin;\n")?;
    cursor.rest.is_empty().then_some(CopyTarget { table, columns })
}

/// Reads the last value and `is_called` of `SELECT pg_catalog.setval('…', 3, true);`.
pub(super) fn sequence_value(statement: &str) -> Option<SequenceValue> {
    let arguments = statement.strip_prefix("SELECT pg_catalog.setval('")?.trim_end().strip_suffix(");")?;
    let (arguments, called) = arguments.rsplit_once(", ")?;
    let (name, last) = arguments.rsplit_once(", ")?;
    name.strip_suffix('\'')?;
    Some(SequenceValue { last: last.parse().ok()?, called: called.parse().ok()? })
}

/// Reads the value of `SET name = 'value';`.
pub(super) fn setting_value<'a>(statement: &'a str, name: &str) -> Option<&'a str> {
    let value = statement.strip_prefix("SET ")?.strip_prefix(name)?.strip_prefix(" = '")?;
    value.trim_end().strip_suffix("';").filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_statements_give_target_and_columns() {
        let target =
            copy_target("COPY \"Ünïcode schema\".\"T \"\"1\"\"\" (\"größe\", \"a,b\", c_1) FROM stdin;\n")
                .unwrap();
        assert_eq!((target.table.schema.as_str(), target.table.name.as_str()), ("Ünïcode schema", "T \"1\""));
        assert_eq!(target.columns, ["größe", "a,b", "c_1"]);
        let none = copy_target("COPY public.nothing  FROM stdin;\n").unwrap();
        assert_eq!((none.table.name.as_str(), none.columns.len()), ("nothing", 0));
        for wrong in [
            "COPY public.t (a FROM stdin;\n",
            "COPY public.t (a) FROM stdin;",
            "COPY public.t (a) FROM stdin;\nDROP",
            "COPY public.\"t (a) FROM stdin;\n",
            "COPY public.t () FROM stdin;\n",
            "COPY  (a) FROM stdin;\n",
        ] {
            assert_eq!(copy_target(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sequence_values_are_read_from_the_end() {
        let value = sequence_value("SELECT pg_catalog.setval('\"a, 1, true\".\"x\"', -9, false);\n").unwrap();
        assert_eq!((value.last, value.called), (-9, false));
        assert_eq!(sequence_value("SELECT pg_catalog.setval('s', 1, maybe);\n"), None);
        assert_eq!(sequence_value("SELECT pg_catalog.setval('s', 1, true)"), None);
    }

    #[test]
    fn settings_are_read() {
        assert_eq!(setting_value("SET client_encoding = 'UTF8';\n", "client_encoding"), Some("UTF8"));
        assert_eq!(setting_value("SET client_encoding = '';\n", "client_encoding"), None);
    }
}
