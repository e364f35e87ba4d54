//! Where a server is, and how to talk to it.

use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;

/// The port of Bolt (IANA).
pub const PORT: u16 = 7687;

/// Everything that a connection needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// A host name or address; an IPv6 address may have its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// TLS or not.
    pub encryption: Encryption,
    /// A PEM file with certificates to trust besides those of the system.
    pub roots: Option<PathBuf>,
    /// Who asks.
    pub auth: Auth,
    /// Lets a server of a cluster forward writes to the right one, as URLs of `neo4j://` want it.
    pub routing: bool,
    /// The name that the server logs, such as `lifeboat/1.2.3`.
    pub user_agent: String,
    /// From the first packet until the user is logged on. Default: 30 seconds.
    pub connect_timeout: Duration,
    /// A server that is silent for so long is an error; a sign of life (an empty chunk) counts as speech.
    ///
    /// `None`: what the server asks for (`connection.recv_timeout_seconds`), or [`Config::IDLE`].
    pub idle_timeout: Option<Duration>,
    /// Records that the server sends at once, before it waits for more to be asked for. Default: 1000.
    pub fetch: u32,
}

/// How the bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// Without TLS (`bolt://`).
    Off,
    /// TLS, and the certificate must be trusted and for this host (`bolt+s://`).
    Verified,
    /// TLS with any certificate (`bolt+ssc://`).
    Unverified,
}

/// Who asks.
#[derive(Debug, Clone)]
pub enum Auth {
    /// Nobody, for servers without authentication.
    None,
    /// A user with a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token of single sign-on.
    Bearer(Secret),
}

impl Config {
    /// A server that asks for nothing else may be silent for so long.
    pub const IDLE: Duration = Duration::from_secs(120);

    /// A server without TLS and without authentication.
    pub fn new(host: impl Into<String>, port: u16) -> Config {
        Config {
            host: host.into(),
            port,
            encryption: Encryption::Off,
            roots: None,
            auth: Auth::None,
            routing: false,
            user_agent: concat!("lifeboat/", env!("CARGO_PKG_VERSION")).into(),
            connect_timeout: Duration::from_secs(30),
            idle_timeout: None,
            fetch: 1000,
        }
    }

    /// The host without brackets.
    pub(super) fn bare_host(&self) -> &str {
        let inner = self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        inner.unwrap_or(&self.host)
    }

    /// `host:port`, as messages name the server.
    pub fn place(&self) -> String {
        let host = self.bare_host();
        if host.contains(':') { format!("[{host}]:{}", self.port) } else { format!("{host}:{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let mut config = Config::new("[::1]", PORT);
        config.auth = Auth::Basic { user: "neo4j".into(), password: "sesame".into() };
        assert!(!format!("{config:?}").contains("sesame"));
        config.auth = Auth::Bearer("sesame".into());
        assert!(!format!("{config:?}").contains("sesame"));
        assert_eq!(config.place(), "[::1]:7687");
    }
}
