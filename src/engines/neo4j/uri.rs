//! Where a Neo4j server is: `neo4j://`, `bolt://` and their encrypted forms, taken apart and shown without secrets.
//!
//! Source: Neo4j's drivers' manual, "Connection URI".

use std::path::PathBuf;

use crate::bolt;
use crate::engines::percent::decoded;
use crate::error::{Error, Kind, Result};
use crate::secret::Secret;

/// Bolt's port (IANA service names and port numbers: `bolt`).
const PORT: u16 = 7687;

/// The schemes, with how each encrypts, and whether it asks the server to route.
const SCHEMES: [(&str, bolt::Encryption, bool); 6] = [
    ("neo4j", bolt::Encryption::Off, true),
    ("neo4j+s", bolt::Encryption::Verified, true),
    ("neo4j+ssc", bolt::Encryption::Unverified, true),
    ("bolt", bolt::Encryption::Off, false),
    ("bolt+s", bolt::Encryption::Verified, false),
    ("bolt+ssc", bolt::Encryption::Unverified, false),
];

/// The options behind the `?`.
const OPTIONS: [&str; 2] = ["tlsCAFile", "auth"];

/// A server's address. Its `Display` shows no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uri {
    scheme: String,
    encryption: bolt::Encryption,
    routing: bool,
    user: Option<String>,
    password: Option<Secret>,
    host: String,
    port: u16,
    /// The database; `None`: the user's home database.
    pub database: Option<String>,
    ca_file: Option<PathBuf>,
    bearer: bool,
}

impl Uri {
    /// Takes a URL apart. A password given beside it goes before the one in it.
    ///
    /// # Errors
    /// [`Kind::Config`], in words that never quote the URL: any part of it may be a password.
    pub fn parse(text: &Secret, password: Option<&Secret>) -> Result<Uri> {
        let parts = Parts::of(text.expose()).map_err(|problem| {
            Error::new(Kind::Config, format!("the URL is no address of Neo4j: {problem}"))
                .hint("write neo4j+s://user@host:7687/database, the password apart")
        })?;
        let in_url = parts.password.filter(|text| !text.is_empty()).map(Secret::new);
        Ok(Uri {
            scheme: parts.scheme.0.to_owned(),
            encryption: parts.scheme.1,
            routing: parts.scheme.2,
            user: parts.user.filter(|user| !user.is_empty()),
            password: password.cloned().or(in_url),
            host: parts.host,
            port: parts.port,
            database: parts.database,
            ca_file: parts.ca_file,
            bearer: parts.bearer,
        })
    }

    /// True when a login is named, and what goes with it is not there.
    pub fn lacks_password(&self) -> bool {
        (self.user.is_some() || self.bearer) && self.password.is_none()
    }

    /// The same with a password.
    #[must_use]
    pub fn with_password(mut self, password: Secret) -> Uri {
        self.password = Some(password);
        self
    }

    /// The same with a database.
    #[must_use]
    pub fn with_database(mut self, database: Option<String>) -> Uri {
        self.database = database;
        self
    }

    /// Host and port.
    pub fn address(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// How the Bolt client connects.
    pub fn config(&self) -> bolt::Config {
        let auth = match (&self.user, &self.password) {
            (_, Some(token)) if self.bearer => bolt::Auth::Bearer(token.clone()),
            (Some(user), password) => {
                bolt::Auth::Basic { user: user.clone(), password: password.clone().unwrap_or_default() }
            }
            (None, _) => bolt::Auth::None,
        };
        let mut config = bolt::Config::new(&self.host, self.port);
        config.encryption = self.encryption;
        config.roots.clone_from(&self.ca_file);
        config.auth = auth;
        config.routing = self.routing;
        config
    }
}

impl std::fmt::Display for Uri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let user = self.user.as_ref().filter(|user| !user.contains(char::is_control));
        let user = user.map_or_else(String::new, |user| format!("{user}@"));
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "{}://{user}{host}:{}", self.scheme, self.port)?;
        self.database.as_ref().map_or(Ok(()), |database| write!(f, "/{database}"))
    }
}

/// A URL's parts, decoded.
struct Parts {
    scheme: (&'static str, bolt::Encryption, bool),
    user: Option<String>,
    password: Option<String>,
    host: String,
    port: u16,
    database: Option<String>,
    ca_file: Option<PathBuf>,
    bearer: bool,
}

impl Parts {
    fn of(text: &str) -> std::result::Result<Parts, String> {
        let wrong_scheme = "it does not begin with neo4j://, neo4j+s://, bolt:// or bolt+s://";
        let (scheme, rest) = text.split_once("://").ok_or(wrong_scheme)?;
        let scheme = *SCHEMES.iter().find(|(name, ..)| *name == scheme).ok_or(wrong_scheme)?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        if hosts.is_empty() {
            return Err("it names no host".to_owned());
        }
        if hosts.contains(',') {
            return Err("it names several hosts; one is enough, the servers of a cluster route".to_owned());
        }
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        let database = path.strip_prefix('/').unwrap_or(path);
        let specials = "special characters of a password (such as @ / ? :) have to be percent-encoded";
        if database.contains(['/', '@']) || login.is_none() && query.contains('@') {
            return Err(specials.to_owned());
        }
        let not_decoded = "a % in it is not followed by two hex digits";
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
            Some((user, password)) => {
                (Some(decoded(user).ok_or(not_decoded)?), Some(decoded(password).ok_or(not_decoded)?))
            }
            None => (None, None),
        };
        let (host, port) = host_and_port(hosts).ok_or(specials)?;
        let (mut ca_file, mut bearer) = (None, false);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value).ok_or(not_decoded)?;
            match (name, value.as_str()) {
                ("tlsCAFile", path) if !path.is_empty() => ca_file = Some(PathBuf::from(path)),
                ("auth", "basic") => bearer = false,
                ("auth", "bearer") => bearer = true,
                _ => {
                    let known = OPTIONS.join(", ");
                    return Err(format!(
                        "an option behind the ? is not known or has no value; there are {known}"
                    ));
                }
            }
        }
        let database = decoded(database).ok_or(not_decoded)?;
        let database = Some(database).filter(|name| !name.is_empty());
        Ok(Parts { scheme, user, password, host, port, database, ca_file, bearer })
    }
}

/// `host`, `host:port`, `[::1]:port`.
fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
    };
    let port = match rest.strip_prefix(':') {
        Some(digits) => digits.parse().ok().filter(|port| *port > 0)?,
        None if rest.is_empty() => PORT,
        None => return None,
    };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Result<Uri> {
        Uri::parse(&Secret::new(text), None)
    }

    #[test]
    fn a_url_is_taken_apart_and_shown_without_secrets() {
        let read = uri("neo4j+s://me:s%40fe%2F@db.example:7688/movies?tlsCAFile=/etc/ca.pem").unwrap();
        assert_eq!(read.to_string(), "neo4j+s://me@db.example:7688/movies");
        assert_eq!(read.address(), ("db.example", 7688));
        assert_eq!(read.database.as_deref(), Some("movies"));
        assert_eq!(read.password, Some(Secret::new("s@fe/")));
        assert_eq!(read.ca_file, Some(PathBuf::from("/etc/ca.pem")));
        assert!(!format!("{read:?}").contains("s@fe"));
        let bare = uri("bolt://[::1]").unwrap();
        assert_eq!((bare.to_string().as_str(), &bare.database), ("bolt://[::1]:7687", &None));
        assert!(!bare.lacks_password() && uri("bolt://neo4j@h").unwrap().lacks_password());
        assert!(uri("bolt://h?auth=bearer").unwrap().lacks_password());
    }

    #[test]
    fn the_password_beside_the_url_wins() {
        let read = Uri::parse(&Secret::new("bolt://me:old@h"), Some(&Secret::new("new"))).unwrap();
        assert_eq!(read.password, Some(Secret::new("new")));
    }

    #[test]
    fn what_is_wrong_is_said_without_quoting_it() {
        for text in [
            "http://me:geheim@h",
            "geheim",
            "neo4j://me:geheim@/x",
            "neo4j://me:gehe/im@h/x",
            "neo4j://me:%geheim@h",
            "neo4j://me:geheim@h:port",
            "neo4j://me:geheim@a,b",
            "neo4j://me@h?geheim=1",
            "neo4j://me@h:0",
        ] {
            let error = uri(text).unwrap_err();
            assert_eq!(error.kind(), Kind::Config);
            assert!(!format!("{error:?}").contains("geh"), "{error:?}");
        }
    }
}
