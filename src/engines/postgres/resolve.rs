//! One resolver: URL, service, PG* variables, password files and TLS options become one [`Connection`].
//!
//! The driver's settings and the environment of a child process are both made from that value, so
//! that a session and `pg_dump` reach the same database in the same way.

pub mod connection;
pub mod environment;
pub mod keywords;
mod read;
pub mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use connection::{ChannelBinding, Connection, Host, HostName, Keepalives, Mode, Roots, Target, Tls};
pub use environment::{ChildEnvironment, child_basics};

use super::{pgpass, service};
use crate::error::{Error, Explain, Kind, Result};
use crate::secret::Secret;
use keywords::Parameters;

/// The directories where a server puts its socket by default (Debian, then upstream).
const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// What a connection is resolved from. Earlier fields win over later ones.
#[derive(Debug, Clone, Default)]
pub struct Inputs<'a> {
    /// A password from the configuration; wins over every other.
    pub password: Option<Secret>,
    /// A file whose first line is the password.
    pub password_file: Option<&'a Path>,
    /// Single parameters from the configuration (`sslmode`, `sslrootcert`, …).
    pub overrides: Parameters,
    /// A `postgres://` URL or a `key=value` string; may be empty.
    pub url: Secret,
    /// The process's environment: PG* variables, `HOME`, `PGSYSCONFDIR`. Empty: none are used.
    pub variables: BTreeMap<String, String>,
}

/// Resolves the inputs. Fails with [`Kind::Config`]; no message holds a secret.
pub fn resolve(inputs: &Inputs<'_>) -> Result<Connection> {
    keywords::check(&inputs.overrides, "the configuration")?;
    let mut given = inputs.overrides.clone();
    merge(&mut given, {
        let url = text::parse(inputs.url.expose())?;
        keywords::check(&url, "the URL")?;
        url
    });
    let variables = keywords::from_variables(&inputs.variables);
    let service_name = given.get("service").or_else(|| variables.get("service")).cloned();
    if let Some(name) = service_name.filter(|name| !name.is_empty()) {
        let file = given.get("servicefile").or_else(|| variables.get("servicefile"));
        let found = service::look_up(&name, file.map(String::as_str), &inputs.variables)?;
        keywords::check(&found, &format!("service `{name}`"))?;
        merge(&mut given, found);
    }
    keywords::check(&variables, "the PG* variables")?;
    merge(&mut given, variables);
    build(inputs, given)
}

/// Adds what is not there yet.
fn merge(into: &mut Parameters, from: Parameters) {
    for (name, value) in from {
        into.entry(name).or_insert(value);
    }
}

fn build(inputs: &Inputs<'_>, mut given: Parameters) -> Result<Connection> {
    // A database name may itself be a URL for libpq's tools; here it is a name only.
    let home = inputs.variables.get("HOME").map(PathBuf::from);
    let user = match given.remove("user").filter(|user| !user.is_empty()) {
        Some(user) => user,
        None => system_user()?,
    };
    let database = given.remove("dbname").filter(|name| !name.is_empty()).unwrap_or_else(|| user.clone());
    let mut hosts = hosts(&given)?;
    let password = password(inputs, &given)?;
    let passfile = given.get("passfile").map(PathBuf::from);
    let passfile = passfile.or_else(|| home.as_ref().map(|home| home.join(".pgpass")));
    for host in &mut hosts {
        host.password = match (&password, &passfile) {
            (Some(password), _) => Some(password.clone()),
            (None, Some(file)) => {
                let name = host.name_for_passwords();
                let (port, database, user) = (host.port, database.as_str(), user.as_str());
                pgpass::look_up(file, pgpass::Wanted { host: &name, port, database, user })?
            }
            (None, None) => None,
        };
    }
    Ok(Connection {
        hosts,
        user,
        database,
        tls: read::tls(&given, home.as_deref())?,
        channel_binding: read::channel_binding(&given)?,
        application_name: read::text(&given, "application_name").unwrap_or("lifeboat").to_string(),
        options: read::text(&given, "options").unwrap_or_default().to_string(),
        connect_timeout: read::connect_timeout(&given)?,
        keepalives: read::keepalives(&given)?,
        target: read::target(&given)?,
        shuffle: read::shuffle(&given)?,
    })
}

/// The password of the configuration, its file, or the parameters, in this order.
fn password(inputs: &Inputs<'_>, given: &Parameters) -> Result<Option<Secret>> {
    if let Some(password) = inputs.password.as_ref().filter(|password| !password.is_empty()) {
        return Ok(Some(password.clone()));
    }
    if let Some(file) = inputs.password_file {
        let text = std::fs::read_to_string(file)
            .explain(Kind::Config, || format!("cannot read the password file {}", file.display()))?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            return Err(Error::new(Kind::Config, format!("the password file {} is empty", file.display()))
                .hint("write the password into it, on one line"));
        }
        return Ok(Some(Secret::new(line)));
    }
    Ok(read::text(given, "password").map(Secret::new))
}

/// Pairs hosts, addresses and ports as libpq does: equal counts, or one port for all.
fn hosts(given: &Parameters) -> Result<Vec<Host>> {
    let list = |name: &str| -> Vec<&str> {
        read::text(given, name).map_or_else(Vec::new, |text| text.split(',').map(str::trim).collect())
    };
    let (names, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let count = names.len().max(addresses.len()).max(1);
    let wrong = |what: String| {
        Error::new(Kind::Config, what)
            .hint("give one host for each hostaddr, and one port for each or for all")
    };
    if !names.is_empty() && !addresses.is_empty() && names.len() != addresses.len() {
        return Err(wrong(format!("{} hosts but {} host addresses", names.len(), addresses.len())));
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(wrong(format!("{count} hosts but {} ports", ports.len())));
    }
    let mut hosts = Vec::with_capacity(count);
    for index in 0..count {
        let port = match ports.get(index).or_else(|| ports.first().filter(|_| ports.len() == 1)) {
            None | Some(&"") => 5432,
            // The text is not shown: a password with a bare `/` or `@` ends up here.
            Some(text) => text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(|| {
                Error::new(Kind::Config, "the port in the connection string is not a number from 1 to 65535")
                    .hint("percent-encode special characters in the user and the password")
            })?,
        };
        let addr: Option<std::net::IpAddr> = match addresses.get(index) {
            None | Some(&"") => None,
            Some(text) => Some(text.parse().map_err(|_| wrong("a hostaddr is not an IP address".into()))?),
        };
        let name = match (names.get(index).copied().unwrap_or_default(), addr) {
            ("", Some(addr)) => HostName::Tcp(addr.to_string()),
            ("", None) => default_host(port),
            (path, _) if path.starts_with('/') || path.starts_with('@') => HostName::Socket(path.into()),
            (name, _) => HostName::Tcp(name.to_string()),
        };
        hosts.push(Host { name, addr, port, password: None });
    }
    Ok(hosts)
}

/// The default directory that has a socket for this port, else `localhost`.
fn default_host(port: u16) -> HostName {
    SOCKET_DIRECTORIES
        .iter()
        .find(|directory| Path::new(directory).join(format!(".s.PGSQL.{port}")).exists())
        .map_or_else(|| HostName::Tcp("localhost".into()), |directory| HostName::Socket(directory.into()))
}

/// The name of the user that runs this process, libpq's default for `user`.
fn system_user() -> Result<String> {
    let uid = nix::unistd::geteuid();
    match nix::unistd::User::from_uid(uid) {
        Ok(Some(user)) => Ok(user.name),
        _ => Err(Error::new(Kind::Config, format!("no user is given, and uid {uid} has no name"))
            .hint("name the user: postgres://user@host/database")),
    }
}

#[cfg(test)]
#[path = "resolve/tests.rs"]
mod tests;
