//! A real push gateway for the tests, and a server that keeps what it is sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The user of a gateway that asks for one, the password, and its hash (bcrypt).
pub const LOGIN: (&str, &str) = ("admin", "test");
const HASH: &str = "$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay";

/// The shell ends the gateway, and removes its files, when the pipe to this process closes.
const SHELL: &str = r#"
directory=$1; shift
"$@" >"$directory/log" 2>&1 </dev/null &
cat >/dev/null
kill $!; wait $!
rm -rf "$directory"
"#;

/// A push gateway; gone with this value or this process.
pub struct Gateway {
    pub port: u16,
    shell: Child,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

fn binary() -> PathBuf {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let name = "prometheus-pushgateway";
    std::env::var_os("LIFEBOAT_TEST_PUSHGATEWAY")
        .map(PathBuf::from)
        .into_iter()
        .chain(std::env::split_paths(&on_path).map(|directory| directory.join(name)))
        .chain([PathBuf::from("/var/cache/lifeboat/pushgateway").join(name)])
        .find(|path| path.is_file())
        .expect("no push gateway: run scripts/services get pushgateway, or set LIFEBOAT_TEST_PUSHGATEWAY")
}

impl Gateway {
    /// Starts one that takes everything.
    pub fn start() -> Gateway {
        Gateway::with("")
    }

    /// Starts one that wants [`LOGIN`].
    pub fn with_login() -> Gateway {
        Gateway::with(&format!("basic_auth_users:\n  {}: {HASH}\n", LOGIN.0))
    }

    fn with(web_config: &str) -> Gateway {
        let directory = tempfile::tempdir().unwrap().keep();
        std::fs::write(directory.join("web.yml"), web_config).unwrap();
        let port = free_port();
        let mut command = Command::new("sh");
        command.args(["-c", SHELL, "sh"]).arg(&directory).arg(binary());
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command.arg(format!("--web.config.file={}", directory.join("web.yml").display()));
        let shell = command.stdin(Stdio::piped()).spawn().unwrap();
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || std::fs::read_to_string(directory.join("log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(30), "the push gateway did not start: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Gateway { port, shell }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The lines of `lifeboat_` metrics that it has now, and of its own about pushes.
    pub fn metrics(&self) -> Vec<String> {
        self.get("")
    }

    /// The same, asked for with [`LOGIN`] in base64.
    pub fn metrics_with_login(&self) -> Vec<String> {
        self.get("Authorization: Basic YWRtaW46dGVzdA==\r\n")
    }

    fn get(&self, headers: &str) -> Vec<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "GET /metrics HTTP/1.0\r\n{headers}\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.0 200"), "{text}");
        let ours = |line: &&str| line.starts_with("lifeboat_") || line.starts_with("push_");
        text.lines().filter(ours).map(str::to_owned).collect()
    }
}

/// A port that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What a [`Listener`] does with each request.
#[derive(Clone, Copy)]
pub enum Manner {
    /// Answers with this status.
    Answers(u16),
    /// Reads the request and says nothing.
    Silent,
}

/// A server that keeps the first line and the body of each request.
pub struct Listener {
    pub port: u16,
    heard: Arc<Mutex<Vec<(String, String)>>>,
}

impl Listener {
    pub fn start(manner: Manner) -> Listener {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let keep = heard.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let keep = keep.clone();
                std::thread::spawn(move || {
                    while let Some(request) = read_request(&stream) {
                        keep.lock().unwrap().push(request);
                        match manner {
                            Manner::Answers(status) => {
                                let text = "the reason\nmore";
                                let length = text.len();
                                let head =
                                    format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{text}");
                                if (&stream).write_all(head.as_bytes()).is_err() {
                                    return;
                                }
                            }
                            Manner::Silent => {
                                // Until the client has gone.
                                let _ = (&stream).read(&mut [0; 1]);
                                return;
                            }
                        }
                    }
                });
            }
        });
        Listener { port, heard }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// First lines and bodies so far.
    pub fn heard(&self) -> Vec<(String, String)> {
        self.heard.lock().unwrap().clone()
    }
}

fn read_request(stream: &TcpStream) -> Option<(String, String)> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if first.is_empty() {
            first = line.to_owned();
        } else if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first, String::from_utf8(body).unwrap()))
}
