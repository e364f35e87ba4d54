use super::*;

#[test]
fn a_url_gives_bucket_and_prefix() {
    for (url, bucket, prefix) in [
        ("s3://b", "b", ""),
        ("s3://b/", "b", ""),
        ("s3://my.bucket-1/a", "my.bucket-1", "a/"),
        ("s3://b/a/b//", "b", "a/b/"),
    ] {
        assert_eq!(split(url).unwrap(), (bucket.to_owned(), prefix.to_owned()), "{url}");
    }
    for url in ["s3://", "s3:///a", "s3://b/a//b", "s3://b/../a", "s3://key:secret@b/a", "http://b"] {
        assert_eq!(split(url).unwrap_err().kind(), Kind::Config, "{url}");
    }
}

#[tokio::test]
async fn names_and_debug_output_hold_no_secret() {
    let mut spec = StoreSpec::new("s3://b/a");
    spec.endpoint = Some("http://127.0.0.1:1".to_owned());
    spec.credentials = Some(crate::stores::open::Credentials {
        access_key: "access".to_owned(),
        secret_key: "hunter2".into(),
        session_token: Some("hunter3".into()),
    });
    let store = S3Store::connect(&spec).await.unwrap();
    assert_eq!(store.url(), "s3://b/a");
    assert!(!format!("{store:?} {spec:?}").contains("hunter"), "{store:?} {spec:?}");
}
