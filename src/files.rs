//! Files that are replaced as a whole: a reader meanwhile, or after a crash of the process,
//! finds all of the old one or all of the new one. What must survive a power cut is replaced
//! durably; the rest is not synced.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags};
use serde::de::DeserializeOwned;

mod users;

/// Where what is to stand at `path` is made before it is renamed.
pub fn staging(path: &Path) -> PathBuf {
    let mut staging = path.as_os_str().to_owned();
    staging.push(".new");
    PathBuf::from(staging)
}

/// Puts a file with this content in place of the one at `path`.
pub fn replace(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    let staging = staging(path);
    std::fs::write(&staging, content)?;
    std::fs::rename(&staging, path)
}

/// The same; `Ok` = the new content survives a power cut from here on.
pub fn replace_durably(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    let staging = staging(path);
    let mut file = File::create(&staging)?;
    file.write_all(content.as_ref())?;
    file.sync_all()?;
    std::fs::rename(&staging, path)?;
    // The new name is in the folder, which has a sync of its own.
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// [`replace`] by a file that its owner only can read.
pub fn replace_privately(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    let staging = staging(path);
    // What was left there may be open to others.
    remove(&staging)?;
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&staging)?;
    file.write_all(content.as_ref())?;
    std::fs::rename(&staging, path)
}

/// The JSON that [`replace`] or [`replace_privately`] wrote: the default where there is no file, or where a power cut
/// left nothing of it, or zeros, since it is not synced. An error where something else is there.
pub fn read_json<T: DeserializeOwned + Default>(path: &Path) -> io::Result<T> {
    match std::fs::read(path) {
        Ok(bytes) if bytes.iter().all(|byte| *byte == 0) => Ok(T::default()),
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        Err(err) => Err(err),
    }
}

/// Whether something is at `path` that is no socket: making one there would cost its owner a file.
pub fn is_no_socket(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|there| !there.file_type().is_socket())
}

/// The user's name of /etc/passwd, else `#` and the number: as sudo takes it, and none that systemd has made up for
/// as long as a service runs.
pub fn user_name(uid: u32) -> String {
    in_passwd(Path::new(PASSWD), uid).unwrap_or_else(|| format!("#{uid}"))
}

/// The user's name of /etc/passwd, or as systemd knows it, else its number: for people, and for no command. It waits
/// for systemd at most 1 s for each of the two services that are asked.
pub fn user_shown(uid: u32) -> String {
    shown_among(Path::new(PASSWD), Path::new(users::FOLDER), uid)
}

const PASSWD: &str = "/etc/passwd";

fn shown_among(passwd: &Path, systemd: &Path, uid: u32) -> String {
    let name = in_passwd(passwd, uid).or_else(|| users::told_by_systemd(systemd, uid));
    name.unwrap_or_else(|| uid.to_string())
}

fn in_passwd(passwd: &Path, uid: u32) -> Option<String> {
    let list = std::fs::read_to_string(passwd).unwrap_or_default();
    list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// Whose the folder is that `path` cannot be reached in: of what can be looked at, the nearest.
pub fn owner_of(path: &Path) -> Option<String> {
    let found = path.ancestors().find_map(|one| std::fs::metadata(one).ok())?;
    Some(user_name(found.uid()))
}

/// Why `path` can be no folder: something else is there, or where one of the folders above it would be.
pub fn no_folder_in(path: &Path) -> Option<String> {
    // A link to nothing is there, and no folder can be made of it.
    let there = path.ancestors().find(|place| place.symlink_metadata().is_ok())?;
    if there.is_dir() {
        return None;
    }
    let what = if there.is_symlink() { "is a link to no folder" } else { "is no folder" };
    Some(format!("`{}` {what}", there.display()))
}

/// Why no file can be made or read at `path`: a folder is there, or there can be none for it.
pub fn no_file_at(path: &Path) -> Option<String> {
    if path.is_dir() {
        return Some(format!("`{}` is a folder", path.display()));
    }
    path.parent().and_then(no_folder_in)
}

/// Whether this process may make files in `folder`.
pub fn is_writable(folder: &Path) -> bool {
    let needed = Access::WRITE_OK | Access::EXEC_OK;
    rustix::fs::accessat(rustix::fs::CWD, folder, needed, AtFlags::EACCESS).is_ok()
}

/// Removes the file at `path`, where there is one.
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_has_its_name_of_the_file_and_else_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let passwd = folder.path().join("passwd");
        std::fs::write(&passwd, "root:x:0:0::/root:/bin/sh\nsite:x:1001:1002:::\n").unwrap();
        for (uid, name) in [(0, Some("root")), (1001, Some("site")), (1002, None)] {
            assert_eq!(in_passwd(&passwd, uid).as_deref(), name);
            let shown = name.map_or_else(|| uid.to_string(), ToOwned::to_owned);
            assert_eq!(shown_among(&passwd, folder.path(), uid), shown);
        }
        assert_eq!(user_name(u32::MAX - 7), "#4294967288");
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_removed_once_or_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.json");
        for content in ["a longer one", "short"] {
            replace(&path, content).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
            assert!(!staging(&path).exists());
        }
        for content in ["a durable one", "brief"] {
            replace_durably(&path, content).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
            assert!(!staging(&path).exists());
        }
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
        assert!(remove(folder.path()).is_err(), "what is no file stays");
    }
}
