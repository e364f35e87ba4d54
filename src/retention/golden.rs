//! Golden files: a policy and a history, and the whole decision table that follows from them.
//!
//! Each file in `tests/golden/retention/` has the input above a line `----` and the table below it. After a
//! change on purpose, `LIFEBOAT_TEST_BLESS=1 cargo test --lib retention::golden` writes the tables anew;
//! read the diff before committing it.

use std::fmt::Write as _;
use std::path::Path;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;

use super::{Action, Candidate, Retention, plan};

const SEPARATOR: &str = "----\n";

struct Case {
    policy: Retention,
    now: DateTime<Utc>,
    backups: Vec<Candidate>,
}

#[test]
fn every_golden_file_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/retention");
    let bless = std::env::var_os("LIFEBOAT_TEST_BLESS").is_some();
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 20, "only {} golden files in {}", paths.len(), folder.display());
    let mut wrong = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let (input, expected) = text.split_once(SEPARATOR).unwrap_or((&text, ""));
        let actual = table(&read_case(input));
        if bless {
            std::fs::write(&path, format!("{input}{SEPARATOR}{actual}")).unwrap();
        } else if actual != expected {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            wrong.push(format!("{name}: expected\n{expected}\nbut got\n{actual}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn read_case(input: &str) -> Case {
    let mut case = Case { policy: Retention::default(), now: Utc::now(), backups: Vec::new() };
    let lines: Vec<Vec<&str>> = input
        .lines()
        .map(|line| line.split('#').next().unwrap_or("").split_whitespace().collect())
        .filter(|words: &Vec<&str>| !words.is_empty())
        .collect();
    assert!(lines.iter().any(|words| words[0] == "now"), "a golden file needs `now`:\n{input}");
    // The zone first: local times depend on it.
    for words in lines.iter().filter(|words| words[0] == "timezone") {
        case.policy.timezone = words[1].parse().unwrap();
    }
    for words in &lines {
        read_line(&mut case, words);
    }
    case
}

fn read_line(case: &mut Case, words: &[&str]) {
    let zone = case.policy.timezone;
    let count = || Some(words[1].parse().unwrap());
    match words {
        ["timezone", _] => {}
        ["now", time] => case.now = time.parse().unwrap(),
        ["last", _] => case.policy.last = count(),
        ["within", age] => case.policy.within = Some(humantime::parse_duration(age).unwrap()),
        ["hourly", _] => case.policy.hourly = count(),
        ["daily", _] => case.policy.daily = count(),
        ["weekly", _] => case.policy.weekly = count(),
        ["monthly", _] => case.policy.monthly = count(),
        ["yearly", _] => case.policy.yearly = count(),
        ["backup", time, flags @ ..] => case.backups.push(flagged(time.parse().unwrap(), flags)),
        ["backups", "every", step, "from", start, "count", number] => {
            let step = humantime::parse_duration(step).unwrap();
            let start: DateTime<Utc> = start.parse().unwrap();
            let number: u32 = number.parse().unwrap();
            case.backups.extend((0..number).map(|i| flagged(start + step * i, &[])));
        }
        ["backups", "at", time, "local", "from", first, "to", last] => {
            let (first, last): (NaiveDate, NaiveDate) = (first.parse().unwrap(), last.parse().unwrap());
            let days = first.iter_days().take_while(|day| *day <= last);
            case.backups.extend(days.map(|day| flagged(local(zone, day, time.parse().unwrap()), &[])));
        }
        ["without", day] => {
            let day: NaiveDate = day.parse().unwrap();
            let before = case.backups.len();
            case.backups.retain(|backup| backup.time.with_timezone(&zone).date_naive() != day);
            assert_ne!(before, case.backups.len(), "nothing to leave out on {day}");
        }
        other => panic!("cannot read the line {other:?}"),
    }
}

/// A local time as cron runs it: the first of two, and the next that exists when there is none.
fn local(zone: Tz, day: NaiveDate, time: NaiveTime) -> DateTime<Utc> {
    let naive = day.and_time(time);
    let found = zone.from_local_datetime(&naive).earliest();
    let later = || zone.from_local_datetime(&(naive + chrono::TimeDelta::hours(1))).earliest();
    let found = found.or_else(later).or_else(|| {
        zone.from_local_datetime(&day.checked_add_days(Days::new(1))?.and_time(NaiveTime::MIN)).earliest()
    });
    found.unwrap().with_timezone(&Utc)
}

fn flagged(time: DateTime<Utc>, flags: &[&str]) -> Candidate {
    let mut backup = Candidate::new(time.format("%Y%m%dT%H%M%SZ").to_string(), time);
    for flag in flags {
        match *flag {
            "proven" => backup.proven = true,
            "in-use" => backup.in_use = true,
            "held" => backup.held = true,
            "suspicious" => backup.suspicious = true,
            "incomplete" => backup.complete = false,
            id => backup.id = id.to_owned(),
        }
    }
    backup
}

fn table(case: &Case) -> String {
    let plan = plan(&case.backups, &case.policy, case.now);
    let mut text = format!("policy: {}\n", plan.policy);
    for decision in &plan.decisions {
        let action = if decision.action == Action::Keep { "keep  " } else { "remove" };
        let local = decision.time.with_timezone(&case.policy.timezone);
        let reasons: Vec<String> = decision.reasons.iter().map(ToString::to_string).collect();
        let (id, reasons) = (&decision.id, reasons.join(", "));
        let suspicious = if decision.suspicious { "[suspicious] " } else { "" };
        writeln!(text, "{action} {id}  {}  {suspicious}{reasons}", local.format("%a %F %R %:z")).unwrap();
    }
    writeln!(text, "{} kept, {} removed", plan.kept().count(), plan.removed().count()).unwrap();
    text
}
