//! What the operating system says, in words an operator can act on.

use std::io;
use std::path::Path;

use nix::errno::Errno;

use crate::error::{Error, Kind};

/// Explains a failed call on a path of the store that lies in `root`.
pub(super) fn explain(root: &Path, action: &str, path: &Path, cause: io::Error) -> Error {
    let error = Error::new(Kind::Store, format!("cannot {action} {}", path.display()));
    let hint = hint(root, &cause);
    let error = error.because(cause);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn hint(root: &Path, cause: &io::Error) -> Option<String> {
    let errno = Errno::from_raw(cause.raw_os_error()?);
    let directory = root;
    let root = root.display();
    Some(match errno {
        Errno::ENOSPC => format!("{}; make room, or prune old backups", free(directory)),
        Errno::EDQUOT => {
            format!("the disk quota of this user is used up in {root}: raise it or prune old backups")
        }
        Errno::EACCES | Errno::EPERM => {
            format!("give the user that runs lifeboat read and write access to everything in {root}")
        }
        Errno::EROFS => format!("{root} is mounted read-only: remount it for writing"),
        Errno::EIO => {
            format!("the disk under {root} reports errors: look at the kernel log before you trust it")
        }
        Errno::ENOTDIR | Errno::EEXIST | Errno::EISDIR => {
            "a file stands where a directory should be, or the other way round: move it away".to_owned()
        }
        Errno::ESTALE => format!("the network file system at {root} lost its server: remount it"),
        Errno::EMFILE | Errno::ENFILE => "too many open files: raise the limit (ulimit -n)".to_owned(),
        _ => return None,
    })
}

/// How much room is left, for the hint of a full disk.
fn free(root: &Path) -> String {
    match nix::sys::statvfs::statvfs(root) {
        // The types differ between platforms, so both are widened.
        #[allow(clippy::unnecessary_cast)]
        Ok(stat) => {
            let bytes = stat.blocks_available() as u64 * stat.fragment_size() as u64;
            format!(
                "{bytes} bytes and {} files are left on the disk of {}",
                stat.files_available(),
                root.display()
            )
        }
        Err(_) => format!("the disk of {} is full", root.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_names_the_room_that_is_left() {
        let root = std::env::temp_dir();
        let path = root.join("data/x");
        let error = explain(&root, "write", &path, io::Error::from_raw_os_error(Errno::ENOSPC as i32));
        assert_eq!(error.kind(), Kind::Store);
        assert!(error.chain().contains("No space left on device"), "{error}");
        let hint = error.hint_text().unwrap();
        assert!(hint.contains("bytes and") && hint.contains("are left on the disk"), "{hint}");
    }

    #[test]
    fn a_refused_access_names_the_root() {
        let root = Path::new("/srv/backups");
        let error =
            explain(root, "write", &root.join("a"), io::Error::from_raw_os_error(Errno::EACCES as i32));
        assert!(error.hint_text().unwrap().contains("/srv/backups"), "{error:?}");
    }
}
