//! An HTTP server that answers by a script: faults that a real S3 server does not produce on demand.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// How one request is answered.
#[derive(Clone)]
pub enum Answer {
    /// Status, headers (each with its line end), body.
    Whole(u16, String, String),
    /// Promises so many bytes, sends these, and closes.
    Short(u64, String, String),
    /// Promises so many bytes, sends these, and stays silent.
    Stalled(u64, String, String),
    /// Promises so many bytes and sends one now and then.
    Dripping(u64, String, Duration),
    /// Reads the request, and closes without an answer.
    Lost,
    /// Reads the head of the request and nothing more, and stays silent.
    Deaf,
}

pub fn xml(status: u16, code: &str, headers: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>text of the\n server</Message></Error>"
    );
    Answer::Whole(status, headers.to_owned(), body)
}

pub fn ok(headers: &str, body: &str) -> Answer {
    Answer::Whole(200, headers.to_owned(), body.to_owned())
}

/// The server; ends when dropped.
pub struct Scripted {
    pub endpoint: String,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scripted {
    /// Answers requests one after the other from the script; the last answer repeats.
    pub async fn start(script: Vec<Answer>) -> Scripted {
        Scripted::start_with(script, None).await
    }

    /// The same over TLS.
    pub async fn start_with(script: Vec<Answer>, tls: Option<TlsAcceptor>) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let script = Arc::new(Mutex::new(VecDeque::from(script)));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let task = tokio::spawn({
            let requests = requests.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (requests, script, tls) = (requests.clone(), script.clone(), tls.clone());
                    tokio::spawn(async move {
                        match tls {
                            None => serve(stream, requests, script).await,
                            Some(tls) => {
                                if let Ok(stream) = tls.accept(stream).await {
                                    serve(stream, requests, script).await;
                                }
                            }
                        }
                    });
                }
            }
        });
        Scripted { endpoint: format!("{scheme}://localhost:{port}"), requests, task }
    }

    /// The heads of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }

    /// Method and path of all requests so far.
    pub fn lines(&self) -> Vec<String> {
        let heads = self.requests();
        heads.iter().map(|head| head.lines().next().unwrap_or_default().replace(" HTTP/1.1", "")).collect()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    requests: Arc<Mutex<Vec<String>>>,
    script: Arc<Mutex<VecDeque<Answer>>>,
) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
            // The hello of TLS, which a plain server does not understand.
            if head == [0x16] {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
                return;
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let length = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(0, |(_, value)| value.parse().expect("a length"));
        requests.lock().expect("no panic").push(head);
        let answer = {
            let mut script = script.lock().expect("no panic");
            if script.len() > 1 { script.pop_front() } else { script.front().cloned() }
        };
        let answer = answer.expect("a script has at least one answer");
        if !matches!(answer, Answer::Deaf) {
            let mut body = vec![0; length];
            if stream.read_exact(&mut body).await.is_err() {
                return;
            }
        }
        if !send(&mut stream, answer).await {
            return;
        }
    }
}

/// False when the connection must close.
async fn send(stream: &mut (impl AsyncWrite + Unpin), answer: Answer) -> bool {
    let head = |status: u16, headers: &str, length: u64| {
        format!("HTTP/1.1 {status} Text\r\nContent-Length: {length}\r\n{headers}\r\n")
    };
    match answer {
        Answer::Whole(status, headers, body) => {
            let text = head(status, &headers, body.len() as u64) + &body;
            stream.write_all(text.as_bytes()).await.is_ok()
        }
        Answer::Short(length, headers, body) => {
            let _ = stream.write_all((head(200, &headers, length) + &body).as_bytes()).await;
            let _ = stream.shutdown().await;
            false
        }
        Answer::Stalled(length, headers, body) => {
            let _ = stream.write_all((head(200, &headers, length) + &body).as_bytes()).await;
            std::future::pending().await
        }
        Answer::Dripping(length, headers, pause) => {
            let _ = stream.write_all(head(200, &headers, length).as_bytes()).await;
            while stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(pause).await;
            }
            false
        }
        Answer::Lost => false,
        Answer::Deaf => std::future::pending().await,
    }
}
