//! What an engine is logged in to with: a secret that its servers know already.

use crate::secret::SecretRef;
use crate::settings::Table;

/// Reads one. It is read again at each log-in, where a file that is missing must not be made anew.
pub(super) fn read(table: &mut Table<'_>, key: &str) -> Option<SecretRef> {
    let help = "leave `create` out, and write what the servers know into the file";
    table.checked_or(key, help, |secret: SecretRef| {
        if matches!(secret, SecretRef::File { create: true, .. }) {
            return Err("no server knows a secret that is made here");
        }
        Ok(secret)
    })
}
