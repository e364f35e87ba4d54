//! JUnit XML, as CI systems read it: suites of cases, each passed, failed or skipped.
//!
//! The dialect is the one that the Jenkins JUnit plugin and GitLab document: `testsuites`, `testsuite`,
//! `testcase` with `failure`, `skipped` and `system-out`.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

/// The outcome of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Passed,
    /// Not as it should be.
    Failed {
        /// One line.
        message: String,
        /// More lines; may be empty.
        details: String,
    },
    /// Not looked at.
    Skipped {
        /// Why.
        message: String,
    },
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Its name, unique in its suite.
    pub name: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What came out.
    pub outcome: Outcome,
    /// Lines to keep with the case; may be empty.
    pub output: String,
}

/// Cases that belong together: one drill.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// Its name.
    pub name: String,
    /// When it began.
    pub time: DateTime<Utc>,
    /// Facts about it: names and values.
    pub properties: Vec<(String, String)>,
    /// The cases.
    pub cases: Vec<Case>,
}

impl Suite {
    fn failures(&self) -> usize {
        self.cases.iter().filter(|case| matches!(case.outcome, Outcome::Failed { .. })).count()
    }

    fn skipped(&self) -> usize {
        self.cases.iter().filter(|case| matches!(case.outcome, Outcome::Skipped { .. })).count()
    }

    fn seconds(&self) -> f64 {
        self.cases.iter().map(|case| case.seconds).sum()
    }
}

/// The XML document of some suites, with a line end at its end.
pub fn document(suites: &[Suite]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let tests: usize = suites.iter().map(|suite| suite.cases.len()).sum();
    let failures: usize = suites.iter().map(Suite::failures).sum();
    let seconds: f64 = suites.iter().map(Suite::seconds).sum();
    // Writing to a String cannot fail.
    let _ = writeln!(
        xml,
        "<testsuites name=\"lifeboat\" tests=\"{tests}\" failures=\"{failures}\" time=\"{seconds:.3}\">"
    );
    for suite in suites {
        write_suite(&mut xml, suite);
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn write_suite(xml: &mut String, suite: &Suite) {
    let _ = writeln!(
        xml,
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"{:.3}\" timestamp=\"{}\">",
        escape(&suite.name),
        suite.cases.len(),
        suite.failures(),
        suite.skipped(),
        suite.seconds(),
        suite.time.format("%Y-%m-%dT%H:%M:%S"),
    );
    if !suite.properties.is_empty() {
        xml.push_str("    <properties>\n");
        for (name, value) in &suite.properties {
            let (name, value) = (escape(name), escape(value));
            let _ = writeln!(xml, "      <property name=\"{name}\" value=\"{value}\"/>");
        }
        xml.push_str("    </properties>\n");
    }
    for case in &suite.cases {
        write_case(xml, &suite.name, case);
    }
    xml.push_str("  </testsuite>\n");
}

fn write_case(xml: &mut String, class: &str, case: &Case) {
    let _ = write!(
        xml,
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
        escape(class),
        escape(&case.name),
        case.seconds
    );
    if case.outcome == Outcome::Passed && case.output.is_empty() {
        xml.push_str("/>\n");
        return;
    }
    xml.push_str(">\n");
    match &case.outcome {
        Outcome::Passed => {}
        Outcome::Failed { message, details } => {
            let (message, details) = (escape(message), escape(details));
            let _ = writeln!(xml, "      <failure message=\"{message}\">{details}</failure>");
        }
        Outcome::Skipped { message } => {
            let _ = writeln!(xml, "      <skipped message=\"{}\"/>", escape(message));
        }
    }
    if !case.output.is_empty() {
        let _ = writeln!(xml, "      <system-out>{}</system-out>", escape(&case.output));
    }
    xml.push_str("    </testcase>\n");
}

/// Escapes text for attributes and content. Characters that XML 1.0 (section 2.2) does not allow at
/// all become U+FFFD; line ends and tabs become references, since attributes would lose them.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_count_their_cases_and_escape_their_texts() {
        let case =
            |name: &str, outcome| Case { name: name.into(), seconds: 0.5, outcome, output: String::new() };
        let suite = Suite {
            name: "orders".into(),
            time: "2026-11-24T02:00:00Z".parse().unwrap(),
            properties: vec![("backup".into(), "20261124T020000Z-7f3k9q".into())],
            cases: vec![
                case("restore", Outcome::Passed),
                case(
                    "rows \"are\" <equal>",
                    Outcome::Failed { message: "5 & 6".into(), details: "line\nnext \u{0}".into() },
                ),
                case("amcheck", Outcome::Skipped { message: "pg_amcheck is not installed".into() }),
                Case { output: "PASS".into(), ..case("rto", Outcome::Passed) },
            ],
        };
        assert_eq!(
            document(&[suite]),
            r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="lifeboat" tests="4" failures="1" time="2.000">
  <testsuite name="orders" tests="4" failures="1" errors="0" skipped="1" time="2.000" timestamp="2026-11-24T02:00:00">
    <properties>
      <property name="backup" value="20261124T020000Z-7f3k9q"/>
    </properties>
    <testcase classname="orders" name="restore" time="0.500"/>
    <testcase classname="orders" name="rows &quot;are&quot; &lt;equal&gt;" time="0.500">
      <failure message="5 &amp; 6">line&#10;next "#
                .to_owned()
                + "\u{fffd}"
                + r#"</failure>
    </testcase>
    <testcase classname="orders" name="amcheck" time="0.500">
      <skipped message="pg_amcheck is not installed"/>
    </testcase>
    <testcase classname="orders" name="rto" time="0.500">
      <system-out>PASS</system-out>
    </testcase>
  </testsuite>
</testsuites>
"#
        );
    }
}
