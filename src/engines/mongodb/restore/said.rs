//! What mongorestore says: it ends with status 0 although documents failed, so its lines are read.

use crate::engines::mongodb::child::message;

/// What its messages tell.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Documents that it says it has restored.
    pub restored: Option<u64>,
    /// Documents that it says have failed.
    pub failed: u64,
    /// Lines that tell of something that went wrong.
    pub problems: Vec<String>,
}

/// Words of lines that tell of failure. Source: mongo-tools' `mongorestore/`, and what 100.12 was seen to say.
const PROBLEMS: [&str; 9] = [
    "Failed:",
    "error:",
    "E11000",
    "Document failed validation",
    "failed to restore",
    "don't know what to do",
    "skipping",
    "corrupt",
    "not authorized",
];

/// Reads the lines of standard error.
pub fn read(lines: &[String]) -> Said {
    let mut said = Said::default();
    for line in lines.iter().map(|line| message(line)) {
        // "12 document(s) restored successfully. 0 document(s) failed to restore."
        if let Some((restored, rest)) = line.split_once(" document(s) restored successfully.") {
            said.restored = restored.trim().parse().ok();
            said.failed = rest.split_whitespace().next().and_then(|count| count.parse().ok()).unwrap_or(0);
        } else if PROBLEMS.iter().any(|word| line.contains(word)) && !line.contains("0 failures") {
            said.problems.push(line.trim_start_matches("Failed:").trim().to_owned());
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_at_exit_0_are_seen() {
        let line = |text: &str| format!("2026-11-27T16:22:38.293+0000\t{text}");
        let good = [
            line("finished restoring shop.orders (3000 documents, 0 failures)"),
            line("3000 document(s) restored successfully. 0 document(s) failed to restore."),
        ];
        assert_eq!(read(&good), Said { restored: Some(3000), ..Said::default() });
        let bad = [
            line("continuing through error: E11000 duplicate key error collection: a.b"),
            line("0 document(s) restored successfully. 10 document(s) failed to restore."),
        ];
        let said = read(&bad);
        assert_eq!((said.restored, said.failed, said.problems.len()), (Some(0), 10, 1));
        let said = read(&[line("Failed: a.b: error restoring from archive: x")]);
        assert_eq!(said.problems, ["a.b: error restoring from archive: x"]);
    }
}
