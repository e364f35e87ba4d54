//! The connection service file of libpq: INI sections of connection parameters.
//!
//! Source: PostgreSQL documentation 32.17 "The Connection Service File".

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::resolve::keywords::Parameters;
use crate::error::{Error, Explain, Kind, Result};

/// Where Debian's libpq looks when `PGSYSCONFDIR` is not set.
const SYSTEM_DIRECTORY: &str = "/etc/postgresql-common";

/// Finds a service: in `PGSERVICEFILE` (or `file`) or `~/.pg_service.conf`, then in the system's `pg_service.conf`.
pub fn look_up(name: &str, file: Option<&str>, variables: &BTreeMap<String, String>) -> Result<Parameters> {
    let own = match (file, variables.get("HOME")) {
        (Some(file), _) => Some(PathBuf::from(file)),
        (None, Some(home)) => Some(Path::new(home).join(".pg_service.conf")),
        (None, None) => None,
    };
    let system = Path::new(variables.get("PGSYSCONFDIR").map_or(SYSTEM_DIRECTORY, String::as_str));
    let mut looked = Vec::new();
    for path in own.into_iter().chain([system.join("pg_service.conf")]) {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                looked.push(path.display().to_string());
                continue;
            }
            Err(cause) => {
                return Err(cause)
                    .explain(Kind::Config, || format!("cannot read the service file {}", path.display()));
            }
        };
        if let Some(parameters) = find(&text, name, &path)? {
            return Ok(parameters);
        }
        looked.push(path.display().to_string());
    }
    Err(Error::new(Kind::Config, format!("service `{name}` is not defined in {}", looked.join(" or ")))
        .hint("define it there, or set PGSERVICEFILE to the file that has it"))
}

/// Reads one section. `None` when there is no such section.
pub fn find(text: &str, name: &str, path: &Path) -> Result<Option<Parameters>> {
    let mut inside = false;
    let mut found = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = || format!("{}:{}", path.display(), number + 1);
        if let Some(section) = line.strip_prefix('[') {
            if inside {
                break;
            }
            inside = section.strip_suffix(']') == Some(name);
            if inside {
                found = Some(Parameters::new());
            }
        } else if let (true, Some(parameters)) = (inside, found.as_mut()) {
            if line.starts_with("ldap") {
                return Err(Error::new(Kind::Config, format!("{}: LDAP look-up in a service file", at()))
                    .hint("write the connection parameters into the file"));
            }
            let (key, value) = line.split_once('=').ok_or_else(|| {
                Error::new(Kind::Config, format!("{}: not a `key=value` line", at()))
                    .hint("write one connection parameter a line")
            })?;
            if key == "service" || key == "servicefile" {
                return Err(Error::new(Kind::Config, format!("{}: a service may not name a service", at()))
                    .hint("write the connection parameters into this section"));
            }
            parameters.entry(key.to_string()).or_insert_with(|| value.to_string());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# comment\n[a]\nhost=one\n\n[orders]\nhost=db\nhost=second\nport=6000\n[b]\nhost=x\n";

    #[test]
    fn a_section_is_read_to_its_end() {
        let found = find(TEXT, "orders", Path::new("f")).unwrap().unwrap();
        let wanted = Parameters::from([("host".into(), "db".into()), ("port".into(), "6000".into())]);
        assert_eq!(found, wanted);
        assert_eq!(find(TEXT, "none", Path::new("f")).unwrap(), None);
    }

    #[test]
    fn wrong_lines_are_named_by_place_without_their_text() {
        let error = find("[s]\nhunter2\n", "s", Path::new("f")).unwrap_err();
        assert_eq!(error.message(), "f:2: not a `key=value` line");
        assert!(find("[s]\nservice=t\n", "s", Path::new("f")).is_err());
        assert!(find("[s]\nldap://x\n", "s", Path::new("f")).is_err());
    }

    #[test]
    fn the_home_file_comes_before_the_system_file() {
        let dir = tempfile::tempdir().unwrap();
        let text = |path: &str| dir.path().join(path).display().to_string();
        std::fs::write(dir.path().join("pg_service.conf"), "[s]\nhost=system\n[t]\nhost=t\n").unwrap();
        std::fs::write(dir.path().join(".pg_service.conf"), "[s]\nhost=home\n").unwrap();
        let variables = BTreeMap::from([("HOME".into(), text("")), ("PGSYSCONFDIR".into(), text(""))]);
        assert_eq!(look_up("s", None, &variables).unwrap()["host"], "home");
        assert_eq!(look_up("t", None, &variables).unwrap()["host"], "t");
        let error = look_up("u", Some(&text("nofile")), &variables).unwrap_err();
        assert!(error.message().contains("nofile"), "{error:?}");
    }
}
