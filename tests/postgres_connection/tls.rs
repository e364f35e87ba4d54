//! TLS as libpq means it, against servers with certificates of our own making.

use super::*;
use common::postgres::Extra;
use lifeboat::engines::postgres::resolve::Mode;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use tempfile::TempDir;

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn authority(name: &str) -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { pem, issuer: Issuer::new(params, key) }
}

impl Authority {
    /// A certificate for a name, and its key.
    fn certify(&self, name: &str, expired: bool) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_string()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(7u64));
        if expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// A list that revokes the certificates made here.
    fn revoke(&self) -> String {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(7u64),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

fn server(certificate: &str, key: &str, root: &str, hba: &[&str]) -> Server {
    Server::start(
        17,
        Extra {
            settings: [
                "ssl = on",
                "ssl_cert_file = 'server.crt'",
                "ssl_key_file = 'server.key'",
                "ssl_ca_file = 'root.crt'",
            ]
            .map(String::from)
            .into(),
            hba: hba.iter().map(ToString::to_string).collect(),
            files: vec![
                ("server.crt", certificate.into()),
                ("server.key", key.into()),
                ("root.crt", root.into()),
            ],
        },
    )
}

struct Site {
    server: Server,
    authority: Authority,
    files: TempDir,
    root: String,
}

fn site(name: &str, expired: bool, hba: &[&str]) -> Site {
    let authority = authority("lifeboat test authority");
    let (certificate, key) = authority.certify(name, expired);
    let server = server(&certificate, &key, &authority.pem, hba);
    let files = tempfile::tempdir().unwrap();
    let root = file(files.path(), "root.crt", &authority.pem);
    Site { server, authority, files, root }
}

impl Site {
    /// The URL with another host name and TLS parameters.
    fn url(&self, host: &str, parameters: &str) -> String {
        format!("{}?{parameters}", self.server.url("postgres").replace("127.0.0.1", host))
    }
}

async fn is_encrypted(session: &Session) -> bool {
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    session.one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn modes_check_what_libpq_checks() {
    let site = site("localhost", false, &[]);
    let root = format!("sslrootcert={}", site.root);
    for mode in ["prefer", "require", "channel_binding=require&sslmode=require"] {
        let mode = if mode.contains('=') { mode.to_string() } else { format!("sslmode={mode}") };
        assert!(is_encrypted(&open(&site.url("127.0.0.1", &mode)).await).await, "{mode}");
    }
    for mode in ["disable", "allow"] {
        assert!(
            !is_encrypted(&open(&site.url("localhost", &format!("sslmode={mode}"))).await).await,
            "{mode}"
        );
    }
    let direct = format!("sslmode=verify-full&sslnegotiation=direct&{root}");
    assert!(is_encrypted(&open(&site.url("localhost", &direct)).await).await);

    open(&site.url("localhost", &format!("sslmode=verify-full&{root}"))).await;
    open(&site.url("127.0.0.1", &format!("sslmode=verify-ca&{root}"))).await;
    let error = refused(&site.url("127.0.0.1", &format!("sslmode=verify-full&{root}"))).await;
    assert!(error.message().contains("is for") && error.message().contains("not for 127.0.0.1"), "{error:?}");
    assert!(error.hint_text().unwrap().contains("host name"), "{error:?}");

    // A root makes `require` check the chain, and another root does not fit.
    let stranger = file(site.files.path(), "stranger.crt", &authority("somebody else").pem);
    for mode in ["require", "verify-ca", "verify-full"] {
        let error = refused(&site.url("localhost", &format!("sslmode={mode}&sslrootcert={stranger}"))).await;
        assert!(error.message().contains("unknown issuer"), "{mode}: {error:?}");
    }
    let error = refused(&site.url(
        "localhost",
        &format!("sslmode=verify-full&{root}&sslcrl={}", {
            file(site.files.path(), "root.crl", &site.authority.revoke())
        }),
    ))
    .await;
    assert!(error.message().contains("revoked"), "{error:?}");
}

#[tokio::test]
async fn an_expired_certificate_is_told() {
    let site = site("localhost", true, &[]);
    open(&site.url("localhost", "sslmode=require")).await;
    let error =
        refused(&site.url("localhost", &format!("sslmode=verify-ca&sslrootcert={}", site.root))).await;
    assert!(error.message().contains("has expired"), "{error:?}");
    assert!(error.hint_text().unwrap().contains("renew"));
}

#[tokio::test]
async fn a_self_signed_certificate_can_be_its_own_root() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_string()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    let server = server(&pem, &key.serialize_pem(), &pem, &[]);
    let files = tempfile::tempdir().unwrap();
    let parameters = format!("sslmode=verify-full&sslrootcert={}", file(files.path(), "root.crt", &pem));
    let url = format!("{}?{parameters}", server.url("postgres"));
    open(&url.replace("127.0.0.1", "localhost")).await;
    let error = refused(&url).await;
    assert!(error.message().contains("not for 127.0.0.1"), "{error:?}");
}

#[tokio::test]
async fn a_client_certificate_logs_in_and_the_tools_use_it_too() {
    use lifeboat::pipeline::child::{Spec, spawn};
    let site = site("localhost", false, &["hostssl all certified all cert"]);
    site.server.sql("postgres", "CREATE ROLE certified LOGIN").await;
    let (certificate, key) = site.authority.certify("certified", false);
    let (certificate, key) =
        (file(site.files.path(), "me.crt", &certificate), file(site.files.path(), "me.key", &key));
    // A mode that libpq refuses for a key, as secrets in a cluster have it.
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let url = format!(
        "postgres://certified@localhost:{}/postgres?sslmode=verify-full&sslrootcert={}&sslcert={certificate}&sslkey={key}",
        site.server.port, site.root
    );
    let session = open(&url).await;
    assert!(is_encrypted(&session).await);
    let environment = session.connection().environment(&BTreeMap::new(), "").unwrap();
    let sql = "SELECT current_user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let mut spec = Spec::new(site.server.bin.join("psql"), ["-XAtw", "-c", sql]);
    spec.environment = environment.variables().clone();
    spec.guard = Some(Box::new(environment));
    let mut child = spawn(spec).unwrap();
    let mut out = String::new();
    child.take_output().unwrap().read_to_string(&mut out).await.unwrap();
    child.finish().await.unwrap();
    assert_eq!(out, "certified|t\n");

    let none =
        refused(&format!("postgres://certified@localhost:{}/postgres?sslmode=require", site.server.port))
            .await;
    assert!(none.message().contains("certificate"), "{none:?}");
}

#[tokio::test]
async fn a_server_without_tls_or_only_with_it() {
    let plain = shared(15);
    let error = refused(&format!("{}?sslmode=require", plain.url("postgres"))).await;
    assert!(error.message().ends_with("does not offer TLS"), "{error:?}");
    assert!(!is_encrypted(&open(&format!("{}?sslmode=prefer", plain.url("postgres"))).await).await);

    let strict = site("localhost", false, &["hostnossl all all all reject"]);
    let error = refused(&strict.url("localhost", "sslmode=disable")).await;
    assert!(error.hint_text().unwrap().contains("pg_hba.conf"), "{error:?}");
    assert!(is_encrypted(&open(&strict.url("localhost", "sslmode=allow")).await).await);

    let fussy = site("localhost", false, &["hostssl all all all reject"]);
    assert!(!is_encrypted(&open(&fussy.url("localhost", "sslmode=prefer")).await).await);
    assert_eq!(connection(&fussy.url("localhost", "sslmode=prefer")).tls.mode, Mode::Prefer);
}
