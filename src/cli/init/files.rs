//! Writes what `init` made, for its owner only: the process's umask is 077 by then.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::super::CliError;
use super::plan::InitPlan;
use super::text;
use crate::files;
use crate::secret::SecretRef;

/// Whether `path` may be written.
pub(super) fn check_free(path: &Path, force: bool) -> Result<(), CliError> {
    let shown = path.display();
    match path.symlink_metadata() {
        Ok(_) if !force => Err(CliError::Failed(format!(
            "`{shown}` is there already: it was left as it is (`--force` writes a new one, and keeps \
             the old one as `{}`)",
            free_old(path).display()
        ))),
        Ok(_) => Ok(()),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(err) => Err(CliError::Failed(format!("`{shown}` cannot be read: {err}"))),
    }
}

/// Writes the configuration. One that is there is kept beside it, and lends it its mode.
pub(super) fn write_config(path: &Path, content: &str) -> Result<(), CliError> {
    let failed = |err: &io::Error| {
        CliError::Failed(format!("`{}` cannot be written: {err}", path.display()))
    };
    let mode = match path.metadata() {
        Ok(metadata) => {
            std::fs::copy(path, free_old(path)).map_err(|err| failed(&err))?;
            metadata.permissions().mode()
        }
        Err(_) => OWNER_ONLY,
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|err| failed(&err))?;
    }
    files::replace(path, content).map_err(|err| failed(&err))?;
    std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|err| failed(&err))
}

/// Writes the secrets that were given, and makes the others; gives their files. One that is there
/// stays, unless a new one was given for it.
pub(super) fn write_secrets(plan: &InitPlan, folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let mut written = Vec::new();
    for source in &plan.sources {
        let file = folder.join(text::secret_file(source.name.as_str()));
        let made = SecretRef::File { path: file.clone(), create: true };
        match &source.secret {
            Some(secret) => made.replace(secret).map_err(|err| CliError::failed(&err))?,
            None => drop(made.resolve().map_err(|err| CliError::failed(&err))?),
        }
        written.push(file);
        if source.provider.needs_verify_token() {
            let path = folder.join(text::verify_token_file(source.name.as_str()));
            let made = SecretRef::File { path: path.clone(), create: true };
            drop(made.resolve().map_err(|err| CliError::failed(&err))?);
            written.push(path);
        }
    }
    let mail = plan.mail.as_ref().map(|mail| (&mail.server, text::SMTP_SECRET));
    let database = plan.database.as_ref().map(|rows| (&rows.server, text::DATABASE_SECRET));
    for (server, file) in mail.into_iter().chain(database) {
        if let Some(password) = &server.password {
            let path = folder.join(file);
            let file = SecretRef::File { path: path.clone(), create: false };
            file.replace(password).map_err(|err| CliError::failed(&err))?;
            written.push(path);
        }
    }
    Ok(written)
}

const OWNER_ONLY: u32 = 0o600;

/// Where the old configuration is kept: `….old`, or where one is kept already `….old.2` and so on.
fn free_old(path: &Path) -> PathBuf {
    let old = |number: u32| {
        let mut old = path.as_os_str().to_owned();
        old.push(".old");
        if number > 1 {
            old.push(format!(".{number}"));
        }
        PathBuf::from(old)
    };
    let is_free = |path: &PathBuf| path.symlink_metadata().is_err();
    (1..u32::MAX).map(old).find(is_free).unwrap_or_else(|| old(u32::MAX))
}
