//! Who is in the way of our locks: sessions that hold or wait for ACCESS EXCLUSIVE on our tables.

use std::fmt;

use crate::engines::postgres::connect::Session;
use crate::error::Result;

/// Characters of a query that are shown.
const SHOWN: usize = 80;

/// A session (or a prepared transaction) that is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    /// The server's process; `None` for a prepared transaction.
    pub pid: Option<i32>,
    /// The table.
    pub table: String,
    /// True: it has the lock. False: it waits for it, and everybody else behind it.
    pub granted: bool,
    /// The role, if we may see it.
    pub user: String,
    /// The application's name.
    pub application: String,
    /// `active`, `idle in transaction`, …
    pub state: String,
    /// The beginning of its query, without literals.
    pub query: String,
    /// Seconds since its transaction began.
    pub seconds: i64,
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "pid {pid}")?,
            None => f.write_str("a prepared transaction")?,
        }
        let verb = if self.granted { "has locked" } else { "waits to lock" };
        write!(f, " {verb} {}", self.table)?;
        let mut about: Vec<String> = Vec::new();
        if !self.user.is_empty() {
            about.push(format!("user {}", self.user));
        }
        if !self.application.is_empty() {
            about.push(format!("application {}", self.application));
        }
        if !self.state.is_empty() {
            about.push(format!("{} for {} s", self.state, self.seconds));
        }
        if !about.is_empty() {
            write!(f, " ({})", about.join(", "))?;
        }
        if !self.query.is_empty() {
            write!(f, ": {}", self.query)?;
        }
        Ok(())
    }
}

/// The first three of them in one line.
pub fn tell(blockers: &[Blocker]) -> String {
    let mut words: Vec<String> = blockers.iter().take(3).map(ToString::to_string).collect();
    if blockers.len() > 3 {
        words.push(format!("and {} more", blockers.len() - 3));
    }
    words.join("; ")
}

/// Finds who holds or waits for the one lock that conflicts with ours. Those that hold it come first.
pub async fn find(session: &Session, oids: &[u32], own_pid: i32) -> Result<Vec<Blocker>> {
    let sql = "SELECT l.pid, n.nspname || '.' || c.relname, l.granted, \
               COALESCE(a.usename::text, ''), COALESCE(a.application_name, ''), COALESCE(a.state, ''), \
               COALESCE(pg_catalog.left(a.query, 2000), ''), \
               COALESCE(EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::int8, 0) \
               FROM pg_catalog.pg_locks l \
               LEFT JOIN pg_catalog.pg_class c ON c.oid = l.relation \
               LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
               WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.relation = ANY($1) \
               AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d \
                                 WHERE d.datname = pg_catalog.current_database()) \
               AND l.pid IS DISTINCT FROM $2 \
               ORDER BY l.granted DESC, a.xact_start, l.pid LIMIT 50";
    let rows = session.query(sql, &[&oids, &own_pid]).await?;
    Ok(rows
        .iter()
        .map(|row| Blocker {
            pid: row.get(0),
            table: row.get::<_, Option<String>>(1).unwrap_or_else(|| "a table".into()),
            granted: row.get(2),
            user: row.get(3),
            application: row.get(4),
            state: row.get(5),
            query: without_literals(row.get(6)),
            seconds: row.get(7),
        })
        .collect())
}

/// The first 80 characters of a query on one line, with every literal replaced by `?`: it may
/// hold a password or a customer's data.
pub fn without_literals(query: &str) -> String {
    let mut out = String::new();
    let mut chars = query.chars().peekable();
    let mut previous = ' ';
    while let Some(c) = chars.next() {
        let in_word = previous.is_alphanumeric() || previous == '_';
        match c {
            '"' => {
                // A quoted name is no literal.
                out.push('"');
                for inner in chars.by_ref() {
                    out.push(inner);
                    if inner == '"' {
                        break;
                    }
                }
            }
            '\'' => {
                // Doubled quotes are part of the text; so are escaped ones, and with E'' unsure
                // cases swallow more, never less.
                let escapes = matches!(previous, 'e' | 'E');
                while let Some(inner) = chars.next() {
                    match inner {
                        '\\' if escapes => {
                            chars.next();
                        }
                        '\'' if chars.next_if_eq(&'\'').is_some() => {}
                        '\'' => break,
                        _ => {}
                    }
                }
                out.push('?');
            }
            '$' if !in_word && !chars.peek().is_some_and(char::is_ascii_digit) => {
                // A dollar-quoted text: everything up to the same tag, or to the end.
                let rest: String = chars.clone().collect();
                let tag = rest.split_once('$').map_or("", |(tag, _)| tag).to_string();
                let close = format!("${tag}$");
                let body = &rest[(tag.len() + 1).min(rest.len())..];
                let skipped = body.find(&close).map_or(rest.len(), |at| tag.len() + 1 + at + close.len());
                for _ in rest[..skipped].chars() {
                    chars.next();
                }
                out.push('?');
            }
            c if c.is_ascii_digit() && !in_word && previous != '$' => {
                while chars.next_if(|next| next.is_ascii_alphanumeric() || *next == '.').is_some() {}
                out.push('?');
            }
            c if c.is_whitespace() => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            c => out.push(c),
        }
        previous = c;
    }
    let out = out.trim();
    if out.chars().count() > SHOWN {
        let cut: String = out.chars().take(SHOWN).collect();
        return format!("{cut}…");
    }
    out.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_hidden() {
        for (query, shown) in [
            ("ALTER ROLE a PASSWORD 'it''s secret'", "ALTER ROLE a PASSWORD ?"),
            ("select E'a\\'secret', 12.5e3 , t1.c2", "select E?, ? , t1.c2"),
            ("do $$ secret $$ ; select $1", "do ? ; select $1"),
            ("do $x$ secret $$ y $x$", "do ?"),
            ("do $x$ unterminated secret", "do ?"),
            ("select 'unterminated secret", "select ?"),
            ("alter table\n  \"T 1\"  add c int", "alter table \"T 1\" add c int"),
        ] {
            assert_eq!(without_literals(query), shown, "{query}");
            assert!(!without_literals(query).contains("secret"));
        }
        let long = without_literals(&"ü".repeat(200));
        assert_eq!(long.chars().count(), SHOWN + 1);
    }

    #[test]
    fn a_blocker_is_told_in_one_line() {
        let mut blocker = Blocker {
            pid: Some(7),
            table: "public.orders".into(),
            granted: false,
            user: "app".into(),
            application: "migrate".into(),
            state: "active".into(),
            query: "ALTER TABLE orders ADD c int".into(),
            seconds: 12,
        };
        assert_eq!(
            blocker.to_string(),
            "pid 7 waits to lock public.orders (user app, application migrate, active for 12 s): \
             ALTER TABLE orders ADD c int"
        );
        blocker = Blocker {
            pid: None,
            granted: true,
            user: "".into(),
            application: "".into(),
            state: "".into(),
            query: "".into(),
            ..blocker
        };
        assert_eq!(blocker.to_string(), "a prepared transaction has locked public.orders");
        assert!(tell(&vec![blocker; 5]).ends_with("; and 2 more"));
    }
}
