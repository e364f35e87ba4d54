//! The first bytes of a connection: both sides agree on a version.
//!
//! The client sends four proposals of four bytes each: reserved, how many minor versions below, minor, major. The
//! server answers with one version, or zeros. Source: Bolt protocol documentation, "Handshake"
//! (neo4j.com/docs/bolt/current/bolt/handshake).

use std::fmt;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// `60 60 B0 17`, then 5.8 down to 5.0, and what is offered only to know how old a server is: 4.4 down to 4.0,
/// 4.1 for servers that know no ranges, and 3.
const PROPOSALS: [u8; 20] = [
    0x60, 0x60, 0xB0, 0x17, //
    0x00, 0x08, 0x08, 0x05, //
    0x00, 0x04, 0x04, 0x04, //
    0x00, 0x00, 0x01, 0x04, //
    0x00, 0x00, 0x00, 0x03,
];

/// The newest minor version that is proposed.
const NEWEST: u8 = 8;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 5.
    pub major: u8,
    /// 0 to 8.
    pub minor: u8,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Why there is no version.
#[derive(Debug)]
pub(super) enum Refused {
    /// A Bolt server that is too old: what it speaks.
    Old(String),
    /// Something else: what it did, and what to do.
    Other(String, &'static str),
    /// The connection broke.
    Io(std::io::Error),
}

/// Sends the proposals and reads the answer.
pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Result<Version, Refused> {
    stream.write_all(&PROPOSALS).await.map_err(Refused::Io)?;
    stream.flush().await.map_err(Refused::Io)?;
    let (mut answer, mut read) = ([0; 4], 0);
    while read < answer.len() {
        match stream.read(&mut answer[read..]).await {
            Ok(0) => return Err(closed()),
            Ok(more) => read += more,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Err(closed()),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Err(closed()),
            Err(error) => return Err(Refused::Io(error)),
        }
    }
    understand(answer)
}

fn closed() -> Refused {
    Refused::Other(
        "it closed the connection without an answer".into(),
        "if the server wants TLS, use bolt+s:// or neo4j+s://; if not, check the port",
    )
}

fn understand(answer: [u8; 4]) -> Result<Version, Refused> {
    match answer {
        [0, 0, minor, 5] if minor <= NEWEST => Ok(Version { major: 5, minor }),
        [0, 0, 0, 0] => Err(Refused::Old("speaks no Bolt version from 3 to 5.8".into())),
        [0, 0, minor, major @ 1..=4] => Err(Refused::Old(format!("speaks Bolt {major}.{minor}"))),
        [b'H', b'T', b'T', b'P'] => {
            Err(Refused::Other("it answered with HTTP".into(), "give the port of Bolt, 7687 by default"))
        }
        [0x15 | 0x16, 3, _, _] => {
            Err(Refused::Other("it answered with TLS".into(), "use bolt+s:// or neo4j+s://"))
        }
        other => {
            let bytes: Vec<String> = other.iter().map(|byte| format!("{byte:02x}")).collect();
            let what = format!("it answered with the bytes {}", bytes.join(" "));
            Err(Refused::Other(what, "check host and port"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_a_meaning() {
        assert_eq!(understand([0, 0, 8, 5]).unwrap().to_string(), "5.8");
        assert_eq!(understand([0, 0, 0, 5]).unwrap(), Version { major: 5, minor: 0 });
        assert!(matches!(understand([0, 0, 4, 4]), Err(Refused::Old(what)) if what == "speaks Bolt 4.4"));
        assert!(matches!(understand([0; 4]), Err(Refused::Old(_))));
        assert!(matches!(understand(*b"HTTP"), Err(Refused::Other(what, _)) if what.contains("HTTP")));
        assert!(matches!(understand([0x15, 3, 3, 0]), Err(Refused::Other(what, _)) if what.contains("TLS")));
        // A version that was not proposed is no version.
        assert!(matches!(understand([0, 0, 9, 5]), Err(Refused::Other(..))));
        assert!(matches!(understand(*b"SSH-"), Err(Refused::Other(what, _)) if what.contains("53 53 48 2d")));
    }
}
