//! A mail server that keeps what it is sent, with its own ways of refusing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The only user, the password, and both as AUTH PLAIN has them, in base64.
pub const USER: &str = "me";
pub const PASSWORD: &str = "s3cret-pass";
const PLAIN: &str = "AG1lAHMzY3JldC1wYXNz";

/// What a server does.
#[derive(Clone)]
pub enum Way {
    /// Never encrypts.
    Plain,
    /// Offers STARTTLS, and a login only after it.
    StartTls(Arc<ServerConfig>),
    /// Encrypts from the first byte.
    Whole(Arc<ServerConfig>),
    /// Takes connections and says nothing.
    Silent,
}

/// A server. Recipients that begin with `gone` are refused.
pub struct MailServer {
    pub port: u16,
    mails: Arc<Mutex<Vec<String>>>,
    commands: Arc<Mutex<Vec<String>>>,
}

/// TLS with the certificate that [`certify`](super::certificates::certify) wrote.
pub fn tls(directory: &Path) -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(directory.join("server.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(directory.join("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap())
}

impl MailServer {
    pub fn start(way: Way) -> MailServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = MailServer { port, mails: Arc::default(), commands: Arc::default() };
        let (mails, commands) = (server.mails.clone(), server.commands.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (way, mails, commands) = (way.clone(), mails.clone(), commands.clone());
                std::thread::spawn(move || Session { mails, commands, encrypted: false }.begin(stream, way));
            }
        });
        server
    }

    /// Head and text of each mail, as it came.
    pub fn mails(&self) -> Vec<String> {
        self.mails.lock().unwrap().clone()
    }

    /// All commands so far; `*` before those that came encrypted.
    pub fn commands(&self) -> Vec<String> {
        self.commands.lock().unwrap().clone()
    }
}

struct Session {
    mails: Arc<Mutex<Vec<String>>>,
    commands: Arc<Mutex<Vec<String>>>,
    encrypted: bool,
}

impl Session {
    fn begin(mut self, mut stream: TcpStream, way: Way) {
        let encrypt =
            |config| StreamOwned::new(ServerConnection::new(config).unwrap(), stream.try_clone().unwrap());
        match way {
            Way::Silent => {
                let _ = stream.read(&mut [0; 64]);
            }
            Way::Plain => {
                self.talk(&mut stream, true, false);
            }
            Way::Whole(config) => {
                self.encrypted = true;
                self.talk(&mut encrypt(config), true, false);
            }
            Way::StartTls(config) => {
                let mut secret = encrypt(config);
                if self.talk(&mut stream, true, true) {
                    self.encrypted = true;
                    self.talk(&mut secret, false, false);
                }
            }
        }
    }

    /// True when the client wants TLS now.
    fn talk(&self, stream: &mut (impl Read + Write), greet: bool, offer: bool) -> bool {
        let mut stream = BufReader::new(stream);
        if greet {
            answer(&mut stream, "220 sink");
        }
        let mut line = String::new();
        while {
            line.clear();
            stream.read_line(&mut line)
        }
        .is_ok_and(|read| read > 0)
        {
            let command = line.trim_end().to_owned();
            let mark = if self.encrypted { "*" } else { "" };
            self.commands.lock().unwrap().push(format!("{mark}{command}"));
            let said = match command.split(' ').next().unwrap_or_default() {
                "EHLO" if offer => "250-sink\r\n250 STARTTLS",
                "EHLO" => "250-sink\r\n250 AUTH PLAIN LOGIN",
                "STARTTLS" if offer => {
                    answer(&mut stream, "220 go on");
                    return true;
                }
                // Some servers quote what they do not understand.
                "AUTH" if !command.ends_with(&format!(" {PLAIN}")) => {
                    answer(&mut stream, &format!("535 {command}"));
                    continue;
                }
                "AUTH" => "235 welcome",
                "RCPT" if command.contains("<gone") => "550 5.1.1 no such user here",
                "DATA" => {
                    answer(&mut stream, "354 go on");
                    let mut mail = String::new();
                    while !mail.ends_with("\r\n.\r\n")
                        && stream.read_line(&mut mail).is_ok_and(|read| read > 0)
                    {}
                    self.mails.lock().unwrap().push(mail);
                    "250 taken"
                }
                "QUIT" => {
                    answer(&mut stream, "221 bye");
                    return false;
                }
                _ => "250 fine",
            };
            answer(&mut stream, said);
        }
        false
    }
}

fn answer(stream: &mut BufReader<&mut (impl Read + Write)>, text: &str) {
    let stream = stream.get_mut();
    let _ = stream.write_all(format!("{text}\r\n").as_bytes()).and_then(|()| stream.flush());
}
