//! The configuration as its users meet it: whole files in a directory, and what comes out.

mod errors;
mod outlets;
mod policy_errors;
mod values;

use std::path::Path;

use tempfile::TempDir;

use super::*;

/// A working directory with some files. The system's directory is `etc` inside it.
pub(super) struct Room {
    dir: TempDir,
    pub(super) request: LoadRequest,
}

impl Room {
    /// A room with this `lifeboat.toml`.
    pub(super) fn new(file: &str) -> Self {
        let room = Room::empty();
        room.write("lifeboat.toml", file);
        room
    }

    pub(super) fn empty() -> Self {
        let dir = TempDir::new().unwrap();
        let mut request = LoadRequest::new(dir.path());
        request.system_dir = PathBuf::from("etc");
        Room { dir, request }
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(super) fn env(mut self, name: &str, value: &str) -> Self {
        self.request.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(super) fn flag(mut self, flag: &str, key: &str, value: &str) -> Self {
        let [flag, key, value] = [flag, key, value].map(str::to_owned);
        self.request.overrides.push(Override { flag, key, value });
        self
    }

    pub(super) fn load(&self) -> Config {
        load(&self.request).unwrap()
    }

    /// The error as a user sees it, with the directory's name taken out.
    pub(super) fn error(&self) -> String {
        self.text_of(&load(&self.request).expect_err("this should not load"))
    }

    pub(super) fn text_of(&self, error: &Error) -> String {
        let hint = error.hint_text().expect("every error here has a hint");
        let text = format!("{} (exit {})\nhint: {hint}", error.chain(), error.kind().exit_code());
        text.replace(&format!("{}/", self.dir.path().display()), "")
    }

    pub(super) fn warnings(&self) -> String {
        self.load().warnings.join("\n").replace(&format!("{}/", self.dir.path().display()), "")
    }

    /// `config show` as text.
    pub(super) fn show(&self) -> String {
        let lines = self
            .load()
            .show()
            .into_iter()
            .map(|shown| format!("{} = {}  ({})", shown.key, shown.value, shown.origin));
        lines.collect::<Vec<_>>().join("\n").replace(&format!("{}/", self.dir.path().display()), "")
    }
}

/// A store and nothing else.
pub(super) const STORE: &str = "[store]\nurl = \"s3://acme/production\"\n";

/// A store and a source, whose section is open for more.
pub(super) const SOURCE: &str = "[store]\nurl = \"s3://acme/production\"\n\n[sources.orders]\nengine = \"postgres\"\nurl = \"postgres://backup@db/orders\"\n";

/// The error of a policy file that the source uses.
pub(super) fn with_policy(policy: &str) -> String {
    let room = Room::new(&format!("{SOURCE}policy = \"p\"\n"));
    room.write("policies/p.toml", policy);
    room.error()
}
