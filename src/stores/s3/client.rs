//! The client: credentials, region, TLS, time limits, retries.
//!
//! Credentials come the way of every AWS tool: environment, profile (with SSO and processes), web identity,
//! container and instance role. The SDK's own time limits would let a dead connection hang for ever, so each
//! is set here.

use std::path::Path;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, Connector, proxy::ProxyConfig};
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;

use crate::error::{Error, Kind, Result};
use crate::stores::open::{Checksums, Patience, StoreSpec};

/// How long an idle connection is kept: S3 closes its end after about 20 seconds.
const IDLE: Duration = Duration::from_secs(15);
/// The region in signatures when there is an endpoint and no region: what nearly all servers take.
const DEFAULT_REGION: &str = "us-east-1";

/// Builds the client; also gives the region it will use, for hints.
pub(super) async fn connect(spec: &StoreSpec) -> Result<(Client, String)> {
    let http = http_client(spec.ca_file.as_deref())?;
    let shared = load(spec, http).await?;
    let region = shared.region().map(ToString::to_string).unwrap_or_default();
    if region.is_empty() {
        return Err(Error::new(Kind::Config, format!("no region is set for {}", spec.url))
            .hint("set region in [store], AWS_REGION, or the profile"));
    }
    let checksums = spec.checksums == Checksums::WhenSupported;
    let config = aws_sdk_s3::config::Builder::from(&shared)
        .force_path_style(spec.path_style.unwrap_or(spec.endpoint.is_some()))
        .request_checksum_calculation(if checksums {
            RequestChecksumCalculation::WhenSupported
        } else {
            RequestChecksumCalculation::WhenRequired
        })
        .response_checksum_validation(if checksums {
            ResponseChecksumValidation::WhenSupported
        } else {
            ResponseChecksumValidation::WhenRequired
        })
        .build();
    Ok((Client::from_conf(config), region))
}

async fn load(spec: &StoreSpec, http: SharedHttpClient) -> Result<SdkConfig> {
    let patience = &spec.patience;
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .retry_config(retries(patience))
        .timeout_config(time_limits(patience, spec.part_bytes))
        .stalled_stream_protection(
            // Downloads have a stricter guard of our own, see `body`.
            StalledStreamProtectionConfig::enabled()
                .upload_enabled(true)
                .download_enabled(false)
                .grace_period(patience.stall)
                .build(),
        );
    if let Some(profile) = &spec.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(endpoint) = &spec.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(given) = &spec.credentials {
        let token = given.session_token.as_ref().map(|token| token.expose().to_owned());
        let keys = Credentials::new(
            &given.access_key,
            given.secret_key.expose(),
            token,
            None,
            "lifeboat configuration",
        );
        loader = loader.credentials_provider(keys);
    }
    loader = match (&spec.region, &spec.endpoint) {
        (Some(region), _) => loader.region(Region::new(region.clone())),
        // Not the default chain: it would ask the instance metadata service, which is slow where there is none.
        (None, Some(_)) => {
            let mut profile = ProfileFileRegionProvider::builder();
            if let Some(name) = &spec.profile {
                profile = profile.profile_name(name);
            }
            loader.region(
                RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
                    .or_else(profile.build())
                    .or_else(Region::new(DEFAULT_REGION)),
            )
        }
        (None, None) => loader,
    };
    Ok(loader.load().await)
}

/// The SDK repeats a request this often; nothing else above it repeats one.
fn retries(patience: &Patience) -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(patience.attempts.max(1))
        .with_initial_backoff(patience.first_wait)
        .with_max_backoff(patience.longest_wait)
}

/// Time limits of one attempt. The SDK counts the time to send the body as waiting for the answer, so that
/// one is sized for the slowest part.
pub(super) fn time_limits(patience: &Patience, body_bytes: u64) -> TimeoutConfig {
    let sending = Duration::from_secs(body_bytes / patience.min_rate.max(1));
    let answer = patience.answer + sending;
    TimeoutConfig::builder()
        .connect_timeout(patience.connect)
        .read_timeout(answer)
        .operation_attempt_timeout(patience.connect + answer + patience.stall)
        .build()
}

/// An HTTP client over rustls that trusts the system's certificates and those of the file, and uses the
/// proxy of the usual variables (`HTTPS_PROXY`, `NO_PROXY`).
fn http_client(ca_file: Option<&Path>) -> Result<SharedHttpClient> {
    let context = crate::http::tls(ca_file)?;
    Ok(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector =
            Connector::builder().pool_idle_timeout(IDLE).proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(context.clone()).build()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_large_part_may_take_as_long_as_the_slowest_link_needs() {
        let patience = Patience { answer: Duration::from_secs(60), min_rate: 1024, ..Patience::default() };
        let limits = time_limits(&patience, 1024 * 1024);
        assert_eq!(limits.read_timeout(), Some(Duration::from_secs(60 + 1024)));
    }
}
