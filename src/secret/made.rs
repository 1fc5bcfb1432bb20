//! Secret files that are made.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, unlinkat};

/// Only to find what lies in it, and whose it is.
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::PATH).union(OFlags::CLOEXEC);
/// One that was made a moment ago, and no link that was put in its place since.
const MADE_FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const NEW_FILE: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::CLOEXEC);

/// Makes the file with these bytes and a newline, mode 0600, unless it is there; tells whether it
/// did. The folder is made with mode 0700.
pub(super) fn write_if_missing(path: &Path, text: &[u8]) -> io::Result<bool> {
    if path.exists() {
        return Ok(false);
    }
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
    // Held open until the end: who owns a folder above it could put a link in its place.
    let folder = folder_of(path)?;
    let mut file = match openat(&folder, name, NEW_FILE, Mode::RUSR | Mode::WUSR) {
        Ok(file) => File::from(file),
        // Another process made it in between: that secret counts.
        Err(rustix::io::Errno::EXIST) => return Ok(false),
        Err(err) => return Err(err.into()),
    };
    let written = give_to_owner_of(&folder, &file)
        .and_then(|()| file.write_all(text))
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all());
    if written.is_err() {
        // A part of a secret would count at the next start.
        unlinkat(&folder, name, AtFlags::empty()).ok();
    }
    written.map(|()| true)
}

/// The folder that `path` lies in, made with mode 0700 where it is missing, as are those above it.
fn folder_of(path: &Path) -> io::Result<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let missing: Vec<&Path> =
        folder.ancestors().take_while(|one| !one.as_os_str().is_empty() && !one.exists()).collect();
    let there = missing.last().map_or(Some(folder), |one| one.parent());
    let there = there.filter(|there| !there.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut above = File::from(openat(CWD, there, FOLDER, Mode::empty())?);
    for one in missing.into_iter().rev() {
        let name = one.file_name().unwrap_or("..".as_ref());
        let mode = Mode::from_raw_mode(if one == folder { 0o700 } else { 0o777 });
        let is_new = match mkdirat(&above, name, mode) {
            Ok(()) => true,
            Err(rustix::io::Errno::EXIST) => false,
            Err(err) => return Err(err.into()),
        };
        let inner = File::from(openat(&above, name, MADE_FOLDER, Mode::empty())?);
        if is_new {
            give_to_owner_of(&above, &inner)?;
        }
        above = inner;
    }
    Ok(above)
}

/// Gives what root made in a folder to its owner: `serve` mostly runs as that user, and could not read it.
/// Others own what they make already.
fn give_to_owner_of(folder: &File, made: &File) -> io::Result<()> {
    let (uid, owner) = (made.metadata()?.uid(), folder.metadata()?);
    if uid != 0 || owner.uid() == 0 {
        return Ok(());
    }
    match fchown(made, Some(owner.uid()), Some(owner.gid())) {
        // Root of a container may not; what it makes is read by itself.
        Err(err)
            if [io::ErrorKind::PermissionDenied, io::ErrorKind::InvalidInput]
                .contains(&err.kind()) =>
        {
            Ok(())
        }
        given => given,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    #[test]
    fn what_root_makes_belongs_to_the_owner_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let other = 65_534;
        if chown(folder.path(), Some(other), Some(other)).is_err() {
            // Only root may do that.
            return;
        }
        let path = folder.path().join("data/secrets/hyvor");
        write_if_missing(&path, b"k").unwrap();
        for made in path.ancestors().take(3) {
            assert_eq!(std::fs::metadata(made).unwrap().uid(), other, "{}", made.display());
        }
    }

    #[test]
    fn file_and_folder_are_for_their_owner_alone_and_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/secret");
        assert!(write_if_missing(&path, b"k").unwrap());
        assert!(!write_if_missing(&path, b"other").unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"k\n");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let link = folder.path().join("link");
        symlink(folder.path().join("elsewhere"), &link).unwrap();
        assert!(!write_if_missing(&link, b"k").unwrap(), "a link that leads nowhere is there");
        assert!(!folder.path().join("elsewhere").exists());
    }
}
