//! Mail about how runs end, and what `doctor` says of those who are told.

mod common;

use common::certificates::certify;
use common::cli::{PLAIN, Ran, World};
use common::gateway::{Listener, Manner, free_port};
use common::mail::{MailServer, PASSWORD, USER, Way, tls};
use serde_json::Value;

const TO: &str = "smtp_from = \"lifeboat <backup@example.com>\"\nsmtp_to = [\"ops@example.com\", \"Ann <ann@example.org>\"]";

fn world(notify: &str) -> World {
    let source = PLAIN.replace("db.internal", &format!("127.0.0.1:{}", free_port()));
    let world = World::new(&format!("[notify]\ntimeout = \"5s\"\n{notify}\n{source}"));
    world.backup("orders", 1, |_| {});
    world.write("password", PASSWORD);
    certify(world.path());
    world
}

/// A prune tells of its success, which is wanted; a server that fails changes nothing.
fn prune(world: &World) -> String {
    let ran = world.run(&["prune", "orders"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(!ran.stderr.contains(PASSWORD) && !ran.stderr.contains("AG1lA"), "{}", ran.stderr);
    ran.stderr
}

#[test]
fn a_failure_comes_by_mail_encrypted_either_way() {
    let scratch = tempfile::tempdir().unwrap();
    certify(scratch.path());
    for (scheme, way) in
        [("smtps", Way::Whole(tls(scratch.path()))), ("smtp", Way::StartTls(tls(scratch.path())))]
    {
        let server = MailServer::start(way);
        let world = world(&format!(
            "smtp_url = \"{scheme}://{USER}@127.0.0.1:{}\"\nsmtp_password_file = \"password\"\nca_file = \"{}\"\n{TO}",
            server.port,
            scratch.path().join("ca.pem").display()
        ));
        let ran: Ran = world.run(&["backup", "orders"]);
        assert_eq!(ran.code, 4, "{ran:#?}");
        assert!(!ran.stderr.contains("mail"), "{}", ran.stderr);
        let mails = server.mails();
        assert_eq!(mails.len(), 1, "{mails:#?}");
        let mail = mails[0].replace("=\r\n", "");
        for part in [
            "Subject: [FAILED] lifeboat backup of orders failed\r\n",
            "From: lifeboat <backup@example.com>\r\n",
            "To: ops@example.com, Ann <ann@example.org>\r\n",
            "lifeboat backup of orders failed on test-host: ",
            "\r\nhint: ",
            "\r\nkind:    unreachable\r\n",
            "\r\nrun:     ",
        ] {
            assert!(mail.contains(part), "{part:?} is not in {mail}");
        }
        assert!(!mail.contains(PASSWORD), "{mail}");
        let commands = server.commands();
        let open: Vec<&String> = commands.iter().filter(|line| !line.starts_with('*')).collect();
        match scheme {
            "smtps" => assert!(open.is_empty(), "{commands:#?}"),
            _ => assert!(open.len() == 2 && open[1] == "STARTTLS", "{commands:#?}"),
        }
        for line in
            ["*MAIL FROM:<backup@example.com>", "*RCPT TO:<ops@example.com>", "*RCPT TO:<ann@example.org>"]
        {
            assert!(commands.iter().any(|command| command == line), "{line} is not in {commands:#?}");
        }
    }
}

#[test]
fn mail_that_is_not_taken_is_a_warning() {
    let scratch = tempfile::tempdir().unwrap();
    certify(scratch.path());
    let [plain, whole, silent] =
        [Way::Plain, Way::Whole(tls(scratch.path())), Way::Silent].map(MailServer::start);
    let ca = format!("ca_file = \"{}\"", scratch.path().join("ca.pem").display());
    let login = format!("smtps://{USER}@127.0.0.1:{}", whole.port);
    for (url, more, says) in [
        // No encryption, no mail.
        (format!("smtp://127.0.0.1:{}", plain.port), "", "does not offer STARTTLS; nothing was sent"),
        // A certificate of nobody.
        (format!("smtps://127.0.0.1:{}", whole.port), "", "no connection to the mail server: "),
        (login.clone(), &*format!("{ca}\nsmtp_password_file = \"wrong\""), "refused the login of me (535)"),
        (
            login,
            &*format!("{ca}\nsmtp_password_file = \"gone\""),
            "cannot read the password file of the mail server",
        ),
        (format!("smtp://127.0.0.1:{}?tls=none", silent.port), "", "no answer within 1s"),
        (format!("smtp://127.0.0.1:{}?tls=none", free_port()), "", "no connection to the mail server"),
    ] {
        let world = world(&format!("on = \"always\"\nsmtp_url = \"{url}\"\n{more}\n{TO}"));
        let config = std::fs::read_to_string(world.path().join("lifeboat.toml")).unwrap();
        world.write("lifeboat.toml", &config.replace("timeout = \"5s\"", "timeout = \"1s\""));
        world.write("wrong", "wr0ng-pass");
        let said = prune(&world);
        assert!(
            said.contains("the mail did not arrive (notify.smtp_url)") && said.contains(says),
            "{says:?}: {said}"
        );
        assert!(!said.contains("wr0ng-pass") && !said.contains("AG1l"), "{said}");
    }
    assert!(plain.mails().is_empty() && whole.mails().is_empty());
}

#[test]
fn one_wrong_address_does_not_keep_the_mail_from_the_others() {
    let server = MailServer::start(Way::Plain);
    let to = |to: &str| {
        world(&format!(
            "on = \"always\"\nsmtp_url = \"smtp://127.0.0.1:{}?tls=none\"\nsmtp_from = \"a@b.example\"\nsmtp_to = [{to}]",
            server.port
        ))
    };
    let said = prune(&to("\"gone@b.example\", \"ops@b.example\""));
    let warned =
        "the mail did not reach everybody (notify.smtp_url): the mail server refused gone@b.example: ";
    assert!(said.contains(warned) && said.contains("5.1.1 no such user here"), "{said}");
    assert_eq!(server.mails().len(), 1);
    let said = prune(&to("\"gone@b.example\""));
    assert!(said.contains("the mail did not arrive") && said.contains("5.1.1"), "{said}");
    assert_eq!(server.mails().len(), 1);
}

#[test]
fn doctor_looks_whether_all_are_there_and_tells_them_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    certify(scratch.path());
    let (mail, web) =
        (MailServer::start(Way::Whole(tls(scratch.path()))), Listener::start(Manner::Answers(405)));
    let world = world(&format!(
        "smtp_url = \"smtps://{USER}@127.0.0.1:{}\"\nsmtp_password_file = \"password\"\nca_file = \"{}\"\n{TO}\n\
         webhook_url_file = \"hook\"\nping_url_file = \"ping\"\n[metrics]\npush_url = \"{}/gw\"\ntextfile_dir = \"none\"",
        mail.port,
        scratch.path().join("ca.pem").display(),
        web.url()
    ));
    world.write("hook", &format!("{}/s3cret", web.url()));
    world.write("ping", &format!("http://127.0.0.1:{}/s3cret/{{source}}", free_port()));
    let ran = world.run(&["doctor", "--json"]);
    // The source cannot be reached: the outlets alone would change nothing.
    assert_eq!(ran.code, 4, "{ran:#?}");
    let lines = ran.lines();
    let level = |subject: &str| {
        let found = lines.iter().find(|line| line["subject"] == subject);
        found.map(|line| (line["level"].as_str().unwrap(), line["source"] == Value::Null))
    };
    assert_eq!(level("notify.smtp_url"), Some(("ok", true)), "{ran:#?}");
    assert_eq!(level("notify.webhook_url"), Some(("ok", true)));
    assert_eq!(level("notify.ping_url"), Some(("warning", true)));
    assert!(lines.iter().any(|line| line["message"].as_str().unwrap().contains("no connection")), "{ran:#?}");
    assert_eq!(level("notify.slack_url"), None);
    assert_eq!(level("metrics.push_url"), Some(("ok", true)));
    assert_eq!(level("metrics.textfile_dir"), Some(("warning", true)));
    assert!(!format!("{ran:?}").contains("s3cret"), "{ran:#?}");
    let mut heard: Vec<String> = web.heard().into_iter().map(|(line, _)| line).collect();
    heard.sort();
    assert_eq!(heard, ["GET /gw/-/ready HTTP/1.1", "HEAD / HTTP/1.1"]);
    assert!(mail.mails().is_empty());
    assert_eq!(mail.commands().last().map(String::as_str), Some("*QUIT"));
    assert!(mail.commands().contains(&"*NOOP".to_owned()), "{:#?}", mail.commands());
}
