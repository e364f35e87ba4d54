//! MongoDB's connection strings: taken apart far enough to put a password in, and to show them without.
//!
//! Source: MongoDB specification "Connection String".

use crate::engines::percent::decoded;
use crate::error::{Error, Kind, Result};
use crate::secret::Secret;

/// A connection string. Its `Display` shows no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uri {
    scheme: String,
    /// Percent-encoded, as it was written.
    user: Option<String>,
    password: Option<Secret>,
    hosts: String,
    /// The default database for authentication, empty when there is none.
    database: String,
    options: Vec<(String, String)>,
}

impl Uri {
    /// Takes a connection string apart. A password given beside it goes before the one in it.
    ///
    /// # Errors
    /// [`Kind::Config`], in words that never quote the string: any part of it may be a password.
    pub fn parse(text: &Secret, password: Option<&Secret>) -> Result<Uri> {
        let wrong = |problem: &str| {
            Err(Error::new(Kind::Config, format!("the URL is no connection string of MongoDB: {problem}"))
                .hint("write mongodb://user@host:27017/?replicaSet=rs0, the password apart"))
        };
        let Some((scheme, rest)) = text.expose().split_once("://") else {
            return wrong("it does not begin with mongodb:// or mongodb+srv://");
        };
        if !matches!(scheme, "mongodb" | "mongodb+srv") {
            return wrong("it does not begin with mongodb:// or mongodb+srv://");
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let (user_info, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, authority),
        };
        if hosts.is_empty() {
            return wrong("it names no host");
        }
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        let database = path.strip_prefix('/').unwrap_or(path);
        if database.contains(['/', '@']) || query.contains('@') && user_info.is_none() {
            return wrong("special characters of a password (such as @ / ? :) have to be percent-encoded");
        }
        let (user, in_url) = match user_info.and_then(|info| info.split_once(':')) {
            Some((user, password)) => (Some(user), Some(password)),
            None => (user_info, None),
        };
        let in_url = match in_url.filter(|text| !text.is_empty()).map(decoded) {
            Some(None) => return wrong("a % in the password is not followed by two hex digits"),
            Some(Some(text)) => Some(Secret::new(text)),
            None => None,
        };
        let options = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), value.to_owned())
        });
        Ok(Uri {
            scheme: scheme.to_owned(),
            user: user.filter(|user| !user.is_empty()).map(str::to_owned),
            password: password.cloned().or(in_url),
            hosts: hosts.to_owned(),
            database: database.to_owned(),
            options: options.collect(),
        })
    }

    /// The value of an option; names are compared without case, as the specification says.
    pub fn option(&self, name: &str) -> Option<&str> {
        let named = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.options.iter().find(named).map(|(_, value)| value.as_str())
    }

    /// The same with an option where it does not have it yet.
    #[must_use]
    pub fn with_default(mut self, name: &str, value: &str) -> Uri {
        if self.option(name).is_none() {
            self.options.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// True when a user without a password is named, and the mechanism wants one.
    pub fn lacks_password(&self) -> bool {
        let without = ["MONGODB-X509", "MONGODB-AWS", "GSSAPI", "MONGODB-OIDC"];
        let mechanism = self.option("authMechanism").unwrap_or_default();
        self.user.is_some() && self.password.is_none() && !without.contains(&mechanism)
    }

    /// A database in the URL that nobody logs in at: whoever wrote it meant it as a target.
    pub fn target_by_mistake(&self) -> Option<&str> {
        Some(self.database.as_str())
            .filter(|name| self.user.is_none() && !name.is_empty() && *name != "admin")
    }

    /// The same with a password.
    #[must_use]
    pub fn with_password(mut self, password: Secret) -> Uri {
        self.password = Some(password);
        self
    }

    /// The whole string, with the password.
    pub fn full(&self) -> Secret {
        let password = self.password.as_ref().map_or(String::new(), |p| format!(":{}", encoded(p.expose())));
        let user = self.user.as_ref().map_or(String::new(), |user| format!("{user}{password}@"));
        let options: Vec<String> =
            self.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let query = if options.is_empty() { String::new() } else { format!("?{}", options.join("&")) };
        Secret::new(format!("{}://{user}{}/{}{query}", self.scheme, self.hosts, self.database))
    }

    /// What must not be shown, for the redaction of messages.
    pub fn secrets(&self) -> Vec<Secret> {
        let in_options = self.options.iter().filter(|(name, _)| {
            let name = name.to_ascii_lowercase();
            name.contains("password") || name == "authmechanismproperties"
        });
        let in_options =
            in_options.map(|(_, value)| Secret::new(decoded(value).unwrap_or_else(|| value.clone())));
        self.password.iter().cloned().chain(in_options).filter(|secret| !secret.is_empty()).collect()
    }
}

impl std::fmt::Display for Uri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let readable = |user: &String| decoded(user).filter(|text| !text.contains(char::is_control));
        let user =
            self.user.as_ref().map(|user| format!("{}@", readable(user).unwrap_or_else(|| user.clone())));
        write!(f, "{}://{}{}", self.scheme, user.unwrap_or_default(), self.hosts)
    }
}

/// Encodes what is not unreserved (RFC 3986, section 2.3).
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Result<Uri> {
        Uri::parse(&Secret::new(text), None)
    }

    #[test]
    fn a_string_goes_round_and_is_shown_without_secrets() {
        let text = "mongodb://me:s%40fe%2F@a:27017,b:27018/admin?replicaSet=rs0&tls=true";
        let read = uri(text).unwrap();
        assert_eq!(read.full().expose(), text);
        assert_eq!(read.to_string(), "mongodb://me@a:27017,b:27018");
        assert_eq!(read.secrets(), [Secret::new("s@fe/")]);
        assert_eq!(read.option("REPLICASET"), Some("rs0"));
        assert_eq!(uri("mongodb://a%20user:x@h").unwrap().to_string(), "mongodb://a user@h");
        let bare = uri("mongodb+srv://cluster.example").unwrap();
        assert_eq!(bare.full().expose(), "mongodb+srv://cluster.example/");
        assert_eq!(
            bare.with_default("readPreference", "nearest").full().expose(),
            "mongodb+srv://cluster.example/?readPreference=nearest"
        );
    }

    #[test]
    fn the_password_beside_the_string_wins() {
        let read = Uri::parse(&Secret::new("mongodb://me:old@h"), Some(&Secret::new("new:pw"))).unwrap();
        assert_eq!(read.full().expose(), "mongodb://me:new%3Apw@h/");
        assert!(uri("mongodb://me@h").unwrap().lacks_password());
        assert!(!uri("mongodb://CN=me@h/?authMechanism=MONGODB-X509").unwrap().lacks_password());
        assert!(!uri("mongodb://h").unwrap().lacks_password());
    }

    #[test]
    fn a_certificates_password_is_a_secret_too() {
        let read = uri("mongodb://h/?tlsCertificateKeyFilePassword=geheim").unwrap();
        assert_eq!(read.secrets(), [Secret::new("geheim")]);
        assert!(!read.to_string().contains("geheim") && !format!("{read:?}").is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_without_quoting_it() {
        for text in [
            "postgres://me:geheim@h",
            "geheim",
            "mongodb://me:geheim@/x",
            "mongodb://me:gehe/im@h/x",
            "mongodb://me:%geheim@h",
        ] {
            let error = uri(text).unwrap_err();
            assert_eq!(error.kind(), Kind::Config);
            assert!(!format!("{error:?}").contains("geh"), "{error:?}");
        }
    }
}
