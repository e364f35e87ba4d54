//! What can go wrong between this program and a server.

use std::sync::Arc;

use super::packstream::Malformed;
use crate::error::Kind;

/// The result of talking to a server.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, and at which `host:port`. No variant ever holds a password.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection came about.
    #[error("cannot connect to {place}")]
    Connect {
        /// The server.
        place: Arc<str>,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// TLS failed, or its certificates cannot be read.
    #[error("TLS with {place} failed: {what}")]
    Tls {
        /// The server.
        place: Arc<str>,
        /// What failed.
        what: String,
        /// What to do.
        hint: &'static str,
    },
    /// A server that speaks Bolt, but an old one.
    #[error("{place} {offered}, and Bolt 5 is needed, which comes with Neo4j 5")]
    UnsupportedVersion {
        /// The server.
        place: Arc<str>,
        /// What it speaks.
        offered: String,
    },
    /// Something else than a Bolt server.
    #[error("{place} is no Bolt server: {what}")]
    NotBolt {
        /// The server.
        place: Arc<str>,
        /// What it did instead.
        what: String,
        /// What to do.
        hint: &'static str,
    },
    /// A server that said nothing for too long, not even that it is alive.
    #[error("{place} was silent for {} while {doing}", humantime::format_duration(*limit))]
    Timeout {
        /// The server.
        place: Arc<str>,
        /// What was waited for.
        doing: &'static str,
        /// For how long.
        limit: std::time::Duration,
    },
    /// The server went away.
    #[error("{place} closed the connection while {doing}")]
    Closed {
        /// The server.
        place: Arc<str>,
        /// What was waited for.
        doing: &'static str,
        /// Why, where the system knows it.
        #[source]
        cause: Option<std::io::Error>,
    },
    /// The server said that a request failed.
    #[error("{place} answered: {message} ({code})")]
    Server {
        /// The server.
        place: Arc<str>,
        /// Neo4j's code, such as `Neo.ClientError.Security.Unauthorized`.
        code: String,
        /// Its message.
        message: String,
    },
    /// An answer that the protocol does not allow, or a request that it does not.
    #[error("the exchange with {place} went wrong: {what}")]
    Protocol {
        /// The server.
        place: Arc<str>,
        /// What went wrong.
        what: String,
        /// Bytes that are no PackStream, if it was that.
        #[source]
        cause: Option<Malformed>,
    },
}

impl Error {
    /// The code that the server gave, if it answered at all.
    pub fn code(&self) -> Option<&str> {
        if let Error::Server { code, .. } = self { Some(code) } else { None }
    }

    /// The server does not know the user, or the password or token is wrong.
    pub fn is_auth(&self) -> bool {
        const CODES: [&str; 6] = [
            "Unauthorized",
            "AuthenticationRateLimit",
            "CredentialsExpired",
            "TokenExpired",
            "AuthorizationExpired",
            "AuthProviderFailed",
        ];
        self.security().is_some_and(|code| CODES.contains(&code))
    }

    /// The user is known, and may not do this.
    pub fn is_forbidden(&self) -> bool {
        self.security() == Some("Forbidden")
    }

    fn security(&self) -> Option<&str> {
        self.code()?.strip_prefix("Neo.ClientError.Security.")
    }

    /// The same request may succeed if it is sent again in a new transaction.
    ///
    /// What ended a transaction on purpose is not among it.
    pub fn is_transient(&self) -> bool {
        const ON_PURPOSE: [&str; 2] = ["Transaction.Terminated", "Transaction.LockClientStopped"];
        self.code()
            .and_then(|code| code.strip_prefix("Neo.TransientError."))
            .is_some_and(|code| !ON_PURPOSE.contains(&code))
    }

    /// There is no database of that name.
    pub fn is_database_missing(&self) -> bool {
        self.code() == Some("Neo.ClientError.Database.DatabaseNotFound")
    }

    /// Can the connection still be used? After such an error the next request resets it by itself.
    pub fn leaves_connection(&self) -> bool {
        matches!(self, Error::Server { .. })
    }

    /// The next step, where one is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::Connect { .. } => {
                Some("check host and port, and that server.bolt.listen_address lets this machine in")
            }
            Error::Tls { hint, .. } | Error::NotBolt { hint, .. } => Some(hint),
            Error::UnsupportedVersion { .. } => Some("upgrade the server to Neo4j 5 or newer"),
            Error::Timeout { .. } => Some("look into the server's log, and at the network between"),
            Error::Closed { .. } => {
                Some("look into the server's log (neo4j.log, debug.log) for why it ended")
            }
            _ if self.is_auth() => Some("check user and password"),
            _ if self.is_forbidden() => Some("grant the user the privilege"),
            _ if self.is_database_missing() => Some("SHOW DATABASES lists the names"),
            Error::Server { .. } | Error::Protocol { .. } => None,
        }
    }

    /// The kind of error that this is for the rest of the program.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Server { .. } if self.is_auth() || self.is_forbidden() || self.is_database_missing() => {
                Kind::Unreachable
            }
            Error::Server { .. } | Error::Protocol { .. } => Kind::Failed,
            _ => Kind::Unreachable,
        }
    }
}

impl From<Error> for crate::error::Error {
    fn from(error: Error) -> Self {
        use std::error::Error as _;
        let mut whole = crate::error::Error::new(error.kind(), error.to_string());
        if let Some(hint) = error.hint() {
            whole = whole.hint(hint);
        }
        match error.source().map(ToString::to_string) {
            Some(cause) => whole.because(cause),
            None => whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: &str) -> Error {
        Error::Server { place: "db:7687".into(), code: code.into(), message: "no".into() }
    }

    #[test]
    fn codes_have_a_meaning() {
        assert!(server("Neo.ClientError.Security.Unauthorized").is_auth());
        assert!(!server("Neo.ClientError.Security.Forbidden").is_auth());
        assert!(server("Neo.TransientError.Transaction.DeadlockDetected").is_transient());
        assert!(!server("Neo.TransientError.Transaction.Terminated").is_transient());
        assert!(!server("Neo.ClientError.Statement.SyntaxError").is_transient());
        assert!(server("Neo.ClientError.Database.DatabaseNotFound").is_database_missing());
    }

    #[test]
    fn outside_of_the_room_cause_and_hint_are_kept() {
        let cause = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error: crate::error::Error = Error::Connect { place: "db:7687".into(), cause }.into();
        assert_eq!(error.chain(), "cannot connect to db:7687: connection refused");
        assert_eq!(error.kind(), Kind::Unreachable);
        assert!(error.hint_text().is_some());
        let error: crate::error::Error = server("Neo.ClientError.Statement.SyntaxError").into();
        assert_eq!(error.chain(), "db:7687 answered: no (Neo.ClientError.Statement.SyntaxError)");
        assert_eq!(error.kind(), Kind::Failed);
    }
}
