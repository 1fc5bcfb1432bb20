//! Whose the data folder is. A file that another user makes in it, root above all, is one that the
//! owner's next start cannot open.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::queue::QueueError;

/// An error where `folder` belongs to another user than this process runs as. Makes nothing. A
/// folder that is not there yet will be this user's.
pub(super) fn check(folder: &Path) -> Result<(), QueueError> {
    // What else is wrong with it shows when it is opened.
    let Ok(found) = folder.metadata() else { return Ok(()) };
    if found.uid() == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let user = name_of(found.uid()).unwrap_or_else(|| format!("'#{}'", found.uid()));
    let why = format!("it belongs to another user: type `sudo -u {user} gatepost …`");
    let source = io::Error::new(io::ErrorKind::PermissionDenied, why);
    Err(QueueError::Io { what: format!("opening `{}`", folder.display()), source })
}

/// The user's name, where the machine's own list has it.
fn name_of(uid: u32) -> Option<String> {
    let list = std::fs::read_to_string("/etc/passwd").ok()?;
    list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}
