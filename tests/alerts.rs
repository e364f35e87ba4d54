//! The alerts: promtool's own tests of the rules, and rules, runbook and metrics against each other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use lifeboat::reports::metrics::names::ALL;

const RULES: &str = include_str!("../k8s-cronjobs/alerts/lifeboat.rules.yaml");
const TESTS: &str = include_str!("../k8s-cronjobs/alerts/lifeboat.rules.test.yaml");
const OPERATOR: &str = include_str!("../k8s-cronjobs/alerts/prometheusrule.yaml");
const RUNBOOKS: &str = include_str!("../docs/runbooks/README.md");
const METRICS: &str = include_str!("../docs/metrics.md");

fn promtool() -> PathBuf {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    std::env::var_os("LIFEBOAT_TEST_PROMTOOL")
        .map(PathBuf::from)
        .into_iter()
        .chain(std::env::split_paths(&on_path).map(|directory| directory.join("promtool")))
        .chain([PathBuf::from("/var/cache/lifeboat/promtool/promtool")])
        .find(|path| path.is_file())
        .expect("no promtool: run scripts/services get promtool, or set LIFEBOAT_TEST_PROMTOOL")
}

fn run_promtool(arguments: &[&str]) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s-cronjobs/alerts");
    let output = Command::new(promtool()).args(arguments).current_dir(directory).output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}");
}

/// Each rule's name and text.
fn rules() -> Vec<(&'static str, &'static str)> {
    let rules: Vec<_> = RULES
        .split("- alert: ")
        .skip(1)
        .map(|rule| rule.split_once('\n').expect("a rule has more lines than its name"))
        .collect();
    assert!(rules.len() > 10);
    rules
}

#[test]
fn promtool_finds_the_rules_right_and_they_fire_when_they_should() {
    run_promtool(&["check", "rules", "lifeboat.rules.yaml"]);
    run_promtool(&["test", "rules", "lifeboat.rules.test.yaml"]);
}

#[test]
fn every_rule_is_seen_firing_and_not_firing() {
    for (name, _) in rules() {
        let cases: Vec<&str> =
            TESTS.split("alertname: ").skip(1).filter(|case| case.lines().next() == Some(name)).collect();
        let silent = cases.iter().filter(|case| case.contains("exp_alerts: []")).count();
        assert!(silent > 0, "{name} is never seen silent");
        assert!(cases.len() > silent, "{name} is never seen firing");
    }
}

#[test]
fn every_rule_tells_what_how_bad_and_what_to_do() {
    for (name, text) in rules() {
        for key in
            ["labels: {severity: critical}|labels: {severity: warning}", "summary: \"", "description: \""]
        {
            assert!(key.split('|').any(|one| text.contains(one)), "{name} has no {key}");
        }
        let link = format!("runbook_url: \"docs/runbooks/{name}.md\"");
        assert!(text.contains(&link), "{name} does not link {link}");
        assert!(METRICS.contains(&format!("[`{name}`](runbooks/{name}.md)")), "{name}");
        assert!(RUNBOOKS.contains(&format!("[`{name}`]({name}.md)")), "{name}");
    }
}

#[test]
fn each_rule_has_a_runbook_and_no_runbook_is_without_one() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks");
    let pages: BTreeSet<String> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    let wanted: BTreeSet<String> = rules().into_iter().map(|(name, _)| format!("{name}.md")).collect();
    assert_eq!(pages, wanted);
    for page in pages {
        let text = std::fs::read_to_string(directory.join(&page)).unwrap();
        assert_eq!(text.lines().next().unwrap().strip_prefix("# "), page.strip_suffix(".md"));
        for part in ["**Means**", "**Look**", "**Do**", "(README.md#first-always)"] {
            assert!(text.contains(part), "{page} has no {part}");
        }
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            assert!(directory.join(link).is_file(), "{page} links {link}");
        }
    }
}

#[test]
fn rules_use_metrics_that_there_are() {
    let known: BTreeSet<&str> = ALL.iter().map(|metric| metric.name).collect();
    let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let (mut used, mut unknown) = (BTreeSet::new(), Vec::new());
    for token in RULES.split(|letter| !word(letter)).filter(|token| token.starts_with("lifeboat_")) {
        used.insert(token);
        if !known.contains(token) {
            unknown.push(token);
        }
    }
    assert!(unknown.is_empty() && used.len() > 5, "{unknown:?} of {used:?}");
}

#[test]
fn the_operators_form_has_the_same_groups() {
    let groups = |text: &str, indent: &str| -> Vec<String> {
        let lines = text.lines().skip_while(|line| line.trim() != "groups:");
        lines.map(|line| line.strip_prefix(indent).unwrap_or(line).to_owned()).collect()
    };
    assert_eq!(groups(OPERATOR, "  "), groups(RULES, ""));
}
