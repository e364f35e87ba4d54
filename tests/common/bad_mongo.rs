//! What the tests of bad input for MongoDB share: sources, data, tools that are scripts, and a connection
//! that can fall silent.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat::stores::open::StoreSpec;
use mongodb::bson::{Bson, Document, doc};

use super::bad_input::{Case, Tools, wait_until};
use super::cli::Ran;
use super::mongo::{Mongod, tool};
use super::postgres::unique;

/// Runs the asynchronous helpers of the server.
pub fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// The directory of the vendor's tools.
pub fn real() -> PathBuf {
    tool("mongodump").parent().unwrap().to_owned()
}

/// The line that names the real tools.
pub fn real_tools() -> String {
    format!("tools = \"{}\"", real().display())
}

/// A source named `orders` at this URL, and what else its section has.
pub fn orders(url: &str, more: &str) -> String {
    format!("[sources.orders]\nengine = \"mongodb\"\nurl = '''{url}'''\n{more}\n")
}

/// The options that select one database.
pub fn only(database: &str) -> String {
    format!("options.databases = [\"{database}\"]")
}

/// Looks for a server for a second alone.
pub fn hasty(url: &str) -> String {
    let more = if url.ends_with('?') { "" } else { "&" };
    format!("{url}{more}serverSelectionTimeoutMS=1000")
}

/// A case with the real tools.
pub fn case(url: &str, more: &str) -> Case {
    prepared(Case::file(&orders(url, &format!("{}\n{more}", real_tools()))))
}

/// A case in which one of the tools is this script, in which `real` is the real one.
pub fn case_with(name: &str, script: &str, url: &str, more: &str) -> Case {
    with_tools(Tools::with(name, &real(), script), url, more)
}

/// A case with these tools, which live as long as it.
pub fn with_tools(tools: Tools, url: &str, more: &str) -> Case {
    let mut case = prepared(Case::file(&orders(url, &format!("{}\n{more}", tools.config()))));
    case.tools = Some(tools);
    case
}

/// The same with a store of S3.
pub fn on_s3(spec: StoreSpec, tools: &Tools, url: &str, more: &str) -> Case {
    prepared(Case::on(spec, &orders(url, &format!("{}\n{more}", tools.config()))))
}

/// Files of the tools are below the case's own directory: that tells its processes from those of others.
pub fn prepared(mut case: Case) -> Case {
    let temporary = case.world.path().join("temporary");
    std::fs::create_dir(&temporary).unwrap();
    case.environment.push(("TMPDIR".to_owned(), temporary.display().to_string()));
    case.environment.push(("PATH".to_owned(), "/usr/bin:/bin".to_owned()));
    case
}

/// A `mongodump` that gives so many bytes, calls `pause`, and goes on when told.
pub fn pausing(bytes: u64) -> Tools {
    Tools::with("mongodump", &real(), &pause_after(bytes))
}

/// The script of [`pausing`].
pub fn pause_after(bytes: u64) -> String {
    format!("\"$real\" \"$@\" | {{ head -c {bytes}; pause; cat; }}\nexit ${{PIPESTATUS[0]}}")
}

/// `backup orders`, which must fail with this code and leave nothing. Returns what it told.
pub fn fails(case: &Case, code: i32) -> String {
    let told = case.fails(code);
    assert_clean(case);
    told
}

/// Fails unless every process of the case has gone, and every file with a password too.
pub fn assert_clean(case: &Case) {
    let own = case.world.path().display().to_string();
    wait_until("the children are gone", || children(&own).is_empty());
    let left: Vec<_> = std::fs::read_dir(case.world.path().join("temporary")).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The commands of all processes with this text in them.
fn children(text: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let commands = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    commands
        .map(|command| String::from_utf8_lossy(&command).replace('\0', " "))
        .filter(|command| command.contains(text))
        .collect()
}

/// Runs to the end; the code has to be this one.
pub fn run(case: &Case, arguments: &[&str], code: i32) -> Ran {
    let ran = case.run(arguments);
    assert_eq!(ran.code, code, "{arguments:?}: {ran:#?}");
    ran
}

/// Documents of 10 kB that compress badly, in a new database of this server. Returns its name.
pub fn filled(server: &Mongod, documents: i32) -> String {
    let database = unique("db");
    fill(server, &database, "t", documents);
    database
}

/// The same into this collection.
pub fn fill(server: &Mongod, database: &str, collection: &str, documents: i32) {
    wait(async {
        let client = server.client().await;
        let collection = client.database(database).collection::<Document>(collection);
        let mut random = fastrand::Rng::with_seed(7);
        for start in (0..documents).step_by(200) {
            let some = start..documents.min(start + 200);
            let some = some.map(|id| {
                let text: String = std::iter::repeat_with(|| random.alphanumeric()).take(10_000).collect();
                doc! { "_id": id, "text": text }
            });
            collection.insert_many(some.collect::<Vec<_>>()).await.unwrap();
        }
    });
}

/// Documents of a collection.
pub fn count(server: &Mongod, database: &str, collection: &str) -> u64 {
    wait(async {
        let client = server.client().await;
        client.database(database).collection::<Document>(collection).count_documents(doc! {}).await.unwrap()
    })
}

/// The collections of a database.
pub fn collections(server: &Mongod, database: &str) -> Vec<String> {
    let mut names =
        wait(async { server.client().await.database(database).list_collection_names().await.unwrap() });
    names.sort();
    names
}

/// Runs a command; it must succeed.
pub fn command(server: &Mongod, database: &str, command: Document) -> Document {
    wait(server.command(database, command))
}

/// Actions on a resource.
pub fn grant(resource: Document, actions: &[&str]) -> Document {
    let actions: Vec<Bson> = actions.iter().map(|action| Bson::from(*action)).collect();
    doc! { "resource": resource, "actions": actions }
}

/// Lets everything through, until it falls silent: connections stay, and nothing comes any more.
pub struct Silence {
    /// Where it listens.
    pub address: String,
    silent: Arc<AtomicBool>,
    word: Arc<Mutex<String>>,
}

impl Silence {
    /// One before `HOST:PORT`, on this address.
    pub fn before(server: &str, on: &str) -> Silence {
        let listener = TcpListener::bind((on, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let silent = Arc::new(AtomicBool::new(false));
        let word = Arc::new(Mutex::new(String::new()));
        let (server, serving, until) = (server.to_owned(), silent.clone(), word.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&server) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (silent, word) = (serving.clone(), until.clone());
                    std::thread::spawn(move || hand_on(from, to, &silent, &word));
                }
            }
        });
        Silence { address, silent, word }
    }

    /// Falls silent as soon as these bytes are to pass.
    pub fn at(&self, word: &str) {
        *self.word.lock().unwrap() = word.to_owned();
    }

    /// Nothing passes from now on, or everything again.
    pub fn set(&self, silent: bool) {
        self.word.lock().unwrap().clear();
        self.silent.store(silent, Ordering::SeqCst);
    }
}

fn hand_on(mut from: TcpStream, mut to: TcpStream, silent: &AtomicBool, word: &Mutex<String>) {
    let mut bytes = [0; 65536];
    loop {
        let read = from.read(&mut bytes).unwrap_or(0);
        let word = word.lock().unwrap().clone();
        if !word.is_empty() && bytes[..read].windows(word.len()).any(|some| some == word.as_bytes()) {
            silent.store(true, Ordering::SeqCst);
        }
        while silent.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if read == 0 || to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// Replaces the script of a tool.
pub fn rewrite(directory: &Path, name: &str, script: &str) {
    std::fs::write(directory.join(name), format!("#!/bin/bash\n{script}\n")).unwrap();
}
