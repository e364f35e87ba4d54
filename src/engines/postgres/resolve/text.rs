//! Connection strings: `postgres://…` URLs and `key=value` strings, read as libpq reads them.
//!
//! Source: PostgreSQL documentation 32.1.1 "Connection Strings". No message shows any part of the
//! string that may hold a password.

use super::keywords::Parameters;
use crate::error::{Error, Kind, Result};

/// Reads a URL or a `key=value` string; an empty string gives no parameters.
pub fn parse(text: &str) -> Result<Parameters> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://")) {
        parse_url(rest)
    } else if text.contains("://") {
        Err(wrong("is not a postgres:// URL"))
    } else {
        parse_pairs(text)
    }
}

fn wrong(what: &str) -> Error {
    Error::new(Kind::Config, format!("the connection string {what}"))
        .hint("write postgres://user@host:port/database, percent-encode special characters in each part")
}

fn parse_url(rest: &str) -> Result<Parameters> {
    let mut parameters = Parameters::new();
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, query),
        None => (rest, ""),
    };
    let (authority, database) = match rest.split_once('/') {
        Some((authority, database)) => (authority, database),
        None => (rest, ""),
    };
    let hosts = match authority.rsplit_once('@') {
        Some((login, hosts)) => {
            let (user, password) = match login.split_once(':') {
                Some((user, password)) => (user, password),
                None => (login, ""),
            };
            set(&mut parameters, "user", decode(user)?);
            set(&mut parameters, "password", decode(password)?);
            hosts
        }
        None => authority,
    };
    parse_hosts(hosts, &mut parameters)?;
    set(&mut parameters, "dbname", decode(database)?);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| wrong("has a parameter without a value"))?;
        let (name, value) = (decode(name)?, decode(value)?);
        // JDBC's spelling, which libpq takes too.
        if name == "ssl" && value == "true" {
            parameters.insert("sslmode".into(), "require".into());
        } else {
            parameters.insert(name, value);
        }
    }
    Ok(parameters)
}

fn parse_hosts(hosts: &str, parameters: &mut Parameters) -> Result<()> {
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in hosts.split(',') {
        let (name, port) = if let Some(rest) = host.strip_prefix('[') {
            let (name, rest) = rest.split_once(']').ok_or_else(|| wrong("has a `[` without its `]`"))?;
            match rest.strip_prefix(':') {
                Some(port) => (name, port),
                None if rest.is_empty() => (name, ""),
                None => return Err(wrong("has text between `]` and the port")),
            }
        } else {
            match host.split_once(':') {
                Some((_, port)) if port.contains(':') => {
                    return Err(wrong("has an IPv6 address without brackets"));
                }
                Some((name, port)) => (name, port),
                None => (host, ""),
            }
        };
        names.push(decode(name)?);
        ports.push(decode(port)?);
    }
    if names.iter().any(|name| !name.is_empty()) {
        parameters.insert("host".into(), names.join(","));
    }
    if ports.iter().any(|port| !port.is_empty()) {
        parameters.insert("port".into(), ports.join(","));
    }
    Ok(())
}

fn set(parameters: &mut Parameters, name: &str, value: String) {
    if !value.is_empty() {
        parameters.insert(name.into(), value);
    }
}

/// Undoes percent-encoding; a `+` stays a plus sign, as in libpq.
fn decode(text: &str) -> Result<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let digit = |i: usize| bytes.get(i).and_then(|b| (*b as char).to_digit(16));
            match (digit(at + 1), digit(at + 2)) {
                (Some(high), Some(low)) if (high, low) != (0, 0) => out.push((high * 16 + low) as u8),
                _ => return Err(wrong("has a `%` that does not begin a percent-encoded byte")),
            }
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).map_err(|_| wrong("is not UTF-8 after percent-decoding"))
}

/// Reads `key = 'value'` pairs with backslash escapes.
fn parse_pairs(text: &str) -> Result<Parameters> {
    let mut parameters = Parameters::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(parameters);
        }
        let mut name = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=' && !c.is_whitespace()) {
            name.push(c);
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.next_if_eq(&'=').is_none() {
            return Err(wrong("has a word without `=`"));
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let quoted = chars.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        loop {
            match chars.next() {
                Some('\\') => value.extend(chars.next()),
                Some('\'') if quoted => break,
                Some(c) if !quoted && c.is_whitespace() => break,
                Some(c) => value.push(c),
                None if quoted => return Err(wrong("has a quoted value without its end")),
                None => break,
            }
        }
        parameters.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap().into_iter().collect()
    }

    fn expect(text: &str, wanted: &[(&str, &str)]) {
        let wanted: Vec<(String, String)> =
            wanted.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        assert_eq!(pairs(text), wanted, "{text}");
    }

    #[test]
    fn urls_are_read_part_by_part() {
        expect(
            "postgres://me:p%40ss%2Fw@db.example:6432/orders?sslmode=verify-full&connect_timeout=3",
            &[
                ("connect_timeout", "3"),
                ("dbname", "orders"),
                ("host", "db.example"),
                ("password", "p@ss/w"),
                ("port", "6432"),
                ("sslmode", "verify-full"),
                ("user", "me"),
            ],
        );
        expect("postgresql://", &[]);
        expect("postgresql:///orders", &[("dbname", "orders")]);
        expect("postgres://a:1,b,[::1]:3/x", &[("dbname", "x"), ("host", "a,b,::1"), ("port", "1,,3")]);
        expect("postgres://%2Fvar%2Frun/x", &[("dbname", "x"), ("host", "/var/run")]);
        expect("postgres:///x?host=/tmp&port=1", &[("dbname", "x"), ("host", "/tmp"), ("port", "1")]);
        expect("postgres://h/x?ssl=true", &[("dbname", "x"), ("host", "h"), ("sslmode", "require")]);
        expect("postgres://u:a+b@h", &[("host", "h"), ("password", "a+b"), ("user", "u")]);
    }

    #[test]
    fn pairs_are_read_with_quotes_and_escapes() {
        expect("", &[]);
        expect(
            r"host = db dbname='my \'db\'' password=a\ b user=''",
            &[("dbname", "my 'db'"), ("host", "db"), ("password", "a b"), ("user", "")],
        );
    }

    #[test]
    fn a_wrong_string_is_refused_without_being_shown() {
        for text in [
            "mysql://me:hunter2@h/x",
            "postgres://me:hunter2%zz@h/x",
            "postgres://me:hunter2@[::1/x",
            "postgres://me:hunter2@::1:5432/x",
            "postgres://me:hunter2@h/x?novalue",
            "host=h password='hunter2",
            "hunter2",
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), Kind::Config, "{text}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
            assert!(error.hint_text().is_some());
        }
    }
}
