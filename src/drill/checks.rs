//! The policy's checks: a question, what its answer must be, and the verdict. Pure.

use serde::{Deserialize, Serialize};

use super::objectives::Verdict;
use crate::engines::Query;

/// What an answer must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Expectation {
    /// A number, not below this.
    AtLeast(f64),
    /// A number, not above this.
    AtMost(f64),
    /// A number within both.
    Between(f64, f64),
    /// This text; if both are numbers, this number; `true` and `false` also as `t` and `f`.
    Equals(String),
}

/// One check of the policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Its name, for people.
    pub name: String,
    /// The question.
    pub query: Query,
    /// What the answer must be.
    pub expectation: Expectation,
}

/// A check with its outcome, as in evidence and JSON lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The check's name.
    pub name: String,
    /// `sql`, `rows`, `freshness` or `structure`.
    pub kind: String,
    /// The outcome.
    pub verdict: Verdict,
    /// What was expected, in words (`at most 90000`).
    pub expected: String,
    /// What came: the answer, `NULL`, or why there is none.
    pub actual: String,
}

impl Check {
    /// The kind in JSON.
    pub fn kind(&self) -> &'static str {
        match self.query {
            Query::Value(_) => "sql",
            Query::Rows(_) => "rows",
            Query::Age { .. } => "freshness",
        }
    }

    /// Judges an answer. NULL never passes: it is what an aggregate over no rows gives.
    pub fn judge(&self, answer: Option<&str>) -> Checked {
        let (verdict, actual) = match answer {
            None => (Verdict::Failed, "NULL (no rows, or no value)".to_owned()),
            Some(text) => self.expectation.judge(text),
        };
        self.checked(verdict, actual)
    }

    /// The outcome when the question itself failed.
    pub fn unanswered(&self, why: impl Into<String>) -> Checked {
        self.checked(Verdict::Failed, why.into())
    }

    fn checked(&self, verdict: Verdict, actual: String) -> Checked {
        Checked {
            name: self.name.clone(),
            kind: self.kind().to_owned(),
            verdict,
            expected: self.expectation.words(),
            actual,
        }
    }
}

impl Expectation {
    /// The expectation in words.
    pub fn words(&self) -> String {
        match self {
            Expectation::AtLeast(least) => format!("at least {least}"),
            Expectation::AtMost(most) => format!("at most {most}"),
            Expectation::Between(least, most) => format!("{least} to {most}"),
            Expectation::Equals(text) => format!("equals {text}"),
        }
    }

    fn judge(&self, answer: &str) -> (Verdict, String) {
        let answer = answer.trim();
        let fits = match self {
            Expectation::Equals(wanted) => equal(wanted.trim(), answer),
            range => match number(answer) {
                None => return (Verdict::Failed, format!("{} (not a number)", short(answer))),
                Some(value) => range.holds(value),
            },
        };
        (if fits { Verdict::Passed } else { Verdict::Failed }, short(answer))
    }

    fn holds(&self, value: f64) -> bool {
        match self {
            Expectation::AtLeast(least) => value >= *least,
            Expectation::AtMost(most) => value <= *most,
            Expectation::Between(least, most) => value >= *least && value <= *most,
            Expectation::Equals(_) => false,
        }
    }
}

/// A finite number. `NaN` and `Infinity` are none: nothing compares with them as people mean it.
fn number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

fn equal(wanted: &str, answer: &str) -> bool {
    if wanted == answer {
        return true;
    }
    match (wanted.parse::<i128>(), answer.parse::<i128>()) {
        // Whole numbers exactly: as floats, 2^53 equals 2^53 + 1.
        (Ok(wanted), Ok(answer)) => return wanted == answer,
        _ => {
            if let (Some(wanted), Some(answer)) = (number(wanted), number(answer)) {
                return wanted == answer;
            }
        }
    }
    matches!((wanted, answer), ("true", "t") | ("t", "true") | ("false", "f") | ("f", "false"))
}

/// At most 200 characters on one line: an answer goes into tables and evidence.
fn short(text: &str) -> String {
    const MOST: usize = 200;
    let line = text.replace(['\n', '\r', '\t'], " ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(expectation: Expectation, answer: Option<&str>) -> (Verdict, String) {
        let check = Check { name: "c".into(), query: Query::Value("select 1".into()), expectation };
        let checked = check.judge(answer);
        (checked.verdict, checked.actual)
    }

    fn passes(expectation: Expectation, answer: &str) -> bool {
        judged(expectation, Some(answer)).0 == Verdict::Passed
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        use Expectation::{AtLeast, AtMost, Between};
        assert!(passes(AtLeast(10.0), "10"));
        assert!(passes(AtLeast(9.5), " 10.000000 "));
        assert!(!passes(AtLeast(10.0), "9"));
        assert!(passes(AtMost(90_000.0), "1e3"));
        assert!(!passes(AtMost(90_000.0), "90000.5"));
        assert!(passes(Between(1.0, 2.0), "2"));
        assert!(!passes(Between(1.0, 2.0), "2.1"));
    }

    #[test]
    fn what_is_no_number_fails_and_says_so() {
        for answer in ["", "many", "NaN", "Infinity", "-inf", "t"] {
            let (verdict, actual) = judged(Expectation::AtMost(f64::MAX), Some(answer));
            assert_eq!(verdict, Verdict::Failed, "{answer}");
            assert!(actual.ends_with("(not a number)"), "{actual}");
        }
    }

    #[test]
    fn null_never_passes() {
        for expectation in [Expectation::AtMost(1e9), Expectation::Equals("NULL".into())] {
            let (verdict, actual) = judged(expectation, None);
            assert_eq!(verdict, Verdict::Failed);
            assert!(actual.starts_with("NULL"), "{actual}");
        }
    }

    #[test]
    fn equality_is_of_text_number_or_truth() {
        let equals = |wanted: &str, answer| passes(Expectation::Equals(wanted.to_owned()), answer);
        assert!(equals("paid", "paid"));
        assert!(!equals("paid", "Paid"));
        assert!(equals("1", "1.0"));
        assert!(equals("true", "t") && equals("false", "f") && !equals("true", "f"));
        assert!(!equals("9007199254740992", "9007199254740993"));
        assert!(!equals("1", "true"));
    }

    #[test]
    fn a_long_answer_is_cut() {
        let (_, actual) = judged(Expectation::Equals("x".into()), Some(&"é\n".repeat(500)));
        assert_eq!(actual.chars().count(), 201);
        assert!(!actual.contains('\n'));
    }
}
