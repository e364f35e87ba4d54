//! What the S3 store makes of servers that refuse, lie, stall or lose answers.

#[path = "common/s3.rs"]
mod s3;
#[path = "common/scripted.rs"]
mod scripted;

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use lifeboat::error::{Error, Kind, Result};
use lifeboat::secret::Secret;
use lifeboat::stores::open::{Checksums, Patience, StoreSpec, open};
use lifeboat::stores::resume::{self, Resume};
use lifeboat::stores::{Conditional, OpenUpload, SharedStore, Version, Versioning};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use scripted::{Answer, Scripted, ok, xml};
use tokio_rustls::TlsAcceptor;

const TRIES: u32 = 3;
const ETAG: &str = "ETag: \"aa\"\r\n";

/// So little patience that tests are quick; a busy machine has time enough for a local answer.
fn hasty() -> Patience {
    Patience {
        connect: Duration::from_secs(2),
        answer: Duration::from_secs(1),
        stall: Duration::from_millis(400),
        min_rate: 1024,
        attempts: TRIES,
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(4),
    }
}

fn spec(endpoint: &str) -> StoreSpec {
    let mut spec = StoreSpec::new("s3://bucket/prefix");
    spec.endpoint = Some(endpoint.to_owned());
    spec.credentials = Some(s3::credentials());
    spec.part_bytes = 1;
    spec.patience = hasty();
    spec
}

async fn store_at(endpoint: &str) -> SharedStore {
    open(&spec(endpoint)).await.unwrap()
}

async fn scripted(script: Vec<Answer>) -> (Scripted, SharedStore) {
    let server = Scripted::start(script).await;
    let store = store_at(&server.endpoint).await;
    (server, store)
}

async fn read(store: &SharedStore, start: u64) -> Result<Vec<u8>> {
    let body = store.read("x", start, None, None).await?;
    Ok(body.try_collect::<Vec<Bytes>>().await?.concat())
}

fn body() -> Bytes {
    Bytes::from_static(b"ours")
}

/// Message and hint, without what differs from run to run.
fn shown(error: &Error) -> String {
    assert_eq!(error.kind(), Kind::Store, "{error}");
    let mut text = error.chain();
    let _ = write!(text, "\n    hint: {}", error.hint_text().expect("a hint"));
    assert!(!text.contains(s3::ACCESS_KEY) && !text.contains(s3::SECRET_KEY), "{text}");
    let mut clean = String::new();
    for (n, piece) in text.split("localhost:").enumerate() {
        clean += if n == 0 { piece } else { piece.trim_start_matches(|c: char| c.is_ascii_digit()) };
        clean += "localhost:PORT";
    }
    clean.trim_end_matches("localhost:PORT").to_owned()
}

#[tokio::test]
async fn every_refusal_has_its_message_and_next_step() {
    let region = "x-amz-bucket-region: eu-west-3\r\n";
    let mut table = String::new();
    for (status, code, headers) in [
        (404, "NoSuchBucket", ""),
        (400, "InvalidBucketName", ""),
        (403, "InvalidAccessKeyId", ""),
        (403, "SignatureDoesNotMatch", ""),
        (403, "AccessDenied", ""),
        (400, "ExpiredToken", ""),
        (400, "InvalidToken", ""),
        (403, "RequestTimeTooSkewed", ""),
        (301, "PermanentRedirect", region),
        (400, "AuthorizationHeaderMalformed", ""),
        (403, "QuotaExceeded", ""),
        (503, "SlowDown", ""),
        (400, "InvalidRequest", ""),
        (418, "Teapot", ""),
    ] {
        let (server, store) = scripted(vec![xml(status, code, headers)]).await;
        let error = store.delete("a/b").await.unwrap_err();
        let _ = writeln!(table, "{}", shown(&error).replace(&server.endpoint, "http://localhost:PORT"));
        let expected = if status == 503 { TRIES as usize } else { 1 };
        // A wrong clock may be put right by the SDK, which tries once more.
        assert!(code == "RequestTimeTooSkewed" || server.lines().len() == expected, "{code}");
    }
    insta::assert_snapshot!("refusals", table);
}

#[tokio::test]
async fn every_failure_to_connect_has_its_message_and_next_step() {
    let mut table = String::new();
    let closed = format!("http://localhost:{}", s3::free_port());
    let plain = Scripted::start(vec![ok("", "")]).await;
    let html = Scripted::start(vec![ok("Content-Type: text/html\r\n", "<html>Log in</html>")]).await;
    let silent = Scripted::start(vec![Answer::Deaf]).await;
    let losing = Scripted::start(vec![Answer::Lost]).await;
    for endpoint in [
        &closed,
        "http://store.invalid",
        &plain.endpoint.replace("http:", "https:"),
        &html.endpoint,
        &silent.endpoint,
        &losing.endpoint,
    ] {
        let store = store_at(endpoint).await;
        let error = store.list("a/").await.unwrap_err();
        let _ = writeln!(table, "{}", shown(&error));
    }
    insta::assert_snapshot!("connections", table);
    assert_eq!(silent.lines().len(), TRIES as usize);
}

#[tokio::test]
async fn the_real_server_refuses_wrong_keys_and_unknown_buckets() {
    let mut wrong_access = s3::fresh_spec();
    wrong_access.credentials.as_mut().unwrap().access_key = "unknown".to_owned();
    let mut wrong_secret = s3::fresh_spec();
    wrong_secret.credentials.as_mut().unwrap().secret_key = Secret::new("wrong");
    let mut no_bucket = s3::fresh_spec();
    no_bucket.url = "s3://no-such-bucket/x".to_owned();
    for (spec, code) in [
        // Amazon says InvalidAccessKeyId.
        (wrong_access, "XAdminUserNotFound"),
        (wrong_secret, "SignatureDoesNotMatch"),
        (no_bucket, "NoSuchBucket"),
    ] {
        let store = open(&spec).await.unwrap();
        for error in [
            store.put("a", body()).await.unwrap_err(),
            store.put_if_absent("a", body()).await.unwrap_err(),
            store.list("").await.unwrap_err(),
            store.get("a").await.unwrap_err(),
            store.upload("a").await.err().unwrap(),
        ] {
            assert!(error.message().ends_with(&format!("({code})")), "{error}");
            shown(&error);
        }
    }
}

/// A certificate for localhost and a TLS server with it.
fn certificate(years: std::ops::Range<i32>) -> (String, TlsAcceptor) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut wanted = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    wanted.not_before = rcgen::date_time_ymd(years.start, 1, 1);
    wanted.not_after = rcgen::date_time_ymd(years.end, 1, 1);
    let certificate = wanted.self_signed(&key).unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    (certificate.pem(), TlsAcceptor::from(Arc::new(config)))
}

async fn over_tls(years: std::ops::Range<i32>, trusted: bool, name: &str) -> Result<Version> {
    let (pem, tls) = certificate(years);
    let server = Scripted::start_with(vec![ok(ETAG, "")], Some(tls)).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pem).unwrap();
    let mut spec = spec(&server.endpoint.replace("localhost", name));
    spec.ca_file = trusted.then(|| file.path().to_owned());
    open(&spec).await.unwrap().put("a", body()).await
}

#[tokio::test]
async fn a_certificate_that_is_not_good_is_refused_by_name() {
    let mut table = String::new();
    for (years, trusted, name) in
        [(2000..2001, true, "localhost"), (2000..2999, false, "localhost"), (2000..2999, true, "127.0.0.1")]
    {
        let error = over_tls(years, trusted, name).await.unwrap_err();
        let _ = writeln!(table, "{}", shown(&error).replace("127.0.0.1", "localhost"));
    }
    let mut lines = String::new();
    for line in table.lines() {
        let _ = writeln!(
            lines,
            "{}",
            line.split("localhost")
                .map(|s| s.trim_start_matches(|c: char| c == ':' || c.is_ascii_digit()))
                .collect::<Vec<_>>()
                .join("HOST")
        );
    }
    insta::assert_snapshot!("certificates", lines);
    over_tls(2000..2999, true, "localhost").await.unwrap();
}

#[tokio::test]
async fn an_overloaded_server_is_asked_again() {
    let slow = || xml(503, "SlowDown", "");
    let (server, store) = scripted(vec![slow(), slow(), ok(ETAG, "")]).await;
    assert_eq!(store.put("a", body()).await.unwrap(), Version("\"aa\"".to_owned()));
    assert_eq!(server.lines().len(), 3);
    let (server, store) = scripted(vec![slow(), Answer::Lost, ok(ETAG, "")]).await;
    let outcome = store.put_if_absent("a", body()).await.unwrap();
    assert_eq!(outcome, Conditional::Done(Version("\"aa\"".to_owned())));
    assert!(server.requests().iter().all(|head| head.contains("if-none-match: *")));
}

#[tokio::test]
async fn a_body_that_breaks_or_hangs_is_an_error_in_time() {
    let promise = 1_000_000;
    for (answer, expected) in [
        (Answer::Short(promise, ETAG.into(), "some".into()), "broke off"),
        (Answer::Stalled(promise, ETAG.into(), "some".into()), "no byte came for 400ms"),
        (Answer::Dripping(promise, ETAG.into(), Duration::from_millis(20)), "bytes a second came"),
    ] {
        let (_server, store) = scripted(vec![answer]).await;
        let error = read(&store, 0).await.unwrap_err();
        assert!(error.message().contains(expected), "{error}");
        shown(&error);
        // A small object is asked for again before it is given up.
        let error = store.get("x").await.unwrap_err();
        assert!(error.message().contains(expected), "{error}");
        assert_eq!(_server.lines().len(), 1 + TRIES as usize);
    }
}

#[tokio::test]
async fn an_answer_for_another_range_is_not_taken() {
    let (_server, store) = scripted(vec![ok(ETAG, "whole")]).await;
    let error = read(&store, 2).await.unwrap_err();
    assert!(error.message().contains("asked for bytes from 2"), "{error}");
    let headers = format!("{ETAG}Content-Range: bytes 1-3/5\r\n");
    let (_server, store) = scripted(vec![Answer::Whole(206, headers, "hol".into())]).await;
    assert!(read(&store, 2).await.is_err());
}

#[tokio::test]
async fn a_cut_download_goes_on_where_it_was_cut() {
    let whole = "0123456789";
    let range = format!("{ETAG}Content-Range: bytes 4-9/10\r\n");
    let (server, store) = scripted(vec![
        ok(ETAG, whole),
        Answer::Short(10, ETAG.into(), "0123".into()),
        ok(ETAG, whole),
        Answer::Whole(206, range, "456789".into()),
    ])
    .await;
    let wait = Duration::from_millis(1);
    let resume = Resume { tries: 3, first_wait: wait, longest_wait: wait };
    let body = resume::read(store, "x", 0, None, None, resume).await.unwrap();
    assert_eq!(body.try_collect::<Vec<Bytes>>().await.unwrap().concat(), whole.as_bytes());
    let last = server.requests().pop().unwrap();
    assert!(last.contains("range: bytes=4-") && last.contains("if-match: \"aa\""), "{last}");
}

#[tokio::test]
async fn a_conditional_write_whose_answer_was_lost_is_known_by_its_body() {
    let exists = || xml(412, "PreconditionFailed", "");
    let (server, store) = scripted(vec![Answer::Lost, exists(), ok(ETAG, "ours")]).await;
    let outcome = store.put_if_absent("a", body()).await.unwrap();
    assert_eq!(outcome, Conditional::Done(Version("\"aa\"".to_owned())));
    assert_eq!(server.lines().len(), 3);

    let (_server, store) = scripted(vec![Answer::Lost, exists(), ok(ETAG, "theirs")]).await;
    assert_eq!(store.put_if_absent("a", body()).await.unwrap(), Conditional::Refused);

    // A plain refusal is one, whatever is there.
    let (server, store) = scripted(vec![exists(), ok(ETAG, "ours")]).await;
    assert_eq!(store.put_if_absent("a", body()).await.unwrap(), Conditional::Refused);
    assert_eq!(server.lines().len(), 1);

    let (_server, store) = scripted(vec![xml(409, "ConditionalRequestConflict", ""), exists()]).await;
    let old = Version("\"00\"".to_owned());
    assert_eq!(store.put_if_match("a", body(), &old).await.unwrap(), Conditional::Refused);
}

/// Answers to the beginning of an upload and to its one part of four bytes.
fn begun() -> Vec<Answer> {
    let created = "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>";
    vec![ok("", created), ok(ETAG, "")]
}

async fn complete(rest: Vec<Answer>) -> (Scripted, Result<()>) {
    let (server, store) = scripted([begun(), rest].concat()).await;
    let upload = store.upload("x").await.unwrap();
    upload.part(1, body()).await.unwrap();
    let outcome = upload.complete().await;
    (server, outcome)
}

const DONE: &str = "<CompleteMultipartUploadResult><ETag>\"bb-1\"</ETag></CompleteMultipartUploadResult>";

/// What a HEAD says of an object, whose length is that of the body that a HEAD does not have.
fn there(headers: &str, length: usize) -> Answer {
    Answer::Short(length as u64, headers.to_owned(), String::new())
}

#[tokio::test]
async fn a_lost_answer_to_complete_is_looked_up() {
    let multipart = "ETag: \"bb-1\"\r\n";
    let (server, outcome) = complete(vec![Answer::Lost, there(multipart, 4)]).await;
    outcome.unwrap();
    assert_eq!(server.lines().len(), 4);

    // An error in a 200, as S3 sends when it fails after it began to answer.
    let late = ok("", "<Error><Code>InternalError</Code><Message>late</Message></Error>");
    let (server, outcome) = complete(vec![late, xml(404, "", ""), ok("", DONE)]).await;
    outcome.unwrap();
    assert_eq!(server.lines().len(), 5);

    // What is there is an older object, and the upload is gone.
    for old in [there(multipart, 5), there("ETag: \"bb-2\"\r\n", 4)] {
        let (_server, outcome) =
            complete(vec![Answer::Lost, old.clone(), xml(404, "NoSuchUpload", ""), old]).await;
        assert!(outcome.is_err());
    }
}

#[tokio::test]
async fn a_whole_with_another_checksum_is_not_taken() {
    let damaged = DONE.replace("</Comp", "<ChecksumCRC64NVME>AAAAAAAAAAA=</ChecksumCRC64NVME></Comp");
    let (_server, outcome) = complete(vec![ok("", &damaged)]).await;
    let error = outcome.unwrap_err();
    assert!(error.message().contains("is not what was sent"), "{error}");
}

#[tokio::test]
async fn parts_carry_their_checksum_or_a_signature() {
    for (checksums, expected) in [
        (Checksums::WhenSupported, "x-amz-content-sha256: UNSIGNED-PAYLOAD"),
        // printf ours | sha256sum
        (Checksums::WhenRequired, "x-amz-content-sha256: ae0bec9e9d33c56354bd612c8a601084"),
    ] {
        let server = Scripted::start(begun()).await;
        let mut spec = spec(&server.endpoint);
        spec.checksums = checksums;
        let upload = open(&spec).await.unwrap().upload("x").await.unwrap();
        upload.part(1, body()).await.unwrap();
        let head = server.requests().pop().unwrap();
        assert!(head.contains(expected), "{head}");
        assert!(head.contains("content-length: 4"), "{head}");
        assert_eq!(
            head.contains("x-amz-checksum-crc64nvme"),
            checksums == Checksums::WhenSupported,
            "{head}"
        );
    }
}

#[tokio::test]
async fn a_part_that_stalls_is_an_error_in_time() {
    let mut script = begun();
    script.truncate(1);
    script.push(Answer::Deaf);
    let server = Scripted::start(script).await;
    let mut spec = spec(&server.endpoint);
    // Only the guard against stalls can end it.
    spec.patience.answer = Duration::from_secs(600);
    let upload = open(&spec).await.unwrap().upload("x").await.unwrap();
    let error = upload.part(1, vec![7; 32 << 20].into()).await.unwrap_err();
    assert!(shown(&error).contains("stalled"), "{error}");
    assert_eq!(server.lines().len(), 1 + TRIES as usize);
}

/// A page of a listing: keys, and the mark of the next page.
fn page(keys: &[&str], next: Option<&str>) -> Answer {
    let mut body = format!("<ListBucketResult><IsTruncated>{}</IsTruncated>", next.is_some());
    for mark in next.into_iter().filter(|mark| !mark.is_empty()) {
        let _ = write!(body, "<NextContinuationToken>{mark}</NextContinuationToken>");
    }
    for key in keys {
        let _ = write!(body, "<Contents><Key>{key}</Key><Size>1</Size><ETag>\"aa\"</ETag></Contents>");
    }
    ok("", &(body + "</ListBucketResult>"))
}

#[tokio::test]
async fn a_listing_has_all_pages_sorted_and_only_our_keys() {
    let (server, store) = scripted(vec![
        page(&["prefix/", "prefix/z", "prefix/a b", "other/x"], Some("mark")),
        page(&["prefix/b", "prefix/a/", "prefix/a"], None),
    ])
    .await;
    let listed = store.list("").await.unwrap();
    assert_eq!(listed.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["a", "b", "z"]);
    assert!(server.lines()[1].contains("continuation-token=mark"), "{:?}", server.lines());
    // Half a listing would let prune take live data for garbage.
    let (_server, store) = scripted(vec![page(&["prefix/a"], Some(""))]).await;
    let error = store.list("").await.unwrap_err();
    assert!(error.message().contains("cut off"), "{error}");
}

#[tokio::test]
async fn a_server_that_cannot_tell_has_no_open_uploads_and_no_versions() {
    let (_server, store) = scripted(vec![xml(501, "NotImplemented", "")]).await;
    assert_eq!(store.open_uploads("").await.unwrap(), vec![]);
    assert_eq!(store.versioning().await.unwrap(), Versioning::Off);
    let (_server, store) = scripted(vec![xml(403, "AccessDenied", "")]).await;
    assert_eq!(store.versioning().await.unwrap(), Versioning::Unknown);
    let gone = OpenUpload { key: "a".into(), id: "u".into(), begun: chrono::Utc::now() };
    assert!(store.abort_upload(&gone).await.is_err());
    let (_server, store) = scripted(vec![xml(404, "NoSuchUpload", "")]).await;
    store.abort_upload(&gone).await.unwrap();
}

#[tokio::test]
async fn a_bit_that_rots_on_the_server_is_seen_in_a_whole_read() {
    let spec = s3::fresh_spec();
    let store = open(&spec).await.unwrap();
    let upload = store.upload("x").await.unwrap();
    upload.part(1, vec![7; 100_000].into()).await.unwrap();
    upload.complete().await.unwrap();
    let path = Path::new(&s3::server().directory)
        .join("data")
        .join(spec.url.strip_prefix("s3://").unwrap())
        .join("x");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[50_000] ^= 1;
    // In place: the checksum is an attribute of the file.
    std::fs::write(&path, bytes).unwrap();
    let error = read(&store, 0).await.unwrap_err();
    assert!(error.message().contains("checksum"), "{error}");
}

#[tokio::test]
async fn a_versioned_bucket_says_so() {
    let mut spec = s3::fresh_spec();
    assert_eq!(open(&spec).await.unwrap().versioning().await.unwrap(), Versioning::Off);
    let keys = aws_credential_types::Credentials::new(s3::ACCESS_KEY, s3::SECRET_KEY, None, None, "test");
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version_latest()
        .region(aws_sdk_s3::config::Region::new("us-east-1"))
        .endpoint_url(&s3::server().endpoint)
        .force_path_style(true)
        .http_client(http)
        .credentials_provider(keys)
        .build();
    let enabled = aws_sdk_s3::types::VersioningConfiguration::builder()
        .status(aws_sdk_s3::types::BucketVersioningStatus::Enabled)
        .build();
    let client = aws_sdk_s3::Client::from_conf(config);
    client
        .put_bucket_versioning()
        .bucket("versioned")
        .versioning_configuration(enabled)
        .send()
        .await
        .unwrap();
    spec.url = "s3://versioned/x".to_owned();
    let store = open(&spec).await.unwrap();
    assert_eq!(store.versioning().await.unwrap(), Versioning::On);
    store.put("a", body()).await.unwrap();
    store.delete("a").await.unwrap();
    assert_eq!(store.get("a").await.unwrap(), None);
    assert_eq!(store.list("").await.unwrap(), vec![]);
}
