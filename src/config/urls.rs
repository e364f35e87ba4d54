//! The URL of a database, taken apart far enough that its password is never shown.

use crate::secret::Secret;

/// A URL without its password, and the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Split {
    /// The URL without the password.
    pub(crate) url: String,
    /// The URL with `***` where the password was.
    pub(crate) masked: String,
    /// The password, percent-decoded.
    pub(crate) password: Option<Secret>,
    /// Host and port, or several with commas, in lower case.
    pub(crate) hosts: String,
}

/// Takes a URL apart (RFC 3986, section 3, with several hosts as PostgreSQL has them).
///
/// Fails with what is wrong, in words that never quote the URL: where it cannot be read with certainty,
/// any part of it may be a password.
pub(crate) fn split(url: &str) -> Result<Split, &'static str> {
    let (scheme, rest) =
        url.split_once("://").ok_or("it does not begin with a scheme such as postgres://")?;
    if scheme.is_empty() || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) {
        return Err("it does not begin with a scheme such as postgres://");
    }
    if url.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
        return Err("it holds a space or a control character, which has to be percent-encoded");
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (Some(user), hosts),
        None => (None, authority),
    };
    let path = &tail[..tail.find('?').unwrap_or(tail.len())];
    // An `@` further on, or a port that is no number, means that a password with special characters was cut.
    if path.contains(['@', '#']) || (user.is_none() && tail.contains('@')) || !ports_are_numbers(hosts) {
        return Err("special characters of a password (such as @ / ? # :) have to be percent-encoded");
    }
    let (user, mut password) = match user.and_then(|user| user.split_once(':')) {
        Some((name, password)) => (Some(name), Some(password.to_owned())),
        None => (user, None),
    };
    let (kept, in_query) = without_password(tail);
    if in_query.is_some() && password.is_some() {
        return Err("it holds two passwords");
    }
    let masked_tail = mask_query(tail);
    let before = |mask: &str| user.map_or(String::new(), |user| format!("{user}{mask}@"));
    let masked_user = before(if password.is_some() { ":***" } else { "" });
    password = password.or(in_query);
    let password = password.filter(|text| !text.is_empty()).map(|text| percent_decoded(&text)).transpose()?;
    Ok(Split {
        url: format!("{scheme}://{}{hosts}{kept}", before("")),
        masked: format!("{scheme}://{masked_user}{hosts}{masked_tail}"),
        password: password.map(Secret::new),
        hosts: hosts.to_ascii_lowercase(),
    })
}

/// Decodes `%41` (RFC 3986, section 2.1).
pub(crate) fn percent_decoded(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
        } else if let Some(byte) =
            digits.filter(|d| !d.starts_with('+')).and_then(|d| u8::from_str_radix(d, 16).ok())
        {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            return Err("a % in the password is not followed by two hex digits; a plain % is written %25");
        }
    }
    String::from_utf8(bytes).map_err(|_| "the password in it is not UTF-8 once percent-decoded")
}

fn ports_are_numbers(hosts: &str) -> bool {
    hosts.split(',').all(|host| {
        let after_address = host.rsplit(']').next().unwrap_or(host);
        after_address.split_once(':').is_none_or(|(_, port)| port.chars().all(|c| c.is_ascii_digit()))
    })
}

/// True for query parameters whose value is a secret: libpq's `password` and `sslpassword`, MongoDB's
/// `tlsCertificateKeyFilePassword`.
fn is_secret(pair: &str) -> bool {
    let name = pair.split('=').next().unwrap_or("").to_ascii_lowercase();
    ["password", "sslpassword", "tlscertificatekeyfilepassword"].contains(&name.as_str())
}

/// The tail without `password=…`, and that password. (`sslpassword` stays: it is not the database's.)
fn without_password(tail: &str) -> (String, Option<String>) {
    let Some((path, query)) = tail.split_once('?') else {
        return (tail.to_owned(), None);
    };
    let is_password =
        |pair: &&str| pair.split('=').next().is_some_and(|name| name.eq_ignore_ascii_case("password"));
    let password = query.split('&').find(is_password).map(|pair| pair.split_once('=').map_or("", |(_, v)| v));
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_password(pair)).collect();
    let kept = if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) };
    (kept, password.map(str::to_owned))
}

fn mask_query(tail: &str) -> String {
    let Some((path, query)) = tail.split_once('?') else {
        return tail.to_owned();
    };
    let masked = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if is_secret(pair) => format!("{name}=***"),
        _ => pair.to_owned(),
    });
    format!("{path}?{}", masked.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_of_a_key_file_is_masked_without_a_password_too() {
        let masked = |url: &str| split(url).unwrap().masked;
        assert_eq!(masked("postgres://u@h/d?sslpassword=s&x=1"), "postgres://u@h/d?sslpassword=***&x=1");
        let url = "mongodb://h/?tlsCertificateKeyFilePassword=s";
        assert_eq!(masked(url), "mongodb://h/?tlsCertificateKeyFilePassword=***");
    }

    #[test]
    fn the_password_comes_out_decoded() {
        let split =
            split("postgres://backup:s%40fe%2Fp@db.internal:5432,db2/orders?sslmode=require").unwrap();
        assert_eq!(split.url, "postgres://backup@db.internal:5432,db2/orders?sslmode=require");
        assert_eq!(split.masked, "postgres://backup:***@db.internal:5432,db2/orders?sslmode=require");
        assert_eq!(split.password.unwrap().expose(), "s@fe/p");
        assert_eq!(split.hosts, "db.internal:5432,db2");
    }

    #[test]
    fn urls_without_a_password_stay_as_they_are() {
        for url in [
            "postgres://db/orders",
            "postgres://u@[::1]:5432/orders",
            "postgres://[fe80::1]/x",
            "mongodb+srv://u@cluster.example/?appName=x@y",
            "postgres:///orders?host=/run/postgresql",
        ] {
            let split = split(url).unwrap();
            assert_eq!((split.url.as_str(), split.masked.as_str(), &split.password), (url, url, &None));
        }
    }

    #[test]
    fn a_password_in_the_query_is_one_too() {
        let split = split("postgres://u@db/orders?password=geheim&sslmode=require&sslpassword=x").unwrap();
        assert_eq!(split.url, "postgres://u@db/orders?sslmode=require&sslpassword=x");
        assert_eq!(split.masked, "postgres://u@db/orders?password=***&sslmode=require&sslpassword=***");
        assert_eq!(split.password.unwrap().expose(), "geheim");
    }

    #[test]
    fn a_url_that_is_not_certain_is_refused_without_quoting_it() {
        for url in [
            "postgres://u:pa/ss@db/orders",
            "postgres://u:12/34@db/orders",
            "postgres://u:pa#ss@db/orders",
            "postgres://u:12?34@db/orders",
            "postgres://u:a@b/c@db/orders",
            "postgres://u:p@db:port/orders",
            "host=db password=geheim",
            "postgres://u:p w@db/orders",
            "postgres://u:p@db/orders?password=q",
            "postgres://u:%ff@db/orders",
            "postgres://u:100%@db/orders",
        ] {
            let problem = split(url).unwrap_err();
            assert!(!problem.contains("geheim") && !problem.contains("ss@"), "{problem}");
        }
    }
}
