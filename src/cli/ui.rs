//! The one place that writes: results to stdout, status and errors to stderr.

use std::io::{ErrorKind, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::Utc;
use indicatif::{MultiProgress, ProgressDrawTarget};

use crate::cli::failure::Failure;
use crate::cli::log::{self, Level, Line, LogFormat};
use crate::error::{Error, Kind, Result};
use crate::reports::messages::{self, Message};
use crate::reports::table::{Style, clean};

/// How output is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Results as JSON lines.
    pub json: bool,
    /// Progress bars and progress lines.
    pub progress: bool,
    /// Status lines.
    pub format: LogFormat,
    /// The lowest level of status lines.
    pub level: Level,
    /// Colour where there is a terminal.
    pub colour: bool,
}

/// Writes results and status. Clones write to the same place.
///
/// Writing never fails a run half way: when a reader closed stdout (`| head`), the rest is dropped
/// quietly; any other failure to write is kept, and [`Ui::check`] tells it at the end.
#[derive(Clone)]
pub struct Ui {
    shared: Arc<Shared>,
    source: Option<String>,
}

struct Shared {
    wish: Wish,
    run: String,
    stdout: Stdout,
    /// stderr is a terminal that people look at.
    terminal: bool,
    bars: MultiProgress,
    /// The errors that were shown, in text.
    failures: Mutex<Vec<String>>,
    silent: bool,
}

struct Stdout {
    style: Style,
    state: Mutex<State>,
}

enum State {
    Open,
    /// The reader has gone; that is its right.
    Gone,
    Broken(std::io::Error),
}

impl std::fmt::Debug for Ui {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ui({:?})", self.shared.wish)
    }
}

impl Ui {
    /// Writes to the process's stdout and stderr.
    pub fn new(wish: Wish, run: &str) -> Self {
        let (out, err) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        // Only the width matters; a terminal that does not tell has the classic 80.
        let width = out.then(|| comfy_table::Table::new().width().filter(|&w| w >= 40).unwrap_or(80));
        let bars = MultiProgress::with_draw_target(match err && wish.progress {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        });
        let style = Style { width, colour: out && wish.colour };
        Ui {
            shared: Arc::new(Shared {
                wish,
                run: run.to_owned(),
                stdout: Stdout { style, state: Mutex::new(State::Open) },
                terminal: err,
                bars,
                failures: Mutex::default(),
                silent: false,
            }),
            source: None,
        }
    }

    /// Writes nothing: for tests.
    #[cfg(test)]
    pub fn silent() -> Self {
        let wish = Wish {
            json: false,
            progress: false,
            format: LogFormat::Text,
            level: Level::Error,
            colour: false,
        };
        let ui = Ui::new(wish, "test");
        let shared = Shared {
            wish,
            run: "test".to_owned(),
            stdout: Stdout { style: Style::PLAIN, state: Mutex::new(State::Open) },
            terminal: false,
            bars: ui.shared.bars.clone(),
            failures: Mutex::default(),
            silent: true,
        };
        Ui { shared: Arc::new(shared), source: None }
    }

    /// One whose status lines are about a source.
    pub fn about(&self, source: &str) -> Ui {
        Ui { shared: self.shared.clone(), source: Some(source.to_owned()) }
    }

    /// True when results are wanted as JSON lines.
    pub fn json(&self) -> bool {
        self.shared.wish.json
    }

    /// How tables on stdout should look.
    pub fn style(&self) -> Style {
        self.shared.stdout.style
    }

    /// Writes a result: as a JSON line with `--json`, else as the text that `text` makes.
    pub fn result<M: Message>(&self, message: &M, text: impl FnOnce() -> String) {
        match self.json() {
            true => self.write(&format!("{}\n", messages::line(message))),
            false => self.write(&text()),
        }
    }

    /// Writes a JSON line, with `--json` only.
    pub fn message<M: Message>(&self, message: &M) {
        if self.json() {
            self.write(&format!("{}\n", messages::line(message)));
        }
    }

    /// Writes text with its line ends to stdout, without `--json` only.
    pub fn text(&self, text: &str) {
        if !self.json() {
            self.write(text);
        }
    }

    /// Writes to stdout as it is (a completion script), with `--json`, too.
    pub fn write(&self, text: &str) {
        let mut state = self.shared.stdout.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*state, State::Open) || self.shared.silent {
            return;
        }
        let written = self.shared.bars.suspend(|| {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
        });
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => *state = State::Gone,
            Err(error) => *state = State::Broken(error),
        }
    }

    /// Looks whether all of the result could be written.
    ///
    /// # Errors
    /// [`Kind::Failed`] when not, except when a reader closed the pipe.
    pub fn check(&self) -> Result<()> {
        let mut state = self.shared.stdout.state.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Open) {
            State::Broken(error) => Err(Error::new(Kind::Failed, "cannot write to standard output")
                .because(error)
                .hint("the work itself was done; only its output is incomplete")),
            State::Open | State::Gone => Ok(()),
        }
    }

    /// A status line for those who want to know everything (`-v`).
    pub fn debug(&self, message: &str) {
        self.status(Level::Debug, message, None, None);
    }

    /// A status line: what is being done.
    pub fn info(&self, message: &str) {
        self.status(Level::Info, message, None, None);
    }

    /// A status line: what somebody should know.
    pub fn warn(&self, message: &str) {
        self.status(Level::Warn, message, None, None);
    }

    /// A status line of a level, about a backup, in a phase. Empty texts count as none.
    pub fn status(&self, level: Level, message: &str, backup: Option<&str>, phase: Option<&str>) {
        let shared = &self.shared;
        if level < shared.wish.level {
            return;
        }
        let message = clean(message);
        let source = self.source.as_deref();
        let line =
            Line { time: Utc::now(), level, message: &message, run: &shared.run, source, backup, phase };
        self.complain(&match shared.wish.format {
            LogFormat::Json => line.json(),
            LogFormat::Text if level == Level::Warn && self.colour() => {
                line.text(false).replacen("warning:", "\u{1b}[1;33mwarning:\u{1b}[0m", 1)
            }
            LogFormat::Text => line.text(!shared.terminal),
        });
    }

    /// Shows what went wrong: `error: …` with its causes, then `hint: …`; with `--json` an `error` line.
    pub fn failure(&self, failure: &Failure) {
        let shared = &self.shared;
        shared.failures.lock().unwrap_or_else(PoisonError::into_inner).push(plain(failure));
        if shared.wish.format == LogFormat::Json {
            return self.complain(&log::failure_json(failure, Utc::now(), &shared.run));
        }
        let error = &failure.error;
        if shared.wish.json {
            return self.complain(&messages::line(&messages::Error {
                kind: error.kind().word().to_owned(),
                message: error.chain(),
                hint: error.hint_text().map(str::to_owned),
                source: failure.source.clone(),
            }));
        }
        self.complain(&match self.colour() {
            true => coloured(failure, ("\u{1b}[1;31m", "\u{1b}[1;36m", "\u{1b}[0m")),
            false => plain(failure),
        });
    }

    /// The errors that were shown so far, as text without colour.
    pub(super) fn failures(&self) -> Vec<String> {
        self.shared.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where bars are drawn; they are hidden when there is no terminal.
    pub(super) fn bars(&self) -> &MultiProgress {
        &self.shared.bars
    }

    /// True when bars are to be drawn: status lines for people, on a terminal.
    pub(super) fn draws_bars(&self) -> bool {
        let wish = &self.shared.wish;
        self.shared.terminal && wish.progress && wish.format == LogFormat::Text && wish.level <= Level::Info
    }

    /// True when progress is to be told in lines.
    pub(super) fn tells_progress(&self) -> bool {
        !self.draws_bars() && self.shared.wish.progress
    }

    fn colour(&self) -> bool {
        self.shared.terminal && self.shared.wish.colour
    }

    /// Writes a line to stderr. When that fails there is nobody left to tell.
    fn complain(&self, line: &str) {
        if self.shared.silent {
            return;
        }
        self.shared.bars.suspend(|| {
            let _ = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
        });
    }
}

/// A failure as text without colour: `error: …`, and `hint: …` on a line of its own.
pub(super) fn plain(failure: &Failure) -> String {
    coloured(failure, ("", "", ""))
}

fn coloured(failure: &Failure, (red, cyan, off): (&str, &str, &str)) -> String {
    let chain = failure.error.chain();
    // Most messages name their source already.
    let source = failure.source.as_ref().filter(|source| !names(&chain, source));
    let source = source.map(|source| format!("{source}: ")).unwrap_or_default();
    let mut text = format!("{red}error:{off} {source}{}", lines_joined(&chain));
    if let Some(hint) = failure.error.hint_text() {
        text.push_str(&format!("\n{cyan}hint:{off} {}", lines_joined(hint)));
    }
    text
}

/// An error is one line, whatever a server wrote.
fn lines_joined(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    clean(&lines.join("; "))
}

/// True when a text has this word, and not only as a part of another (`rs` of `orders`).
fn names(text: &str, word: &str) -> bool {
    let apart = |c: Option<char>| c.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == '-'));
    text.match_indices(word)
        .any(|(at, _)| apart(text[..at].chars().next_back()) && apart(text[at + word.len()..].chars().next()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_many_lines_become_one() {
        assert_eq!(lines_joined("no\n  DETAIL: x\r\n\nbell\u{7}"), "no; DETAIL: x; bell\\u{7}");
    }
}
