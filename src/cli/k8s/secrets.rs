//! The files and variables of the configuration that hold secrets, and the Secrets they come from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::unfit;
use crate::config::{Config, Origin, percent_decoded};
use crate::error::Result;
use crate::kubernetes::{CONFIG_DIR, Mounts, Purpose, SecretFile, SecretVariable};

/// Parameters of connection strings that name files: libpq's, MongoDB's and Neo4j's.
const FILE_PARAMETERS: &[&str] =
    &["sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile", "tlsCAFile", "tlsCertificateKeyFile"];
/// Keys of the configuration that name a file, and the key in the Secret.
const FILE_KEYS: &[(&str, &str)] = &[
    (".staging.password_file", "staging-password"),
    (".password_file", "password"),
    (".access_key_id_file", "access-key-id"),
    (".secret_access_key_file", "secret-access-key"),
    (".ca_file", "ca.crt"),
    (".push_password_file", "push-password"),
    (".push_token_file", "push-token"),
    (".webhook_url_file", "webhook-url"),
    (".slack_url_file", "slack-url"),
    (".ping_url_file", "ping-url"),
    (".smtp_password_file", "smtp-password"),
];

/// Who needs a file: the Secret's name, the key in it, and what for.
type User = (String, String, Purpose);

/// The name of the Secret of a source. Names of objects have no `_`: one that had gets its hash.
pub(super) fn secret_name(source: &str) -> String {
    let name = source.replace('_', "-");
    let name = name.trim_end_matches('-');
    match name == source {
        true => format!("lifeboat-{name}"),
        false => format!("lifeboat-{name}-{:06x}", xxh3_64(source.as_bytes()) & 0xff_ffff),
    }
}

/// What pods need of Secrets.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) when the file itself holds a secret, and for files that cannot
/// be mounted where the configuration has them.
pub(super) fn mounts(config: &Config, config_dir: &Path) -> Result<Mounts> {
    let mut files: BTreeMap<PathBuf, Vec<User>> = BTreeMap::new();
    let mut variables = BTreeSet::new();
    for value in config.show() {
        let Origin::File(..) = value.origin else { continue };
        let key = value.key.as_str();
        if value.value.contains("***") {
            return Err(unfit(
                format!("{}: {key} holds a secret, and a ConfigMap is no place for one", value.origin),
                "use password_file, such as /secrets/NAME/password: a Secret is mounted there",
            ));
        }
        let secret = match key.split('.').nth(1) {
            Some(source) if key.starts_with("sources.") => secret_name(source),
            _ if key.starts_with("store.") => "lifeboat-store".to_owned(),
            // Who is told how runs end: [metrics] and [notify].
            _ => format!("lifeboat-{}", key.split('.').next().unwrap_or_default()),
        };
        let purpose = match key.starts_with("sources.") {
            true if key.contains(".staging.") => Purpose::Staging,
            true => Purpose::Source,
            // Every job tells how it ended, too.
            false => Purpose::Store,
        };
        if let Some((_, name)) = FILE_KEYS.iter().find(|(end, _)| key.ends_with(end)) {
            let path = mountable(Path::new(&value.value), key, config_dir)?;
            files.entry(path).or_default().push((secret, (*name).to_owned(), purpose));
        } else if key.ends_with(".password_env") {
            let name = if key.ends_with(".staging.password_env") { "staging-password" } else { "password" };
            variables.insert((value.value.clone(), secret, name.to_owned(), purpose));
        } else if key.starts_with("sources.") && key.ends_with("url") {
            for (parameter, path) in parameters(&value.value) {
                let path = mountable(Path::new(&path), key, config_dir)?;
                files.entry(path).or_default().push((secret.clone(), parameter.to_owned(), purpose));
            }
        }
    }
    let dir = common_dir(files.keys())?;
    let mut taken: BTreeSet<(String, Purpose)> = BTreeSet::new();
    let variables = variables
        .into_iter()
        .filter(|(variable, _, _, purpose)| taken.insert((variable.clone(), *purpose)))
        .map(|(variable, secret, key, purpose)| SecretVariable { variable, secret, key, purpose })
        .collect();
    let file = |(path, users): (&PathBuf, &Vec<User>)| {
        let path = path.strip_prefix(&dir).unwrap_or(path).display().to_string();
        let (secret, key) = match users.as_slice() {
            // A source may name a file twice, in its own URL and in that of its staging.
            [(secret, key, _), rest @ ..] if rest.iter().all(|user| (&user.0, &user.1) == (secret, key)) => {
                (secret.clone(), key.clone())
            }
            // One file for several sources: a Secret of none of them.
            _ => ("lifeboat-shared".to_owned(), as_key(&path)),
        };
        let purposes = users.iter().map(|(_, _, purpose)| *purpose).collect();
        SecretFile { secret, key, path, purposes }
    };
    let files = files.iter().map(file).collect();
    Ok(Mounts { dir: dir.display().to_string(), files, variables })
}

/// The files that a connection string names.
fn parameters(url: &str) -> impl Iterator<Item = (&str, String)> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let files = pairs.filter(|(name, _)| FILE_PARAMETERS.contains(name));
    // One that cannot be decoded is the engine's to refuse.
    let files = files.filter_map(|(name, path)| Some((name, percent_decoded(path).ok()?)));
    files.filter(|(_, path)| path.starts_with('/'))
}

/// A path as a key of a Secret.
fn as_key(path: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    path.chars().map(fit).collect()
}

/// The path, if it can be the same in a pod.
fn mountable(path: &Path, key: &str, config_dir: &Path) -> Result<PathBuf> {
    let strange = !path.is_absolute()
        || path.components().any(|part| !matches!(part, Component::RootDir | Component::Normal(_)));
    if strange || path.starts_with(config_dir) || path.starts_with(CONFIG_DIR) {
        return Err(unfit(
            format!("{key} is {}, where no Secret can be mounted beside the configuration", path.display()),
            "write an absolute path in a directory of secrets, such as /secrets/NAME/password",
        ));
    }
    Ok(path.to_owned())
}

/// The deepest directory that all files are in.
fn common_dir<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Result<PathBuf> {
    let mut common: Option<PathBuf> = None;
    for path in paths {
        let parent = path.parent().unwrap_or(Path::new("/"));
        let mut dir = common.unwrap_or_else(|| parent.to_owned());
        while !parent.starts_with(&dir) {
            dir.pop();
        }
        common = Some(dir);
    }
    let Some(dir) = common else { return Ok(PathBuf::new()) };
    let system =
        ["/", "/bin", "/dev", "/etc", "/lib", "/proc", "/run", "/sys", "/tmp", "/usr", "/var", "/var/run"];
    if system.iter().any(|taken| dir == Path::new(taken)) {
        return Err(unfit(
            format!(
                "the files with secrets have only {} in common, where none can be mounted",
                dir.display()
            ),
            "put them below one directory, such as /secrets",
        ));
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_a_secret_of_its_own() {
        assert_eq!(secret_name("orders"), "lifeboat-orders");
        let names = ["a-b", "a_b", "a-b_", "a-b-"].map(secret_name);
        assert!(names.iter().all(|name| !name.contains('_') && !name.ends_with('-')), "{names:?}");
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 4, "{names:?}");
    }

    #[test]
    fn the_files_of_a_url_are_decoded() {
        let found: Vec<_> =
            parameters("postgres://h/d?sslrootcert=%2Fs%2Fca&sslcrl=/s/crl&sslmode=require&sslkey=rel")
                .collect();
        assert_eq!(found, [("sslrootcert", "/s/ca".to_owned()), ("sslcrl", "/s/crl".to_owned())]);
    }

    #[test]
    fn files_are_mounted_in_their_deepest_common_directory() {
        let dir = |paths: &[&str]| common_dir(paths.iter().map(PathBuf::from).collect::<Vec<_>>().iter());
        assert_eq!(dir(&[]).unwrap(), Path::new(""));
        assert_eq!(dir(&["/secrets/orders/password"]).unwrap(), Path::new("/secrets/orders"));
        assert_eq!(dir(&["/secrets/a/p", "/secrets/b", "/secrets/a/q/r"]).unwrap(), Path::new("/secrets"));
        assert!(dir(&["/secrets/a/p", "/run/b/p"]).unwrap_err().chain().contains("only / in common"));
        assert!(dir(&["/etc/password"]).is_err());
    }

    #[test]
    fn a_path_that_is_another_in_a_pod_is_refused() {
        let config = Path::new("/home/me/backups");
        assert!(mountable(Path::new("/secrets/x"), "k", config).is_ok());
        for path in ["/home/me/backups/secrets/x", "relative/x", "/secrets/../x", "/etc/lifeboat/secret"] {
            assert!(mountable(Path::new(path), "k", config).is_err(), "{path}");
        }
    }
}
