//! A proxy before a Neo4j server that does something when certain bytes pass: between two statements of a
//! transaction, in the middle of an answer, before a commit arrives.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::neo4j_process::Neo4j;

/// Begins the nodes, and then the relationships, of a graph that several connections read: once in each reading.
pub const READ_NODES: &str = "MATCH (n) RETURN max(id(n))";
/// See [`READ_NODES`].
pub const READ_RELATIONSHIPS: &str = "MATCH ()-[r]->() RETURN max(id(r))";
/// The line of a source that makes it so on every machine.
pub const SEVERAL_READERS: &str = "options.readers = 2";
/// A batch of a restore.
pub const WRITE_NODES: &str = "UNWIND $rows AS row CREATE (n";
/// See [`WRITE_NODES`].
pub const WRITE_RELATIONSHIPS: &str = "UNWIND $rows AS row MATCH (a)";

/// A request to commit: a chunk of two bytes, and no more (Bolt protocol, "Chunking" and "COMMIT").
const COMMIT: &[u8] = &[0, 2, 0xB0, 0x12, 0, 0];

/// What springs it.
#[derive(Clone, Copy)]
pub enum Wire {
    /// This text on its way to the server. It has not arrived when the act is done.
    Asked(&'static str),
    /// The commit of a transaction that had this text.
    Committed(&'static str),
    /// This text on its way from the server.
    Answered(&'static str),
}

/// The act, and how often it was done.
type Act = Arc<Mutex<(u32, Box<dyn FnMut(u32) + Send>)>>;

/// The proxy; its threads end with the process.
pub struct Tripwire {
    port: u16,
}

impl Tripwire {
    /// One before this server. The act is told how often the wire was touched, from 1; what touched it waits meanwhile.
    pub fn before(server: &Neo4j, wire: Wire, act: impl FnMut(u32) + Send + 'static) -> Tripwire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let act: Act = Arc::new(Mutex::new((0, Box::new(act))));
        let server = server.port();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                for (from, to, asks) in [(&client, &server, true), (&server, &client, false)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let act = act.clone();
                    std::thread::spawn(move || hand_on(from, to, asks, wire, &act));
                }
            }
        });
        Tripwire { port }
    }

    /// One that holds what touches it the first time, until it is told to go on.
    pub fn holding(server: &Neo4j, wire: Wire) -> (Tripwire, Held) {
        let ((touch, touched), (go, gone)) = (channel(), channel::<()>());
        let tripwire = Tripwire::before(server, wire, move |time| {
            if time == 1 {
                let _ = touch.send(());
                // Gone on with, or dropped.
                let _ = gone.recv();
            }
        });
        (tripwire, Held { touched, go })
    }

    /// Its URL, without a user.
    pub fn url(&self) -> String {
        format!("bolt://127.0.0.1:{}", self.port)
    }
}

/// What [`Tripwire::holding`] holds.
pub struct Held {
    touched: Receiver<()>,
    go: Sender<()>,
}

impl Held {
    /// Waits until it is touched; the patience is only for a test that fails.
    pub fn wait(&self) {
        self.touched.recv_timeout(Duration::from_secs(60)).expect("nothing touched the wire");
    }

    /// Lets it through.
    pub fn go_on(self) {
        let _ = self.go.send(());
    }
}

fn hand_on(mut from: TcpStream, mut to: TcpStream, asks: bool, wire: Wire, act: &Act) {
    let mut bytes = [0; 65536];
    let mut began = false;
    loop {
        let read = from.read(&mut bytes).unwrap_or(0);
        let has = |part: &[u8]| bytes[..read].windows(part.len()).any(|some| some == part);
        let touched = match wire {
            Wire::Asked(text) => asks && has(text.as_bytes()),
            Wire::Answered(text) => !asks && has(text.as_bytes()),
            Wire::Committed(text) => {
                began |= asks && has(text.as_bytes());
                began && has(COMMIT)
            }
        };
        if touched {
            let (times, act) = &mut *act.lock().unwrap();
            *times += 1;
            act(*times);
        }
        if read == 0 || to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
