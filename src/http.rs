//! Small requests over HTTP/1.1, with TLS by rustls, and the trust that all clients of this program share.
//!
//! The client is the one below the S3 client (hyper, rustls with ring, proxies of the usual variables): one
//! HTTP stack, one TLS stack, nothing new to audit. What it leaves out is wanted here: no redirects, no
//! retries, no cookies.

use std::path::Path;
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use http_body::Body as _;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::error::{Error, Explain, Kind, Result};

/// As much of an answer is read, for messages.
const MOST_OF_ANSWER: usize = 4096;

/// A client for small requests.
#[derive(Debug)]
pub struct Http {
    connector: Connector,
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The beginning of the body, as text.
    pub text: String,
}

impl Answer {
    /// True for a status of 200 to 299. Redirects are not followed, and no success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Http {
    /// A client that trusts the system's certificates and those of the file.
    ///
    /// # Errors
    /// [`Kind::Config`] when the file cannot be read.
    pub fn new(ca_file: Option<&Path>) -> Result<Http> {
        let connector = Connector::builder()
            .proxy_config(ProxyConfig::from_env())
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(tls(ca_file)?)
            .build();
        Ok(Http { connector })
    }

    /// Sends a body, and gives what was answered. All of it takes no longer than `limit`.
    ///
    /// # Errors
    /// [`Kind::Failed`] when there was no whole answer in time. The message has neither the URL, which may be a
    /// secret, nor headers.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, &str)],
        body: String,
        limit: Duration,
    ) -> Result<Answer> {
        let request = http::Request::post(parsed(url)?);
        within(limit, self.exchange(request, headers, body)).await
    }

    /// Asks for a page, and gives what was answered. All of it takes no longer than `limit`.
    ///
    /// # Errors
    /// Those of [`Http::post`].
    pub async fn get(&self, url: &str, headers: &[(&'static str, &str)], limit: Duration) -> Result<Answer> {
        let request = http::Request::get(parsed(url)?);
        within(limit, self.exchange(request, headers, String::new())).await
    }

    /// Asks a server for the head of its first page, whatever the URL's path, and gives the status. Nothing of the
    /// URL but scheme, host and port is sent.
    ///
    /// # Errors
    /// Those of [`Http::post`].
    pub async fn knock(&self, url: &str, limit: Duration) -> Result<u16> {
        let mut parts = parsed(url)?.into_parts();
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
        let uri = http::Uri::from_parts(parts).map_err(|_| not_a_url())?;
        let answer = within(limit, self.exchange(http::Request::head(uri), &[], String::new())).await?;
        Ok(answer.status)
    }

    async fn exchange(
        &self,
        mut request: http::request::Builder,
        headers: &[(&'static str, &str)],
        body: String,
    ) -> Result<Answer> {
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(SdkBody::from(body))
            .map_err(|_| Error::new(Kind::Config, "a header has letters that it may not have"))?;
        let request = HttpRequest::try_from(request)
            .explain(Kind::Config, || "the request cannot be made".to_owned())?;
        let response = self.connector.call(request).await;
        let response = response.explain(Kind::Failed, || "no connection, or no answer".to_owned())?;
        let status = response.status().as_u16();
        let text = beginning(response.into_body()).await?;
        Ok(Answer { status, text })
    }
}

/// The causes would quote the URL.
fn not_a_url() -> Error {
    Error::new(Kind::Config, "this is not a URL")
}

fn parsed(url: &str) -> Result<http::Uri> {
    url.parse().map_err(|_| not_a_url())
}

/// Does something within a time.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    let late = || Error::new(Kind::Failed, format!("no answer within {}", humantime::format_duration(limit)));
    tokio::time::timeout(limit, work).await.map_err(|_| late())?
}

/// The first bytes of a body. What is not text is shown as a replacement character.
async fn beginning(body: SdkBody) -> Result<String> {
    let mut body = std::pin::pin!(body);
    let mut bytes = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.explain(Kind::Failed, || "the answer was cut".to_owned())?;
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() >= MOST_OF_ANSWER {
            bytes.truncate(MOST_OF_ANSWER);
            break;
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// TLS that trusts the system's certificates and those of the file.
///
/// # Errors
/// [`Kind::Config`] when the file cannot be read.
pub fn tls(ca_file: Option<&Path>) -> Result<TlsContext> {
    let mut trust = TrustStore::empty().with_native_roots(true);
    if let Some(path) = ca_file {
        trust = trust.with_pem_certificate(read_certificates(path)?);
    }
    TlsContext::builder()
        .with_trust_store(trust)
        .build()
        .explain(Kind::Config, || "the TLS settings do not work".to_owned())
}

/// Reads a PEM file and checks what the SDK would panic on.
///
/// # Errors
/// [`Kind::Config`] when the file cannot be read, or holds no certificate that can be.
pub fn read_certificates(path: &Path) -> Result<Vec<u8>> {
    let name = path.display();
    let hint = "give ca_file the PEM file of the authority that signed the server's certificate";
    let text = std::fs::read(path)
        .explain(Kind::Config, || format!("cannot read the certificates in {name}"))
        .map_err(|error| error.hint(hint))?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        certificate
            .map_err(|cause| cause.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|cause| cause.to_string()))
            .explain(Kind::Config, || format!("{name} holds a certificate that cannot be read"))
            .map_err(|error| error.hint(hint))?;
    }
    if roots.is_empty() {
        return Err(Error::new(Kind::Config, format!("{name} holds no certificate")).hint(hint));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused_before_the_first_request() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "not a certificate").unwrap();
        let error = read_certificates(file.path()).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.message().ends_with("holds no certificate"), "{error}");
        let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(file.path(), bad).unwrap();
        let error = read_certificates(file.path()).unwrap_err();
        assert!(error.message().ends_with("holds a certificate that cannot be read"), "{error}");
    }
}
