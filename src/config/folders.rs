//! Folders that every user of this machine may write to: any of them can put another file in the place of
//! a secret, whatever the file's own rights are.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::secret::SecretRef;
use crate::settings::Report;

use super::Config;

/// May be written to by all.
const WRITABLE: u32 = 0o002;
/// Only a file's owner may take it away, as in `/tmp`.
const STICKY: u32 = 0o1000;

/// Warns of each folder once, with the first key that leads into it.
pub(super) fn warn(config: &Config, report: &mut Report) {
    let mut told: Vec<PathBuf> = Vec::new();
    let mut look = |key: &str, path: &Path, what: &str| {
        for folder in path.ancestors().filter(|folder| is_open(folder)) {
            if told.iter().any(|known| known == folder) {
                continue;
            }
            told.push(folder.to_owned());
            let message = format!(
                "every user of this machine can write to the folder `{}`, and so exchange {what}",
                folder.display()
            );
            let help = format!("`chmod o-w '{}'`", folder.display());
            report.warn(key, config.place_of(key), "", message, help);
        }
    };
    for (key, secret) in &config.secrets {
        if let SecretRef::File { path, .. } = secret {
            look(key, path, &format!("the {secret}"));
        }
    }
    look("admin.token", &config.admin.token, "the admin token");
    look("queue.path", &config.queue.path, "the queue");
}

/// A file is not looked at here: its own rights are.
fn is_open(path: &Path) -> bool {
    let Ok(found) = std::fs::metadata(path) else { return false };
    let mode = found.permissions().mode();
    found.is_dir() && mode & WRITABLE != 0 && mode & STICKY == 0
}
