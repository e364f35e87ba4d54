//! A TCP connection, with TLS or without.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::config::{Config, Encryption};
use super::error::{Error, Result};
use super::tls;

/// A silent peer is asked whether it is still there after so long, and so long apart.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// The bytes of a connection.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects, and agrees on TLS where that is wanted.
    pub(super) async fn open(config: &Config, place: &Arc<str>) -> Result<Stream> {
        let refused = |cause| Error::Connect { place: Arc::clone(place), cause };
        let wrong = |(what, hint)| Error::Tls { place: Arc::clone(place), what, hint };
        // What cannot work should fail before the server is asked.
        let secure = match config.encryption {
            Encryption::Off => None,
            _ => {
                let client = tls::client(config).map_err(wrong)?;
                Some((TlsConnector::from(client), tls::name(config.bare_host()).map_err(wrong)?))
            }
        };
        let tcp = TcpStream::connect((config.bare_host(), config.port)).await.map_err(refused)?;
        tcp.set_nodelay(true).map_err(refused)?;
        keepalive(&tcp).map_err(refused)?;
        match secure {
            None => Ok(Stream::Plain(tcp)),
            Some((connector, name)) => match connector.connect(name, tcp).await {
                Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
                Err(error) => Err(wrong(tls::describe(&error))),
            },
        }
    }
}

fn keepalive(tcp: &TcpStream) -> io::Result<()> {
    SockRef::from(tcp).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
        }
    }
}
