//! What the tests of bad input share: a case with its store, runs that go on meanwhile, and what must not change.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use lifeboat::stores::open::StoreSpec;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cli::{Ran, World};

/// A world with one older backup of `orders`, and the state of its store.
pub struct Case {
    pub world: World,
    /// Variables of every run.
    pub environment: Vec<(String, String)>,
    /// What has to live as long as the case.
    pub tools: Option<Tools>,
    before: BTreeMap<String, String>,
}

/// A source named `orders` at this URL, and what else its section has.
pub fn orders(url: &str, more: &str) -> String {
    format!("[sources.orders]\nengine = \"postgres\"\nurl = '''{url}'''\n{more}\n")
}

impl Case {
    /// One whose store is a directory.
    pub fn file(config: &str) -> Case {
        Case::of(World::new(config), Vec::new())
    }

    /// One with this store; the keys of the specification go into the environment.
    pub fn on(spec: StoreSpec, config: &str) -> Case {
        let keys = spec.credentials.clone().expect("keys");
        let environment = vec![
            ("AWS_ACCESS_KEY_ID".to_owned(), keys.access_key),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), keys.secret_key.expose().to_owned()),
            ("LIFEBOAT_STORE_PART_SIZE".to_owned(), "5MiB".to_owned()),
            // Fewer frames wait for their upload.
            ("LIFEBOAT_BACKUP_THREADS".to_owned(), "1".to_owned()),
        ];
        Case::of(World::on(tempfile::TempDir::new().unwrap(), spec, config), environment)
    }

    fn of(world: World, environment: Vec<(String, String)>) -> Case {
        world.backup("orders", 30, |_| {});
        let mut case = Case { world, environment, tools: None, before: BTreeMap::new() };
        case.before = case.stored();
        case
    }

    /// Every object but the lease, with its version and size.
    pub fn stored(&self) -> BTreeMap<String, String> {
        let catalog = self.world.catalog("orders");
        self.world.wait(async {
            let entries = catalog.store().list("").await.unwrap();
            let mut stored = BTreeMap::new();
            for entry in entries.into_iter().filter(|entry| !entry.key.ends_with("lease.json")) {
                let bytes = catalog.store().get(&entry.key).await.unwrap().map(|(bytes, _)| bytes);
                stored.insert(entry.key, format!("{:?} {:?}", entry.modified, bytes.map(|b| b.len())));
            }
            stored
        })
    }

    /// Uploads that nobody ended.
    pub fn open_uploads(&self) -> usize {
        let catalog = self.world.catalog("orders");
        self.world.wait(catalog.store().open_uploads("")).unwrap().len()
    }

    /// Fails unless the store is as it was before the run: older backups untouched, nothing new, no upload.
    pub fn assert_untouched(&self) {
        assert_eq!(self.stored(), self.before);
        assert_eq!(self.open_uploads(), 0);
    }

    /// Fails unless the backups are those of before, whatever nobody could remove.
    pub fn assert_manifests_untouched(&self) {
        let manifests = |all: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            let own = all.iter().filter(|(key, _)| key.contains("manifest"));
            own.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        let before = manifests(&self.before);
        assert!(!before.is_empty());
        assert_eq!(manifests(&self.stored()), before);
    }

    /// From now on the store is as it should stay.
    pub fn remember(&mut self) {
        self.before = self.stored();
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.world.command(args);
        command.envs(self.environment.iter().cloned());
        command
    }

    /// Runs to the end.
    pub fn run(&self, args: &[&str]) -> Ran {
        self.start(args).end()
    }

    /// Begins a run.
    pub fn start(&self, args: &[&str]) -> Running {
        let child = self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Running(Some(child))
    }

    /// `backup orders`, which must fail with this code and leave nothing. Returns what it told.
    pub fn fails(&self, code: i32) -> String {
        let ran = self.run(&["backup", "orders", "--no-progress"]);
        assert_eq!(ran.code, code, "{ran:?}");
        assert_eq!(ran.stdout, "");
        self.assert_untouched();
        told(&ran)
    }

    /// The same with `--json`.
    pub fn fails_in_json(&self, code: i32) -> String {
        let ran = self.run(&["backup", "orders", "--no-progress", "--json"]);
        assert_eq!(ran.code, code, "{ran:?}");
        let lines = ran.lines();
        assert_eq!((lines.len(), lines[0]["status"].as_str()), (1, Some("failed")));
        self.assert_untouched();
        told(&ran)
    }

    /// Begins a run that is process 1 of a namespace of its own, as in a container.
    pub fn start_as_process_one(&self, args: &[&str]) -> Running {
        let inner = self.command(args);
        let mut command = std::process::Command::new("/usr/bin/unshare");
        // A user who is not root may do this only as the root of a user namespace.
        let namespaces = if nix::unistd::geteuid().is_root() { "-pf" } else { "-rpf" };
        command.args([namespaces, "--mount-proc", "--kill-child"]).arg(inner.get_program());
        command.args(inner.get_args()).env_clear();
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(inner.get_current_dir().unwrap()).stdin(Stdio::null());
        Running(Some(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()))
    }
}

/// A run that goes on.
pub struct Running(Option<Child>);

impl Running {
    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.0.as_ref().unwrap().id() as i32)
    }

    /// True when it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.0.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Waits for its end. The code of one that a signal ended is -1.
    pub fn end(mut self) -> Ran {
        let output = self.0.take().unwrap().wait_with_output().unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The children of a process.
pub fn children(of: Pid) -> Vec<Pid> {
    let children = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    children.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
}

/// What a failed run said, without its progress.
pub fn told(ran: &Ran) -> String {
    let mut lines: Vec<&str> = ran.stderr.lines().collect();
    // Status lines begin with their time.
    lines.retain(|line| !line.starts_with("20"));
    lines.join("\n")
}

/// Snapshot filters: ports, names, paths, numbers that differ from run to run.
#[macro_export]
macro_rules! assert_told {
    ($value:expr, @$snapshot:literal) => {{
        let filters = [
            (r"127\.0\.0\.1:\d+", "HOST"),
            (r"127\.0\.0\.2:\d+", "OTHER"),
            (r"localhost:\d+", "LOCALHOST"),
            (r"\b(db|role)_\d+_\d+", "$1"),
            (r"/tmp/[\w./-]+", "PATH"),
            (r"\d{8}T\d{6}Z-\w{6}", "ID"),
            (r"test-\d+", "PREFIX"),
            (r"\d+(\.\d+)? (bytes|kB|MB)\b", "N bytes"),
            (r"at byte \d+", "at byte N"),
            (r"the server has: .*", "the server has: DATABASES"),
            (r"pid \d+", "pid N"),
            (r"process \d+", "process N"),
            (r"\bfor \d+ s\b", "for N s"),
            (r"instead of \d+", "instead of N"),
            (r"and \d+ files", "and N files"),
            (r"(HOST failed): [^\n]+", "$1: CAUSE"),
            (r"test-host:\d+|test-host/\d+", "test-host PID"),
            (r"pg_terminate_backend\(\d+\)", "pg_terminate_backend(N)"),
            (r"lifeboat-\w{6}\b", "lifeboat-RANDOM"),
            (r"after \d+ tries in \d+\w+", "after N tries in N s"),
            (r"[0-9a-f]{64}", "SHA256"),
        ];
        insta::with_settings!({ filters => filters.to_vec() }, {
            insta::assert_snapshot!($value, @$snapshot);
        });
    }};
}

/// Waits until something holds; the patience is only for a test that fails.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}: this does not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Tools of a server with another `pg_dump`: a script, in which `real` is the real one.
pub struct Tools {
    pub bin: PathBuf,
    directory: tempfile::TempDir,
}

impl Tools {
    /// Links to everything but `pg_dump`, which is this script.
    pub fn with_pg_dump(real: &Path, script: &str) -> Tools {
        Tools::with("pg_dump", real, script)
    }

    /// Links to everything but this tool, which is this script.
    pub fn with(tool: &str, real: &Path, script: &str) -> Tools {
        let directory = tempfile::TempDir::new().unwrap();
        let bin = directory.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        for entry in std::fs::read_dir(real).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() != tool {
                symlink(entry.path(), bin.join(entry.file_name())).unwrap();
            }
        }
        let program = bin.join(tool);
        let real = real.join(tool);
        let fifo = directory.path().join("go");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let text = format!(
            "#!/bin/bash\nreal={}\n[ \"$1\" = --version ] && exec \"$real\" --version\n\
             pause() {{ : >{at}/started; cat {at}/go >/dev/null; }}\n{script}\n",
            real.display(),
            at = directory.path().display(),
        );
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Tools { bin, directory }
    }

    /// A `pg_dump` that gives so many bytes, calls `pause`, and goes on when told.
    pub fn pausing(real: &Path, bytes: u64) -> Tools {
        let script =
            format!("\"$real\" \"$@\" | {{ head -c {bytes}; pause; cat; }}\nexit ${{PIPESTATUS[0]}}");
        Tools::with_pg_dump(real, &script)
    }

    /// The line of the source's section.
    pub fn config(&self) -> String {
        format!("tools = \"{}\"", self.bin.display())
    }

    /// Waits until the script has called `pause`.
    pub fn wait_for_pause(&self, running: &mut Running) {
        let marker = self.directory.path().join("started");
        wait_until("the script pauses", || marker.exists() || running.has_ended());
        assert!(
            marker.exists(),
            "it ended before the pause: {:?}",
            std::mem::replace(running, Running(None)).end_now()
        );
    }

    /// Lets the script go on after `pause`.
    pub fn go_on(&self) {
        // Opening waits for the script, which opens it too.
        std::fs::write(self.directory.path().join("go"), "").unwrap();
    }
}

impl Running {
    fn end_now(mut self) -> Option<Ran> {
        self.0.is_some().then(|| Running(self.0.take()).end())
    }
}
