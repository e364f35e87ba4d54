//! TLS for the driver, with the meaning that libpq gives to `sslmode` and its files.
//!
//! `require` checks nothing unless there is a root certificate; then it checks the chain, as
//! `verify-ca` does. `verify-full` also wants the host's name in the certificate. Source:
//! PostgreSQL documentation 32.19 "SSL Support", src/interfaces/libpq/fe-secure-openssl.c.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::resolve::{Mode, Roots, Tls};
use crate::error::{Error, Explain, Kind, Result};
use crate::tls::Verifier;

/// Makes the TLS connector for a connection. Reads the certificate files.
pub fn connector(tls: &Tls) -> Result<MakeRustlsConnect> {
    let provider = Arc::new(ring::default_provider());
    let versions: Vec<&'static rustls::SupportedProtocolVersion> =
        [(tls.tls12, &rustls::version::TLS12), (tls.tls13, &rustls::version::TLS13)]
            .into_iter()
            .filter_map(|(allowed, version)| allowed.then_some(version))
            .collect();
    let verifier = verifier(tls, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .explain(Kind::Config, || "no usable TLS version is left".into())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let key_der = PrivateKeyDer::from_pem_file(key).map_err(|cause| {
                Error::new(Kind::Config, format!("cannot read the client key {}", key.display()))
                    .because(cause)
                    .hint("give an unencrypted PEM key; openssl pkey decrypts one")
            })?;
            builder.with_client_auth_cert(chain, key_der).explain(Kind::Config, || {
                format!("the key {} does not fit {}", key.display(), certificate.display())
            })?
        }
    };
    config.enable_sni = tls.sni;
    // Required by servers from 17 on for direct TLS, ignored by others.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(MakeRustlsConnect::new(config))
}

/// The system's root certificates as PEM, for tools that do not know `sslrootcert=system`.
pub fn system_roots_pem() -> Result<String> {
    let mut pem = String::new();
    for certificate in system_roots()? {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in base64(certificate.as_ref()).as_bytes().chunks(64) {
            pem.extend(line.iter().map(|byte| *byte as char));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    Ok(pem)
}

fn system_roots() -> Result<Vec<CertificateDer<'static>>> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let mut error = Error::new(Kind::Config, "the system has no root certificates")
            .hint("install the package ca-certificates, or name a file by sslrootcert");
        if let Some(cause) = found.errors.into_iter().next() {
            error = error.because(cause);
        }
        return Err(error);
    }
    Ok(found.certs)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let what = || format!("cannot read the certificates in {}", path.display());
    let all: Vec<_> = CertificateDer::pem_file_iter(path)
        .explain(Kind::Config, what)?
        .collect::<std::result::Result<_, _>>()
        .explain(Kind::Config, what)?;
    if all.is_empty() {
        return Err(Error::new(Kind::Config, format!("{} holds no certificate", path.display()))
            .hint("give a file in PEM form"));
    }
    Ok(all)
}

/// Checks as far as the mode wants it.
fn verifier(tls: &Tls, provider: &Arc<CryptoProvider>) -> Result<Verifier> {
    let roots = match &tls.roots {
        Roots::None => Vec::new(),
        Roots::File(path) => certificates(path)?,
        Roots::System => system_roots()?,
    };
    let mut store = RootCertStore::empty();
    let (usable, _) = store.add_parsable_certificates(roots.iter().cloned());
    if !roots.is_empty() && usable == 0 {
        return Err(Error::new(Kind::Config, "no root certificate can be used")
            .hint("give X.509 version 3 certificates"));
    }
    let chain = if usable == 0 {
        None
    } else {
        let mut builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider));
        if let Some(path) = &tls.revoked {
            let what = || format!("cannot read the revocation lists in {}", path.display());
            let lists: Vec<_> = CertificateRevocationListDer::pem_file_iter(path)
                .explain(Kind::Config, what)?
                .collect::<std::result::Result<_, _>>()
                .explain(Kind::Config, what)?;
            builder = builder.with_crls(lists).enforce_revocation_expiration();
        }
        Some(builder.build().explain(Kind::Config, || "cannot use the root certificates".into())?)
    };
    let check_name = tls.mode == Mode::VerifyFull;
    Ok(Verifier { provider: Arc::clone(provider), chain, roots, check_name })
}

/// The names in a certificate, which rustls gives as `DnsName("db.internal")`, `IpAddress(10.0.0.1)`.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| match name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')) {
        Some(inner) => inner.trim_matches('"').to_owned(),
        None => name.clone(),
    };
    presented.iter().map(bare).collect::<Vec<_>>().join(", ")
}

/// Describes a TLS failure with its next step: what is wrong, and the hint.
pub fn describe(error: &rustls::Error) -> (String, &'static str) {
    use CertificateError as Certificate;
    const TRUST: &str = "name the authority that signed the server's certificate by sslrootcert=FILE";
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            Certificate::Expired | Certificate::ExpiredContext { .. } => (
                "the server's certificate has expired".into(),
                "renew the server's certificate; check this machine's clock too",
            ),
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => (
                "the server's certificate is not valid yet".into(),
                "check this machine's clock and the certificate's dates",
            ),
            Certificate::UnknownIssuer => {
                ("the server's certificate comes from an unknown issuer".into(), TRUST)
            }
            Certificate::BadSignature => {
                ("the server's certificate was not signed by a trusted root".into(), TRUST)
            }
            Certificate::NotValidForNameContext { expected, presented } => (
                format!(
                    "the server's certificate is for {}, not for {}",
                    if presented.is_empty() { "no name".into() } else { names(presented) },
                    expected.to_str()
                ),
                "use a host name that the certificate lists as subject alternative name, or sslmode=verify-ca",
            ),
            Certificate::NotValidForName => (
                "the server's certificate is not for this host name".into(),
                "use a host name that the certificate lists as subject alternative name, or sslmode=verify-ca",
            ),
            Certificate::Revoked => {
                ("the server's certificate was revoked".into(), "give the server a new certificate")
            }
            Certificate::UnknownRevocationStatus => (
                "no revocation list covers the server's certificate".into(),
                "put the list of its issuer into the file that sslcrl names",
            ),
            Certificate::ExpiredRevocationList | Certificate::ExpiredRevocationListContext { .. } => {
                ("the revocation list has expired".into(), "renew the file that sslcrl names")
            }
            other => (
                format!("the server's certificate is not acceptable: {other}"),
                "give the server an X.509 version 3 certificate with a subject alternative name",
            ),
        },
        rustls::Error::AlertReceived(alert) => (
            format!("the server refused the TLS handshake: {alert:?}"),
            "check the client certificate (sslcert, sslkey) and the server's log",
        ),
        rustls::Error::PeerIncompatible(reason) => (
            format!("the server offers no TLS that is good enough: {reason:?}"),
            "let the server offer TLS 1.2 or newer",
        ),
        other => (format!("the TLS handshake failed: {other}"), "check the server's TLS settings and log"),
    }
}

/// Base64 with padding (RFC 4648 section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            out.push(if digit > chunk.len() {
                '='
            } else {
                DIGITS[(word >> (18 - 6 * digit) & 63) as usize] as char
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_has_the_values_of_rfc_4648() {
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn a_missing_or_empty_root_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("root.crt");
        let error = certificates(&file).unwrap_err();
        assert!(error.message().contains("root.crt"), "{error:?}");
        std::fs::write(&file, "not a certificate").unwrap();
        assert!(certificates(&file).unwrap_err().message().ends_with("holds no certificate"));
    }
}
