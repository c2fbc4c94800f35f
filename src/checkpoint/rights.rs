//! Who may read and write a file that stands for another one.
//!
//! A file that is to take another's place, or that has its content for a while,
//! gets that one's mode before anything is written into it, and its owner and
//! group where the system allows that. Must never give anybody more than the
//! other file does.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Opens a file that `options` create, with the rights of `like`, if that is there.
///
/// # Errors
/// Whatever the operating system says.
pub(crate) fn create_like(options: &mut OpenOptions, path: &Path, like: &Path) -> io::Result<File> {
    #[cfg(unix)]
    if like.try_exists()? {
        use std::os::unix::fs::OpenOptionsExt;
        // Nobody opens it before it has its mode.
        options.mode(0o600);
    }
    let file = options.open(path)?;
    keep_rights(&file, like)?;
    Ok(file)
}

/// Gives a file the rights of `like`, if that is there.
///
/// # Errors
/// Whatever the operating system says, but for the owner and the group: few may change those.
#[cfg(unix)]
fn keep_rights(file: &File, like: &Path) -> io::Result<()> {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

    let like = match fs::metadata(like) {
        Ok(like) => like,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(cause),
    };
    let ours = file.metadata()?;
    let mut mode = like.mode() & 0o777;
    if ours.gid() != like.gid() && fchown(file, None, Some(like.gid())).is_err() {
        // What its group may is no other group's.
        mode = (mode & 0o707) | ((mode & 0o007) << 3);
    }
    if ours.mode() & 0o777 != mode {
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    if ours.uid() != like.uid() {
        let _ = fchown(file, Some(like.uid()), None);
    }
    Ok(())
}

/// Gives a file the rights of `like`, if that is there.
///
/// # Errors
/// None here: a file has its folder's rights.
#[cfg(not(unix))]
fn keep_rights(_: &File, _: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_has_the_rights_of_the_one_that_it_stands_for() {
        let folder = tempfile::tempdir().unwrap();
        let [like, path, none] = ["like", "path", "none"].map(|name| folder.path().join(name));
        fs::write(&like, "").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for wanted in [0o600, 0o640, 0o666, 0o444] {
            fs::set_permissions(&like, Permissions::from_mode(wanted)).unwrap();
            let mut options = OpenOptions::new();
            create_like(options.append(true).create_new(true), &path, &like).unwrap();
            assert_eq!(mode(&path), wanted, "{wanted:o}");
            fs::remove_file(&path).unwrap();
        }
        let mut options = OpenOptions::new();
        create_like(options.append(true).create_new(true), &path, &none).unwrap();
        fs::write(&none, "").unwrap();
        assert_eq!(mode(&path), mode(&none));
    }
}
