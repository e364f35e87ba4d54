//! What a tool said though it ended well: warnings that belong to the backup.

/// Lines of one tool that are kept.
const LINES: usize = 20;
/// Characters of a line that are kept; a manifest stays small whatever a tool says.
const CHARACTERS: usize = 400;

/// The warnings of a backup, from the redacted messages of a tool that ended with success.
pub(super) fn warnings(tool: &str, messages: &[String]) -> Vec<String> {
    let prefix = format!("{tool}: ");
    let said: Vec<&str> = messages.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
    let mut kept: Vec<String> = said
        .iter()
        .take(LINES)
        .map(|line| line.strip_prefix(&prefix).unwrap_or(line))
        .map(|line| match line.char_indices().nth(CHARACTERS) {
            None => format!("{prefix}{line}"),
            Some((end, _)) => format!("{prefix}{}…", &line[..end]),
        })
        .collect();
    if said.len() > LINES {
        kept.push(format!("{prefix}and {} more lines", said.len() - LINES));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_named_after_their_tool_and_bounded() {
        let lines = ["pg_dump: warning: a".to_owned(), "  ".to_owned(), "from a library".to_owned()];
        assert_eq!(warnings("pg_dump", &lines), ["pg_dump: warning: a", "pg_dump: from a library"]);
        let many: Vec<String> = (0..25).map(|n| format!("line {n}")).collect();
        let told = warnings("pg_dump", &many);
        assert_eq!((told.len(), told[20].as_str()), (21, "pg_dump: and 5 more lines"));
        let long = warnings("pg_dump", &["é".repeat(1000)]);
        assert_eq!(long[0].chars().count(), "pg_dump: ".len() + 401);
        assert_eq!(warnings("pg_dump", &[]), [""; 0]);
    }
}
