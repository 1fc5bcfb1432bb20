//! A SQLite file as it is found, without opening it as a database.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What each SQLite file begins with.
const HEADER: &[u8; 16] = b"SQLite format 3\0";

/// What keeps the file at `path` from being opened, where it is not made; `None` = nothing that can be
/// seen. `help` = what to do where it is missing. Changes nothing.
pub(super) fn doubt(path: &Path, is_made: bool, help: &str) -> Option<String> {
    let shown = path.display();
    let found = match path.metadata() {
        Ok(found) => found,
        // A folder that is missing is made with the file.
        Err(err) if err.kind() == ErrorKind::NotFound && is_made => return None,
        Err(err) if err.kind() == ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.exists());
            return Some(match folder {
                Some(folder) => {
                    format!("there is no folder `{}` for the database `{shown}`", folder.display())
                }
                None => format!("there is no database `{shown}`: {help}"),
            });
        }
        Err(err) => return Some(format!("the database `{shown}` cannot be read: {err}")),
    };
    if found.is_dir() {
        return Some(format!("`{shown}` is a folder and no database"));
    }
    let mut header = [0; HEADER.len()];
    match File::open(path).and_then(|mut file| file.read_exact(&mut header)) {
        Ok(()) if header == *HEADER => None,
        // An empty one is a database without tables.
        Err(err) if err.kind() == ErrorKind::UnexpectedEof && found.len() == 0 => None,
        Err(err) if err.kind() != ErrorKind::UnexpectedEof => {
            Some(format!("the database `{shown}` cannot be read: {err}"))
        }
        Ok(()) | Err(_) => Some(format!("`{shown}` is no SQLite database")),
    }
}

/// The file that a connection of SQLite was opened with.
pub(super) struct OpenedFile {
    path: PathBuf,
    /// Which one it was; 0 = that is not known.
    inode: AtomicU64,
}

impl OpenedFile {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), inode: AtomicU64::new(0) }
    }

    fn found(&self) -> u64 {
        self.path.metadata().map_or(0, |file| file.ino())
    }

    pub(super) fn note(&self) {
        self.inode.store(self.found(), Ordering::Relaxed);
    }

    /// Whether it stands at its path still.
    pub(super) fn is_there(&self) -> bool {
        let opened = self.inode.load(Ordering::Relaxed);
        opened == 0 || self.found() == opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_that_is_no_database_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("text"), "echo hi, a script and no database at all").unwrap();
        std::fs::write(path("short"), "echo").unwrap();
        std::fs::write(path("empty"), "").unwrap();
        std::fs::write(path("good"), b"SQLite format 3\0and so on").unwrap();
        for (name, is_made, expected) in [
            ("text", true, Some("` is no SQLite database")),
            ("short", false, Some("` is no SQLite database")),
            ("", true, Some("` is a folder and no database")),
            ("missing", false, Some("make it, or write `create_table = true`")),
            ("missing/site.db", false, Some("there is no folder `")),
            ("missing/site.db", true, None),
            ("empty", false, None),
            ("good", false, None),
        ] {
            let found = doubt(&path(name), is_made, "make it, or write `create_table = true`");
            let is_as_expected = match (&found, expected) {
                (Some(found), Some(expected)) => found.contains(expected),
                (found, expected) => found.is_some() == expected.is_some(),
            };
            assert!(is_as_expected, "{name}: {found:?}");
        }
    }
}
