//! What went wrong at the store, in one line and with the next step.
//!
//! Codes are those of the S3 API reference, "Error responses". A message of the server is shown only for
//! codes that have no text here: those about credentials may repeat them.

use std::error::Error as StdError;
use std::io;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use rustls::CertificateError;

use super::Place;
use crate::error::{Error, Kind};

/// What a failed request means, with the next step.
struct Meaning {
    what: String,
    hint: String,
}

fn meaning(what: impl Into<String>, hint: impl Into<String>) -> Meaning {
    Meaning { what: what.into(), hint: hint.into() }
}

/// Turns a failure of the SDK into an error that names the action and the object.
pub(super) fn explain<E>(place: &Place, action: &str, key: &str, error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let Meaning { what, hint } = match error {
        SdkError::ServiceError(failure) => answered(place, failure.err(), failure.raw()),
        SdkError::ResponseError(failure) => not_s3(place, failure.raw()),
        SdkError::TimeoutError(_) => timed_out(place),
        _ => not_answered(place, error),
    };
    Error::new(Kind::Store, format!("cannot {action} {}: {what}", place.name(key))).hint(hint)
}

/// The code of the S3 error, or what stands for it when the answer has no body (HEAD).
pub(super) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    match error {
        SdkError::ServiceError(failure) => failure.err().code(),
        _ => None,
    }
}

/// The HTTP status of the answer, if there was one.
pub(super) fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// True when trying again may help, and the first try may or may not have been carried out.
pub(super) fn is_transient<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    match error {
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        SdkError::DispatchFailure(_) => {
            find::<CredentialsError>(error).is_none() && find::<rustls::Error>(error).is_none()
        }
        SdkError::ServiceError(failure) => {
            let status = failure.raw().status().as_u16();
            let slow = ["SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling"];
            status >= 500 || status == 429 || failure.err().code().is_some_and(|code| slow.contains(&code))
        }
        _ => false,
    }
}

/// Something else than an S3 server answered.
fn not_s3(place: &Place, response: &HttpResponse) -> Meaning {
    let kind = response.headers().get("content-type").unwrap_or("no content type");
    meaning(
        format!("the answer is not that of an S3 server (HTTP {}, {kind})", response.status()),
        format!("check that {} is an S3 server, not a web page or a proxy", place.server),
    )
}

/// The server answered with an error.
fn answered<E: ProvideErrorMetadata>(place: &Place, error: &E, response: &HttpResponse) -> Meaning {
    let status = response.status().as_u16();
    let html = response.headers().get("content-type").is_some_and(|kind| kind.starts_with("text/html"));
    if error.code().is_none() && (html || status < 300) {
        return not_s3(place, response);
    }
    let code = error.code().unwrap_or(match status {
        301 | 307 => "PermanentRedirect",
        403 => "AccessDenied",
        404 => "NotFound",
        503 => "SlowDown",
        _ => "",
    });
    let bucket = &place.bucket;
    let server = &place.server;
    match code {
        "NoSuchBucket" => meaning(
            format!("bucket {bucket} does not exist (NoSuchBucket)"),
            format!("create bucket {bucket} at {server}, or correct url in [store]"),
        ),
        "InvalidBucketName" => meaning(
            format!("{bucket} is no name for a bucket (InvalidBucketName)"),
            "correct url in [store]: 3 to 63 lower-case letters, digits, hyphens",
        ),
        // The second is versitygw's.
        "InvalidAccessKeyId" | "XAdminUserNotFound" => meaning(
            format!("the store does not know the access key ({code})"),
            format!("check AWS_ACCESS_KEY_ID or the profile: are these the keys of {server}?"),
        ),
        "SignatureDoesNotMatch" => meaning(
            "the secret key does not fit the access key (SignatureDoesNotMatch)",
            "check AWS_SECRET_ACCESS_KEY for a cut or extra character, and that no proxy rewrites requests",
        ),
        "ExpiredToken" | "TokenRefreshRequired" => meaning(
            format!("the session has expired ({code})"),
            "get new credentials: log in again, or renew the token",
        ),
        "InvalidToken" => meaning(
            "the session token is not valid (InvalidToken)",
            "unset AWS_SESSION_TOKEN when the keys are permanent ones, or get a new token",
        ),
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "Forbidden" => meaning(
            format!("access denied ({code})"),
            format!(
                "allow s3:GetObject, PutObject, DeleteObject, AbortMultipartUpload on {bucket}/* and ListBucket, \
                 ListBucketMultipartUploads, GetBucketVersioning on {bucket}; a locked object cannot be deleted"
            ),
        ),
        "RequestTimeTooSkewed" | "RequestExpired" => meaning(
            format!("the clock of this machine is wrong ({code})"),
            "set the clock (chronyc tracking, timedatectl): signatures are valid for minutes only",
        ),
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => {
            let hint = match response.headers().get("x-amz-bucket-region") {
                Some(region) => format!("set region = \"{region}\" in [store]"),
                None => "set region in [store] to the one that the bucket is in".to_owned(),
            };
            meaning(format!("bucket {bucket} is not in region {} ({code})", place.region), hint)
        }
        "QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage" | "InsufficientCapacity" => {
            meaning(format!("the store is full ({code})"), "raise the quota, or prune old backups")
        }
        "SlowDown" | "ServiceUnavailable" | "InternalError" | "Throttling" | "TooManyRequests" => meaning(
            format!("the store is overloaded or failing (HTTP {status} {code})"),
            "it was tried several times; look at the store's status, or run fewer uploads at once",
        ),
        "NoSuchUpload" => meaning(
            "the upload is gone (NoSuchUpload)",
            "a clean-up rule or another run aborted it: start again, and give the rule more days",
        ),
        "NotImplemented" | "MethodNotAllowed" => meaning(
            format!("the store cannot do this ({code})"),
            "run `lifeboat doctor` to see what this store can do",
        ),
        _ => unknown(code, status, error.message()),
    }
}

/// A code that has no text here: the server's own words, on one line.
fn unknown(code: &str, status: u16, message: Option<&str>) -> Meaning {
    let words: Vec<&str> = message.unwrap_or_default().split_whitespace().collect();
    let mut text: String = words.join(" ").chars().filter(|c| !c.is_control()).take(200).collect();
    if text.is_empty() {
        text = "the store refused".to_owned();
    }
    let code = if code.is_empty() { String::new() } else { format!(" {code}") };
    let hint = match status {
        400 => "if the code speaks of a checksum or header, try checksums = \"when-required\" in [store]",
        _ => "look the code up in the documentation of the store, or run `lifeboat doctor`",
    };
    meaning(format!("{text} (HTTP {status}{code})"), hint)
}

fn timed_out(place: &Place) -> Meaning {
    meaning(
        format!("no answer from {} in time", place.server),
        "check the network and any firewall between here and the store; it was tried several times",
    )
}

/// No answer came: credentials, name, connection, TLS.
fn not_answered(place: &Place, error: &(dyn StdError + 'static)) -> Meaning {
    let server = &place.server;
    if let Some(cause) = find::<CredentialsError>(error) {
        return match cause {
            CredentialsError::CredentialsNotLoaded(_) => meaning(
                "no AWS credentials found",
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give the pod or instance a role",
            ),
            CredentialsError::ProviderTimedOut(_) => meaning(
                "the AWS credentials did not come in time",
                "check that the metadata or token service can be reached, or set the keys directly",
            ),
            // The cause may quote what a credential process or a file says, so it stays out.
            _ => meaning(
                "the AWS credentials cannot be used",
                "check the profile, the role and the web identity token: `aws sts get-caller-identity` shows more",
            ),
        };
    }
    if let Some(cause) = find::<rustls::Error>(error) {
        return tls(place, cause);
    }
    let texts = texts(error);
    if texts.iter().any(|text| text == "dns error") {
        return meaning(
            format!("the name of {server} cannot be resolved"),
            "check endpoint and region in [store], and the DNS of this machine; is path_style needed?",
        );
    }
    let kind = find::<io::Error>(error).map(io::Error::kind);
    match kind {
        Some(io::ErrorKind::ConnectionRefused) => meaning(
            format!("{server} refused the connection"),
            "check that the store is running and that endpoint has the right port",
        ),
        Some(io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) => meaning(
            format!("there is no route to {server}"),
            "check the network, the VPN and any network policy of this pod",
        ),
        _ if texts.iter().any(|text| text.contains("minimum throughput")) => meaning(
            format!("sending to {server} stalled"),
            "check the network between here and the store, and the store's own log",
        ),
        _ if texts.iter().any(|text| text.contains("timed out") || text.contains("timeout")) => {
            timed_out(place)
        }
        _ => meaning(
            format!("the connection to {server} failed: {}", deepest(error)),
            "check the network between here and the store; it was tried several times",
        ),
    }
}

fn tls(place: &Place, cause: &rustls::Error) -> Meaning {
    let server = &place.server;
    match cause {
        rustls::Error::InvalidCertificate(reason) => match reason {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => meaning(
                format!("the TLS certificate of {server} has expired"),
                "renew the certificate of the store, and check the clock of this machine",
            ),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => meaning(
                format!("the TLS certificate of {server} is not valid yet"),
                "check the clock of this machine",
            ),
            CertificateError::UnknownIssuer => meaning(
                format!("the TLS certificate of {server} is signed by an unknown authority"),
                "set ca_file in [store] to the authority's PEM file, or install the ca-certificates package",
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => meaning(
                format!("the TLS certificate of {server} is for another name"),
                "set endpoint to the name in the certificate; path_style = true spares bucket names in it",
            ),
            other => meaning(
                format!("the TLS certificate of {server} is not valid: {other}"),
                "renew the certificate",
            ),
        },
        rustls::Error::InvalidMessage(_) => meaning(
            format!("{server} does not speak TLS"),
            "write endpoint with http:// when the store has no TLS, or correct the port",
        ),
        other => meaning(
            format!("the TLS connection to {server} failed: {other}"),
            "check that the store offers TLS 1.2 or 1.3 with current ciphers",
        ),
    }
}

/// All errors of a chain, looking into what an I/O error wraps (its `source` skips that).
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
        None => error.source(),
    }
}

fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    chain(error).find_map(|error| error.downcast_ref::<T>())
}

fn texts(error: &(dyn StdError + 'static)) -> Vec<String> {
    chain(error).map(|error| error.to_string()).collect()
}

/// The innermost text of a chain: what really happened, without the layers that passed it on.
pub(super) fn deepest(error: &(dyn StdError + 'static)) -> String {
    texts(error).into_iter().rev().find(|text| !text.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}
