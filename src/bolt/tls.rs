//! TLS for Bolt, by rustls.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};

use super::config::{Config, Encryption};
use crate::tls::Verifier;

/// What is wrong, and what to do.
pub(super) type Wrong = (String, &'static str);

const ROOTS: &str = "name a PEM file of the authority that signed the server's certificate";

/// The settings for a connection. Reads the certificates.
pub(super) fn client(config: &Config) -> Result<Arc<ClientConfig>, Wrong> {
    let provider = Arc::new(ring::default_provider());
    let verifier = verifier(config, Arc::clone(&provider))?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| (error.to_string(), "this is an error in the program"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(client))
}

/// The name that the certificate has to have.
pub(super) fn name(host: &str) -> Result<ServerName<'static>, Wrong> {
    ServerName::try_from(host.to_owned())
        .map_err(|_| (format!("{host:?} is no host name that a certificate can have"), "check the host name"))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    let wrong = |cause: &dyn std::fmt::Display| {
        (format!("cannot read the certificates in {}: {cause}", path.display()), ROOTS)
    };
    let all: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<_, _>>)
        .map_err(|cause| wrong(&cause))?;
    if all.is_empty() { Err(wrong(&"it holds none")) } else { Ok(all) }
}

/// Checks a server's certificate, or takes any.
fn verifier(config: &Config, provider: Arc<CryptoProvider>) -> Result<Verifier, Wrong> {
    if config.encryption == Encryption::Unverified {
        return Ok(Verifier { provider, chain: None, roots: Vec::new(), check_name: true });
    }
    let roots = config.roots.as_deref().map(certificates).transpose()?.unwrap_or_default();
    let system = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (usable, _) = store.add_parsable_certificates(roots.iter().cloned());
    if usable < roots.len() {
        return Err(("a certificate in the named file cannot be used".into(), ROOTS));
    }
    store.add_parsable_certificates(system.certs);
    if store.is_empty() {
        return Err(("this system trusts no certificates".into(), "install the package ca-certificates"));
    }
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider))
        .build()
        .map_err(|error| (error.to_string(), ROOTS))?;
    Ok(Verifier { provider, chain: Some(chain), roots, check_name: true })
}

/// What a failed TLS handshake means.
pub(super) fn describe(error: &std::io::Error) -> Wrong {
    use CertificateError as Certificate;
    const NO_TLS: &str = "if the server has no TLS, use bolt:// or neo4j://; if it has, check the port";
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return (format!("{error}"), NO_TLS);
    };
    match error {
        rustls::Error::InvalidCertificate(reason) => match reason {
            Certificate::Expired | Certificate::ExpiredContext { .. } => (
                "the server's certificate has expired".into(),
                "renew the server's certificate; check this machine's clock too",
            ),
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => (
                "the server's certificate is not valid yet".into(),
                "check this machine's clock and the certificate's dates",
            ),
            Certificate::UnknownIssuer | Certificate::BadSignature => {
                ("the server's certificate comes from an unknown issuer".into(), ROOTS)
            }
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => (
                format!("the server's certificate is not for this host: {reason}"),
                "use a host name that the certificate lists as subject alternative name",
            ),
            other => (
                format!("the server's certificate is not acceptable: {other}"),
                "give the server an X.509 version 3 certificate with a subject alternative name",
            ),
        },
        rustls::Error::InvalidMessage(_) => ("the server does not answer with TLS".into(), NO_TLS),
        rustls::Error::AlertReceived(alert) => (
            format!("the server refused the TLS handshake: {alert:?}"),
            "look into the server's log; client certificates are not supported",
        ),
        other => (other.to_string(), "check the server's TLS settings and log"),
    }
}

#[cfg(test)]
mod tests {
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::pki_types::UnixTime;

    use super::*;

    fn trusting(roots: &rcgen::Certificate) -> Verifier {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), roots.pem()).unwrap();
        let mut config = Config::new("localhost", 7687);
        config.encryption = Encryption::Verified;
        config.roots = Some(file.path().to_owned());
        verifier(&config, Arc::new(ring::default_provider())).unwrap()
    }

    fn authority() -> rcgen::Certificate {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap()
    }

    #[test]
    fn a_certificate_that_is_named_is_trusted_for_its_names_alone() {
        let (mine, other) = (authority(), authority());
        let verified = |trusted: &rcgen::Certificate, host: &str| {
            let name = name(host).unwrap();
            trusting(trusted).verify_server_cert(mine.der(), &[], &name, &[], UnixTime::now())
        };
        assert!(verified(&mine, "localhost").is_ok());
        let elsewhere = verified(&mine, "elsewhere").unwrap_err();
        let (what, _) = describe(&std::io::Error::other(elsewhere));
        assert!(what.contains("is not for this host"), "{what}");
        assert!(verified(&other, "localhost").is_err());
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (what, _) = certificates(file.path()).unwrap_err();
        assert!(what.ends_with("it holds none"), "{what}");
        assert!(certificates(Path::new("/nowhere/ca.pem")).unwrap_err().0.contains("/nowhere/ca.pem"));
    }
}
