//! The messages of Bolt 5: what is sent, and what comes back.
//!
//! Source: Bolt protocol documentation, "Messages" (neo4j.com/docs/bolt/current/bolt/message). `docs/bolt.md` lists
//! those that are used here, with their fields.

use std::time::Duration;

use super::config::{Auth, Config};
use super::handshake::Version;
use super::packstream::{Encoder, Malformed, Reader, Value};
use super::params::Params;

/// The tag of a record.
pub(super) const RECORD: u8 = 0x71;
const SUCCESS: u8 = 0x70;
const IGNORED: u8 = 0x7E;
const FAILURE: u8 = 0x7F;

/// A request that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    Hello,
    Logon,
    Reset,
    Begin,
    Run,
    Pull,
    Discard,
    Commit,
    Rollback,
}

impl Request {
    /// What is waited for, in words.
    pub(super) fn doing(self) -> &'static str {
        match self {
            Request::Hello => "it was greeted (HELLO)",
            Request::Logon => "the user was logged on (LOGON)",
            Request::Reset => "the connection was reset (RESET)",
            Request::Begin => "a transaction was begun (BEGIN)",
            Request::Run => "a query was run (RUN)",
            Request::Pull => "records were read (PULL)",
            Request::Discard => "records were skipped (DISCARD)",
            Request::Commit => "a transaction was committed (COMMIT)",
            Request::Rollback => "a transaction was rolled back (ROLLBACK)",
        }
    }
}

/// Reads or writes: a server of a cluster has to know before it sees the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Only reads.
    Read,
    /// Reads and writes.
    #[default]
    Write,
}

/// How a transaction is to be.
#[derive(Debug, Clone, Default)]
pub struct Begin {
    /// The database; `None`: the user's home database.
    pub database: Option<String>,
    /// Reads or writes.
    pub mode: Mode,
    /// The transaction sees at least what these have seen.
    pub bookmarks: Vec<String>,
    /// The server ends it after so long. `None`: the server's own limit.
    pub timeout: Option<Duration>,
}

impl Begin {
    fn encode(&self, out: &mut Vec<u8>) {
        let read = self.mode == Mode::Read;
        let entries = [self.database.is_some(), read, !self.bookmarks.is_empty(), self.timeout.is_some()];
        let mut encoder = Encoder::new(out);
        encoder.map_header(entries.into_iter().filter(|there| *there).count());
        if let Some(database) = &self.database {
            encoder.string("db").string(database);
        }
        if read {
            encoder.string("mode").string("r");
        }
        if !self.bookmarks.is_empty() {
            encoder.string("bookmarks").list_header(self.bookmarks.len());
            for bookmark in &self.bookmarks {
                encoder.string(bookmark);
            }
        }
        if let Some(timeout) = self.timeout {
            // Zero would mean: no limit at all.
            let millis = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX).max(1);
            encoder.string("tx_timeout").int(millis);
        }
    }
}

fn auth(auth: &Auth, encoder: &mut Encoder<'_>) {
    match auth {
        Auth::None => encoder.string("scheme").string("none"),
        Auth::Basic { user, password } => encoder
            .string("scheme")
            .string("basic")
            .string("principal")
            .string(user)
            .string("credentials")
            .string(password.expose()),
        Auth::Bearer(token) => {
            encoder.string("scheme").string("bearer").string("credentials").string(token.expose())
        }
    };
}

fn auth_entries(auth: &Auth) -> usize {
    match auth {
        Auth::None => 1,
        Auth::Basic { .. } => 3,
        Auth::Bearer(_) => 2,
    }
}

/// HELLO. In Bolt 5.0 it logs the user on as well.
pub(super) fn hello(config: &Config, version: Version, out: &mut Vec<u8>) {
    let (quiet, agent, logs_on) = (version.minor >= 2, version.minor >= 3, version.minor == 0);
    let mut entries = 1 + usize::from(quiet) + usize::from(agent) + usize::from(config.routing);
    if logs_on {
        entries += auth_entries(&config.auth);
    }
    let mut encoder = Encoder::new(out);
    encoder.struct_header(1, 0x01).map_header(entries).string("user_agent").string(&config.user_agent);
    if agent {
        encoder.string("bolt_agent").map_header(2);
        encoder.string("product").string(&config.user_agent);
        encoder.string("language").string("Rust");
    }
    if quiet {
        encoder.string("notifications_minimum_severity").string("OFF");
    }
    if config.routing {
        encoder.string("routing").map_header(1).string("address").string(&config.place());
    }
    if logs_on {
        auth(&config.auth, &mut encoder);
    }
}

/// LOGON, from Bolt 5.1 on.
pub(super) fn logon(config: &Config, out: &mut Vec<u8>) {
    let mut encoder = Encoder::new(out);
    encoder.struct_header(1, 0x6A).map_header(auth_entries(&config.auth));
    auth(&config.auth, &mut encoder);
}

/// BEGIN.
pub(super) fn begin(begin: &Begin, out: &mut Vec<u8>) {
    Encoder::new(out).struct_header(1, 0x11);
    begin.encode(out);
}

/// RUN; outside of a transaction with the properties of its own one.
pub(super) fn run(query: &str, params: &Params, own: Option<&Begin>, out: &mut Vec<u8>) {
    Encoder::new(out).struct_header(3, 0x10).string(query);
    params.encode(out);
    match own {
        Some(begin) => begin.encode(out),
        None => {
            Encoder::new(out).map_header(0);
        }
    }
}

/// PULL of so many records of the query that was run last.
pub(super) fn pull(records: u32, out: &mut Vec<u8>) {
    Encoder::new(out).struct_header(1, 0x3F).map_header(1).string("n").int(i64::from(records));
}

/// DISCARD of all records of the query that was run last.
pub(super) fn discard(out: &mut Vec<u8>) {
    Encoder::new(out).struct_header(1, 0x2F).map_header(1).string("n").int(-1);
}

/// RESET.
pub(super) fn reset(out: &mut Vec<u8>) {
    Encoder::new(out).struct_header(0, 0x0F);
}

/// COMMIT.
pub(super) fn commit(out: &mut Vec<u8>) {
    Encoder::new(out).struct_header(0, 0x12);
}

/// ROLLBACK.
pub(super) fn rollback(out: &mut Vec<u8>) {
    Encoder::new(out).struct_header(0, 0x13);
}

/// GOODBYE.
pub(super) fn goodbye(out: &mut Vec<u8>) {
    Encoder::new(out).struct_header(0, 0x02);
}

/// What a server answers to a request, after its records.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    Success(Value),
    Failure { code: String, message: String },
    Ignored,
}

/// The fields of a record as raw bytes, if the message is a record.
#[inline]
pub(super) fn record(message: &[u8]) -> Option<&[u8]> {
    match message {
        [0xB1, RECORD, list @ ..] => Some(list),
        _ => None,
    }
}

/// Reads an answer. The message must hold nothing else.
pub(super) fn answer(message: &[u8]) -> Result<Answer, Malformed> {
    let mut reader = Reader::new(message);
    let (fields, tag) = reader.structure()?;
    let mut values = Vec::new();
    for _ in 0..fields {
        values.push(Value::read(&mut reader)?);
    }
    reader.end()?;
    let metadata = values.into_iter().next().unwrap_or(Value::Map(Vec::new()));
    // From Bolt 5.7 on, `code` is called `neo4j_code`.
    let text = |names: &[&str]| {
        let found = names.iter().find_map(|name| metadata.get(name)?.as_str());
        found.unwrap_or_default().to_owned()
    };
    match tag {
        SUCCESS => Ok(Answer::Success(metadata)),
        FAILURE => Ok(Answer::Failure {
            code: text(&["neo4j_code", "code", "gql_status"]),
            message: text(&["message", "description"]),
        }),
        IGNORED => Ok(Answer::Ignored),
        marker => Err(Malformed::Unexpected { at: 1, marker, wanted: "answer" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(write: impl FnOnce(&mut Vec<u8>)) -> (u8, Vec<Value>) {
        let mut out = Vec::new();
        write(&mut out);
        let (value, length) = Value::decode(&out).unwrap();
        assert_eq!(length, out.len());
        let Value::Structure { tag, fields } = value else { panic!("{value:?}") };
        (tag, fields)
    }

    #[test]
    fn hello_says_what_the_version_knows() {
        let mut config = Config::new("db", 7687);
        config.auth = Auth::Basic { user: "u".into(), password: "p".into() };
        config.routing = true;
        for minor in 0..=8 {
            let (tag, fields) = decoded(|out| hello(&config, Version { major: 5, minor }, out));
            assert_eq!((tag, fields.len()), (0x01, 1));
            let has = |key: &str| fields[0].get(key).is_some();
            assert!(has("user_agent") && has("routing"));
            assert_eq!(has("credentials"), minor == 0);
            assert_eq!(has("notifications_minimum_severity"), minor >= 2);
            assert_eq!(has("bolt_agent"), minor >= 3);
        }
        let (tag, fields) = decoded(|out| logon(&config, out));
        assert_eq!((tag, fields[0].get("credentials").and_then(Value::as_str)), (0x6A, Some("p")));
    }

    #[test]
    fn a_transaction_says_only_what_is_not_the_default() {
        let (tag, fields) = decoded(|out| begin(&Begin::default(), out));
        assert_eq!((tag, fields), (0x11, vec![Value::Map(vec![])]));
        let all = Begin {
            database: Some("shop".into()),
            mode: Mode::Read,
            bookmarks: vec!["b".into()],
            timeout: Some(Duration::from_micros(1)),
        };
        let (_, fields) = decoded(|out| run("RETURN 1", &Params::new(), Some(&all), out));
        assert_eq!(fields[2].get("tx_timeout"), Some(&Value::Int(1)));
        assert_eq!(fields[2].get("db").and_then(Value::as_str), Some("shop"));
        assert_eq!(fields[2].get("mode").and_then(Value::as_str), Some("r"));
        assert_eq!(fields[2].get("bookmarks").and_then(Value::as_list).map(<[Value]>::len), Some(1));
    }

    #[test]
    fn a_failure_is_read_in_its_old_and_new_form() {
        for key in ["code", "neo4j_code"] {
            let mut out = Vec::new();
            Encoder::new(&mut out).struct_header(1, 0x7F).map_header(2);
            Encoder::new(&mut out).string(key).string("Neo.X").string("message").string("no");
            assert_eq!(answer(&out), Ok(Answer::Failure { code: "Neo.X".into(), message: "no".into() }));
        }
        assert_eq!(answer(b"\xB0\x7E"), Ok(Answer::Ignored));
        assert!(answer(b"\xB0\x7E\x00").is_err() && answer(b"\xB1\x71\x90").is_err() && answer(b"").is_err());
    }
}
