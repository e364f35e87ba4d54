//! Connection parameters by name: which exist, which variable stands for each, which are refused.
//!
//! Source: PostgreSQL 17 documentation, 32.1.2 "Parameter Key Words" and 32.15 "Environment Variables".

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result};

/// Parameters by keyword, as collected from one layer (URL, service, variables).
pub type Parameters = BTreeMap<String, String>;

/// What the resolver does with a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It shapes the connection.
    Taken,
    /// It has no meaning here and does no harm; it is left out.
    LeftOut,
    /// Leaving it out would weaken or change the connection, so it is refused,
    /// unless it has one of the listed harmless values.
    Refused(&'static [&'static str], &'static str),
}

/// One row of the table: keyword, environment variable (empty: none), use.
pub struct Keyword {
    /// The name in a URL, a key=value string and a service file.
    pub name: &'static str,
    /// The environment variable, empty where there is none.
    pub variable: &'static str,
    /// What becomes of it.
    pub usage: Use,
}

const fn row(name: &'static str, variable: &'static str, usage: Use) -> Keyword {
    Keyword { name, variable, usage }
}

const GSS: &str = "GSSAPI and Kerberos are not part of the driver; use a password or a client certificate";

/// Every connection parameter of libpq 17.
pub const KEYWORDS: &[Keyword] = &[
    row("host", "PGHOST", Use::Taken),
    row("hostaddr", "PGHOSTADDR", Use::Taken),
    row("port", "PGPORT", Use::Taken),
    row("dbname", "PGDATABASE", Use::Taken),
    row("user", "PGUSER", Use::Taken),
    row("password", "PGPASSWORD", Use::Taken),
    row("passfile", "PGPASSFILE", Use::Taken),
    row("service", "PGSERVICE", Use::Taken),
    row("servicefile", "PGSERVICEFILE", Use::Taken),
    row("options", "PGOPTIONS", Use::Taken),
    row("application_name", "PGAPPNAME", Use::Taken),
    row("fallback_application_name", "", Use::LeftOut),
    row("connect_timeout", "PGCONNECT_TIMEOUT", Use::Taken),
    row("target_session_attrs", "PGTARGETSESSIONATTRS", Use::Taken),
    row("load_balance_hosts", "PGLOADBALANCEHOSTS", Use::Taken),
    row("client_encoding", "PGCLIENTENCODING", Use::LeftOut),
    row("keepalives", "", Use::Taken),
    row("keepalives_idle", "", Use::Taken),
    row("keepalives_interval", "", Use::Taken),
    row("keepalives_count", "", Use::Taken),
    row("tcp_user_timeout", "", Use::Taken),
    row("channel_binding", "PGCHANNELBINDING", Use::Taken),
    row("sslmode", "PGSSLMODE", Use::Taken),
    row("sslnegotiation", "PGSSLNEGOTIATION", Use::Taken),
    row("sslrootcert", "PGSSLROOTCERT", Use::Taken),
    row("sslcert", "PGSSLCERT", Use::Taken),
    row("sslkey", "PGSSLKEY", Use::Taken),
    row("sslcrl", "PGSSLCRL", Use::Taken),
    row("sslcrldir", "PGSSLCRLDIR", Use::Refused(&[""], "name the revocation lists in one file by sslcrl")),
    row("sslsni", "PGSSLSNI", Use::Taken),
    row("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", Use::Taken),
    row("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", Use::Taken),
    row("sslcompression", "PGSSLCOMPRESSION", Use::LeftOut),
    row(
        "sslcertmode",
        "PGSSLCERTMODE",
        Use::Refused(&["", "allow"], "leave it out; a client certificate is sent when sslcert names one"),
    ),
    row(
        "sslpassword",
        "",
        Use::Refused(&[""], "decrypt the key once (openssl pkey) and guard the file by its mode"),
    ),
    row(
        "requirepeer",
        "PGREQUIREPEER",
        Use::Refused(&[""], "leave it out, or connect over TLS with verify-full"),
    ),
    row("require_auth", "PGREQUIREAUTH", Use::Refused(&[""], "leave it out, or use channel_binding=require")),
    row("requiressl", "PGREQUIRESSL", Use::Refused(&["", "0"], "use sslmode=require")),
    row("gssencmode", "PGGSSENCMODE", Use::Refused(&["", "disable", "prefer"], GSS)),
    row("krbsrvname", "PGKRBSRVNAME", Use::LeftOut),
    row("gsslib", "PGGSSLIB", Use::LeftOut),
    row("gssdelegation", "PGGSSDELEGATION", Use::Refused(&["", "0"], GSS)),
    row("replication", "", Use::Refused(&["", "false", "off", "no", "0"], "leave it out of this URL")),
];

/// Finds a keyword.
pub fn find(name: &str) -> Option<&'static Keyword> {
    KEYWORDS.iter().find(|keyword| keyword.name == name)
}

/// Refuses unknown keywords and those that cannot be honoured. `origin` names the layer for the message.
pub fn check(parameters: &Parameters, origin: &str) -> Result<()> {
    for (name, value) in parameters {
        let Some(keyword) = find(name) else {
            let known: Vec<&str> = KEYWORDS.iter().map(|k| k.name).collect();
            return Err(Error::new(
                Kind::Config,
                format!("unknown connection parameter `{name}` in {origin}"),
            )
            .hint(match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known parameters are {}", known.join(", ")),
            }));
        };
        if let Use::Refused(harmless, hint) = keyword.usage
            && !harmless.contains(&value.as_str())
        {
            return Err(Error::new(
                Kind::Config,
                format!("connection parameter `{name}` in {origin} cannot be honoured"),
            )
            .hint(hint));
        }
    }
    Ok(())
}

/// The parameters that the PG* variables give.
pub fn from_variables(variables: &BTreeMap<String, String>) -> Parameters {
    let mut parameters = Parameters::new();
    for keyword in KEYWORDS.iter().filter(|keyword| !keyword.variable.is_empty()) {
        if let Some(value) = variables.get(keyword.variable)
            && !value.is_empty()
        {
            parameters.insert(keyword.name.to_string(), value.clone());
        }
    }
    parameters
}

/// The candidate that is at most two (or a third of its length) edits away from `word`.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (edits(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 2.max(candidate.chars().count() / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The Levenshtein distance of two words, without regard to case.
fn edits(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let b: Vec<char> = b.chars().collect();
    let mut line: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = line[0];
        line[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = line[j + 1];
            line[j + 1] = change.min(diagonal + 1).min(line[j] + 1);
        }
    }
    line[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_keyword_is_an_error_that_names_the_nearest() {
        let parameters = Parameters::from([("sslmod".to_string(), "require".to_string())]);
        let error = check(&parameters, "the URL").unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert_eq!(error.message(), "unknown connection parameter `sslmod` in the URL");
        assert_eq!(error.hint_text(), Some("did you mean `sslmode`?"));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_unless_harmless() {
        let with = |name: &str, value: &str| Parameters::from([(name.to_string(), value.to_string())]);
        assert!(check(&with("gssencmode", "prefer"), "the URL").is_ok());
        assert!(check(&with("gssencmode", "require"), "the URL").is_err());
        assert!(check(&with("requirepeer", "postgres"), "the URL").is_err());
        assert!(check(&with("sslcompression", "1"), "the URL").is_ok());
    }

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("orders", "order"), 1);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(nearest("ordres", ["customers", "orders"]), Some("orders"));
        assert_eq!(nearest("x", ["customers"]), None);
    }
}
