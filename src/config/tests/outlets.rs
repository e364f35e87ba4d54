//! `[metrics]` and `[notify]`.

use std::time::Duration;

use super::*;
use crate::config::{Login, NotifyOn};
use crate::secret::Secret;

fn with(more: &str) -> String {
    Room::new(&format!("{STORE}{more}\n")).error()
}

#[test]
fn nothing_is_told_to_nobody() {
    let config = Room::new(SOURCE).load();
    assert_eq!((&config.metrics.push, &config.metrics.textfile_dir), (&None, &None));
    assert!(config.notify.is_empty());
    assert_eq!((config.notify.on, config.notify.timeout), (NotifyOn::Failure, Duration::from_secs(5)));
}

#[test]
fn all_keys() {
    let room = Room::new(&format!(
        "{SOURCE}\n[metrics]\npush_url = \"https://push.example.com/gw/\"\npush_user = \"ann\"\n\
         push_password_file = \"secrets/push\"\nca_file = \"ca.pem\"\ntimeout = \"2s\"\ntextfile_dir = \"text\"\n\
         labels = {{ cluster = \"eu 1\" }}\n[notify]\non = \"always\"\nwebhook_url_file = \"hook\"\n"
    ));
    room.write("secrets/push", "pa:ss\n");
    room.write("hook", "https://hooks.example.com/s3cret\n");
    let config = room.load();
    let push = config.metrics.push.as_ref().unwrap();
    assert_eq!((push.url.as_str(), push.timeout), ("https://push.example.com/gw", Duration::from_secs(2)));
    assert_eq!(push.login().unwrap(), Login::Basic("ann".into(), Secret::new("pa:ss")));
    assert_eq!(config.metrics.textfile_dir, Some(room.path().join("text")));
    assert_eq!(config.metrics.labels["cluster"], "eu 1");
    assert_eq!(config.notify.on, NotifyOn::Always);
    assert_eq!(config.notify.webhook_url().unwrap(), Some(Secret::new("https://hooks.example.com/s3cret")));
    assert_eq!(config.notify.slack_url().unwrap(), None);
    let shown = room.show();
    assert!(shown.contains("metrics.labels = cluster=eu 1"), "{shown}");
    assert!(!shown.contains("s3cret") && !shown.contains("pa:ss"), "{shown}");
}

#[test]
fn the_environment_gives_secrets_and_wins() {
    let room =
        Room::new(&format!("{SOURCE}\n[metrics]\npush_url = \"http://a\"\npush_token_file = \"gone\"\n"))
            .env("LIFEBOAT_METRICS_PUSH_URL", "http://localhost:9091")
            .env("LIFEBOAT_METRICS_PUSH_TOKEN", "t0ken")
            .env("LIFEBOAT_NOTIFY_SLACK_URL", "https://hooks.example.com/s3cret");
    let config = room.load();
    assert_eq!(config.metrics.push.as_ref().unwrap().login().unwrap(), Login::Bearer(Secret::new("t0ken")));
    assert!(!config.notify.is_empty());
    let shown = room.show();
    assert!(shown.contains("notify.slack_url = ***"), "{shown}");
    assert!(!shown.contains("t0ken") && !shown.contains("s3cret"), "{shown}");
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn mail_goes_to_all_that_the_file_or_the_environment_names() {
    let room = Room::new(&format!(
        "{SOURCE}\n[notify]\nsmtp_url = \"smtp://me@mail.example.com?tls=none\"\nsmtp_from = \"a@example.com\"\n\
         smtp_to = [\"Ann <ann@example.com>\", \"bob@example.com\"]\nca_file = \"ca.pem\"\n"
    ));
    let room = room.env("LIFEBOAT_NOTIFY_SMTP_PASSWORD", "s3cret");
    let config = room.load();
    let smtp = config.notify.smtp.as_ref().unwrap();
    assert!(!config.notify.is_empty());
    assert_eq!(smtp.to[0].to_string(), "Ann <ann@example.com>");
    assert_eq!((smtp.to.len(), smtp.relay.ca_file.clone()), (2, Some(room.path().join("ca.pem"))));
    assert_eq!(smtp.password().unwrap(), Some(Secret::new("s3cret")));
    let (shown, warnings) = (room.show(), room.warnings());
    assert!(shown.contains("notify.smtp_password = ***") && !shown.contains("s3cret"), "{shown}");
    assert!(warnings.contains("password and mail travel in the clear"), "{warnings}");
    let room = room.env("LIFEBOAT_NOTIFY_SMTP_TO", "c@example.com, d@example.com");
    let to: Vec<String> = room.load().notify.smtp.unwrap().to.iter().map(ToString::to_string).collect();
    assert_eq!(to, ["c@example.com", "d@example.com"]);
}

#[test]
fn a_password_in_the_clear_and_a_file_for_everybody_are_warned_about() {
    let room = Room::new(&format!(
        "{SOURCE}\n[metrics]\npush_url = \"http://push.example.com\"\npush_token_file = \"token\"\n"
    ));
    let token = room.write("token", "t0ken");
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let warnings = room.warnings();
    assert!(warnings.contains("the password travels in the clear"), "{warnings}");
    assert!(warnings.contains("metrics.push_token_file: token is readable by everybody"), "{warnings}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let cases = [
        (
            "[metrics]\npush_url = \"push:9091\"",
            "lifeboat.toml:4:1: metrics.push_url: this URL has to begin with https:// or http:// (exit 3)\n\
             hint: write it as http://pushgateway.monitoring:9091",
        ),
        (
            "[metrics]\npush_url = \"http://a:s3cret@push\"",
            "lifeboat.toml:4:1: metrics.push_url: credentials do not belong in this URL (exit 3)\n\
             hint: write it as http://pushgateway.monitoring:9091",
        ),
        (
            "[metrics]\npush_url = \"http://push:9091/metrics/\"",
            "lifeboat.toml:4:1: metrics.push_url: /metrics does not belong in this URL (exit 3)\n\
             hint: write it as http://pushgateway.monitoring:9091",
        ),
        (
            "[metrics]\npush_user = \"ann\"",
            "metrics.push_user is given without a password (exit 3)\n\
             hint: add push_password_file, or set LIFEBOAT_METRICS_PUSH_PASSWORD",
        ),
        (
            "[metrics]\npush_password_file = \"x\"",
            "metrics: a password is given without push_user (exit 3)\nhint: add push_user to [metrics]",
        ),
        (
            "[metrics]\npush_user = \"a\"\npush_password_file = \"x\"\npush_token_file = \"y\"",
            "metrics: a password and a token are both given (exit 3)\nhint: keep one of them",
        ),
        (
            "[metrics]\nlabels = { source = \"x\" }",
            "lifeboat.toml:4:21: metrics.labels: \"source\" is a label that metrics have already (exit 3)\n\
             hint: write `labels = { cluster = \"eu-1\" }`",
        ),
        (
            "[metrics]\nlabels = { a-b = \"x\" }",
            "lifeboat.toml:4:18: metrics.labels: \"a-b\" cannot be the name of a label (exit 3)\n\
             hint: write `labels = { cluster = \"eu-1\" }`",
        ),
        (
            "[metrics]\nlabels = { a = \"\" }",
            "lifeboat.toml:4:16: metrics.labels: \"a\" has no value (exit 3)\n\
             hint: write `labels = { cluster = \"eu-1\" }`",
        ),
        (
            "[metrics]\ntimeout = \"2h\"",
            "metrics.timeout is more than a minute (exit 3)\n\
             hint: a run waits so long for a server that does not answer; 5s are enough",
        ),
        (
            "[notify]\nwebhook_url = \"https://hooks.example.com/s3cret\"",
            "lifeboat.toml:4:1: notify.webhook_url: a secret does not belong in this file (exit 3)\n\
             hint: use webhook_url_file, or set LIFEBOAT_NOTIFY_WEBHOOK_URL",
        ),
        (
            "[notify]\nsmtp_url = \"smtps://me:s3cret@mail\"",
            "lifeboat.toml:4:1: notify.smtp_url: a password does not belong in this URL (exit 3)\n\
             hint: write it as smtps://user@mail.example.com, or smtp://user@mail.example.com:587 for STARTTLS",
        ),
        (
            "[notify]\nsmtp_url = \"smtps://me@mail\"",
            "notify.smtp_url names a user without a password (exit 3)\n\
             hint: add smtp_password_file, or set LIFEBOAT_NOTIFY_SMTP_PASSWORD",
        ),
        (
            "[notify]\nsmtp_url = \"smtps://mail\"\nsmtp_from = \"a@b.example\"",
            "notify.smtp_url is given without smtp_to (exit 3)\nhint: add smtp_to = [\"ops@example.com\"]",
        ),
        (
            "[notify]\nsmtp_to = [\"a\"]",
            "lifeboat.toml:4:1: notify.smtp_to must be a list of addresses of mailboxes, not a list (exit 3)\n\
             hint: an address is ops@example.com or \"Operations <ops@example.com>\", in ASCII (xn--… for other \
             domains)",
        ),
        (
            "[notify]\non = \"failures\"",
            "lifeboat.toml:4:1: notify.on must be one of failure, always, not \"failures\" (exit 3)\n\
             hint: did you mean \"failure\"?",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(with(text), expected);
    }
}
