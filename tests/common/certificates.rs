//! Certificates of an authority of the tests' own.

use std::path::Path;

/// The authority, without its key.
pub fn authority() -> rcgen::CertificateParams {
    let mut authority = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    authority.distinguished_name.push(rcgen::DnType::CommonName, "lifeboat tests");
    authority
}

/// Writes `ca.pem` and `ca.key`, and for 127.0.0.1 and localhost `server.key`, `server.crt` and `server.pem`
/// with both.
pub fn certify(directory: &Path) {
    let write = |name: &str, text: String| std::fs::write(directory.join(name), text).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let authority = authority();
    write("ca.key", key.serialize_pem());
    write("ca.pem", authority.self_signed(&key).unwrap().pem());
    let issuer = rcgen::Issuer::new(authority, key);
    let key = rcgen::KeyPair::generate().unwrap();
    let names = ["127.0.0.1", "localhost"].map(str::to_owned).to_vec();
    let mut server = rcgen::CertificateParams::new(names).unwrap();
    server.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
    let certificate = server.signed_by(&key, &issuer).unwrap().pem();
    write("server.key", key.serialize_pem());
    write("server.pem", certificate.clone() + &key.serialize_pem());
    write("server.crt", certificate);
}
