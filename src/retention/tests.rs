use super::*;

fn at(time: &str) -> DateTime<Utc> {
    time.parse().unwrap()
}

#[test]
fn a_plan_serialises_with_reasons_as_text() {
    let mut shrunken = Candidate::new("20261124T020000Z-aaaaaa", at("2026-11-24T02:00:00Z"));
    shrunken.suspicious = true;
    let backups = [
        shrunken,
        Candidate::new("20261123T020000Z-bbbbbb", at("2026-11-23T02:00:00Z")),
        Candidate::new("20261116T020000Z-cccccc", at("2026-11-16T02:00:00Z")),
        Candidate::new("20261115T020000Z-dddddd", at("2026-11-15T02:00:00Z")),
    ];
    let policy = Retention { weekly: Some(2), ..Retention::default() };
    let plan = plan(&backups, &policy, at("2026-11-24T12:00:00Z"));
    insta::assert_snapshot!(serde_json::to_string_pretty(&plan).unwrap(), @r#"
    {
      "policy": "weekly 2 (UTC)",
      "no_rule": false,
      "decisions": [
        {
          "id": "20261124T020000Z-aaaaaa",
          "time": "2026-11-24T02:00:00Z",
          "action": "keep",
          "reasons": [
            "newest",
            "beside weekly 1/2 (2026-W48)"
          ],
          "suspicious": true
        },
        {
          "id": "20261123T020000Z-bbbbbb",
          "time": "2026-11-23T02:00:00Z",
          "action": "keep",
          "reasons": [
            "newest not suspicious",
            "weekly 1/2 (2026-W48)"
          ],
          "suspicious": false
        },
        {
          "id": "20261116T020000Z-cccccc",
          "time": "2026-11-16T02:00:00Z",
          "action": "keep",
          "reasons": [
            "weekly 2/2 (2026-W47)"
          ],
          "suspicious": false
        },
        {
          "id": "20261115T020000Z-dddddd",
          "time": "2026-11-15T02:00:00Z",
          "action": "remove",
          "reasons": [
            "no rule keeps it"
          ],
          "suspicious": false
        }
      ]
    }
    "#);
}

#[test]
fn an_empty_policy_says_so() {
    let policy = Retention { daily: Some(0), within: Some(Duration::ZERO), ..Retention::default() };
    let backups =
        [Candidate::new("a", at("2020-01-01T00:00:00Z")), Candidate::new("b", at("2026-01-01T00:00:00Z"))];
    let plan = plan(&backups, &policy, at("2026-11-24T12:00:00Z"));
    assert!(plan.no_rule);
    assert_eq!(plan.policy, "no retention rule");
    assert!(plan.kept().all(|decision| decision.reasons.contains(&Reason::NoRule)));
    assert_eq!(plan.kept().count(), 2);
}

#[test]
fn a_policy_is_described_in_one_line() {
    let policy = Retention {
        timezone: Tz::Europe__Berlin,
        last: Some(3),
        within: Some(Duration::from_secs(14 * 86400)),
        hourly: Some(0),
        daily: Some(7),
        yearly: Some(10),
        ..Retention::default()
    };
    assert_eq!(policy.describe(), "last 3, within 14d, daily 7, yearly 10 (Europe/Berlin)");
}

#[test]
fn durations_are_written_as_people_write_them() {
    let text = |text: &str| short_duration(humantime::parse_duration(text).unwrap());
    assert_eq!(text("30d"), "30d");
    assert_eq!(text("2w"), "14d");
    assert_eq!(text("12h"), "12h");
    assert_eq!(text("90m"), "1h 30m");
    assert_eq!(text("6months"), "6months");
    assert_eq!(text("0s"), "0s");
}

#[test]
fn spans_beyond_the_calendar_reach_back_to_its_beginning() {
    let backups =
        [Candidate::new("a", at("2026-01-01T00:00:00Z")), Candidate::new("b", DateTime::<Utc>::MIN_UTC)];
    let policy = Retention { within: Some(Duration::MAX), ..Retention::default() };
    assert_eq!(plan(&backups, &policy, at("2026-11-24T12:00:00Z")).kept().count(), 2);
}
