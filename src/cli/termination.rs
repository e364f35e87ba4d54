//! The termination log of a container: what went wrong, where Kubernetes shows it in the pod's status.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The variable that names the file. In a pod without it, the file is the one that Kubernetes gives.
pub const VARIABLE: &str = "LIFEBOAT_TERMINATION_LOG";
/// Where Kubernetes puts the file, unless the container's `terminationMessagePath` says otherwise.
const USUAL: &str = "/dev/termination-log";
/// Kubernetes shows at most 4096 bytes.
const LIMIT: usize = 4095;

/// Writes errors there, the most important first, if there is such a file.
///
/// # Errors
/// That it could not be written, in words.
pub fn write(errors: &[String]) -> std::result::Result<(), String> {
    let Some((path, create)) = place(|name| std::env::var_os(name), Path::new(USUAL)) else { return Ok(()) };
    let text = text(errors);
    let opened = OpenOptions::new().write(true).create(create).truncate(true).open(&path);
    opened
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| format!("cannot write the termination log {}: {error}", path.display()))
}

/// The file, and whether it may be made. Outside of a pod there is none, unless the variable names one.
fn place(variable: impl Fn(&str) -> Option<OsString>, usual: &Path) -> Option<(PathBuf, bool)> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let Some(path) = set(VARIABLE) {
        return Some((path.into(), true));
    }
    let in_pod = set("KUBERNETES_SERVICE_HOST").is_some();
    (in_pod && usual.is_file()).then(|| (usual.to_owned(), false))
}

/// The errors, a line each, as far as they fit.
fn text(errors: &[String]) -> String {
    let mut text = String::new();
    for error in errors {
        text.push_str(error);
        text.push('\n');
    }
    if text.len() > LIMIT {
        let mut end = LIMIT - "…\n".len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str("…\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_pod_or_the_variable_there_is_no_file() {
        let usual = tempfile::NamedTempFile::new().unwrap();
        let find = |set: &[(&str, &str)], usual: &Path| {
            let found = |name: &str| set.iter().find(|(known, _)| *known == name);
            place(|name| found(name).map(|(_, value)| value.into()), usual)
        };
        assert_eq!(find(&[], usual.path()), None);
        let pod = ("KUBERNETES_SERVICE_HOST", "10.0.0.1");
        assert_eq!(find(&[pod], usual.path()), Some((usual.path().to_owned(), false)));
        assert_eq!(find(&[pod], Path::new("/nowhere/log")), None);
        assert_eq!(find(&[(VARIABLE, "/x"), pod], usual.path()), Some(("/x".into(), true)));
        assert_eq!(find(&[(VARIABLE, "")], usual.path()), None);
    }

    #[test]
    fn too_much_is_cut_between_characters() {
        for length in 4085..4100 {
            let cut = text(&["é".repeat(length / 2) + &"x".repeat(length % 2), "next".to_owned()]);
            assert!(cut.len() <= LIMIT && cut.ends_with('\n'), "{length}: {}", cut.len());
        }
        assert_eq!(text(&["a".to_owned(), "b".to_owned()]), "a\nb\n");
    }
}
