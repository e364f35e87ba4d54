//! The environment of a child process: the same connection, told to libpq by variables.
//!
//! The password is in a file of mode 0600 in a directory of mode 0700 (`PGPASSFILE`), never in
//! argv or in a variable. The files are gone when the guard is dropped.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::connection::{Connection, HostName, Mode, Roots};
use crate::engines::postgres::{pgpass, tls};
use crate::error::{Error, Explain, Kind, Result};

/// Variables that a tool may see besides our own: how to find programs, libraries and temporary space.
const KEPT: [&str; 5] = ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "TZ"];

/// The whole environment of a child, and the files that it names. Keep it until the child has ended.
pub struct ChildEnvironment {
    variables: BTreeMap<String, String>,
    _files: TempDir,
}

impl ChildEnvironment {
    /// All variables; nothing else may be inherited.
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }
}

impl fmt::Debug for ChildEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildEnvironment").field("variables", &self.variables).finish()
    }
}

/// The variables of the process that every tool may see, with messages in English.
pub fn child_basics(process: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<String, String> = KEPT
        .iter()
        .filter_map(|name| process.get(*name).map(|value| (name.to_string(), value.clone())))
        .collect();
    variables.insert("LC_ALL".into(), "C".into());
    variables
}

impl Connection {
    /// Makes the environment of a child from the process's own and our server options (`-c name=value …`).
    pub fn environment(&self, process: &BTreeMap<String, String>, options: &str) -> Result<ChildEnvironment> {
        let files = private_directory(process.get("TMPDIR").map(Path::new))?;
        let mut variables = child_basics(process);
        let mut set = |name: &str, value: String| {
            if !value.is_empty() {
                variables.insert(name.into(), value);
            }
        };
        let join = |parts: Vec<String>| parts.join(",");
        set(
            "PGHOST",
            join(
                self.hosts
                    .iter()
                    .map(|host| match &host.name {
                        HostName::Tcp(name) => name.clone(),
                        HostName::Socket(path) => path.display().to_string(),
                    })
                    .collect(),
            ),
        );
        if self.hosts.iter().any(|host| host.addr.is_some()) {
            set(
                "PGHOSTADDR",
                join(
                    self.hosts
                        .iter()
                        .map(|host| host.addr.map(|addr| addr.to_string()).unwrap_or_default())
                        .collect(),
                ),
            );
        }
        set("PGPORT", join(self.hosts.iter().map(|host| host.port.to_string()).collect()));
        set("PGUSER", self.user.clone());
        set("PGDATABASE", self.database.clone());
        set("PGAPPNAME", self.application_name.clone());
        set("PGOPTIONS", [self.options.as_str(), options].join(" ").trim().to_string());
        set("PGCONNECT_TIMEOUT", self.connect_timeout.as_secs().to_string());
        set("PGTARGETSESSIONATTRS", self.target.word().to_string());
        if self.shuffle {
            set("PGLOADBALANCEHOSTS", "random".into());
        }
        set("PGGSSENCMODE", "disable".into());
        set("PGCHANNELBINDING", self.channel_binding.word().into());
        self.set_tls(files.path(), &mut set)?;
        set("PGPASSFILE", self.write_passwords(files.path())?.display().to_string());
        set("PGSERVICEFILE", self.write_service(files.path())?.display().to_string());
        set("PGSERVICE", "lifeboat".into());
        Ok(ChildEnvironment { variables, _files: files })
    }

    fn set_tls(&self, files: &Path, set: &mut impl FnMut(&str, String)) -> Result<()> {
        let tls = &self.tls;
        set("PGSSLMODE", tls.mode.word().into());
        if tls.mode == Mode::Disable {
            return Ok(());
        }
        match &tls.roots {
            // A name that is not there, so that libpq does not look into another home directory.
            Roots::None => set("PGSSLROOTCERT", files.join("none").display().to_string()),
            Roots::File(path) => set("PGSSLROOTCERT", path.display().to_string()),
            // Tools before 16 do not know `system`, so they get the certificates in a file.
            Roots::System => {
                let path = files.join("system-roots.pem");
                write_private(&path, tls::system_roots_pem()?.as_bytes())?;
                set("PGSSLROOTCERT", path.display().to_string());
            }
        }
        match &tls.identity {
            // Secrets mounted in a cluster have modes that libpq refuses for a key; a copy has 0600.
            Some((certificate, key)) => {
                let copy = files.join("client.key");
                let text = std::fs::read(key)
                    .explain(Kind::Config, || format!("cannot read the client key {}", key.display()))?;
                write_private(&copy, &text)?;
                set("PGSSLCERT", certificate.display().to_string());
                set("PGSSLKEY", copy.display().to_string());
            }
            None => set("PGSSLCERT", files.join("none").display().to_string()),
        }
        if let Some(path) = &tls.revoked {
            set("PGSSLCRL", path.display().to_string());
        }
        if tls.direct {
            set("PGSSLNEGOTIATION", "direct".into());
        }
        if !tls.sni {
            set("PGSSLSNI", "0".into());
        }
        if !tls.tls12 {
            set("PGSSLMINPROTOCOLVERSION", "TLSv1.3".into());
        }
        if !tls.tls13 {
            set("PGSSLMAXPROTOCOLVERSION", "TLSv1.2".into());
        }
        Ok(())
    }

    /// Always written, so that libpq does not look into the home directory.
    fn write_passwords(&self, files: &Path) -> Result<PathBuf> {
        let path = files.join("pgpass");
        let mut text = String::new();
        let first = self.hosts.first().and_then(|host| host.password.as_ref());
        if self.hosts.iter().all(|host| host.password.as_ref() == first) {
            if let Some(password) = first {
                text.push_str(&pgpass::line(None, None, None, password)?);
            }
        } else {
            for host in &self.hosts {
                if let Some(password) = &host.password {
                    let name = host.name_for_passwords();
                    text.push_str(&pgpass::line(Some(&name), Some(host.port), Some(&self.user), password)?);
                }
            }
        }
        write_private(&path, text.as_bytes())?;
        Ok(path)
    }

    /// Keepalives have no variables; a service file brings them.
    fn write_service(&self, files: &Path) -> Result<PathBuf> {
        let path = files.join("service");
        let keep = &self.keepalives;
        let mut text = format!("[lifeboat]\nkeepalives={}\n", u8::from(keep.on));
        if keep.on {
            text.push_str(&format!(
                "keepalives_idle={}\nkeepalives_interval={}\nkeepalives_count={}\n",
                keep.idle.as_secs(),
                keep.interval.as_secs(),
                keep.count
            ));
        }
        if !keep.user_timeout.is_zero() {
            text.push_str(&format!("tcp_user_timeout={}\n", keep.user_timeout.as_millis()));
        }
        write_private(&path, text.as_bytes())?;
        Ok(path)
    }
}

fn private_directory(parent: Option<&Path>) -> Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("lifeboat-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o700));
    }
    let parent = parent.unwrap_or(Path::new("/tmp"));
    builder.tempdir_in(parent).map_err(|cause| {
        Error::new(Kind::Failed, format!("cannot make a private directory in {}", parent.display()))
            .because(cause)
            .hint("set TMPDIR to a directory that can be written; a few kilobytes are needed")
    })
}

fn write_private(path: &Path, text: &[u8]) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .and_then(|mut file| file.write_all(text))
        .explain(Kind::Failed, || format!("cannot write {}", path.display()))
}
