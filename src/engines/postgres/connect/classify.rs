//! What the driver's errors mean: the message, the hint, and what to try next.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use tokio_postgres::error::SqlState;

use crate::engines::postgres::resolve::{Connection, Host, HostName};
use crate::engines::postgres::tls;
use crate::error::{Error, Kind};

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The server may be there in a moment.
    Retry,
    /// This host is no good, another may be.
    OtherHost,
    /// Trying again or elsewhere cannot help.
    Stop,
}

/// A failed try.
#[derive(Debug)]
pub struct Failure {
    /// What to say.
    pub error: Error,
    /// What to do.
    pub next: Next,
    /// The same address may work with or without TLS.
    pub other_way: bool,
    /// The database does not exist.
    pub missing_database: bool,
}

impl Failure {
    fn new(next: Next, error: Error) -> Failure {
        Failure { error, next, other_way: false, missing_database: false }
    }

    /// A failure after the session was open.
    pub fn later(error: Error) -> Failure {
        Failure::new(Next::OtherHost, error)
    }

    /// The host's name gave no address.
    pub fn no_address(host: &Host) -> Failure {
        Failure::new(
            Next::OtherHost,
            Error::new(Kind::Unreachable, format!("{host} has no address")).hint("check the host's name"),
        )
    }

    /// The host's name cannot be resolved.
    pub fn unknown_host(host: &Host, cause: io::Error) -> Failure {
        let name = match &host.name {
            HostName::Tcp(name) => name.clone(),
            HostName::Socket(path) => path.display().to_string(),
        };
        Failure::new(
            Next::OtherHost,
            Error::new(Kind::Unreachable, format!("the host name `{name}` cannot be resolved"))
                .because(cause)
                .hint("check the name and this machine's DNS"),
        )
    }

    /// No answer in time.
    pub fn timed_out(host: &Host, time: Duration) -> Failure {
        Failure::new(
            Next::OtherHost,
            Error::new(Kind::Unreachable, format!("{host} did not answer within {} s", time.as_secs())).hint(
                "check firewalls and network policies between here and the server, or raise connect_timeout",
            ),
        )
    }

    /// One failure for all hosts: it is worth a retry if any of them is.
    pub fn of_all(mut failures: Vec<Failure>, connection: &Connection) -> Failure {
        if failures.len() == 1
            && let Some(only) = failures.pop()
        {
            return only;
        }
        let retry = failures.iter().any(|failure| failure.next == Next::Retry);
        let causes: Vec<String> = failures.iter().map(|failure| failure.error.chain()).collect();
        let mut error = Error::new(
            Kind::Unreachable,
            format!("no host of {connection} can be used: {}", causes.join("; ")),
        );
        if let Some(hint) = failures.iter().find_map(|failure| failure.error.hint_text()) {
            error = error.hint(hint);
        }
        Failure::new(if retry { Next::Retry } else { Next::OtherHost }, error)
    }

    /// What an error of the driver means for one host.
    pub fn of(cause: tokio_postgres::Error, connection: &Connection, host: &Host) -> Failure {
        if let Some(db) = cause.as_db_error() {
            return of_server(db, connection, host);
        }
        let has_password = host.password.as_ref().is_some_and(|password| !password.is_empty());
        if let Some(error) = find_source::<rustls::Error>(&cause) {
            let (what, hint) = tls::describe(error);
            let error = Error::new(Kind::Unreachable, format!("{host}: {what}")).hint(hint);
            return Failure { other_way: true, ..Failure::new(Next::OtherHost, error) };
        }
        if let Some(error) = find_source::<io::Error>(&cause) {
            return of_network(error, host);
        }
        let text = cause.source().map(ToString::to_string).unwrap_or_else(|| cause.to_string());
        if text.contains("password missing") && !has_password {
            let error =
                Error::new(Kind::Unreachable, format!("{host} wants a password for `{}`", connection.user))
                    .hint("give it by password_file, PGPASSWORD or a password file (PGPASSFILE)");
            return Failure::new(Next::Stop, error);
        }
        if text.contains("server does not support TLS") {
            let error = Error::new(Kind::Unreachable, format!("{host} does not offer TLS"))
                .hint("switch TLS on (ssl = on) in the server, or use sslmode=prefer");
            return Failure { other_way: true, ..Failure::new(Next::OtherHost, error) };
        }
        if text.contains("channel binding") {
            let error =
                Error::new(Kind::Unreachable, format!("{host} cannot do what channel_binding=require wants"))
                    .because(text)
                    .hint("channel binding needs TLS and scram-sha-256 on the server");
            return Failure::new(Next::Stop, error);
        }
        let error = Error::new(Kind::Unreachable, format!("cannot open a session on {host}"))
            .because(text)
            .hint("check that a PostgreSQL server listens there, and its log");
        Failure::new(Next::OtherHost, error)
    }
}

fn of_network(cause: &io::Error, host: &Host) -> Failure {
    use io::ErrorKind as Io;
    let socket = matches!(host.name, HostName::Socket(_)) && host.addr.is_none();
    let (next, what, hint) = match cause.kind() {
        Io::ConnectionRefused => {
            (Next::Retry, "refuses connections", "check that the server runs and listens on this address")
        }
        Io::NotFound if socket => {
            (Next::Retry, "is not there", "check that the server runs and its unix_socket_directories")
        }
        Io::PermissionDenied if socket => {
            (Next::OtherHost, "may not be opened by this user", "check the mode of the socket")
        }
        Io::HostUnreachable | Io::NetworkUnreachable => {
            (Next::OtherHost, "cannot be reached", "check the address, routes and firewalls")
        }
        Io::TimedOut => (Next::OtherHost, "did not answer", "check firewalls and network policies"),
        Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::UnexpectedEof => (
            Next::Retry,
            "closed the connection",
            "check the server's log, and that a PostgreSQL server listens on this port",
        ),
        _ => (Next::OtherHost, "cannot be reached", "check the address and the server"),
    };
    let error = Error::new(Kind::Unreachable, format!("{host} {what}")).because(cause.to_string()).hint(hint);
    Failure {
        other_way: next == Next::Retry && !socket && cause.kind() != Io::ConnectionRefused,
        ..Failure::new(next, error)
    }
}

fn of_server(db: &tokio_postgres::error::DbError, connection: &Connection, host: &Host) -> Failure {
    let (user, database) = (&connection.user, &connection.database);
    let said = db.message();
    let code = db.code();
    let stop = |message: String, hint: &str| {
        Failure::new(Next::Stop, Error::new(Kind::Unreachable, message).hint(hint))
    };
    if *code == SqlState::INVALID_PASSWORD {
        return stop(
            format!("{host} refused the password of `{user}`"),
            "check the password; password_file, the URL, PGPASSWORD and the password file are asked in this order",
        );
    }
    if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION {
        let hint = if said.contains("no pg_hba.conf entry") || said.contains("pg_hba.conf rejects") {
            "let pg_hba.conf of the server allow this address, role and database, or change sslmode"
        } else {
            "check the role's name, its LOGIN attribute and the client certificate"
        };
        let failure = stop(format!("{host} refused `{user}`: {said}"), hint);
        return Failure { other_way: true, ..failure };
    }
    if *code == SqlState::INVALID_CATALOG_NAME {
        let error = Error::new(Kind::Unreachable, format!("database `{database}` does not exist on {host}"));
        return Failure { missing_database: true, ..Failure::new(Next::Stop, error) };
    }
    if *code == SqlState::CANNOT_CONNECT_NOW {
        let error = Error::new(Kind::Unreachable, format!("{host} takes no sessions now: {said}"))
            .hint("wait until the server is up, and look into its log");
        return Failure::new(Next::Retry, error);
    }
    if *code == SqlState::TOO_MANY_CONNECTIONS {
        let error = Error::new(Kind::Unreachable, format!("{host} has no connection free: {said}")).hint(
            "raise max_connections (or the role's or database's connection limit), or use fewer readers",
        );
        return Failure::new(Next::Retry, error);
    }
    if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        let hint = format!("run GRANT CONNECT ON DATABASE \"{database}\" TO \"{user}\"");
        return stop(format!("{host} does not let `{user}` into `{database}`: {said}"), &hint);
    }
    if said.contains("not currently accepting connections") {
        let hint = format!(
            "if no restore of it runs, a killed one may have closed it: run ALTER DATABASE \"{database}\" WITH ALLOW_CONNECTIONS true, and `lifeboat doctor`"
        );
        return stop(format!("{host} lets nobody into `{database}`: {said}"), &hint);
    }
    if said.contains("unsupported startup parameter") {
        return stop(
            format!("{host} is a connection pooler that refuses server options: {said}"),
            "connect to the server itself, since a pooler also breaks snapshots; or set \
             ignore_startup_parameters in PgBouncer for session pooling",
        );
    }
    stop(
        format!("{host} refused the session: {said} (SQLSTATE {})", code.code()),
        "look into the server's log for the reason",
    )
}

/// Finds an error of a type in the chain of causes, also inside [`io::Error`]s.
fn find_source<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<T>() {
            return Some(found);
        }
        let inner = current.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => current.source(),
        };
    }
    None
}

/// What went wrong in a statement, as far as a caller can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlProblem {
    /// The connection is gone, or the server ended the session.
    Lost,
    /// The role may not do it.
    Forbidden,
    /// `lock_timeout` fired (55P03).
    LockTimeout,
    /// A table, schema or other object is not there.
    Missing,
    /// A deadlock was broken, or a standby cancelled for recovery (40P01, 40001).
    Conflict,
    /// The server ran out of disk, memory or connections (class 53), or its disk fails (58030).
    Exhausted,
    /// Anything else.
    Other,
}

/// Classifies an error of a statement.
pub fn problem(cause: &tokio_postgres::Error) -> SqlProblem {
    let Some(db) = cause.as_db_error() else {
        let lost = cause.is_closed() || find_source::<io::Error>(cause).is_some();
        return if lost { SqlProblem::Lost } else { SqlProblem::Other };
    };
    match db.code().code() {
        "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25P03" | "25P04" => SqlProblem::Lost,
        code if code.starts_with("08") => SqlProblem::Lost,
        "58030" => SqlProblem::Exhausted,
        code if code.starts_with("53") => SqlProblem::Exhausted,
        "42501" => SqlProblem::Forbidden,
        "55P03" => SqlProblem::LockTimeout,
        "42P01" | "3F000" | "42704" => SqlProblem::Missing,
        "40P01" | "40001" => SqlProblem::Conflict,
        _ => SqlProblem::Other,
    }
}

/// One line of what the server said, without details that could hold row values.
pub fn summary(cause: &tokio_postgres::Error) -> String {
    match cause.as_db_error() {
        Some(db) => format!("{} (SQLSTATE {})", db.message(), db.code().code()),
        None => match cause.source() {
            Some(source) => format!("{cause}: {source}"),
            None => cause.to_string(),
        },
    }
}
