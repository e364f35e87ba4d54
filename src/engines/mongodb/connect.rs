//! Connections: what answers, and what its errors mean.

use std::time::Duration;

use mongodb::bson::{Document, RawDocumentBuf, Timestamp, doc};
use mongodb::error::ErrorKind;
use mongodb::options::{ClientOptions, ReadPreference, RunCursorCommandOptions, SelectionCriteria};
use mongodb::{Client, Cursor};

use super::uri::Uri;
use crate::error::{Error, Kind, Result};

/// How long to look for a server that answers, where the URL does not say (`serverSelectionTimeoutMS`).
const SELECTION: Duration = Duration::from_secs(10);

/// The name that the server's log has for our connections.
const APP_NAME: &str = "lifeboat";

/// What kind of deployment answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// One server without an oplog.
    Standalone,
    /// A replica set of this name.
    ReplicaSet(String),
    /// A sharded cluster, through its router (`mongos`).
    Sharded,
}

impl Topology {
    /// The word in manifests.
    pub fn word(&self) -> &'static str {
        match self {
            Topology::Standalone => "standalone",
            Topology::ReplicaSet(_) => "replica_set",
            Topology::Sharded => "sharded",
        }
    }
}

/// An open connection, with what the server said of itself.
#[derive(Debug, Clone)]
pub struct Server {
    /// The driver's client.
    pub client: Client,
    /// Where it is, without secrets.
    pub shown: String,
    /// The version, as in `6.0.5`.
    pub version: String,
    /// What it is.
    pub topology: Topology,
    /// The server's own clock, in milliseconds since 1970.
    pub local_time_ms: i64,
    /// How long it may take to answer whether it is there.
    pub patience: Duration,
    selection: SelectionCriteria,
}

/// Opens a connection and asks what answers.
///
/// # Errors
/// [`Kind::Config`] for a connection string that the driver does not take, [`Kind::Unreachable`] when nobody
/// answers or the server refuses.
pub async fn connect(uri: &Uri, read_preference: &str) -> Result<Server> {
    let shown = uri.to_string();
    let mut options = ClientOptions::parse(uri.full().expose()).await.map_err(|cause| match *cause.kind {
        ErrorKind::DnsResolve { .. } => explain(&shown, &cause),
        _ => Error::new(Kind::Config, format!("{shown}: the URL is not to be used"))
            .because(plain(&cause))
            .hint("look at the options behind the ?; docs/configuration.md names the usual ones"),
    })?;
    options.app_name.get_or_insert_with(|| APP_NAME.to_owned());
    let selecting = *options.server_selection_timeout.get_or_insert(SELECTION);
    options.connect_timeout.get_or_insert(selecting);
    let client = Client::with_options(options).map_err(|cause| explain(&shown, &cause))?;
    let selection = criteria(read_preference);
    let admin = client.database("admin");
    let ask = async {
        let hello = admin.run_command(doc! {"hello": 1}).selection_criteria(selection.clone()).await?;
        let info = admin.run_command(doc! {"buildInfo": 1}).selection_criteria(selection.clone()).await?;
        Ok((hello, info))
    };
    // To find it, to connect, to log in: the driver waits for ever for the answers to some of that.
    let (hello, info) = match tokio::time::timeout(selecting * 3, ask).await {
        Ok(answers) => answers.map_err(|cause| explain(&shown, &cause))?,
        Err(_) => return Err(silent(&shown)),
    };
    let topology = match (hello.get_str("setName"), hello.get_str("msg")) {
        (Ok(set), _) => Topology::ReplicaSet(set.to_owned()),
        (_, Ok("isdbgrid")) => Topology::Sharded,
        _ => Topology::Standalone,
    };
    let local_time_ms = hello.get_datetime("localTime").map_or(0, |time| time.timestamp_millis());
    let version = info.get_str("version").unwrap_or("unknown").to_owned();
    Ok(Server { client, shown, version, topology, local_time_ms, patience: selecting * 3 / 2, selection })
}

fn criteria(word: &str) -> SelectionCriteria {
    let options = None;
    SelectionCriteria::ReadPreference(match word {
        "primary" => ReadPreference::Primary,
        "primaryPreferred" => ReadPreference::PrimaryPreferred { options },
        "secondary" => ReadPreference::Secondary { options },
        "nearest" => ReadPreference::Nearest { options },
        _ => ReadPreference::SecondaryPreferred { options },
    })
}

impl Server {
    /// True when it keeps an oplog.
    pub fn has_oplog(&self) -> bool {
        matches!(self.topology, Topology::ReplicaSet(_))
    }

    /// Runs a command that reads, on the member that is preferred.
    ///
    /// # Errors
    /// Those of [`explain`].
    pub async fn read(&self, database: &str, command: Document) -> Result<Document> {
        let database = self.client.database(database);
        let run = database.run_command(command).selection_criteria(self.selection.clone());
        self.explained(run.into_future()).await
    }

    /// Runs a command on the primary.
    ///
    /// # Errors
    /// Those of [`explain`].
    pub async fn run(&self, database: &str, command: Document) -> Result<Document> {
        let database = self.client.database(database);
        self.explained(database.run_command(command).into_future()).await
    }

    /// Runs a command on the primary, given as bytes.
    ///
    /// # Errors
    /// Those of [`explain`].
    pub async fn run_raw(&self, database: &str, command: RawDocumentBuf) -> Result<Document> {
        let database = self.client.database(database);
        self.explained(database.run_raw_command(command).into_future()).await
    }

    /// Waits for the answer as long as the server is there.
    async fn explained<T>(&self, work: impl Future<Output = mongodb::error::Result<T>>) -> Result<T> {
        self.while_alive(work).await?.map_err(|cause| explain(&self.shown, &cause))
    }

    /// Runs a command whose answer is a cursor, on the member that is preferred. The driver's own error:
    /// some callers have to know its code.
    ///
    /// # Errors
    /// Those of the driver.
    pub async fn cursor(
        &self,
        database: &str,
        command: Document,
    ) -> mongodb::error::Result<Cursor<Document>> {
        let options = RunCursorCommandOptions::builder().selection_criteria(self.selection.clone()).build();
        self.client.database(database).run_cursor_command(command).with_options(options).await
    }

    /// All documents of a command's cursor.
    ///
    /// # Errors
    /// Those of [`explain`].
    pub async fn all(&self, database: &str, command: Document) -> Result<Vec<Document>> {
        let reading = async {
            let mut cursor = self.cursor(database, command).await?;
            let mut found = Vec::new();
            while cursor.advance().await? {
                found.push(cursor.deserialize_current()?);
            }
            Ok(found)
        };
        self.explained(reading).await
    }

    /// Asks whether it is still there; waits for ever for a server that has fallen silent.
    ///
    /// # Errors
    /// Those of [`explain`].
    pub async fn ping(&self) -> Result<()> {
        let admin = self.client.database("admin");
        let ping = admin.run_command(doc! {"ping": 1}).selection_criteria(self.selection.clone());
        ping.await.map(drop).map_err(|cause| explain(&self.shown, &cause))
    }
}

/// The code of a server's answer, if it is one. Source: the server's `error_codes.yml`.
pub fn code(error: &mongodb::error::Error) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}

/// The driver's message without the decoration of its `Display`.
pub fn plain(error: &mongodb::error::Error) -> String {
    let text = match &*error.kind {
        ErrorKind::Command(command) => {
            format!("{} ({})", without_command(command.message.trim_end_matches('.')), command.code_name)
        }
        ErrorKind::Authentication { message, .. }
        | ErrorKind::ServerSelection { message, .. }
        | ErrorKind::DnsResolve { message, .. }
        | ErrorKind::InvalidArgument { message, .. }
        | ErrorKind::InvalidTlsConfig { message, .. }
        | ErrorKind::ConnectionPoolCleared { message, .. }
        | ErrorKind::InvalidResponse { message, .. } => message.clone(),
        ErrorKind::Io(cause) => cause.to_string(),
        kind => kind.to_string(),
    };
    // The cause of a failed selection is in the description of the topology, in the driver's own notation.
    text.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

/// "not authorized on admin to execute command { dbStats: 1, lsid: … }": of the command, the name is enough.
fn without_command(message: &str) -> String {
    const BEFORE: &str = " to execute command ";
    match message.split_once(BEFORE) {
        Some((what, command)) => {
            let name = command.trim_start_matches(['{', ' ']).split(':').next().unwrap_or(command);
            format!("{what}{BEFORE}{name}")
        }
        None => message.to_owned(),
    }
}

fn silent(shown: &str) -> Error {
    Error::new(Kind::Unreachable, format!("{shown} does not answer"))
        .hint("check that MongoDB listens there, and the network between")
}

/// Turns an error of the driver into one that says what happened where, and what to do.
pub fn explain(shown: &str, error: &mongodb::error::Error) -> Error {
    let text = plain(error);
    let unreachable = |message: String| Error::new(Kind::Unreachable, message);
    match &*error.kind {
        ErrorKind::Authentication { .. } => unreachable(format!("{shown} refuses the login: {text}"))
            .hint("check user, password and authSource (the database that the user was made in) of the URL"),
        ErrorKind::ServerSelection { .. } if text.contains("tls handshake eof") => {
            unreachable(format!("no secure connection to {shown}: {}", selection_cause(&text)))
                .hint("does the server speak TLS? if not, take tls and tlsCAFile out of the URL")
        }
        ErrorKind::ServerSelection { .. } if text.contains("certificate") || text.contains("tls") => {
            unreachable(format!("no secure connection to {shown}: {}", selection_cause(&text)))
                .hint("give the server's CA by tlsCAFile in the URL, and its name as in the certificate")
        }
        ErrorKind::ServerSelection { .. } if text.contains("unexpected end of file") => {
            unreachable(format!("{shown} cannot be reached: {}", selection_cause(&text)))
                .hint("if the server speaks TLS alone, add tls=true and tlsCAFile to the URL; check the port")
        }
        ErrorKind::ServerSelection { .. } => {
            unreachable(format!("{shown} cannot be reached: {}", selection_cause(&text)))
                .hint("check host and port, the name of the replica set, and the network between")
        }
        ErrorKind::InvalidTlsConfig { .. } => Error::new(Kind::Config, format!("{shown}: {text}"))
            .hint("check the files that tlsCAFile and tlsCertificateKeyFile name in the URL"),
        ErrorKind::DnsResolve { .. } => unreachable(format!("{shown} cannot be resolved: {text}"))
            .hint("check the host's name; mongodb+srv:// needs its SRV and TXT records"),
        ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. } => {
            unreachable(format!("the connection to {shown} was lost: {text}"))
                .hint("look into the server's log, and try again")
        }
        ErrorKind::Command(command) => match command.code {
            // AuthenticationFailed
            18 => unreachable(format!("{shown} refuses the login: {text}")).hint(
                "check user, password and authSource (the database that the user was made in) of the URL",
            ),
            13 if text.contains("requires authentication") => {
                unreachable(format!("{shown} wants a login: {text}"))
                    .hint("name a user in the URL, and give its password")
            }
            // Unauthorized
            13 => unreachable(format!("{shown}: {text}"))
                .hint("grant the role backup (for backups) or restore (for restores) on the database admin"),
            // OutOfDiskSpace, ExceededMemoryLimit
            14031 | 146 => unreachable(format!("{shown}: {text}")).hint("give the server more room"),
            // HostUnreachable, HostNotFound, ShutdownInProgress, NotWritablePrimary, InterruptedAtShutdown,
            // PrimarySteppedDown, InterruptedDueToReplStateChange, NotPrimaryNoSecondaryOk, …OrSecondary
            6 | 7 | 91 | 10107 | 11600 | 189 | 11602 | 13435 | 13436 => {
                unreachable(format!("{shown}: {text}"))
                    .hint("wait until the replica set has a primary, and try again")
            }
            _ => Error::new(Kind::Failed, format!("{shown}: {text}")),
        },
        _ => Error::new(Kind::Failed, format!("{shown}: {text}")),
    }
}

/// Of a failed selection, the errors of the servers alone: the rest is the driver's notation.
fn selection_cause(text: &str) -> String {
    let mut causes: Vec<String> = Vec::new();
    for part in text.split("Error: ").skip(1) {
        let end = part.find(" }").unwrap_or(part.len());
        let cause = part[..end].trim();
        let cause = cause.rsplit("Kind: ").next().unwrap_or(cause);
        let cause =
            cause.split(", labels:").next().unwrap_or(cause).trim_end_matches(['.', ',', ';']).to_owned();
        // The driver's own time-out and that of the connection race each other.
        let cause = if cause == "I/O error: timed out" { "nobody answers".to_owned() } else { cause };
        if !cause.is_empty() && !causes.contains(&cause) {
            causes.push(cause);
        }
    }
    if !causes.is_empty() {
        return causes.join("; ");
    }
    let known = ["Type: RsSecondary", "Type: RsOther", "Type: RsArbiter"];
    if known.iter().any(|word| text.contains(word)) {
        return "the replica set has no member that can be read from now".to_owned();
    }
    if text.contains("ReplicaSet") && !text.contains("Address:") {
        return "none of its hosts is a member of that replica set".to_owned();
    }
    if text.contains("Type: Unknown }") { "nobody answers".to_owned() } else { text.to_owned() }
}

/// `seconds:ordinal`, the way that positions are written.
pub fn position(time: Timestamp) -> String {
    format!("{}:{}", time.time, time.increment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_server_said_is_taken_out_of_a_failed_selection() {
        let text = "Server selection timeout: No available servers. Topology: { Type: Unknown, Servers: [ \
                    { Address: 127.0.0.1:1, Type: Unknown, Error: Kind: I/O error: Connection refused (os error 111), \
                    labels: {} }, { Address: b:1, Type: Unknown, Error: Kind: I/O error: Connection refused (os error \
                    111), labels: {} } ] }";
        assert_eq!(selection_cause(text), "I/O error: Connection refused (os error 111)");
        assert_eq!(selection_cause("nothing known"), "nothing known");
    }

    #[test]
    fn of_a_refused_command_the_name_is_told() {
        let text =
            "not authorized on admin to execute command { dbStats: 1, $db: \"admin\", lsid: { id: 1 } }";
        assert_eq!(without_command(text), "not authorized on admin to execute command dbStats");
        assert_eq!(without_command("interrupted"), "interrupted");
    }

    #[test]
    fn positions_are_seconds_and_ordinal() {
        assert_eq!(position(Timestamp { time: 1_700_000_000, increment: 5 }), "1700000000:5");
    }
}
