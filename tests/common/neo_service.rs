//! A Neo4j server as a service manager has it: stopped and started by commands, which go on when lifeboat does not.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use lifeboat::bolt::packstream::Value;
use lifeboat::bolt::{Auth, Begin, Config, Connection, Params};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::bad_input::wait_until;
use super::neo4j::wait;
use super::neo4j_process::{Neo4j, Options, PASSWORD, USER, program};

/// Ends the server of a home when the pipe closes. Its start command is gone by then, or finds no home.
const GUARD: &str = r#"
cat >/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do
  for line in /proc/[0-9]*/cmdline; do
    tr '\0' '\n' <"$line" 2>/dev/null | grep -qxF -e "--home-dir=$1" || continue
    pid=${line#/proc/}
    kill -KILL "${pid%/cmdline}" 2>/dev/null
  done
  [ -d "$1" ] || exit 0
  sleep 0.2
done
"#;

/// A server with a password of its own, or none, that [`stop`](Service::stop_command) and
/// [`start`](Service::start_command) stop and start.
pub struct Service {
    guard: Child,
    /// Its home, and the programs for it.
    pub neo4j: Neo4j,
    auth: bool,
}

impl Service {
    /// Makes a home that was not started.
    pub fn create(auth: bool) -> Service {
        let neo4j = Neo4j::create(Options { auth, ..Options::default() });
        let mut guard = Command::new("/bin/sh");
        guard.args(["-c", GUARD, "guard"]).arg(neo4j.home()).stdin(Stdio::piped()).stderr(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut guard, 0);
        let service = Service { guard: guard.spawn().unwrap(), neo4j, auth };
        service.command("stop", "exec \"$neo4j\" stop");
        service.command("start", "exec \"$neo4j\" start");
        service
    }

    /// Makes one and starts it.
    pub fn start(auth: bool) -> Service {
        let service = Service::create(auth);
        service.started();
        service
    }

    /// Makes a command of this script in its home, in which `$neo4j` is the program and `$home` the home. Returns its
    /// path.
    pub fn command(&self, name: &str, script: &str) -> PathBuf {
        let path = self.neo4j.home().join(name);
        let text = format!(
            "#!/bin/bash\nset -eu\nhome={home}\nexport NEO4J_HOME=$home NEO4J_CONF={conf}\nneo4j={neo4j}\n{script}\n",
            home = self.neo4j.home().display(),
            conf = self.neo4j.conf().display(),
            neo4j = program("neo4j").display()
        );
        // A script that runs must not change under its shell.
        let fresh = self.neo4j.home().join(format!("{name}.new"));
        std::fs::write(&fresh, text).unwrap();
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(fresh, &path).unwrap();
        path
    }

    /// The options that stop and start it.
    pub fn options(&self) -> String {
        let command = |name: &str| self.neo4j.home().join(name).display().to_string();
        format!(
            "method = \"dump\"\n[sources.orders.options]\nstop = [{:?}]\nstart = [{:?}]\n{}",
            command("stop"),
            command("start"),
            self.places()
        )
    }

    /// The options that name its home.
    pub fn places(&self) -> String {
        format!("home = {:?}\nconf = {:?}\n", self.neo4j.home(), self.neo4j.conf())
    }

    /// The URL of a source; the password comes by a file.
    pub fn url(&self) -> String {
        let user = if self.auth { format!("{USER}@") } else { String::new() };
        format!("neo4j://{user}127.0.0.1:{}", self.neo4j.port())
    }

    /// Runs one of its commands.
    pub fn run(&self, name: &str) {
        let output = Command::new(self.neo4j.home().join(name)).output().unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
    }

    /// Starts it, and waits until it can be used.
    pub fn started(&self) {
        self.run("start");
        self.wait_until_it_answers();
    }

    /// Waits until it answers.
    pub fn wait_until_it_answers(&self) {
        wait_until("the server answers", || self.answers());
    }

    /// Does it answer a query?
    pub fn answers(&self) -> bool {
        let asked = wait(async { self.ask(&self.config(), "RETURN 1").await });
        asked.is_ok()
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Pid {
        let text = std::fs::read_to_string(self.neo4j.home().join("run/neo4j.pid")).unwrap();
        Pid::from_raw(text.trim().parse().unwrap())
    }

    /// Ends it as a power cut does.
    pub fn crash(&self) {
        let pid = self.pid();
        kill(pid, Signal::SIGKILL).unwrap();
        wait_until("the server is gone", || kill(pid, None).is_err());
        std::fs::remove_file(self.neo4j.home().join("run/neo4j.pid")).unwrap();
    }

    fn config(&self) -> Config {
        match self.auth {
            true => self.login(USER, PASSWORD),
            false => Config::new("127.0.0.1", self.neo4j.port()),
        }
    }

    fn login(&self, user: &str, password: &str) -> Config {
        let mut config = Config::new("127.0.0.1", self.neo4j.port());
        config.auth = Auth::Basic { user: user.into(), password: password.into() };
        config
    }

    async fn ask(&self, config: &Config, statement: &str) -> Result<Vec<Vec<Value>>, lifeboat::bolt::Error> {
        let mut connection = Connection::open(config).await?;
        connection.run_alone(statement, &Params::new(), &Begin::default()).await?;
        connection.rows().await
    }

    /// Runs a statement. Returns its rows.
    pub fn cypher(&self, statement: &str) -> Vec<Vec<Value>> {
        match wait(self.ask(&self.config(), statement)) {
            Ok(rows) => rows,
            Err(error) => panic!("{statement}: {error}"),
        }
    }

    /// Whether somebody else may log in.
    pub fn lets_in(&self, user: &str, password: &str) -> bool {
        wait(self.ask(&self.login(user, password), "RETURN 1")).is_ok()
    }

    /// The one number that a query gives.
    pub fn number(&self, query: &str) -> i64 {
        self.cypher(query)[0][0].as_int().unwrap()
    }

    /// What neo4j-admin says of the last transaction of its database, which is stopped.
    pub fn last_transaction(&self) -> u64 {
        let output = self.neo4j.admin(&["database", "info", "neo4j"]);
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.trim().strip_prefix("Last committed transaction id:"));
        line.unwrap_or_else(|| panic!("{output:?}")).trim().parse().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.guard.stdin.take() {
            let _ = pipe.flush();
        }
        // The home goes after this; so whatever still starts finds none.
    }
}
