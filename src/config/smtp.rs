//! The keys of `[notify]` about mail.

use super::document::Data;
use super::layers::Reader;
use super::outlets::secret;
use super::secrets::PasswordFrom;
use super::urls::{percent_decoded, split};
use crate::error::{Error, Kind, Result};
use crate::mail::{Encryption, Mailbox, Relay, mailbox};
use crate::secret::Secret;

const URL: &str = "notify.smtp_url";
const FROM: &str = "notify.smtp_from";
const TO: &str = "notify.smtp_to";
const URL_HINT: &str =
    "write it as smtps://user@mail.example.com, or smtp://user@mail.example.com:587 for STARTTLS";

/// Who gets mail, and by which server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smtp {
    /// The server.
    pub relay: Relay,
    /// The sender.
    pub from: Mailbox,
    /// Who gets it: at least one.
    pub to: Vec<Mailbox>,
    secret: PasswordFrom,
}

impl Smtp {
    /// Reads the password, at this moment, so that a rotated one is seen.
    ///
    /// Fails with [`Kind::Config`] when its file cannot be read.
    pub fn password(&self) -> Result<Option<Secret>> {
        self.secret.read("the mail server")
    }
}

/// Reads them.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    ca_file: Option<&std::path::Path>,
    warnings: &mut Vec<String>,
) -> Result<Option<Smtp>> {
    let secret = secret(reader, warnings, "notify.smtp_password_file", "notify.smtp_password")?;
    let from = sender(reader)?;
    let to = recipients(reader)?;
    let missing = |what: &str, hint: &str| Err(Error::new(Kind::Config, what).hint(hint));
    let Some((url, entry)) = reader.hidden_text(URL)? else {
        if from.is_some() || !to.is_empty() || secret != PasswordFrom::Nowhere {
            return missing("notify: there is no smtp_url to send mail by", URL_HINT);
        }
        return Ok(None);
    };
    let relay = relay(&url).map_err(|problem| reader.refuse(URL, entry, problem).hint(URL_HINT))?;
    let relay = Relay { ca_file: ca_file.map(ToOwned::to_owned), ..relay };
    reader.show(URL, url.clone());
    match (&relay.user, secret != PasswordFrom::Nowhere) {
        (Some(_), false) => {
            return missing(
                "notify.smtp_url names a user without a password",
                "add smtp_password_file, or set LIFEBOAT_NOTIFY_SMTP_PASSWORD",
            );
        }
        (None, true) => {
            return missing("notify: a password is given without a user in smtp_url", URL_HINT);
        }
        _ => {}
    }
    let near = ["localhost", "::1"].contains(&relay.host.as_str()) || relay.host.starts_with("127.");
    if relay.encryption == Encryption::None && !near {
        let what = if relay.user.is_some() { "password and mail travel" } else { "mail travels" };
        warnings.push(format!("{}: {URL} is not encrypted; {what} in the clear", entry.place));
    }
    let Some(from) = from else {
        return missing(
            "notify.smtp_url is given without smtp_from",
            "add smtp_from = \"backup@example.com\"",
        );
    };
    if to.is_empty() {
        return missing("notify.smtp_url is given without smtp_to", "add smtp_to = [\"ops@example.com\"]");
    }
    Ok(Some(Smtp { relay, from, to, secret }))
}

/// Takes the URL apart, and says what is wrong in words that never quote it.
fn relay(url: &str) -> Result<Relay, &'static str> {
    let parts = split(url)?;
    if parts.password.is_some() || parts.masked != url {
        return Err("a password does not belong in this URL");
    }
    let (encryption, rest) = match (url.strip_prefix("smtps://"), url.strip_prefix("smtp://")) {
        (Some(rest), _) => (Encryption::Whole, rest),
        (_, Some(rest)) => (Encryption::StartTls, rest),
        _ => return Err("this URL has to begin with smtps:// or smtp://"),
    };
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let encryption = match (encryption, tail.strip_prefix('/').unwrap_or(tail)) {
        (encryption, "") => encryption,
        (Encryption::StartTls, "?tls=none") => Encryption::None,
        (Encryption::StartTls, "?tls=starttls") => Encryption::StartTls,
        _ => return Err("nothing but ?tls=none, after smtp://, may follow the host in this URL"),
    };
    let (user, place) = match authority.rsplit_once('@') {
        Some((user, place)) => (Some(percent_decoded(user)?), place),
        None => (None, authority),
    };
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address, rest.strip_prefix(':')),
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match (port, encryption) {
        (Some(port), _) => port.parse().ok().filter(|port| *port > 0).ok_or("its port is no port")?,
        (None, Encryption::Whole) => 465,
        (None, Encryption::StartTls) => 587,
        (None, Encryption::None) => 25,
    };
    if host.is_empty() || host.contains(',') || user.as_ref().is_some_and(String::is_empty) {
        return Err("this URL has to have one host");
    }
    Ok(Relay { host: host.to_owned(), port, encryption, user, ca_file: None })
}

const ADDRESS_HINT: &str =
    "an address is ops@example.com or \"Operations <ops@example.com>\", in ASCII (xn--… for other domains)";

fn sender(reader: &mut Reader<'_>) -> Result<Option<Mailbox>> {
    let Some((text, entry)) = reader.hidden_text(FROM)? else { return Ok(None) };
    let from = mailbox(&text)
        .ok_or_else(|| reader.wrong(FROM, entry, "the address of a mailbox").hint(ADDRESS_HINT))?;
    reader.show(FROM, text);
    Ok(Some(from))
}

/// A list, or a text with commas, which the environment gives.
fn recipients(reader: &mut Reader<'_>) -> Result<Vec<Mailbox>> {
    let Some(entry) = reader.entry(TO) else { return Ok(Vec::new()) };
    let wrong = || reader.wrong(TO, entry, "a list of addresses of mailboxes").hint(ADDRESS_HINT);
    let texts: Vec<String> = match &entry.data {
        Data::Text(text) => text.split(',').map(|part| part.trim().to_owned()).collect(),
        Data::List(items) => items
            .iter()
            .map(|item| match &item.data {
                Data::Text(text) => Ok(text.clone()),
                _ => Err(wrong()),
            })
            .collect::<Result<_>>()?,
        _ => return Err(wrong()),
    };
    let to = texts.iter().map(|text| mailbox(text).ok_or_else(wrong)).collect::<Result<Vec<_>>>()?;
    reader.show(TO, texts.join(", "));
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_servers() {
        let read = |url: &str| relay(url).map(|relay| (relay.host, relay.port, relay.encryption, relay.user));
        let expected = |host: &str, port, encryption, user: Option<&str>| {
            Ok((host.to_owned(), port, encryption, user.map(str::to_owned)))
        };
        let user = Some("me@example.com");
        for url in ["smtps://me@example.com@mail", "smtps://me%40example.com@mail:465/"] {
            assert_eq!(read(url), expected("mail", 465, Encryption::Whole, user), "{url}");
        }
        assert_eq!(read("smtp://mail"), expected("mail", 587, Encryption::StartTls, None));
        assert_eq!(read("smtp://[::1]:26"), expected("::1", 26, Encryption::StartTls, None));
        assert_eq!(read("smtp://mail/?tls=none"), expected("mail", 25, Encryption::None, None));
        for wrong in [
            "mail:25",
            "http://mail",
            "smtp://",
            "smtp://@mail",
            "smtp://mail:0",
            "smtp://mail:70000",
            "smtp://a,b",
            "smtps://mail?tls=none",
            "smtp://mail?tls=maybe",
            "smtp://mail/x",
            "smtp://me:s3cret@mail",
            "smtp://me:@mail",
            "smtp://mail?password=s3cret",
        ] {
            let problem = read(wrong).unwrap_err();
            assert!(!problem.contains("s3cret"), "{problem}");
        }
    }
}
