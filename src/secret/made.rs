//! Secret files that are made.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use rustix::fs::OFlags;

/// Makes the file with these bytes and a newline, mode 0600, unless it is there; tells whether it
/// did. The folder is made with mode 0700.
pub(super) fn write_if_missing(path: &Path, text: &[u8]) -> std::io::Result<bool> {
    if path.exists() {
        return Ok(false);
    }
    if let Some(folder) = path.parent()
        && !folder.as_os_str().is_empty()
        && !folder.exists()
    {
        make_folders(folder)?;
    }
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match file {
        Ok(mut file) => {
            give_to_owner_above(&file, path)?;
            file.write_all(text)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            Ok(true)
        }
        // Another process made it in between: that secret counts.
        Err(err) if err.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(err) => Err(err),
    }
}

/// Makes `folder` with mode 0700, and those above it that are missing.
fn make_folders(folder: &Path) -> std::io::Result<()> {
    let missing = folder.ancestors().filter(|one| !one.as_os_str().is_empty());
    let missing: Vec<&Path> = missing.take_while(|one| !one.exists()).collect();
    for one in missing.into_iter().rev() {
        match std::fs::create_dir(one) {
            Err(err) if err.kind() == std::io::ErrorKind::AlreadyExists => continue,
            made => made?,
        }
        // Held open: the owner of the folder above could put a link in its place.
        let flags = (OFlags::DIRECTORY | OFlags::NOFOLLOW).bits();
        let flags = i32::try_from(flags).map_err(std::io::Error::other)?;
        let made = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(one)?;
        if one == folder {
            made.set_permissions(std::fs::Permissions::from_mode(0o700))?;
        }
        give_to_owner_above(&made, one)?;
    }
    Ok(())
}

/// Gives what root made at `path` to the owner of the folder that it lies in: `serve` mostly runs as that user,
/// and could not read it. Others own what they make already.
fn give_to_owner_above(made: &std::fs::File, path: &Path) -> std::io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let (uid, above) = (made.metadata()?.uid(), std::fs::metadata(folder)?);
    if uid != 0 || above.uid() == 0 {
        return Ok(());
    }
    fchown(made, Some(above.uid()), Some(above.gid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_root_makes_belongs_to_the_owner_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let other = 65_534;
        if std::os::unix::fs::chown(folder.path(), Some(other), Some(other)).is_err() {
            // Only root may do that.
            return;
        }
        let path = folder.path().join("data/secrets/hyvor");
        write_if_missing(&path, b"k").unwrap();
        for made in path.ancestors().take(3) {
            assert_eq!(std::fs::metadata(made).unwrap().uid(), other, "{}", made.display());
        }
    }
}
