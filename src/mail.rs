//! Mail over SMTP (RFC 5321), encrypted from the first byte (RFC 8314) or by STARTTLS (RFC 3207), with rustls.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
pub use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;

use crate::error::{Error, Kind, Result};
use crate::http::{read_certificates, within};
use crate::secret::Secret;

/// As many letters of an answer are quoted.
const MOST_OF_ANSWER: usize = 200;
/// The good-bye may take so long at most: the mail was taken by then.
const GOODBYE: Duration = Duration::from_millis(500);

/// How the way to a server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// From the first byte: `smtps://`.
    Whole,
    /// After STARTTLS, without which nothing is sent: `smtp://`.
    StartTls,
    /// Not at all: `smtp://…?tls=none`.
    None,
}

/// A server that takes mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    /// Its name or address; an IPv6 address has no brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The way there.
    pub encryption: Encryption,
    /// Who logs in, if anybody.
    pub user: Option<String>,
    /// A PEM file of authorities to trust, beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter<'a> {
    /// The sender.
    pub from: &'a Mailbox,
    /// Who gets it.
    pub to: &'a [Mailbox],
    /// One line.
    pub subject: String,
    /// Plain text.
    pub body: String,
    /// When it was written.
    pub time: SystemTime,
    /// Unique to it: what its `Message-ID` begins with.
    pub id: String,
}

/// Reads `ops@example.com` or `Operations <ops@example.com>`. Addresses are ASCII, which every server takes.
pub fn mailbox(text: &str) -> Option<Mailbox> {
    text.parse().ok().filter(|mailbox: &Mailbox| {
        let address: &str = mailbox.email.as_ref();
        address.is_ascii()
    })
}

impl Letter<'_> {
    fn message(&self) -> Result<Message> {
        let wrong = |cause| Error::new(Kind::Failed, "the mail cannot be written").because(cause);
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        let id: String = self.id.chars().filter(|letter| plain(*letter)).collect();
        let one_line: String =
            self.subject.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        // RFC 3834, section 5: no vacation notices in return.
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        let mut message = Message::builder()
            .from(self.from.clone())
            .subject(one_line)
            .date(self.time)
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN);
        for mailbox in self.to {
            message = message.to(mailbox.clone());
        }
        message.body(self.body.clone()).map_err(wrong)
    }
}

/// Sends a letter, within the time. Gives a line for each address that the server refused, where it took others.
///
/// # Errors
/// [`Kind::Failed`] when nobody will get it, [`Kind::Config`] when `ca_file` cannot be read. No message has the
/// password.
pub async fn send(
    relay: &Relay,
    password: Option<&Secret>,
    letter: &Letter<'_>,
    limit: Duration,
) -> Result<Vec<String>> {
    let message = letter.message()?;
    let work = async {
        let mut connection = connect(relay, password, limit).await?;
        let from = Mail::new(Some(letter.from.email.clone()), vec![]);
        connection.command(from).await.map_err(|error| refused(letter.from.email.as_ref(), &error))?;
        let mut not_taken = Vec::new();
        for to in letter.to {
            match connection.command(Rcpt::new(to.email.clone(), vec![])).await {
                Ok(_) => {}
                Err(error) if error.status().is_some() => {
                    not_taken.push(refused(to.email.as_ref(), &error).message().to_owned());
                }
                Err(error) => return Err(refused(to.email.as_ref(), &error)),
            }
        }
        if not_taken.len() == letter.to.len() {
            goodbye(&mut connection).await;
            return Err(Error::new(Kind::Failed, not_taken.join("; ")).hint("look at smtp_to in [notify]"));
        }
        connection.command(Data).await.map_err(|error| refused("the mail", &error))?;
        connection.message(&message.formatted()).await.map_err(|error| refused("the mail", &error))?;
        Ok((connection, not_taken))
    };
    let (mut connection, not_taken) = within(limit, work).await?;
    goodbye(&mut connection).await;
    Ok(not_taken)
}

/// Connects, logs in, and says good-bye.
///
/// # Errors
/// Those of [`send`] before there is a mail.
pub async fn probe(relay: &Relay, password: Option<&Secret>, limit: Duration) -> Result<()> {
    let work = async {
        let mut connection = connect(relay, password, limit).await?;
        match connection.test_connected().await {
            true => Ok(connection),
            false => Err(Error::new(Kind::Failed, "the mail server does not answer NOOP")),
        }
    };
    let mut connection = within(limit, work).await?;
    goodbye(&mut connection).await;
    Ok(())
}

async fn goodbye(connection: &mut AsyncSmtpConnection) {
    let _ = tokio::time::timeout(GOODBYE, connection.quit()).await;
}

async fn connect(relay: &Relay, password: Option<&Secret>, limit: Duration) -> Result<AsyncSmtpConnection> {
    let name = ClientId::default();
    let server = (relay.host.as_str(), relay.port);
    let whole = match relay.encryption {
        Encryption::Whole => Some(tls(relay)?),
        Encryption::StartTls | Encryption::None => None,
    };
    let opened = AsyncSmtpConnection::connect_tokio1(server, Some(limit), &name, whole, None).await;
    let mut connection = opened.map_err(|error| no_connection(&error))?;
    if relay.encryption == Encryption::StartTls {
        if !connection.can_starttls() {
            goodbye(&mut connection).await;
            return Err(Error::new(
                Kind::Failed,
                "the mail server does not offer STARTTLS; nothing was sent",
            )
            .hint("use smtps://, or ?tls=none in smtp_url for a relay on a network that is trusted"));
        }
        connection.starttls(tls(relay)?, &name).await.map_err(|error| no_connection(&error))?;
    }
    if let (Some(user), Some(password)) = (&relay.user, password) {
        let credentials = Credentials::new(user.clone(), password.expose().to_owned());
        // What the server says may quote what it was told.
        let told = |error: &lettre::transport::smtp::Error| match error.status() {
            Some(code) => format!("the mail server refused the login of {user} ({code})"),
            None if error.is_client() => "the mail server takes neither AUTH PLAIN nor AUTH LOGIN".to_owned(),
            None => "the connection to the mail server broke at the login".to_owned(),
        };
        connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await.map_err(|error| {
            Error::new(Kind::Failed, told(&error))
                .hint("look at the user in smtp_url and at smtp_password_file in [notify]")
        })?;
    }
    Ok(connection)
}

fn tls(relay: &Relay) -> Result<TlsParameters> {
    let wrong = |cause| Error::new(Kind::Config, "the TLS settings do not work").because(cause);
    let mut settings = TlsParameters::builder(relay.host.clone());
    if let Some(path) = &relay.ca_file {
        settings =
            settings.add_root_certificate(Certificate::from_pem(&read_certificates(path)?).map_err(wrong)?);
    }
    settings.build_rustls().map_err(wrong)
}

fn no_connection(error: &lettre::transport::smtp::Error) -> Error {
    let said = Error::new(Kind::Failed, format!("no connection to the mail server: {}", one_line(error)));
    match error.is_tls() {
        true => said.hint("look at the host in smtp_url, and at ca_file in [notify]"),
        false => said,
    }
}

fn refused(what: &str, error: &lettre::transport::smtp::Error) -> Error {
    let message = match error.status() {
        Some(_) => format!("the mail server refused {what}: {}", one_line(error)),
        None => format!("the connection to the mail server broke: {}", one_line(error)),
    };
    Error::new(Kind::Failed, message)
}

/// An error's text, short enough to be shown.
fn one_line(error: &lettre::transport::smtp::Error) -> String {
    let text = error.to_string();
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(MOST_OF_ANSWER).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_has_one_line_of_subject_and_ascii_on_the_wire() {
        let from = mailbox("Lifeboat é <backup@example.com>").unwrap();
        let to = [mailbox("ops@example.com").unwrap(), mailbox("Ann <ann@example.org>").unwrap()];
        let letter = Letter {
            from: &from,
            to: &to,
            subject: "failed\r\nBcc: all@example.com".to_owned(),
            body: "naïve\n.\nend".to_owned(),
            time: SystemTime::UNIX_EPOCH,
            id: "01 J>x.orders".to_owned(),
        };
        let text = String::from_utf8(letter.message().unwrap().formatted()).unwrap();
        assert!(text.is_ascii(), "{text}");
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert!(lines.contains(&"Subject: failed  Bcc: all@example.com"), "{text}");
        assert!(lines.contains(&"To: ops@example.com, Ann <ann@example.org>"), "{text}");
        assert!(lines.contains(&"Message-ID: <01Jx.orders@example.com>"), "{text}");
        assert!(lines.contains(&"Auto-Submitted: auto-generated"), "{text}");
        assert!(lines.contains(&"Date: Thu, 01 Jan 1970 00:00:00 +0000"), "{text}");
    }

    #[test]
    fn addresses_are_ascii() {
        assert!(mailbox("Ann <ann@example.org>").is_some());
        for wrong in
            ["ann", "ann@", "<ann@example.org", "änn@example.org", "ann@exämple.org", "a b@example.org"]
        {
            assert!(mailbox(wrong).is_none(), "{wrong}");
        }
    }
}
