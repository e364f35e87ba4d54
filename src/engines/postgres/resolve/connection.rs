//! The resolved connection: a plain value that holds everything and shows no secret.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostName {
    /// A DNS name or an IP address; also the name that `verify-full` wants in the certificate.
    Tcp(String),
    /// The directory of a Unix socket (or `@name` for an abstract one).
    Socket(PathBuf),
}

/// One server of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The name.
    pub name: HostName,
    /// The address to use in place of looking the name up.
    pub addr: Option<IpAddr>,
    /// The port, also for sockets.
    pub port: u16,
    /// The password for this server.
    pub password: Option<Secret>,
}

impl Host {
    /// The name under which libpq looks up passwords: sockets in a default directory are `localhost`.
    pub fn name_for_passwords(&self) -> String {
        match &self.name {
            HostName::Tcp(name) => name.clone(),
            HostName::Socket(path) => match path.to_str() {
                Some("/tmp" | "/var/run/postgresql" | "/run/postgresql") => "localhost".into(),
                _ => path.display().to_string(),
            },
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            HostName::Tcp(name) if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            HostName::Tcp(name) => write!(f, "{name}:{}", self.port),
            HostName::Socket(path) => write!(f, "{}/.s.PGSQL.{}", path.display(), self.port),
        }
    }
}

/// libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Never TLS.
    Disable,
    /// Plain first, TLS when the server insists.
    Allow,
    /// TLS first, plain when the server has none.
    Prefer,
    /// TLS; the certificate is checked only when there is a root certificate.
    Require,
    /// TLS; the certificate must come from a trusted root.
    VerifyCa,
    /// TLS; the certificate must come from a trusted root and name the host.
    VerifyFull,
}

impl Mode {
    /// The word that libpq uses.
    pub fn word(self) -> &'static str {
        match self {
            Mode::Disable => "disable",
            Mode::Allow => "allow",
            Mode::Prefer => "prefer",
            Mode::Require => "require",
            Mode::VerifyCa => "verify-ca",
            Mode::VerifyFull => "verify-full",
        }
    }
}

/// The root certificates that are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// No file is there; certificates are not checked (`verify-*` fails).
    None,
    /// The certificates of this PEM file.
    File(PathBuf),
    /// The system's certificates (`sslrootcert=system`).
    System,
}

/// Everything about TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// How much TLS.
    pub mode: Mode,
    /// Whom to trust.
    pub roots: Roots,
    /// The client certificate and its key, PEM files.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// A PEM file of revocation lists.
    pub revoked: Option<PathBuf>,
    /// True: begin with the TLS handshake (`sslnegotiation=direct`, PostgreSQL 17).
    pub direct: bool,
    /// True: send the host name in the handshake.
    pub sni: bool,
    /// TLS 1.2 is allowed.
    pub tls12: bool,
    /// TLS 1.3 is allowed.
    pub tls13: bool,
}

/// libpq's `channel_binding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// When the server offers it.
    Prefer,
    /// Always.
    Require,
}

impl ChannelBinding {
    /// The word that libpq uses.
    pub fn word(self) -> &'static str {
        match self {
            ChannelBinding::Disable => "disable",
            ChannelBinding::Prefer => "prefer",
            ChannelBinding::Require => "require",
        }
    }
}

/// libpq's `target_session_attrs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Any server.
    Any,
    /// One whose sessions may write.
    ReadWrite,
    /// One whose sessions may not write.
    ReadOnly,
    /// One that is not in recovery.
    Primary,
    /// One that is in recovery.
    Standby,
    /// A standby, or any server when none is one.
    PreferStandby,
}

impl Target {
    /// The word that libpq uses.
    pub fn word(self) -> &'static str {
        match self {
            Target::Any => "any",
            Target::ReadWrite => "read-write",
            Target::ReadOnly => "read-only",
            Target::Primary => "primary",
            Target::Standby => "standby",
            Target::PreferStandby => "prefer-standby",
        }
    }
}

/// How a broken network is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalives {
    /// False: none are sent.
    pub on: bool,
    /// Idle time before the first.
    pub idle: Duration,
    /// Time between two.
    pub interval: Duration,
    /// Unanswered ones after which the connection is dead.
    pub count: u32,
    /// How long sent data may stay unacknowledged; zero: the system's default.
    pub user_timeout: Duration,
}

/// A way to one database: hosts, user, database, TLS, time-outs. `Display` shows no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The servers to try in this order; at least one.
    pub hosts: Vec<Host>,
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// TLS.
    pub tls: Tls,
    /// SCRAM channel binding.
    pub channel_binding: ChannelBinding,
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
    /// Server options of the user (`-c name=value`); ours come after them and win.
    pub options: String,
    /// For each address; zero: no limit.
    pub connect_timeout: Duration,
    /// How a broken network is noticed.
    pub keepalives: Keepalives,
    /// Which kind of server is wanted.
    pub target: Target,
    /// True: hosts are tried in random order (`load_balance_hosts=random`).
    pub shuffle: bool,
}

impl Connection {
    /// The same servers and role, another database.
    #[must_use]
    pub fn with_database(&self, name: &str) -> Connection {
        Connection { database: name.to_string(), ..self.clone() }
    }

    /// The same connection, nailed to one server, so that a child cannot reach another one.
    #[must_use]
    pub fn pinned(&self, host: &Host, addr: Option<IpAddr>) -> Connection {
        let host = Host { addr: addr.or(host.addr), ..host.clone() };
        Connection { hosts: vec![host], target: Target::Any, shuffle: false, ..self.clone() }
    }

    /// All passwords, for redaction.
    pub fn secrets(&self) -> Vec<Secret> {
        self.hosts.iter().filter_map(|host| host.password.clone()).collect()
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}@", self.user)?;
        for (index, host) in self.hosts.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{host}")?;
        }
        write!(f, "/{}", self.database)
    }
}
