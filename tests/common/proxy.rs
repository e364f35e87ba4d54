//! A proxy before an HTTP server that can be dead, or busy for a while.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// What the proxy does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Hands everything on.
    Pass,
    /// Cuts every connection.
    Dead,
    /// Answers 503 to so many requests, each on a connection of its own, and then hands everything on.
    Busy(u32),
}

struct Shared {
    mode: Mutex<Mode>,
    refused: AtomicU32,
    open: Mutex<Vec<TcpStream>>,
    server: String,
}

/// The proxy; its threads end with the process.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// One before `http://HOST:PORT`.
    pub fn start(endpoint: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            mode: Mutex::new(Mode::Pass),
            refused: AtomicU32::new(0),
            open: Mutex::default(),
            server: endpoint.trim_start_matches("http://").to_owned(),
        });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = serving.clone();
                std::thread::spawn(move || shared.serve(client));
            }
        });
        Proxy { port, shared }
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Changes the mode and cuts all connections.
    pub fn set(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How many requests were answered by 503.
    pub fn refused(&self) -> u32 {
        self.shared.refused.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn serve(&self, mut client: TcpStream) {
        let busy = {
            let mut mode = self.mode.lock().unwrap();
            match *mode {
                Mode::Dead => return,
                Mode::Busy(0) | Mode::Pass => false,
                Mode::Busy(left) => {
                    *mode = Mode::Busy(left - 1);
                    true
                }
            }
        };
        if busy {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return refuse(&mut client);
        }
        let Ok(mut server) = TcpStream::connect(&self.server) else { return };
        let (Ok(mut client_out), Ok(mut server_out)) = (client.try_clone(), server.try_clone()) else {
            return;
        };
        {
            let mut open = self.open.lock().unwrap();
            open.extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
        }
        let back = std::thread::spawn(move || {
            let _ = std::io::copy(&mut server, &mut client_out);
            let _ = client_out.shutdown(Shutdown::Both);
        });
        let _ = std::io::copy(&mut client, &mut server_out);
        let _ = server_out.shutdown(Shutdown::Both);
        let _ = back.join();
    }
}

/// Reads a whole request and answers that the server is busy.
fn refuse(client: &mut TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match client.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
    let mut rest = vec![0; length.unwrap_or(0)];
    if client.read_exact(&mut rest).is_err() {
        return;
    }
    let body = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
    let _ = write!(
        client,
        "HTTP/1.1 503 Slow Down\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
}
