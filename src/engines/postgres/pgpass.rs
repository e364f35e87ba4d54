//! The password file of libpq: `host:port:database:user:password`, first match wins.
//!
//! Source: PostgreSQL documentation 32.16 "The Password File".

use std::path::Path;

use crate::error::{Error, Explain, Kind, Result};
use crate::secret::Secret;

/// What to look up.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The host name, address, or `localhost` for a socket in a default directory.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// The database.
    pub database: &'a str,
    /// The user.
    pub user: &'a str,
}

/// Looks a password up in a file. `None` when the file does not exist or has no matching line.
///
/// libpq ignores a file that others may read; here a match in such a file is an error, since
/// going on without the password would only fail later with a worse message.
pub fn look_up(file: &Path, wanted: Wanted<'_>) -> Result<Option<Secret>> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => {
            return Err(cause)
                .explain(Kind::Config, || format!("cannot read the password file {}", file.display()));
        }
    };
    let Some(password) = find(&text, wanted) else { return Ok(None) };
    check_mode(file)?;
    Ok(Some(password))
}

/// Finds the first line that matches.
pub fn find(text: &str, wanted: Wanted<'_>) -> Option<Secret> {
    let port = wanted.port.to_string();
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = split(line)?;
        let fits = |field: &str, value: &str| field == "*" || unescape(field) == value;
        let matches = fits(fields[0], wanted.host)
            && fits(fields[1], &port)
            && fits(fields[2], wanted.database)
            && fits(fields[3], wanted.user);
        let password = unescape(fields[4]);
        (matches && !password.is_empty()).then(|| Secret::new(password))
    })
}

/// One line that gives a password to every host, port, database and user that is `None`.
///
/// Fails for a password with a line break, which the format cannot carry.
pub fn line(host: Option<&str>, port: Option<u16>, user: Option<&str>, password: &Secret) -> Result<String> {
    if password.expose().contains(['\n', '\r', '\0']) {
        return Err(Error::new(Kind::Config, "the password holds a line break or a NUL byte")
            .hint("PostgreSQL's tools cannot take such a password; change it"));
    }
    let field = |value: Option<&str>| value.map_or_else(|| "*".to_string(), escape);
    let port = port.map_or_else(|| "*".to_string(), |port| port.to_string());
    Ok(format!("{}:{port}:*:{}:{}\n", field(host), field(user), escape(password.expose())))
}

fn escape(text: &str) -> String {
    text.replace('\\', r"\\").replace(':', r"\:")
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or('\\') } else { c });
    }
    out
}

/// Splits a line at its first four colons that are not escaped; the password may hold bare colons.
fn split(line: &str) -> Option<[&str; 5]> {
    let mut fields = [""; 5];
    let (mut start, mut index, mut escaped) = (0, 0, false);
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b':' if index < 4 => {
                fields[index] = &line[start..at];
                start = at + 1;
                index += 1;
            }
            _ => {}
        }
    }
    fields[4] = &line[start..];
    (index == 4).then_some(fields)
}

#[cfg(unix)]
fn check_mode(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(file)
        .explain(Kind::Config, || format!("cannot look at the password file {}", file.display()))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(Error::new(
            Kind::Config,
            format!("the password file {} may be read by its group or others", file.display()),
        )
        .hint(format!("run chmod 0600 {}, or use password_file", file.display())));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted<'static> = Wanted { host: "db:1", port: 5432, database: "orders", user: "me" };

    fn found(text: &str) -> Option<String> {
        find(text, WANTED).map(|secret| secret.expose().to_string())
    }

    #[test]
    fn the_first_matching_line_wins() {
        assert_eq!(found("db\\:1:5432:orders:me:one\n*:*:*:*:two").as_deref(), Some("one"));
        assert_eq!(found("# note\nother:*:*:*:x\n*:5432:*:me:a\\:b\\\\c").as_deref(), Some("a:b\\c"));
        assert_eq!(found("*:*:*:*:with:colon").as_deref(), Some("with:colon"));
        assert_eq!(found("*:5433:*:*:x\n*:*:other:*:x\n*:*:*:you:x\nshort:line"), None);
    }

    #[test]
    fn a_written_line_is_found_again() {
        let secret = Secret::new(r"pa:ss\wörd *");
        let text = line(Some("db:1"), Some(5432), Some("me"), &secret).unwrap();
        assert_eq!(find(text.trim_end_matches('\n'), WANTED), Some(secret));
        assert!(line(None, None, None, &Secret::new("two\nlines")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_refused_only_when_it_matters() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pgpass");
        std::fs::write(&file, "*:*:orders:*:open\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(look_up(&file, Wanted { database: "none", ..WANTED }).unwrap(), None);
        let error = look_up(&file, WANTED).unwrap_err();
        assert!(error.hint_text().unwrap().contains("chmod 0600"), "{error:?}");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(look_up(&file, WANTED).unwrap(), Some(Secret::new("open")));
        assert_eq!(look_up(&dir.path().join("none"), WANTED).unwrap(), None);
    }
}
