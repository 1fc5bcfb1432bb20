//! Files that are replaced as a whole: a reader meanwhile, or after a crash of the process,
//! finds all of the old one or all of the new one. What must survive a power cut is replaced
//! durably; the rest is not synced.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

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
