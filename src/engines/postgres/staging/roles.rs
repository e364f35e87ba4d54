//! Roles that definitions name even when owners and privileges are left out.
//!
//! `CREATE POLICY … TO role` and `CREATE USER MAPPING FOR role` fail when the role is not there. A drill
//! makes such a role, without any right and unable to log in, and drops it afterwards. The comment on it
//! says that a drill made it: no other role is ever dropped.

use std::collections::BTreeSet;

use crate::engines::postgres::archive::Toc;
use crate::engines::postgres::connect::Session;
use crate::engines::postgres::settings::{quote_identifier, quote_literal};
use crate::error::{Error, Kind, Result};

/// The comment on a role that was made for the drill of a database.
const MARK: &str = "made by a lifeboat drill for ";

/// The roles that an archive's definitions name.
pub fn needed(toc: &Toc) -> BTreeSet<String> {
    let mut roles = BTreeSet::new();
    for entry in toc.entries() {
        let Ok(text) = std::str::from_utf8(&entry.definition) else { continue };
        match &*entry.desc {
            "POLICY" => roles.extend(policy_roles(text)),
            "USER MAPPING" => roles.extend(mapping_role(text)),
            _ => {}
        }
    }
    roles
}

/// Makes the roles that are not there. Returns their names.
///
/// # Errors
/// [`Kind::Unreachable`] when this role may not make roles.
pub async fn make(session: &Session, roles: &BTreeSet<String>, database: &str) -> Result<Vec<String>> {
    let mut made = Vec::new();
    for role in roles {
        if session.opt("SELECT FROM pg_catalog.pg_roles WHERE rolname = $1", &[role]).await?.is_some() {
            continue;
        }
        let (name, mark) = (quote_identifier(role), quote_literal(&format!("{MARK}{database}")));
        // One transaction: a role without its mark would stay for ever.
        let sql = format!("BEGIN; CREATE ROLE {name} NOLOGIN; COMMENT ON ROLE {name} IS {mark}; COMMIT");
        if let Err(error) = session.batch(&sql).await {
            let _ = session.batch("ROLLBACK").await;
            // Another drill may have made it just now.
            if session.opt("SELECT FROM pg_catalog.pg_roles WHERE rolname = $1", &[role]).await?.is_some() {
                continue;
            }
            let user = quote_identifier(&session.connection().user);
            return Err(Error::new(
                Kind::Unreachable,
                format!("the role {role}, which a policy names, cannot be made"),
            )
            .because(error)
            .hint(format!("run on staging: ALTER ROLE {user} CREATEROLE, or create the role there")));
        }
        made.push(role.clone());
    }
    Ok(made)
}

/// Drops the roles that drills made for this database, or for one that is no more. One that another
/// drill's database needs stays until that drill is over.
///
/// # Errors
/// Those of the session; not that a role is still needed.
pub async fn drop_unneeded(session: &Session, database: &str) -> Result<()> {
    let sql = "SELECT r.rolname::text FROM pg_catalog.pg_roles r \
               CROSS JOIN LATERAL pg_catalog.shobj_description(r.oid, 'pg_authid') AS c(mark) \
               WHERE pg_catalog.starts_with(c.mark, $1::text) \
                 AND (c.mark = $1::text || $2::text OR NOT EXISTS (SELECT FROM pg_catalog.pg_database d \
                      WHERE d.datname::text = pg_catalog.substr(c.mark, pg_catalog.length($1::text) + 1)))";
    for row in session.query(sql, &[&MARK, &database]).await? {
        let name: String = row.get(0);
        let dropped = session.batch(&format!("DROP ROLE IF EXISTS {}", quote_identifier(&name))).await;
        if let Err(error) = dropped {
            tracing::debug!(role = name, error = error.chain(), "a drill's role is still needed");
        }
    }
    Ok(())
}

/// The roles of `CREATE POLICY name ON table [AS …] [FOR …] [TO role, …] [USING …] …` (`dumpPolicy` in
/// pg_dump.c).
fn policy_roles(text: &str) -> Vec<String> {
    let mut words = Words { rest: text };
    for word in words.by_ref() {
        match word {
            Word::Bare("TO") => break,
            // The expressions come after the roles: there are none.
            Word::Bare("USING" | "WITH") => return Vec::new(),
            _ => {}
        }
    }
    let mut roles = Vec::new();
    for word in words {
        match word {
            Word::Bare("USING" | "WITH") | Word::Other(';') => break,
            Word::Bare("PUBLIC" | "public") => {}
            Word::Bare(name) => roles.push(name.to_owned()),
            Word::Quoted(name) => roles.push(name),
            Word::Other(_) => {}
        }
    }
    roles
}

/// The role of `CREATE USER MAPPING FOR role SERVER …` (`dumpUserMappings` in pg_dump.c).
fn mapping_role(text: &str) -> Option<String> {
    let rest = text.strip_prefix("CREATE USER MAPPING FOR ")?;
    match (Words { rest }).next()? {
        Word::Bare(name) if !name.eq_ignore_ascii_case("public") => Some(name.to_owned()),
        Word::Quoted(name) => Some(name),
        _ => None,
    }
}

/// Words of SQL, as far as names need it.
struct Words<'a> {
    rest: &'a str,
}

#[derive(Debug, PartialEq, Eq)]
enum Word<'a> {
    Bare(&'a str),
    Quoted(String),
    Other(char),
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        self.rest = self.rest.trim_start();
        let first = self.rest.chars().next()?;
        if first == '"' {
            let body = &self.rest[1..];
            let mut end = body.find('"')?;
            while body[end + 1..].starts_with('"') {
                end += 2 + body[end + 2..].find('"')?;
            }
            self.rest = &body[end + 1..];
            return Some(Word::Quoted(body[..end].replace("\"\"", "\"")));
        }
        let bare = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        if bare(first) {
            let end = self.rest.find(|c| !bare(c)).unwrap_or(self.rest.len());
            let (word, rest) = self.rest.split_at(end);
            self.rest = rest;
            return Some(Word::Bare(word));
        }
        self.rest = &self.rest[first.len_utf8()..];
        Some(Word::Other(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_name_their_roles() {
        let roles = |text: &str| policy_roles(text).join("|");
        assert_eq!(
            roles("CREATE POLICY p ON public.t TO app, \"Read \"\"only\"\"\" USING ((id < 5));\n"),
            "app|Read \"only\""
        );
        assert_eq!(
            roles(
                "CREATE POLICY \" TO x\" ON s.\"USING\" AS RESTRICTIVE FOR SELECT TO a WITH CHECK (true);\n"
            ),
            "a"
        );
        assert_eq!(roles("CREATE POLICY p ON public.t FOR INSERT TO b;\n"), "b");
        assert_eq!(roles("CREATE POLICY p ON public.t USING ((x = ' TO y'::text));\n"), "");
        assert_eq!(roles("CREATE POLICY p ON public.t TO PUBLIC;\n"), "");
    }

    #[test]
    fn user_mappings_name_their_role() {
        let role = |text: &str| mapping_role(text);
        assert_eq!(role("CREATE USER MAPPING FOR \"A b\" SERVER s;\n").as_deref(), Some("A b"));
        assert_eq!(
            role("CREATE USER MAPPING FOR app SERVER s OPTIONS (password 'x');\n").as_deref(),
            Some("app")
        );
        assert_eq!(role("CREATE USER MAPPING FOR PUBLIC SERVER s;\n"), None);
        assert_eq!(role("CREATE SERVER s"), None);
    }
}
