//! Opening sessions: every host and address in turn, retries of what is transient, clear errors.

mod classify;
pub mod session;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

pub use classify::{SqlProblem, problem, summary};
pub use session::Session;

use super::resolve::{ChannelBinding, Connection, Host, HostName, Mode, Target, keywords};
use super::tls;
use crate::error::{Error, Kind, Result};
use classify::{Failure, Next};

/// How long a server may take to come up (it is starting, or refuses connections) before it is an error.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(10);

/// The time between two tries, at first; it doubles up to two seconds.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Opens a session with the default patience.
pub async fn connect(connection: &Connection) -> Result<Session> {
    connect_within(connection, DEFAULT_PATIENCE).await
}

/// Opens a session. Retries for `patience` while the server is starting, refuses connections or has
/// no connection free; everything else fails at once with [`Kind::Unreachable`] and a hint.
pub async fn connect_within(connection: &Connection, patience: Duration) -> Result<Session> {
    let tls = tls::connector(&connection.tls)?;
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut tries = 0u32;
    loop {
        tries += 1;
        let failure = match try_all(connection, &tls).await {
            Ok(session) => return Ok(session),
            Err(failure) => failure,
        };
        if failure.missing_database {
            return Err(name_databases(failure.error, connection, &tls).await);
        }
        if failure.next != Next::Retry || began.elapsed() + pause > patience {
            return Err(match tries {
                1 => failure.error,
                _ => failure.error.while_doing(format!(
                    "{connection} cannot be reached after {tries} tries in {:.0} s",
                    began.elapsed().as_secs_f64()
                )),
            });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

/// Tries every host once. A standby is preferred by a first round that takes only standbys.
async fn try_all(connection: &Connection, tls: &MakeRustlsConnect) -> Result<Session, Failure> {
    if connection.target == Target::PreferStandby {
        let standby = Connection { target: Target::Standby, ..connection.clone() };
        if let Ok(session) = try_hosts(&standby, tls).await {
            return Ok(session);
        }
        let any = Connection { target: Target::Any, ..connection.clone() };
        return try_hosts(&any, tls).await;
    }
    try_hosts(connection, tls).await
}

async fn try_hosts(connection: &Connection, tls: &MakeRustlsConnect) -> Result<Session, Failure> {
    let mut hosts: Vec<&Host> = connection.hosts.iter().collect();
    if connection.shuffle {
        fastrand::shuffle(&mut hosts);
    }
    let mut failures: Vec<Failure> = Vec::new();
    for host in hosts {
        match try_host(connection, host, tls).await {
            Ok(session) => return Ok(session),
            Err(failure) if failure.next == Next::Stop => return Err(failure),
            Err(failure) => failures.push(failure),
        }
    }
    Err(Failure::of_all(failures, connection))
}

async fn try_host(connection: &Connection, host: &Host, tls: &MakeRustlsConnect) -> Result<Session, Failure> {
    let addresses = addresses(connection, host).await?;
    let mut last = None;
    for address in addresses {
        match try_address(connection, host, address, tls).await {
            Ok(session) => return Ok(session),
            Err(failure) if failure.next == Next::Stop => return Err(failure),
            Err(failure) => last = Some(failure),
        }
    }
    Err(last.unwrap_or_else(|| Failure::no_address(host)))
}

/// The addresses of a host; `None` stands for a Unix socket.
async fn addresses(connection: &Connection, host: &Host) -> Result<Vec<Option<IpAddr>>, Failure> {
    let name = match (&host.name, host.addr) {
        (_, Some(addr)) => return Ok(vec![Some(addr)]),
        (HostName::Socket(_), None) => return Ok(vec![None]),
        (HostName::Tcp(name), None) => name,
    };
    let lookup = tokio::net::lookup_host((name.as_str(), host.port));
    let found = match limit(connection) {
        None => lookup.await,
        Some(time) => match tokio::time::timeout(time, lookup).await {
            Ok(found) => found,
            Err(_) => return Err(Failure::timed_out(host, time)),
        },
    };
    match found {
        Ok(addresses) => {
            let mut all: Vec<Option<IpAddr>> = addresses.map(|address| Some(address.ip())).collect();
            all.dedup();
            Ok(all)
        }
        Err(cause) => Err(Failure::unknown_host(host, cause)),
    }
}

fn limit(connection: &Connection) -> Option<Duration> {
    (!connection.connect_timeout.is_zero()).then_some(connection.connect_timeout)
}

/// Tries one address, with and without TLS as the mode allows (libpq's order).
async fn try_address(
    connection: &Connection,
    host: &Host,
    address: Option<IpAddr>,
    tls: &MakeRustlsConnect,
) -> Result<Session, Failure> {
    let ways: &[SslMode] = match (&host.name, connection.tls.mode) {
        // libpq has no TLS over Unix sockets and ignores the mode.
        (HostName::Socket(_), _) if address.is_none() => &[SslMode::Disable],
        (_, Mode::Disable) => &[SslMode::Disable],
        (_, Mode::Allow) => &[SslMode::Disable, SslMode::Require],
        (_, Mode::Prefer) => &[SslMode::Prefer, SslMode::Disable],
        (_, Mode::Require | Mode::VerifyCa | Mode::VerifyFull) => &[SslMode::Require],
    };
    let mut first: Option<Failure> = None;
    for way in ways {
        match try_once(connection, host, address, tls, *way).await {
            Ok(session) => return Ok(session),
            Err(failure) if failure.other_way => {
                // The first failure says more than that of the fallback.
                first.get_or_insert(failure);
            }
            Err(failure) => return Err(first.unwrap_or(failure)),
        }
    }
    Err(first.unwrap_or_else(|| Failure::no_address(host)))
}

async fn try_once(
    connection: &Connection,
    host: &Host,
    address: Option<IpAddr>,
    tls: &MakeRustlsConnect,
    way: SslMode,
) -> Result<Session, Failure> {
    let config = driver_config(connection, host, address, way);
    let opening = config.connect(tls.clone());
    let opened = match limit(connection) {
        None => opening.await,
        Some(time) => match tokio::time::timeout(time, opening).await {
            Ok(opened) => opened,
            Err(_) => return Err(Failure::timed_out(host, time)),
        },
    };
    let (client, driver) = opened.map_err(|cause| Failure::of(cause, connection, host))?;
    let pinned = connection.pinned(host, address);
    let session = Session::start(client, driver, pinned, tls.clone()).await.map_err(Failure::later)?;
    fits_target(&session, connection.target).await?;
    Ok(session)
}

/// The driver's settings for one address of one host.
pub fn driver_config(
    connection: &Connection,
    host: &Host,
    address: Option<IpAddr>,
    way: SslMode,
) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    match &host.name {
        HostName::Tcp(name) => config.host(name),
        HostName::Socket(path) => config.host_path(path),
    };
    if let Some(address) = address {
        config.hostaddr(address);
    }
    config.port(host.port).user(&connection.user).dbname(&connection.database);
    config.application_name(&connection.application_name);
    if let Some(password) = &host.password {
        config.password(password.expose());
    }
    if !connection.options.is_empty() {
        config.options(&connection.options);
    }
    let keep = &connection.keepalives;
    config.keepalives(keep.on).keepalives_idle(keep.idle).keepalives_interval(keep.interval);
    config.keepalives_retries(keep.count);
    if !keep.user_timeout.is_zero() {
        config.tcp_user_timeout(keep.user_timeout);
    }
    if connection.tls.direct && way == SslMode::Require {
        config.ssl_negotiation(tokio_postgres::config::SslNegotiation::Direct);
    }
    config.channel_binding(match connection.channel_binding {
        ChannelBinding::Disable => tokio_postgres::config::ChannelBinding::Disable,
        ChannelBinding::Prefer => tokio_postgres::config::ChannelBinding::Prefer,
        ChannelBinding::Require => tokio_postgres::config::ChannelBinding::Require,
    });
    config.ssl_mode(way);
    config
}

/// Checks `target_session_attrs` as libpq does.
async fn fits_target(session: &Session, target: Target) -> Result<(), Failure> {
    if target == Target::Any {
        return Ok(());
    }
    let sql = "SELECT pg_catalog.pg_is_in_recovery(), \
               pg_catalog.current_setting('transaction_read_only') = 'on'";
    let row = session.one(sql, &[]).await.map_err(Failure::later)?;
    let (standby, read_only): (bool, bool) = (row.get(0), row.get(1));
    let fits = match target {
        Target::Any | Target::PreferStandby => true,
        Target::ReadWrite => !read_only && !standby,
        Target::ReadOnly => read_only || standby,
        Target::Primary => !standby,
        Target::Standby => standby,
    };
    if fits {
        return Ok(());
    }
    Err(Failure::later(
        Error::new(Kind::Unreachable, format!("{} is not a {} server", session.connection(), target.word()))
            .hint("list another host, or change target_session_attrs"),
    ))
}

/// Adds to a "no such database" error which databases there are, as far as the role may see them.
async fn name_databases(error: Error, connection: &Connection, tls: &MakeRustlsConnect) -> Error {
    for other in ["postgres", "template1"] {
        if other == connection.database {
            continue;
        }
        let Ok(session) = try_all(&connection.with_database(other), tls).await else { continue };
        let sql = "SELECT datname::text FROM pg_catalog.pg_database \
                   WHERE datallowconn AND NOT datistemplate ORDER BY 1 LIMIT 50";
        let Ok(rows) = session.query(sql, &[]).await else { continue };
        let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let hint = match keywords::nearest(&connection.database, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`? the server has: {}", names.join(", ")),
            None => format!("the server has: {}", names.join(", ")),
        };
        // A new error, since the first hint given stays.
        return Error::new(error.kind(), error.message()).hint(hint);
    }
    error.hint("check the database's name; psql -l lists those that exist")
}
