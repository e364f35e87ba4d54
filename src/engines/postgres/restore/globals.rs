//! Roles and tablespaces, before the data. What the target has already is left as it is: a role of the
//! same name keeps its password, so that a restore cannot lock its own operator out.

use std::collections::BTreeSet;

use super::statements;
use crate::engines::postgres::connect::Session;
use crate::engines::postgres::dump::GLOBALS;
use crate::error::{Explain as _, Kind, Result};
use crate::pipeline::BackupReader;

/// Restores the globals; returns what somebody should know.
pub(super) async fn restore(from: &BackupReader, admin: &Session) -> Result<Vec<String>> {
    let text = String::from_utf8(from.document(GLOBALS).await?)
        .explain(Kind::Damaged, || "the globals are not text".to_owned())?;
    let rows = admin.query("SELECT rolname::text FROM pg_catalog.pg_roles", &[]).await?;
    let there: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let rows = admin.query("SELECT spcname::text FROM pg_catalog.pg_tablespace", &[]).await?;
    let spaces: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let mut kept = BTreeSet::new();
    for statement in statements::split(&text) {
        match subject(&statement) {
            Some((Subject::Role, name)) if there.contains(&name) => {
                kept.insert(format!("role {name}"));
            }
            Some((Subject::Tablespace, name)) if spaces.contains(&name) => {
                kept.insert(format!("tablespace {name}"));
            }
            // Settings of the script's own session.
            None if statement.starts_with("SET ")
                || statement.starts_with("SELECT pg_catalog.set_config") => {}
            _ => admin.batch(&statement).await.map_err(|error| {
                let shown: String = statement.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
                error
                    .while_doing(format!("the globals could not be restored at `{shown} …`"))
                    .hint("restore as a superuser, or make the roles by hand and leave --globals out")
            })?,
        }
    }
    let names: Vec<String> = kept.into_iter().collect();
    Ok(if names.is_empty() {
        Vec::new()
    } else {
        vec![format!("left as they are, since the target has them: {}", names.join(", "))]
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Subject {
    Role,
    Tablespace,
}

/// What a statement makes or alters: `CREATE ROLE x`, `ALTER ROLE "x y" …`, `CREATE TABLESPACE t …`.
fn subject(statement: &str) -> Option<(Subject, String)> {
    let (kind, rest) = ["CREATE ROLE ", "ALTER ROLE "]
        .iter()
        .find_map(|start| Some((Subject::Role, statement.strip_prefix(start)?)))
        .or_else(|| {
            ["CREATE TABLESPACE ", "ALTER TABLESPACE "]
                .iter()
                .find_map(|start| Some((Subject::Tablespace, statement.strip_prefix(start)?)))
        })?;
    let Some(quoted) = rest.strip_prefix('"') else {
        return Some((kind, rest.split_whitespace().next()?.to_owned()));
    };
    let mut name = String::new();
    let mut chars = quoted.chars().peekable();
    while let Some(ch) = chars.next() {
        if ch == '"' {
            if chars.peek() != Some(&'"') {
                break;
            }
            chars.next();
        }
        name.push(ch);
    }
    Some((kind, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_of_a_statement_is_found() {
        assert_eq!(subject("CREATE ROLE app"), Some((Subject::Role, "app".into())));
        assert_eq!(subject("ALTER ROLE \"a \"\"b\" WITH LOGIN"), Some((Subject::Role, "a \"b".into())));
        assert_eq!(subject("CREATE TABLESPACE fast OWNER x"), Some((Subject::Tablespace, "fast".into())));
        assert_eq!(subject("GRANT a TO b"), None);
    }
}
