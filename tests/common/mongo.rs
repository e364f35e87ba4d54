//! MongoDB servers: a standalone and a replica set of one that all tests of a binary share, and owned ones
//! with authentication, TLS or several members; in temporary directories, on free ports.
//!
//! Guard processes wait for the end of a pipe from the test process, then end the servers and remove the
//! directory: they do so however the tests end.

use std::future::Future;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use mongodb::bson::{Bson, Document, doc};
use mongodb::{Client, options::ClientOptions};

use super::certificates::{authority, certify};
use super::mongo_process::{Directory, Process};
use super::postgres::unique;

/// The user with the role `root` of a server that was started with `auth`.
pub const ROOT: &str = "root user";
/// Its password; characters that need escaping somewhere.
pub const ROOT_PASSWORD: &str = r#"s3:cr/et@ %40\'"?#"#;

/// How long a server may take for anything that is waited for here.
const PATIENCE: Duration = Duration::from_secs(60);

/// How to start a server.
#[derive(Default, Clone)]
pub struct Options {
    /// With users: [`ROOT`] is made.
    pub auth: bool,
    /// With TLS alone, by a certificate for 127.0.0.1 and localhost of an authority of its own.
    pub tls: bool,
    /// How many members the replica set `rs0` has; 0 is a standalone server.
    pub members: usize,
    /// More arguments of mongod.
    pub arguments: Vec<String>,
}

/// A running server, or replica set.
pub struct Mongod {
    options: Options,
    members: Vec<Member>,
    directory: Directory,
}

/// One server process, or the place where one was.
struct Member {
    port: u16,
    process: Option<Process>,
}

/// The standalone server that all tests of a binary share; without authentication.
pub fn standalone() -> &'static Mongod {
    static SERVER: OnceLock<Mongod> = OnceLock::new();
    SERVER.get_or_init(|| Mongod::start(Options::default()))
}

/// The replica set of one member that all tests of a binary share; without authentication.
pub fn replica() -> &'static Mongod {
    static SERVER: OnceLock<Mongod> = OnceLock::new();
    SERVER.get_or_init(|| Mongod::start(Options { members: 1, ..Options::default() }))
}

/// The server program.
pub fn mongod() -> PathBuf {
    find("LIFEBOAT_TEST_MONGOD", "mongod", "mongod-", |set| set)
}

/// One of `mongodump`, `mongorestore` and `bsondump`.
pub fn tool(name: &str) -> PathBuf {
    find("LIFEBOAT_TEST_MONGO_TOOLS", name, "mongotools-", |set| set.join(name))
}

fn find(variable: &str, name: &str, cached: &str, program: impl Fn(PathBuf) -> PathBuf) -> PathBuf {
    if let Some(set) = std::env::var_os(variable) {
        return program(set.into());
    }
    let cache = std::fs::read_dir("/var/cache/lifeboat").into_iter().flatten().flatten();
    let cache = cache.filter(|entry| entry.file_name().to_string_lossy().starts_with(cached));
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .chain(cache.map(|entry| entry.path()))
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("no {name}: run scripts/services get test, or set {variable}"))
}

impl Mongod {
    /// Makes and starts what the options say, and waits until it can be used.
    pub fn start(options: Options) -> Mongod {
        let directory = Directory::new(unique("lifeboat-test-mongo"));
        let path = &directory.path;
        let key = path.join("key");
        std::fs::write(&key, "a2V5IG9mIHRoZSB0ZXN0cyBmb3IgdGhlaXIgb3duIHNlcnZlcnM=").unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        if options.tls {
            certify(path);
        }
        let count = options.members.max(1);
        let members = (0..count).map(|_| Member { port: 0, process: None }).collect();
        let mut server = Mongod { options, members, directory };
        // All at once, then wait for each; one whose port was taken meanwhile gets another.
        (0..count).for_each(|member| server.spawn(member));
        for member in 0..count {
            let mut tries = 1;
            while !server.is_up(member) {
                assert!(tries < 5, "found no free port:\n{}", server.log(member));
                tries += 1;
                server.spawn(member);
            }
        }
        server.prepare();
        server
    }

    /// Starts a member on a port of its own, below those that the kernel gives to clients, or where it was.
    fn spawn(&mut self, member: usize) {
        let again = self.members[member].process.take().is_none() && self.members[member].port != 0;
        if !again {
            self.members[member].port = free_port();
        }
        let data = self.directory.path.join(format!("data{member}"));
        std::fs::create_dir_all(&data).unwrap();
        let mut arguments = vec![format!("--port={}", self.members[member].port)];
        arguments.push(format!("--dbpath={}", data.display()));
        let small = [
            "--bind_ip=127.0.0.1",
            "--nounixsocket",
            "--wiredTigerCacheSizeGB=0.25",
            "--wiredTigerEngineConfigString=log=(file_max=16MB)",
            "--setParameter=diagnosticDataCollectionEnabled=false",
        ];
        arguments.extend(small.map(str::to_owned));
        if self.options.members > 0 {
            arguments.extend(["--replSet=rs0", "--oplogSize=64"].map(str::to_owned));
        }
        if self.options.auth {
            arguments.push("--auth".to_owned());
            arguments.push(format!("--keyFile={}", self.directory.path.join("key").display()));
        }
        if self.options.tls {
            arguments.push("--tlsMode=requireTLS".to_owned());
            arguments.push("--tlsAllowConnectionsWithoutCertificates".to_owned());
            arguments.push(format!("--tlsCertificateKeyFile={}", self.file("server.pem").display()));
            arguments.push(format!("--tlsCAFile={}", self.certificates().display()));
        }
        arguments.extend(self.options.arguments.iter().cloned());
        let log = self.directory.path.join(format!("log{member}"));
        self.members[member].process = Some(Process::start(&mongod(), &arguments, &log));
    }

    /// Waits until a member takes connections; false if its port is in use.
    fn is_up(&self, member: usize) -> bool {
        let process = self.members[member].process.as_ref().unwrap();
        let began = Instant::now();
        loop {
            // Before the log: what a dead one wrote is then all there.
            let alive = process.is_alive();
            let log = self.log(member);
            // Its own word: on the port, some other server could answer.
            if log.contains("\"id\":23016,") {
                break;
            }
            if !alive && log.contains("Address already in use") {
                return false;
            }
            assert!(alive && began.elapsed() < PATIENCE, "mongod does not start:\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
        let client = self.direct(member, false);
        let ping = async move { client.await.database("admin").run_command(doc! { "ping": 1 }).await };
        blocking(ping).unwrap_or_else(|error| panic!("{error}:\n{}", self.log(member)));
        true
    }

    /// Makes the replica set and the first user.
    fn prepare(&self) {
        if self.options.members > 0 {
            let members: Vec<Document> = (self.members.iter().enumerate())
                .map(|(id, member)| doc! { "_id": id as i32, "host": format!("127.0.0.1:{}", member.port) })
                .collect();
            // A test of a failover does not want to wait for 10 seconds.
            let settings = doc! { "electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500 };
            let config = doc! { "_id": "rs0", "members": members, "settings": settings };
            let client = self.direct(0, false);
            let made = async move {
                client.await.database("admin").run_command(doc! { "replSetInitiate": config }).await
            };
            blocking(made).unwrap();
            self.wait_for(|states| states.iter().all(|state| state != "other"));
        }
        if self.options.auth {
            // The first connections of this host may make the first user.
            let client = self.direct(self.primary(), false);
            let user = doc! { "createUser": ROOT, "pwd": ROOT_PASSWORD, "roles": ["root"],
            "writeConcern": { "w": "majority" } };
            blocking(async move { client.await.database("admin").run_command(user).await }).unwrap();
        }
    }

    /// Waits until the states of all members (`primary`, `secondary`, `down` or `other`) fit and one is primary.
    fn wait_for(&self, fits: impl Fn(&[String]) -> bool) -> usize {
        let began = Instant::now();
        loop {
            let states: Vec<String> = (0..self.members.len()).map(|member| self.state(member)).collect();
            let primary = states.iter().position(|state| state == "primary");
            if let Some(primary) = primary.filter(|_| fits(&states)) {
                return primary;
            }
            assert!(began.elapsed() < PATIENCE, "the replica set is not ready: {states:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn state(&self, member: usize) -> String {
        if self.members[member].process.is_none() {
            return "down".to_owned();
        }
        let client = self.direct(member, false);
        let hello = async move { client.await.database("admin").run_command(doc! { "hello": 1 }).await };
        let hello = blocking(hello).unwrap_or_default();
        let is = |field: &str| hello.get_bool(field).unwrap_or_default();
        let state = [("isWritablePrimary", "primary"), ("secondary", "secondary")];
        state.into_iter().find(|(field, _)| is(field)).map_or("other", |(_, state)| state).to_owned()
    }

    /// A client of one member alone; in the runtime of the caller.
    fn direct(&self, member: usize, as_root: bool) -> impl Future<Output = Client> + use<> {
        let user = if as_root { Some((ROOT, ROOT_PASSWORD, "admin")) } else { None };
        let url = self.make_url(&[self.members[member].port], user, "directConnection=true");
        async move {
            let mut options = ClientOptions::parse(url).await.unwrap();
            options.server_selection_timeout = Some(Duration::from_secs(10));
            Client::with_options(options).unwrap()
        }
    }

    fn make_url(&self, ports: &[u16], user: Option<(&str, &str, &str)>, more: &str) -> String {
        let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let mut parameters: Vec<String> = vec![];
        parameters.extend((!more.is_empty()).then(|| more.to_owned()));
        parameters.extend(user.map(|(.., database)| format!("authSource={}", encode(database))));
        let authority = encode(&self.certificates().display().to_string());
        parameters.extend(self.options.tls.then(|| format!("tls=true&tlsCAFile={authority}")));
        let who = user.map(|(name, password, _)| format!("{}:{}@", encode(name), encode(password)));
        format!("mongodb://{}{}/?{}", who.unwrap_or_default(), hosts.join(","), parameters.join("&"))
    }

    /// The URL of the server or the whole set, as [`ROOT`] if there are users.
    pub fn url(&self) -> String {
        self.url_of(self.options.auth.then_some((ROOT, ROOT_PASSWORD, "admin")))
    }

    /// The URL of a user of this database.
    pub fn url_as(&self, name: &str, password: &str, database: &str) -> String {
        self.url_of(Some((name, password, database)))
    }

    /// The URL without a user.
    pub fn url_anonymous(&self) -> String {
        self.url_of(None)
    }

    fn url_of(&self, user: Option<(&str, &str, &str)>) -> String {
        let set = if self.options.members > 0 { "replicaSet=rs0" } else { "" };
        let ports: Vec<u16> = self.members.iter().map(|member| member.port).collect();
        self.make_url(&ports, user, set)
    }

    /// The port of a member; a standalone server is member 0.
    pub fn port(&self, member: usize) -> u16 {
        self.members[member].port
    }

    /// The process id of a member that runs.
    pub fn pid(&self, member: usize) -> u32 {
        self.members[member].process.as_ref().expect("the member is down").pid
    }

    /// What a member wrote since it was started the last time.
    pub fn log(&self, member: usize) -> String {
        std::fs::read_to_string(self.directory.path.join(format!("log{member}"))).unwrap_or_default()
    }

    /// The certificate of the authority, of a server with TLS.
    pub fn certificates(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// A certificate with its key of the server's authority, for a client of this name; of a server with TLS.
    pub fn client_certificate(&self, name: &str) -> PathBuf {
        let key = rcgen::KeyPair::from_pem(&std::fs::read_to_string(self.file("ca.key")).unwrap()).unwrap();
        let issuer = rcgen::Issuer::new(authority(), key);
        let key = rcgen::KeyPair::generate().unwrap();
        let mut client = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        client.distinguished_name = rcgen::DistinguishedName::new();
        client.distinguished_name.push(rcgen::DnType::CommonName, name);
        client.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let pem = client.signed_by(&key, &issuer).unwrap().pem() + &key.serialize_pem();
        let path = self.file("client.pem");
        std::fs::write(&path, pem).unwrap();
        path
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path.join(name)
    }

    /// The driver's client for [`url`](Self::url). It lives in the runtime of the caller.
    pub async fn client(&self) -> Client {
        Client::with_uri_str(self.url()).await.unwrap()
    }

    /// The driver's client for one member alone.
    pub async fn client_of(&self, member: usize) -> Client {
        self.direct(member, self.options.auth).await
    }

    /// Runs a command; it must succeed.
    pub async fn command(&self, database: &str, command: Document) -> Document {
        let client = self.client().await;
        let shown = command.to_string();
        let ran = client.database(database).run_command(command).await;
        ran.unwrap_or_else(|error| panic!("{shown}: {error}"))
    }

    /// Makes a user of a database. Roles are names, or documents `{ role, db }`; privileges are documents
    /// `{ resource, actions }` and go into a role named like the user.
    pub async fn create_user(
        &self,
        database: &str,
        name: &str,
        password: &str,
        roles: Vec<Bson>,
        privileges: Vec<Document>,
    ) {
        let majority = doc! { "w": "majority" };
        let mut roles = roles;
        if !privileges.is_empty() {
            let role = doc! { "createRole": name, "privileges": privileges, "roles": [], "writeConcern": majority.clone() };
            self.command(database, role).await;
            roles.push(doc! { "role": name, "db": database }.into());
        }
        let user = doc! { "createUser": name, "pwd": password, "roles": roles, "writeConcern": majority };
        self.command(database, user).await;
    }

    /// The member that is primary, once there is one; 0 of a standalone server.
    pub fn primary(&self) -> usize {
        if self.options.members == 0 { 0 } else { self.wait_for(|_| true) }
    }

    /// Kills the primary with SIGKILL; returns which member it was.
    pub fn kill_primary(&mut self) -> usize {
        let primary = self.primary();
        self.kill(primary);
        primary
    }

    /// Ends a member with SIGKILL; its data stays.
    pub fn kill(&mut self, member: usize) {
        self.members[member].process.take().expect("the member is down").end("kill");
    }

    /// Ends a member with SIGTERM; its data stays.
    pub fn stop(&mut self, member: usize) {
        self.members[member].process.take().expect("the member is down").end("stop");
    }

    /// Starts a member that was killed or stopped, on its port and its data.
    pub fn restart(&mut self, member: usize) {
        let began = Instant::now();
        loop {
            assert!(self.members[member].process.is_none(), "the member runs");
            self.spawn(member);
            if self.is_up(member) {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "the port stays in use:\n{}", self.log(member));
            self.kill(member);
            std::thread::sleep(Duration::from_millis(50));
        }
        if self.options.members > 0 {
            self.wait_for(|states| states[member] == "primary" || states[member] == "secondary");
        }
    }
}

/// A port below those that the kernel gives to clients.
pub fn free_port() -> u16 {
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    std::iter::repeat_with(|| fastrand::u16(20000..32000)).take(1000).find(free).expect("a free port")
}

/// Runs a future to its end in a runtime of its own, also below another runtime.
fn blocking<T: Send>(future: impl Future<Output = T> + Send) -> T {
    let run = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}
