//! Standard error of a child: read to its end, kept within bounds, without secrets.

use std::collections::VecDeque;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::secret::Secret;

/// Called with each line as it comes, redacted.
pub type OnLine = Box<dyn FnMut(&str) + Send>;

/// Bytes that are kept: the last ones.
const KEPT: usize = 64 * 1024;

/// Bytes of one line; the rest of a longer line is dropped.
const LONGEST_LINE: usize = 8 * 1024;

/// The last lines of standard error.
#[derive(Debug, Default)]
pub struct Messages {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Messages {
    fn push(&mut self, line: String) {
        self.bytes += line.len() + 1;
        self.lines.push_back(line);
        while self.bytes > KEPT {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.len() + 1;
        }
    }

    /// The lines, oldest first.
    pub fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}

/// Reads to the end. A read error ends it like the end of the stream.
pub async fn read(
    mut pipe: impl AsyncRead + Unpin,
    secrets: Vec<Secret>,
    mut on_line: Option<OnLine>,
) -> Messages {
    let redaction = Redaction::new(&secrets);
    let mut messages = Messages::default();
    let mut line: Vec<u8> = Vec::new();
    let mut dropped = false;
    let mut buffer = vec![0u8; 8 * 1024];
    let mut take = |line: &mut Vec<u8>, dropped: &mut bool| {
        let mut text = redaction.apply(line, *dropped);
        if *dropped {
            text.push('…');
        }
        if let Some(on_line) = on_line.as_mut() {
            on_line(&text);
        }
        messages.push(text);
        line.clear();
        *dropped = false;
    };
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        for byte in &buffer[..count] {
            match byte {
                b'\n' => take(&mut line, &mut dropped),
                _ if line.len() < LONGEST_LINE => line.push(*byte),
                _ => dropped = true,
            }
        }
    }
    if !line.is_empty() {
        take(&mut line, &mut dropped);
    }
    messages
}

/// Replaces secrets, also in percent-encoded form, by `***`.
struct Redaction {
    forms: Vec<String>,
    longest: usize,
}

impl Redaction {
    fn new(secrets: &[Secret]) -> Redaction {
        let mut forms: Vec<String> = Vec::new();
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            let plain = secret.expose();
            forms.extend([plain.to_string(), percent_encoded(plain)]);
            // A secret of several lines shows up line by line.
            forms.extend(plain.lines().filter(|line| line.len() > 3).map(str::to_string));
        }
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        let longest = forms.first().map_or(0, String::len);
        Redaction { forms, longest }
    }

    /// `cut`: the line was longer, so its end may hold the beginning of a secret.
    fn apply(&self, line: &[u8], cut: bool) -> String {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let end = if cut { line.len().saturating_sub(self.longest) } else { line.len() };
        let mut text = String::from_utf8_lossy(&line[..end]).into_owned();
        for form in &self.forms {
            text = text.replace(form.as_str(), "***");
        }
        text
    }
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => (byte as char).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(text: &[u8], secrets: &[&str]) -> Vec<String> {
        let secrets = secrets.iter().map(|secret| Secret::new(*secret)).collect();
        read(text, secrets, None).await.into_lines()
    }

    #[tokio::test]
    async fn secrets_are_replaced_in_every_form() {
        let text = b"uri postgres://u:p%40ss@h\npassword p@ss!\nlast";
        let found = lines(text, &["p@ss", ""]).await;
        assert_eq!(found, ["uri postgres://u:***@h", "password ***!", "last"]);
    }

    #[tokio::test]
    async fn a_secret_at_the_cut_of_a_long_line_does_not_show() {
        let mut text = vec![b'x'; LONGEST_LINE - 3];
        text.extend(b"hunter2hunter2\nnext\n");
        let found = lines(&text, &["hunter2"]).await;
        assert!(!found[0].contains("hun") && found[0].ends_with('…'), "{}", &found[0][found[0].len() - 20..]);
        assert_eq!(found[1], "next");
    }

    #[tokio::test]
    async fn only_the_last_lines_are_kept_but_all_are_seen() {
        let mut text = Vec::new();
        for number in 0..20_000 {
            text.extend(format!("line {number}\n").bytes());
        }
        let (sender, receiver) = std::sync::mpsc::channel();
        let on_line: OnLine = Box::new(move |line| sender.send(line.len()).unwrap());
        let found = read(text.as_slice(), Vec::new(), Some(on_line)).await.into_lines();
        assert_eq!(found.last().unwrap(), "line 19999");
        assert!(found.iter().map(|line| line.len() + 1).sum::<usize>() <= KEPT);
        assert_eq!(receiver.iter().count(), 20_000);
    }
}
