//! Compares the set of definitions, and looks for those that are there but not valid.

use std::collections::{BTreeMap, HashSet};

use crate::engines::postgres::connect::Session;
use crate::error::Result;
use crate::pipeline::digest::RowDigest;
use crate::pipeline::inventory::Definition;

/// What a drill's restore leaves out (`--no-owner --no-privileges --no-tablespaces
/// --no-subscriptions --no-security-labels`) or what
/// is not a definition of the database that is restored into; see `docs/drills.md`.
const LEFT_OUT: &[&str] = &[
    "ACL",
    "DEFAULT ACL",
    "SUBSCRIPTION",
    "SUBSCRIPTION TABLE",
    "SECURITY LABEL",
    // These belong to the database or the session, or are data that items cover.
    "DATABASE",
    "DATABASE PROPERTIES",
    "ENCODING",
    "STDSTRINGS",
    "SEARCHPATH",
    "BLOB",
    "BLOBS",
    "BLOB METADATA",
    "TABLE DATA",
    "SEQUENCE SET",
    "MATERIALIZED VIEW DATA",
    "STATISTICS DATA",
];

/// Comments on these are left out with them.
const LEFT_OUT_SUBJECTS: &[&str] = &["DATABASE ", "SUBSCRIPTION ", "LARGE OBJECT "];

/// True when the comparison looks at a definition.
pub fn is_compared(definition: &Definition) -> bool {
    if LEFT_OUT.contains(&definition.kind.as_str()) {
        return false;
    }
    if definition.kind == "COMMENT" {
        return !LEFT_OUT_SUBJECTS.iter().any(|subject| definition.name.starts_with(subject));
    }
    // Every new database has the schema public; pg_dump has an entry only when its owner was changed,
    // and a drill's restore sets no owners.
    !(definition.kind == "SCHEMA" && definition.name == "public")
}

/// What identifies a definition.
type Key<'a> = (&'a str, &'a str, &'a str, &'a str);

fn by_key(definitions: &[Definition]) -> BTreeMap<Key<'_>, Vec<RowDigest>> {
    let mut map: BTreeMap<Key<'_>, Vec<RowDigest>> = BTreeMap::new();
    for d in definitions.iter().filter(|d| is_compared(d)) {
        map.entry((&d.kind, &d.schema, &d.name, &d.parent)).or_default().push(d.text);
    }
    map.values_mut().for_each(|texts| texts.sort_unstable());
    map
}

/// The outcome of comparing two sets of definitions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Definitions of the backup that were compared.
    pub compared: u64,
    /// Missing and additional ones.
    pub differences: Vec<String>,
    /// Those whose text differs, as kind, schema, name.
    pub other_text: Vec<(String, String, String)>,
}

/// Compares by kind, schema, name and parent.
pub fn compare(backup: &[Definition], restored: &[Definition]) -> Outcome {
    let (backup, restored) = (by_key(backup), by_key(restored));
    let mut outcome =
        Outcome { compared: backup.values().map(|texts| texts.len() as u64).sum(), ..Outcome::default() };
    for (key, texts) in &backup {
        let found = restored.get(key).map_or(0, Vec::len);
        if found < texts.len() {
            outcome.differences.push(format!("{} is in the backup, but was not restored", described(key)));
        } else if found == texts.len() && restored.get(key) != Some(texts) {
            outcome.other_text.push((key.0.to_owned(), key.1.to_owned(), key.2.to_owned()));
        }
    }
    for (key, texts) in &restored {
        if texts.len() > backup.get(key).map_or(0, Vec::len) {
            outcome.differences.push(format!("{} was restored, but is not in the backup", described(key)));
        }
    }
    outcome
}

fn described((kind, schema, name, parent): &Key<'_>) -> String {
    let dot = if schema.is_empty() { "" } else { "." };
    let mut text = format!("{} {schema}{dot}{name}", kind.to_lowercase());
    // The entry of a constraint has its table in its name.
    let table = parent.rsplit('.').next().unwrap_or(parent);
    if !parent.is_empty() && !name.starts_with(&format!("{table} ")) {
        text.push_str(&format!(" on {parent}"));
    }
    text
}

/// Indexes that PostgreSQL does not use, each as a difference. `pg_dump` leaves an invalid index of
/// the source out of the dump, so that none can be right here; the index of a partition root is
/// invalid until every partition has its own, which the set of definitions shows.
///
/// # Errors
/// Those of the session.
pub async fn invalid_indexes(session: &Session) -> Result<Vec<String>> {
    let sql = "SELECT n.nspname::text, c.relname::text, t.relname::text \
               FROM pg_catalog.pg_index i \
               JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
               JOIN pg_catalog.pg_class t ON t.oid = i.indrelid \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE NOT (i.indisvalid AND i.indisready AND i.indislive) AND c.relkind = 'i' \
                 AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_(catalog|temp)' \
               ORDER BY 1, 2";
    let rows = session.query(sql, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| {
            let (schema, index, table): (String, String, String) = (row.get(0), row.get(1), row.get(2));
            format!("index {schema}.{index} on {schema}.{table} is INVALID")
        })
        .collect())
}

/// A constraint that is not known to hold for all rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotValid {
    /// The table's schema.
    pub schema: String,
    /// The table.
    pub table: String,
    /// The constraint.
    pub name: String,
}

/// Constraints of tables that are NOT VALID.
///
/// # Errors
/// Those of the session.
pub async fn not_valid(session: &Session) -> Result<Vec<NotValid>> {
    let sql = "SELECT n.nspname::text, t.relname::text, k.conname::text \
               FROM pg_catalog.pg_constraint k \
               JOIN pg_catalog.pg_class t ON t.oid = k.conrelid \
               JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
               WHERE NOT k.convalidated AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
               ORDER BY 1, 2, 3";
    let rows = session.query(sql, &[]).await?;
    Ok(rows.iter().map(|row| NotValid { schema: row.get(0), table: row.get(1), name: row.get(2) }).collect())
}

/// Judges constraints that are NOT VALID in the restored database. One that was so in the source has an
/// entry of its own whose text (with the words NOT VALID in it) is the same in both dumps.
///
/// `same_tools`: the texts come from the same tool and server versions. If not, a text that differs
/// proves nothing, and the constraint is a note.
pub fn judge_not_valid(
    found: &[NotValid],
    backup: &[Definition],
    other_text: &[(String, String, String)],
    same_tools: bool,
) -> (Vec<String>, Vec<String>) {
    let (mut differences, mut notes) = (Vec::new(), Vec::new());
    let known: HashSet<(&str, &str)> = backup
        .iter()
        .filter(|d| d.kind.contains("CONSTRAINT"))
        .map(|d| (d.schema.as_str(), d.name.as_str()))
        .collect();
    let other: HashSet<(&str, &str)> =
        other_text.iter().map(|(_, schema, name)| (schema.as_str(), name.as_str())).collect();
    for constraint in found {
        let entry_name = format!("{} {}", constraint.table, constraint.name);
        let entry = (constraint.schema.as_str(), entry_name.as_str());
        let (in_backup, differs) = (known.contains(&entry), other.contains(&entry));
        let text = format!(
            "constraint {} on {}.{} is NOT VALID",
            constraint.name, constraint.schema, constraint.table
        );
        match (in_backup, differs) {
            (true, false) => {} // it was so in the source
            (true, true) if !same_tools => {
                notes.push(format!("{text}; whether it is in the backup cannot be seen with these versions"));
            }
            _ => differences.push(format!("{text}, and was valid in the backup")),
        }
    }
    (differences, notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(kind: &str, name: &str, text: u128) -> Definition {
        Definition {
            kind: kind.into(),
            schema: "public".into(),
            name: name.into(),
            parent: String::new(),
            owner: "someone".into(),
            text: RowDigest(text),
        }
    }

    #[test]
    fn missing_and_additional_definitions_are_differences_and_texts_are_not() {
        let backup = [
            definition("TABLE", "a", 1),
            definition("INDEX", "a_i", 2),
            definition("VIEW", "v", 3),
            definition("ACL", "TABLE a", 4),
            definition("COMMENT", "DATABASE orders", 5),
        ];
        let restored = [
            Definition { owner: "other".into(), ..definition("TABLE", "a", 1) },
            definition("VIEW", "v", 9),
            definition("FUNCTION", "f()", 6),
        ];
        let outcome = compare(&backup, &restored);
        assert_eq!(outcome.compared, 3);
        assert_eq!(
            outcome.differences,
            [
                "index public.a_i is in the backup, but was not restored",
                "function public.f() was restored, but is not in the backup"
            ]
        );
        assert_eq!(outcome.other_text, [("VIEW".to_owned(), "public".to_owned(), "v".to_owned())]);
    }

    #[test]
    fn two_definitions_of_one_name_are_two() {
        let two = [definition("CAST", "CAST (a AS b)", 1), definition("CAST", "CAST (a AS b)", 2)];
        assert_eq!(compare(&two, &two).differences.len(), 0);
        assert_eq!(compare(&two, &two[..1]).differences.len(), 1);
        assert_eq!(compare(&two[..1], &two).differences.len(), 1);
    }

    #[test]
    fn the_schema_public_is_not_compared_and_others_are() {
        let schema = |name| Definition { schema: String::new(), ..definition("SCHEMA", name, 1) };
        assert_eq!(compare(&[schema("public")], &[]).differences.len(), 0);
        assert_eq!(
            compare(&[schema("sales")], &[]).differences,
            ["schema sales is in the backup, but was not restored"]
        );
    }

    #[test]
    fn a_constraint_may_be_not_valid_only_if_it_was() {
        let found = [NotValid { schema: "public".into(), table: "t".into(), name: "k".into() }];
        let backup = [definition("FK CONSTRAINT", "t k", 1)];
        let other = [("FK CONSTRAINT".to_owned(), "public".to_owned(), "t k".to_owned())];
        let count = |(differences, notes): (Vec<String>, Vec<String>)| (differences.len(), notes.len());
        assert_eq!(count(judge_not_valid(&found, &backup, &[], true)), (0, 0));
        assert_eq!(count(judge_not_valid(&found, &backup, &other, true)), (1, 0));
        assert_eq!(count(judge_not_valid(&found, &backup, &other, false)), (0, 1));
        assert_eq!(count(judge_not_valid(&found, &[], &[], false)), (1, 0));
    }
}
